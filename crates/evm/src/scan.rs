//! The shared poller: what the chain shows about every watched payment, in few calls.
//!
//! A scan of an unchanged chain is one call. A new block costs one header, one log query and the
//! receipts of the payments found in it, concurrently; nothing is asked per pending transaction.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256};
use futures::future::try_join;
use quittance_protocol::{Evidence, Landing, PaymentKey};
use serde_json::json;

use crate::chain::{Block, EvmChain, read_block};
use crate::config::{REORG_REWIND_BLOCKS, RESEARCH_AFTER_BLOCKS, SEARCH_BLOCKS_MAX, WATCH_CHUNK_MAX};
use crate::error::EvmError;
use crate::payment::EvmWatch;
use crate::proof::{Expected, Finding, Receipt, find};
use crate::rpc::{Rpc, RpcError};
use crate::text;

mod finality;
mod search;

pub(crate) use finality::finalized;
use search::{LogQuery, Search};

/// Where the scans of one chain have got to. Lives in memory: after a restart an empty cursor makes
/// the first scan search for every watched payment from its own first block.
#[derive(Clone, Debug, Default)]
pub struct ScanCursor {
    /// Newest block at depth that was searched for everything watched then.
    scanned: Option<(u64, B256)>,
    /// Newest head seen; an equal one means there is nothing to do.
    head: Option<B256>,
    /// Last block at which a payment was searched from its own first block.
    searched: HashMap<PaymentKey, u64>,
    /// Reverted attempts that were reported.
    reported: HashSet<String>,
    /// Block at which an attempt's receipt was last asked for in vain.
    asked: HashMap<String, u64>,
    /// Nonces found gone without payment, waiting for finality.
    burned: HashMap<PaymentKey, Landing>,
}

impl ScanCursor {
    /// The newest block that was searched, if any.
    pub fn block(&self) -> Option<u64> {
        self.scanned.map(|(number, _)| number)
    }

    /// Drops what is no longer watched, so that the maps stay as small as the watch list.
    fn forget(&mut self, watched: &[Watched<'_>]) {
        let keys: HashSet<PaymentKey> = watched.iter().map(|w| w.key).collect();
        let attempts: HashSet<&str> =
            watched.iter().flat_map(|w| w.watch.attempts.iter().map(String::as_str)).collect();
        self.searched.retain(|key, _| keys.contains(key));
        self.burned.retain(|key, _| keys.contains(key));
        self.reported.retain(|hash| attempts.contains(hash.as_str()));
        self.asked.retain(|hash, _| attempts.contains(hash.as_str()));
    }

    /// A block we stood on has vanished: everything found on its branch is open again.
    fn rewind(&mut self) {
        self.scanned = None;
        self.searched.clear();
        self.reported.clear();
        self.asked.clear();
        self.burned.clear();
    }
}

/// A watch with what is computed from it once per scan.
pub(crate) struct Watched<'a> {
    pub(crate) key: PaymentKey,
    pub(crate) watch: &'a EvmWatch,
    pub(crate) expected: Expected,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(watch: &'a EvmWatch) -> Self {
        let payment = &watch.payment;
        let expected =
            Expected { from: payment.from, to: payment.to, value: payment.value, nonce: payment.nonce };
        Self { key: payment.key(), watch, expected }
    }

    /// First block worth searching; a reorganisation may have moved the landing a little down.
    fn start(&self) -> u64 {
        self.watch.from_block.saturating_sub(REORG_REWIND_BLOCKS)
    }
}

impl EvmChain {
    /// Looks at what has happened since `cursor` and says what it shows about the watched payments.
    ///
    /// All evidence of one call comes from one endpoint (I7); `Expired` and `Canceled`, and `Settled`
    /// from `second_opinion_value` on, are returned only if a second endpoint agrees, where there is one. On an error the cursor is unchanged
    /// and the next call looks at the same blocks again. Evidence may be repeated; a payment that
    /// has its verdict should leave `watched`.
    pub async fn scan(
        &self,
        watched: &[EvmWatch],
        cursor: &mut ScanCursor,
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        let watched: Vec<Watched<'_>> = watched.iter().map(Watched::new).collect();
        let mut last = EvmError::Rpc(RpcError::Transport("no endpoint".to_owned()));
        for (index, rpc) in self.endpoints().iter().enumerate() {
            let mut next = cursor.clone();
            next.forget(&watched);
            match self.scan_on(rpc.as_ref(), &watched, &mut next).await {
                Ok(found) => {
                    let found = self.with_second_opinion(index, &watched, found, &mut next).await;
                    *cursor = next;
                    return Ok(found);
                }
                Err(EvmError::Rpc(error)) if error.is_endpoint_fault() => last = EvmError::Rpc(error),
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    pub(crate) async fn scan_on(
        &self,
        rpc: &dyn Rpc,
        watched: &[Watched<'_>],
        cursor: &mut ScanCursor,
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        let head = read_block(rpc, json!("latest")).await?.ok_or(RpcError::BadAnswer("block"))?;
        let unchanged = cursor.head == Some(head.hash);
        if unchanged && watched.iter().all(|w| cursor.searched.contains_key(&w.key)) {
            return Ok(Vec::new());
        }
        let Some(target) = self.target(rpc, &head).await? else { return Ok(Vec::new()) };
        if cursor.scanned.is_some_and(|(number, _)| target.number < number) {
            // A node behind the one that answered before; its view adds nothing.
            return Ok(Vec::new());
        }
        if vanished(rpc, cursor, &target).await? {
            tracing::warn!(
                block = target.number,
                "reorganisation: searching again from every payment's first block"
            );
            cursor.rewind();
        }
        let queries = plan(watched, cursor, &target);
        let search = Search { rpc, token: self.terms().token, target };
        let (landed, count) =
            try_join(search.run(queries, watched), self.settled_nonce(rpc, watched, &target)).await?;

        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for (key, finding, landing) in self.judge(&landed, watched, &search).await? {
            seen.insert(key);
            match finding {
                Finding::Paid => found.push((key, Evidence::Settled(landing))),
                Finding::Burned => {
                    cursor.burned.insert(key, landing);
                }
                Finding::Nothing => {}
            }
        }
        let silent: Vec<&Watched<'_>> = watched
            .iter()
            .filter(|w| !seen.contains(&w.key) && !cursor.burned.contains_key(&w.key))
            .collect();
        found.extend(self.attempts(&search, &silent, count, cursor).await?);
        cursor.scanned = Some((target.number, target.hash));
        cursor.head = Some(head.hash);
        if !unchanged {
            found.extend(self.finality(rpc, watched, &head, cursor, &found).await?);
        }
        Ok(found)
    }

    /// The newest block at the configured depth.
    async fn target(&self, rpc: &dyn Rpc, head: &Block) -> Result<Option<Block>, EvmError> {
        let depth = self.config().confirmations;
        if depth == 0 {
            return Ok(Some(*head));
        }
        let Some(number) = head.number.checked_sub(depth) else { return Ok(None) };
        let block = read_block(rpc, json!(text::to_quantity(number))).await?;
        Ok(Some(block.ok_or(RpcError::BadAnswer("block at depth"))?))
    }

    /// The wallet's nonce at the target block, if any attempt waits for it.
    async fn settled_nonce(
        &self,
        rpc: &dyn Rpc,
        watched: &[Watched<'_>],
        target: &Block,
    ) -> Result<Option<u64>, EvmError> {
        if !watched.iter().any(|w| w.watch.attempt_nonce.is_some() && !w.watch.attempts.is_empty()) {
            return Ok(None);
        }
        let params = json!([self.key().address(), text::to_quantity(target.number)]);
        let count = rpc.call("eth_getTransactionCount", params).await?;
        Ok(Some(text::quantity64(&count)?))
    }

    /// What the receipts show, with block times.
    async fn judge(
        &self,
        receipts: &[Receipt],
        watched: &[Watched<'_>],
        search: &Search<'_>,
    ) -> Result<Vec<(PaymentKey, Finding, Landing)>, EvmError> {
        let by_nonce: HashMap<(Address, B256), &Watched<'_>> =
            watched.iter().map(|w| ((w.expected.from, w.expected.nonce), w)).collect();
        let times = search.block_times(receipts).await?;
        let mut out = Vec::new();
        for receipt in receipts {
            let time = times.get(&receipt.block_hash).copied().unwrap_or_default();
            let mut judged = HashSet::new();
            for event in &receipt.events {
                let Some(watched) = event.authorization().and_then(|id| by_nonce.get(&id)) else { continue };
                if judged.insert(watched.key) {
                    let finding = find(&receipt.events, &watched.expected);
                    out.push((watched.key, finding, self.landing(receipt, time)));
                }
            }
        }
        Ok(out)
    }

    fn landing(&self, receipt: &Receipt, block_time: u64) -> Landing {
        Landing {
            transaction: format!("{:#x}", receipt.transaction),
            block: receipt.block,
            block_hash: format!("{:#x}", receipt.block_hash),
            block_time,
            cost_native: receipt.cost_wei,
            paid_by_us: receipt.from == self.key().address(),
        }
    }

    /// Our own transactions whose nonce the chain has passed although no log was found: reverted, or
    /// a log index that is behind. Each is asked for once, and once more while the node has nothing.
    async fn attempts(
        &self,
        search: &Search<'_>,
        silent: &[&Watched<'_>],
        count: Option<u64>,
        cursor: &mut ScanCursor,
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        let Some(count) = count else { return Ok(Vec::new()) };
        let target = search.target.number;
        let due: Vec<(&Watched<'_>, &String)> = silent
            .iter()
            .filter(|w| w.watch.attempt_nonce.is_some_and(|nonce| nonce < count))
            .flat_map(|w| w.watch.attempts.iter().map(move |attempt| (*w, attempt)))
            .filter(|(_, attempt)| !cursor.reported.contains(*attempt))
            .filter(|(_, attempt)| {
                cursor.asked.get(*attempt).is_none_or(|at| target >= at.saturating_add(RESEARCH_AFTER_BLOCKS))
            })
            .collect();
        let hashes: Vec<B256> = due.iter().filter_map(|(_, attempt)| text::word(attempt)).collect();
        let receipts: HashMap<B256, Receipt> =
            search.receipts(&hashes).await?.into_iter().map(|r| (r.transaction, r)).collect();
        let known: Vec<Receipt> = receipts.values().cloned().collect();
        let times = search.block_times(&known).await?;
        let mut out = Vec::new();
        for (watched, attempt) in due {
            cursor.asked.insert(attempt.clone(), target);
            let Some(receipt) = text::word(attempt).and_then(|hash| receipts.get(&hash)) else { continue };
            if receipt.block > target {
                // Deeper blocks first; the receipt is due again at the next scan.
                cursor.asked.remove(attempt);
                continue;
            }
            let landing = self.landing(receipt, times.get(&receipt.block_hash).copied().unwrap_or_default());
            match find(&receipt.events, &watched.expected) {
                Finding::Paid => out.push((watched.key, Evidence::Settled(landing))),
                Finding::Burned => {
                    cursor.burned.insert(watched.key, landing);
                }
                Finding::Nothing => {
                    cursor.reported.insert(attempt.clone());
                    out.push((watched.key, Evidence::Reverted(landing)));
                }
            }
        }
        Ok(out)
    }
}

/// Whether the block that the cursor stands on is no longer in the chain.
async fn vanished(rpc: &dyn Rpc, cursor: &ScanCursor, target: &Block) -> Result<bool, EvmError> {
    let Some((number, hash)) = cursor.scanned else { return Ok(false) };
    Ok(match target.number.saturating_sub(number) {
        0 => target.hash != hash,
        1 => target.parent != hash,
        _ => read_block(rpc, json!(text::to_quantity(number))).await?.is_none_or(|block| block.hash != hash),
    })
}

/// Which blocks to search for whom: the new ones for everybody, and everything since its own first
/// block for whoever is new or has been open for long.
fn plan(watched: &[Watched<'_>], cursor: &mut ScanCursor, target: &Block) -> Vec<LogQuery> {
    let scanned = cursor.scanned.map(|(number, _)| number);
    let mut forward = Vec::new();
    let mut backward = Vec::new();
    for (index, watched) in watched.iter().enumerate() {
        let in_time = match (cursor.searched.get(&watched.key), scanned) {
            (Some(at), _) => target.number < at.saturating_add(RESEARCH_AFTER_BLOCKS),
            // Claimed on a block that is not behind the cursor: its landing is still ahead.
            (None, Some(number)) => watched.watch.from_block >= number,
            (None, None) => false,
        };
        match (in_time, cursor.searched.contains_key(&watched.key)) {
            (true, true) => forward.push(index),
            (true, false) => {
                cursor.searched.insert(watched.key, target.number);
                forward.push(index);
            }
            (false, _) => {
                cursor.searched.insert(watched.key, target.number);
                backward.push(index);
            }
        }
    }
    let mut queries =
        search::queries(&forward, scanned.map_or(target.number, |n| n.saturating_add(1)), target.number);
    // Neighbours in time share a query.
    backward.sort_by_key(|index| watched.get(*index).map_or(0, Watched::start));
    for chunk in backward.chunks(WATCH_CHUNK_MAX) {
        let start = chunk.first().and_then(|index| watched.get(*index)).map_or(0, Watched::start);
        let start = start.max(target.number.saturating_sub(SEARCH_BLOCKS_MAX));
        queries.extend(search::queries(chunk, start, target.number));
    }
    queries
}

#[cfg(test)]
mod tests;
