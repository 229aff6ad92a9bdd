//! From a handler's answer to a paid one, and to what is stored of it.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONNECTION, ETAG, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use quittance_facilitator::{AnswerObject, PaidFacts, Sealed, StoredAnswer, StoredObject, Usage};
use quittance_protocol::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, SettleResponse, decode_header, encode_header, v1,
};

/// Where the payment stands, for clients that read headers only.
pub(crate) const PAYMENT_STATE: HeaderName = HeaderName::from_static("payment-state");

/// SDKs of other APIs repeat a call by themselves after 408, 409, 429 and 5xx, and
/// sign anew each time. This word of theirs stops them (P7).
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whether they would, without that word.
pub(crate) fn invites_repetition(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
        || status.is_server_error()
}

/// Headers that are the gate's to set; what a handler says under these names
/// would be believed by clients as if the gate had said it.
const OURS: [&str; 6] = [
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    v1::X_PAYMENT_RESPONSE,
    "payment-state",
    "x-should-retry",
    SIGNED_RECEIPT,
];

/// Headers of one connection or one moment (RFC 9110, section 7.6.1), which a
/// replay must not repeat, and the length, which is computed anew. A cookie is a
/// session of the one who was there first: whoever replays gets the answer, and
/// nobody's session.
const NOT_STORED: [&str; 12] = [
    "set-cookie",
    "set-cookie2",
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

/// Says the receipt of an answer in x402 version 1, too, to who paid in it.
pub(crate) fn say_in_version_1(headers: &mut HeaderMap) {
    let Some(receipt) = headers.get(PAYMENT_RESPONSE).and_then(|value| value.to_str().ok()) else { return };
    let Ok(receipt) = decode_header::<SettleResponse>(receipt) else { return };
    if let Ok(header) = encode_header(&v1::receipt(&receipt, None))
        && let Ok(value) = HeaderValue::from_str(&header)
    {
        headers.insert(HeaderName::from_static(v1::X_PAYMENT_RESPONSE), value);
    }
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

/// Names the answer, so that a client that was cut off can ask for the rest of
/// this one and of no other run's. The handler's own tag stands.
pub(crate) fn tag(response: &mut Parts, paid: &PaidFacts) {
    if response.status == StatusCode::OK
        && !response.headers.contains_key(ETAG)
        && let Ok(tag) = HeaderValue::from_str(&format!("\"{}.{}\"", paid.payment_id, paid.run))
    {
        response.headers.insert(ETAG, tag);
    }
}

/// Whether a header of this name is kept with an answer.
pub(crate) fn is_stored(name: &HeaderName) -> bool {
    !NOT_STORED.contains(&name.as_str()) && !OURS.contains(&name.as_str())
}

/// Under this name the signed receipt lies among an answer's kept headers, so that every repeat of
/// the answer shows the very same one. It is in no answer's head: there it stands in the receipt.
pub(crate) const SIGNED_RECEIPT: &str = "quittance-signed-receipt";

/// What is kept of an answer.
pub(crate) fn store(
    status: StatusCode,
    headers: &HeaderMap,
    sealed: Sealed,
    usage: Option<Usage>,
) -> StoredAnswer {
    let (body, object, truncated) = match sealed {
        Sealed::Inline(body) => (body.to_vec(), None, false),
        Sealed::Stored(StoredObject { name, key, bytes }) => {
            (Vec::new(), Some(AnswerObject { name, key: *key.expose_bytes(), bytes }), false)
        }
        Sealed::NotKept { .. } => (Vec::new(), None, true),
    };
    let hops = named_in_connection(headers);
    let kept = headers.iter().filter(|(name, _)| is_stored(name) && !hops.contains(name));
    StoredAnswer {
        status: status.as_u16(),
        headers: kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body,
        object,
        truncated,
        refundable: status.is_client_error(),
        usage,
    }
}

/// Headers that `Connection` declares to be of this connection only.
fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let said = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}
