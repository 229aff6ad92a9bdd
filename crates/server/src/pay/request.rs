//! The request, sent byte for byte the same each time.

use std::time::Duration;

use quittance_protocol::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE, decode_header};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use super::PayArgs;
use crate::CommandError;

/// Longest answer body that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Pause before the same payment is sent again, unless the server names one.
const RETRY_SECONDS: u64 = 2;

/// Longest pause that a server may ask for.
const RETRY_SECONDS_MAX: u64 = 30;

pub(super) struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    pub(super) fn from_args(args: &PayArgs) -> Result<Self, CommandError> {
        let body = match &args.data {
            None => Vec::new(),
            Some(data) => match data.strip_prefix('@') {
                Some(path) => std::fs::read(path).map_err(|error| format!("{path}: {error}"))?,
                None => data.clone().into_bytes(),
            },
        };
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for header in &args.header {
            let (name, value) = header.split_once(':').ok_or("write headers as 'Name: value'")?;
            headers.insert(HeaderName::try_from(name.trim())?, HeaderValue::from_str(value.trim())?);
        }
        let method = match (&args.method, &args.data) {
            (Some(method), _) => method.parse()?,
            (None, Some(_)) => Method::POST,
            (None, None) => Method::GET,
        };
        Ok(Self { method, url: args.url.clone(), headers, body })
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) async fn send(
        &self,
        client: &Client,
        payment: Option<&str>,
    ) -> Result<Response, CommandError> {
        let mut request = client
            .request(self.method.clone(), &self.url)
            .headers(self.headers.clone())
            .body(self.body.clone());
        if let Some(payment) = payment {
            request = request.header(PAYMENT_SIGNATURE, payment);
        }
        Ok(request.send().await?)
    }

    /// Sends the same payment until somebody knows how it ended. Neither a broken
    /// connection nor a gateway's error says anything about the payment: giving up
    /// and paying anew could pay twice.
    pub(super) async fn send_until_known(
        &self,
        client: &Client,
        payment: &str,
        wait_seconds: u64,
    ) -> Result<Response, CommandError> {
        let until = tokio::time::Instant::now() + Duration::from_secs(wait_seconds);
        loop {
            let answer = self.send(client, Some(payment)).await;
            let pause = match &answer {
                Ok(response) if leaves_it_open(response) => {
                    tracing::info!(status = %response.status(), "not decided; sending the same payment again");
                    retry_after(response)
                }
                Ok(_) => return answer,
                Err(error) => {
                    tracing::warn!(%error, "no answer; sending the same payment again");
                    Duration::from_secs(RETRY_SECONDS)
                }
            };
            if tokio::time::Instant::now() + pause >= until {
                tracing::warn!(
                    "the outcome is still unknown: the payment may have been taken, so look before you pay again"
                );
                return answer;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Whether the answer leaves open what became of the payment, or says itself that
/// the same one may be sent again.
fn leaves_it_open(response: &Response) -> bool {
    let status = response.status();
    let says_again = receipt_of(response).is_some_and(|receipt| {
        receipt.get("retry_action").and_then(Value::as_str) == Some("retry_same_payment")
            || receipt.get("errorReason").and_then(Value::as_str) == Some("settlement_pending")
    });
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
        || (!status.is_success() && says_again)
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(RETRY_SECONDS);
    Duration::from_secs(seconds.clamp(1, RETRY_SECONDS_MAX))
}

/// Said of an answer that points elsewhere.
pub(super) fn moved(response: &Response) -> String {
    let place = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
    format!(
        "the endpoint answers {} and points to {place}; no payment is sent there: give that URL if you mean it",
        response.status().as_u16()
    )
}

pub(super) fn receipt_of(response: &Response) -> Option<Value> {
    // Any facilitator's receipt is shown, also one with codes we do not know.
    let text = response.headers().get(PAYMENT_RESPONSE)?.to_str().ok()?;
    decode_header::<Value>(text).ok()
}

pub(super) async fn body_of(mut response: Response) -> Result<Vec<u8>, CommandError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err("the answer is longer than is read".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
