//! One flight in which copies of one payment are looked up, checked and claimed: one check
//! for all of them.

use quittance_ledger::{DeliveryState, Known};
use tokio::time::Instant;

use crate::chain::Rejection;

/// Nothing can be said of a payment for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotNow {
    /// Why, in one word, as in [`crate::PayOutcome::Unavailable`].
    pub(crate) reason: &'static str,
    /// When to try again.
    pub(crate) retry_after_seconds: u64,
}

/// What the last holder of the flight learned.
#[derive(Default)]
pub(crate) struct SingleFlight {
    /// The chain's refusal of this very signature, shared with copies that
    /// waited behind the one that asked.
    refused: Option<([u8; 32], Rejection)>,
    /// When nobody could be asked or there was no room, and what was said then.
    trouble: Option<(Instant, NotNow)>,
    /// A payment that is delivered, with the newest ticket when its row was read.
    delivered: Option<(u64, Known)>,
}

impl SingleFlight {
    /// Notes what the chain says of a signature.
    pub(crate) fn note_refusal(&mut self, digest: [u8; 32], rejection: &Rejection) {
        self.refused = Some((digest, rejection.clone()));
    }

    /// What the chain said of this very signature. Another one's copies must not hear it:
    /// a signature that was made up says nothing of the payer's own.
    pub(crate) fn refusal_of(&self, digest: &[u8; 32]) -> Option<Rejection> {
        self.refused.as_ref().filter(|(refused, _)| refused == digest).map(|(_, why)| why.clone())
    }

    /// Notes what the ledger said, read when `newest` was the newest ticket, if it is the last
    /// that will be said: whatever is still under way is read for each copy.
    pub(crate) fn note_known(&mut self, newest: u64, known: &Known) {
        if known.payment.delivery == DeliveryState::Delivered {
            self.delivered = Some((newest, known.clone()));
        }
    }

    /// What was read of a delivered payment after `ticket` was drawn: as good as a read of
    /// the copy's own.
    pub(crate) fn delivered_since(&self, ticket: u64) -> Option<Known> {
        self.delivered.as_ref().filter(|(newest, _)| ticket <= *newest).map(|(_, known)| known.clone())
    }

    /// Notes what one who waited out a node or a ceiling is told, for those behind.
    pub(crate) fn note_trouble(&mut self, trouble: NotNow) {
        self.trouble = Some((Instant::now(), trouble));
    }

    /// The same for whoever has waited since `arrived`: each copy would wait as long
    /// again, one behind the other.
    pub(crate) fn trouble_since(&self, arrived: Instant) -> Option<NotNow> {
        self.trouble.filter(|(heard, _)| *heard >= arrived).map(|(_, trouble)| trouble)
    }
}

#[cfg(test)]
mod tests {
    use quittance_protocol::ErrorCode;

    use super::*;

    /// Ten copies behind a node that hangs take as long as one.
    #[test]
    fn whoever_queued_before_trouble_was_heard_hears_it_too_and_who_came_later_asks() {
        let mut flight = SingleFlight::default();
        let queued = Instant::now();
        assert!(flight.trouble_since(queued).is_none());
        let trouble = NotNow { reason: "chain", retry_after_seconds: 5 };
        flight.note_trouble(trouble);
        assert_eq!(flight.trouble_since(queued), Some(trouble));
        let later = Instant::now() + std::time::Duration::from_secs(1);
        assert!(flight.trouble_since(later).is_none(), "another look may find it gone");
    }

    #[test]
    fn a_refusal_is_of_one_signature() {
        let mut flight = SingleFlight::default();
        flight.note_refusal([1; 32], &Rejection::new(ErrorCode::InvalidExactEvmSignature, "made up"));
        assert!(flight.refusal_of(&[1; 32]).is_some());
        assert!(flight.refusal_of(&[2; 32]).is_none(), "the payer's own is asked about");
    }
}
