//! How far the log search for each payment has got, and what to ask for next.

use std::collections::BTreeMap;

use quittance_protocol::UnixSeconds;

use super::search::{LogQuery, Search};
use super::{ScanCursor, Watched};
use crate::config::{LOG_CALLS_MAX, RESEARCH_AFTER_SECONDS, WATCH_CHUNK_MAX};

/// Where the search for one payment stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The first block that was not searched yet.
    pub(super) next: u64,
    /// Block time at which the search set out from the payment's first block.
    since: UnixSeconds,
}

impl ScanCursor {
    /// Whether nothing is left to search for a payment up to where the cursor stands.
    pub(super) fn is_searched(&self, watched: &Watched<'_>) -> bool {
        let next = self.progress.get(&watched.key).map(|progress| progress.next);
        next.is_some_and(|next| self.scanned.is_some_and(|(scanned, _)| next > scanned))
    }

    /// The query's blocks are searched for its payments.
    pub(super) fn advance(&mut self, query: &LogQuery, watched: &[Watched<'_>]) {
        for watched in query.watches.iter().filter_map(|index| watched.get(*index)) {
            if let Some(progress) = self.progress.get_mut(&watched.key)
                && progress.next >= query.first
            {
                progress.next = progress.next.max(query.last.saturating_add(1));
            }
        }
    }

    /// Where the search for a payment goes on; it begins anew now and then, because a node may have
    /// answered from behind its own head. How often follows what searching costs at this endpoint.
    fn search_from(&mut self, watched: &Watched<'_>, search: &Search<'_>) -> u64 {
        let target = &search.target;
        let range = search.rpc.log_range().blocks();
        let lower = self.lower.get(&watched.key).copied().unwrap_or(0);
        let start = watched.start.saturating_sub(lower).max(search.bottom);
        let calls = target.number.saturating_sub(start).div_ceil(range).max(1);
        let again = RESEARCH_AFTER_SECONDS.saturating_mul(calls);
        if let Some(known) = self.progress.get(&watched.key) {
            // A long gap is searched to its end first.
            let is_far = target.number.saturating_sub(known.next) >= range && known.next < target.number;
            if is_far || target.timestamp < known.since.saturating_add(again) {
                return known.next;
            }
        }
        let known = self.progress.contains_key(&watched.key);
        let next = match self.scanned {
            // Claimed on a block that is not behind the cursor: its landing is still ahead.
            Some((scanned, _)) if !known && watched.watch.from_block >= scanned => scanned.saturating_add(1),
            _ => start,
        };
        self.progress.insert(watched.key, Progress { next, since: target.timestamp });
        next
    }
}

/// Which blocks to search for whom: the newest first for who has seen the rest, then what is left of
/// longer gaps, oldest first, as far as one look may go.
pub(super) fn plan(watched: &[Watched<'_>], cursor: &mut ScanCursor, search: &Search<'_>) -> Vec<LogQuery> {
    let target = search.target.number;
    let range = search.rpc.log_range().blocks();
    let mut by_start: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, watched) in watched.iter().enumerate() {
        let next = cursor.search_from(watched, search);
        if next <= target {
            by_start.entry(next).or_default().push(index);
        }
    }
    let mut queries = Vec::new();
    // Neighbours in time share a query.
    let (mut far, mut near) = (Vec::new(), Vec::new());
    for (next, indices) in by_start {
        let is_near = target.saturating_sub(next) < range;
        let list = if is_near { &mut near } else { &mut far };
        list.extend(indices.into_iter().map(|index| (next, index)));
    }
    for chunk in near.chunks(WATCH_CHUNK_MAX).chain(far.chunks(WATCH_CHUNK_MAX)) {
        let mut first = chunk.first().map_or(target, |(next, _)| *next);
        let watches: Vec<usize> = chunk.iter().map(|(_, index)| *index).collect();
        while first <= target && queries.len() < LOG_CALLS_MAX {
            // The newest block stands alone, because it can be named by its hash.
            let last = match first {
                first if first == target => target,
                first => first.saturating_add(range.saturating_sub(1)).min(target.saturating_sub(1)),
            };
            queries.push(LogQuery { watches: watches.clone(), first, last });
            first = last.saturating_add(1);
        }
    }
    queries
}
