use serde_json::json;

use super::*;

fn v1_request() -> Value {
    json!({
        "x402Version": 1,
        "paymentPayload": { "x402Version": 1, "scheme": "exact", "network": "base", "payload": { "a": 1 } },
        "paymentRequirements": { "scheme": "exact", "network": "base", "maxAmountRequired": "1", "asset": "0xa",
            "payTo": "0xb", "resource": "http://a/", "description": "", "mimeType": "", "maxTimeoutSeconds": 60 },
    })
}

fn v2_request() -> Value {
    let terms = json!({ "scheme": "exact", "network": "eip155:8453", "amount": "1", "asset": "0xa", "payTo": "0xb",
        "maxTimeoutSeconds": 60 });
    let payment = json!({ "x402Version": 2, "accepted": terms, "payload": { "a": 1 } });
    json!({ "x402Version": 2, "paymentPayload": payment, "paymentRequirements": terms })
}

fn with(mut request: Value, outer: Value, inner: Value) -> Value {
    request["x402Version"] = outer;
    request["paymentPayload"]["x402Version"] = inner;
    request
}

#[test]
fn each_version_is_read_as_itself() {
    let (first, dialect) = Dialect::read(v1_request()).unwrap();
    assert_eq!(dialect, Dialect::V1(None));
    let (second, dialect) = Dialect::read(v2_request()).unwrap();
    assert_eq!(dialect, Dialect::V2);
    assert_eq!(first.payment_payload.payload, second.payment_payload.payload);
    assert_eq!(first.payment_requirements.amount, second.payment_requirements.amount);
}

/// npm `@faremeter/middleware` writes the version into the payment alone.
#[test]
fn a_request_that_leaves_its_version_to_its_payment_is_read_in_that() {
    for whole in [v1_request(), v2_request()] {
        let mut bare = whole.clone();
        bare.as_object_mut().unwrap().remove("x402Version");
        assert_eq!(Dialect::read(bare.clone()).unwrap(), Dialect::read(whole).unwrap());
        bare["paymentPayload"].as_object_mut().unwrap().remove("x402Version");
        assert!(matches!(Dialect::read(bare), Err(NotAsked::Shape(2, _))), "nobody says it");
    }
}

/// A server that reads one half and a facilitator that reads the other would each see
/// another payment.
#[test]
fn one_request_speaks_one_version() {
    for (outer, inner) in [(1, 2), (2, 1), (3, 3), (1, 3), (0, 0), (3, 2), (2, 7)] {
        for request in [v1_request(), v2_request()] {
            let read = Dialect::read(with(request, json!(outer), json!(inner)));
            assert!(matches!(read, Err(NotAsked::Version)), "{outer} {inner}");
        }
    }
}

#[test]
fn the_shape_of_the_other_version_is_no_shape() {
    for (request, version) in [(v1_request(), 2), (v2_request(), 1)] {
        let read = Dialect::read(with(request, json!(version), json!(version)));
        assert!(matches!(read, Err(NotAsked::Shape(said, _)) if said == version), "{version}");
    }
    for odd in [json!(null), json!([]), json!({}), json!({ "x402Version": 1 }), json!({ "x402Version": "1" })]
    {
        assert!(matches!(Dialect::read(odd.clone()), Err(NotAsked::Shape(..))), "{odd}");
    }
}

#[test]
fn a_network_of_the_other_version_is_none() {
    let mut request = v1_request();
    request["paymentRequirements"]["network"] = json!("eip155:8453");
    assert!(matches!(Dialect::read(request), Err(NotAsked::Network(_))));
}
