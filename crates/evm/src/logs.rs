//! `eth_getLogs` in ranges that the endpoint allows.
//!
//! Providers bound the range (10, 50, 500, 2,000 or 10,000 blocks) and say so in their own words and
//! codes, so the words are not read: what refuses a range is asked for a smaller one, down to a
//! single block, and what an endpoint took is remembered for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use alloy::primitives::Address;
use serde::Serialize;
use serde_json::{Value, json};

use crate::classify;
use crate::config::LOG_BLOCKS_MAX;
use crate::rpc::{Rpc, RpcError};
use crate::text;

/// The ranges that are tried, each after the one before was refused.
const LADDER: [u64; 6] = [LOG_BLOCKS_MAX, 500, 100, 50, 10, 1];

pub(crate) const METHOD: &str = "eth_getLogs";

/// Answers at a smaller range after which the next larger one is tried again: a refusal may have had
/// another reason, and must not make every search dear for ever.
const ANSWERS_BEFORE_LARGER: u32 = 256;

/// An endpoint that does not answer in time is asked for less, but not for less than this: it may be
/// down, and short ranges are dear.
const UNANSWERED_BLOCKS_MIN: u64 = 100;

/// How many blocks one endpoint answers for at once, as far as it has shown.
#[derive(Debug)]
pub struct LogRange {
    blocks: AtomicU64,
    answers: AtomicU32,
}

impl Default for LogRange {
    fn default() -> Self {
        Self { blocks: AtomicU64::new(LOG_BLOCKS_MAX), answers: AtomicU32::new(0) }
    }
}

impl LogRange {
    /// Blocks to ask for at once.
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed).max(1)
    }

    pub(crate) fn learn(&self, blocks: u64) {
        self.blocks.store(blocks, Ordering::Relaxed);
        self.answers.store(0, Ordering::Relaxed);
    }

    fn answered(&self) {
        let blocks = self.blocks();
        if blocks < LOG_BLOCKS_MAX
            && self.answers.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= ANSWERS_BEFORE_LARGER
        {
            let larger = LADDER.iter().rev().find(|step| **step > blocks);
            self.learn(larger.copied().unwrap_or(LOG_BLOCKS_MAX));
        }
    }
}

/// Whether a question for logs names more than one block.
pub(crate) fn is_divisible(params: &Value) -> bool {
    let bound = |field: &str| params.pointer(&format!("/0/{field}")).and_then(|of| text::quantity64(of).ok());
    bound("fromBlock").zip(bound("toBlock")).is_some_and(|(first, last)| first < last)
}

/// The next smaller range to try.
pub(crate) fn smaller(blocks: u64) -> Option<u64> {
    LADDER.into_iter().find(|step| *step < blocks)
}

/// All logs of `first..=last` that match the filter's address and topics, in as many calls as the
/// endpoint wants.
pub(crate) async fn read_logs(
    rpc: &dyn Rpc,
    filter: &Value,
    first: u64,
    last: u64,
) -> Result<Vec<Value>, RpcError> {
    let mut logs = Vec::new();
    let (mut at, mut range) = (first, rpc.log_range().blocks());
    // Learnt only from an answer: an endpoint that refuses every range refuses the method.
    let mut refused = None;
    while at <= last {
        let to = at.saturating_add(range.saturating_sub(1)).min(last);
        match read_range(rpc, filter, at, to).await {
            Ok(mut found) => {
                if refused.take().is_some() {
                    rpc.log_range().learn(range);
                }
                rpc.log_range().answered();
                logs.append(&mut found);
                at = to.saturating_add(1);
            }
            Err(error) => {
                let asked = to.saturating_sub(at).saturating_add(1);
                if error == RpcError::Timeout
                    && let Some(fewer) = smaller(asked)
                    && fewer >= UNANSWERED_BLOCKS_MIN
                {
                    // Waiting through every range would hold up the look: the next one asks for less.
                    rpc.log_range().learn(fewer);
                }
                match smaller(asked) {
                    Some(fewer) if classify::may_be_a_range(&error) => {
                        range = fewer;
                        refused.get_or_insert(error);
                    }
                    _ => return Err(refused.unwrap_or(error)),
                }
            }
        }
    }
    Ok(logs)
}

/// The same in one call, whatever the endpoint allows.
pub(crate) async fn read_range(
    rpc: &dyn Rpc,
    filter: &Value,
    first: u64,
    last: u64,
) -> Result<Vec<Value>, RpcError> {
    let mut filter = filter.clone();
    filter["fromBlock"] = json!(text::to_quantity(first));
    filter["toBlock"] = json!(text::to_quantity(last));
    list(rpc.call(METHOD, json!([filter])).await?)
}

/// All logs of one contract in one block, in their order.
pub(crate) async fn read_block_logs(
    rpc: &dyn Rpc,
    contract: Address,
    block_hash: impl Serialize,
) -> Result<Vec<Value>, RpcError> {
    let filter = json!({"address": contract, "blockHash": block_hash});
    let mut logs = list(rpc.call(METHOD, json!([filter])).await?)?;
    logs.sort_by_key(|log| text::quantity64(&log["logIndex"]).unwrap_or(u64::MAX));
    Ok(logs)
}

/// The list of logs that a node answered with.
pub(crate) fn list(answer: Value) -> Result<Vec<Value>, RpcError> {
    match answer {
        Value::Array(logs) => Ok(logs),
        _ => Err(RpcError::BadAnswer("list of logs")),
    }
}

#[cfg(test)]
mod tests;
