//! What foreign servers may be told of a payment.

use quittance_protocol::{Amount, Fingerprint, Network, PaymentKey};

use crate::types::Payment;

/// What [`crate::Ledger::begin_merchant_answer`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantAnswer {
    /// The asker, and nobody else, may say `success: true`.
    Begun {
        /// How often it may have been said then, from 1.
        telling: u32,
    },
    /// Somebody else is saying it just now.
    Busy,
    /// It was told, or may have been as often as is allowed.
    Told,
}

/// What became of a `success: true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantAnswerEnd {
    /// The connection took it to the last byte.
    Told,
    /// The connection closed meanwhile: somebody may have read it.
    Lost,
    /// Nothing of it left this process.
    Unsaid,
}

impl MerchantAnswerEnd {
    /// Its name in the journal.
    pub(crate) const fn event(self) -> &'static str {
        match self {
            Self::Told => "merchant_answered",
            Self::Lost => "merchant_answer_lost",
            Self::Unsaid => "merchant_answer_unsaid",
        }
    }
}

/// What [`crate::Ledger::lease_merchant_check`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantCheck {
    /// The asker, and nobody else for the time of the lease, hears `isValid`.
    Leased,
    /// Somebody else holds the lease, or is being told.
    Busy,
    /// As [`MerchantAnswer::Told`].
    Told,
}

/// What a foreign server asks about while nobody has claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCheck {
    /// Which authorization.
    pub key: PaymentKey,
    /// Where.
    pub network: Network,
    /// Who signed it.
    pub payer: String,
    /// What it takes from its source.
    pub amount: Amount,
    /// Merchant and terms, as a claim would bind them.
    pub fingerprint: Fingerprint,
    /// As of a claim.
    pub signature_digest: [u8; 32],
    /// The merchant with a row of its own, whose limits a claim would have to fit.
    pub merchant: Option<String>,
}

/// How long, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTerms {
    /// For how long the money is held.
    pub lease_ms: i64,
    /// Authorizations of one source that are held at once.
    pub leases_max: u32,
}

/// What [`crate::Ledger::lease_new_check`] says.
#[derive(Clone, Debug)]
pub enum NewCheckLease {
    /// The money is held; the asker may hear `isValid`.
    Leased,
    /// The money is held for another signature over this authorization, or for
    /// another sale of it: they cannot both land.
    Other,
    /// It was claimed meanwhile.
    Known(Box<Payment>),
}
