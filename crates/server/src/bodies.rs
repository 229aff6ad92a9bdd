//! How much of unfinished bodies is held in memory at once.
//!
//! A body costs its sender nothing, and one that stalls is held until its time is up. The
//! first bytes of each, which are a whole payment of any client that we know, are bounded by
//! the number of connections; what is longer comes out of a budget, of which one client has
//! at most half.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quittance_facilitator::Caller;

/// Bytes of each body that are not counted.
const SHORT_BYTES: usize = 8 * 1024;

/// Bytes beyond them, of all bodies at once.
const LONG_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The part of it that one client has at most: one in so many.
const CALLER_PART: usize = 2;

/// What all bodies take.
#[derive(Clone, Default)]
pub(crate) struct Bodies(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_caller: BTreeMap<Caller, usize>,
}

/// What one body takes; given back when dropped.
pub(crate) struct Held {
    bodies: Bodies,
    caller: Caller,
    arrived: usize,
    counted: usize,
}

impl Bodies {
    /// Nothing yet, of a client's.
    pub(crate) fn begin(&self, caller: Caller) -> Held {
        Held { bodies: self.clone(), caller, arrived: 0, counted: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Counts `more` bytes; whether there is room for them.
    pub(crate) fn add(&mut self, more: usize) -> bool {
        self.arrived = self.arrived.saturating_add(more);
        let wanted = self.arrived.saturating_sub(SHORT_BYTES).saturating_sub(self.counted);
        if wanted == 0 {
            return true;
        }
        let mut taken = self.bodies.taken();
        let all = taken.all.saturating_add(wanted);
        let callers = taken.by_caller.get(&self.caller).copied().unwrap_or(0).saturating_add(wanted);
        // Whom nobody can tell apart is not counted alone.
        let alone = self.caller.address().is_some() && callers > LONG_BYTES_MAX / CALLER_PART;
        if all > LONG_BYTES_MAX || alone {
            return false;
        }
        taken.all = all;
        taken.by_caller.insert(self.caller, callers);
        drop(taken);
        self.counted = self.counted.saturating_add(wanted);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.counted == 0 {
            return;
        }
        let mut taken = self.bodies.taken();
        taken.all = taken.all.saturating_sub(self.counted);
        if let Some(bytes) = taken.by_caller.get_mut(&self.caller) {
            *bytes = bytes.saturating_sub(self.counted);
            if *bytes == 0 {
                taken.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 64 * 1024;

    fn caller(last: u8) -> Caller {
        Caller::at([192, 0, 2, last].into())
    }

    /// Thousands of bodies that stall behind their first 63 KiB, from a few addresses.
    #[test]
    fn bodies_that_stall_take_no_more_than_their_budget() {
        let bodies = Bodies::default();
        let stalled = |last| {
            let mut held = bodies.begin(caller(last));
            held.add(LONG).then_some(held)
        };
        let greedy: Vec<_> = (0..4_000).filter_map(|_| stalled(1)).collect();
        assert_eq!(greedy.len(), LONG_BYTES_MAX / CALLER_PART / (LONG - SHORT_BYTES));
        let others: Vec<_> = (0..4_000).filter_map(|_| stalled(2)).collect();
        assert_eq!(others.len(), greedy.len(), "another one has as much");
        assert!(bodies.taken().all <= LONG_BYTES_MAX);
        // Whoever settles sends less.
        assert!(bodies.begin(caller(1)).add(SHORT_BYTES) && bodies.begin(caller(3)).add(SHORT_BYTES));
        drop((greedy, others));
        assert_eq!(bodies.taken().all, 0, "what was read is given back");
        assert!(bodies.taken().by_caller.is_empty());
        assert!(stalled(1).is_some());
    }

    #[test]
    fn a_body_is_counted_once_however_it_comes() {
        let bodies = Bodies::default();
        let mut held = bodies.begin(caller(1));
        assert!((0..LONG / 100).all(|_| held.add(100)));
        assert_eq!(bodies.taken().all, LONG / 100 * 100 - SHORT_BYTES);
    }
}
