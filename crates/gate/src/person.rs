//! What a person sees who opens a paid URL in a browser: what it costs on each network, how to pay,
//! and buttons for the wallets of that browser.
//!
//! The page runs no script, and asks no host, but its own: whoever could put a script into it could
//! ask the wallet to sign something else. All that is filled in is escaped, and what was bought is
//! shown as data. Programs never get it: their 402 costs what it did.

use std::sync::LazyLock;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, USER_AGENT, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response};
use quittance_protocol::{
    Amount, BodyDigest, Family, Network, PAYMENT_REQUIRED, PaymentRequirements, ResourceRef,
    encode_header_json,
};
use quittance_quote::Route;
use serde_json::{Map, Value, json};

use crate::answers::PAYMENT_REQUIRED_TEXT;
use crate::body::Body;
use crate::discovery::listed::Listed;
use crate::shared::Shared;

const PAGE: &str = include_str!("person/page.html");
const STYLE: &str = include_str!("person/page.css");
/// Signing first: the rest uses it.
const SCRIPT: &str = concat!(include_str!("person/wallets.js"), include_str!("person/page.js"));

/// Longest offer in the header of a page, whose head has its policy besides and must fit the 4 KiB that
/// proxies allow by default. A longer one is left to the request that the page's script makes.
const OFFER_HEADER_BYTES_MAX: usize = 2_600;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What robots that name HTML as browsers do call themselves.
const ROBOTS: [&str; 5] = ["bot", "crawl", "spider", "compatible;", "headless-agent"];

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (VARY, HeaderValue::from_static("Accept, Sec-Fetch-Mode, User-Agent")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Nothing runs but what the page brings, by hash; it asks this host alone, and nobody frames it.
/// Pictures and films of an answer may be elsewhere.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| {
        let mut digest = BodyDigest::default();
        digest.update(text.as_bytes());
        encode_header_json(&digest.finish())
    };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src 'self' data: blob: https:; media-src 'self' data: blob: https:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    );
    HeaderValue::try_from(policy).ok()
});

/// Whether a person is asking: a browser that goes to a page. It names HTML, and no client of x402
/// does; what a page's script asks for, and what a robot does, is answered as programs are.
pub(crate) fn is_asking(method: &Method, headers: &HeaderMap) -> bool {
    let said = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(accepted) = said(&ACCEPT).filter(|_| *method == Method::GET) else { return false };
    if !names_html(accepted) {
        return false;
    }
    // Browsers leave both out where the connection is neither encrypted nor to this host.
    let goes = said(&SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
        && said(&SEC_FETCH_DEST).is_none_or(|at| at == "document");
    let agent = said(&USER_AGENT).unwrap_or_default().to_ascii_lowercase();
    goes && !ROBOTS.iter().any(|robot| agent.contains(robot))
}

/// Whether HTML is asked for by name, as browsers do: with XHTML, or alone. Java's own client names
/// it among pictures, in all its requests.
fn names_html(accepted: &str) -> bool {
    let kinds: Vec<_> =
        accepted.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim()).collect();
    let names = |wanted: &str| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(wanted));
    let others = kinds.iter().filter(|kind| !kind.starts_with("text/html") && **kind != "*/*").count();
    names("text/html") && !names("application/json") && (names("application/xhtml+xml") || others == 0)
}

/// The page of what is sold at a path by another method than GET, in the place of the answer that says so.
pub(crate) fn of_other_method(
    shared: &Shared,
    path: &str,
    asked: Target<'_>,
    answer: Response<Body>,
) -> Response<Body> {
    let sold = shared.methods.iter().find_map(|method| match shared.pricer.route(method, path) {
        Route::Paid(endpoint) => Some(endpoint),
        Route::Free | Route::Unknown => None,
    });
    let example =
        |endpoint: usize| shared.listed.get(endpoint)?.example.as_ref().map(|example| example.service);
    match sold {
        Some(endpoint) => instead(shared, endpoint, asked, example(endpoint), answer),
        None => answer,
    }
}

/// What was asked for, as the request wrote it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Path and query.
    pub(crate) path: &'a str,
    /// The same, as others reach it.
    pub(crate) url: &'a str,
}

/// The page in the place of an answer's body; status and offer stay. `service` is the price of
/// what is asked for, where it is known.
pub(crate) fn instead(
    shared: &Shared,
    endpoint: usize,
    asked: Target<'_>,
    service: Option<Amount>,
    answer: Response<Body>,
) -> Response<Body> {
    let (Some(listed), Some(policy)) = (shared.listed.get(endpoint), POLICY.as_ref()) else { return answer };
    let mut answer = answer.map(|_| Body::from(write(shared, listed, asked, service).into_bytes()));
    let headers = answer.headers_mut();
    if headers.get(PAYMENT_REQUIRED).is_some_and(|offer| offer.len() > OFFER_HEADER_BYTES_MAX) {
        headers.remove(PAYMENT_REQUIRED);
    }
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    answer
}

fn write(shared: &Shared, listed: &Listed, asked: Target<'_>, service: Option<Amount>) -> String {
    let info = &listed.info;
    let takes_body = info.method != "GET";
    let offers = service.map(|service| offers(shared, service)).unwrap_or_default();
    let rows = match offers.as_slice() {
        [] => "<tr><td colspan=\"3\">what you ask for decides</td></tr>".to_owned(),
        offers => offers.iter().map(|(offer, total)| row(offer, *total, service)).collect(),
    };
    let example = info.example.as_deref().unwrap_or("{}");
    let networks = shared.facilitator.networks();
    let names = networks.iter().map(|info| (info.network.to_string(), json!(name(info.network.as_str()))));
    let names: Map<_, _> = names.collect();
    let known = offers.iter().map(
        |(offer, total)| json!({ "network": offer.network, "name": name(&offer.network), "amount": total }),
    );
    let known: Vec<Value> = known.collect();
    let sale = json!({
        "method": info.method,
        "takesBody": takes_body,
        "names": names,
        "offers": known,
    })
    .to_string();
    // In one pass: what is filled in is never searched for more places to fill.
    let filled = |part: &str| match part {
        "title" | "path" => escaped(asked.path),
        "css" => STYLE.to_owned(),
        "js" => SCRIPT.to_owned(),
        "method" => escaped(&info.method),
        "description" => escaped(&info.description),
        "pricing" => escaped(info.summary.trim_end_matches('.')),
        "caption" if takes_body => "What the request below costs".to_owned(),
        "caption" => "What it costs".to_owned(),
        "rows" => rows.clone(),
        "body" if takes_body => format!(
            "<p><label for=\"body\">The request's body:</label></p>\n\
             <textarea id=\"body\" spellcheck=\"false\">\n{}</textarea>",
            escaped(example)
        ),
        "command" => escaped(&command(shared, &info.method, asked.url, example)),
        // Within a script element only `<` could end it.
        "sale" => sale.replace('<', "\\u003c"),
        _ => String::new(),
    };
    let mut page = String::with_capacity(PAGE.len().saturating_add(STYLE.len()).saturating_add(SCRIPT.len()));
    for (index, part) in PAGE.split('{').enumerate() {
        match part.split_once('}') {
            Some((name, rest)) if index > 0 => {
                page.push_str(&filled(name));
                page.push_str(rest);
            }
            _ => page.push_str(part),
        }
    }
    page
}

/// What it costs now, network by network.
fn offers(shared: &Shared, service: Amount) -> Vec<(PaymentRequirements, Amount)> {
    let resource = ResourceRef { url: "", description: None, mime_type: None };
    let offer = shared.facilitator.offer(service, resource, PAYMENT_REQUIRED_TEXT);
    let accepts = offer.map(|offer| offer.accepts).unwrap_or_default();
    accepts.into_iter().filter_map(|offer| offer.amount().map(|total| (offer, total))).collect()
}

fn row(offer: &PaymentRequirements, total: Amount, service: Option<Amount>) -> String {
    let gas = service.and_then(|service| total.checked_sub(service).ok());
    let gas = gas.map_or_else(String::new, |gas| format!("{} USDC", gas.to_usdc()));
    let network = escaped(&offer.network);
    let name = escaped(name(&offer.network));
    let code = if name == network { String::new() } else { format!(" <code>{network}</code>") };
    format!("<tr><td>{name}{code}</td><td>{} USDC</td><td>{gas}</td></tr>", total.to_usdc())
}

/// How people call a network.
fn name(network: &str) -> &str {
    match network {
        Network::BASE => "Base",
        Network::BASE_SEPOLIA => "Base Sepolia",
        Network::SOLANA => "Solana",
        Network::SOLANA_DEVNET => "Solana devnet",
        other => other,
    }
}

/// What a shell takes that sends the same request.
fn command(shared: &Shared, method: &str, url: &str, example: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    // With a body it is POST unless it says otherwise.
    let data = match method {
        "GET" => String::new(),
        "POST" => format!(" --data {}", quoted(example)),
        other => format!(" -X {} --data {}", quoted(other), quoted(example)),
    };
    let networks = shared.facilitator.networks();
    let on_evm = networks.iter().any(|info| matches!(info.network.family(), Family::Eip155(_)));
    let key = if on_evm || networks.is_empty() { "--evm-key" } else { "--solana-key" };
    format!("quittance pay {}{data} {key} env:PAYER_KEY", quoted(url))
}

/// Text as it may stand in an element or an attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
