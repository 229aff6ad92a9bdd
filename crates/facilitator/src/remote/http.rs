//! Bounded HTTP: one time limit for everything, one size limit, no redirects (a redirect could lead
//! a customer's signature to a host that the operator never chose).

use std::time::Duration;

use quittance_protocol::{Secret, Words, foreign_words};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::Remote;
use crate::config::ConfigError;

/// Longest answer that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The same payment always comes with the same key, so that a facilitator that knows the header
/// tells this gate the same again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What came back, whatever it says.
pub(super) struct Said {
    pub(super) status: u16,
    /// `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// One for everything that is asked of it.
pub(super) fn client() -> Result<reqwest::Client, ConfigError> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("quittance/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| ConfigError::Invalid("facilitator: no HTTP client can be made here".to_owned()))
}

/// What shows who asks, made once: a key that no header can hold would be left out of every question.
pub(super) fn credentials(key: Option<&Secret>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let bearer = [b"Bearer ", key.expose_bytes()].concat();
        let mut value = HeaderValue::from_bytes(&bearer).map_err(|_| ConfigError::Secret {
            key: "facilitator.api_key".to_owned(),
            problem: "it leads to bytes that stand in no header".to_owned(),
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

impl Remote {
    pub(super) async fn get(&self, path: &str) -> Result<Said, String> {
        self.call(self.client.get(format!("{}{path}", self.url))).await
    }

    /// `name`: what makes repeats of the question the same one.
    pub(super) async fn post(&self, path: &str, name: Option<&str>, body: Vec<u8>) -> Result<Said, String> {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(name) = name {
            request = request.header(IDEMPOTENCY_KEY, name);
        }
        self.call(request).await
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<Said, String> {
        let read = async {
            let _place = self.places.acquire().await.map_err(|_| "no place".to_owned())?;
            tokio::time::timeout(self.timeout, self.read(request))
                .await
                .map_err(|_| format!("no answer within {} s", self.timeout.as_secs()))?
        };
        read.await
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Result<Said, String> {
        let mut answer =
            request.headers(self.credentials.clone()).send().await.map_err(|error| self.words(error))?;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let (status, retry_after) =
            (answer.status().as_u16(), retry_after.and_then(|text| text.trim().parse().ok()));
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.words(error))? {
            if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
                return Err(format!("an answer of more than {BODY_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Said { status, retry_after, body })
    }

    /// Without the address, which may carry a key.
    fn words(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        foreign_words(&Words::of(&self.url).clean(&format!("{error}{cause}")))
    }

    /// The pause before the first repeat.
    pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_header_holds_ends_the_start_and_none_prints() {
        let held = credentials(Some(&Secret::new("sk_live_1"))).unwrap();
        assert_eq!(held[AUTHORIZATION], "Bearer sk_live_1");
        assert!(!format!("{held:?}").contains("sk_live_1"));
        assert!(credentials(None).unwrap().is_empty());
        let refused = credentials(Some(&Secret::new("sk_live_1\nx"))).unwrap_err().to_string();
        assert!(refused.contains("facilitator.api_key") && !refused.contains("sk_live_1"), "{refused}");
    }
}
