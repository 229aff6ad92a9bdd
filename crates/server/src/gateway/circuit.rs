//! Whether an upstream is sold, from what became of its runs and looks: pure.
//!
//! Strangers hold no switch: of failures that a request may have caused, only those of paid runs
//! count, each payment once. What no request causes, a connection that is refused, always counts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many failures close it, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) failures_max: u32,
    pub(crate) closed: Duration,
    pub(crate) look_failures_max: u32,
    /// Time between two looks.
    pub(crate) look: Duration,
}

/// One upstream's.
pub(crate) struct Circuit {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections refused one after the other.
    refused: u32,
    /// Payments whose runs failed since one succeeded.
    failed: Vec<String>,
    /// Looks that failed one after the other.
    looks: u32,
    closed_until: Option<Instant>,
    /// A connection that was refused closed it: one that is taken opens it.
    by_refusal: bool,
}

impl Circuit {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Seconds until it may be sold again; `None` while it is.
    pub(crate) fn closed_for(&self, now: Instant) -> Option<u64> {
        let state = self.state();
        let looks = (state.looks >= self.limits.look_failures_max).then_some(self.limits.look);
        let failures = state.closed_until.and_then(|until| until.checked_duration_since(now));
        let left = looks.max(failures).filter(|left| !left.is_zero())?;
        Some(left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1))
    }

    /// Whether it is because of connections that nobody took.
    pub(crate) fn is_closed_by_refusal(&self, now: Instant) -> bool {
        let state = self.state();
        state.by_refusal && state.closed_until.is_some_and(|until| until > now)
    }

    /// Nobody took the connection.
    pub(crate) fn refused(&self, now: Instant) {
        let mut state = self.state();
        state.refused = state.refused.saturating_add(1);
        if state.refused >= self.limits.failures_max {
            self.close(&mut state, now, true);
        }
    }

    /// Somebody did.
    pub(crate) fn taken(&self) {
        let mut state = self.state();
        state.refused = 0;
        if state.by_refusal {
            (state.closed_until, state.by_refusal) = (None, false);
        }
    }

    /// The run of a payment failed.
    pub(crate) fn failed(&self, payment: &str, now: Instant) {
        let mut state = self.state();
        if !state.failed.iter().any(|known| known == payment) {
            state.failed.push(payment.to_owned());
            if state.failed.len() >= as_count(self.limits.failures_max) {
                self.close(&mut state, now, false);
            }
        }
    }

    /// A run succeeded.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        let looks = state.looks;
        *state = State { looks, ..State::default() };
    }

    /// What a look at its health found.
    pub(crate) fn looked(&self, well: bool) {
        let mut state = self.state();
        state.looks = if well { 0 } else { state.looks.saturating_add(1) };
    }

    /// Before anybody paid: one look that fails is enough.
    pub(crate) fn looked_first(&self, well: bool) {
        self.state().looks = if well { 0 } else { self.limits.look_failures_max };
    }

    /// Nothing is sold from now on, without failures to wait for.
    pub(crate) fn refused_first(&self, now: Instant) {
        self.close(&mut self.state(), now, true);
    }

    /// When its time is up it is sold again, and one more failure closes it again.
    fn close(&self, state: &mut State, now: Instant, by_refusal: bool) {
        let almost = self.limits.failures_max.saturating_sub(1);
        state.closed_until = now.checked_add(self.limits.closed);
        state.by_refusal = by_refusal;
        state.refused = almost;
        state.failed.truncate(as_count(almost));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn circuit() -> (Circuit, Instant) {
        let limits = Limits { failures_max: 3, closed: 10 * SECOND, look_failures_max: 2, look: 5 * SECOND };
        (Circuit::new(limits), Instant::now())
    }

    #[tokio::test]
    async fn failures_of_one_payment_are_one() {
        let (circuit, now) = circuit();
        for _ in 0..10 {
            circuit.failed("a", now);
            circuit.failed("b", now);
        }
        assert_eq!(circuit.closed_for(now), None);
        circuit.succeeded();
        circuit.failed("c", now);
        circuit.failed("d", now);
        assert_eq!(circuit.closed_for(now), None, "a success in between");
        circuit.failed("e", now);
        assert_eq!(circuit.closed_for(now), Some(10));
        assert_eq!(circuit.closed_for(now + 9 * SECOND), Some(1));
        assert_eq!(circuit.closed_for(now + 10 * SECOND), None);
    }

    #[tokio::test]
    async fn one_more_failure_closes_it_again_and_a_success_opens_it() {
        let (circuit, now) = circuit();
        ["a", "b", "c"].iter().for_each(|payment| circuit.failed(payment, now));
        let later = now + 11 * SECOND;
        assert_eq!(circuit.closed_for(later), None);
        circuit.failed("d", later);
        assert_eq!(circuit.closed_for(later), Some(10));
        circuit.succeeded();
        assert_eq!(circuit.closed_for(later), None);
        circuit.failed("e", later);
        assert_eq!(circuit.closed_for(later), None, "it begins anew");
    }

    #[tokio::test]
    async fn a_connection_that_is_taken_opens_what_refused_ones_closed() {
        let (circuit, now) = circuit();
        for _ in 0..3 {
            circuit.refused(now);
        }
        assert!(circuit.closed_for(now).is_some());
        circuit.taken();
        assert_eq!(circuit.closed_for(now), None);
        ["a", "b", "c"].iter().for_each(|payment| circuit.failed(payment, now));
        circuit.taken();
        assert!(circuit.closed_for(now).is_some(), "not what failed runs closed");
    }

    #[tokio::test]
    async fn looks_close_and_open_it_whatever_runs_do() {
        let (circuit, now) = circuit();
        circuit.looked(false);
        assert_eq!(circuit.closed_for(now), None);
        circuit.looked(false);
        circuit.succeeded();
        assert_eq!(circuit.closed_for(now), Some(5));
        circuit.looked(true);
        assert_eq!(circuit.closed_for(now), None);
        ["a", "b", "c"].iter().for_each(|payment| circuit.failed(payment, now));
        circuit.looked(true);
        assert!(circuit.closed_for(now).is_some(), "health says nothing of runs");
        circuit.looked_first(false);
        circuit.succeeded();
        assert_eq!(circuit.closed_for(now), Some(5));
    }
}
