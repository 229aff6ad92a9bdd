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

/// A nonce whose attempt was replaced, and of which it is not final which attempt used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedSlot {
    /// Whose.
    pub wallet: String,
    /// Which.
    pub nonce: u64,
    /// What it takes of the day's unwedging budget, in wei.
    pub native: u64,
    /// When it was replaced last.
    pub at_ms: i64,
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
