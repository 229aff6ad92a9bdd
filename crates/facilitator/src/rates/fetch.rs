//! Bounded HTTP for feeds: one time limit for everything, one size limit, no
//! redirects (a redirect could lead to a host the operator never chose).

use std::time::Duration;

use quittance_protocol::{Words, foreign_words};
use quittance_rpc::{HttpEndpoint, HttpFailure, HttpLimits, Said};
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::prices::error::SourceError;

/// Longest answer that is read.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;

/// An HTTP client for feeds.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: reqwest::Client,
    timeout: Duration,
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
        let limits = HttpLimits { timeout_ms: self.timeout_ms(), answer_bytes_max: BODY_BYTES_MAX };
        let endpoint = HttpEndpoint::over(self.client.clone(), url, limits);
        let endpoint = endpoint.ok_or_else(|| SourceError::Unreachable("not an HTTP URL".to_owned()))?;
        let params = to_raw_value(&params).map_err(|_| SourceError::NotJson)?;
        let reply = endpoint.call(method, &params).await.map_err(|failure| match failure {
            HttpFailure::Transport(words) => SourceError::Unreachable(words),
            HttpFailure::Timeout => SourceError::Timeout(limits.timeout_ms),
        })?;
        if reply.status != 200 {
            return Err(SourceError::Status(reply.status));
        }
        match reply.said {
            Said::Result { result, .. } if result.get() != "null" => {
                serde_json::from_str(result.get()).map_err(|_| SourceError::NotJson)
            }
            Said::Error(error) => Err(SourceError::Rpc(error.code.unwrap_or(0))),
            // What others say in the status.
            Said::Limited { .. } => Err(SourceError::Status(429)),
            Said::TooLong => Err(SourceError::TooLong(BODY_BYTES_MAX)),
            Said::NotJson => Err(SourceError::NotJson),
            Said::Result { .. } | Said::Neither { .. } => Err(SourceError::Shape("no result")),
        }
    }

    fn timeout_ms(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
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
        let limit_ms = self.timeout_ms();
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
