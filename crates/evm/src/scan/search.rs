//! Log queries and receipts.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolEvent;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::Watched;
use crate::abi::IToken;
use crate::chain::{Block, read_block_by_hash};
use crate::config::{LOG_BLOCKS_MAX, PARALLEL_CALLS_MAX, WATCH_CHUNK_MAX};
use crate::error::EvmError;
use crate::proof::{Receipt, parse_event, parse_receipt};
use crate::rpc::{Rpc, RpcError};
use crate::text;

/// One `eth_getLogs`: these watches (by index), these blocks.
pub(super) struct LogQuery {
    watches: Vec<usize>,
    first: u64,
    last: u64,
}

/// Queries that cover `first..=last` for the watches. The newest block stands alone, because it can
/// be named by its hash.
pub(super) fn queries(watches: &[usize], first: u64, last: u64) -> Vec<LogQuery> {
    let mut out = Vec::new();
    for chunk in watches.chunks(WATCH_CHUNK_MAX) {
        if first > last {
            continue;
        }
        let watches = || chunk.to_vec();
        let mut from = first;
        while from < last {
            let to = from.saturating_add(LOG_BLOCKS_MAX.saturating_sub(1)).min(last.saturating_sub(1));
            out.push(LogQuery { watches: watches(), first: from, last: to });
            from = to.saturating_add(1);
        }
        out.push(LogQuery { watches: watches(), first: last, last });
    }
    out
}

/// One endpoint's view up to one block.
pub(super) struct Search<'a> {
    pub(super) rpc: &'a dyn Rpc,
    pub(super) token: Address,
    pub(super) target: Block,
}

impl Search<'_> {
    /// Receipts of all transactions in which a watched nonce was used or cancelled.
    pub(super) async fn run(
        &self,
        queries: Vec<LogQuery>,
        watched: &[Watched<'_>],
    ) -> Result<Vec<Receipt>, EvmError> {
        let pages: Vec<Vec<(B256, B256)>> =
            stream::iter(queries.into_iter().map(|q| self.logs(q, watched)).collect::<Vec<_>>())
                .buffer_unordered(PARALLEL_CALLS_MAX)
                .try_collect()
                .await?;
        let mut places: Vec<(B256, B256)> = pages.into_iter().flatten().collect();
        places.sort_unstable();
        places.dedup();
        let hashes: Vec<B256> = places.iter().map(|(transaction, _)| *transaction).collect();
        let receipts = self.receipts(&hashes).await?;
        // The log and the receipt must tell of the same block; otherwise the chain moved between the
        // two answers, and the next scan sees it settled.
        let found: HashSet<(B256, B256)> = receipts.iter().map(|r| (r.transaction, r.block_hash)).collect();
        if places.iter().all(|place| found.contains(place)) {
            Ok(receipts)
        } else {
            Err(RpcError::BadAnswer("receipt of a transaction that it has logs of").into())
        }
    }

    /// `(transaction, block hash)` of every log about a watched nonce.
    async fn logs(&self, query: LogQuery, watched: &[Watched<'_>]) -> Result<Vec<(B256, B256)>, EvmError> {
        let chosen: Vec<&Watched<'_>> =
            query.watches.iter().filter_map(|index| watched.get(*index)).collect();
        let payers: HashSet<B256> = chosen.iter().map(|w| w.expected.from.into_word()).collect();
        let nonces: HashSet<B256> = chosen.iter().map(|w| w.expected.nonce).collect();
        let ids: HashSet<(Address, B256)> =
            chosen.iter().map(|w| (w.expected.from, w.expected.nonce)).collect();
        let mut filter = json!({
            "address": self.token,
            "topics": [
                [IToken::AuthorizationUsed::SIGNATURE_HASH, IToken::AuthorizationCanceled::SIGNATURE_HASH],
                payers, nonces,
            ],
        });
        if query.first == self.target.number && query.last == self.target.number {
            // By hash, so that a node that does not have the block says so instead of "no logs".
            filter["blockHash"] = json!(self.target.hash);
        } else {
            filter["fromBlock"] = json!(text::to_quantity(query.first));
            filter["toBlock"] = json!(text::to_quantity(query.last));
        }
        let answer = self.rpc.call("eth_getLogs", json!([filter])).await?;
        let logs = answer.as_array().ok_or(RpcError::BadAnswer("list of logs"))?;
        let mut out = Vec::new();
        for log in logs {
            // The filter is a cross product of payers and nonces.
            let about = parse_event(log, self.token).and_then(|event| event.authorization());
            if about.is_some_and(|id| ids.contains(&id)) {
                out.push((log_word(log, "transactionHash")?, log_word(log, "blockHash")?));
            }
        }
        Ok(out)
    }

    /// Receipts that the node has, concurrently.
    pub(super) async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Receipt>, EvmError> {
        let found: Vec<Option<Receipt>> =
            stream::iter(hashes.iter().map(|hash| self.receipt(*hash)).collect::<Vec<_>>())
                .buffer_unordered(PARALLEL_CALLS_MAX)
                .try_collect()
                .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, EvmError> {
        let value = self.rpc.call("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(parse_receipt(&value, self.token)?)
    }

    /// Times of the blocks the receipts are in; the target's is known already.
    pub(super) async fn block_times(&self, receipts: &[Receipt]) -> Result<HashMap<B256, u64>, EvmError> {
        let mut times = HashMap::from([(self.target.hash, self.target.timestamp)]);
        let missing: HashSet<B256> =
            receipts.iter().map(|r| r.block_hash).filter(|hash| !times.contains_key(hash)).collect();
        let blocks: Vec<(B256, Option<Block>)> =
            stream::iter(
                missing
                    .into_iter()
                    .map(|hash| async move {
                        Ok::<_, RpcError>((hash, read_block_by_hash(self.rpc, hash).await?))
                    })
                    .collect::<Vec<_>>(),
            )
            .buffer_unordered(PARALLEL_CALLS_MAX)
            .try_collect()
            .await?;
        for (hash, block) in blocks {
            times.insert(hash, block.ok_or(RpcError::BadAnswer("block of a receipt"))?.timestamp);
        }
        Ok(times)
    }
}

fn log_word(log: &Value, field: &str) -> Result<B256, RpcError> {
    log[field].as_str().and_then(text::word).ok_or(RpcError::BadAnswer("log"))
}
