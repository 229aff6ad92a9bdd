//! An endpoint that speaks only for the configured cluster: see [`Identity`].

use std::sync::{Arc, OnceLock};

use quittance_protocol::Network;
use quittance_rpc::{Identity, Misplaced, Name, Pause, Tally};
use serde_json::Value;

use crate::node::Node;
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
const SEND: &str = "sendTransaction";

/// The genesis that a local validator stands for the configured cluster with:
/// the first one seen, one for all endpoints.
pub(crate) type StandIn = Arc<OnceLock<String>>;

/// See the module.
pub(crate) struct Identified {
    inner: Arc<dyn Rpc>,
    /// The same one, asked for its name.
    named: Node,
    network: Network,
    /// Where the endpoint is on this machine: what may stand in for the cluster.
    stand_in: Option<StandIn>,
    identity: Identity<String>,
    tally: Tally,
}

impl Identified {
    pub(crate) fn new(inner: Arc<dyn Rpc>, network: Network, stand_in: Option<StandIn>) -> Self {
        Self {
            named: Node::new(Arc::clone(&inner)),
            inner,
            network,
            stand_in,
            identity: Identity::default(),
            tally: Tally::default(),
        }
    }

    /// Asks the endpoint, whatever is known of it.
    pub(crate) async fn ask(&self) -> Result<(), RpcFailure> {
        self.may_ask(METHOD)?;
        self.identity.hear(self.name().await).map_err(failure)
    }

    /// Signed bytes always go out: held back they would be a guess at every node, and lost at the only one.
    fn may_ask(&self, method: &str) -> Result<(), RpcFailure> {
        let is_silent = self.inner.pause().is_some_and(Pause::is_silent);
        if is_silent && method != SEND { Err(RpcFailure::Paused) } else { Ok(()) }
    }

    async fn name(&self) -> Result<Name<String>, RpcFailure> {
        let genesis = self.named.genesis().await;
        match &genesis {
            Ok(_) => self.tally.answered(METHOD),
            Err(error) => self.tally.failed(METHOD, error),
        }
        genesis.map(|genesis| if self.is_ours(&genesis) { Name::Ours } else { Name::Another(genesis) })
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
        self.identity.another()
    }

    pub(crate) fn is_right(&self) -> bool {
        self.identity.is_right()
    }
}

fn failure(misplaced: Misplaced<String, RpcFailure>) -> RpcFailure {
    match misplaced {
        Misplaced::Another(found) => RpcFailure::WrongCluster { found },
        Misplaced::Silent(error) => error,
    }
}

#[async_trait::async_trait]
impl Rpc for Identified {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        self.may_ask(method)?;
        self.identity.admit(self.name()).await.map_err(failure)?;
        let answer = self.inner.call(method, params).await;
        match &answer {
            // A node may have something to say against a transaction.
            Err(RpcFailure::Node { .. }) if method == SEND => self.tally.answered(method),
            Err(error) => self.tally.failed(method, error),
            Ok(_) => self.tally.answered(method),
        }
        let broken = matches!(
            answer,
            Err(RpcFailure::Transport { .. } | RpcFailure::Timeout | RpcFailure::Http { status: 500.. })
        );
        if broken {
            self.identity.doubt();
        }
        answer
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

#[cfg(test)]
mod tests;
