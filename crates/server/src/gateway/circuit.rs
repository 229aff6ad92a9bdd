//! Whether an upstream is sold, from what became of its runs and looks: pure.
//!
//! Strangers hold no switch. Of failures that a request may have caused, only those of paid runs
//! count: each payment once for as long as it is remembered, and several payments of one payer as
//! one. What no request causes, a connection that is refused, always counts; and that an upstream
//! asks for a pause is the upstream's own word.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Payments that are remembered to have counted, the newest ones. A payment whose run fails again
/// after so many others failed counts once more, which costs whoever wants it so many payments.
const COUNTED_MAX: usize = 4_096;

/// How many failures close it, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) failures_max: u32,
    pub(crate) closed: Duration,
    /// The longest pause that an upstream may ask for.
    pub(crate) pause_max: Duration,
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
    /// A connection that is taken ends it.
    refused_until: Option<Instant>,
    /// Payments that counted, the newest last. Nothing forgets them but their number: a payment
    /// that counted again after each success, or each time it closed, would be a switch.
    counted: VecDeque<String>,
    /// Payers whose runs failed since one succeeded, or since they closed it.
    failing: BTreeSet<String>,
    /// A run that succeeds ends it.
    failed_until: Option<Instant>,
    /// Nothing but time ends it.
    paused_until: Option<Instant>,
    /// Looks that failed one after the other.
    looks: u32,
}

impl Circuit {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Seconds until it may be sold again; `None` while it is.
    pub(crate) fn closed_for(&self, now: Instant) -> Option<u64> {
        let state = self.state();
        let looks = (state.looks >= self.limits.look_failures_max).then_some(self.limits.look);
        let until = [state.refused_until, state.failed_until, state.paused_until];
        let until = until.into_iter().flatten().filter_map(|until| until.checked_duration_since(now));
        let left = until.chain(looks).max().filter(|left| !left.is_zero())?;
        Some(left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1))
    }

    /// Whether it is because of connections that nobody took.
    pub(crate) fn is_closed_by_refusal(&self, now: Instant) -> bool {
        self.state().refused_until.is_some_and(|until| until > now)
    }

    /// Nobody took the connection of a request that nobody paid for.
    pub(crate) fn refused(&self, now: Instant) {
        let mut state = self.state();
        state.refused = state.refused.saturating_add(1);
        if state.refused >= self.limits.failures_max {
            state.refused_until = now.checked_add(self.limits.closed);
        }
    }

    /// Nobody took the connection of a paid run, or of a look: nothing is sold from now on, and
    /// nobody else pays for a run that cannot begin.
    pub(crate) fn refused_at_once(&self, now: Instant) {
        self.state().refused_until = now.checked_add(self.limits.closed);
    }

    /// Somebody did.
    pub(crate) fn taken(&self) {
        let mut state = self.state();
        (state.refused, state.refused_until) = (0, None);
    }

    /// The run of a payment failed.
    pub(crate) fn failed(&self, payment: &str, payer: &str, now: Instant) {
        let mut state = self.state();
        if state.counted.iter().any(|known| known == payment) {
            return;
        }
        state.counted.push_back(payment.to_owned());
        if state.counted.len() > COUNTED_MAX {
            state.counted.pop_front();
        }
        // Runs that were under way when it closed say nothing of what comes after.
        if state.failed_until.is_some_and(|until| until > now) {
            return;
        }
        state.failing.insert(payer.to_owned());
        if state.failing.len() >= as_count(self.limits.failures_max) {
            state.failing.clear();
            state.failed_until = now.checked_add(self.limits.closed);
        }
    }

    /// A run succeeded.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        (state.refused, state.refused_until, state.failed_until) = (0, None, None);
        state.failing.clear();
    }

    /// The upstream asked a paid run to come back later. Said before the run counts as failed: one
    /// payment brings one pause.
    pub(crate) fn asked_to_pause(&self, payment: &str, seconds: u64, now: Instant) {
        let pause = Duration::from_secs(seconds).min(self.limits.pause_max);
        let mut state = self.state();
        if state.counted.iter().any(|known| known == payment) {
            return;
        }
        state.paused_until = state.paused_until.max(now.checked_add(pause));
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
