//! Broadcasting recorded bytes, and what the endpoints' answers prove together.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{DurableAttempt, SendOutcome};
use serde_json::json;

use crate::chain::SolanaChain;
use crate::classify::{classify_send, combine, was_withheld};
use crate::rpc::{Rpc, RpcFailure};

/// How a broadcast ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// What the endpoints' answers prove together (invariant I3).
    pub outcome: SendOutcome,
    /// Each of them ran the bytes, found that they fail now, and passed them to nobody.
    pub withheld: bool,
}

impl SolanaChain {
    /// Broadcasts recorded bytes: endpoints in order, healthy ones first, until one accepts. The node
    /// runs them first, at its newest slot, and passes on nothing that would fail
    /// now: that no is free, a failure in a block costs us the fee. No retries by
    /// the node; every answer goes through the classification table (invariant I3).
    pub async fn send<A: DurableAttempt + ?Sized>(&self, attempt: &A) -> SendOutcome {
        self.broadcast(attempt).await.outcome
    }

    /// [`Self::send`], and whether each endpoint that got the bytes proved that it kept them.
    pub async fn broadcast<A: DurableAttempt + ?Sized>(&self, attempt: &A) -> Broadcast {
        let mut all: Option<Broadcast> = None;
        for endpoint in self.in_order() {
            // One of another cluster never gets the bytes.
            let Some(next) = send_to(endpoint, attempt).await else { continue };
            let joined = match all.take() {
                None => next,
                Some(before) => Broadcast {
                    outcome: combine(before.outcome, next.outcome),
                    withheld: before.withheld && next.withheld,
                },
            };
            if joined.outcome == SendOutcome::Accepted {
                return joined;
            }
            all = Some(joined);
        }
        let nobody = || SendOutcome::Unknown { reason: "no endpoint".to_owned() };
        all.unwrap_or_else(|| Broadcast { outcome: nobody(), withheld: false })
    }

    /// Broadcasts the same bytes again to every endpoint. Never `Refused`: an
    /// earlier send may have been taken, whatever is said now.
    pub async fn rebroadcast<A: DurableAttempt + ?Sized>(&self, attempt: &A) -> SendOutcome {
        let sends = self.endpoints.iter().map(|endpoint| send_to(endpoint, attempt));
        let outcomes = futures::future::join_all(sends).await;
        match outcomes.into_iter().flatten().map(|sent| sent.outcome).reduce(combine) {
            Some(SendOutcome::Refused { reason }) => SendOutcome::Unknown { reason },
            Some(outcome) => outcome,
            None => SendOutcome::Unknown { reason: "no endpoint".to_owned() },
        }
    }
}

async fn send_to<A: DurableAttempt + ?Sized>(endpoint: &Arc<dyn Rpc>, attempt: &A) -> Option<Broadcast> {
    let params = json!([STANDARD.encode(attempt.raw_bytes()), {
        "encoding": "base64", "skipPreflight": false, "preflightCommitment": "processed", "maxRetries": 0,
    }]);
    match endpoint.call("sendTransaction", params).await {
        Err(RpcFailure::WrongCluster { .. }) => None,
        answer => Some(Broadcast {
            withheld: was_withheld(&answer),
            outcome: classify_send(&answer, attempt.transaction()),
        }),
    }
}
