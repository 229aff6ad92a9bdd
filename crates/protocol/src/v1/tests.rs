use serde_json::json;

use super::*;
use crate::{ErrorCode, PaymentKey, SellerTerms, SettleResponse, VerifyResponse};

const FROM: &str = "0x00000000000000000000000000000000000000F1";

fn payload() -> Value {
    let authorization = json!({ "from": FROM, "to": "0xb", "value": "20000", "validAfter": "0",
        "validBefore": "60", "nonce": "0x07" });
    json!({ "signature": "0x1b", "authorization": authorization })
}

fn request(network: &str, paid_on: &str) -> VerifyRequest {
    serde_json::from_value(json!({
        "x402Version": 1,
        "paymentPayload": { "x402Version": 1, "scheme": "exact", "network": paid_on, "payload": payload() },
        "paymentRequirements": { "scheme": "exact", "network": network, "maxAmountRequired": "20000",
            "resource": "https://shop.example/x", "description": "", "mimeType": "application/json",
            "payTo": "0xb", "maxTimeoutSeconds": 60, "asset": "0xa",
            "outputSchema": { "input": { "type": "http" } }, "extra": { "name": "USD Coin", "version": "2" } },
    }))
    .unwrap()
}

/// The bound terms and the payload are what a server of version 2 sends, so claim, key and
/// fingerprint are the same.
#[test]
fn a_question_of_version_1_is_the_same_question_in_version_2() {
    let asked = request("base", "base").into_v2().unwrap();
    let terms: v2::PaymentRequirements = serde_json::from_value(json!({
        "scheme": "exact", "network": "eip155:8453", "amount": "20000", "asset": "0xa", "payTo": "0xb",
        "maxTimeoutSeconds": 60, "extra": { "name": "USD Coin", "version": "2" },
    }))
    .unwrap();
    assert_eq!(SellerTerms::of(&asked.payment_requirements), SellerTerms::of(&terms));
    assert_eq!(SellerTerms::of(&asked.payment_payload.accepted), SellerTerms::of(&terms));
    assert_eq!((asked.x402_version, asked.payment_payload.x402_version), (2, 2));
    assert_eq!(asked.payment_payload.payload, payload());
    assert_eq!(asked.payment_payload.accepted.extra, terms.extra);
}

#[test]
fn what_was_paid_on_another_network_stays_so() {
    let asked = request("base", "base-sepolia").into_v2().unwrap();
    assert_eq!(asked.payment_requirements.network, "eip155:8453");
    assert_eq!(asked.payment_payload.accepted.network, "eip155:84532");
}

/// A CAIP-2 identifier is version 2's: taken here, a mixture would pass for either.
#[test]
fn only_names_of_version_1_are_networks_of_version_1() {
    for (wanted, paid_on) in [
        ("eip155:8453", "base"),
        ("base", "eip155:8453"),
        ("eip155:8453", "eip155:8453"),
        ("ethereum", "ethereum"),
        ("", ""),
    ] {
        assert_eq!(request(wanted, paid_on).into_v2(), Err(UnknownName), "{wanted} {paid_on}");
    }
}

/// A customer of version 1 has no extensions; what stands there under the name is not read.
#[test]
fn a_payment_of_version_1_names_no_purchase() {
    let mut value = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": payload() });
    value["extensions"] = json!({ "payment-identifier": { "info": { "id": "pay_0123456789abcdef" } } });
    let payment: PaymentPayload = serde_json::from_value(value).unwrap();
    let terms = request("base", "base").into_v2().unwrap().payment_requirements;
    assert_eq!(payment.into_v2(terms).unwrap().payment_identifier(), Ok(None));
}

#[test]
fn an_offer_is_the_same_in_both_versions() {
    let offer: v2::PaymentRequirements = serde_json::from_value(json!({
        "scheme": "exact", "network": "eip155:8453", "amount": "20000", "maxAmountRequired": "20000",
        "asset": "0xa", "payTo": "0xb", "maxTimeoutSeconds": 60, "extra": { "name": "USD Coin" },
    }))
    .unwrap();
    let first = PaymentRequirements::of(&offer).unwrap();
    let again = first.clone().into_v2().unwrap();
    assert_eq!(again, v2::PaymentRequirements { max_amount_required: None, ..offer.clone() });
    assert_eq!(
        serde_json::to_value(first).unwrap(),
        json!({ "scheme": "exact", "network": "base", "maxAmountRequired": "20000", "payTo": "0xb",
            "maxTimeoutSeconds": 60, "asset": "0xa", "extra": { "name": "USD Coin" } })
    );
    assert_eq!(
        PaymentRequirements::of(&v2::PaymentRequirements { network: "eip155:1".into(), ..offer }),
        None
    );
}

fn settled() -> SettleResponse {
    serde_json::from_value(json!({ "success": true, "payer": FROM, "transaction": "0xhash",
        "network": "eip155:8453", "amount": "20000", "payment_state": "settled" }))
    .unwrap()
}

#[test]
fn receipts_name_the_network_as_version_1_does() {
    let said = receipt(&settled(), None);
    assert_eq!(
        said,
        json!({ "success": true, "payer": FROM, "transaction": "0xhash", "network": "base", "amount": "20000",
            "payment_state": "settled" })
    );
    let unnamed = SettleResponse { network: "eip155:31337".into(), ..settled() };
    assert_eq!(receipt(&unnamed, None)["network"], "eip155:31337");
}

#[test]
fn refusals_are_said_in_version_1s_words_and_name_the_payer() {
    let refused = SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::InvalidExactEvmSignature),
        payer: None,
        transaction: String::new(),
        ..settled()
    };
    let said = receipt(&refused, named_payer(&payload()));
    assert_eq!(said["errorReason"], "invalid_exact_evm_payload_signature");
    assert_eq!((&said["payer"], &said["transaction"]), (&json!(FROM), &json!("")));
    let invalid = VerifyResponse {
        is_valid: false,
        invalid_reason: Some(ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch),
        invalid_message: None,
        payer: None,
        other: Map::new(),
    };
    let said = verified(&invalid, named_payer(&payload()));
    assert_eq!(said["invalidReason"], "invalid_exact_evm_payload_authorization_value");
    assert_eq!((&said["isValid"], &said["payer"]), (&json!(false), &json!(FROM)));
    let known = VerifyResponse { payer: Some("0xother".into()), ..invalid };
    assert_eq!(verified(&known, Some(FROM))["payer"], "0xother", "whom the answer names stands");
}

#[test]
fn only_an_address_is_repeated() {
    for from in [json!("0x1"), json!(7), json!(format!("0x{}", "g".repeat(40))), json!("<script>")] {
        assert_eq!(named_payer(&json!({ "authorization": { "from": from } })), None, "{from}");
    }
    assert_eq!(named_payer(&json!({ "transaction": "AA==" })), None);
}

/// No code that leaves the outcome open may become one that says that nothing was paid, and
/// the reverse.
#[test]
fn no_word_changes_what_is_known_of_the_outcome() {
    let open = [
        ErrorCode::SettlementPending,
        ErrorCode::NetworkUnavailable,
        ErrorCode::TooManyRequests,
        ErrorCode::UnexpectedSettleError,
        ErrorCode::UnexpectedVerifyError,
        ErrorCode::DuplicateSettlement,
        ErrorCode::RefundOwed,
    ];
    for code in ErrorCode::ALL {
        let word = word_of(*code);
        assert!(!word.is_empty());
        match open.contains(code) {
            true => assert_eq!(word, code.as_str()),
            false => assert!(open.iter().all(|other| other.as_str() != word), "{code} is said as {word}"),
        }
    }
}

/// Both versions of a Solana payment carry one message.
#[test]
fn a_payments_key_knows_no_version() {
    let message = [1, 2, 3];
    let key = |name: &str| PaymentKey::solana(network_of(name).unwrap(), &message);
    assert_eq!(key("solana"), PaymentKey::solana(crate::Network::SOLANA, &message));
    assert_ne!(key("solana"), key("solana-devnet"));
}
