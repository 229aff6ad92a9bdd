//! `[gateway]` of the configuration: the program in front of APIs in any language.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use super::ranges::{DAY_SECONDS, Range};
use super::secrets::is_reference;

/// Longest name of an upstream: it stands in metrics.
const NAME_CHARS_MAX: usize = 32;

/// Statuses of an upstream that bring a customer nothing. Redirects, because nobody follows them:
/// the request was not done (301, 307, 308), or is answered by a page to sign in (302). 303 is not
/// among them, the one that says "it is done, and made, there". Then those about the gateway's own
/// account there, not about what the customer asked for: no credentials, no money, no right, too
/// many requests.
const CREDIT_STATUSES: [u16; 15] =
    [300, 301, 302, 304, 305, 307, 308, 401, 402, 403, 407, 408, 421, 425, 429];

/// `[gateway]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// As `server.admin_listen`, of `quittance gateway` alone.
    pub admin_listen: Option<String>,
    /// The APIs, by a name of the operator's choice.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
}

/// `[gateway.upstreams.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// Where it is: scheme, host, port, and a path that is put before every path.
    pub url: String,
    /// What is sold of it; `gate.catalogue` where it is the only upstream.
    pub catalogue: Option<PathBuf>,
    /// What the gateway shows to it, on paid requests only unless `credentials_on_free_routes`.
    pub credentials: Vec<CredentialConfig>,
    /// Whether they are shown on free routes, too.
    pub credentials_on_free_routes: bool,
    /// Headers of customers with an account there: an unpaid request that carries one of them goes on
    /// as it came, without the gateway's credentials.
    pub account_headers: Vec<String>,
    /// How long connecting may take.
    pub connect_ms: u64,
    /// How long an answer may take to begin.
    pub answer_seconds_max: u64,
    /// How long nothing of an answer may come once it began.
    pub silence_seconds_max: u64,
    /// How long the body of a request that nobody paid for may take to come whole.
    pub upload_seconds_max: u64,
    /// Requests under way at once that nobody paid for.
    pub free_in_flight_max: usize,
    /// Statuses from 300 on that leave a payment as a credit.
    pub credit_statuses: Vec<u16>,
    /// Payers whose paid runs fail, or connections of free requests that are refused, one after the
    /// other before nothing is sold …
    pub failures_max: u32,
    /// … for so long.
    pub closed_seconds: u64,
    /// For how long at most nothing is sold because the upstream asked for a pause (`Retry-After`).
    pub pause_seconds_max: u64,
    /// A path that is asked with GET for as long as the program runs; nothing is sold while its answer
    /// is not 2xx.
    pub health_path: Option<String>,
    /// How often.
    pub health_seconds: u64,
    /// Looks that fail one after the other before nothing is sold.
    pub health_failures_max: u32,
}

/// One header that the gateway adds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// Its name.
    pub header: String,
    /// What stands before the secret, such as `Bearer`.
    pub scheme: Option<String>,
    /// Reference to the secret (`env:NAME`, `file:PATH`).
    pub secret: String,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            catalogue: None,
            credentials: Vec::new(),
            credentials_on_free_routes: false,
            account_headers: Vec::new(),
            connect_ms: 3_000,
            answer_seconds_max: 120,
            silence_seconds_max: 60,
            upload_seconds_max: 600,
            free_in_flight_max: 512,
            credit_statuses: CREDIT_STATUSES.to_vec(),
            failures_max: 3,
            closed_seconds: 10,
            pause_seconds_max: 30,
            health_path: None,
            health_seconds: 5,
            health_failures_max: 2,
        }
    }
}

impl GatewayConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !self.admin_listen.as_deref().is_none_or(super::server::is_listenable) {
            return Err(ConfigError::Invalid(
                "gateway.admin_listen must be an address and a port such as \"127.0.0.1:4403\"".to_owned(),
            ));
        }
        self.upstreams.iter().try_for_each(|(name, upstream)| {
            upstream.check(name).map_err(|problem| {
                let place = if is_name(name) { name } else { "(hidden)" };
                ConfigError::Invalid(format!("gateway.upstreams.{place}{problem}"))
            })
        })
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<'_>> {
        self.upstreams.iter().flat_map(|(name, upstream)| upstream.ranges(name))
    }
}

impl UpstreamConfig {
    fn check(&self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(": a name is at most {NAME_CHARS_MAX} of a-z, 0-9, _ and -"));
        }
        self.check_url()?;
        let headers = self.credentials.iter().map(|credential| &credential.header);
        for header in headers.chain(&self.account_headers) {
            if !is_header(header) {
                return Err(": a header's name is of letters, digits and -, and none of Host, Content-…, \
                            Connection, Transfer-Encoding"
                    .to_owned());
            }
        }
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !self.credentials.iter().filter_map(|credential| credential.scheme.as_deref()).all(plain) {
            return Err(".credentials: a scheme is one word such as \"Bearer\"".to_owned());
        }
        // One that takes requests without credentials would serve whoever writes some.
        if !self.account_headers.is_empty() && self.credentials.is_empty() {
            return Err(".account_headers let requests through that nobody paid for, because the upstream \
                        checks them: write the gateway's own credentials there, too"
                .to_owned());
        }
        if !self.credentials.iter().all(|credential| is_reference(&credential.secret)) {
            return Err(".credentials: write env:NAME or file:PATH, never the secret itself".to_owned());
        }
        if !self.credit_statuses.iter().all(|status| (300..600).contains(status)) {
            return Err(".credit_statuses are between 300 and 599".to_owned());
        }
        if !self.health_path.as_deref().is_none_or(is_path) {
            return Err(".health_path is a path such as \"/health\"".to_owned());
        }
        Ok(())
    }

    fn check_url(&self) -> Result<(), String> {
        let wrong =
            || ".url must be a URL such as \"http://127.0.0.1:8000\", without user, query or fragment";
        let url = reqwest::Url::parse(&self.url).map_err(|_| wrong())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && (url.path() == "/" || is_path(url.path().trim_end_matches('/')));
        if plain { Ok(()) } else { Err(wrong().to_owned()) }
    }

    fn ranges(&self, name: &str) -> [Range<'_>; 10] {
        let Self {
            url: _,
            catalogue: _,
            credentials: _,
            credentials_on_free_routes: _,
            account_headers: _,
            connect_ms,
            answer_seconds_max,
            silence_seconds_max,
            upload_seconds_max,
            free_in_flight_max,
            credit_statuses: _,
            failures_max,
            closed_seconds,
            pause_seconds_max,
            health_path: _,
            health_seconds,
            health_failures_max,
        } = self;
        let key = |key: &str| format!("gateway.upstreams.{name}.{key}");
        [
            Range::whole(key("connect_ms"), *connect_ms, 100, 60_000),
            Range::whole(key("answer_seconds_max"), *answer_seconds_max, 1, 3_600),
            Range::whole(key("silence_seconds_max"), *silence_seconds_max, 1, 3_600),
            Range::whole(key("upload_seconds_max"), *upload_seconds_max, 1, DAY_SECONDS),
            Range::size(key("free_in_flight_max"), *free_in_flight_max, 1, 100_000),
            Range::whole(key("failures_max"), u64::from(*failures_max), 1, 1_000),
            Range::whole(key("closed_seconds"), *closed_seconds, 1, 3_600),
            Range::whole(key("pause_seconds_max"), *pause_seconds_max, 1, 3_600),
            Range::whole(key("health_seconds"), *health_seconds, 1, DAY_SECONDS),
            Range::whole(key("health_failures_max"), u64::from(*health_failures_max), 1, 1_000),
        ]
    }
}

fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(letter)
}

/// A header that neither frames a message nor routes it.
fn is_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let framing = ["host", "connection", "transfer-encoding", "upgrade", "te", "trailer", "expect"];
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !lower.starts_with("content-")
        && !lower.starts_with("x-quittance-")
        && !framing.contains(&lower.as_str())
}

fn is_path(path: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-._~:@=+/".contains(&b);
    path.starts_with('/') && !path.contains("//") && !path.contains("/.") && path.bytes().all(letter)
}
