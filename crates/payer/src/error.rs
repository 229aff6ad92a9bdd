use quittance_evm::EvmError;
use quittance_protocol::HeaderError;
use quittance_solana::SolanaError;

/// Why nothing was bought, or why it is not known whether something was.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The request cannot be made as it is.
    #[error("{0}")]
    Request(String),
    /// No connection, or it broke; of an unpaid request, so nothing was signed.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// Nothing came back from who carries the request; nothing was signed.
    #[error("{0}")]
    NotCarried(String),
    /// The endpoint does not speak x402, or says what cannot be read.
    #[error("{0}")]
    NotX402(String),
    /// A header that is not one.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Nothing that is offered may be paid.
    #[error("no offer can be paid; {0}")]
    NoOffer(String),
    /// A limit of [`crate::Limits`] forbids it; nothing was signed.
    #[error("{0}")]
    Limit(String),
    /// The host's own callback forbade it.
    #[error("the price of {0} was not approved")]
    NotApproved(String),
    /// Base signing failed.
    #[error(transparent)]
    Evm(#[from] EvmError),
    /// Solana signing failed.
    #[error(transparent)]
    Solana(#[from] SolanaError),
    /// The endpoint points elsewhere; no payment follows.
    #[error(
        "the endpoint answers {status} and points to {place}; no payment is sent there: give that URL if you mean it"
    )]
    Moved {
        /// 3xx.
        status: u16,
        /// The `Location` header.
        place: String,
    },
    /// The payment was sent and nobody said how it ended.
    #[error(
        "the outcome is unknown: the payment may have been taken ({0}); the same request sends the same payment again"
    )]
    Unknown(String),
    /// Payments under way or the day's spending cannot be kept.
    #[error("the payer's state in {path}: {problem}")]
    State {
        /// Which file or folder.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The answer is longer than is read; it was paid for.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}
