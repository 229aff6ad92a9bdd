//! Types that only the ledger makes, so that having one is a proof.

use std::fmt;
use std::ops::Deref;

use quittance_protocol::{DurableAttempt, Network, PaymentId, SignedBytes};

use crate::repeats::Known;
use crate::types::{AttemptId, Payment};

/// Proof that this caller won the race for a payment key (invariant I1).
///
/// Comes out of [`Ledger::claim`](crate::Ledger::claim) alone and cannot be copied.
pub struct Claim(pub(crate) Box<Payment>);

impl Claim {
    /// Gives up the proof and keeps the payment.
    pub fn into_payment(self) -> Payment {
        *self.0
    }
}

impl Deref for Claim {
    type Target = Payment;

    fn deref(&self) -> &Payment {
        &self.0
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.0).finish()
    }
}

/// What became of a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The key was free and is ours.
    Won(Claim),
    /// The key was claimed before, or made an alias; what stands under it.
    Exists(Box<Known>),
    /// It is answered from an earlier payment from now on.
    Aliased(Box<Known>),
    /// What its payer calls this purchase names another payment of theirs.
    Named(Box<Payment>),
    /// It would be answered from this payment, which has as many aliases as one may.
    Crowded(Box<Payment>),
}

/// Signed bytes that are durable: the only thing a chain crate sends (invariant I2).
///
/// Comes out of the ledger alone, after COMMIT. `Debug` leaves out the bytes.
pub struct Recorded {
    pub(crate) attempt: AttemptId,
    pub(crate) payments: Vec<PaymentId>,
    pub(crate) network: Network,
    pub(crate) wallet: Option<String>,
    pub(crate) nonce: Option<u64>,
    pub(crate) signed: SignedBytes,
    pub(crate) replaces: Option<AttemptId>,
    pub(crate) at_ms: i64,
}

impl Recorded {
    /// Number of the attempt.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The payments in it: one, several for a batch, none for a no-op.
    pub fn payments(&self) -> &[PaymentId] {
        &self.payments
    }

    /// The network it is for.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The wallet whose nonce it uses; none on Solana.
    pub fn wallet(&self) -> Option<&str> {
        self.wallet.as_deref()
    }

    /// The wallet nonce it uses; none on Solana.
    pub fn nonce(&self) -> Option<u64> {
        self.nonce
    }

    /// Gas limit, fee caps, cost bound, as the signer gave them.
    pub fn detail(&self) -> &serde_json::Value {
        &self.signed.detail
    }

    /// The attempt at the same nonce that this one replaces.
    pub fn replaces(&self) -> Option<AttemptId> {
        self.replaces
    }

    /// When it was recorded.
    pub fn at_ms(&self) -> i64 {
        self.at_ms
    }
}

impl DurableAttempt for Recorded {
    fn raw_bytes(&self) -> &[u8] {
        &self.signed.raw
    }

    fn transaction(&self) -> &str {
        &self.signed.transaction
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("attempt", &self.attempt)
            .field("payments", &self.payments)
            .field("wallet", &self.wallet)
            .field("nonce", &self.nonce)
            .field("transaction", &self.signed.transaction)
            .finish_non_exhaustive()
    }
}
