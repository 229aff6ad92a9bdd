//! An endpoint that speaks only for the configured chain: see [`Identity`].

use std::fmt;
use std::sync::Arc;

use quittance_rpc::{Identity, Misplaced, Name, Pause, Tally};
use serde_json::value::RawValue;

use crate::classify;
use crate::failure::RpcError;
use crate::logs;
use crate::node::{BLOCK_RECEIPTS, Node};
use crate::rpc::{Answer, LogRange, Rpc};

const CHAIN_ID: &str = "eth_chainId";

/// See the module.
pub(crate) struct Identified {
    inner: Arc<dyn Rpc>,
    /// The same one, asked for its name.
    named: Node,
    chain_id: u64,
    identity: Identity<u64>,
    tally: Tally,
}

impl Identified {
    pub(crate) fn new(inner: Arc<dyn Rpc>, chain_id: u64) -> Self {
        Self {
            named: Node::new(Arc::clone(&inner)),
            inner,
            chain_id,
            identity: Identity::default(),
            tally: Tally::default(),
        }
    }

    /// Asks the endpoint, whatever is known of it.
    pub(crate) async fn ask(&self) -> Result<(), RpcError> {
        self.may_ask(CHAIN_ID)?;
        self.identity.hear(self.name().await).map_err(|misplaced| self.error(misplaced))
    }

    /// Signed bytes always go out: held back they would be a guess at every node, and lost at the only one.
    fn may_ask(&self, method: &str) -> Result<(), RpcError> {
        let is_silent = self.inner.pause().is_some_and(Pause::is_silent);
        if is_silent && !is_send(method) { Err(RpcError::Paused) } else { Ok(()) }
    }

    /// Before anything is asked of it but its name.
    async fn admit(&self, method: &str) -> Result<(), RpcError> {
        self.may_ask(method)?;
        self.identity.admit(self.name()).await.map_err(|misplaced| self.error(misplaced))
    }

    async fn name(&self) -> Result<Name<u64>, RpcError> {
        let found = self.named.chain_id().await;
        match &found {
            Ok(_) => self.tally.answered(CHAIN_ID),
            Err(error) => self.tally.failed(CHAIN_ID, error),
        }
        found.map(|found| if found == self.chain_id { Name::Ours } else { Name::Another(found) })
    }

    /// The chain that the endpoint serves instead of ours, as far as it has said.
    pub(crate) fn other_chain(&self) -> Option<u64> {
        self.identity.another()
    }

    pub(crate) fn is_right(&self) -> bool {
        self.identity.is_right()
    }

    fn error(&self, misplaced: Misplaced<u64, RpcError>) -> RpcError {
        match misplaced {
            Misplaced::Another(found) => RpcError::WrongChain { expected: self.chain_id, found },
            Misplaced::Silent(error) => error,
        }
    }
}

#[async_trait::async_trait]
impl Rpc for Identified {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        self.admit(method).await?;
        // A range that is refused is asked for in pieces: no failure of the method.
        let in_pieces = method == logs::METHOD && logs::is_divisible(params);
        let answer = self.inner.call(method, params).await;
        match &answer {
            Err(error) if in_pieces && classify::may_be_a_range(error) => {}
            // What not every provider has is no failure, and nobody is to be woken for it.
            Err(_) if method == BLOCK_RECEIPTS => {}
            Err(error) if is_failure(method, error) => self.tally.failed(method, error),
            _ => self.tally.answered(method),
        }
        if matches!(answer, Err(RpcError::Transport(_) | RpcError::Timeout | RpcError::Http(500..))) {
            self.identity.doubt();
        }
        answer
    }

    async fn call_optional(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        self.admit(method).await?;
        let answer = self.inner.call_optional(method, params).await;
        match &answer {
            Ok(_) => self.tally.answered(method),
            // Behind a connection that broke may stand another node, whatever broke it.
            Err(RpcError::Transport(_)) => self.identity.doubt(),
            // A gateway that refuses what is large or slow says nothing of the endpoint.
            Err(_) => {}
        }
        answer
    }

    async fn call_many(&self, method: &str, params: &[Box<RawValue>]) -> Result<Vec<Answer>, RpcError> {
        self.admit(method).await?;
        let answers = self.inner.call_many(method, params).await;
        match &answers {
            Ok(answers) => {
                for answer in answers {
                    match answer {
                        Err(error) if is_failure(method, error) => self.tally.failed(method, error),
                        _ => self.tally.answered(method),
                    }
                }
            }
            Err(RpcError::Transport(_) | RpcError::Timeout) => self.identity.doubt(),
            // Not every provider takes several requests at once: each is asked alone then.
            Err(_) => {}
        }
        answers
    }

    fn log_range(&self) -> &LogRange {
        self.inner.log_range()
    }

    fn tally(&self) -> Option<&Tally> {
        Some(&self.tally)
    }

    fn pause(&self) -> Option<&Pause> {
        self.inner.pause()
    }

    fn is_heard(&self) -> bool {
        self.is_right()
    }

    fn host(&self) -> &str {
        self.inner.host()
    }
}

/// Whether the endpoint failed, and not what was asked of it: a call may revert, and a node may have
/// something to say against a transaction.
fn is_failure(method: &str, error: &RpcError) -> bool {
    let is_word = matches!(error, RpcError::JsonRpc { .. });
    error.is_endpoint_fault() && !(is_word && is_send(method))
}

fn is_send(method: &str) -> bool {
    method.starts_with("eth_sendRawTransaction")
}

impl fmt::Debug for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identified").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
