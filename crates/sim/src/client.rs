//! Somebody who sends a payment, and what it gets.

use quittance_protocol::{ErrorCode, Fingerprint};

/// Somebody who sends a payment, again and again until it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) key: usize,
    /// Which call it is for: the key that was signed for it first.
    pub(crate) call: usize,
    /// Which request: the payer's own is 1.
    pub(crate) request: u64,
    /// Which of the signatures that the payer can make: the usual one is 0.
    pub(crate) digest: u64,
    pub(crate) identifier: Option<String>,
    pub(crate) thief: bool,
    /// The visit after everything: a settled payment must buy something now.
    pub(crate) last: bool,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A fresh answer of the handler.
    Served,
    /// The stored one.
    Replayed,
    /// 5xx: the payment is a credit, or soon will be.
    Failed,
    /// 503, `settlement_pending`.
    Pending,
    /// 402 with a fresh offer.
    Refused(ErrorCode),
    /// 409.
    Conflict(ErrorCode),
    /// 503: ledger or chain unreachable.
    Unavailable,
    /// The connection broke.
    Nothing,
}

/// What a call's payments are bound to.
pub(crate) fn fingerprint(call: usize, request: u64) -> Fingerprint {
    Fingerprint::of_request("POST", "/", &call.to_string(), &request.to_be_bytes())
}

impl Said {
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Failed | Self::Pending | Self::Unavailable | Self::Nothing)
    }
}
