//! From a handler's answer to a paid one, and to what is stored of it.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use quittance_facilitator::{StoredAnswer, Usage};
use quittance_protocol::{PAYMENT_REQUIRED, PAYMENT_RESPONSE, SettleResponse, encode_header};

use crate::answers::{self, PAYMENT_STATE, SHOULD_RETRY, invites_repetition};

/// Headers that are the gate's to set; what a handler says under these names
/// would be believed by clients as if the gate had said it.
const OURS: [&str; 5] =
    [PAYMENT_REQUIRED, PAYMENT_RESPONSE, "x-payment-response", "payment-state", "x-should-retry"];

/// Headers of one connection or one moment (RFC 9110, section 7.6.1), which a
/// replay must not repeat, and the length, which is computed anew.
const NOT_STORED: [&str; 10] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Makes `headers` those of a paid answer.
///
/// One that SDKs answer with a call of their own says that they must not: each of
/// their calls signs a payment (P7).
pub(crate) fn stamp(
    status: StatusCode,
    headers: &mut HeaderMap,
    receipt: &SettleResponse,
    state: &'static str,
) {
    for name in OURS {
        headers.remove(name);
    }
    if invites_repetition(status) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Ok(header) = encode_header(receipt)
        && let Ok(value) = HeaderValue::from_str(&header)
    {
        headers.insert(HeaderName::from_static(PAYMENT_RESPONSE), value);
    }
    headers.insert(PAYMENT_STATE, HeaderValue::from_static(state));
    let caching = private(headers);
    headers.insert(CACHE_CONTROL, caching);
}

/// `private`, unless the handler asked for stricter: one customer's paid answer
/// must not come out of a shared cache for the next one.
fn private(headers: &HeaderMap) -> HeaderValue {
    let mut kept: Vec<String> = Vec::new();
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            let shared = directive == "public" || directive.starts_with("s-maxage");
            if !directive.is_empty() && !shared {
                kept.push(directive);
            }
        }
    }
    if !kept.iter().any(|directive| directive == "private" || directive == "no-store") {
        kept.push("private".to_owned());
    }
    HeaderValue::from_str(&kept.join(", ")).unwrap_or(HeaderValue::from_static("private"))
}

/// What is kept of an answer. `body` is `None` when it was too long.
pub(crate) fn store(
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<&Bytes>,
    usage: Option<Usage>,
) -> StoredAnswer {
    let kept = headers
        .iter()
        .filter(|(name, _)| !NOT_STORED.contains(&name.as_str()) && !OURS.contains(&name.as_str()));
    StoredAnswer {
        status: status.as_u16(),
        headers: kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: body.map(|body| body.to_vec()).unwrap_or_default(),
        truncated: body.is_none(),
        refundable: status.is_client_error(),
        usage,
    }
}

/// The stored answer again, byte for byte.
pub(crate) fn replay(answer: StoredAnswer, receipt: &SettleResponse) -> HttpResponse<BoxBody> {
    let state = if answer.refundable { "refundable" } else { "delivered" };
    let mut response = if answer.truncated {
        answers::not_kept(answer.status, receipt)
    } else {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::new(status).set_body(BoxBody::new(answer.body));
        for (name, value) in answer.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(&value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    };
    stamp(response.status(), response.headers_mut(), receipt, state);
    response
}
