//! JSON-RPC: a small trait, and HTTP without retries, fallbacks or races.
//!
//! A retrying or racing transport is unsafe for sends (it turns one answer into another) and hides
//! which endpoint a piece of evidence came from (I7), so whoever calls decides what happens next.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quittance_protocol::{Tally, Words};
use serde_json::{Value, json};

use crate::classify;
use crate::config::RPC_ANSWER_BYTES_MAX;
use crate::logs::LogRange;
use crate::text;

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
    /// The endpoint serves another chain, so it was not asked.
    #[error("the endpoint serves chain {found}, not {expected}")]
    WrongChain {
        /// Chain id of the configuration.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// Not JSON-RPC, or not the shape that was asked for.
    #[error("the node's answer is no {0}")]
    BadAnswer(&'static str),
}

impl RpcError {
    /// Whether another endpoint might do better: the fault is the endpoint's, not the question's. Only
    /// a call that was run and failed is the question's: providers use every code for their limits.
    pub fn is_endpoint_fault(&self) -> bool {
        !classify::is_execution_failure(self)
    }
}

/// One endpoint.
#[async_trait::async_trait]
pub trait Rpc: Send + Sync {
    /// One request, one answer, no retry.
    async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError>;

    /// How many blocks of logs this endpoint answers for at once, as it has shown so far.
    fn log_range(&self) -> &LogRange;

    /// Which methods it answers, where that is counted.
    fn tally(&self) -> Option<&Tally> {
        None
    }

    /// Its host, where it has one; never the rest of its URL.
    fn host(&self) -> &str {
        ""
    }
}

/// One endpoint over HTTP.
pub struct HttpRpc {
    client: reqwest::Client,
    url: reqwest::Url,
    words: Words,
    next_id: AtomicU64,
    log_range: LogRange,
}

impl HttpRpc {
    /// An endpoint with a time limit per call.
    pub fn new(url: &str, timeout_ms: u64) -> Result<Self, RpcError> {
        let words = Words::of(url);
        let url: reqwest::Url = url.parse().map_err(|_| RpcError::Transport("not a URL".to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RpcError::Transport("not an HTTP URL".to_owned()));
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(timeout_ms))
            .connect_timeout(Duration::from_millis(timeout_ms))
            .tcp_nodelay(true)
            // A redirect would send signed bytes somewhere nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| transport(error, &words))?;
        Ok(Self { client, url, words, next_id: AtomicU64::new(1), log_range: LogRange::default() })
    }
}

impl fmt::Debug for HttpRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path and query of an RPC URL are credentials.
        write!(f, "HttpRpc({})", self.words.host())
    }
}

#[async_trait::async_trait]
impl Rpc for HttpRpc {
    async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let answer = self.client.post(self.url.clone()).json(&request).send().await;
        let answer = answer.map_err(|error| transport(error, &self.words))?;
        let status = answer.status();
        let body = read_bounded(answer, &self.words).await?;
        match serde_json::from_slice::<Value>(&body) {
            // Some providers put a JSON-RPC error under a 4xx; its words are still the node's. A 5xx
            // is a gateway's and proves nothing.
            Ok(value) if !status.is_server_error() => match read_answer(value, id, &self.words) {
                Err(RpcError::BadAnswer(_)) if !status.is_success() => Err(RpcError::Http(status.as_u16())),
                other => other,
            },
            _ if !status.is_success() => Err(RpcError::Http(status.as_u16())),
            _ => Err(RpcError::BadAnswer("JSON")),
        }
    }

    fn log_range(&self) -> &LogRange {
        &self.log_range
    }

    fn host(&self) -> &str {
        self.words.host()
    }
}

/// The one place where a node's words come in: they leave it clean.
fn read_answer(mut value: Value, id: u64, words: &Words) -> Result<Value, RpcError> {
    if let Some(error) = value.get_mut("error").filter(|e| !e.is_null()) {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or(0);
        // Some gateways put their words where the object should be.
        let message = error.get("message").unwrap_or(error).as_str().map(|text| words.clean(text));
        let message = message.unwrap_or_default();
        let is_bytes = |data: &Value| data.as_str().is_some_and(|text| text::data(&json!(text)).is_ok());
        let data = error.get_mut("data").map(Value::take).filter(is_bytes);
        return Err(RpcError::JsonRpc { code, message, data });
    }
    if value.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(RpcError::BadAnswer("answer to this request"));
    }
    let mut result =
        value.get_mut("result").map(Value::take).ok_or(RpcError::BadAnswer("JSON-RPC answer"))?;
    words.clean_result(&mut result);
    Ok(result)
}

async fn read_bounded(mut answer: reqwest::Response, words: &Words) -> Result<Vec<u8>, RpcError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| transport(error, words))? {
        if body.len().saturating_add(chunk.len()) > RPC_ANSWER_BYTES_MAX {
            return Err(RpcError::BadAnswer("answer within the size limit"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn transport(error: reqwest::Error, words: &Words) -> RpcError {
    if error.is_timeout() {
        RpcError::Timeout
    } else {
        RpcError::Transport(words.clean(&error.without_url().to_string()))
    }
}

#[cfg(test)]
mod tests;
