//! Every local refusal; each row is signed again after its change, so that it reaches its check.

use quittance_protocol::{
    ErrorCode, EvmExactPayload, Network, NumberText, PaymentPayload, PaymentRequirements, Secret,
};
use serde_json::{Map, Value, json};

use super::*;
use crate::abi::TransferWithAuthorization;
use crate::config::{CONTRACT_SIGNATURE_BYTES_MAX, EvmConfig};
use crate::keys::SigningKey;
use crate::payer::EvmPayer;
use crate::payment::{SignatureKind, domain};
use crate::signature::EcdsaSignature;
use alloy::primitives::U256;

const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const PAY_TO: &str = "0x1111111111111111111111111111111111111111";
const PAYER_KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";
const OTHER_KEY: &str = "0x0223456789012345678901234567890123456789012345678901234567890123";

fn terms() -> Terms {
    let config = EvmConfig::new(Network::BASE.parse().unwrap(), vec![], TOKEN, PAY_TO);
    let token = text::address(TOKEN).unwrap();
    Terms {
        network: config.network.as_str().to_owned(),
        chain_id: 8453,
        token,
        pay_to: text::address(PAY_TO).unwrap(),
        wallet: text::address("0x2222222222222222222222222222222222222222").unwrap(),
        multicall: Address::repeat_byte(0xca),
        wallets: ["22", "23"].map(|byte| text::address(&format!("0x{}", byte.repeat(20))).unwrap()).to_vec(),
        separator: domain("USD Coin", "2", 8453, token).separator(),
        authorization_seconds_max: config.authorization_seconds_max,
        valid_before_margin_seconds: config.valid_before_margin_seconds,
        contract_payers: false,
    }
}

fn requirements() -> PaymentRequirements {
    PaymentRequirements {
        scheme: "exact".into(),
        network: Network::BASE.into(),
        asset: TOKEN.into(),
        pay_to: PAY_TO.into(),
        amount: "13938".into(),
        max_amount_required: None,
        max_timeout_seconds: 120,
        extra: Map::new(),
        other: Map::new(),
    }
}

fn payload() -> PaymentPayload {
    let payer = EvmPayer::new(&Secret::new(PAYER_KEY)).unwrap();
    let exact = payer.sign_authorization(&requirements(), NOW, [7; 32]).unwrap();
    PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted: requirements(),
        payload: serde_json::to_value(exact).unwrap(),
        extensions: Map::new(),
        other: Map::new(),
    }
}

/// Signs whatever the authorization says now, with the payer's key.
fn sign_again(payload: &mut PaymentPayload) {
    let exact: EvmExactPayload = serde_json::from_value(payload.payload.clone()).unwrap();
    let a = &exact.authorization;
    let (Some(from), Some(to), Some(nonce)) =
        (text::address(&a.from), text::address(&a.to), text::word(&a.nonce))
    else {
        return;
    };
    let (Some(value), Some(after), Some(before)) =
        (a.value.to_u64(), a.valid_after.to_u64(), a.valid_before.to_u64())
    else {
        return;
    };
    let message = TransferWithAuthorization {
        from,
        to,
        value: U256::from(value),
        validAfter: U256::from(after),
        validBefore: U256::from(before),
        nonce,
    };
    let key = SigningKey::parse(&Secret::new(PAYER_KEY)).unwrap();
    payload.payload["signature"] =
        json!(key.sign(authorization_digest(terms().separator, &message)).to_hex());
}

fn run(change: impl FnOnce(&mut PaymentPayload)) -> Result<EvmPayment, EvmError> {
    let mut payload = payload();
    change(&mut payload);
    check(&terms(), &payload, Some(NOW))
}

fn authorization(payload: &mut PaymentPayload) -> &mut Value {
    &mut payload.payload["authorization"]
}

type Change = Box<dyn Fn(&mut PaymentPayload)>;

fn set(field: &'static str, value: Value) -> Change {
    Box::new(move |p| authorization(p)[field] = value.clone())
}

#[test]
fn the_untouched_payment_passes() {
    let payment = run(|_| {}).unwrap();
    assert_eq!(payment.amount(), Amount::new(13_938));
    assert_eq!(payment.payer(), EvmPayer::new(&Secret::new(PAYER_KEY)).unwrap().address());
    assert_eq!(payment.pay_to(), PAY_TO);
    assert_eq!(payment.deadline(), quittance_protocol::Deadline::UnixSeconds(NOW + 120));
    assert_eq!(payment.signature_kind(), SignatureKind::Ecdsa);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_refusal_is_reached_with_a_good_signature() {
    let bad = |field, wanted| EvmError::Payload { field, wanted };
    let address = "0x and 40 hex digits";
    let seconds = "Unix seconds below 2^64";
    let value = "atomic units below 2^64";
    let payload_shape = bad("payload", "an EIP-3009 authorization with a signature");
    let rows: Vec<(&str, Change, EvmError)> = vec![
        ("version 1", Box::new(|p| p.x402_version = 1), EvmError::Version),
        ("version 3", Box::new(|p| p.x402_version = 3), EvmError::Version),
        ("scheme", Box::new(|p| p.accepted.scheme = "upto".into()), EvmError::Scheme),
        ("scheme case", Box::new(|p| p.accepted.scheme = "Exact".into()), EvmError::Scheme),
        ("network", Box::new(|p| p.accepted.network = Network::BASE_SEPOLIA.into()), EvmError::Network),
        ("v1 network name", Box::new(|p| p.accepted.network = "base".into()), EvmError::Network),
        ("asset", Box::new(|p| p.accepted.asset = PAY_TO.into()), EvmError::Asset),
        ("asset garbage", Box::new(|p| p.accepted.asset = "USDC".into()), EvmError::Asset),
        ("echoed recipient", Box::new(|p| p.accepted.pay_to = TOKEN.into()), EvmError::Recipient),
        ("signed recipient", set("to", json!(TOKEN)), EvmError::Recipient),
        ("amount + 1", set("value", json!("13939")), EvmError::ValueMismatch),
        ("amount − 1", set("value", json!("13937")), EvmError::ValueMismatch),
        ("echoed amount + 1", Box::new(|p| p.accepted.amount = "13939".into()), EvmError::ValueMismatch),
        ("echoed amount garbage", Box::new(|p| p.accepted.amount = "0x1".into()), EvmError::Value),
        (
            "zero",
            Box::new(|p| {
                p.accepted.amount = "0".into();
                authorization(p)["value"] = json!("0");
            }),
            EvmError::Value,
        ),
        ("expired", set("validBefore", json!(NOW.to_string())), EvmError::Expired),
        ("within the margin", set("validBefore", json!((NOW + 5).to_string())), EvmError::Expired),
        (
            "too far ahead",
            set("validBefore", json!((NOW + 901).to_string())),
            EvmError::TooFarAhead { max_seconds: 900 },
        ),
        (
            "end of time",
            set("validBefore", json!(u64::MAX.to_string())),
            EvmError::TooFarAhead { max_seconds: 900 },
        ),
        ("not yet valid", set("validAfter", json!((NOW + 1).to_string())), EvmError::NotYetValid),
        ("negative text", set("value", json!("-13938")), bad("value", value)),
        ("negative number", set("value", json!(-13938)), payload_shape.clone()),
        ("fraction", set("value", json!(13938.5)), payload_shape.clone()),
        ("value overflow", set("value", json!("18446744073709551616")), bad("value", value)),
        ("hex value", set("value", json!("0x3672")), bad("value", value)),
        ("validAfter overflow", set("validAfter", json!("18446744073709551616")), bad("validAfter", seconds)),
        ("validBefore empty", set("validBefore", json!("")), bad("validBefore", seconds)),
        ("from garbage", set("from", json!("vitalik.eth")), bad("from", address)),
        ("from without 0x", set("from", json!("11".repeat(20))), bad("from", address)),
        ("from 0X", set("from", json!(format!("0X{}", "11".repeat(20)))), bad("from", address)),
        ("from short", set("from", json!(format!("0x{}", "11".repeat(19)))), bad("from", address)),
        ("to odd hex", set("to", json!(format!("0x{}1", "11".repeat(19)))), bad("to", address)),
        ("nonce short", set("nonce", json!("0x07")), bad("nonce", "0x and 64 hex digits")),
        ("nonce number", set("nonce", json!(7)), payload_shape.clone()),
        ("payer is the recipient", set("from", json!(PAY_TO)), EvmError::SelfPayment),
        ("payer is our wallet", set("from", json!(format!("0x{}", "22".repeat(20)))), EvmError::SelfPayment),
        (
            "payer is another one of ours",
            set("from", json!(format!("0x{}", "23".repeat(20)))),
            EvmError::SelfPayment,
        ),
        ("payer is the token", set("from", json!(TOKEN)), EvmError::SelfPayment),
        ("payer is nobody", set("from", json!(format!("0x{}", "00".repeat(20)))), EvmError::SelfPayment),
        ("no authorization", Box::new(|p| p.payload = json!({"signature": "0x00"})), payload_shape.clone()),
        ("payload text", Box::new(|p| p.payload = json!("0x")), payload_shape.clone()),
        (
            "signed for another payer",
            set("from", json!(format!("0x{}", "33".repeat(20)))),
            EvmError::Signature,
        ),
    ];
    for (name, change, expected) in rows {
        let outcome = run(|p| {
            change(p);
            if p.payload.get("authorization").is_some()
                && serde_json::from_value::<EvmExactPayload>(p.payload.clone()).is_ok()
            {
                sign_again(p);
            }
        });
        assert_eq!(outcome.unwrap_err(), expected, "{name}");
        assert!(!expected.retry(), "{name}: a local refusal is final");
    }
}

#[test]
fn what_may_differ_passes() {
    let rows: Vec<(&str, Change)> = vec![
        (
            "numeric timestamps",
            Box::new(|p| {
                authorization(p)["validAfter"] = json!(0);
                authorization(p)["validBefore"] = json!(NOW + 120);
            }),
        ),
        ("numeric value", set("value", json!(13938))),
        ("valid from this second", set("validAfter", json!(NOW.to_string()))),
        ("last second of the margin", set("validBefore", json!((NOW + 6).to_string()))),
        ("as far ahead as allowed", set("validBefore", json!((NOW + 900).to_string()))),
        (
            "lower case",
            Box::new(|p| {
                p.accepted.asset = p.accepted.asset.to_lowercase();
                let from = authorization(p)["from"].as_str().unwrap().to_lowercase();
                authorization(p)["from"] = json!(from);
            }),
        ),
        (
            "upper case digits",
            Box::new(|p| {
                p.accepted.asset = format!("0x{}", p.accepted.asset[2..].to_uppercase());
            }),
        ),
        ("without extra", Box::new(|p| p.accepted.extra = Map::new())),
        (
            "a lying extra",
            Box::new(|p| {
                p.accepted.extra.insert("name".into(), json!("Evil Coin"));
            }),
        ),
        (
            "unknown fields",
            Box::new(|p| {
                p.payload["future"] = json!(true);
                authorization(p)["memo"] = json!("x");
            }),
        ),
    ];
    for (name, change) in rows {
        let outcome = run(|p| {
            change(p);
            sign_again(p);
        });
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

fn signature_of(payload: &PaymentPayload) -> Vec<u8> {
    alloy::primitives::hex::decode(payload.payload["signature"].as_str().unwrap()).unwrap()
}

fn with_signature(bytes: &[u8]) -> impl FnOnce(&mut PaymentPayload) {
    let text = alloy::primitives::hex::encode_prefixed(bytes);
    move |p| p.payload["signature"] = json!(text)
}

#[test]
fn all_encodings_of_one_signature_are_one() {
    let original = payload();
    let bytes = signature_of(&original);
    let expected = run(|_| {}).unwrap();
    let mut zero_based = bytes.clone();
    zero_based[64] -= 27;
    let mut compact = bytes[..64].to_vec();
    compact[32] |= (bytes[64] - 27) << 7;
    for (name, encoding) in [("v 27/28", bytes.clone()), ("v 0/1", zero_based), ("EIP-2098", compact)] {
        let payment = run(with_signature(&encoding)).unwrap();
        assert_eq!(payment, expected, "{name}");
        assert_eq!(payment.signature_digest(), expected.signature_digest(), "{name}");
        assert_eq!(payment.key(), expected.key(), "{name}");
    }
    let upper = run(|p| {
        p.payload["signature"] = json!(format!("0x{}", alloy::primitives::hex::encode_upper(&bytes)));
    });
    assert_eq!(upper.unwrap(), expected);
}

/// The twin that anyone can compute: n − s with the other parity recovers to the same address.
#[test]
fn a_malleated_signature_is_refused_even_where_contracts_may_pay() {
    let order =
        alloy::primitives::uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let mut bytes = signature_of(&payload());
    let high = order - U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&high.to_be_bytes::<32>());
    bytes[64] = 27 + 28 - bytes[64];
    let twin = EcdsaSignature {
        r: B256::from_slice(&bytes[..32]),
        s: B256::from_slice(&bytes[32..64]),
        y_odd: bytes[64] == 28,
    };
    let honest = run(|_| {}).unwrap();
    let message = TransferWithAuthorization {
        from: honest.from,
        to: honest.to,
        value: U256::from(honest.value),
        validAfter: U256::from(honest.valid_after),
        validBefore: U256::from(honest.valid_before),
        nonce: honest.nonce,
    };
    let digest = authorization_digest(terms().separator, &message);
    assert_eq!(twin.recover(digest), Some(honest.from), "the twin must be a working forgery of the encoding");
    for contract_payers in [false, true] {
        let mut malleated = payload();
        with_signature(&bytes)(&mut malleated);
        let terms = Terms { contract_payers, ..terms() };
        assert_eq!(check(&terms, &malleated, Some(NOW)), Err(EvmError::SignatureHighS));
    }
}

#[test]
fn signature_forms() {
    let good = signature_of(&payload());
    let mut forged = payload();
    let other = EvmPayer::new(&Secret::new(OTHER_KEY)).unwrap();
    let foreign = other.sign_authorization(&requirements(), NOW, [7; 32]).unwrap();
    forged.payload["signature"] = json!(foreign.signature);
    let forged_bytes = signature_of(&forged);
    let wrapped = [&good[..], &[0x64, 0x92].repeat(16)[..]].concat();
    let huge_wrapped = [vec![1; CONTRACT_SIGNATURE_BYTES_MAX], [0x64, 0x92].repeat(16)].concat();
    // (name, signature text, refusal where only keys may pay, refusal where contracts may pay)
    let hex = |bytes: &[u8]| alloy::primitives::hex::encode_prefixed(bytes);
    let signature = Some(EvmError::Signature);
    let form = Some(EvmError::SignatureForm);
    let wrapper = Some(EvmError::SignatureErc6492);
    let rows: Vec<(&str, String, Option<EvmError>, Option<EvmError>)> = vec![
        ("forged", hex(&forged_bytes), signature.clone(), None),
        ("short", hex(&good[..63]), signature.clone(), None),
        ("long", hex(&[&good[..], &[0]].concat()), signature.clone(), None),
        ("v 29", hex(&[&good[..64], &[29]].concat()), signature.clone(), None),
        ("zero", hex(&[0; 65]), signature.clone(), None),
        ("r above the order", hex(&[&[0xff; 32], &good[32..]].concat()), signature.clone(), None),
        ("longest", hex(&[1; CONTRACT_SIGNATURE_BYTES_MAX]), signature.clone(), None),
        ("too long", hex(&[1; CONTRACT_SIGNATURE_BYTES_MAX + 1]), form.clone(), form.clone()),
        ("empty", "0x".into(), form.clone(), form.clone()),
        ("nothing", String::new(), form.clone(), form.clone()),
        ("no prefix", hex(&good)[2..].to_owned(), form.clone(), form.clone()),
        ("odd hex", hex(&good)[..131].to_owned(), form.clone(), form.clone()),
        ("no hex", format!("0x{}", "zz".repeat(65)), form.clone(), form.clone()),
        ("ERC-6492", hex(&wrapped), wrapper.clone(), wrapper.clone()),
        ("long ERC-6492", hex(&huge_wrapped), wrapper.clone(), wrapper),
    ];
    for (name, text, keys_only, with_contracts) in rows {
        let mut changed = payload();
        changed.payload["signature"] = json!(text);
        assert_eq!(check(&terms(), &changed, Some(NOW)).err(), keys_only, "{name}, keys only");
        let open = Terms { contract_payers: true, ..terms() };
        let outcome = check(&open, &changed, Some(NOW));
        assert_eq!(outcome.clone().err(), with_contracts, "{name}, contracts too");
        if let Ok(payment) = outcome {
            assert_eq!(payment.signature_kind(), SignatureKind::Contract, "{name}");
        }
    }
}

#[test]
fn a_signature_over_another_domain_is_not_this_payments() {
    let payer = EvmPayer::new(&Secret::new(PAYER_KEY)).unwrap();
    for (field, value) in [("name", "USDC"), ("version", "1")] {
        let mut other = requirements();
        other.extra.insert(field.into(), json!(value));
        let exact = payer.sign_authorization(&other, NOW, [7; 32]).unwrap();
        assert_eq!(
            run(|p| p.payload = serde_json::to_value(exact).unwrap()),
            Err(EvmError::Signature),
            "{field}"
        );
    }
}

#[test]
fn a_payment_survives_the_ledger() {
    let payment = run(|_| {}).unwrap();
    let json = serde_json::to_string(&payment).unwrap();
    assert_eq!(serde_json::from_str::<EvmPayment>(&json).unwrap(), payment);
    let mut changed = payload();
    changed.payload["signature"] = json!("0x0102");
    let contract = check(&Terms { contract_payers: true, ..terms() }, &changed, Some(NOW)).unwrap();
    let json = serde_json::to_string(&contract).unwrap();
    assert_eq!(serde_json::from_str::<EvmPayment>(&json).unwrap(), contract);
    assert_ne!(contract.signature_digest(), payment.signature_digest());
    assert_eq!(contract.key(), payment.key());
}

#[test]
fn wire_codes_are_the_reference_ones() {
    for (error, code) in [
        (EvmError::Version, ErrorCode::InvalidX402Version),
        (EvmError::Network, ErrorCode::InvalidExactEvmNetworkMismatch),
        (EvmError::Recipient, ErrorCode::InvalidExactEvmRecipientMismatch),
        (EvmError::ValueMismatch, ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch),
        (EvmError::NotYetValid, ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter),
        (EvmError::Expired, ErrorCode::InvalidExactEvmPayloadAuthorizationValidBefore),
        (EvmError::Signature, ErrorCode::InvalidExactEvmSignature),
        (EvmError::SignatureErc6492, ErrorCode::Eip6492FactoryNotAllowed),
        (EvmError::NonceAlreadyUsed, ErrorCode::InvalidExactEvmNonceAlreadyUsed),
        (EvmError::InsufficientBalance, ErrorCode::InvalidExactEvmInsufficientBalance),
    ] {
        assert_eq!(error.wire_code(), code);
    }
}

#[test]
fn the_payer_writes_numbers_as_text() {
    let exact = payload().payload;
    for field in ["value", "validAfter", "validBefore"] {
        let number: NumberText = serde_json::from_value(exact["authorization"][field].clone()).unwrap();
        assert!(matches!(number, NumberText::Text(_)), "{field}");
    }
}

proptest::proptest! {
    /// Whatever is flipped in a signed payment, it is never taken for the payer's.
    #[test]
    fn no_single_flipped_signature_bit_passes(bit in 0_usize..512) {
        let mut bytes = signature_of(&payload());
        bytes[bit / 8] ^= 1 << (bit % 8);
        proptest::prop_assert!(run(with_signature(&bytes)).is_err());
    }
}

/// The signature of a payment that was found good a moment ago, and is remembered.
#[test]
fn a_good_signature_is_good_for_nothing_else() {
    let (other, stranger) = (Some(EvmError::Signature), "0x4444444444444444444444444444444444444444");
    let old = check(&terms(), &payload(), Some(NOW)).unwrap();
    for _ in 0..3 {
        assert_eq!(run(|_| {}).unwrap(), old, "copies pass");
        // What was not signed again is not signed.
        for (field, value) in [
            ("from", json!(stranger)),
            ("validAfter", json!("1")),
            ("validBefore", json!((NOW + 60).to_string())),
            ("nonce", json!(format!("0x{}", "08".repeat(32)))),
        ] {
            assert_eq!(run(set(field, value)).err(), other, "{field}");
        }
        let more = |p: &mut PaymentPayload| {
            p.accepted.amount = "13939".into();
            authorization(p)["value"] = json!("13939");
        };
        assert_eq!(run(more).err(), other);
        let mut bytes = signature_of(&payload());
        bytes[64] = 27 + 28 - bytes[64];
        assert_eq!(run(with_signature(&bytes)).err(), other, "the other parity is another signature");
        let domain = Terms { separator: domain("USD Coin", "1", 8453, terms().token).separator(), ..terms() };
        assert_eq!(check(&domain, &payload(), Some(NOW)).err(), other, "of another token's domain");
        // Where contracts pay, it is a key's here and only perhaps a contract's there.
        let contracts = Terms { contract_payers: true, ..terms() };
        let mut foreign = payload();
        set("from", json!(stranger))(&mut foreign);
        let kind = |payload: &PaymentPayload| {
            check(&contracts, payload, Some(NOW)).map(|payment| payment.signature_kind())
        };
        assert_eq!(kind(&payload()), Ok(SignatureKind::Ecdsa));
        assert_eq!(kind(&foreign), Ok(SignatureKind::Contract));
        // All that is no signature is compared each time.
        let late = check(&terms(), &payload(), Some(NOW + 1_000)).err();
        assert_eq!(late, Some(EvmError::Expired));
        let elsewhere = Terms { pay_to: terms().token, ..terms() };
        assert_eq!(check(&elsewhere, &payload(), Some(NOW)).err(), Some(EvmError::Recipient));
    }
}
