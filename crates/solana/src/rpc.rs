//! JSON-RPC to one endpoint: one call, one request, one answer.
//!
//! No retries and no polling here: what matters is counted and decided by the
//! caller. Tests put their own [`Rpc`] in the place of a node.

use std::time::Duration;

use quittance_protocol::{Tally, Words};
use serde_json::{Value, json};

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
    /// The endpoint serves another cluster, so it was not asked.
    #[error("the endpoint serves the cluster of genesis {found}")]
    WrongCluster {
        /// Genesis hash of the node.
        found: String,
    },
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

/// One Solana JSON-RPC endpoint.
#[async_trait::async_trait]
pub trait Rpc: Send + Sync {
    /// Calls `method` once; the answer is the JSON-RPC `result`.
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure>;

    /// Which methods it answers, where that is counted.
    fn tally(&self) -> Option<&Tally> {
        None
    }

    /// Its host, where it has one; never the rest of its URL.
    fn host(&self) -> &str {
        ""
    }
}

/// An endpoint over HTTP.
pub struct HttpRpc {
    client: reqwest::Client,
    url: reqwest::Url,
    words: Words,
}

impl HttpRpc {
    /// `None` when the URL is none or the HTTP client cannot be built.
    pub fn new(url: &str, timeout_ms: u64) -> Option<Self> {
        let words = Words::of(url);
        let url = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .ok()?;
        Some(Self { client, url, words })
    }

    fn transport(&self, error: reqwest::Error) -> RpcFailure {
        if error.is_timeout() {
            return RpcFailure::Timeout;
        }
        RpcFailure::Transport { reason: self.words.clean(&error.without_url().to_string()) }
    }

    /// Whether the endpoint is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let address = host.parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    }
}

#[async_trait::async_trait]
impl Rpc for HttpRpc {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.client.post(self.url.clone()).json(&request).send().await;
        let mut answer = answer.map_err(|error| self.transport(error))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.transport(error))? {
            if body.len().saturating_add(chunk.len()) > RPC_ANSWER_BYTES_MAX {
                return Err(RpcFailure::Malformed { method });
            }
            body.extend_from_slice(&chunk);
        }
        match read_answer(method, &body, &self.words) {
            Err(RpcFailure::Malformed { .. }) if !status.is_success() => {
                Err(RpcFailure::Http { status: status.as_u16() })
            }
            other => other,
        }
    }

    fn host(&self) -> &str {
        self.words.host()
    }
}

/// The one place where a node's words come in: they leave it clean.
fn read_answer(method: &'static str, body: &[u8], words: &Words) -> Result<Value, RpcFailure> {
    let malformed = || RpcFailure::Malformed { method };
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let code = error.get("code").and_then(Value::as_i64).ok_or_else(malformed)?;
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let message = words.clean(message);
        return Err(match error.pointer("/data/err").and_then(name_of).filter(|_| code == PREFLIGHT) {
            Some(failed) => RpcFailure::Preflight { message, failed: words.clean(failed) },
            None => RpcFailure::Node { code, message },
        });
    }
    let mut result = answer.get_mut("result").map(Value::take).ok_or_else(malformed)?;
    words.clean_result(&mut result);
    Ok(result)
}

/// A transaction error is a word, or an object with the word as its only key.
fn name_of(error: &Value) -> Option<&str> {
    error.as_str().or_else(|| error.as_object()?.keys().next().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_results_errors_or_malformed() {
        let read = |text: &str| read_answer("getSlot", text.as_bytes(), &Words::default());
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":5}"#), Ok(json!(5)));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":null}"#), Ok(Value::Null));
        assert_eq!(
            read(
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"Node is behind by 42 slots"}}"#
            ),
            Err(RpcFailure::Node { code: -32005, message: "Node is behind by 42 slots".into() })
        );
        for bad in ["", "<html>", "[]", "{}", r#"{"error":{"message":"no code"}}"#] {
            assert_eq!(read(bad), Err(RpcFailure::Malformed { method: "getSlot" }), "{bad}");
        }
    }

    #[test]
    fn a_node_that_repeats_its_url_gives_away_no_key() {
        let words = Words::of("https://rpc.example.org/v1/5f0c9b7a3e21d864");
        let said =
            r#"{"error":{"code":-32000,"message":"https://rpc.example.org/v1/5f0c9b7a3e21d864\r\nERROR"}}"#;
        let expected = RpcFailure::Node { code: -32000, message: "rpc.example.org  ERROR".into() };
        assert_eq!(read_answer("getSlot", said.as_bytes(), &words), Err(expected));
        let result =
            r#"{"result":{"value":{"err":"no quota at https://rpc.example.org/v1/5f0c9b7a3e21d864"}}}"#;
        let clean = json!({"value": {"err": "no quota at rpc.example.org"}});
        assert_eq!(read_answer("simulateTransaction", result.as_bytes(), &words), Ok(clean));
    }

    #[test]
    fn only_http_urls_are_endpoints() {
        assert!(HttpRpc::new("http://127.0.0.1:8899", 1_000).is_some());
        for bad in ["", "127.0.0.1:8899", "ws://127.0.0.1:8900", "file:///etc/passwd"] {
            assert!(HttpRpc::new(bad, 1_000).is_none(), "{bad}");
        }
    }
}
