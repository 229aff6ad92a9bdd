//! Bounded HTTP for feeds: one time limit for everything, one size limit, no
//! redirects (a redirect could lead to a host the operator never chose).

use std::time::Duration;

use quittance_protocol::{Words, foreign_words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::SourceError;

/// Longest answer that is read.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;

/// An HTTP client for feeds.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
    timeout: Duration,
}

#[derive(Deserialize)]
struct RpcAnswer {
    result: Option<Value>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    code: i64,
}

impl Fetcher {
    /// `timeout` bounds a whole reading: connection, headers and body.
    pub(crate) fn new(timeout: Duration) -> Result<Self, SourceError> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quittance/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unreachable)?;
        Ok(Self { client, timeout })
    }

    /// A document.
    pub(crate) async fn get(&self, url: &str) -> Result<Vec<u8>, SourceError> {
        self.body(self.client.get(url)).await.map_err(|error| without(url, error))
    }

    /// The result of one JSON-RPC call.
    pub(crate) async fn rpc(&self, url: &str, method: &str, params: Value) -> Result<Value, SourceError> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = self.body(self.client.post(url).json(&call)).await.map_err(|error| without(url, error))?;
        let answer: RpcAnswer = serde_json::from_slice(&body).map_err(|_| SourceError::NotJson)?;
        if let Some(error) = answer.error {
            return Err(SourceError::Rpc(error.code));
        }
        answer.result.ok_or(SourceError::Shape("no result"))
    }

    async fn body(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, SourceError> {
        let read = async {
            let mut answer = request.send().await.map_err(unreachable)?;
            let status = answer.status().as_u16();
            if status != 200 {
                return Err(SourceError::Status(status));
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
                if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
                    return Err(SourceError::TooLong(BODY_BYTES_MAX));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        let limit_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        tokio::time::timeout(self.timeout, read).await.map_err(|_| SourceError::Timeout(limit_ms))?
    }
}

/// Words of a connection, which lose the address and control characters.
fn without(url: &str, error: SourceError) -> SourceError {
    match error {
        SourceError::Unreachable(words) => {
            SourceError::Unreachable(foreign_words(&Words::of(url).clean(&words)))
        }
        other => other,
    }
}

/// Without the address: it may carry a key.
fn unreachable(error: reqwest::Error) -> SourceError {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    SourceError::Unreachable(format!("{error}{cause}"))
}
