//! Cross-origin rules, so that a page in a browser can pay.
//!
//! Answers never allow credentials: a payment is the authorization, and cookies
//! of another site must not ride along.

use std::str::FromStr as _;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

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
    pub(crate) fn preflight(&self, req: &ServiceRequest) -> Option<HttpResponse<BoxBody>> {
        let headers = req.headers();
        let asks = req.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if self.0 == Rule::Off || !asks {
            return None;
        }
        let answer = HttpResponse::NoContent()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(headers)))
            .insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE_SECONDS))
            .finish();
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

/// The decision about one request, kept until its answer is there.
pub(crate) struct Verdict {
    allow: Option<HeaderValue>,
    vary: bool,
}

impl Verdict {
    /// Adds the headers; what the host has said about origins stands.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        if self.vary {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allow else { return };
        if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }
}
