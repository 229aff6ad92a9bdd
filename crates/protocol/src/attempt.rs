//! What a chain crate signs, what it may broadcast, and what it may say about it.

use std::fmt;

use serde_json::Value;

/// A signed transaction before it is durable. `Debug` leaves out the bytes.
#[derive(Clone, PartialEq)]
pub struct SignedBytes {
    /// The exact bytes to broadcast.
    pub raw: Vec<u8>,
    /// Transaction hash (Base) or first signature (Solana) of those bytes.
    pub transaction: String,
    /// Gas limit, fee caps, cost bound: for people and for a later fee bump.
    pub detail: Value,
}

impl fmt::Debug for SignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedBytes").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

/// Signed bytes that are already durable.
///
/// The only implementor is the ledger's `Recorded` (and `quittance-ledger`'s
/// tests hold the workspace to that): a chain crate's `send` takes this trait,
/// so bytes that a crash could forget cannot reach a node (invariant I2).
pub trait DurableAttempt: Send + Sync {
    /// The exact bytes to broadcast.
    fn raw_bytes(&self) -> &[u8];
    /// The transaction hash (Base) or first signature (Solana) of those bytes.
    fn transaction(&self) -> &str;
}

/// What is known after handing bytes to a node (invariant I3).
///
/// Unknown is a value, not an error: whoever gets one must keep the nonce and
/// look for the outcome on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The node answered with the transaction's own hash.
    Accepted,
    /// The classification table proves that no node took the bytes.
    Refused {
        /// The node's words, for the journal only.
        reason: String,
    },
    /// Anything else: time-outs, "already known", answers nobody recognises.
    Unknown {
        /// What was seen, for the journal only.
        reason: String,
    },
}
