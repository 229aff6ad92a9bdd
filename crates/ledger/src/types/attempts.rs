//! Signed transactions and the nonces that they use.

use std::fmt;

/// Number of an attempt (a signed transaction) within a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub(crate) i64);

impl AttemptId {
    /// The number, as journal lines show it.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where the nonce of a further attempt comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The wallet's next nonce.
    Fresh {
        /// The wallet.
        wallet: String,
    },
    /// The nonce of this attempt, which the new one replaces.
    Same {
        /// The attempt.
        attempt: AttemptId,
    },
    /// None (Solana); the signer is given 0.
    Unnumbered,
}
