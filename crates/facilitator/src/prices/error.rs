//! Why a source gave no price.

/// What went wrong with one reading. Never holds an address: it may carry a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    /// Connection, TLS or HTTP trouble.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No complete answer in time.
    #[error("no answer within {0} ms")]
    Timeout(u64),
    /// An answer that is not 200.
    #[error("answered with status {0}")]
    Status(u16),
    /// A body above the limit.
    #[error("answered with more than {0} bytes")]
    TooLong(usize),
    /// HTML, or half a document.
    #[error("the answer is not JSON")]
    NotJson,
    /// A JSON-RPC error.
    #[error("JSON-RPC error {0}")]
    Rpc(i64),
    /// JSON, but not what this kind of source answers.
    #[error("unexpected answer: {0}")]
    Shape(&'static str),
    /// Zero, negative, not a plain decimal, or out of any sensible range.
    #[error("not a price")]
    NotAPrice,
    /// Another pair's feed, or no feed at all.
    #[error("not the {0} feed; check the address")]
    WrongFeed(String),
    /// Pyth's publishers disagree too much.
    #[error("the feed's own uncertainty is above {0} basis points")]
    Uncertain(u64),
}
