//! Reading the body of `/verify`, `/settle` and `/accepts`, as if an attacker sent it.

use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures::StreamExt as _;
use quittance_protocol::{Dialect, ErrorCode, NotAsked, VerifyRequest, parse_json_strict};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::bodies::Held;

/// Longest `/verify` or `/settle` body: two payments' worth of the longest header.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of such a body: a payment's own, and what it stands in.
const BODY_JSON_DEPTH_MAX: usize = quittance_protocol::HEADER_JSON_DEPTH_MAX + 4;

const JSON: &str = "application/json";

/// `Retry-After` where other bodies are in the way.
const RETRY_SECONDS: &str = "2";

type Refused = Box<HttpResponse>;

/// The request and the version it came in, or the answer to what is none: 415, 413, 408,
/// 503 or 400. The payment in it is nobody's business yet.
pub(crate) async fn read(
    req: &HttpRequest,
    payload: Payload,
    held: Held,
    body_max: Duration,
) -> Result<(VerifyRequest, Dialect), Refused> {
    parse(&whole(req, payload, held, body_max).await?, req.path())
}

/// The body of `/accepts`, an object; the same answers to what is none.
pub(crate) async fn read_object(
    req: &HttpRequest,
    payload: Payload,
    held: Held,
    body_max: Duration,
) -> Result<Map<String, Value>, Refused> {
    let body = whole(req, payload, held, body_max).await?;
    match parse_json_strict(&body, BODY_JSON_DEPTH_MAX).map_err(bad)? {
        Value::Object(object) => Ok(object),
        _ => Err(bad("the body is not an object".to_owned())),
    }
}

async fn whole(
    req: &HttpRequest,
    payload: Payload,
    held: Held,
    body_max: Duration,
) -> Result<BytesMut, Refused> {
    check_type(req.headers())?;
    timeout(body_max, collect(payload, held)).await.map_err(|_| {
        refused(HttpResponse::RequestTimeout(), "body_too_slow", "the body did not arrive in time")
    })?
}

/// A body that is not said to be JSON is not read: a page in a browser could make
/// its visitors send one without asking first.
fn check_type(headers: &HeaderMap) -> Result<(), Refused> {
    let mut values = headers.get_all(CONTENT_TYPE);
    let only = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
    let media_type = only.map(|value| value.split(';').next().unwrap_or_default().trim());
    if media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(JSON)) {
        return Ok(());
    }
    let message = "send the body as Content-Type: application/json";
    Err(refused(HttpResponse::UnsupportedMediaType(), "unsupported_media_type", message))
}

async fn collect(mut payload: Payload, mut held: Held) -> Result<BytesMut, Refused> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| bad(error.to_string()))?;
        if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            let message = format!("the body is at most {BODY_BYTES_MAX} bytes");
            return Err(refused(HttpResponse::PayloadTooLarge(), "body_too_large", &message));
        }
        if !held.add(chunk.len()) {
            let mut answer = HttpResponse::ServiceUnavailable();
            answer.insert_header((RETRY_AFTER, RETRY_SECONDS));
            return Err(refused(
                answer,
                "too_many_bytes_in_flight",
                "too many long bodies are being read; send it again",
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// 400 is only for bodies that are not the API's shape, in the version that they say;
/// everything about the payment itself is answered with 200 and a code.
fn parse(body: &[u8], path: &str) -> Result<(VerifyRequest, Dialect), Refused> {
    let value = parse_json_strict(body, BODY_JSON_DEPTH_MAX).map_err(bad)?;
    let network = value.pointer("/paymentRequirements/network").and_then(Value::as_str).map(str::to_owned);
    Dialect::read(value).map_err(|error| {
        let code = match error {
            NotAsked::Version => ErrorCode::InvalidX402Version,
            NotAsked::Network(_) => ErrorCode::InvalidNetwork,
            NotAsked::Shape(..) => return bad(error.to_string()),
        };
        let answer = told(path, code.as_str(), &error.to_string(), &network.unwrap_or_default());
        Box::new(HttpResponse::Ok().json(answer))
    })
}

/// A refusal in the fields that all versions share: a server of whichever reads and shows
/// them (x402 specification v1, "Facilitator Interface").
pub(crate) fn told(path: &str, code: &str, message: &str, network: &str) -> Value {
    if path == "/settle" {
        json!({ "success": false, "errorReason": code, "errorMessage": message, "transaction": "",
                "network": network })
    } else {
        json!({ "isValid": false, "invalidReason": code, "invalidMessage": message })
    }
}

pub(crate) fn bad(message: String) -> Refused {
    refused(HttpResponse::BadRequest(), "invalid_payload", &message)
}

fn refused(mut answer: HttpResponseBuilder, error: &str, message: &str) -> Refused {
    Box::new(answer.json(json!({ "error": error, "message": message })))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn only_the_shape_is_a_400() {
        for bad in [
            &b""[..],
            b"{",
            b"[]",
            b"{}",
            br#"{"x402Version":2}"#,
            br#"{"x402Version":2,"x402Version":2,"paymentPayload":{},"paymentRequirements":{}}"#,
            br#"{"x402Version":2,"paymentPayload":[],"paymentRequirements":{}}"#,
        ] {
            assert_eq!(parse(bad, "/verify").unwrap_err().status(), 400, "{}", String::from_utf8_lossy(bad));
        }
        let terms = r#"{"scheme":"exact","network":"nowhere:1","asset":"a","payTo":"b","amount":"x","maxTimeoutSeconds":1}"#;
        let odd = format!(
            r#"{{"x402Version":7,"paymentPayload":{{"x402Version":7,"accepted":{terms},"payload":null}},"paymentRequirements":{terms}}}"#
        );
        assert_eq!(
            parse(odd.as_bytes(), "/verify").unwrap_err().status(),
            200,
            "odd values are answered with a code"
        );
    }

    fn v1_request() -> Value {
        let terms = json!({ "scheme": "exact", "network": "base", "maxAmountRequired": "1", "asset": "0xa",
            "payTo": "0xb", "resource": "http://a/", "description": "", "mimeType": "", "maxTimeoutSeconds": 60 });
        let payload = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": {} });
        json!({ "x402Version": 1, "paymentPayload": payload, "paymentRequirements": terms })
    }

    #[test]
    fn a_version_1_request_is_read_as_the_same_question() {
        let (request, dialect) = parse(v1_request().to_string().as_bytes(), "/verify").unwrap();
        assert_eq!(dialect, Dialect::V1(None));
        assert_eq!(request.payment_requirements.network, "eip155:8453");
        assert_eq!(request.payment_payload.accepted, request.payment_requirements);
        // Without its two parts it is no request of any version.
        for part in ["paymentPayload", "paymentRequirements"] {
            let mut half = v1_request();
            half[part] = json!("x");
            assert_eq!(parse(half.to_string().as_bytes(), "/verify").unwrap_err().status(), 400, "{part}");
        }
    }

    /// Servers read `invalidReason` and `errorReason` and show them; of a 400 about a field
    /// that their version has not got, nobody learns what is wrong.
    #[test]
    fn what_is_of_no_version_or_no_network_is_answered_in_words_that_servers_read() {
        let mut other = v1_request();
        other["x402Version"] = json!(3);
        let mut mixed = v1_request();
        mixed["paymentPayload"]["x402Version"] = json!(2);
        let mut caip = v1_request();
        caip["paymentRequirements"]["network"] = json!("eip155:8453");
        for request in [other, mixed, caip] {
            for path in ["/verify", "/settle"] {
                assert_eq!(
                    parse(request.to_string().as_bytes(), path).unwrap_err().status(),
                    200,
                    "{request}"
                );
            }
        }
        let verify = told("/verify", ErrorCode::InvalidX402Version.as_str(), "why", "base");
        assert_eq!(
            verify,
            json!({ "isValid": false, "invalidReason": "invalid_x402_version", "invalidMessage": "why" })
        );
        let settle = told("/settle", ErrorCode::InvalidNetwork.as_str(), "why", "base");
        assert_eq!((&settle["success"], &settle["errorReason"]), (&json!(false), &json!("invalid_network")));
        assert_eq!((&settle["transaction"], &settle["network"]), (&json!(""), &json!("base")));
    }

    #[test]
    fn a_body_that_is_not_said_to_be_json_is_not_read() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            check_type(&headers).map_err(|answer| answer.status().as_u16())
        };
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"]
        {
            assert_eq!(with(&[good]), Ok(()), "{good}");
        }
        for bad in [
            &[][..],
            &[""],
            &["text/plain"],
            &["text/plain; charset=application/json"],
            &["application/x-www-form-urlencoded"],
            &["application/jsonp"],
            &["application/json, text/plain"],
            &["application/json", "text/plain"],
        ] {
            assert_eq!(with(bad), Err(415), "{bad:?}");
        }
    }
}
