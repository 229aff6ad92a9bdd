//! JSON-RPC over HTTP: one request, one answer, no retry, no redirect.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quittance_protocol::{Words, foreign_words};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::limited;
use crate::node_error::NodeError;
use crate::pause::{Pause, TOO_MANY_REQUESTS};

/// How long and how much one endpoint may answer.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// From the connection to the last byte, in milliseconds.
    pub timeout_ms: u64,
    /// Longest answer that is read, in bytes.
    pub answer_bytes_max: usize,
}

/// Why there is no answer; the request may have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// No connection, or it broke; the HTTP client's words without the URL.
    Transport(String),
    /// No answer in time.
    Timeout,
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What the body says.
    pub said: Said,
}

/// What an answer's body says, whatever its HTTP status: what the two mean together differs between
/// chains.
#[derive(Debug)]
pub enum Said {
    /// `result`, as it was written but for the URL that it was asked at.
    Result {
        /// JSON text.
        result: Box<RawValue>,
        /// Whether `id` is the request's.
        answers_this: bool,
    },
    /// `error`.
    Error(NodeError),
    /// The provider was asked too much, and says so by 429 or by an `error` under any status: no word
    /// about what was asked.
    Limited {
        /// Its own, clean.
        words: String,
    },
    /// JSON with neither.
    Neither {
        /// Whether `id` is the request's.
        answers_this: bool,
    },
    /// Not JSON.
    NotJson,
    /// More than [`HttpLimits::answer_bytes_max`], so it was not read.
    TooLong,
}

/// One endpoint over HTTP.
pub struct HttpEndpoint {
    client: reqwest::Client,
    url: reqwest::Url,
    words: Words,
    limits: HttpLimits,
    next_id: AtomicU64,
    pause: Pause,
}

mod many;

pub use many::Replies;

impl fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path and query of an RPC URL are credentials.
        write!(f, "HttpEndpoint({})", self.words.host())
    }
}

impl HttpEndpoint {
    /// `None` when the URL is not one of HTTP, or no HTTP client can be built.
    pub fn new(url: &str, limits: HttpLimits) -> Option<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(limits.timeout_ms))
            .tcp_nodelay(true)
            // A redirect would send signed bytes somewhere nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .ok()?;
        Self::over(client, url, limits)
    }

    /// The same over a client of the caller's, which must not follow redirects.
    pub fn over(client: reqwest::Client, url: &str, limits: HttpLimits) -> Option<Self> {
        let words = Words::of(url);
        let url = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        Some(Self { client, url, words, limits, next_id: AtomicU64::new(1), pause: Pause::default() })
    }

    /// Its host; never the rest of its URL.
    pub fn host(&self) -> &str {
        self.words.host()
    }

    /// What cleans words of this endpoint that did not come through [`Self::call`]'s own.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Until when it wants to be left alone, as its answers said. Who calls obeys it.
    pub fn pause(&self) -> &Pause {
        &self.pause
    }

    /// Whether the endpoint is on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let address = host.parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    }

    /// One request, one answer. `params` is JSON text, an array.
    pub async fn call(&self, method: &str, params: &RawValue) -> Result<Reply, HttpFailure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let Answer { status, retry_after, body } = self.post(request(id, method, params)).await?;
        let said = body.map(|body| body.map_or(Said::TooLong, |body| read(&body, id, &self.words)));
        let limit = match &said {
            Ok(Said::Error(error)) if limited::is_limit(error) => Some(error),
            _ => None,
        };
        self.pause.hear_answer(status, retry_after.as_deref(), limit.map(limited::said_for));
        let is_limit = status == TOO_MANY_REQUESTS || limit.is_some();
        let said = match said? {
            said if !is_limit => said,
            Said::Error(error) => Said::Limited { words: error.to_string() },
            _ => Said::Limited { words: format!("HTTP status {status}") },
        };
        Ok(Reply { status, said })
    }

    /// One HTTP request and what came back.
    async fn post(&self, request: String) -> Result<Answer, HttpFailure> {
        let sent = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .timeout(Duration::from_millis(self.limits.timeout_ms))
            .body(request)
            .send()
            .await;
        let mut answer = sent.map_err(|error| self.failure(error))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = self.body(&mut answer).await;
        Ok(Answer { status, retry_after, body })
    }

    /// `None`: it is longer than is read.
    async fn body(&self, answer: &mut reqwest::Response) -> Result<Option<Vec<u8>>, HttpFailure> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failure(error))? {
            if body.len().saturating_add(chunk.len()) > self.limits.answer_bytes_max {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    fn failure(&self, error: reqwest::Error) -> HttpFailure {
        if error.is_timeout() {
            return HttpFailure::Timeout;
        }
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        HttpFailure::Transport(foreign_words(&self.words.clean(&format!("{error}{cause}"))))
    }
}

/// An answer over HTTP whose status counts although its body may be missing.
struct Answer {
    status: u16,
    retry_after: Option<String>,
    /// `None`: longer than is read.
    body: Result<Option<Vec<u8>>, HttpFailure>,
}

/// The text of one request.
fn request(id: u64, method: &str, params: &RawValue) -> String {
    let (method, params) = (Value::from(method), params.get());
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Value,
    /// `null` is a result.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Value,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The one place where a node's words come in: they leave it clean.
fn read(body: &[u8], id: u64, words: &Words) -> Said {
    let mut answer: Envelope<'_> = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) if error.is_data() && serde_json::from_slice::<&RawValue>(body).is_ok() => {
            return Said::Neither { answers_this: false };
        }
        Err(_) => return Said::NotJson,
    };
    if !answer.error.is_null() {
        let error = &mut answer.error;
        let code = error.get("code").and_then(Value::as_i64);
        // Some gateways put their words where the object should be.
        let message = error.get("message").unwrap_or(error).as_str().map(|text| words.clean(text));
        let message = message.unwrap_or_default();
        return Said::Error(NodeError { code, message, data: error.get_mut("data").map(Value::take) });
    }
    // Some gateways make a text of the number.
    let answers_this = match &answer.id {
        Value::String(text) => *text == id.to_string(),
        number => number.as_u64() == Some(id),
    };
    match answer.result.map(|result| without_url(result, words)) {
        Some(Some(result)) => Said::Result { result, answers_this },
        Some(None) => Said::NotJson,
        None => Said::Neither { answers_this },
    }
}

/// A result without the URL. The text is taken apart only where it may hold it, also behind an escape.
fn without_url(result: &RawValue, words: &Words) -> Option<Box<RawValue>> {
    if !result.get().contains('\\') && !words.occurs_in(result.get()) {
        return Some(result.to_owned());
    }
    let mut value: Value = serde_json::from_str(result.get()).ok()?;
    words.clean_result(&mut value);
    serde_json::value::to_raw_value(&value).ok()
}

#[cfg(test)]
mod tests;
