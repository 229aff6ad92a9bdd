//! Offers of foreign servers, completed at `/accepts`.

use quittance_facilitator::NotAccepts;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::Network;
use serde_json::{Map, Value, json};

use super::harness::{Chain, Process, Time, process};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

fn completed(process: &Process, asked: Value) -> Value {
    process.facilitator.accepts(object(asked)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_leaves_out_of_its_offer_is_filled_in() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let resource = json!({ "url": "http://shop.test/", "description": "A thing" });
    let bare = json!({ "scheme": "exact", "network": Network::BASE, "amount": "50000" });
    let answer = completed(&process, json!({ "x402Version": 2, "resource": resource, "accepts": [bare] }));
    assert_eq!(
        (&answer["x402Version"], &answer["resource"], &answer["error"]),
        (&json!(2), &resource, &json!(""))
    );
    let whole = json!({ "scheme": "exact", "network": Network::BASE, "amount": "50000", "asset": "0xa",
        "payTo": "0xb", "maxTimeoutSeconds": 120, "extra": { "name": "USD Coin" } });
    assert_eq!(answer["accepts"], json!([whole]));

    // What is said stays, in the server's spelling.
    let mut said = json!({ "scheme": "exact", "network": Network::BASE, "amount": "1", "asset": "0xA",
        "payTo": "0xB", "maxTimeoutSeconds": 7, "extra": { "memo": "order-17" } });
    let answer = completed(&process, json!({ "accepts": [said] }));
    said["extra"]["name"] = json!("USD Coin");
    assert_eq!(answer["accepts"], json!([said]), "and what its customers need to sign");

    // Version 1 has other names for the same.
    let old =
        json!({ "scheme": "exact", "network": "base", "maxAmountRequired": "50000", "maxTimeoutSeconds": 0 });
    let answer = completed(&process, json!({ "x402Version": 1, "accepts": [old] }));
    let whole = json!({ "scheme": "exact", "network": "base", "maxAmountRequired": "50000", "asset": "0xa",
        "payTo": "0xb", "maxTimeoutSeconds": 120, "extra": { "name": "USD Coin" }, "resource": "", "description": "", "mimeType": "" });
    assert_eq!((&answer["x402Version"], &answer["accepts"]), (&json!(1), &json!([whole])));
    process.close().await;
}

/// A customer who signed such an offer would be refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_could_not_be_paid_is_left_out_with_its_reason() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let good = json!({ "scheme": "exact", "network": Network::BASE, "amount": "50000" });
    let with = |name: &str, value: Value| {
        let mut offer = good.clone();
        offer[name] = value;
        offer
    };
    let bad = [
        ("scheme", json!("upto"), "only the scheme"),
        ("network", json!("base"), "GET /supported"),
        ("network", json!("eip155:1"), "GET /supported"),
        ("network", json!(8453), "are texts"),
        ("asset", json!("0xc"), "configured payTo and asset"),
        ("payTo", json!("0xc"), "configured payTo and asset"),
        ("amount", json!("0"), "positive whole number"),
        ("amount", json!("-1"), "positive whole number"),
        ("amount", json!("0.05"), "positive whole number"),
        ("amount", json!(50_000), "are texts"),
        ("extra", json!("memo"), "extra is an object"),
    ];
    for (name, value, why) in bad {
        let answer = completed(&process, json!({ "accepts": [with(name, value.clone()), good] }));
        assert_eq!(answer["accepts"].as_array().unwrap().len(), 1, "{name} {value}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.starts_with("accepts[0]: ") && error.contains(why), "{name} {value}: {error}");
    }
    let most = completed(&process, json!({ "accepts": vec![good.clone(); 32] }));
    assert_eq!(most["accepts"].as_array().unwrap().len(), 32);
    for (asked, error) in [
        (json!({}), NotAccepts::List),
        (json!({ "accepts": {} }), NotAccepts::List),
        (json!({ "accepts": vec![good.clone(); 33] }), NotAccepts::List),
        (json!({ "x402Version": 3, "accepts": [] }), NotAccepts::Version),
        (json!({ "x402Version": "2", "accepts": [] }), NotAccepts::Version),
    ] {
        assert_eq!(process.facilitator.accepts(object(asked)), Err(error));
    }
    process.close().await;
}
