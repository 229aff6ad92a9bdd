//! Signed bytes as the step knows them, and where they stand.

use quittance_ledger::AttemptId;
use quittance_protocol::PaymentId;

/// Signed bytes that are durable, by their number; the lane has the bytes themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) transaction: String,
    /// One, until several share a slot; none of what does nothing.
    pub(crate) payments: Vec<PaymentId>,
    /// The wallet's nonce, where attempts take one: of those that share it one lands.
    pub(crate) nonce: Option<u64>,
}

impl Attempt {
    /// Whether at most one of the two can ever be included.
    pub(crate) fn shares_slot(&self, other: &Self) -> bool {
        self.id == other.id || (self.nonce.is_some() && self.nonce == other.nonce)
    }
}

/// Bytes at a nonce that may not be used yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenSlot {
    pub(crate) attempt: AttemptId,
    pub(crate) nonce: u64,
}
