//! Which endpoints stand where their peers and the clock do.

use std::sync::Arc;
use std::time::Duration;

use quittance_protocol::{EndpointReport, SeenHead};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::chain::{EvmChain, read_block};
use crate::rpc::Rpc;

/// Longest wait for one head: who says nothing for so long is not asked before the others.
const HEAD_WAIT: Duration = Duration::from_secs(5);

impl EvmChain {
    /// Asks every endpoint for its newest block, all at once, and takes in who lies behind. From
    /// then on those are asked for nothing that has to be true now while a healthy one is there. One
    /// call per endpoint; `now_ms` is Unix milliseconds.
    pub async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        let began = Instant::now();
        let heads = self.endpoints().iter().map(|rpc| head(rpc, began));
        let heads = futures::future::join_all(heads).await;
        self.fleet().judge(&heads, now_ms);
        let reports = self.endpoints().iter().zip(heads).enumerate();
        reports.map(|(at, (rpc, head))| self.report(at, rpc.as_ref(), head, now_ms)).collect()
    }

    fn report(&self, endpoint: usize, rpc: &dyn Rpc, head: Option<SeenHead>, now_ms: i64) -> EndpointReport {
        EndpointReport {
            endpoint,
            host: rpc.host().to_owned(),
            state: self.fleet().state(endpoint),
            head: head.map(|head| head.number),
            head_age_ms: head.map(|head| head.age_ms(now_ms)),
            methods: rpc.tally().map(quittance_protocol::Tally::counts).unwrap_or_default(),
        }
    }
}

async fn head(rpc: &Arc<dyn Rpc>, began: Instant) -> Option<SeenHead> {
    let block = timeout(HEAD_WAIT, read_block(rpc.as_ref(), json!("latest"))).await.ok()?.ok()??;
    Some(SeenHead {
        number: block.number,
        time_ms: i64::try_from(block.timestamp.saturating_mul(1_000)).ok()?,
        after_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests;
