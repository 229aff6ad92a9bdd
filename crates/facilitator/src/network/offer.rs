//! What a customer is offered: as a value for discovery and tests, and as text
//! for the 402 itself. Pure, from memory (P4).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quittance_protocol::{Amount, OFFERED_IDENTIFIER, PaymentRequired, ResourceRef, X402_VERSION};
use serde::Serialize;
use serde_json::{Map, json};

use crate::api::NothingToOffer;
use crate::api::receipts::UNAVAILABLE_RETRY_SECONDS;
use crate::network::configured::ConfiguredNetwork;

/// What every 402 says after its networks, around a word that is new each time.
///
/// Official clients echo an offer's extensions whole. So the word comes back
/// with the payment and nowhere else: unlike the signature it never goes on the
/// chain, and tells the customer from who reads it there (P6).
const EXTENSIONS: [&str; 2] = [r#"{"payment-identifier":{"info":{"required":false,"id":""#, r#""}}}"#];

/// Networks where payers without history have to wait come last: clients take the
/// first offer that they can pay, and an offer does not know who reads it (P3).
fn in_order(networks: &[Arc<ConfiguredNetwork>]) -> impl Iterator<Item = &Arc<ConfiguredNetwork>> {
    let group =
        |waits| networks.iter().filter(move |net| net.strangers_wait.load(Ordering::Acquire) == waits);
    group(false).chain(group(true))
}

/// The offer of `service` on every network that is open now.
pub(crate) fn offer(
    networks: &[Arc<ConfiguredNetwork>],
    now_ms: i64,
    service: Amount,
    resource: ResourceRef<'_>,
    error: &str,
) -> Result<PaymentRequired, NothingToOffer> {
    let accepts: Vec<_> = in_order(networks).filter_map(|net| net.offer(service, now_ms)).collect();
    if accepts.is_empty() {
        return Err(nothing(networks, now_ms));
    }
    let mut extensions = Map::new();
    extensions.insert("payment-identifier".to_owned(), json!({ "info": { "required": false } }));
    Ok(PaymentRequired {
        x402_version: X402_VERSION,
        error: Some(error.to_owned()),
        resource: Some(resource.to_info()),
        accepts,
        extensions,
        other: Map::new(),
    })
}

/// Appends the JSON of [`offer`], byte for byte but for the identifier made of
/// `word`; nothing when there is no offer.
pub(crate) fn write_offer(
    networks: &[Arc<ConfiguredNetwork>],
    now_ms: i64,
    service: Amount,
    resource: ResourceRef<'_>,
    error: &str,
    word: [u8; 16],
    out: &mut Vec<u8>,
) -> Result<(), NothingToOffer> {
    let start = out.len();
    out.extend_from_slice(br#"{"x402Version":2,"error":"#);
    push_json(&error, out);
    out.extend_from_slice(br#","resource":"#);
    push_json(&resource, out);
    out.extend_from_slice(br#","accepts":["#);
    let none = out.len();
    for net in in_order(networks) {
        let before = out.len();
        if before > none {
            out.push(b',');
        }
        if net.write_offer(service, now_ms, out).is_none() {
            out.truncate(before);
        }
    }
    if out.len() == none {
        out.truncate(start);
        return Err(nothing(networks, now_ms));
    }
    out.extend_from_slice(br#"],"extensions":"#);
    let [before, after] = EXTENSIONS;
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(OFFERED_IDENTIFIER.as_bytes());
    let mut hex = [0; 32];
    if hex::encode_to_slice(word, &mut hex).is_ok() {
        out.extend_from_slice(&hex);
    }
    out.extend_from_slice(after.as_bytes());
    out.push(b'}');
    Ok(())
}

/// Appends the offer in x402 version 1, as the body of a 402 has it; nothing, and `false`,
/// where no open network has a name in it.
pub(crate) fn write_offer_v1(
    networks: &[Arc<ConfiguredNetwork>],
    now_ms: i64,
    service: Amount,
    resource: ResourceRef<'_>,
    error: &str,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    out.extend_from_slice(br#"{"x402Version":1,"error":"#);
    push_json(&error, out);
    out.extend_from_slice(br#","accepts":["#);
    // Its clients read these of every element, and refuse an offer that lacks one.
    let mut sold = br#""resource":"#.to_vec();
    push_json(&resource.url, &mut sold);
    sold.extend_from_slice(br#","description":"#);
    push_json(&resource.description.unwrap_or_default(), &mut sold);
    sold.extend_from_slice(br#","mimeType":"#);
    push_json(&resource.mime_type.unwrap_or_default(), &mut sold);
    let none = out.len();
    for net in in_order(networks) {
        let before = out.len();
        if before > none {
            out.push(b',');
        }
        if net.write_offer_v1(service, &sold, now_ms, out).is_none() {
            out.truncate(before);
        }
    }
    if out.len() == none {
        out.truncate(start);
        return false;
    }
    out.extend_from_slice(b"]}");
    true
}

/// Text and plain structs of text always have a JSON form, and memory takes it.
fn push_json<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn nothing(networks: &[Arc<ConfiguredNetwork>], now_ms: i64) -> NothingToOffer {
    let soonest = networks.iter().filter(|net| !net.retired).map(|net| net.retry_after_seconds(now_ms)).min();
    let sold = networks.iter().filter(|net| !net.retired);
    let closed = sold.filter_map(|net| Some((net.chain.network().clone(), net.open(now_ms).err()?.as_str())));
    NothingToOffer {
        retry_after_seconds: soonest.unwrap_or(UNAVAILABLE_RETRY_SECONDS),
        closed: closed.collect(),
    }
}

#[cfg(test)]
mod tests;
