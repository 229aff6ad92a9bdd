use proptest::prelude::*;

use super::*;

fn terms() -> NetworkTerms {
    let extra = json!({"name": "USD Coin", "version": "2"});
    NetworkTerms {
        network: Network::BASE.parse().unwrap(),
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        pay_to: "0x1111111111111111111111111111111111111111".into(),
        asset_decimals: 6,
        asset_symbol: "USDC".into(),
        max_timeout_seconds: 120,
        extra: extra.as_object().unwrap().clone(),
        payment_flow_upfront: true,
    }
}

#[test]
fn an_offer_has_the_shape_clients_expect() {
    let offer = requirements(Amount::new(10_000), Amount::new(3_938), &terms()).unwrap();
    assert_eq!(
        serde_json::to_value(&offer).unwrap(),
        json!({
            "scheme": "exact", "network": "eip155:8453",
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "payTo": "0x1111111111111111111111111111111111111111",
            "amount": "13938", "maxAmountRequired": "13938", "maxTimeoutSeconds": 120,
            "extra": {
                "name": "USD Coin", "version": "2", "asset_decimals": 6, "asset_symbol": "USDC",
                "breakdown": {"service_usdc": "0.010000", "gas_usdc": "0.003938", "total_usdc": "0.013938"},
                "paymentFlow": "upfront",
            },
        })
    );
}

#[test]
fn the_flow_is_named_only_when_it_is_upfront() {
    let later = NetworkTerms { payment_flow_upfront: false, ..terms() };
    let offer = requirements(Amount::new(1), Amount::ZERO, &later).unwrap();
    assert!(!offer.extra.contains_key("paymentFlow"));
}

#[test]
fn impossible_offers_are_errors() {
    let eighteen = NetworkTerms { asset_decimals: 18, ..terms() };
    assert_eq!(requirements(Amount::new(1), Amount::ZERO, &eighteen), Err(QuoteError::Decimals(18)));
    assert_eq!(requirements(Amount::ZERO, Amount::ZERO, &terms()), Err(QuoteError::NothingToPay));
    assert_eq!(requirements(Amount::new(u64::MAX), Amount::new(1), &terms()), Err(QuoteError::OutOfRange));
}

fn atomic(text: &Value) -> u64 {
    text.as_str().unwrap().replace('.', "").parse().unwrap()
}

proptest! {
    #[test]
    fn the_breakdown_adds_up_to_the_atomic_unit(service in 1u64..=u64::MAX / 2, gas in 0u64..=u64::MAX / 2) {
        let offer = requirements(Amount::new(service), Amount::new(gas), &terms()).unwrap();
        let parts = &offer.extra["breakdown"];
        prop_assert_eq!(offer.amount(), Some(Amount::new(service + gas)));
        prop_assert_eq!(offer.max_amount_required.as_deref(), Some(offer.amount.as_str()));
        prop_assert_eq!(atomic(&parts["service_usdc"]) + atomic(&parts["gas_usdc"]), atomic(&parts["total_usdc"]));
        prop_assert_eq!(atomic(&parts["total_usdc"]), service + gas);
    }
}

fn written(template: &OfferTemplate, service: u64) -> String {
    let mut out = Vec::new();
    template.write(Amount::new(service), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_template_survives_terms_that_look_like_its_own_marks() {
    let extra =
        json!({"name": "hole-0-total", "hole-1-usdc": "hole-2-", "breakdown": "old", "quote": "\"{}\\"});
    let terms =
        NetworkTerms { extra: extra.as_object().unwrap().clone(), asset: "hole-3-service".into(), ..terms() };
    let template = OfferTemplate::new(Amount::new(7), &terms).unwrap();
    let offer = requirements(Amount::new(13_938), Amount::new(7), &terms).unwrap();
    assert_eq!(written(&template, 13_938), serde_json::to_string(&offer).unwrap());
}

#[test]
fn a_template_refuses_what_the_offer_refuses_and_appends_nothing() {
    let free = OfferTemplate::new(Amount::ZERO, &terms()).unwrap();
    let dear = OfferTemplate::new(Amount::new(1), &terms()).unwrap();
    let mut out = b"before".to_vec();
    assert_eq!(free.write(Amount::ZERO, &mut out), Err(QuoteError::NothingToPay));
    assert_eq!(dear.write(Amount::new(u64::MAX), &mut out), Err(QuoteError::OutOfRange));
    assert_eq!(out, b"before");
    let eighteen = NetworkTerms { asset_decimals: 18, ..terms() };
    assert_eq!(OfferTemplate::new(Amount::ZERO, &eighteen), Err(QuoteError::Decimals(18)));
}

#[test]
fn a_template_writes_the_offer_of_version_1_where_that_knows_the_network() {
    let template = OfferTemplate::new(Amount::new(7), &terms()).unwrap();
    let offer = requirements(Amount::new(13_938), Amount::new(7), &terms()).unwrap();
    let mut expected = v1::PaymentRequirements::of(&offer).unwrap();
    expected.other.insert("resource".to_owned(), json!("https://a.test/"));
    let mut out = b"before".to_vec();
    let sold = br#""resource":"https://a.test/""#;
    assert_eq!(template.write_v1(Amount::new(13_938), sold, &mut out), Ok(true));
    let written: serde_json::Value = serde_json::from_slice(out.strip_prefix(b"before").unwrap()).unwrap();
    assert_eq!(written, serde_json::to_value(expected).unwrap());
    let local = NetworkTerms { network: "eip155:31337".parse().unwrap(), ..terms() };
    let unnamed = OfferTemplate::new(Amount::new(7), &local).unwrap();
    let mut out = Vec::new();
    assert_eq!(unnamed.write_v1(Amount::new(1), sold, &mut out), Ok(false));
    let free = OfferTemplate::new(Amount::ZERO, &terms()).unwrap();
    assert_eq!(free.write_v1(Amount::ZERO, sold, &mut out), Err(QuoteError::NothingToPay));
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn a_template_writes_the_offer_byte_for_byte(
        services in prop::collection::vec(1u64..=u64::MAX / 2, 1..8), gas in 0u64..=u64::MAX / 2,
        upfront in any::<bool>(), name in ".{0,20}", seconds in any::<u64>(),
    ) {
        let extra = json!({"name": name, "version": "2"}).as_object().unwrap().clone();
        let terms = NetworkTerms { payment_flow_upfront: upfront, max_timeout_seconds: seconds, extra, ..terms() };
        let template = OfferTemplate::new(Amount::new(gas), &terms).unwrap();
        prop_assert_eq!(template.gas(), Amount::new(gas));
        for service in services {
            let offer = requirements(Amount::new(service), Amount::new(gas), &terms).unwrap();
            prop_assert_eq!(written(&template, service), serde_json::to_string(&offer).unwrap());
        }
    }
}
