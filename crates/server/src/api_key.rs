//! The key of a merchant's server in a request, and what is said to who has none.

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use quittance_facilitator::{API_KEY_PREFIX, NotKnown};
use serde_json::json;

use crate::intake;

/// The header that holds a key and nothing else.
const API_KEY: &str = "x-api-key";

/// What is taken for a key where what stands there cannot be one.
const NONE: &str = "";

/// The key that a request shows: in `X-API-Key`, or as `Authorization: Bearer`. Where both or
/// several stand, they have to be one. What else stands in `Authorization` is for a proxy in
/// front, or for nobody here.
pub(crate) fn shown(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get_all(API_KEY).map(|value| value.to_str().map_or(NONE, str::trim));
    let bearer = headers.get_all(AUTHORIZATION).filter_map(|value| value.to_str().ok().and_then(token));
    let mut all = own.chain(bearer);
    let first = all.next()?;
    Some(if all.all(|other| other == first) { first } else { NONE })
}

/// RFC 6750: the scheme's name ignores case.
fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(API_KEY_PREFIX)).then_some(token)
}

/// In the fields that official servers read, beside the code and what to do.
pub(crate) fn refused(path: &str, why: NotKnown) -> HttpResponse {
    let (mut answer, message, retry): (HttpResponseBuilder, _, _) = match why {
        NotKnown::Missing => {
            let message = "send the merchant's key as X-API-Key, or as Authorization: Bearer";
            (HttpResponse::Unauthorized(), message, None)
        }
        NotKnown::Wrong => (HttpResponse::Unauthorized(), "this is no key of an open merchant", None),
        NotKnown::TooMany { retry_after_seconds } => {
            let message = "too many calls without a right key came from this address";
            (HttpResponse::TooManyRequests(), message, Some(retry_after_seconds))
        }
        NotKnown::Away { retry_after_seconds } => {
            let message = "keys cannot be looked up now; send the same request again";
            (HttpResponse::ServiceUnavailable(), message, Some(retry_after_seconds))
        }
    };
    if matches!(why, NotKnown::Missing | NotKnown::Wrong) {
        answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
    }
    if let Some(seconds) = retry {
        answer.insert_header((RETRY_AFTER, seconds));
    }
    let mut said = match path {
        "/verify" | "/settle" => intake::told(path, why.as_str(), message, ""),
        _ => json!({}),
    };
    said["error"] = json!(why.as_str());
    said["message"] = json!(message);
    answer.insert_header((CACHE_CONTROL, "no-store")).json(said)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_key_stands_in_one_of_two_headers_and_two_keys_are_none() {
        for (lines, expected) in [
            (&[][..], None),
            (&[("x-api-key", "qk_a_b")], Some("qk_a_b")),
            (&[("authorization", "Bearer qk_a_b")], Some("qk_a_b")),
            (&[("authorization", "bearer  qk_a_b ")], Some("qk_a_b")),
            (&[("authorization", "Basic qk_a_b")], None),
            (&[("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x")], None),
            (&[("authorization", "qk_a_b")], None),
            (&[("x-api-key", "qk_a_b"), ("authorization", "Basic eA==")], Some("qk_a_b")),
            (&[("x-api-key", "")], Some("")),
            (&[("x-api-key", "qk_a_b"), ("authorization", "Bearer qk_a_b")], Some("qk_a_b")),
            (&[("x-api-key", "qk_a_b"), ("authorization", "Bearer qk_c_d")], Some("")),
            (&[("x-api-key", "qk_a_b"), ("x-api-key", "qk_c_d")], Some("")),
        ] {
            assert_eq!(shown(&headers(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_refusal_says_its_code_where_official_servers_read() {
        for (why, status) in [
            (NotKnown::Missing, 401),
            (NotKnown::Wrong, 401),
            (NotKnown::TooMany { retry_after_seconds: 3 }, 429),
            (NotKnown::Away { retry_after_seconds: 3 }, 503),
        ] {
            for path in ["/verify", "/settle", "/supported"] {
                let answer = refused(path, why);
                assert_eq!(answer.status(), status);
                assert_eq!(answer.headers().contains_key(RETRY_AFTER), status != 401);
            }
        }
    }
}
