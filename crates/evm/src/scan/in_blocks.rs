//! Receipts of whole blocks: one call where many of our own transactions have landed.

use std::collections::{HashMap, HashSet};

use alloy::primitives::B256;
use serde_json::Value;

use super::search::Search;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::node::BLOCK_RECEIPTS;
use crate::proof::{Receipt, parse_receipt};
use crate::text;

/// From so many receipts on whole blocks are asked for: a busy block is as long as some hundred receipts.
const FROM: usize = 8;

/// Most blocks that one look asks for; what is in an older one is asked for by its hash.
const BLOCKS_MAX: u64 = 3;

impl Search<'_> {
    /// Receipts of these transactions as far as the newest blocks hold them, which nobody looked at before
    /// (`scanned`). An endpoint without the method, or without an answer now, is asked by hash as ever.
    pub(super) async fn receipts_in_blocks(
        &self,
        hashes: &[B256],
        scanned: Option<u64>,
    ) -> HashMap<B256, Receipt> {
        let mut open: HashSet<B256> = hashes.iter().copied().collect();
        let mut found = HashMap::new();
        let lowest = self.target.number.saturating_sub(BLOCKS_MAX.saturating_sub(1));
        let first = scanned.map_or(self.target.number, |scanned| scanned.saturating_add(1)).max(lowest);
        for number in (first..=self.target.number).rev() {
            if open.len() < FROM || !self.rpc.has_block_receipts() {
                break;
            }
            let receipts = match self.block_receipts(number, &open).await {
                Ok(receipts) => receipts,
                Err(error) => {
                    tracing::debug!(%error, "no receipts of whole blocks");
                    self.rpc.refuses_block_receipts();
                    break;
                }
            };
            for receipt in receipts {
                open.remove(&receipt.transaction);
                found.insert(receipt.transaction, receipt);
            }
        }
        found
    }

    async fn block_receipts(&self, number: u64, open: &HashSet<B256>) -> Result<Vec<Receipt>, EvmError> {
        let answer = self.rpc.ask(BLOCK_RECEIPTS, [text::to_quantity(number)]).await?;
        let list = answer.as_array().ok_or(RpcError::BadAnswer("receipts of a block"))?;
        let is_open = |receipt: &&Value| {
            let hash = receipt["transactionHash"].as_str().and_then(text::word);
            hash.is_some_and(|hash| open.contains(&hash))
        };
        let receipts = list.iter().filter(is_open).map(|receipt| parse_receipt(receipt, self.token));
        Ok(receipts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}
