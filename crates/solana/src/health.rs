//! Which endpoints stand where their peers and the clock do.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::EndpointReport;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;

use crate::chain::SolanaChain;
use crate::commitment::Commitment;
use crate::node::Node;

/// The account in which the cluster keeps its slot and its time (Solana documentation,
/// "Sysvar Cluster Data"): one call, where the time of a block would be a second one
/// that many nodes cannot answer for their newest slot.
const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";
/// Where the account has them, both of eight bytes, little-endian.
const SLOT_AT: usize = 0;
const UNIX_TIMESTAMP_AT: usize = 32;

impl SolanaChain {
    /// Asks every endpoint for its newest slot and the time there, all at once, and
    /// takes in who lies behind. From then on those are asked for nothing that has to
    /// be true now while a healthy one is there. One call per endpoint; `now_ms` is
    /// Unix milliseconds.
    pub async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        self.endpoints.look(now_ms, |endpoint| head(endpoint, self.commitment)).await
    }

    /// How long all endpoints that serve want to be left alone for. No I/O.
    pub fn endpoints_pause(&self) -> Option<Duration> {
        self.endpoints.pause()
    }
}

pub(crate) async fn head(endpoint: &Node, commitment: Commitment) -> Option<(u64, i64)> {
    let params = json!([CLOCK, {"encoding": "base64", "commitment": commitment.as_str()}]);
    let answer: Value = endpoint.ask(RpcRequest::GetAccountInfo, params).await.ok()?;
    let data = STANDARD.decode(answer.pointer("/value/data/0").and_then(Value::as_str)?).ok()?;
    let word = |at: usize| data.get(at..)?.first_chunk::<8>().copied();
    Some((
        u64::from_le_bytes(word(SLOT_AT)?),
        i64::from_le_bytes(word(UNIX_TIMESTAMP_AT)?).saturating_mul(1_000),
    ))
}

#[cfg(test)]
mod tests;
