//! What can go wrong outside a customer's request.

use quittance_protocol::AmountError;

/// Why a tariff, an offer or a rate could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Not an exact decimal such as `2500.00`, or longer than the limits allow.
    #[error(
        "{what}: {text:?} is not an exact decimal such as \"2500.00\"; write digits with at most one dot"
    )]
    BadDecimal {
        /// What the text was meant to be.
        what: &'static str,
        /// The text, cut to 40 characters.
        text: String,
    },
    /// A rate of zero would give transactions away.
    #[error("a rate must be above zero")]
    ZeroRate,
    /// Below 1 a payment would not cover its cost; above 10 it is a typing error.
    #[error("a markup must be between 1 and 10, such as \"1.25\"")]
    BadMarkup,
    /// The result does not fit 64 bits of atomic units.
    #[error("amount out of range")]
    OutOfRange,
    /// The token does not count in millionths, so `breakdown` would lie.
    #[error("a token with {0} decimals cannot be offered; only tokens with 6 decimals can")]
    Decimals(u32),
    /// An offer of nothing.
    #[error("an offer must ask for at least one atomic unit")]
    NothingToPay,
    /// Terms that cannot be written as JSON.
    #[error("the offer cannot be written as JSON")]
    NoTemplate,
    /// A tariff for another network than the window's.
    #[error("a tariff of {got} was handed to the window of {expected}")]
    WrongNetwork {
        /// The window's network.
        expected: String,
        /// The tariff's network.
        got: String,
    },
}

impl QuoteError {
    /// Whether the same call can succeed later without a change: never, all inputs are values.
    pub const fn retry(&self) -> bool {
        false
    }
}

impl From<AmountError> for QuoteError {
    fn from(_: AmountError) -> Self {
        Self::OutOfRange
    }
}

/// Why a catalogue was not accepted. Every message says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Longer than [`crate::CATALOGUE_BYTES_MAX`].
    #[error("the catalogue is longer than {max} bytes; split it", max = crate::CATALOGUE_BYTES_MAX)]
    TooLong,
    /// Not TOML, or a key or value the language does not have.
    #[error("the catalogue does not parse: {0}")]
    Syntax(String),
    /// Well formed, but it contradicts itself.
    #[error("{place}: {problem}")]
    Rule {
        /// Which table.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl CatalogueError {
    pub(crate) fn rule(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Rule { place: place.into(), problem: problem.into() }
    }

    /// Whether the same text can be accepted later: never.
    pub const fn retry(&self) -> bool {
        false
    }
}
