//! The key and the signature's digest come out of the payload alone.

use quittance_protocol::{PaymentRequirements, Secret};
use serde_json::{Map, json};

use super::*;
use crate::check;
use crate::payer::EvmPayer;

const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const PAY_TO: &str = "0x1111111111111111111111111111111111111111";
const MOVED: &str = "0x3333333333333333333333333333333333333333";
const KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";
const USDC: Option<(&str, &str)> = Some(("USD Coin", "2"));

fn base() -> Network {
    Network::BASE.parse().unwrap()
}

fn paid(pay_to: &str) -> PaymentPayload {
    let accepted = PaymentRequirements {
        scheme: "exact".into(),
        network: Network::BASE.into(),
        asset: TOKEN.into(),
        pay_to: pay_to.into(),
        amount: "13938".into(),
        max_amount_required: None,
        max_timeout_seconds: 120,
        extra: json!({"name": "USD Coin", "version": "2"}).as_object().cloned().unwrap(),
        other: Map::new(),
    };
    let payer = EvmPayer::new(&Secret::new(KEY)).unwrap();
    let exact = payer.sign_authorization(&accepted, 1_800_000_000, [7; 32]).unwrap();
    PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted,
        payload: serde_json::to_value(exact).unwrap(),
        extensions: Map::new(),
        other: Map::new(),
    }
}

fn terms(pay_to: &str) -> check::Terms {
    let token = text::address(TOKEN).unwrap();
    check::Terms {
        network: Network::BASE.to_owned(),
        chain_id: 8453,
        token,
        pay_to: text::address(pay_to).unwrap(),
        wallet: text::address("0x2222222222222222222222222222222222222222").unwrap(),
        multicall: alloy::primitives::Address::repeat_byte(0xca),
        wallets: ["22", "23"].map(|byte| text::address(&format!("0x{}", byte.repeat(20))).unwrap()).to_vec(),
        separator: domain("USD Coin", "2", 8453, token).separator(),
        authorization_seconds_max: 900,
        valid_before_margin_seconds: 6,
        contract_payers: true,
    }
}

#[test]
fn it_names_the_payment_that_the_checks_would_have_named() {
    let payload = paid(PAY_TO);
    let checked = check::check(&terms(PAY_TO), &payload, None).unwrap();
    assert!(check::check(&terms(MOVED), &payload, None).is_err(), "pay_to has moved");
    let found = identify(&base(), &payload, None).unwrap();
    assert_eq!((found.key, found.payer), (checked.key(), checked.payer()));
    assert!(found.digests.contains(&checked.signature_digest()));
    assert!(found.is_signed, "by the domain that the offer named");
}

/// imgnAI's clients echo an offer without `extra`.
#[test]
fn the_configured_domain_is_tried_where_the_echo_has_none() {
    let mut payload = paid(PAY_TO);
    payload.accepted.extra.clear();
    assert!(!identify(&base(), &payload, None).unwrap().is_signed);
    assert!(identify(&base(), &payload, USDC).unwrap().is_signed);
}

/// A payer's contract vouches for any bytes, and they are the digest.
#[test]
fn a_contracts_signature_has_its_digest_among_them() {
    let mut payload = paid(PAY_TO);
    payload.payload["signature"] = json!(format!("0x{}", "ab".repeat(65)));
    let checked = check::check(&terms(PAY_TO), &payload, None).unwrap();
    let found = identify(&base(), &payload, USDC).unwrap();
    assert!(found.digests.contains(&checked.signature_digest()));
    assert!(!found.is_signed);
}

/// Every spelling of one signature is the same holder; another signature is not.
#[test]
fn a_made_up_signature_holds_nothing() {
    let payload = paid(PAY_TO);
    let found = identify(&base(), &payload, USDC).unwrap();
    let mut other = payload.clone();
    other.payload["authorization"]["validBefore"] = json!("1800000999");
    let made_up = identify(&base(), &other, USDC).unwrap();
    assert_eq!(made_up.key, found.key, "the same authorization");
    assert!(!made_up.is_signed);
    for damage in [
        |p: &mut PaymentPayload| p.payload = json!({}),
        |p: &mut PaymentPayload| p.payload["authorization"]["nonce"] = json!("0x07"),
        |p: &mut PaymentPayload| p.accepted.asset = "USDC".to_owned(),
        |p: &mut PaymentPayload| p.payload["signature"] = json!("signature"),
    ] {
        let mut broken = payload.clone();
        damage(&mut broken);
        assert_eq!(identify(&base(), &broken, USDC), None);
    }
    let solana: Network = Network::SOLANA.parse().unwrap();
    assert_eq!(identify(&solana, &payload, USDC), None);
}

/// A signer that does not know EIP-2 makes the other of two signatures of the same key: refused as
/// a payment, but never told to sign once more while the payment's outcome is unknown.
#[test]
fn a_high_s_signature_names_the_payment_and_its_payer_and_holds_nothing() {
    let mut payload = paid(PAY_TO);
    let low = identify(&base(), &payload, USDC).unwrap();
    let signature = payload.payload["signature"].as_str().unwrap();
    let mut bytes = alloy::primitives::hex::decode(signature).unwrap();
    let n = alloy::primitives::uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let s = n - U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    bytes[64] = 55 - bytes[64];
    payload.payload["signature"] = json!(alloy::primitives::hex::encode_prefixed(&bytes));
    assert!(check::check(&terms(PAY_TO), &payload, None).is_err(), "never a payment");
    let high = identify(&base(), &payload, USDC).unwrap();
    assert_eq!((high.key, high.is_signed), (low.key, true));
    assert!(high.digests.iter().all(|digest| !low.digests.contains(digest)));
    bytes[64] = 55 - bytes[64];
    payload.payload["signature"] = json!(alloy::primitives::hex::encode_prefixed(&bytes));
    assert!(!identify(&base(), &payload, USDC).unwrap().is_signed, "another key's");
}

/// Customers of x402 version 1 say nowhere else what they pay.
#[test]
fn the_amount_is_what_was_signed() {
    use quittance_chain::Decode as _;
    let decode = crate::EvmDecode::new(base());
    let signed = paid(PAY_TO).payload;
    assert_eq!(decode.amount(&signed), Some(quittance_protocol::Amount::new(13_938)));
    for value in [json!("-1"), json!("0x1"), json!(1.5), json!("18446744073709551616"), json!(null)] {
        let mut odd = signed.clone();
        odd["authorization"]["value"] = value;
        assert_eq!(decode.amount(&odd), None, "{odd}");
    }
    assert_eq!(decode.amount(&json!({})), None);
}
