use quittance_protocol::{OfferPayload, SignedOffer};
use serde_json::{Value, json};

use super::*;
use crate::{Expected, Found, NotFound, Wrong, check};

const URL: &str = "https://api.example/v1/images";
const NOW: UnixSeconds = 1_800_000_000;

fn issuer() -> Issuer {
    Issuer::new(&Secret::new(format!("0x{}", "11".repeat(32)).into_bytes())).unwrap()
}

fn offer(amount: &str) -> Value {
    let accept = |network: &str, asset: &str| {
        json!({ "scheme": "exact", "network": network, "asset": asset, "payTo": "0xb", "amount": amount,
            "maxAmountRequired": amount, "maxTimeoutSeconds": 120, "extra": { "name": "USD Coin" } })
    };
    json!({ "x402Version": 2, "error": "Payment required", "resource": { "url": URL },
        "accepts": [accept("eip155:8453", "0xa"), accept("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "So1")] })
}

fn extension_of(issuer: &Issuer, amount: &str, now: UnixSeconds) -> Option<Value> {
    let text = issuer.offers(&format!("{URL}?prompt=secret"), offer(amount).to_string().as_bytes(), now)?;
    Some(serde_json::from_str(&text).unwrap())
}

fn offers_of(extension: &Value) -> Vec<SignedOffer> {
    serde_json::from_value(extension["info"]["offers"].clone()).unwrap()
}

fn receipt(issuer: &Issuer) -> SignedReceipt {
    issuer.receipt(ReceiptPayload {
        version: 1,
        network: "eip155:8453".to_owned(),
        resource_url: URL.to_owned(),
        payer: "0xPayer".to_owned(),
        issued_at: NOW + 2,
        transaction: "0xfeed".to_owned(),
    })
}

fn expected(issuer: &Issuer) -> Expected {
    Expected { signers: vec![issuer.address().to_lowercase()], ..Expected::default() }
}

#[test]
fn each_network_is_signed_without_the_query_and_no_longer_than_it_is_payable() {
    let issuer = issuer();
    let offers = offers_of(&extension_of(&issuer, "21234", NOW).unwrap());
    assert_eq!(offers.iter().map(|one| one.accept_index).collect::<Vec<_>>(), [Some(0), Some(1)]);
    for offer in &offers {
        let OfferPayload { resource_url, amount, valid_until, .. } = &offer.payload;
        assert_eq!((resource_url.as_str(), amount.as_str(), *valid_until), (URL, "21234", NOW + 120));
    }
}

#[test]
fn a_signature_is_used_again_for_a_part_of_its_life_and_never_longer() {
    let issuer = issuer();
    let first = extension_of(&issuer, "21234", NOW);
    assert_eq!(extension_of(&issuer, "21234", NOW + 29), first);
    let later = offers_of(&extension_of(&issuer, "21234", NOW + 30).unwrap());
    assert_eq!(later[0].payload.valid_until, NOW + 150);
}

/// Prices follow from bodies, and those are a stranger's to choose (P4).
#[test]
fn strangers_who_ask_for_ever_new_prices_cost_a_bounded_number_of_signatures() {
    let issuer = issuer();
    let known = extension_of(&issuer, "1", NOW);
    let fresh = |second| {
        let signed = |n: &u32| extension_of(&issuer, &format!("9{n}"), second).is_some();
        (0..FRESH_PER_SECOND_MAX).filter(signed).count()
    };
    // Two networks each.
    assert_eq!(fresh(NOW), (FRESH_PER_SECOND_MAX / 2) as usize - 1);
    assert!(extension_of(&issuer, "7", NOW).is_none(), "an offer goes out unsigned");
    assert_eq!(extension_of(&issuer, "1", NOW), known, "what is kept costs nothing");
    assert!(extension_of(&issuer, "7", NOW + 1).is_some());
    for second in 2..40 {
        fresh(NOW + second);
    }
    let kept = issuer.lock();
    assert!(kept.young.len() <= OFFERS_KEPT_MAX && kept.old.len() <= OFFERS_KEPT_MAX);
}

#[test]
fn a_url_that_nobody_should_sign_is_not_signed() {
    let long = format!("https://api.example/{}", "a".repeat(URL_BYTES_MAX));
    assert!(issuer().offers(&long, offer("1").to_string().as_bytes(), NOW).is_none());
}

#[test]
fn an_auditor_finds_the_statements_wherever_they_stand() {
    let issuer = issuer();
    let extension = extension_of(&issuer, "21234", NOW).unwrap();
    let receipt = serde_json::to_value(receipt(&issuer)).unwrap();
    let required = json!({ "x402Version": 2, "accepts": [], "extensions": { OFFER_RECEIPT: extension } });
    let response = json!({ "success": true, "extensions": super::extension(&receipt) });
    let header = quittance_protocol::encode_header(&required).unwrap();
    for document in [
        json!({ "offers": extension["info"]["offers"], "receipt": receipt }),
        json!({ "paymentRequired": required, "paymentResponse": response }),
        json!({ "PAYMENT-REQUIRED": header, "receipt": response }),
    ] {
        let found = Found::read(document.to_string().as_bytes()).unwrap();
        let checked = check(&found, &expected(&issuer)).unwrap();
        assert_eq!(checked.offers.len(), 1, "the network that was paid on");
        assert_eq!(checked.receipt.unwrap().transaction, "0xfeed");
    }
    let found = Found::read(required.to_string().as_bytes()).unwrap();
    assert_eq!(check(&found, &expected(&issuer)).unwrap().offers.len(), 2);
    for (document, wanted) in [
        (json!({}), NotFound::Nothing),
        (json!({ "offer": { "format": "jws", "signature": "a.b.c" } }), NotFound::Format("jws".to_owned())),
    ] {
        assert_eq!(Found::read(document.to_string().as_bytes()), Err(wanted));
    }
    assert!(matches!(Found::read(b"{"), Err(NotFound::NotJson(_))));
}

/// One field changed after it was signed, or one thing expected that is not so: refused by name.
#[test]
fn whatever_is_tampered_with_is_refused_by_name() {
    let issuer = issuer();
    let offers = extension_of(&issuer, "21234", NOW).unwrap()["info"]["offers"].clone();
    let good = json!({ "offer": offers[0], "receipt": receipt(&issuer) });
    let refused = |pointer: &str, value: Value| {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        match Found::read(document.to_string().as_bytes()) {
            Ok(found) => check(&found, &expected(&issuer)).unwrap_err().code(),
            Err(error) => error.to_string(),
        }
    };
    let text = |text: &str| json!(text);
    for (pointer, value, code) in [
        ("/offer/payload/amount", text("1"), "offer_signer"),
        ("/offer/payload/payTo", text("0xc"), "offer_signer"),
        ("/offer/payload/asset", text("0xc"), "offer_signer"),
        ("/offer/payload/network", text("eip155:1"), "offer_signer"),
        ("/offer/payload/scheme", text("upto"), "offer_signer"),
        ("/offer/payload/resourceUrl", text("https://other.example/"), "offer_signer"),
        ("/offer/payload/validUntil", json!(NOW + 9_999), "offer_signer"),
        ("/offer/payload/version", json!(2), "offer_version"),
        ("/offer/signature", text("0x00"), "offer_signature"),
        ("/receipt/payload/payer", text("0xOther"), "receipt_signer"),
        ("/receipt/payload/transaction", text("0xbeef"), "receipt_signer"),
        ("/receipt/payload/issuedAt", json!(1), "receipt_signer"),
        ("/receipt/payload/network", text("eip155:1"), "receipt_signer"),
        ("/receipt/payload/resourceUrl", text("https://other.example/"), "receipt_signer"),
        ("/receipt/payload/version", json!(0), "receipt_version"),
        ("/receipt/signature", good["offer"]["signature"].clone(), "receipt_signer"),
    ] {
        assert_eq!(refused(pointer, value), code, "{pointer}");
    }
    let odd = refused("/offer/payload", json!({ "scheme": "exact", "more": 1 }));
    assert!(odd.contains("offer cannot be read") && odd.contains("more"), "{odd}");
}

#[test]
fn statements_of_two_sales_and_other_facts_than_expected_are_refused_by_name() {
    let issuer = issuer();
    let all = extension_of(&issuer, "21234", NOW).unwrap()["info"]["offers"].clone();
    let found = |offer: &Value, receipt: &SignedReceipt| {
        Found::read(json!({ "offer": offer, "receipt": receipt }).to_string().as_bytes()).unwrap()
    };
    let other_url = issuer.receipt(ReceiptPayload {
        resource_url: "https://api.example/v1/other".to_owned(),
        ..receipt(&issuer).payload
    });
    let code = |found: &Found, expected: Expected| check(found, &expected).map_err(|wrong| wrong.code());
    let known = expected(&issuer);
    assert_eq!(code(&found(&all[1], &receipt(&issuer)), known.clone()).unwrap_err(), "network_mismatch");
    assert_eq!(code(&found(&all[0], &other_url), known.clone()).unwrap_err(), "resource_mismatch");
    let good = found(&all[0], &receipt(&issuer));
    let some = |text: &str| Some(text.to_owned());
    for (asked, wanted) in [
        (Expected { payer: some("0xpayer"), ..known.clone() }, Ok(())),
        (Expected { payer: some("0xOther"), ..known.clone() }, Err("payer_mismatch")),
        (Expected { amount: some("21234"), ..known.clone() }, Ok(())),
        (Expected { amount: some("1"), ..known.clone() }, Err("amount_mismatch")),
        (Expected { transaction: some("0xbeef"), ..known.clone() }, Err("transaction_mismatch")),
        (Expected { resource: some(&format!("{URL}?a=1")), ..known.clone() }, Ok(())),
        (Expected { resource: some("https://api.example/"), ..known.clone() }, Err("resource_mismatch")),
        (Expected { signers: vec!["0x19E7".to_owned()], ..Expected::default() }, Err("offer_signer")),
        (Expected::default(), Err("offer_signer")),
    ] {
        assert_eq!(code(&good, asked.clone()).map(drop), wanted.map_err(str::to_owned), "{asked:?}");
    }
    let alone = Found { receipt: None, ..good.clone() };
    let asked = Expected { payer: some("0xPayer"), ..known };
    assert_eq!(code(&alone, asked).unwrap_err(), "receipt_missing");
    assert!(matches!(check(&alone, &Expected::default()), Err(Wrong::Signer { what: "offer", .. })));
}
