//! What foreign servers may be told of a settled payment.

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
