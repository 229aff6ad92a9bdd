//! What a person sees who opens a paid URL in a browser: what it costs on each network, how to pay, and
//! a button for a browser wallet.
//!
//! The page has no script, style or picture but its own, and may ask nobody but this host: whoever
//! could put a script into it could ask the wallet to sign something else. All that is filled in is
//! escaped.

use std::sync::LazyLock;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use quittance_protocol::{PaymentRequirements, ResourceRef, encode_header_json};
use quittance_quote::{Pricing, Route};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::answers::PAYMENT_REQUIRED_TEXT;
use crate::body::Body;
use crate::discovery::listed::Listed;
use crate::shared::Shared;

const PAGE: &str = include_str!("person/page.html");
const STYLE: &str = include_str!("person/page.css");
const SCRIPT: &str = include_str!("person/page.js");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Nothing but what the page brings, by hash; it asks this host, and shows what comes from it.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| encode_header_json(&Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    );
    HeaderValue::try_from(policy).ok()
});

/// Whether a person is asking: a browser that goes to a page names HTML, and no client of x402 does.
pub(crate) fn is_asking(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/html"));
    *method == Method::GET && headers.get_all(ACCEPT).iter().any(accepts)
}

/// The page of what is sold at a path by another method than GET.
pub(crate) fn of_other_method(shared: &Shared, path: &str) -> Option<Response<Body>> {
    let is_it = |listed: &&Listed| {
        let info = &listed.info;
        info.pricing == Pricing::Paid && matches!(shared.pricer.route(&info.method, path), Route::Paid(_))
    };
    let listed = shared.listed.iter().find(is_it)?;
    let Route::Paid(endpoint) = shared.pricer.route(&listed.info.method, path) else { return None };
    let mut answer = Response::new(Body::default());
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    if let Ok(method) = HeaderValue::from_str(&listed.info.method) {
        answer.headers_mut().insert(http::header::ALLOW, method);
    }
    Some(instead(shared, endpoint, path, answer))
}

/// The page in the place of an answer's body; status and offer stay.
pub(crate) fn instead(
    shared: &Shared,
    endpoint: usize,
    path: &str,
    answer: Response<Body>,
) -> Response<Body> {
    let (Some(listed), Some(policy)) = (shared.listed.get(endpoint), POLICY.as_ref()) else { return answer };
    let mut answer = answer.map(|_| Body::from(write(shared, listed, path).into_bytes()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HTML);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    answer
}

fn write(shared: &Shared, listed: &Listed, path: &str) -> String {
    let info = &listed.info;
    let takes_body = info.method != "GET";
    let offers = offers(shared, listed);
    let rows = match offers.as_slice() {
        [] => "<tr><td colspan=\"3\">asked for when you pay</td></tr>".to_owned(),
        offers => offers.iter().map(row).collect(),
    };
    let example = info.example.as_deref().unwrap_or("{}");
    let body = format!(
        "<p><label for=\"body\">The request's body:</label></p><textarea id=\"body\" spellcheck=\"false\">{}</textarea>",
        escaped(example)
    );
    let url = format!("{}{path}", shared.public_url.as_deref().unwrap_or_default());
    let data =
        if takes_body { format!(" --data '{}'", example.replace('\'', "'\\''")) } else { String::new() };
    let command = format!("quittance pay '{}'{data} --evm-key env:PAYER_KEY", url.replace('\'', "'\\''"));
    let sale = json!({ "method": info.method, "takesBody": takes_body }).to_string();
    let caption = if takes_body { "What the request below costs" } else { "What it costs" };
    // In one pass: what is filled in is never searched for more places to fill.
    let filled = |name: &str| match name {
        "title" | "path" => escaped(path),
        "css" => STYLE.to_owned(),
        "js" => SCRIPT.to_owned(),
        "method" => escaped(&info.method),
        "description" => escaped(&info.description),
        "pricing" => escaped(&info.summary),
        "caption" => caption.to_owned(),
        "rows" => rows.clone(),
        "body" if takes_body => body.clone(),
        "command" => escaped(&command),
        // Within a script element only `<` could end it.
        "sale" => sale.replace('<', "\\u003c"),
        _ => String::new(),
    };
    let mut page = String::with_capacity(PAGE.len().saturating_add(16_384));
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

/// What the example costs now.
fn offers(shared: &Shared, listed: &Listed) -> Vec<PaymentRequirements> {
    let Some(example) = &listed.example else { return Vec::new() };
    let resource = ResourceRef { url: "", description: None, mime_type: None };
    let offer = shared.facilitator.offer(example.service, resource, PAYMENT_REQUIRED_TEXT);
    offer.map(|offer| offer.accepts).unwrap_or_default()
}

fn row(offer: &PaymentRequirements) -> String {
    let part = |name: &str| {
        let value = offer.extra.get("breakdown").and_then(|breakdown| breakdown.get(name));
        value.and_then(|value| value.as_str()).map(str::to_owned)
    };
    let total = offer.amount().map(|amount| amount.to_usdc()).unwrap_or_default();
    let gas = part("gas_usdc").map_or_else(String::new, |gas| format!("{gas} USDC"));
    format!("<tr><td>{}</td><td>{total} USDC</td><td>{}</td></tr>", escaped(&offer.network), escaped(&gas))
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
