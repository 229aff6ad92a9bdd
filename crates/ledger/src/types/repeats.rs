//! When a claim repeats an earlier payment.

use super::RunLimits;

/// When a claim is answered from an earlier payment instead of becoming one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatPolicy {
    /// Runs that a payment may buy, as for
    /// [`start_delivery`](crate::Ledger::start_delivery).
    pub runs: RunLimits,
    /// Whoever came with a payment that was claimed before this and has not been
    /// served was told that it is pending, or is gone.
    pub waiting_since_ms: i64,
    /// Most aliases of one payment: signing costs a client nothing, a row does.
    pub aliases_max: u32,
}
