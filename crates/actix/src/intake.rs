//! Reading a request as if an attacker wrote it: path, body, payment header.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderName, X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use quittance_facilitator::{Caller, Callers};
use quittance_protocol::{
    HEADER_BYTES_MAX, HeaderError, IdentifierHash, MalformedIdentifier, PAYMENT_SIGNATURE, PaymentPayload,
    X402_VERSION, decode_header,
};
use serde_json::Value;

use crate::{GateError, Limits};

const PAYMENT: HeaderName = HeaderName::from_static(PAYMENT_SIGNATURE);
/// Version 1's payment header. Its presence explains a refusal, nothing more.
const X_PAYMENT: HeaderName = HeaderName::from_static("x-payment");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest `Idempotency-Key`.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
const IDEMPOTENCY_KEY_FORM: &str =
    "an Idempotency-Key is one header of 1 to 255 visible characters; send one, or none";

/// The path as the router will match it, if it is written canonically.
///
/// `path` is the router's own view, with harmless percent escapes decoded. Any
/// second spelling (`//`, `.`, `..`, an encoded slash, a trailing slash) could be one
/// route to the catalogue and another to a handler or a proxy behind it, so it
/// is no route at all.
pub(crate) fn canonical_path(path: &str) -> Option<&str> {
    if path == "/" {
        return Some(path);
    }
    let segments = path.strip_prefix('/')?;
    let plain = segments.split('/').all(|segment| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && !segment.chars().any(|c| c.is_control() || matches!(c, '\\' | '%' | '\u{fffd}'))
    });
    plain.then_some(path)
}

/// Refuses what can be refused from the head alone.
pub(crate) fn check_head(req: &ServiceRequest, limits: &Limits) -> Result<(), GateError> {
    let url_bytes = req.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if url_bytes > limits.url_bytes_max {
        return Err(GateError::UrlTooLong { max: limits.url_bytes_max });
    }
    // A handler's extractor would decode the body, so the price would be read
    // from other bytes than the ones it serves.
    let mut encodings = req.headers().get_all(CONTENT_ENCODING);
    if encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(GateError::EncodedBody);
    }
    if announced(req.headers()).is_some_and(|n| n > limits.body_bytes_max) {
        return Err(GateError::BodyTooLarge { max: limits.body_bytes_max });
    }
    Ok(())
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Who is calling, as far as the connection and trusted proxies say.
pub(crate) fn caller(req: &ServiceRequest, callers: &Callers) -> Caller {
    let peer = req.peer_addr().map(|address| address.ip());
    let name = callers.header().name();
    let lines: Vec<_> = req.headers().get_all(name).filter_map(|value| value.to_str().ok()).collect();
    callers.caller(peer, lines.into_iter())
}

/// Reads the whole body, asking for `room` for each piece. A handler finds it again
/// after [`put_back`] only.
pub(crate) async fn read_body(
    req: &mut ServiceRequest,
    limits: &Limits,
    mut room: impl FnMut(usize) -> Result<(), GateError>,
) -> Result<Bytes, GateError> {
    let announced = announced(req.headers()).unwrap_or(0).min(limits.body_bytes_max);
    let mut reading = pin!(collect(req.take_payload(), limits.body_bytes_max, announced, &mut room));
    // The connection decodes the head before the body and asks us in between,
    // so a body that came in the same packet is there at the second look. Only
    // what has to be waited for is worth a timer.
    let mut looked = false;
    let arrived = poll_fn(|cx| match reading.as_mut().poll(cx) {
        Poll::Ready(body) => Poll::Ready(Some(body)),
        Poll::Pending if looked => Poll::Ready(None),
        Poll::Pending => {
            looked = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match arrived.await {
        Some(body) => body,
        None => {
            tokio::time::timeout(limits.body_read(), reading).await.map_err(|_| GateError::BodyTooSlow)?
        }
    }
}

/// Lets the handler read the body that the price was made from.
pub(crate) fn put_back(req: &mut ServiceRequest, body: &Bytes) {
    if !body.is_empty() {
        req.set_payload(Payload::from(body.clone()));
    }
}

async fn collect(
    mut payload: Payload,
    max: usize,
    announced: usize,
    room: &mut impl FnMut(usize) -> Result<(), GateError>,
) -> Result<Bytes, GateError> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut length = 0_usize;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| GateError::BodyBroken)?;
        if chunk.len() > max.saturating_sub(length) {
            return Err(GateError::BodyTooLarge { max });
        }
        room(chunk.len())?;
        let before = length;
        length = length.saturating_add(chunk.len());
        // Most bodies come in one piece, which needs no copy.
        if before == 0 {
            first = chunk;
            continue;
        }
        if joined.is_empty() {
            // Once, not by doubling: what has not arrived takes no memory.
            joined.reserve(announced.max(length));
            joined.extend_from_slice(&first);
            first = Bytes::new();
        }
        joined.extend_from_slice(&chunk);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// The absolute URL that an offer names: under `public_url`, or under what the
/// connection says, as [`ServiceRequest::connection_info`] reads it.
pub(crate) fn resource_url(req: &ServiceRequest, public_url: Option<&str>) -> String {
    let target = req.uri().path_and_query().map_or("/", |target| target.as_str());
    if let Some(origin) = public_url {
        return [origin, target].concat();
    }
    let headers = req.headers();
    let proxied = headers.contains_key(FORWARDED)
        || headers.contains_key(X_FORWARDED_HOST)
        || headers.contains_key(X_FORWARDED_PROTO);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (host, req.uri().scheme()) {
        // The usual case, without the cost of looking for the rest.
        (Some(host), None) if !proxied => {
            let scheme = if req.app_config().secure() { "https://" } else { "http://" };
            [scheme, host, target].concat()
        }
        _ => {
            let connection = req.connection_info();
            [connection.scheme(), "://", connection.host(), target].concat()
        }
    }
}

/// Whether the request tries to pay. Credentials beside it do not count then.
pub(crate) fn has_payment(headers: &HeaderMap) -> bool {
    headers.contains_key(PAYMENT)
}

/// What the client calls its purchase: the payment's identifier and the request's
/// `Idempotency-Key`. A name that is none is told apart from no name.
pub(crate) struct Names {
    pub(crate) identifier: Option<IdentifierHash>,
    pub(crate) idempotency: Option<IdentifierHash>,
    pub(crate) malformed: Option<&'static str>,
}

/// Reads both.
pub(crate) fn names(payment: &PaymentPayload, headers: &HeaderMap) -> Names {
    let (identifier, idempotency) = (payment.payment_identifier(), idempotency_key(headers));
    Names {
        malformed: identifier.err().map(|_| MalformedIdentifier::TEXT).or(idempotency.err()),
        identifier: identifier.ok().flatten().map(IdentifierHash::of),
        idempotency: idempotency.ok().flatten().map(IdentifierHash::of_idempotency_key),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY);
    let Some(first) = values.next() else { return Ok(None) };
    let key = first.to_str().map_err(|_| IDEMPOTENCY_KEY_FORM)?;
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && values.next().is_none();
    if fits { Ok(Some(key)) } else { Err(IDEMPOTENCY_KEY_FORM) }
}

/// The payment that came with the request, if one did.
pub(crate) fn payment(headers: &HeaderMap) -> Result<Option<PaymentPayload>, GateError> {
    let mut values = headers.get_all(PAYMENT);
    let Some(first) = values.next() else {
        return if headers.contains_key(X_PAYMENT) { Err(GateError::PaymentVersion) } else { Ok(None) };
    };
    if values.next().is_some() {
        return Err(GateError::PaymentRepeated);
    }
    if first.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong.into());
    }
    let text = first.to_str().map_err(|_| HeaderError::NotBase64)?;
    let value: Value = decode_header(text)?;
    // The version first: an older payload has another shape, and "wrong
    // version" tells its sender more than "wrong shape".
    match value.get("x402Version") {
        Some(version) if version.as_u64() == Some(X402_VERSION) => {}
        Some(_) => return Err(GateError::PaymentVersion),
        None => return Err(HeaderError::WrongShape("x402Version is missing".to_owned()).into()),
    }
    let payload = serde_json::from_value(value).map_err(|e| HeaderError::WrongShape(e.to_string()))?;
    Ok(Some(payload))
}
