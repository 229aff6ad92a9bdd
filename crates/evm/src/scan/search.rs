//! Log queries and receipts.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolEvent;
use futures::stream::{self, StreamExt, TryStreamExt};
use quittance_rpc::Endpoint;
use serde_json::{Value, json};

use super::{SHOWN, Watched};
use crate::abi::IToken;
use crate::config::PARALLEL_CALLS_MAX;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::header::Block;
use crate::logs::{list, read_logs};
use crate::node::Node;
use crate::proof::{Receipt, parse_event, parse_receipt};
use crate::text;

/// One question for logs: these watches (by index), these blocks.
#[derive(Debug)]
pub(super) struct LogQuery {
    pub(super) watches: Vec<usize>,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// A query and what it found; one that failed fails alone.
pub(super) type Answered = (LogQuery, Result<Vec<Receipt>, EvmError>);

/// One endpoint's view up to one block.
pub(super) struct Search<'a> {
    pub(super) rpc: &'a Node,
    pub(super) token: Address,
    pub(super) target: Block,
    /// No search goes further down.
    pub(super) bottom: u64,
    /// No endpoint shows receipts.
    pub(super) by_logs: bool,
    /// Whose transactions ours are, if their watch does not say.
    pub(super) wallet: Address,
    /// The most that one of ours costs.
    pub(super) cost_max_wei: u128,
}

impl Search<'_> {
    /// For each query, oldest blocks first, the receipts of all transactions in which a watched nonce
    /// was used or cancelled.
    pub(super) async fn run(&self, queries: Vec<LogQuery>, watched: &[Watched<'_>]) -> Vec<Answered> {
        let runs: Vec<_> = queries
            .into_iter()
            .map(|query| async move {
                let answer = self.landings(&query, watched).await;
                (query, answer)
            })
            .collect();
        let mut answers: Vec<Answered> =
            stream::iter(runs).buffer_unordered(PARALLEL_CALLS_MAX).collect().await;
        answers.sort_by_key(|(query, _)| query.first);
        answers
    }

    async fn landings(&self, query: &LogQuery, watched: &[Watched<'_>]) -> Result<Vec<Receipt>, EvmError> {
        let mut places = self.logs(query, watched).await?;
        places.sort_unstable();
        places.dedup();
        if self.by_logs {
            return self.receipts_from_logs(&places, watched).await;
        }
        let hashes: Vec<B256> = places.iter().map(|(transaction, _)| *transaction).collect();
        let mut receipts = Vec::with_capacity(hashes.len());
        let mut failure = None;
        for answer in self.receipts(&hashes).await {
            let shown = matches!(answer, Ok((_, Some(_))));
            match answer {
                Ok((_, receipt)) => receipts.extend(receipt),
                Err(error) => failure = Some(error),
            }
            if let Some(tally) = self.rpc.tally() {
                match shown {
                    true => tally.answered(SHOWN),
                    false => tally.failed(SHOWN, &"no receipt of a transaction that it has logs of"),
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
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
    async fn logs(&self, query: &LogQuery, watched: &[Watched<'_>]) -> Result<Vec<(B256, B256)>, EvmError> {
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
        let logs = if query.first == self.target.number && query.last == self.target.number {
            // By hash, so that a node that does not have the block says so instead of "no logs".
            filter["blockHash"] = json!(self.target.hash);
            list(self.rpc.ask("eth_getLogs", [&filter]).await?)?
        } else {
            read_logs(self.rpc, &filter, query.first, query.last).await?
        };
        let mut out = Vec::new();
        for log in &logs {
            // The filter is a cross product of payers and nonces.
            let about = parse_event(log, self.token).and_then(|event| event.authorization());
            if about.is_some_and(|id| ids.contains(&id)) {
                out.push((log_word(log, "transactionHash")?, log_word(log, "blockHash")?));
            }
        }
        Ok(out)
    }

    /// By its hash, or by its number where an endpoint does not answer to hashes.
    async fn block_of(&self, hash: B256, number: u64) -> Result<Option<Block>, RpcError> {
        match self.rpc.header_of(hash).await {
            Err(_) => {
                let block = self.rpc.header(number.into()).await?;
                Ok(block.filter(|block| block.hash == hash))
            }
            answer => answer,
        }
    }

    /// Receipts by hash, concurrently; `None` for what the node does not have. One that fails fails alone.
    pub(super) async fn receipts(&self, hashes: &[B256]) -> Vec<Result<(B256, Option<Receipt>), EvmError>> {
        let reads: Vec<_> = hashes
            .iter()
            .map(|hash| async move { Ok::<_, EvmError>((*hash, self.receipt(*hash).await?)) })
            .collect();
        stream::iter(reads).buffer_unordered(PARALLEL_CALLS_MAX).collect().await
    }

    async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, EvmError> {
        let value = self.rpc.receipt(hash).await?;
        Ok(parse_receipt(&value, self.token)?)
    }

    /// Times of the blocks the receipts are in; the target's is known already.
    pub(super) async fn block_times(&self, receipts: &[Receipt]) -> Result<HashMap<B256, u64>, EvmError> {
        let mut times = HashMap::from([(self.target.hash, self.target.timestamp)]);
        let missing: HashMap<B256, u64> = receipts
            .iter()
            .map(|r| (r.block_hash, r.block))
            .filter(|(hash, _)| !times.contains_key(hash))
            .collect();
        let blocks: Vec<(B256, Option<Block>)> =
            stream::iter(
                missing
                    .into_iter()
                    .map(|(hash, number)| async move {
                        Ok::<_, RpcError>((hash, self.block_of(hash, number).await?))
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

pub(super) fn log_word(log: &Value, field: &str) -> Result<B256, RpcError> {
    log[field].as_str().and_then(text::word).ok_or(RpcError::BadAnswer("log"))
}
