//! How much of unfinished business the gate holds in memory: bodies that are being
//! read, priced, or kept for the handler that they pay for.
//!
//! A body costs its sender nothing, so what all of them may take is bounded, apart
//! for those without a payment, with a signature that nobody has checked further,
//! and of payers with history: none of them can take the others' share. What has
//! arrived is counted, not what was announced, and the first bytes of each body come
//! from a part of their own: long bodies, however slow, never keep short ones out. One
//! client has at most half of a part, so that none of them keeps all others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::bytes::Bytes;
use quittance_facilitator::{Caller, Place};
use quittance_protocol::Fingerprint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::GateError;
use crate::limits::Limits;

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
    short: Part,
    long: Part,
}

/// Bytes that all clients share, and what each has of them.
#[derive(Clone)]
struct Part {
    all: Arc<Semaphore>,
    one_max: usize,
    by_caller: Arc<Mutex<BTreeMap<Caller, usize>>>,
}

/// Bytes of a part; given back when dropped.
struct Taken {
    part: Part,
    caller: Caller,
    bytes: usize,
    permit: OwnedSemaphorePermit,
}

/// The bytes of one body; given back when dropped.
#[derive(Default)]
pub(crate) struct Held {
    caller: Caller,
    bytes: usize,
    short: Option<Taken>,
    long: Option<Taken>,
}

impl Held {
    /// Nothing yet, of a client's.
    pub(crate) fn of(caller: Caller) -> Self {
        Self { caller, ..Self::default() }
    }
}

/// A body that waits for its handler, with the bytes that it is counted for. Copies
/// of one payment share one.
#[derive(Clone)]
pub(crate) struct SharedBody {
    fingerprint: Fingerprint,
    pub(crate) bytes: Bytes,
    _held: Arc<Held>,
}

impl SharedBody {
    pub(crate) fn new(fingerprint: Fingerprint, bytes: Bytes, held: Arc<Held>) -> Self {
        Self { fingerprint, bytes, _held: held }
    }

    /// The one that the copies in this place have, if it is the same.
    pub(crate) fn in_place(self, place: &Place<Self>) -> Self {
        let mut shared = place.shared();
        match &*shared {
            Some(first) if first.fingerprint == self.fingerprint => first.clone(),
            Some(_) => self,
            None => shared.insert(self).clone(),
        }
    }
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
        let room = budget.short.add(held.caller, &mut held.short, short);
        let long = more.saturating_sub(short);
        if room.and_then(|()| budget.long.add(held.caller, &mut held.long, long)).is_none() {
            // It is refused, and nothing of it is kept.
            *held = Held::of(held.caller);
            return Err(GateError::TooManyBytes { paying: sender != Sender::Unpaid });
        }
        held.bytes = bytes;
        Ok(())
    }
}

impl Budget {
    /// The longest body fits, whatever is configured.
    fn new(bytes: usize, body_max: usize) -> Self {
        let short = (bytes / SHORT_PART).max(SHORT_BYTES);
        let long = bytes.saturating_sub(short).max(body_max);
        Self { short: Part::new(short, SHORT_BYTES), long: Part::new(long, body_max) }
    }
}

impl Part {
    fn new(bytes: usize, body_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            one_max: (bytes / 2).max(body_max),
            by_caller: Arc::default(),
        }
    }

    fn add(&self, caller: Caller, held: &mut Option<Taken>, bytes: usize) -> Option<()> {
        if bytes == 0 {
            return Some(());
        }
        let permit = Arc::clone(&self.all).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        // Whom nobody can tell apart is not counted alone.
        if caller != Caller::default() {
            let mut callers = self.by_caller.lock().unwrap_or_else(PoisonError::into_inner);
            let used = callers.get(&caller).copied().unwrap_or(0).saturating_add(bytes);
            if used > self.one_max {
                return None;
            }
            callers.insert(caller, used);
        }
        match held {
            Some(held) => {
                held.bytes = held.bytes.saturating_add(bytes);
                held.permit.merge(permit);
            }
            None => *held = Some(Taken { part: self.clone(), caller, bytes, permit }),
        }
        Some(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut callers = self.part.by_caller.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = callers.get_mut(&self.caller) {
            *used = used.saturating_sub(self.bytes);
            if *used == 0 {
                callers.remove(&self.caller);
            }
        }
    }
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

    /// One that announces many bodies and stalls behind their first bytes shuts out nobody else.
    #[test]
    fn one_client_has_half_of_what_all_share() {
        let budgets = budgets();
        let (greedy, other) = (Caller::at([192, 0, 2, 1].into()), Caller::at([192, 0, 2, 2].into()));
        let stalled = |caller| {
            let mut held = Held::of(caller);
            budgets.take(Sender::Unpaid, &mut held, SHORT_BYTES).ok().map(|()| held)
        };
        let taken: Vec<_> = (0..1_000).filter_map(|_| stalled(greedy)).collect();
        assert_eq!(taken.len(), 16 * MIB / SHORT_PART / 2 / SHORT_BYTES);
        assert!(stalled(other).is_some(), "half is left");
        drop(taken);
        assert!(stalled(greedy).is_some(), "what was taken is given back");
    }
}
