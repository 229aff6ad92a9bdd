//! Which endpoints stand where their peers and the clock do.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{EndpointReport, SeenHead, Tally};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::chain::{Commitment, SolanaChain};
use crate::rpc::Rpc;

/// The account in which the cluster keeps its slot and its time (Solana documentation,
/// "Sysvar Cluster Data"): one call, where the time of a block would be a second one
/// that many nodes cannot answer for their newest slot.
const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";
/// Where the account has them, both of eight bytes, little-endian.
const SLOT_AT: usize = 0;
const UNIX_TIMESTAMP_AT: usize = 32;

/// Longest wait for one head: who says nothing for so long is not asked before the others.
const HEAD_WAIT: Duration = Duration::from_secs(5);

impl SolanaChain {
    /// Asks every endpoint for its newest slot and the time there, all at once, and
    /// takes in who lies behind. From then on those are asked for nothing that has to
    /// be true now while a healthy one is there. One call per endpoint; `now_ms` is
    /// Unix milliseconds.
    pub async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        let began = Instant::now();
        let heads = self.endpoints.iter().map(|endpoint| head(endpoint, self.commitment, began));
        let heads = futures::future::join_all(heads).await;
        self.fleet.judge(&heads, now_ms);
        let reports = self.endpoints.iter().zip(heads).enumerate();
        reports
            .map(|(at, (rpc, head))| EndpointReport {
                endpoint: at,
                host: rpc.host().to_owned(),
                state: self.fleet.state(at),
                head: head.map(|head| head.number),
                head_age_ms: head.map(|head| head.age_ms(now_ms)),
                methods: rpc.tally().map(Tally::counts).unwrap_or_default(),
            })
            .collect()
    }
}

async fn head(endpoint: &Arc<dyn Rpc>, commitment: Commitment, began: Instant) -> Option<SeenHead> {
    let params = json!([CLOCK, {"encoding": "base64", "commitment": commitment.as_str()}]);
    let answer = timeout(HEAD_WAIT, endpoint.call("getAccountInfo", params)).await.ok()?.ok()?;
    let data = STANDARD.decode(answer.pointer("/value/data/0").and_then(Value::as_str)?).ok()?;
    let word = |at: usize| data.get(at..)?.first_chunk::<8>().copied();
    Some(SeenHead {
        number: u64::from_le_bytes(word(SLOT_AT)?),
        time_ms: i64::from_le_bytes(word(UNIX_TIMESTAMP_AT)?).saturating_mul(1_000),
        after_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests;
