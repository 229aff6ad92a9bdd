//! What is looked for on a chain, and how far the chain has come.

use quittance_protocol::{Amount, Deadline, Landing, PaymentKey};

use crate::{NotConnected, Verified};

/// A chain could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("chain unreachable: {0}")]
pub struct ChainFault(pub String);

impl From<NotConnected> for ChainFault {
    fn from(error: NotConnected) -> Self {
        Self(error.to_string())
    }
}

/// The chain's opinion about a payment, from one call.
#[derive(Clone, Copy, Debug)]
pub struct ChainView {
    /// Block (or slot) to search for the payment from.
    pub watch_from: u64,
    /// Which endpoint said so, where a later question must go to the same one.
    pub endpoint: usize,
    /// What the payment's source holds at that block; `None` where nothing says so.
    pub balance: Option<Amount>,
    /// Whether code of the payer's decides what becomes of the payment.
    pub by_code: bool,
}

/// The transaction that used an authorization up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its hash or signature.
    pub transaction: String,
    /// Whether the payer took the authorization back; else it moved money.
    pub canceled: bool,
}

/// One payment in the shared poller's list.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which payment.
    pub key: PaymentKey,
    /// What was checked, and is to land.
    pub payment: Verified,
    /// Hashes of our attempts, oldest first.
    pub transactions: Vec<String>,
    /// A transaction that somebody else says has settled it: where to look, and no more. It may be
    /// any transaction, also one from before the claim.
    pub named: Option<String>,
    /// Wallet nonce of the newest attempt.
    pub nonce: Option<u64>,
    /// Whose nonce that is.
    pub wallet: Option<String>,
    /// Block (or slot) to search from.
    pub watch_from: u64,
    /// When it can no longer land.
    pub deadline: Deadline,
}

/// A settled payment whose landing may not be final yet.
#[derive(Clone, Debug)]
pub struct Landed {
    /// Which payment.
    pub key: PaymentKey,
    /// What was checked, and has landed.
    pub payment: Verified,
    /// Where it was seen last.
    pub landing: Landing,
    /// Block (or slot) to search from, should it be gone.
    pub watch_from: u64,
    /// When it can no longer land.
    pub deadline: Deadline,
}

/// How far a chain has come, in blocks (or slots).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heights {
    /// Newest one.
    pub latest: u64,
    /// Newest finalized one.
    pub finalized: u64,
}
