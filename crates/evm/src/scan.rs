//! The shared poller: what the chain shows about every watched payment, in few calls.
//!
//! A scan of an unchanged chain is one call. A new block costs one header, the wallet's nonce, the
//! receipts of our own transactions in it (one call for all where there are many and the node shows
//! whole blocks), and one log query for what others may have landed; nothing is asked per pending
//! transaction. Our own hash comes first: a receipt is kept by nodes that bound,
//! delay or refuse logs. What one question cannot answer fails neither the others nor the look.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::primitives::{Address, B256};
use quittance_protocol::{Evidence, Landing, PaymentKey};
use quittance_rpc::Endpoint;

use crate::chain::{EvmChain, is_endpoint_fault, no_endpoint};
use crate::config::{REORG_REWIND_SECONDS, SEARCH_SECONDS_MAX};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::header::Block;
use crate::node::Node;
use crate::payment::EvmWatch;
use crate::proof::{Expected, Finding, Receipt, find};

mod by_logs;
mod finality;
mod in_blocks;
mod own;
mod progress;
mod schedule;
mod search;

pub(crate) use finality::finalized;
use progress::{Progress, plan};
use schedule::Schedule;
use search::Search;

/// Receipts of transactions that there are logs of, as they are counted: a node that keeps none may
/// answer `null`, which is no failure of the method.
pub(crate) const SHOWN: &str = "receipts";

/// So many receipts in a row that an endpoint does not show mean that it shows none; one that fails
/// alone is asked for again.
const RECEIPT_FAILURES: u64 = 3;

/// Where no endpoint shows receipts, they are asked for again at every so many looks.
const LOOKS_BEFORE_RECEIPTS: u32 = 16;
/// By how much further down each search for what used an authorization goes than the one before.
const LOWER_TIMES: u64 = 8;

/// Where the scans of one chain have got to. Lives in memory: after a restart an empty cursor makes
/// the first scan search for every watched payment from its own first block.
#[derive(Clone, Debug, Default)]
pub struct ScanCursor {
    /// Newest block at depth that was searched for everything watched then.
    scanned: Option<(u64, B256)>,
    /// Newest head seen; an equal one means there is nothing to do.
    head: Option<B256>,
    /// How far the log search for each payment has got.
    progress: HashMap<PaymentKey, Progress>,
    /// Reverted attempts that were reported.
    reported: HashSet<String>,
    /// Block time at which an attempt's receipt was last asked for in vain.
    asked: HashMap<String, u64>,
    /// Nonces found gone without a payment of this claim, waiting for finality.
    burned: HashMap<PaymentKey, Landing>,
    schedule: Schedule,
    /// How many blocks further down the log search for a payment sets out.
    lower: HashMap<PaymentKey, u64>,
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
        self.progress.retain(|key, _| keys.contains(key));
        self.burned.retain(|key, _| keys.contains(key));
        self.lower.retain(|key, _| keys.contains(key));
        self.reported.retain(|hash| attempts.contains(hash.as_str()));
        self.asked.retain(|hash, _| attempts.contains(hash.as_str()));
        let named = watched.iter().filter_map(|w| w.watch.named.as_deref());
        self.schedule.forget(&attempts.union(&named.collect()).copied().collect());
    }

    /// The state says used, and no log down to where the search set out says by what: it
    /// was used longer before its claim than a reorganisation goes, at a node that showed
    /// it unused. Searched again from further down each time, or it would never end.
    fn search_lower(&mut self, watched: &Watched<'_>) {
        let rewind = watched.watch.from_block.saturating_sub(watched.start).max(1);
        let lower = self.lower.entry(watched.key).or_insert(rewind);
        *lower = lower.saturating_mul(LOWER_TIMES);
        self.progress.remove(&watched.key);
    }

    /// A block we stood on has vanished: everything found on its branch is open again.
    fn rewind(&mut self) {
        self.scanned = None;
        self.progress.clear();
        self.reported.clear();
        self.asked.clear();
        self.burned.clear();
        self.schedule.rewind();
    }
}

/// A watch with what is computed from it once per scan.
#[derive(Clone)]
pub(crate) struct Watched<'a> {
    pub(crate) key: PaymentKey,
    pub(crate) watch: &'a EvmWatch,
    pub(crate) expected: Expected,
    /// First block worth searching; a reorganisation may have moved the landing a little down.
    start: u64,
}

impl<'a> Watched<'a> {
    fn new(watch: &'a EvmWatch, rewind: u64) -> Self {
        let payment = &watch.payment;
        let expected =
            Expected { from: payment.from, to: payment.to, value: payment.value, nonce: payment.nonce };
        Self { key: payment.key(), watch, expected, start: watch.from_block.saturating_sub(rewind) }
    }

    /// Whether a landing is this claim's (I4): a stranger may have landed the authorization before it
    /// was claimed here, for somebody else. Our own bytes exist only since the claim.
    pub(crate) fn counts(&self, landing: &Landing) -> bool {
        landing.block > self.watch.from_block || self.watch.attempts.contains(&landing.transaction)
    }
}

impl EvmChain {
    /// What is computed from watches once per scan.
    pub(crate) fn watched<'a>(&self, watches: &'a [EvmWatch]) -> Vec<Watched<'a>> {
        let rewind = self.blocks_in(REORG_REWIND_SECONDS);
        watches.iter().map(|watch| Watched::new(watch, rewind)).collect()
    }

    /// Looks at what has happened since `cursor` and says what it shows about the watched payments.
    ///
    /// All evidence of one payment comes from one endpoint (I7); `Expired`, `Canceled` and `Earlier`,
    /// and `Settled` from `second_opinion_value` on, are returned only if a second endpoint agrees, where
    /// there is one. What one endpoint could not be asked is asked of the next. An error means that
    /// nothing was found and something could not be asked; the next call asks it again. Evidence may
    /// be repeated; a payment that has its verdict should leave `watched`.
    pub async fn scan(
        &self,
        watched: &[EvmWatch],
        cursor: &mut ScanCursor,
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        let watched = self.watched(watched);
        cursor.forget(&watched);
        let mut last = no_endpoint();
        let mut all: Vec<(PaymentKey, Evidence)> = Vec::new();
        let by_logs = self.shows_no_receipts();
        let mut asked = false;
        for (index, rpc) in self.endpoints().among(self.endpoints().in_order()) {
            let known: HashSet<PaymentKey> = all.iter().map(|(key, _)| *key).collect();
            let open: Vec<Watched<'_>> =
                watched.iter().filter(|w| !known.contains(&w.key)).cloned().collect();
            let mut next = cursor.clone();
            match self.look(rpc, &open, &mut next, by_logs).await {
                // Its view adds nothing; what others could not be asked stays open.
                Ok(Look { is_behind: true, .. }) => asked |= last == no_endpoint(),
                Ok(Look { found, missing, .. }) => {
                    all.extend(self.with_second_opinion(index, &open, found, &mut next).await);
                    *cursor = next;
                    match missing {
                        None => return Ok(all),
                        Some(error) => last = error,
                    }
                }
                Err(error) if is_endpoint_fault(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        if all.is_empty() && !asked { Err(last) } else { Ok(all) }
    }

    /// Whether no endpoint shows receipts, as far as they were asked. Now and then it is tried again.
    fn shows_no_receipts(&self) -> bool {
        let failures = |rpc: &Node| rpc.tally().map_or(0, |tally| tally.failed_in_a_row(SHOWN));
        let refuses = |(_, rpc): (usize, &Node)| failures(rpc) >= RECEIPT_FAILURES;
        self.endpoints().among(self.endpoints().serving()).all(refuses)
            && !self.receipt_looks().is_multiple_of(LOOKS_BEFORE_RECEIPTS)
    }

    /// As [`Self::look`], where something that could not be asked is an error.
    pub(crate) async fn scan_on(
        &self,
        rpc: &Node,
        watched: &[Watched<'_>],
        cursor: &mut ScanCursor,
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        match self.look(rpc, watched, cursor, false).await? {
            Look { missing: Some(error), .. } => Err(error),
            Look { found, .. } => Ok(found),
        }
    }

    /// One endpoint's view. `by_logs`: no endpoint shows receipts, so logs have to do.
    async fn look(
        &self,
        rpc: &Node,
        watched: &[Watched<'_>],
        cursor: &mut ScanCursor,
        by_logs: bool,
    ) -> Result<Look, EvmError> {
        let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
        self.observe(&head);
        self.follow_fees(&head);
        if cursor.scanned.is_some_and(|(number, _)| head.number < number) {
            // A node behind the one that answered before.
            return Ok(Look { is_behind: true, ..Look::default() });
        }
        let unchanged = cursor.head == Some(head.hash);
        if unchanged && watched.iter().all(|w| cursor.is_searched(w)) {
            return Ok(Look::default());
        }
        // Where only logs prove anything, they are what is looked at in each block.
        let mut due = by_logs || cursor.schedule.is_due(&head);
        for w in watched {
            due |= cursor.schedule.expects_named(w, &head);
        }
        // What may land with any block is looked for in each.
        let fresh: HashSet<PaymentKey> =
            watched.iter().filter(|w| cursor.schedule.expects_landing(w, &head)).map(|w| w.key).collect();
        let all_caught_up = watched.iter().all(|w| cursor.has_caught_up(w));
        if !due && all_caught_up && (unchanged || fresh.is_empty()) {
            return Ok(Look::default());
        }
        let Some(target) = self.target(rpc, &head).await? else { return Ok(Look::default()) };
        if cursor.scanned.is_some_and(|(number, _)| target.number < number) {
            // A node behind the one that answered before.
            return Ok(Look { is_behind: true, ..Look::default() });
        }
        if vanished(rpc, cursor, &target).await? {
            // Two endpoints on two branches would say so at every look.
            if let Some(times) = self.told.again("reorganisation") {
                tracing::warn!(
                    block = target.number,
                    times,
                    "reorganisation: searching again from every payment's first block"
                );
            }
            cursor.rewind();
            due = true;
        }
        let view = View { rpc, target, by_logs, due };
        let mut look = self.search(&view, watched, &fresh, cursor).await;
        if look.missing.is_none() {
            cursor.scanned = Some((target.number, target.hash));
            cursor.head = Some(head.hash);
        }
        if due {
            match self.finality(rpc, watched, &head, cursor, &look.found).await {
                Ok(ended) => look.found.extend(ended),
                Err(error) => look.misses(error),
            }
        }
        if due && look.missing.is_none() {
            cursor.schedule.looked_at_everything(&head, &target);
        }
        Ok(look)
    }

    /// Our own transactions, and those of others, in one endpoint's view.
    async fn search(
        &self,
        view: &View<'_>,
        watched: &[Watched<'_>],
        fresh: &HashSet<PaymentKey>,
        cursor: &mut ScanCursor,
    ) -> Look {
        let mut look = Look::default();
        let bottom = view.target.number.saturating_sub(self.blocks_in(SEARCH_SECONDS_MAX));
        for (token, watched) in by_token(watched) {
            let (wallet, cost_max_wei) = (self.asker(), self.cost_max_wei());
            let View { rpc, target, by_logs, .. } = *view;
            let search = Search { rpc, token, target, bottom, by_logs, wallet, cost_max_wei };
            let ours: Vec<Watched<'_>> =
                watched.iter().filter(|w| view.due || fresh.contains(&w.key)).cloned().collect();
            if !by_logs {
                self.own_transactions(&search, &ours, cursor, &mut look).await;
            }
            let seen: HashSet<PaymentKey> = look.found.iter().map(|(key, _)| *key).collect();
            let open: Vec<Watched<'_>> = watched
                .into_iter()
                .filter(|w| !cursor.burned.contains_key(&w.key))
                .filter(|w| view.due || !cursor.has_caught_up(w))
                // One that failed may still be landed by somebody else.
                .filter(|w| !seen.contains(&w.key) || look.is_reverted(&w.key))
                .collect();
            self.transactions_of_others(&search, &open, cursor, &mut look).await;
        }
        look
    }

    /// What the logs show, whoever sent it.
    async fn transactions_of_others(
        &self,
        search: &Search<'_>,
        open: &[Watched<'_>],
        cursor: &mut ScanCursor,
        look: &mut Look,
    ) {
        let queries = plan(open, cursor, search);
        for (query, answer) in search.run(queries, open).await {
            let judged = match answer {
                Ok(receipts) => self.judge(&receipts, open, search).await,
                Err(error) => Err(error),
            };
            match judged {
                Ok(findings) => {
                    cursor.advance(&query, open);
                    for (key, finding, landing) in findings {
                        match finding {
                            Finding::Paid if counts(open, &key, &landing) => {
                                look.found.push((key, Evidence::Settled(landing)));
                            }
                            // Used before its claim, or cancelled: final only with its block.
                            Finding::Paid | Finding::Burned => {
                                cursor.burned.insert(key, landing);
                            }
                            Finding::Nothing => {}
                        }
                    }
                }
                Err(error) => look.misses(error),
            }
        }
    }

    /// The newest block at the configured depth.
    async fn target(&self, rpc: &Node, head: &Block) -> Result<Option<Block>, EvmError> {
        let depth = self.config().confirmations;
        if depth == 0 {
            return Ok(Some(*head));
        }
        let Some(number) = head.number.checked_sub(depth) else { return Ok(None) };
        let block = rpc.header(number.into()).await?;
        Ok(Some(block.ok_or(RpcError::BadAnswer("block at depth"))?))
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
                    out.push((watched.key, finding, self.landing(receipt, time, watched)));
                }
            }
        }
        Ok(out)
    }

    fn landing(&self, receipt: &Receipt, block_time: u64, watched: &Watched<'_>) -> Landing {
        Landing {
            transaction: format!("{:#x}", receipt.transaction),
            block: receipt.block,
            block_hash: format!("{:#x}", receipt.block_hash),
            block_time,
            cost_native: receipt.cost_wei,
            paid_by_us: self.is_ours(receipt.from),
            log_index: receipt.log_index(&watched.expected),
        }
    }
}

/// The payments of each token: the claim's own, which may not be the configured one any more.
fn by_token<'a>(watched: &[Watched<'a>]) -> BTreeMap<Address, Vec<Watched<'a>>> {
    let mut groups: BTreeMap<Address, Vec<Watched<'a>>> = BTreeMap::new();
    for one in watched {
        groups.entry(one.watch.payment.token).or_default().push(one.clone());
    }
    groups
}

/// What one endpoint is asked for, up to which block.
struct View<'a> {
    rpc: &'a Node,
    target: Block,
    /// No endpoint shows receipts.
    by_logs: bool,
    /// Whether everything is to be looked at, and not only what may land with any block.
    due: bool,
}

/// What one look found, and why it did not see everything.
#[derive(Default)]
struct Look {
    found: Vec<(PaymentKey, Evidence)>,
    missing: Option<EvmError>,
    /// The endpoint lies behind what was searched already.
    is_behind: bool,
}

impl Look {
    fn misses(&mut self, error: EvmError) {
        self.missing.get_or_insert(error);
    }

    fn is_reverted(&self, key: &PaymentKey) -> bool {
        self.found.iter().filter(|(found, _)| found == key).all(|(_, e)| matches!(e, Evidence::Reverted(_)))
    }
}

fn counts(watched: &[Watched<'_>], key: &PaymentKey, landing: &Landing) -> bool {
    watched.iter().find(|w| w.key == *key).is_some_and(|w| w.counts(landing))
}

/// Whether the block that the cursor stands on is no longer in the chain.
async fn vanished(rpc: &Node, cursor: &ScanCursor, target: &Block) -> Result<bool, EvmError> {
    let Some((number, hash)) = cursor.scanned else { return Ok(false) };
    Ok(match target.number.saturating_sub(number) {
        0 => target.hash != hash,
        1 => target.parent != hash,
        _ => rpc.header(number.into()).await?.is_none_or(|block| block.hash != hash),
    })
}

#[cfg(test)]
mod tests;
