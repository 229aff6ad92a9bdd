//! The short way to a price, which every unpaid request takes, against the
//! itemised one, which every payment is held to.

#![allow(clippy::unwrap_used, clippy::panic, clippy::result_large_err)] // helpers of tests, too

use std::sync::LazyLock;

use proptest::prelude::*;
use quittance_protocol::Amount;
use quittance_quote::{Body, Catalogue, PriceRequest, Pricer as _, Pricing, Refusal};
use serde_json::{Value, json};

static CATALOGUES: LazyLock<Vec<Catalogue>> = LazyLock::new(|| {
    [
        include_str!("../../../catalogs/imgnai.toml"),
        include_str!("../../../catalogs/chaingpt-nft.toml"),
        include_str!("../../../catalogs/chaingpt-contracts.toml"),
        include_str!("../../../catalogs/nanogpt-images.toml"),
    ]
    .map(|text| Catalogue::from_toml(text).unwrap())
    .into()
});

/// Catalogue, path and body of requests that have a price.
fn requests() -> Vec<(usize, String, Value)> {
    let mut all = Vec::new();
    for (index, catalogue) in CATALOGUES.iter().enumerate() {
        for endpoint in catalogue.endpoints() {
            let Some(example) = endpoint.example.as_deref().filter(|_| endpoint.method == "POST") else {
                continue;
            };
            all.push((index, endpoint.path, serde_json::from_str(example).unwrap()));
        }
    }
    let image = |more: Value| {
        with(json!({"type": "image", "model": "gen", "prompt": "a", "aspect_ratio": "1:1"}), more)
    };
    let video = json!({"type": "video", "model": "ltx-2-3", "prompt": "a", "aspect_ratio": "1:1", "duration_seconds": 10});
    let generation =
        |items: Vec<Value>| (0, "/v1/generation-requests".to_owned(), json!({"requests": items}));
    all.push(generation(vec![image(json!({})), video.clone(), image(json!({})), video]));
    all.push(generation(vec![image(
        json!({"seed": 7, "negative_prompt": "b", "metadata": {"k": [1.5, null]}}),
    )]));
    let nano = |body: Value| (3, "/v1/images/generations".to_owned(), with(json!({"prompt": "a"}), body));
    all.push(nano(json!({"n": 3})));
    all.push(nano(json!({"n": 2, "model": "hidream"})));
    all
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Both ways, which must be one.
fn both(catalogue: &Catalogue, path: &str, text: &[u8]) -> Result<Amount, Refusal> {
    let request = PriceRequest { method: "POST", path, query: "", content_type: None, body: text };
    let whole = catalogue.price(&request).map(|price| price.service);
    let short = catalogue.service(&request);
    assert_eq!(short, whole, "{path} {}", String::from_utf8_lossy(text));
    // One parsed body for everybody.
    let body = Body::new(text);
    assert_eq!(catalogue.service_body(&request, &body), whole);
    assert_eq!(catalogue.price_body(&request, &body).map(|price| price.service), whole);
    whole
}

#[test]
fn every_example_costs_the_same_either_way() {
    let all = requests();
    assert!(all.len() > 8, "{}", all.len());
    for (index, path, body) in &all {
        let price = both(&CATALOGUES[*index], path, &serde_json::to_vec(body).unwrap());
        assert!(price.is_ok_and(|service| service > Amount::ZERO), "{path} {body}");
    }
    for catalogue in CATALOGUES.iter() {
        for endpoint in catalogue.endpoints().iter().filter(|endpoint| endpoint.pricing == Pricing::Free) {
            assert_eq!(both(catalogue, &endpoint.example_path(), b"{}").unwrap_err().status, 404);
        }
    }
}

#[test]
fn a_price_out_of_range_is_refused_either_way() {
    let text = r#"
        endpoints = [{ method = "POST", path = "/a", description = "", price = { kind = "call", units = "999999999999.999999999999999999" } }]
        [catalogue]
        name = "dear"
        unit = "credit"
        usd_per_unit = "999999999999.999999999999999999"
    "#;
    let refusal = both(&Catalogue::from_toml(text).unwrap(), "/a", b"").unwrap_err();
    assert_eq!(refusal.code, "price_out_of_range");
}

/// Replaces, removes or adds one member or element, wherever `steps` lead.
fn disturb(value: &mut Value, steps: &[usize], new: &Value, name: &str) {
    match (steps, value) {
        ([step, rest @ ..], Value::Object(map)) if !map.is_empty() => {
            let key = map.keys().nth(step % map.len()).unwrap().clone();
            match (rest, step / map.len() % 4) {
                ([], 0) => drop(map.remove(&key)),
                ([], 1) => drop(map.insert(name.to_owned(), new.clone())),
                ([], _) => drop(map.insert(key, new.clone())),
                (rest, _) => disturb(map.get_mut(&key).unwrap(), rest, new, name),
            }
        }
        ([step, rest @ ..], Value::Array(items)) if !items.is_empty() => {
            let at = step % items.len();
            if rest.is_empty() { items.push(new.clone()) } else { disturb(&mut items[at], rest, new, name) }
        }
        (_, value) => *value = new.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn a_disturbed_request_is_priced_or_refused_alike(
        which in any::<prop::sample::Index>(), steps in prop::collection::vec(0usize..64, 1..5), number in 0i64..40,
        kind in 0usize..6, name in prop::sample::select(vec!["n", "seed", "is_uhd", "is_fast", "image_urls", "max_tokens", "model", "x"]),
    ) {
        let all = requests();
        let (index, path, body) = which.get(&all);
        let mut body = body.clone();
        let new = [json!(number), json!(true), json!("gen"), json!(null), json!(["https://example.com/a"]), json!({})];
        disturb(&mut body, &steps, &new[kind], name);
        let _ = both(&CATALOGUES[*index], path, &serde_json::to_vec(&body).unwrap());
    }

    #[test]
    fn bytes_that_are_no_request_are_refused_alike(text in "[\\[\\]{}\",:a-z0-9 \\\\]{0,40}") {
        let _ = both(&CATALOGUES[0], "/v1/generation-requests", text.as_bytes());
    }
}
