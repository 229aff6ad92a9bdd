//! How long this chain takes for a block, from headers that are read anyway.

use quittance_protocol::BlockTime;
use std::sync::PoisonError;

use crate::chain::EvmChain;
use crate::config::{BLOCK_TIME_BLOCKS, MARGIN_BLOCKS};
use crate::header::Block;
use crate::node::Node;

/// Longer pauses between blocks are those of a chain that makes them on demand: whatever is sent
/// makes one.
const MARGIN_SECONDS_MAX: u64 = 60;

impl EvmChain {
    /// Milliseconds a block, measured over the last minutes; assumed to be as short as any chain's
    /// until then.
    pub fn block_ms(&self) -> u64 {
        self.measured().ms()
    }

    /// The same, once it was measured.
    pub fn measured_block_ms(&self) -> Option<u64> {
        self.measured().measured_ms()
    }

    /// How many blocks of this chain it takes until that much time has passed.
    pub(crate) fn blocks_in(&self, seconds: u64) -> u64 {
        self.measured().blocks_in(seconds)
    }

    /// What an authorization must have left, in seconds: a transaction on a slow chain waits for a
    /// block longer than the configured margin.
    pub(crate) fn margin_seconds(&self) -> u64 {
        let measured = self.measured();
        let blocks = measured.measured_ms().map_or(0, |_| measured.seconds_of(MARGIN_BLOCKS));
        blocks.min(MARGIN_SECONDS_MAX).max(self.config().valid_before_margin_seconds)
    }

    pub(crate) fn observe(&self, head: &Block) {
        let mut time = self.block_time.write().unwrap_or_else(PoisonError::into_inner);
        time.observe(head.number, head.timestamp.saturating_mul(1_000));
    }

    /// Reads an older header once, so that the block time is known before minutes have passed. A node
    /// that does not have it leaves it to be measured.
    pub(crate) async fn measure_block_time(&self, rpc: &Node, head: &Block) {
        if self.measured().measured_ms().is_none() {
            let number = head.number.saturating_sub(BLOCK_TIME_BLOCKS);
            // A genesis without a date says nothing of the blocks behind it.
            if let Ok(Some(older)) = rpc.header(number.into()).await
                && older.timestamp > 0
            {
                self.observe(&older);
            }
        }
        self.observe(head);
    }

    fn measured(&self) -> BlockTime {
        self.block_time.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests;
