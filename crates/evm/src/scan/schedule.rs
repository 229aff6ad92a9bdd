//! What is not asked at every block.
//!
//! Base makes five blocks a second. A payment that was just sent is looked for in each of them; what
//! others may have landed, what finality says, and what has not landed for long, once in a while of
//! the chain's time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use quittance_protocol::UnixSeconds;
use tokio::time::Instant;

use super::{ScanCursor, Watched};
use crate::config::{LANDING_SECONDS, OTHERS_LOOK_SECONDS};
use crate::header::Block;

/// When everything was looked at last, and for how long each attempt has been watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    last: Option<Thorough>,
    /// Block time at which an attempt was first looked for.
    since: HashMap<String, UnixSeconds>,
}

/// A look at everything.
#[derive(Clone, Copy, Debug)]
struct Thorough {
    block: u64,
    time: UnixSeconds,
    /// A chain that makes blocks on demand may stand still for long after the last one.
    at: Instant,
}

impl Schedule {
    /// Whether it is time to look at everything again.
    pub(super) fn is_due(&self, head: &Block) -> bool {
        self.last.is_none_or(|last| {
            head.timestamp >= last.time.saturating_add(OTHERS_LOOK_SECONDS)
                || last.at.elapsed() >= Duration::from_secs(OTHERS_LOOK_SECONDS)
        })
    }

    pub(super) fn looked_at_everything(&mut self, head: &Block, target: &Block) {
        let (block, time) = (target.number, head.timestamp);
        self.last = Some(Thorough { block, time, at: Instant::now() });
    }

    /// The block up to which everything was looked at.
    pub(super) fn block(&self) -> Option<u64> {
        self.last.map(|last| last.block)
    }

    /// Whether the newest attempt is so young that it may land with any block.
    pub(super) fn expects_landing(&mut self, watched: &Watched<'_>, head: &Block) -> bool {
        watched.watch.attempts.last().is_some_and(|attempt| {
            let since = *self.since.entry(attempt.clone()).or_insert(head.timestamp);
            head.timestamp <= since.saturating_add(LANDING_SECONDS)
        })
    }

    /// The same of a transaction that somebody named: only a look at everything finds it.
    pub(super) fn expects_named(&mut self, watched: &Watched<'_>, head: &Block) -> bool {
        watched.watch.named.as_ref().is_some_and(|named| {
            let since = *self.since.entry(named.clone()).or_insert(head.timestamp);
            head.timestamp <= since.saturating_add(LANDING_SECONDS)
        })
    }

    pub(super) fn forget(&mut self, attempts: &HashSet<&str>) {
        self.since.retain(|hash, _| attempts.contains(hash.as_str()));
    }

    /// A reorganisation: nothing was looked at on the new branch.
    pub(super) fn rewind(&mut self) {
        *self = Self::default();
    }
}

impl ScanCursor {
    /// Whether all that was known at the last look at everything was searched for a payment.
    pub(super) fn has_caught_up(&self, watched: &Watched<'_>) -> bool {
        let next = self.progress.get(&watched.key).map(|progress| progress.next);
        next.is_some_and(|next| self.schedule.block().is_some_and(|block| next > block))
    }
}
