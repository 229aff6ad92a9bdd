//! What is to be recorded: payments, a slot, and who signs.

use std::fmt;

use quittance_protocol::{PaymentId, SignedBytes};

use crate::error::LedgerError;
use crate::types::{PaymentState, Slot};

/// Most payments in one attempt.
pub const BATCH_PAYMENTS_MAX: usize = 256;

/// Signs for the nonce it is given; runs inside the SQL transaction that
/// reserves the nonce, so it must neither block nor do I/O.
pub type SignFn = Box<dyn FnOnce(u64) -> Result<SignedBytes, String> + Send>;

/// A transaction that is signed and recorded in one commit by
/// [`Ledger::record`](crate::Ledger::record) (invariant I2).
///
/// `Debug` leaves out the signer.
pub struct NewAttempt {
    /// In the order in which they are in the transaction.
    pub(crate) payments: Vec<PaymentId>,
    /// Where each of them must stand: a first attempt is for what was claimed and
    /// nothing else, or an answer that was lost would cost a second nonce.
    pub(crate) from: PaymentState,
    pub(crate) slot: Slot,
    pub(crate) sign: SignFn,
}

impl NewAttempt {
    /// A claimed payment's first attempt, at the wallet's next nonce.
    pub fn numbered(payment: &PaymentId, wallet: &str, sign: SignFn) -> Self {
        Self::batch(std::slice::from_ref(payment), wallet, sign)
    }

    /// The first attempt of several claimed payments of one network, in one
    /// transaction at the wallet's next nonce.
    pub fn batch(payments: &[PaymentId], wallet: &str, sign: SignFn) -> Self {
        let slot = Slot::Fresh { wallet: wallet.to_owned() };
        Self { payments: payments.to_vec(), from: PaymentState::Claimed, slot, sign }
    }

    /// A claimed payment's bytes that need no wallet nonce (Solana).
    pub fn unnumbered(payment: &PaymentId, signed: SignedBytes) -> Self {
        let sign: SignFn = Box::new(move |_| Ok(signed));
        let (payments, from) = (vec![payment.clone()], PaymentState::Claimed);
        Self { payments, from, slot: Slot::Unnumbered, sign }
    }

    /// Another attempt for payments that are recorded already: at a fresh nonce,
    /// or at the same one (a fee bump). With no payments and [`Slot::Same`] it is a
    /// no-op that fills the slot.
    pub fn again(payments: &[PaymentId], slot: Slot, sign: SignFn) -> Self {
        Self { payments: payments.to_vec(), from: PaymentState::Recorded, slot, sign }
    }

    /// The payments in it: one, several for a batch, none for a no-op.
    pub fn payments(&self) -> &[PaymentId] {
        &self.payments
    }

    /// Whether its payments have none yet.
    pub fn is_first(&self) -> bool {
        self.from == PaymentState::Claimed
    }

    /// Where its nonce comes from.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Gives the attempt up and signs it all the same: bytes that no ledger has,
    /// for those who test that nobody sends them.
    pub fn sign(self, nonce: u64) -> Result<SignedBytes, String> {
        (self.sign)(nonce)
    }

    /// What is wrong with it is said before anybody looks at the lease.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        let nothing = self.payments.is_empty() && !matches!(self.slot, Slot::Same { .. });
        if nothing || self.payments.len() > BATCH_PAYMENTS_MAX {
            return Err(LedgerError::OutOfRange { field: "payments" });
        }
        Ok(())
    }
}

impl fmt::Debug for NewAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAttempt")
            .field("payments", &self.payments)
            .field("from", &self.from)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
