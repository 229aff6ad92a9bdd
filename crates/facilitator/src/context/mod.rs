//! What every module is handed: ledger, metrics, clock, randomness, the sign to stop.
//!
//! Owns nothing of a payment.
//! May touch: `chain`, `metrics`.
//! A stored payment that cannot be read is stuck until a release runs that can: nothing in this
//! one frees it, and the alert `unreadable_payment` says so ([`stored`]).

pub(crate) mod clock;
pub(crate) mod failpoint;
pub(crate) mod look;
pub(crate) mod random;
pub(crate) mod stored;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use quittance_ledger::Store;
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
use self::random::Random;
use self::stored::Stored;
use crate::metrics::Metrics;

/// Handler runs end when this much of the lease has passed without a heartbeat:
/// the rest is for clocks that disagree and for a run that is slow to stop.
pub(crate) const RUNS_END_AFTER_SIXTHS: u32 = 5;

/// What all modules of one process share.
pub(crate) struct Context {
    pub(crate) ledger: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) stop: CancellationToken,
    /// Payments as the ledger kept them, typed again.
    pub(crate) stored: Stored,
    /// How often this process lost its lease and joined again: what it knew of a payment may have
    /// changed in other hands.
    pub(crate) rejoined: AtomicU64,
}

impl Context {
    /// How much of the lease is left at least while it counts as kept; none where
    /// no other process can exist.
    pub(crate) fn lease_left(&self) -> Option<Duration> {
        let lease_ms = u64::try_from(self.ledger.lease_ms()?).unwrap_or(0);
        Some(Duration::from_millis(lease_ms) / 6 * (6 - RUNS_END_AFTER_SIXTHS))
    }
}
