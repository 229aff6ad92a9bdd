//! Why a node gave no result.

use serde_json::Value;

/// Why a JSON-RPC call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// No connection, or it broke; the request may have arrived.
    #[error("transport: {0}")]
    Transport(String),
    /// No answer in time; the request may have arrived.
    #[error("no answer in time")]
    Timeout,
    /// An HTTP status instead of an answer.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The node's own error.
    #[error("{code}: {message}")]
    JsonRpc {
        /// JSON-RPC code.
        code: i64,
        /// The node's words, bounded, on one line and without the endpoint's URL.
        message: String,
        /// `error.data` where that is bytes, e.g. of a revert.
        data: Option<Value>,
    },
    /// The endpoint's provider was asked too much; no word about what was asked.
    #[error("asked too much: {0}")]
    Limited(String),
    /// The endpoint serves another chain, so it was not asked.
    #[error("the endpoint serves chain {found}, not {expected}")]
    WrongChain {
        /// Chain id of the configuration.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// The endpoint wants to be left alone for a moment, so it was not asked.
    #[error("the endpoint asked to be left alone for a moment")]
    Paused,
    /// Not JSON-RPC, or not the shape that was asked for.
    #[error("the node's answer is no {0}")]
    BadAnswer(&'static str),
}
