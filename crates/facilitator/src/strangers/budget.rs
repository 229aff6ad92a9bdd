//! How often something may fail, by key, before whoever causes it is held back.

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
#[derive(Clone)]
struct RuntimeClock {
    start: Instant,
}

impl Clock for RuntimeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.start.elapsed())
    }
}

type Rate<K> = RateLimiter<K, DashMapStateStore<K>, RuntimeClock, NoOpMiddleware<Nanos>>;

/// Failures that each key may cause: a number at once, and a rate. Success costs nothing.
pub(crate) struct Budget<K: Clone + Ord + Eq + std::hash::Hash> {
    rate: Rate<K>,
    /// Until when a key that used its budget up is held back.
    held: Mutex<Recent<K, Instant>>,
    /// Held back at least so long, so that nobody swings in and out.
    hold_min: Duration,
    failures: AtomicUsize,
}

impl<K: Clone + Ord + Eq + std::hash::Hash> Budget<K> {
    pub(crate) fn new(burst: u32, per_minute: u32, hold_min: Duration) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let (burst, per_minute) = (at_least_one(burst), at_least_one(per_minute));
        let pause = MINUTE.checked_div(per_minute.get()).unwrap_or(MINUTE);
        let quota = Quota::with_period(pause).unwrap_or(Quota::per_minute(per_minute)).allow_burst(burst);
        let clock = RuntimeClock { start: Instant::now() };
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
        let wait = match self.rate.check_key(key) {
            // So many callers at once are one caller.
            Ok(()) if self.rate.len() > KEYS_MAX => self.hold_min,
            Ok(()) => return,
            Err(not_until) => not_until.wait_time_from(self.rate.clock().now()),
        };
        let until = Instant::now() + wait.max(self.hold_min);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).put(key.clone(), until);
    }

    /// How long a key is still held back.
    pub(crate) fn held(&self, key: &K) -> Option<Duration> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get(key)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_beyond_the_budget_hold_their_key_back_and_no_other() {
        let budget = Budget::new(5, 60, Duration::from_secs(10));
        for _ in 0..5 {
            budget.failed(&"a");
            assert_eq!(budget.held(&"a"), None);
        }
        budget.failed(&"a");
        assert!(budget.held(&"a").is_some());
        assert_eq!(budget.held(&"b"), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(budget.held(&"a"), None);
        for _ in 0..5 {
            budget.failed(&"a");
        }
        assert_eq!(budget.held(&"a"), None, "a minute's worth comes back");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_forgotten() {
        let budget = Budget::new(5, 60, Duration::from_secs(1));
        for key in 0..200_000_usize {
            budget.failed(&key);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(budget.rate.len() <= KEYS_MAX, "{}", budget.rate.len());
    }
}
