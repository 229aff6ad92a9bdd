//! Cross-origin rules, so that a page in a browser can pay.
//!
//! Answers never allow credentials: a payment is the authorization, and cookies
//! of another site must not ride along.

use std::str::FromStr as _;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Response, StatusCode};

use crate::body::Body;

/// `Access-Control-Expose-Headers` stands among the *request* headers because
/// the official fetch client sends it as one.
const ALLOWED_HEADERS: &str = "PAYMENT-SIGNATURE, X-PAYMENT, Access-Control-Expose-Headers, Content-Type, \
     Authorization, X-API-Key, X-API-Secret, Accept, Idempotency-Key";
const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const EXPOSED_HEADERS: &str = "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Payment-State, Retry-After, X-Should-Retry, \
     Accept-Ranges, Content-Range, ETag";
const PREFLIGHT_MAX_AGE_SECONDS: u32 = 600;
/// Headers of its own that a page may ask for.
const ASKED_HEADERS_MAX: usize = 64;

/// Which pages may call the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Any,
    Listed(Vec<String>),
    Off,
}

impl Default for Cors {
    fn default() -> Self {
        Self::any()
    }
}

impl Cors {
    /// Every page, without credentials. The default.
    pub fn any() -> Self {
        Self(Rule::Any)
    }

    /// Only these origins, e.g. `https://app.example.com`; compared exactly.
    pub fn origins<I: IntoIterator<Item = S>, S: Into<String>>(origins: I) -> Self {
        Self(Rule::Listed(origins.into_iter().map(Into::into).collect()))
    }

    /// The gate says nothing about origins and answers no preflight; the host's
    /// own middleware, outside the gate, does.
    pub fn off() -> Self {
        Self(Rule::Off)
    }

    /// The answer to a preflight, if this is one.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        let asks = *method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if self.0 == Rule::Off || !asks {
            return None;
        }
        let mut answer = Response::new(Body::default());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let said = answer.headers_mut();
        said.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED_METHODS));
        said.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(headers));
        said.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_MAX_AGE_SECONDS));
        Some(answer)
    }

    /// What to say to the page behind this request.
    pub(crate) fn verdict(&self, request: &HeaderMap) -> Verdict {
        match &self.0 {
            Rule::Off => Verdict { allow: None, vary: false },
            Rule::Any => Verdict { allow: Some(HeaderValue::from_static("*")), vary: false },
            Rule::Listed(origins) => {
                let origin = request
                    .get(ORIGIN)
                    .filter(|origin| origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes()));
                Verdict { allow: origin.cloned(), vary: true }
            }
        }
    }
}

/// Ours, and whatever the page asks for: SDKs add headers of their own
/// (`x-stainless-*`), and a header that is no credential grants nothing.
fn allowed_headers(request: &HeaderMap) -> HeaderValue {
    let asked =
        request.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ours: Vec<&str> = ALLOWED_HEADERS.split(',').map(str::trim).collect();
    let theirs = asked
        .split(',')
        .map(str::trim)
        .filter(|name| HeaderName::from_str(name).is_ok())
        .filter(|name| !ours.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .take(ASKED_HEADERS_MAX);
    let all = ours.iter().copied().chain(theirs).collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&all).unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS))
}

/// What one request's page is told about origins, for whichever answer it gets.
#[derive(Clone, Debug)]
pub struct Verdict {
    allow: Option<HeaderValue>,
    vary: bool,
}

impl Verdict {
    /// The lines to append to an answer's head; what the host `has_said` about the
    /// allowed origin stands.
    pub fn lines(self, has_said: bool) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let vary = self.vary.then_some((VARY, HeaderValue::from_static("Origin")));
        let exposed = self
            .allow
            .is_some()
            .then_some((ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS)));
        let allow = self.allow.filter(|_| !has_said).map(|origin| (ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        [vary, allow, exposed].into_iter().flatten()
    }

    /// Appends them to an answer of http's.
    pub fn apply(self, headers: &mut HeaderMap) {
        for (name, value) in self.lines(headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)) {
            headers.append(name, value);
        }
    }
}
