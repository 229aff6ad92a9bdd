//! One endpoint, and what its answers over HTTP mean on Solana. Tests put their own [`Rpc`] in the place
//! of a node.

use quittance_protocol::Words;
use quittance_rpc::{HttpEndpoint, HttpFailure, HttpLimits, NodeError, Pause, Reply, Said, Tally};
use serde_json::Value;
use serde_json::value::to_raw_value;

/// Largest answer that is read, in bytes.
pub const RPC_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// JSON-RPC code of Agave for a transaction that failed its preflight.
const PREFLIGHT: i64 = -32002;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcFailure {
    /// The node answered with a JSON-RPC error.
    #[error("error {code}: {message}")]
    Node {
        /// JSON-RPC error code.
        code: i64,
        /// The node's words, bounded, on one line and without the endpoint's URL.
        message: String,
    },
    /// The node ran a transaction that it was to pass on, and says how it failed.
    #[error("error {PREFLIGHT}: {message}")]
    Preflight {
        /// The node's words, shortened.
        message: String,
        /// Name of the transaction error, as `InstructionError`.
        failed: String,
    },
    /// HTTP status other than success, without a JSON-RPC answer.
    #[error("HTTP status {status}")]
    Http {
        /// The status.
        status: u16,
    },
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The endpoint's provider was asked too much: no word about the method, which read as one would
    /// call an endpoint one that keeps no history.
    #[error("asked too much: {words}")]
    Limited {
        /// The provider's own.
        words: String,
    },
    /// The endpoint serves another cluster, so it was not asked.
    #[error("the endpoint serves the cluster of genesis {found}")]
    WrongCluster {
        /// Genesis hash of the node.
        found: String,
    },
    /// The endpoint wants to be left alone for a moment, so it was not asked.
    #[error("the endpoint asked to be left alone for a moment")]
    Paused,
    /// The connection failed.
    #[error("connection failed: {reason}")]
    Transport {
        /// What the HTTP client says, without the URL (it may hold a key).
        reason: String,
    },
    /// The answer is not what that method answers.
    #[error("unreadable answer to {method}")]
    Malformed {
        /// RPC method.
        method: &'static str,
    },
}

/// One Solana JSON-RPC endpoint: what solana-client's client is put over.
#[async_trait::async_trait]
pub trait Rpc: Send + Sync {
    /// Calls `method` once; the answer is the JSON-RPC `result`.
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure>;

    /// Which methods it answers, where that is counted.
    fn tally(&self) -> Option<&Tally> {
        None
    }

    /// Until when it wants to be left alone, where it can say so.
    fn pause(&self) -> Option<&Pause> {
        None
    }

    /// Whether it has answered for its cluster and nothing broke since, where that is known.
    fn is_heard(&self) -> bool {
        true
    }

    /// Its host, where it has one; never the rest of its URL.
    fn host(&self) -> &str {
        ""
    }
}

/// An endpoint over HTTP.
#[derive(Debug)]
pub struct HttpRpc {
    endpoint: HttpEndpoint,
}

impl HttpRpc {
    /// `None` when the URL is none or the HTTP client cannot be built.
    pub fn new(url: &str, timeout_ms: u64) -> Option<Self> {
        let limits = HttpLimits { timeout_ms, answer_bytes_max: RPC_ANSWER_BYTES_MAX };
        Some(Self { endpoint: HttpEndpoint::new(url, limits)? })
    }

    /// Whether the endpoint is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.endpoint.is_loopback()
    }
}

#[async_trait::async_trait]
impl Rpc for HttpRpc {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        let params = to_raw_value(&params).map_err(|_| RpcFailure::Malformed { method })?;
        let reply = self.endpoint.call(method, &params).await.map_err(|failure| match failure {
            HttpFailure::Timeout => RpcFailure::Timeout,
            HttpFailure::Transport(reason) => RpcFailure::Transport { reason },
        })?;
        read_reply(method, reply, self.endpoint.words())
    }

    fn pause(&self) -> Option<&Pause> {
        Some(self.endpoint.pause())
    }

    fn host(&self) -> &str {
        self.endpoint.host()
    }
}

/// What an HTTP status and a body mean together on Solana: what is JSON-RPC is the node's word under any
/// status.
fn read_reply(method: &'static str, reply: Reply, words: &Words) -> Result<Value, RpcFailure> {
    let failure = match reply.said {
        Said::Limited { words } => return Err(RpcFailure::Limited { words }),
        Said::TooLong => return Err(RpcFailure::Malformed { method }),
        Said::Result { result, .. } => {
            return serde_json::from_str(result.get()).map_err(|_| RpcFailure::Malformed { method });
        }
        Said::Error(NodeError { code: Some(code), message, data }) => {
            let failed = data.as_ref().and_then(|data| data.get("err")).and_then(name_of);
            return Err(match failed.filter(|_| code == PREFLIGHT) {
                Some(failed) => RpcFailure::Preflight { message, failed: words.clean(failed) },
                None => RpcFailure::Node { code, message },
            });
        }
        Said::Error(_) | Said::Neither { .. } | Said::NotJson => RpcFailure::Malformed { method },
    };
    match reply.status {
        200..300 => Err(failure),
        status => Err(RpcFailure::Http { status }),
    }
}

/// A transaction error is a word, or an object with the word as its only key.
fn name_of(error: &Value) -> Option<&str> {
    error.as_str().or_else(|| error.as_object()?.keys().next().map(String::as_str))
}

#[cfg(test)]
mod tests;
