//! What is to be recorded: payments, a slot, and who signs.

use std::collections::BTreeMap;
use std::fmt;

use quittance_protocol::{PaymentId, SignedBytes};

use crate::error::LedgerError;
use crate::types::{AttemptId, PaymentState, Slot};

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
    pub(crate) terms: Terms,
    pub(crate) sign: SignFn,
}

/// Whom it is for, and what must hold for it to be recorded.
#[derive(Debug)]
pub(crate) struct Terms {
    /// In the order in which they are in the transaction.
    pub(crate) payments: Vec<PaymentId>,
    /// Where each of them must stand: a first attempt is for what was claimed and
    /// nothing else, or an answer that was lost would cost a second nonce.
    pub(crate) from: PaymentState,
    /// The newest attempt of each that its caller knows; none of a first one.
    pub(crate) newest: BTreeMap<PaymentId, AttemptId>,
    pub(crate) slot: Slot,
    /// The most that it may cost, in wei or lamports; zero where nobody looks.
    pub(crate) cost: u128,
    /// What all nonces of the network together may take of the unwedging budget within a day, where
    /// this attempt may draw on it.
    pub(crate) unwedge_day: Option<u64>,
}

impl Terms {
    /// Whether what is not reserved for its payments may come from the unwedging budget.
    pub(crate) fn may_unwedge(&self) -> bool {
        self.unwedge_day.is_some() && matches!(self.slot, Slot::Same { .. })
    }
}

impl NewAttempt {
    /// A claimed payment's first attempt, at the wallet's next nonce.
    pub fn numbered(payment: &PaymentId, wallet: &str, sign: SignFn) -> Self {
        Self::batch(std::slice::from_ref(payment), wallet, sign)
    }

    /// The first attempt of several claimed payments of one network, in one
    /// transaction at the wallet's next nonce.
    pub fn batch(payments: &[PaymentId], wallet: &str, sign: SignFn) -> Self {
        Self::first(payments, Slot::Fresh { wallet: wallet.to_owned() }, sign)
    }

    /// A claimed payment's bytes that need no wallet nonce (Solana).
    pub fn unnumbered(payment: &PaymentId, signed: SignedBytes) -> Self {
        Self::first(std::slice::from_ref(payment), Slot::Unnumbered, Box::new(move |_| Ok(signed)))
    }

    fn first(payments: &[PaymentId], slot: Slot, sign: SignFn) -> Self {
        let (payments, from) = (payments.to_vec(), PaymentState::Claimed);
        Self {
            terms: Terms { payments, from, newest: BTreeMap::new(), slot, cost: 0, unwedge_day: None },
            sign,
        }
    }

    /// A further attempt for payments that are recorded already, each with the newest attempt
    /// of it that the caller knows: at a fresh nonce, or at the same one (a fee bump). It is
    /// refused ([`LedgerError::AttemptBeside`]) where another one was recorded since, by a
    /// process that had the payment meanwhile or by a commit whose answer was lost; and at a
    /// fresh nonce while what became of an earlier one is not in the ledger (I10). With no
    /// payments and [`Slot::Same`] it is a no-op that fills the slot.
    pub fn again(payments: &[(PaymentId, AttemptId)], slot: Slot, sign: SignFn) -> Self {
        let newest: BTreeMap<_, _> = payments.iter().cloned().collect();
        let payments = payments.iter().map(|(payment, _)| payment.clone()).collect();
        let from = PaymentState::Recorded;
        Self { terms: Terms { payments, from, newest, slot, cost: 0, unwedge_day: None }, sign }
    }

    /// What it may cost at most, in wei or lamports. It is recorded only while as much is
    /// reserved for its payments ([`LedgerError::NotReserved`]): whoever had them meanwhile may
    /// have given back what its caller believes in (P3).
    #[must_use]
    pub fn costing(self, native: u128) -> Self {
        Self { terms: Terms { cost: native, ..self.terms }, sign: self.sign }
    }

    /// What replaces another one may cost beyond what is reserved for its payments: the rest is
    /// taken from what all nonces of the network may take within a day, until it is final what the
    /// nonce cost ([`Ledger::close_replaced`](crate::Ledger::close_replaced)). Without room there it
    /// is refused ([`LedgerError::UnwedgeSpent`]).
    #[must_use]
    pub fn unwedging(self, day_native: u64) -> Self {
        Self { terms: Terms { unwedge_day: Some(day_native), ..self.terms }, sign: self.sign }
    }

    /// The payments in it: one, several for a batch, none for a no-op.
    pub fn payments(&self) -> &[PaymentId] {
        &self.terms.payments
    }

    /// Whether its payments have none yet.
    pub fn is_first(&self) -> bool {
        self.terms.from == PaymentState::Claimed
    }

    /// Where its nonce comes from.
    pub fn slot(&self) -> &Slot {
        &self.terms.slot
    }

    /// Gives the attempt up and signs it all the same: bytes that no ledger has,
    /// for those who test that nobody sends them.
    pub fn sign(self, nonce: u64) -> Result<SignedBytes, String> {
        (self.sign)(nonce)
    }

    /// What is wrong with it is said before anybody looks at the lease.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        let Terms { payments, slot, .. } = &self.terms;
        let nothing = payments.is_empty() && !matches!(slot, Slot::Same { .. });
        if nothing || payments.len() > BATCH_PAYMENTS_MAX {
            return Err(LedgerError::OutOfRange { field: "payments" });
        }
        Ok(())
    }
}

impl fmt::Debug for NewAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAttempt").field("terms", &self.terms).finish_non_exhaustive()
    }
}
