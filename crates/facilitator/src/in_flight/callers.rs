//! Who came with a payment and waits for it here, and what makes callers one buyer (P7).

use quittance_ledger::{NewClaim, Payment};
use quittance_protocol::{Fingerprint, PaymentKey};

use crate::in_flight::share_key::mixed;

/// The callers of one payment in this process.
#[derive(Default)]
pub(crate) struct Present {
    waiting: usize,
    /// One of them went without an answer.
    left: bool,
}

impl Present {
    pub(crate) fn arrive(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Whether nobody is left of whom one went without an answer.
    pub(crate) fn depart(&mut self, left: bool) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        self.left |= left;
        self.are_gone()
    }

    /// Copies of a payment are one purchase: as long as one of those who brought
    /// it waits, its caller is there.
    pub(crate) fn are_gone(&self) -> bool {
        self.left && self.waiting == 0
    }
}

/// What callers have in common that are one buyer: key, signature and request. A
/// signature is public once it was sent, and whoever shows it must not keep its
/// payer from having left, nor leave in its stead: it does not know the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purchase {
    pub(crate) key: PaymentKey,
    pub(crate) digest: [u8; 32],
    pub(crate) fingerprint: Fingerprint,
}

impl Purchase {
    /// Of a claim that is to be made.
    pub(crate) fn claimed(new: &NewClaim) -> Self {
        Self { key: new.key, digest: new.signature_digest, fingerprint: new.fingerprint }
    }

    /// Of a payment on record.
    pub(crate) fn of(payment: &Payment) -> Self {
        Self { key: payment.key, digest: payment.signature_digest, fingerprint: payment.fingerprint }
    }

    /// The key of the entry that its callers share.
    pub(crate) fn share_key(&self) -> PaymentKey {
        mixed(&mixed(&self.key, &self.digest), self.fingerprint.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_gone_when_the_last_one_is_and_one_left_without_an_answer() {
        let mut callers = Present::default();
        callers.arrive();
        callers.arrive();
        assert!(!callers.depart(true), "a copy still waits");
        assert!(callers.depart(false));
        callers.arrive();
        assert!(!callers.are_gone(), "it came back");
        let mut served = Present::default();
        served.arrive();
        assert!(!served.depart(false), "who was answered did not leave");
    }
}
