//! What every room is handed: ledger, metrics, clock, randomness, the sign to stop.
//!
//! Owns nothing of a payment. May touch: `metrics`, the ports.
//! Nothing gets stuck here; [`crate::metrics::trouble`] says what fails elsewhere, once per episode.

pub(crate) mod clock;
pub(crate) mod failpoint;
pub(crate) mod look;
pub(crate) mod random;
pub(crate) mod stored;

use std::sync::Arc;

use quittance_ledger::Store;
use tokio_util::sync::CancellationToken;

use self::clock::Clock;
use self::random::Random;
use self::stored::Stored;
use crate::metrics::Metrics;

/// What all rooms of one process share.
pub(crate) struct Context {
    pub(crate) ledger: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) stop: CancellationToken,
    /// Payments as the ledger kept them, typed again.
    pub(crate) stored: Stored,
}
