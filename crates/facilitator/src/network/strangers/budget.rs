//! How often something may fail, by key, before whoever causes it is held back.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::recent::Recent;

/// Keys that are remembered. A caller with more addresses than that is beyond what
/// limits per address can do.
const KEYS_MAX: usize = 65_536;

/// Failures between two looks for keys that may be forgotten.
const SWEEP_AFTER: usize = 4_096;

const MINUTE: Duration = Duration::from_secs(60);

/// The runtime's clock, so that a simulated world has one time only.
pub(crate) struct RuntimeClock {
    start: Instant,
}

impl Clock for RuntimeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.start.elapsed())
    }
}

/// What a budget counts by.
pub(crate) trait Key: Clone + Ord + Hash {}

impl<K: Clone + Ord + Hash> Key for K {}

/// Failures that each key may cause: a number at once, and a rate. Success costs nothing.
pub(crate) struct Budget<K: Key, C: Clock<Instant = Nanos> = RuntimeClock> {
    rate: RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<Nanos>>,
    /// Until when a key that used its budget up is held back.
    held: Mutex<Recent<K, Nanos>>,
    /// Held back at least so long, so that nobody swings in and out.
    hold_min: Duration,
    failures: AtomicUsize,
}

impl<K: Key> Budget<K> {
    pub(crate) fn new(burst: u32, per_minute: u32, hold_min: Duration) -> Self {
        Self::with_clock(burst, per_minute, hold_min, RuntimeClock { start: Instant::now() })
    }
}

impl<K: Key, C: Clock<Instant = Nanos>> Budget<K, C> {
    fn with_clock(burst: u32, per_minute: u32, hold_min: Duration, clock: C) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let (burst, per_minute) = (at_least_one(burst), at_least_one(per_minute));
        let pause = MINUTE.checked_div(per_minute.get()).unwrap_or(MINUTE);
        let quota = Quota::with_period(pause).unwrap_or(Quota::per_minute(per_minute)).allow_burst(burst);
        Self {
            rate: RateLimiter::new(quota, DashMapStateStore::default(), clock),
            held: Mutex::new(Recent::new(KEYS_MAX)),
            hold_min,
            failures: AtomicUsize::new(0),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, key: &K) {
        if self.failures.fetch_add(1, Ordering::Relaxed) % SWEEP_AFTER == SWEEP_AFTER - 1 {
            self.rate.retain_recent();
        }
        let now = self.rate.clock().now();
        let wait = match self.rate.check_key(key) {
            // So many callers at once are one caller.
            Ok(()) if self.rate.len() > KEYS_MAX => self.hold_min,
            Ok(()) => return,
            Err(not_until) => not_until.wait_time_from(now),
        };
        let until = now + Nanos::from(wait.max(self.hold_min));
        self.held.lock().unwrap_or_else(PoisonError::into_inner).put(key.clone(), until);
    }

    /// How long a key is still held back.
    pub(crate) fn held(&self, key: &K) -> Option<Duration> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = Duration::from(held.get(key)?.saturating_sub(self.rate.clock().now()));
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn failures_beyond_the_budget_hold_their_key_back_and_no_other() {
        let clock = FakeRelativeClock::default();
        let budget = Budget::with_clock(5, 60, Duration::from_secs(10), clock.clone());
        for _ in 0..5 {
            budget.failed(&"a");
            assert_eq!(budget.held(&"a"), None);
        }
        budget.failed(&"a");
        assert!(budget.held(&"a").is_some());
        assert_eq!(budget.held(&"b"), None);
        clock.advance(Duration::from_secs(10));
        assert_eq!(budget.held(&"a"), None);
        for _ in 0..5 {
            budget.failed(&"a");
        }
        assert_eq!(budget.held(&"a"), None, "a minute's worth comes back");
    }

    #[test]
    fn keys_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let budget = Budget::with_clock(5, 60, Duration::from_secs(1), clock.clone());
        for key in 0..200_000_usize {
            budget.failed(&key);
            clock.advance(Duration::from_millis(1));
        }
        assert!(budget.rate.len() <= KEYS_MAX, "{}", budget.rate.len());
    }
}
