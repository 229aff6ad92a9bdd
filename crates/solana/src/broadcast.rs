//! Broadcasting recorded bytes, and what the endpoints' answers prove together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{DurableAttempt, SendOutcome};
use quittance_rpc::combine;
use serde_json::json;
use solana_client::rpc_config::{CommitmentLevel, RpcSendTransactionConfig, UiTransactionEncoding};
use solana_client::rpc_request::RpcRequest;

use crate::chain::SolanaChain;
use crate::classify::{classify_send, was_withheld};
use crate::node::Node;
use crate::rpc::RpcFailure;

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
        let join = |before: Broadcast, next: Broadcast| Broadcast {
            outcome: combine(before.outcome, next.outcome),
            withheld: before.withheld && next.withheld,
        };
        let is_last = |sent: &Broadcast| sent.outcome == SendOutcome::Accepted;
        let sent = self.endpoints.broadcast(|endpoint| send_to(endpoint, attempt), join, is_last).await;
        sent.unwrap_or_else(|| Broadcast { outcome: nobody(), withheld: false })
    }

    /// Broadcasts the same bytes again to every endpoint. Never `Refused`: an
    /// earlier send may have been taken, whatever is said now.
    pub async fn rebroadcast<A: DurableAttempt + ?Sized>(&self, attempt: &A) -> SendOutcome {
        let outcomes = self.endpoints.every(|endpoint| send_to(endpoint, attempt)).await;
        match outcomes.into_iter().flatten().map(|sent| sent.outcome).reduce(combine) {
            Some(SendOutcome::Refused { reason }) => SendOutcome::Unknown { reason },
            Some(outcome) => outcome,
            None => nobody(),
        }
    }
}

fn nobody() -> SendOutcome {
    SendOutcome::Unknown { reason: "no endpoint".to_owned() }
}

async fn send_to<A: DurableAttempt + ?Sized>(endpoint: &Node, attempt: &A) -> Option<Broadcast> {
    let config = RpcSendTransactionConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        skip_preflight: false,
        preflight_commitment: Some(CommitmentLevel::Processed),
        max_retries: Some(0),
        ..RpcSendTransactionConfig::default()
    };
    // The recorded bytes as they are: the client's own method would serialize a transaction anew.
    let params = json!([STANDARD.encode(attempt.raw_bytes()), config]);
    match endpoint.ask(RpcRequest::SendTransaction, params).await {
        Err(RpcFailure::WrongCluster { .. }) => None,
        answer => Some(Broadcast {
            withheld: was_withheld(&answer),
            outcome: classify_send(&answer, attempt.transaction()),
        }),
    }
}
