//! Log queries and receipts.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolEvent;
use futures::stream::{self, StreamExt, TryStreamExt};
use quittance_rpc::Endpoint;
use serde_json::{Value, json};

use super::{SHOWN, Watched};
use crate::abi::IToken;
use crate::config::{LOG_ANSWERS_MAX, LOG_CALLS_MAX, PARALLEL_CALLS_MAX};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::header::Block;
use crate::logs::{list, read_logs};
use crate::node::Node;
use crate::proof::{Receipt, parse_event, parse_receipt};
use crate::text;

/// One question for logs: these watches (by index), these blocks.
#[derive(Clone, Debug)]
pub(super) struct LogQuery {
    pub(super) watches: Vec<usize>,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl LogQuery {
    /// In blocks.
    fn width(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The same in pieces of so many blocks.
    fn pieces(self, blocks: u64) -> impl Iterator<Item = Self> {
        let step = usize::try_from(blocks.max(1)).unwrap_or(usize::MAX);
        (self.first..=self.last).step_by(step).map(move |first| {
            let last = first.saturating_add(blocks.max(1).saturating_sub(1)).min(self.last);
            Self { watches: self.watches.clone(), first, last }
        })
    }
}

/// A transaction and its receipt, if the node has one.
pub(super) type Found = Result<(B256, Option<Receipt>), EvmError>;

/// Most receipts that one request asks for: some providers take no more than fifty at once, and the
/// receipt of a batch has some hundred logs.
const RECEIPTS_AT_ONCE_MAX: usize = 20;

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
    /// was used or cancelled, up to the block that the query says then. Where a wide one shows that the
    /// endpoint allows fewer blocks than were planned, what is left is asked in pieces of those.
    pub(super) async fn run(&self, queries: Vec<LogQuery>, watched: &[Watched<'_>]) -> Vec<Answered> {
        let planned = self.rpc.log_range().blocks();
        let mut rest: Vec<(usize, LogQuery)> = queries.into_iter().enumerate().collect();
        let widest = rest.iter().max_by_key(|(_, query)| query.width()).map(|(at, _)| *at);
        // The newest block alone beside it need not wait.
        let begins = |at: &usize, all: usize| all <= 2 || Some(*at) == widest;
        let all = rest.len();
        let first: Vec<(usize, LogQuery)> = rest.extract_if(.., |(at, _)| begins(at, all)).collect();
        let asked = first.iter().map(|(_, query)| query.clone()).collect();
        let mut answers = self.answer_all(asked, watched).await;
        let allowed = self.rpc.log_range().blocks();
        let cost = |query: &LogQuery| match allowed < planned {
            true => usize::try_from(query.width().div_ceil(allowed)).unwrap_or(LOG_ANSWERS_MAX),
            false => 1,
        };
        let spent: usize = answers.iter().map(|(answered, _)| cost(answered).min(LOG_ANSWERS_MAX)).sum();
        for ((at, query), (answered, answer)) in first.into_iter().zip(&answers) {
            if answer.is_ok() && answered.last < query.last {
                rest.push((at, LogQuery { first: answered.last.saturating_add(1), ..query }));
            }
        }
        rest.sort_by_key(|(at, _)| *at);
        let pieces = rest.into_iter().flat_map(|(_, query)| query.pieces(allowed));
        let pieces = pieces.take(LOG_CALLS_MAX.saturating_sub(spent)).collect();
        answers.extend(self.answer_all(pieces, watched).await);
        answers.sort_by_key(|(query, _)| query.first);
        answers
    }

    /// In their order.
    async fn answer_all(&self, queries: Vec<LogQuery>, watched: &[Watched<'_>]) -> Vec<Answered> {
        let runs: Vec<_> = queries.into_iter().map(|query| self.answer(query, watched)).collect();
        stream::iter(runs).buffered(PARALLEL_CALLS_MAX).collect().await
    }

    async fn answer(&self, mut query: LogQuery, watched: &[Watched<'_>]) -> Answered {
        let answer = match self.landings(&query, watched).await {
            Ok((receipts, reached)) => {
                query.last = reached;
                Ok(receipts)
            }
            Err(error) => Err(error),
        };
        (query, answer)
    }

    async fn landings(
        &self,
        query: &LogQuery,
        watched: &[Watched<'_>],
    ) -> Result<(Vec<Receipt>, u64), EvmError> {
        let (mut places, reached) = self.logs(query, watched).await?;
        places.sort_unstable();
        places.dedup();
        if self.by_logs {
            return Ok((self.receipts_from_logs(&places, watched).await?, reached));
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
            Ok((receipts, reached))
        } else {
            Err(RpcError::BadAnswer("receipt of a transaction that it has logs of").into())
        }
    }

    /// `(transaction, block hash)` of every log about a watched nonce, and the last block searched.
    async fn logs(
        &self,
        query: &LogQuery,
        watched: &[Watched<'_>],
    ) -> Result<(Vec<(B256, B256)>, u64), EvmError> {
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
        let (logs, reached) = if query.first == self.target.number && query.last == self.target.number {
            // By hash, so that a node that does not have the block says so instead of "no logs".
            filter["blockHash"] = json!(self.target.hash);
            (list(self.rpc.ask("eth_getLogs", [&filter]).await?)?, query.last)
        } else {
            read_logs(self.rpc, &filter, (query.first, query.last), LOG_ANSWERS_MAX).await?
        };
        let mut out = Vec::new();
        for log in &logs {
            // The filter is a cross product of payers and nonces.
            let about = parse_event(log, self.token).and_then(|event| event.authorization());
            if about.is_some_and(|id| ids.contains(&id)) {
                out.push((log_word(log, "transactionHash")?, log_word(log, "blockHash")?));
            }
        }
        Ok((out, reached))
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

    /// Receipts by hash; `None` for what the node does not have. One that fails fails alone. So many at a
    /// time in one request, where the endpoint takes that; else each in one of its own.
    pub(super) async fn receipts(&self, hashes: &[B256]) -> Vec<Found> {
        let chunks = hashes.chunks(RECEIPTS_AT_ONCE_MAX).map(|chunk| self.some_receipts(chunk));
        let found: Vec<Vec<Found>> =
            stream::iter(chunks.collect::<Vec<_>>()).buffer_unordered(PARALLEL_CALLS_MAX).collect().await;
        found.into_iter().flatten().collect()
    }

    async fn some_receipts(&self, hashes: &[B256]) -> Vec<Found> {
        let together = match hashes {
            [_, _, ..] => self.rpc.receipts(hashes).await,
            _ => None,
        };
        if let Some(answers) = together {
            let read = |(hash, answer): (&B256, Result<Value, RpcError>)| self.read_receipt(*hash, answer);
            return hashes.iter().zip(answers).map(read).collect();
        }
        let alone = |hash: &B256| {
            let hash = *hash;
            async move { self.read_receipt(hash, self.rpc.receipt(hash).await) }
        };
        let alone: Vec<_> = hashes.iter().map(alone).collect();
        stream::iter(alone).buffer_unordered(PARALLEL_CALLS_MAX).collect().await
    }

    fn read_receipt(&self, hash: B256, answer: Result<Value, RpcError>) -> Found {
        Ok((hash, parse_receipt(&answer?, self.token)?))
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
