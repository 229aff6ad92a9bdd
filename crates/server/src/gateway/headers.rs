//! Heads on their way through: what belongs to one connection stays there (RFC 9110, section
//! 7.6.1), and what a client writes in the gateway's place goes no further.

use http::Uri;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, SET_COOKIE, VIA,
};
use quittance_actix::{Paid, PaidFacts};
use quittance_protocol::{PAYMENT_SIGNATURE, v1};

mod location;

/// Headers of one connection.
const OF_A_CONNECTION: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Words about who is calling, and how. Proxies hand on what they do not know themselves, so these
/// may be a client's whoever sent them.
const OF_PROXIES: [&str; 7] = [
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
];

/// Some servers route by these instead of by method and path, which are what was priced.
const OF_ROUTING: [&str; 7] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
];

/// What a proxy of the operator's may say of who is calling.
const OF_TRUSTED_PROXIES: [&str; 4] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];

/// What of a customer's head goes on beside the gateway's credentials. An upstream believes what
/// stands there of whoever holds the account, and all customers share that: an idempotency key would
/// show one the answer of another, a project or a beta function another price.
const BESIDE_OURS: [&str; 24] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "range",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
    "x-correlation-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// A paid answer is whole: one that says "unchanged" would be nothing for the money.
const CONDITIONS: [&str; 6] =
    ["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"];

/// What the gateway says of a payment starts with this.
const OURS: &str = "x-quittance-";
const X_FORWARDED: &str = "x-forwarded-";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) address: Option<&'a str>,
    /// It is a proxy of the operator's, whose words are believed.
    pub(crate) is_trusted: bool,
}

/// Whose credentials go along.
pub(crate) enum Shows<'a> {
    /// The customer's own, as they came.
    Theirs,
    /// The gateway's, and none of the customer's.
    Ours { credentials: &'a [(HeaderName, HeaderValue)], account_headers: &'a [String] },
}

/// The head that the upstream gets.
pub(crate) fn outgoing(incoming: &HeaderMap, peer: Peer<'_>, shows: &Shows<'_>) -> HeaderMap {
    let named = named_in_connection(incoming);
    let mut headers = HeaderMap::with_capacity(incoming.len().saturating_add(12));
    for (name, value) in incoming {
        let plain = plain(name);
        let is_plain = plain == name.as_str();
        let believed = is_plain && peer.is_trusted && OF_TRUSTED_PROXIES.contains(&plain.as_str());
        let dropped = OF_A_CONNECTION.contains(&plain.as_str())
            || (named.contains(&plain) && !is_end_to_end(&plain))
            || is_ours(&plain)
            || OF_ROUTING.contains(&plain.as_str())
            || (is_of_proxies(&plain) && !believed)
            || (!is_plain && says_what_the_body_is(&plain))
            || shows.keeps_back(&plain, is_plain)
            || [HOST, CONTENT_LENGTH, EXPECT].iter().any(|name| name.as_str() == plain);
        if !dropped {
            headers.append(name, value.clone());
        }
    }
    forwarded_for(&mut headers, peer);
    headers.append(VIA, HeaderValue::from_static("1.1 quittance"));
    if let Shows::Ours { credentials, .. } = shows {
        for (name, value) in *credentials {
            headers.insert(name, value.clone());
        }
    }
    headers
}

/// A name as servers read it that hand headers on as variables: `X_Quittance_Payer` and
/// `X-Quittance-Payer` are one there.
fn plain(name: &HeaderName) -> String {
    plain_text(name.as_str())
}

fn plain_text(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(letter).collect()
}

fn is_ours(plain: &str) -> bool {
    plain.starts_with(OURS) || plain == PAYMENT_SIGNATURE || plain == v1::X_PAYMENT
}

fn is_of_proxies(plain: &str) -> bool {
    plain.starts_with(X_FORWARDED) || OF_PROXIES.contains(&plain)
}

/// A second spelling of these would be believed before the one that was read here.
fn says_what_the_body_is(plain: &str) -> bool {
    plain.starts_with("content-") || CONDITIONS.contains(&plain)
}

/// Whether a `Connection` that names it is not believed: without these the body would be read as
/// another one than was priced, or by somebody else.
fn is_end_to_end(plain: &str) -> bool {
    plain.starts_with("content-") || ["accept", "authorization", "cookie"].contains(&plain)
}

impl Shows<'_> {
    /// Credentials beside a payment do not count, and beside the gateway's there are no others.
    fn keeps_back(&self, name: &str, is_plain: bool) -> bool {
        let Self::Ours { credentials, account_headers } = self else { return false };
        !(is_plain && BESIDE_OURS.contains(&name))
            || credentials.iter().any(|(credential, _)| plain(credential) == name)
            || account_headers.iter().any(|account| plain_text(account) == name)
    }
}

fn named_in_connection(headers: &HeaderMap) -> Vec<String> {
    let said = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|line| line.split(',')).map(|name| plain_text(name.trim())).collect()
}

/// Says who was calling, honestly: behind what trusted proxies say stands who told us so.
fn forwarded_for(headers: &mut HeaderMap, peer: Peer<'_>) {
    let Some(address) = peer.address else { return };
    let before: Vec<&[u8]> = headers.get_all(&X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let mut line = before.join(&b", "[..]);
    if !line.is_empty() {
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(address.as_bytes());
    if let Ok(line) = HeaderValue::from_bytes(&line) {
        headers.insert(X_FORWARDED_FOR, line);
    }
}

/// How the outside world reaches the gateway (`server.public_url`). The `Host` of a request is its
/// client's word: an API that makes links of it would send others where that client wants.
pub(crate) struct Public {
    proto: HeaderValue,
    host: HeaderValue,
}

impl Public {
    pub(crate) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let host = authority.rsplit('@').next()?;
        Some(Self {
            proto: HeaderValue::from_str(uri.scheme_str()?).ok()?,
            host: HeaderValue::from_str(host).ok()?,
        })
    }

    /// In place of what any proxy says.
    pub(crate) fn say(&self, headers: &mut HeaderMap) {
        headers.remove(X_FORWARDED_PORT);
        headers.insert(X_FORWARDED_PROTO, self.proto.clone());
        headers.insert(X_FORWARDED_HOST, self.host.clone());
    }
}

/// Makes the head of a run's request: what was paid, and the body as it was priced.
pub(crate) fn say_paid(headers: &mut HeaderMap, paid: &Paid, has_reserve: bool) {
    make_whole(headers, paid.price().reads_json, has_reserve);
    say_facts(headers, paid);
}

/// Takes conditions off, and says of a body that was priced as JSON that it is.
fn make_whole(headers: &mut HeaderMap, reads_json: bool, has_reserve: bool) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| CONDITIONS.contains(&plain(name).as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    if reads_json {
        one_content_type(headers);
    }
    if has_reserve {
        // What was used is read from the answer.
        headers.remove(ACCEPT_ENCODING);
    }
}

fn say_facts(headers: &mut HeaderMap, paid: &PaidFacts) {
    let run = paid.run.to_string();
    let (amount, service) = (paid.amount.atomic().to_string(), paid.service.atomic().to_string());
    let network = paid.network.to_string();
    let payment = paid.payment_id.to_string();
    let request = paid.request_id.to_string();
    for (name, value) in [
        ("x-quittance-payment-id", payment.as_str()),
        ("x-quittance-request-id", &request),
        ("x-quittance-payer", &paid.payer),
        ("x-quittance-amount", &amount),
        ("x-quittance-service", &service),
        ("x-quittance-network", &network),
        ("x-quittance-transaction", &paid.transaction),
        ("x-quittance-run", &run),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What was priced as JSON is read as JSON: of two types a server may read the other, without one it
/// may read a form, and a charset makes other letters of the same bytes.
fn one_content_type(headers: &mut HeaderMap) {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let essence = HeaderValue::from_str(&essence).ok().filter(|essence| !essence.is_empty());
    headers.insert(CONTENT_TYPE, essence.unwrap_or(HeaderValue::from_static("application/json")));
}

/// The head that the client gets. `origin` is the upstream's, `shown` what the gateway showed to it.
pub(crate) fn returning(
    headers: &mut HeaderMap,
    (origin, base): (&str, &str),
    shown: Option<&[(HeaderName, HeaderValue)]>,
) {
    let named = named_in_connection(headers);
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names {
        let plain = plain(&name);
        let plain = plain.as_str();
        // The length is said anew, and another way to the upstream is none past the gate.
        let gone = OF_A_CONNECTION.contains(&plain)
            || (named.iter().any(|named| named == plain) && !is_end_to_end(plain))
            || plain.starts_with(OURS)
            || name == CONTENT_LENGTH
            || plain == "alt-svc";
        if gone {
            headers.remove(name);
        }
    }
    if let Some(credentials) = shown {
        // A session that begins with the gateway's credentials is the operator's own.
        headers.remove(SET_COOKIE);
        headers.remove("set-cookie2");
        let repeats = |value: &HeaderValue| {
            credentials.iter().any(|(_, secret)| holds(value.as_bytes(), secret_part(secret.as_bytes())))
        };
        let names: Vec<HeaderName> =
            headers.iter().filter(|(_, value)| repeats(value)).map(|(name, _)| name.clone()).collect();
        for name in names {
            headers.remove(name);
        }
    }
    if let Some(path) = headers.get(LOCATION).and_then(|value| location::here(value, (origin, base))) {
        headers.insert(LOCATION, path);
    }
}

/// A credential without its scheme.
fn secret_part(value: &[u8]) -> &[u8] {
    value.iter().position(|byte| *byte == b' ').map_or(value, |at| &value[at.saturating_add(1)..])
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests;
