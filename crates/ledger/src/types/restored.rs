//! What is said of a ledger that was restored from a copy.

use quittance_protocol::PaymentId;

/// What the copy knows, and what was withheld of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The newest payment that it has, and when that was claimed; what came later is forgotten.
    pub newest: Option<(PaymentId, i64)>,
    /// When its journal ends.
    pub last_ms: Option<i64>,
    /// Payments without a verdict: they go on to theirs.
    pub open: u64,
    /// Payments of a gate for which nothing runs any more.
    pub withheld: u64,
    /// Payments of which no foreign server is told any more.
    pub told: u64,
}
