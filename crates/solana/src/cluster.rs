//! An endpoint that speaks only for the configured cluster.
//!
//! A node of another cluster answers every question politely and wrongly: no
//! such transaction, this blockhash is unknown. So nothing is asked of an
//! endpoint before it has named its genesis, and it is asked again whenever the
//! connection broke: behind the same URL may stand another node then.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quittance_protocol::{Network, Tally};
use serde_json::{Value, json};

use crate::rpc::{Rpc, RpcFailure};

/// CAIP-2 names a cluster by this many characters of its genesis hash.
const REFERENCE_CHARS: usize = 32;

/// Genesis hashes that no local validator has (Solana documentation, "Clusters").
const PUBLIC_CLUSTERS: [&str; 3] = [
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
    "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY",
];

const METHOD: &str = "getGenesisHash";

const UNKNOWN: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;

/// The genesis that a local validator stands for the configured cluster with:
/// the first one seen, one for all endpoints.
pub(crate) type StandIn = Arc<OnceLock<String>>;

/// See the module.
pub(crate) struct Identified {
    inner: Arc<dyn Rpc>,
    network: Network,
    /// Where the endpoint is on this machine: what may stand in for the cluster.
    stand_in: Option<StandIn>,
    state: AtomicU8,
    found: Mutex<String>,
    /// Many calls wait for one question.
    asking: tokio::sync::Mutex<()>,
    tally: Tally,
}

impl Identified {
    pub(crate) fn new(inner: Arc<dyn Rpc>, network: Network, stand_in: Option<StandIn>) -> Self {
        Self {
            inner,
            network,
            stand_in,
            state: AtomicU8::new(UNKNOWN),
            found: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            tally: Tally::default(),
        }
    }

    /// Asks the endpoint, whatever is known of it. An endpoint that does not
    /// answer keeps a bad name and loses a good one.
    pub(crate) async fn ask(&self) -> Result<(), RpcFailure> {
        let answer = self.inner.call(METHOD, json!([])).await;
        let genesis =
            answer.and_then(|value| genesis(&value).ok_or(RpcFailure::Malformed { method: METHOD }));
        match &genesis {
            Ok(_) => self.tally.answered(METHOD),
            Err(error) => self.tally.failed(METHOD, error),
        }
        match genesis {
            Ok(genesis) if self.is_ours(&genesis) => {
                self.state.store(RIGHT, Ordering::Release);
                Ok(())
            }
            Ok(genesis) => {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = genesis;
                self.state.store(WRONG, Ordering::Release);
                Err(self.wrong())
            }
            Err(error) => {
                self.doubt();
                Err(error)
            }
        }
    }

    fn is_ours(&self, genesis: &str) -> bool {
        let reference = self.network.as_str().split_once(':').map(|(_, reference)| reference);
        if reference.is_some() && reference == genesis.get(..REFERENCE_CHARS) {
            return true;
        }
        match &self.stand_in {
            Some(stand_in) if !PUBLIC_CLUSTERS.contains(&genesis) => {
                stand_in.get_or_init(|| genesis.to_owned()) == genesis
            }
            _ => false,
        }
    }

    /// The genesis that the endpoint has instead of ours, as far as it has said.
    pub(crate) fn other_cluster(&self) -> Option<String> {
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.state.load(Ordering::Acquire) == WRONG).then(found)
    }

    pub(crate) fn is_right(&self) -> bool {
        self.state.load(Ordering::Acquire) == RIGHT
    }

    fn wrong(&self) -> RpcFailure {
        RpcFailure::WrongCluster { found: self.found.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }

    fn doubt(&self) {
        let _ = self.state.compare_exchange(RIGHT, UNKNOWN, Ordering::AcqRel, Ordering::Acquire);
    }

    async fn settle_identity(&self) -> Result<(), RpcFailure> {
        let _turn = self.asking.lock().await;
        match self.state.load(Ordering::Acquire) {
            RIGHT => Ok(()),
            WRONG => Err(self.wrong()),
            _ => self.ask().await,
        }
    }
}

/// Base58 of 32 bytes, or nothing: a node's words do not get into messages.
fn genesis(answer: &Value) -> Option<String> {
    let text = answer.as_str()?;
    let bytes = bs58::decode(text).into_vec().ok()?;
    (bytes.len() == 32).then(|| text.to_owned())
}

#[async_trait::async_trait]
impl Rpc for Identified {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        match self.state.load(Ordering::Acquire) {
            RIGHT => {}
            WRONG => return Err(self.wrong()),
            _ => self.settle_identity().await?,
        }
        let answer = self.inner.call(method, params).await;
        match &answer {
            // A node may have something to say against a transaction.
            Err(RpcFailure::Node { .. }) if method == "sendTransaction" => self.tally.answered(method),
            Err(error) => self.tally.failed(method, error),
            Ok(_) => self.tally.answered(method),
        }
        let broken = matches!(
            answer,
            Err(RpcFailure::Transport { .. } | RpcFailure::Timeout | RpcFailure::Http { status: 500.. })
        );
        if broken {
            self.doubt();
        }
        answer
    }

    fn tally(&self) -> Option<&Tally> {
        Some(&self.tally)
    }

    fn host(&self) -> &str {
        self.inner.host()
    }
}

#[cfg(test)]
mod tests;
