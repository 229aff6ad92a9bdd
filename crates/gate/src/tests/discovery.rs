//! The four documents and a real 402 say the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::reply::Reply;
use super::{Answer, Ask, call, saying};
use crate::GateBuilder;
use crate::testing::{Double, TestPricer, gate, gate_of};
use crate::{AccountSecurity, Document, Identity};

async fn ask(gate: GateBuilder, request: Ask) -> Answer {
    let app = saying(gate, || Reply::ok().body("the host's own"));
    call(&app, request).await
}

async fn get(gate: GateBuilder, path: &str) -> Answer {
    ask(gate, Ask::get(path)).await
}

/// The fenced JSON blocks of a page, in order.
fn blocks(page: &str) -> Vec<Value> {
    let fenced = page.split("```json\n").skip(1);
    fenced.map(|rest| serde_json::from_str(rest.split("\n```").next().unwrap()).unwrap()).collect()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one document")]
async fn documents_and_the_402_agree() {
    let double = Arc::new(Double::default());
    let shown = get(gate(&double), "/v1/x402").await.json();
    assert_eq!(get(gate(&double), "/.well-known/x402").await.json(), shown);
    let page = get(gate(&double), "/llms.txt").await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let blocks = blocks(&page);
    assert_eq!(blocks[0], shown, "the page's first block is the document itself");
    let openapi = get(gate(&double), "/openapi.json").await.json();
    assert_eq!(openapi["openapi"], "3.1.0");
    assert_eq!(openapi["servers"][0]["url"], "https://api.test");

    let mut paid = 0;
    for endpoint in shown["endpoints"].as_array().unwrap() {
        let path = endpoint["path"].as_str().unwrap();
        let operation = &openapi["paths"][path][endpoint["method"].as_str().unwrap().to_lowercase()];
        assert_eq!(operation["summary"], endpoint["description"]);
        if endpoint["pricing"] == "free" {
            assert!(operation["x-402"].is_null() && endpoint["example"].is_null(), "{path}");
            assert!(operation["x-payment-info"].is_null() && operation["security"] == json!([]), "{path}");
            continue;
        }
        paid += 1;
        let example = &endpoint["example"];
        assert_eq!(operation["x-402"]["example"], *example);
        assert_eq!(operation["x-402"]["networks"], shown["networks"]);
        assert_eq!(operation["x-402"]["pricing"], endpoint["summary"]);
        assert_eq!(operation["requestBody"]["content"]["application/json"]["example"], example["body"]);
        assert!(!operation["responses"]["402"]["headers"]["PAYMENT-REQUIRED"].is_null());
        let info = &operation["x-payment-info"];
        assert_eq!(info["protocols"], json!([{"x402": {}}]));
        assert_eq!(info["price"], json!({"mode": "dynamic", "currency": "USD", "min": "0.010000"}));
        for (offer, seen) in
            info["offers"].as_array().unwrap().iter().zip(example["offers"].as_array().unwrap())
        {
            assert_eq!((&offer["network"], &offer["amount"]), (&seen["network"], &seen["amount"]));
        }
        assert!(blocks.contains(&example["body"]), "{path}");

        let request = Ask::post(example["path"].as_str().unwrap());
        let answer = ask(gate(&double), request.body(example["body"].to_string())).await;
        assert_eq!(answer.status, 402);
        let offer = answer.decoded("payment-required");
        let accepts = offer["accepts"].as_array().unwrap();
        assert_eq!(accepts.len(), shown["networks"].as_array().unwrap().len());
        for (index, accept) in accepts.iter().enumerate() {
            let network = &shown["networks"][index];
            for field in ["network", "asset", "payTo", "scheme"] {
                assert_eq!(accept[field], network[field], "{field}");
            }
            let seen = &example["offers"][index];
            for field in ["network", "asset", "amount"] {
                assert_eq!(accept[field], seen[field], "{field}");
            }
            assert_eq!(seen["gas"], network["gas"]);
            let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
            assert_eq!(number(&example["service"]) + number(&seen["gas"]), number(&accept["amount"]));
        }
    }
    assert_eq!(paid, 2);
    // The document's sample is the body of the first example's 402, in x402 version 1.
    let sample =
        &openapi["paths"]["/gen"]["post"]["responses"]["402"]["content"]["application/json"]["example"];
    let offer = blocks.iter().find(|block| block["accepts"].is_array()).unwrap();
    assert_eq!((&sample["x402Version"], &offer["x402Version"]), (&json!(1), &json!(2)));
    assert_eq!(sample["accepts"][0]["maxAmountRequired"], offer["accepts"][0]["amount"]);
    assert_eq!(offer["accepts"][0]["amount"], shown["endpoints"][0]["example"]["offers"][0]["amount"]);
    assert!(double.log().is_empty(), "discovery went to the ledger");
}

#[tokio::test]
async fn every_reference_in_openapi_leads_somewhere() {
    let openapi = get(gate(&Arc::default()), "/openapi.json").await.json();
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&openapi, &mut found);
    assert!(found.len() > 5);
    for reference in found {
        assert!(openapi.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    assert_eq!(openapi["paths"]["/items/{id}"]["post"]["parameters"][0]["name"], "id");
}

/// Directories list what answers the least body of its schema with an offer, whoever made the
/// prices: one that nobody described asks for what its example holds.
#[tokio::test]
async fn a_body_that_nobody_described_is_asked_for_as_its_example() {
    let openapi = get(gate(&Arc::default()), "/openapi.json").await.json();
    let paid = ["/gen", "/items/{id}"];
    for path in paid {
        let operation = &openapi["paths"][path]["post"];
        assert!(operation["x-payment-info"].is_object(), "{path}");
        let content = &operation["requestBody"]["content"]["application/json"];
        let schema = &content["schema"];
        assert_eq!(schema["type"], "object", "{path}");
        assert_eq!(schema["examples"], json!([content["example"]]), "{path}");
        assert_eq!(schema["required"], json!(["at"]), "{path}");
        assert_eq!(schema["properties"]["at"]["examples"], json!([path]), "{path}");
        assert!(schema.get("additionalProperties").is_none(), "whatever else may be asked for, too");
    }
}

#[tokio::test]
async fn documents_may_be_cached_for_seconds_and_read_by_pages() {
    for document in Document::ALL {
        let answer = get(gate(&Arc::default()), document.path()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=5"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let answer = get(gate(&Arc::default()), "/llms.txt").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn a_client_chooses_no_word_of_a_document() {
    for document in Document::ALL {
        let built = gate_of(&Arc::default(), Arc::new(TestPricer));
        let request = Ask::get(document.path()).header(("host", "evil.test"));
        let answer = ask(built, request).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!text.contains("evil.test"), "{text}");
    }
}

#[tokio::test]
async fn while_nothing_can_be_paid_no_price_is_shown() {
    let double = Arc::new(Double::default());
    double.nothing_to_offer.store(true, Ordering::SeqCst);
    let shown = get(gate(&double), "/v1/x402").await.json();
    assert_eq!(shown["endpoints"][0]["example"]["offers"], json!([]));
    assert_eq!(shown["endpoints"][0]["example"]["service"], "10000", "the service's price stands");
    assert_eq!(get(gate(&double), "/openapi.json").await.status, 200);
    assert_eq!(get(gate(&double), "/llms.txt").await.status, 200);
}

#[tokio::test]
async fn a_host_switches_documents_off_or_serves_its_own() {
    let off = || gate(&Arc::default()).documents([Document::X402]);
    assert_eq!(get(off(), "/v1/x402").await.status, 200);
    assert_eq!(get(off(), "/v1/x402").await.json()["documents"], json!({}));
    for path in ["/.well-known/x402", "/openapi.json", "/llms.txt"] {
        assert_eq!(get(off(), path).await.status, 404, "{path}");
    }
    assert_eq!(get(off(), "/free").await.body, "the host's own");
}

#[tokio::test]
async fn accounts_are_shown_where_a_hook_is_set() {
    let hooked = || {
        gate(&Arc::default()).authenticate("POST", "/items/{id}", |_| std::future::ready(None::<Identity>))
    };
    let operation = |openapi: &Value, path: &str| openapi["paths"][path]["post"].clone();
    let openapi = get(hooked(), "/openapi.json").await.json();
    assert_eq!(operation(&openapi, "/items/{id}")["x-402"]["accounts"], true);
    assert_eq!(operation(&openapi, "/gen")["x-402"]["accounts"], false);
    assert_eq!(operation(&openapi, "/items/{id}")["security"], json!([]), "the gate cannot know the headers");

    let bearer = AccountSecurity::from([("bearer".to_owned(), json!({"type": "http", "scheme": "bearer"}))]);
    let openapi = get(hooked().account_security([bearer]), "/openapi.json").await.json();
    assert_eq!(operation(&openapi, "/items/{id}")["security"], json!([{}, {"bearer": []}]));
    assert_eq!(operation(&openapi, "/gen")["security"], json!([]));
    assert_eq!(openapi["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let page = get(hooked(), "/llms.txt").await;
    assert_eq!(String::from_utf8_lossy(&page.body).matches("with an account").count(), 1);
}

/// Load balancers and uptime monitors ask with HEAD.
#[tokio::test]
async fn head_is_answered_as_get_on_documents_and_free_routes_and_sells_nothing() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double), || Reply::ok().body("sold"));
    let head = |path: &str| Ask::new("HEAD", path);
    for path in ["/v1/x402", "/.well-known/x402", "/openapi.json", "/llms.txt", "/free"] {
        assert_eq!(call(&app, head(path)).await.status, 200, "{path}");
    }
    assert_eq!(call(&app, head("/gen")).await.status, 405);
    assert_eq!(call(&app, head("/nowhere")).await.status, 404);
    assert!(double.log().is_empty());
}

/// A document as it was agreed, or written anew with `QUITTANCE_WRITE=1`: agents read these, and
/// whatever changes in them is to be seen in review.
fn stands(name: &str, made: &str) {
    // Asked when the test runs: clones that share a cache share the compiled test, too.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let path = std::path::Path::new(&here).join("src/tests/snapshots").join(name);
    if std::env::var_os("QUITTANCE_WRITE").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap();
    let differs = stands.lines().zip(made.lines()).find(|(before, now)| before != now);
    assert_eq!(
        stands, made,
        "{name} changed, first at {differs:?}; if it is meant: QUITTANCE_WRITE=1 cargo test -p quittance-gate snapshots"
    );
}

#[tokio::test]
async fn snapshots_of_what_agents_read() {
    let double = Arc::new(Double::default());
    let text = async |path| String::from_utf8(get(gate(&double), path).await.body.to_vec()).unwrap();
    for (path, name) in [("/openapi.json", "openapi.json"), ("/v1/x402", "x402.json")] {
        let document: Value = serde_json::from_str(&text(path).await).unwrap();
        stands(name, &format!("{}\n", serde_json::to_string_pretty(&document).unwrap()));
    }
    stands("llms.txt", &text("/llms.txt").await);
}
