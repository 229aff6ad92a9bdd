//! What the gate signs: offers, and receipts of what was paid for and given.

use std::sync::Arc;

use quittance_protocol::{Secret, SignedReceipt};
use quittance_receipts::{Expected, Found, Issuer, check};
use serde_json::{Value, json};

use super::reply::Reply;
use super::{Answer, Ask, app, call, paid, saying};
use crate::GateBuilder;
use crate::testing::{Double, gate};

fn issuer() -> Issuer {
    Issuer::new(&Secret::new(format!("0x{}", "11".repeat(32)).into_bytes())).unwrap()
}

fn signing(double: &Arc<Double>) -> GateBuilder {
    gate(double).signed_by(issuer())
}

fn expected() -> Expected {
    Expected { signers: vec![issuer().address()], ..Expected::default() }
}

fn found(value: &Value) -> Result<Found, quittance_receipts::NotFound> {
    Found::read(value.to_string().as_bytes())
}

async fn unpaid(gate: GateBuilder, path: &str) -> Answer {
    call(&saying(gate, || Reply::ok().empty()), Ask::post(path).body("{}")).await
}

/// The signed receipt of an answer.
fn receipt_of(answer: &Answer) -> Option<SignedReceipt> {
    found(&answer.decoded("payment-response")).ok()?.receipt
}

#[tokio::test]
async fn a_402_carries_the_sellers_signature_in_header_and_body() {
    let answer = unpaid(signing(&Arc::default()), "/gen?prompt=secret").await;
    assert_eq!(answer.status, 402);
    let header = answer.decoded("payment-required");
    for message in [&header, &answer.json()] {
        let checked = check(&found(message).unwrap(), &expected()).unwrap();
        let offer = &checked.offers[0];
        assert_eq!((offer.resource_url.as_str(), offer.amount.as_str()), ("https://api.test/gen", "12000"));
        assert_eq!(offer.valid_until, 1_800_000_000 + 120);
    }
    assert_eq!(header["accepts"][0]["amount"], "12000", "the offer itself is what it was");
    assert_eq!(answer.json()["x402Version"], 1);
}

/// The head of a 402 stays what proxies take: what has no room in it is in the body alone.
#[tokio::test]
async fn signatures_leave_the_header_before_it_grows_past_its_limit() {
    let path = format!("/items/{}", "a".repeat(980));
    let unsigned = unpaid(gate(&Arc::default()), &path).await;
    let signed = unpaid(signing(&Arc::default()), &path).await;
    assert_eq!(signed.header("payment-required"), unsigned.header("payment-required"));
    assert!(check(&found(&signed.json()).unwrap(), &expected()).is_ok());
}

#[tokio::test]
async fn what_was_given_has_a_signed_receipt_and_every_repeat_has_the_same() {
    let double = Arc::new(Double::default());
    let app = app(signing(&double), |_| async {
        Reply::ok().header("quittance-signed-receipt", "{}").body("served")
    });
    let first = call(&app, paid("/gen?prompt=secret")).await;
    let receipt = receipt_of(&first).expect("a receipt");
    let said = check(&found(&json!({ "receipt": receipt })).unwrap(), &expected()).unwrap().receipt.unwrap();
    assert_eq!((said.payer.as_str(), said.transaction.as_str()), ("0xpayer", "0xhash"));
    assert_eq!((said.resource_url.as_str(), said.issued_at), ("https://api.test/gen", 1_800_000_000));
    let again = call(&app, paid("/gen?prompt=secret")).await;
    assert_eq!((receipt_of(&again), &again.body[..]), (Some(receipt), &b"served"[..]));
    for answer in [&first, &again] {
        assert_eq!(answer.header("quittance-signed-receipt"), None);
    }
}

#[tokio::test]
async fn nothing_is_signed_of_what_was_not_given() {
    for status in [400, 404, 500, 503] {
        let app = saying(signing(&Arc::default()), move || Reply::of(status).body("no"));
        assert_eq!(receipt_of(&call(&app, paid("/gen")).await), None, "{status}");
    }
    let app = saying(gate(&Arc::default()), || Reply::ok().body("served"));
    let answer = call(&app, paid("/gen")).await;
    assert_eq!(answer.decoded("payment-response").get("extensions"), None, "a gate without a key");
}

/// The head of a stream goes out before anything is given; who wants the receipt asks again.
#[tokio::test]
async fn a_stream_has_its_receipt_when_it_is_asked_for_again() {
    let app = saying(signing(&Arc::default()), || {
        let pieces = futures::stream::iter([Ok("data: 1\n\n".into()), Ok("data: 2\n\n".into())]);
        Reply::ok().header("content-type", "text/event-stream").stream(pieces)
    });
    let live = call(&app, paid("/gen")).await;
    assert_eq!((live.header("payment-state"), receipt_of(&live)), (Some("running"), None));
    let again = call(&app, paid("/gen")).await;
    assert_eq!(again.body, live.body);
    assert!(receipt_of(&again).is_some());
}

#[tokio::test]
async fn the_sellers_pages_say_whose_signature_it_is() {
    let app = saying(signing(&Arc::default()), || Reply::ok().empty());
    let shown = call(&app, Ask::get("/.well-known/x402")).await.json();
    let signer = issuer().address();
    let did = format!("did:pkh:eip155:1:{signer}");
    assert_eq!(shown["receipts"], json!({ "format": "eip712", "signer": signer, "did": did }));
}
