//! An endpoint that speaks only for the configured chain.
//!
//! A node of another chain answers every question politely and wrongly: no such payment, this nonce is
//! free, fees are low. So nothing is asked of an endpoint before it has named its chain, and it is
//! asked again whenever the connection broke: behind the same URL may stand another node then.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use quittance_protocol::Tally;
use serde_json::{Value, json};

use crate::classify;
use crate::logs::{self, LogRange};
use crate::rpc::{Rpc, RpcError};
use crate::text;

const CHAIN_ID: &str = "eth_chainId";

const UNKNOWN: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;

/// See the module.
pub(crate) struct Identified {
    inner: Arc<dyn Rpc>,
    chain_id: u64,
    state: AtomicU8,
    /// What the endpoint says it is, while it is the wrong one.
    found: AtomicU64,
    /// Many calls wait for one question.
    asking: tokio::sync::Mutex<()>,
    tally: Tally,
}

impl Identified {
    pub(crate) fn new(inner: Arc<dyn Rpc>, chain_id: u64) -> Self {
        Self {
            inner,
            chain_id,
            state: AtomicU8::new(UNKNOWN),
            found: AtomicU64::new(0),
            asking: tokio::sync::Mutex::default(),
            tally: Tally::default(),
        }
    }

    /// Asks the endpoint, whatever is known of it. An endpoint that does not answer keeps a bad name
    /// and loses a good one.
    pub(crate) async fn ask(&self) -> Result<(), RpcError> {
        let found = self.inner.call(CHAIN_ID, json!([])).await.and_then(|v| text::quantity64(&v));
        match &found {
            Ok(_) => self.tally.answered(CHAIN_ID),
            Err(error) => self.tally.failed(CHAIN_ID, error),
        }
        match found {
            Ok(found) if found == self.chain_id => {
                self.state.store(RIGHT, Ordering::Release);
                Ok(())
            }
            Ok(found) => {
                self.found.store(found, Ordering::Release);
                self.state.store(WRONG, Ordering::Release);
                Err(self.wrong())
            }
            Err(error) => {
                self.doubt();
                Err(error)
            }
        }
    }

    /// The chain that the endpoint serves instead of ours, as far as it has said.
    pub(crate) fn other_chain(&self) -> Option<u64> {
        (self.state.load(Ordering::Acquire) == WRONG).then(|| self.found.load(Ordering::Acquire))
    }

    pub(crate) fn is_right(&self) -> bool {
        self.state.load(Ordering::Acquire) == RIGHT
    }

    fn wrong(&self) -> RpcError {
        RpcError::WrongChain { expected: self.chain_id, found: self.found.load(Ordering::Acquire) }
    }

    fn doubt(&self) {
        let _ = self.state.compare_exchange(RIGHT, UNKNOWN, Ordering::AcqRel, Ordering::Acquire);
    }

    async fn settle_identity(&self) -> Result<(), RpcError> {
        let _turn = self.asking.lock().await;
        match self.state.load(Ordering::Acquire) {
            RIGHT => Ok(()),
            WRONG => Err(self.wrong()),
            _ => self.ask().await,
        }
    }
}

#[async_trait::async_trait]
impl Rpc for Identified {
    async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        match self.state.load(Ordering::Acquire) {
            RIGHT => {}
            WRONG => return Err(self.wrong()),
            _ => self.settle_identity().await?,
        }
        // A range that is refused is asked for in pieces: no failure of the method.
        let in_pieces = method == logs::METHOD && logs::is_divisible(&params);
        let answer = self.inner.call(method, params).await;
        match &answer {
            Err(error) if in_pieces && classify::may_be_a_range(error) => {}
            Err(error) if is_failure(method, error) => self.tally.failed(method, error),
            _ => self.tally.answered(method),
        }
        if matches!(answer, Err(RpcError::Transport(_) | RpcError::Timeout | RpcError::Http(500..))) {
            self.doubt();
        }
        answer
    }

    fn log_range(&self) -> &LogRange {
        self.inner.log_range()
    }

    fn tally(&self) -> Option<&Tally> {
        Some(&self.tally)
    }

    fn host(&self) -> &str {
        self.inner.host()
    }
}

/// Whether the endpoint failed, and not what was asked of it: a call may revert, and a node may have
/// something to say against a transaction.
fn is_failure(method: &str, error: &RpcError) -> bool {
    let is_word = matches!(error, RpcError::JsonRpc { .. });
    error.is_endpoint_fault() && !(is_word && method.starts_with("eth_sendRawTransaction"))
}

impl fmt::Debug for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identified").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
