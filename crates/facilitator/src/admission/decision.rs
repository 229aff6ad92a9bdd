//! What an admission comes to.

use quittance_ledger::{Known, LedgerError, Payment};

use crate::api::Rejection;
use crate::api::receipts::{LEDGER, UNAVAILABLE_RETRY_SECONDS};
use crate::in_flight::single_flight::NotNow;
use crate::metrics::trouble::{self, Trouble};
use crate::network::closed::Closed;

/// What a claim came to.
pub(crate) enum Claimed {
    /// What stands under the key: claimed now or before, or an alias of an earlier payment.
    Known(Known),
    /// Its name is another payment's.
    Named,
    /// This payment has as many aliases as one may.
    Crowded(Payment),
}

impl From<Known> for Claimed {
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

/// What holding a payment's money for who will claim it came to.
pub(crate) enum Held {
    /// It is on record.
    Known(Box<Known>),
    /// It is not, and its money is held.
    Held,
}

impl From<Known> for Held {
    fn from(known: Known) -> Self {
        Self::Known(Box::new(known))
    }
}

/// Why a payment went no further. Nothing was written, nothing was paid.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// It is not good, or not now.
    Refused(Rejection),
    /// A chain, a price or room is missing for the moment.
    NotNow(NotNow),
    /// The ledger was not read: nobody knows whether the payment stands there (P5).
    Unread,
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<Closed> for Stop {
    fn from(closed: Closed) -> Self {
        Self::NotNow(NotNow { reason: closed.as_str(), retry_after_seconds: closed.retry_after_seconds() })
    }
}

impl Stop {
    /// Something is missing that comes back within seconds.
    pub(crate) fn for_now(reason: &'static str) -> Self {
        Self::NotNow(NotNow { reason, retry_after_seconds: UNAVAILABLE_RETRY_SECONDS })
    }

    /// The ledger could not be asked what it has.
    pub(crate) fn unread(error: &LedgerError) -> Self {
        trouble::note(Trouble::Ledger, "", error);
        Self::Unread
    }

    /// The ledger could not take something.
    pub(crate) fn unwritten(error: &LedgerError) -> Self {
        trouble::note(Trouble::Ledger, "", error);
        Self::for_now(LEDGER)
    }
}

/// Why a payment that may be asked about was not taken.
pub(crate) enum NotTaken {
    /// The chain says that it would not land, or nobody may ask it.
    Chain(Rejection),
    /// No ceiling left room for it.
    NoRoom(Stop),
    /// Not with the wallet that its own message names.
    Wallet(Stop),
    /// A chain, a price or the ledger is missing, or another holds the payment.
    Other(Stop),
}
