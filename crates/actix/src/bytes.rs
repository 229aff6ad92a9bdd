//! How much of unfinished business the gate holds in memory: bodies that are being
//! read, priced, or kept for the handler that they pay for.
//!
//! A body costs its sender nothing, so what all of them may take is bounded, apart
//! for those without a payment, with a signature that nobody has checked further,
//! and of payers with history: none of them can take the others' share. What has
//! arrived is counted, not what was announced, and the first bytes of each body come
//! from a part of their own: long bodies, however slow, never keep short ones out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{GateError, Limits};

/// The first bytes of each body, counted apart.
const SHORT_BYTES: usize = 64 * 1024;

/// The part of a share that is theirs: one in so many.
const SHORT_PART: usize = 4;

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Unpaid,
    Signed,
    Customer,
}

/// The shares of all senders.
pub(crate) struct Budgets {
    unpaid: Budget,
    signed: Budget,
    customers: Budget,
}

struct Budget {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// The bytes of one body; given back when dropped.
#[derive(Default)]
pub(crate) struct Held {
    bytes: usize,
    short: Option<OwnedSemaphorePermit>,
    long: Option<OwnedSemaphorePermit>,
}

impl Budgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        let share = |bytes| Budget::new(bytes, limits.body_bytes_max);
        let half = limits.paid_bytes_max / 2;
        Self { unpaid: share(limits.unpaid_bytes_max), signed: share(half), customers: share(half) }
    }

    /// Counts `more` bytes of a body, or says that there is no room for them.
    pub(crate) fn take(&self, sender: Sender, held: &mut Held, more: usize) -> Result<(), GateError> {
        let budget = match sender {
            Sender::Unpaid => &self.unpaid,
            Sender::Signed => &self.signed,
            Sender::Customer => &self.customers,
        };
        let bytes = held.bytes.saturating_add(more);
        let short = bytes.min(SHORT_BYTES).saturating_sub(held.bytes);
        let full = || GateError::TooManyBytes { paying: sender != Sender::Unpaid };
        add(&budget.short, &mut held.short, short).ok_or_else(full)?;
        add(&budget.long, &mut held.long, more.saturating_sub(short)).ok_or_else(full)?;
        held.bytes = bytes;
        Ok(())
    }
}

impl Budget {
    /// The longest body fits, whatever is configured.
    fn new(bytes: usize, body_max: usize) -> Self {
        let short = (bytes / SHORT_PART).max(SHORT_BYTES);
        let long = bytes.saturating_sub(short).max(body_max);
        let semaphore = |bytes: usize| Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Self { short: semaphore(short), long: semaphore(long) }
    }
}

fn add(from: &Arc<Semaphore>, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Option<()> {
    if bytes == 0 {
        return Some(());
    }
    let more = Arc::clone(from).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn budgets() -> Budgets {
        let limits = Limits { unpaid_bytes_max: 16 * MIB, paid_bytes_max: 32 * MIB, ..Limits::default() };
        Budgets::new(&limits)
    }

    /// Reads a body in pieces, as a connection brings them.
    fn body(budgets: &Budgets, sender: Sender, bytes: usize) -> Option<Held> {
        let mut held = Held::default();
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(10_000);
            budgets.take(sender, &mut held, piece).ok()?;
            left -= piece;
        }
        Some(held)
    }

    #[test]
    fn long_bodies_are_bounded_and_leave_room_for_short_ones() {
        let budgets = budgets();
        let long: Vec<_> = (0..100).filter_map(|_| body(&budgets, Sender::Unpaid, 8 * MIB)).collect();
        assert_eq!(long.len(), 1, "a second one does not fit beside the first");
        let bytes: usize = long.iter().map(|held| held.bytes).sum();
        assert!(bytes <= 16 * MIB);
        let short: Vec<_> = (0..50).filter_map(|_| body(&budgets, Sender::Unpaid, 60_000)).collect();
        assert_eq!(short.len(), 50);
        for sender in [Sender::Signed, Sender::Customer] {
            assert!(body(&budgets, sender, 8 * MIB).is_some(), "their share is their own");
        }
        drop(long);
        assert!(body(&budgets, Sender::Unpaid, 8 * MIB).is_some(), "what was read is given back");
    }

    #[test]
    fn the_longest_body_fits_an_idle_gate_whatever_is_configured() {
        let limits = Limits { unpaid_bytes_max: 1, paid_bytes_max: 1, ..Limits::default() };
        let budgets = Budgets::new(&limits);
        for sender in [Sender::Unpaid, Sender::Signed, Sender::Customer] {
            assert!(body(&budgets, sender, limits.body_bytes_max).is_some(), "{sender:?}");
        }
    }
}
