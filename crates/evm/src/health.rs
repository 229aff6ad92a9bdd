//! Which endpoints stand where their peers and the clock do.

use alloy::eips::BlockNumberOrTag::Latest;
use quittance_protocol::EndpointReport;

use crate::chain::EvmChain;
use crate::node::Node;

impl EvmChain {
    /// Asks every endpoint for its newest block, all at once, and takes in who lies behind. From
    /// then on those are asked for nothing that has to be true now while a healthy one is there. One
    /// call per endpoint; `now_ms` is Unix milliseconds.
    pub async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        self.endpoints().look(now_ms, head).await
    }
}

async fn head(rpc: &Node) -> Option<(u64, i64)> {
    let block = rpc.header(Latest).await.ok()??;
    Some((block.number, i64::try_from(block.timestamp.saturating_mul(1_000)).ok()?))
}

#[cfg(test)]
mod tests;
