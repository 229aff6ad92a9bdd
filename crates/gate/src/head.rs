//! What a request's head says, read as if an attacker wrote it: path, names, and the URL
//! that an offer repeats. Its payment is read in `shown`.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, HOST, HeaderMap, HeaderName};
use http::request::Parts;
use quittance_facilitator::{Caller, Callers};
use quittance_protocol::{IdentifierHash, MalformedIdentifier, PAYMENT_SIGNATURE, PaymentPayload, v1};

use crate::{GateError, Limits};

/// Version 2's payment header.
pub(crate) const PAYMENT: HeaderName = HeaderName::from_static(PAYMENT_SIGNATURE);
/// Version 1's.
pub(crate) const X_PAYMENT: HeaderName = HeaderName::from_static(v1::X_PAYMENT);
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Of these a proxy leaves at least one, unless it is told not to.
const FORWARDING: [HeaderName; 6] = [
    FORWARDED,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("via"),
];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest `Idempotency-Key`.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
const IDEMPOTENCY_KEY_FORM: &str =
    "an Idempotency-Key is one header of 1 to 255 visible characters; send one, or none";

/// What a server knows of a request besides the request itself.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The address at the other end of the connection.
    pub peer: Option<IpAddr>,
    /// The address at this end.
    pub local: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub secure: bool,
    /// What the server calls itself where neither the request nor a proxy names a host.
    pub host: &'a str,
    /// The path as the host's router matches it, harmless percent escapes decoded.
    /// `None` where the router matches the request's own bytes: a path of which any
    /// escape stands for a character that needs none is then no route, and neither is one
    /// that is another endpoint's, or nobody's, before it is decoded.
    pub path: Option<&'a str>,
}

impl Default for Arrival<'_> {
    fn default() -> Self {
        Self { peer: None, local: None, secure: false, host: "localhost", path: None }
    }
}

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

/// A path of a router that decodes nothing before it matches, decoded once; `None`
/// where an escape hides what needs none, for that is a second spelling of a route
/// which the router does not know.
pub(crate) fn decoded_path(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let byte = u8::try_from(digit()?.checked_mul(16)?.checked_add(digit()?)?).ok()?;
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
        if plain {
            return None;
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// Whether a router that matches the request's own bytes goes where `route` sends the decoded path:
/// an escape may be a parameter's, and in what is written out it makes another path, of which
/// that router knows nothing. A pricer may refuse every `%`, so what no path has to escape
/// stands in for it, too.
pub(crate) fn routes_as_it_stands<R: PartialEq>(raw: &str, decoded: &str, route: impl Fn(&str) -> R) -> bool {
    if !raw.contains('%') {
        return true;
    }
    let wanted = route(decoded);
    route(raw) == wanted || route(&raw.replace('%', "~")) == wanted
}

/// Refuses what can be refused from the head alone.
pub(crate) fn check_head(head: &Parts, limits: &Limits) -> Result<(), GateError> {
    let url_bytes = head.uri.path_and_query().map_or(0, |url| url.as_str().len());
    if url_bytes > limits.url_bytes_max {
        return Err(GateError::UrlTooLong { max: limits.url_bytes_max });
    }
    // A handler's extractor would decode the body, so the price would be read
    // from other bytes than the ones it serves.
    let mut encodings = head.headers.get_all(CONTENT_ENCODING).iter();
    if encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(GateError::EncodedBody);
    }
    // What cannot be read would be priced as if it was not there, and of two another server may
    // read the other one.
    let mut types = head.headers.get_all(CONTENT_TYPE).iter();
    if types.next().is_some_and(|first| first.to_str().is_err()) || types.next().is_some() {
        return Err(GateError::UnclearType);
    }
    if announced(&head.headers).is_some_and(|n| n > limits.body_bytes_max) {
        return Err(GateError::BodyTooLarge { max: limits.body_bytes_max });
    }
    Ok(())
}

pub(crate) fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Who is calling, as far as the connection and trusted proxies say.
pub(crate) fn caller(headers: &HeaderMap, peer: Option<IpAddr>, callers: &Callers) -> Caller {
    let lines = headers.get_all(callers.header().name()).iter();
    let lines: Vec<_> = lines.filter_map(|value| value.to_str().ok()).collect();
    callers.caller(peer, lines.into_iter())
}

/// The URL that an offer names: under `public_url`, or under what a trusted proxy (`trusted`) or the
/// connection says.
///
/// A proxy that nobody trusts may have put its own name for this server in the place of the `Host`.
/// What it says of the client's then is better than an address that leads nobody here; where it
/// says nothing, or another such address, the offer names the path alone.
pub(crate) fn resource_url(
    head: &Parts,
    arrival: &Arrival<'_>,
    public_url: Option<&str>,
    trusted: bool,
) -> String {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if let Some(origin) = public_url {
        return [origin, target].concat();
    }
    let headers = &head.headers;
    let asked = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| head.uri.authority().map(|authority| authority.as_str()))
        .unwrap_or(arrival.host);
    let is_hidden = FORWARDING.iter().any(|name| headers.contains_key(name)) && is_internal(asked);
    let own = head.uri.scheme_str().unwrap_or(if arrival.secure { "https" } else { "http" });
    let scheme = forwarded(headers, "proto").filter(|_| trusted || is_hidden).unwrap_or(own);
    let host = match forwarded(headers, "host").filter(|_| trusted || is_hidden) {
        Some(host) if trusted || !is_internal(host) => host,
        _ if is_hidden => return target.to_owned(),
        _ => asked,
    };
    [scheme, "://", host, target].concat()
}

/// What `Forwarded`, or the header before it, says of a request's `host` or `proto`.
fn forwarded<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        lines.flat_map(|line| line.split([';', ','])).filter_map(|pair| pair.trim().split_once('='));
    if let Some((_, value)) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)) {
        return Some(value.trim().trim_matches('"'));
    }
    let name = if wanted == "host" { X_FORWARDED_HOST } else { X_FORWARDED_PROTO };
    Some(headers.get(name)?.to_str().ok()?.split(',').next()?.trim())
}

/// Whether a host, with or without its port, is one that only neighbours reach: a private address,
/// or a name without a dot.
fn is_internal(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, _)) => inside,
        None => host.split(':').next().unwrap_or(host),
    };
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()
        }
        Ok(IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified()
        }
        Err(_) => !name.contains('.'),
    }
}

/// Whether the request tries to pay. Credentials beside it do not count then.
pub(crate) fn has_payment(headers: &HeaderMap) -> bool {
    headers.contains_key(PAYMENT) || headers.contains_key(X_PAYMENT)
}

/// Whether its receipt is read in version 1's header.
pub(crate) fn pays_in_version_1(headers: &HeaderMap) -> bool {
    headers.contains_key(X_PAYMENT)
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
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let key = first.to_str().map_err(|_| IDEMPOTENCY_KEY_FORM)?;
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && values.next().is_none();
    if fits { Ok(Some(key)) } else { Err(IDEMPOTENCY_KEY_FORM) }
}
