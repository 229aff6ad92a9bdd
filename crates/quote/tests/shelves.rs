//! Properties of prices, over every model of the four catalogues: requests are
//! generated from the catalogues themselves, so a new model is tested by being sold.

#![allow(clippy::unwrap_used, clippy::result_large_err, clippy::panic)] // helpers of tests, too

#[path = "shelves/requests.rs"]
mod requests;

use proptest::prelude::*;
use quittance_protocol::Amount;
use quittance_quote::{NetworkTerms, PriceRequest, requirements};
use requests::{SHELVES, Shelf, any_request, chat, images, video};
use serde_json::{Map, Value, json};

/// The price of a request that must have one, in atomic USDC.
fn service(shelf: &Shelf, method: &str, path: &str, body: &Value) -> u64 {
    let bytes = serde_json::to_vec(body).unwrap();
    priced(shelf, method, path, &bytes).unwrap_or_else(|refusal| panic!("{refusal}: {body}")).atomic()
}

fn priced(shelf: &Shelf, method: &str, path: &str, body: &[u8]) -> Result<Amount, String> {
    let request = PriceRequest { method, path, query: "", content_type: Some("application/json"), body };
    shelf.catalogue.price(&request).map(|price| price.service).map_err(|refusal| refusal.message)
}

/// The same JSON as another client would write it: keys turned round, null
/// placeholders added, every letter escaped, whole numbers with a fraction of zero.
fn rewritten(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<String> = map
                .iter()
                .rev()
                .map(|(key, value)| format!("{} : {}", escaped(key), rewritten(value)))
                .collect();
            format!("{{ {} }}", members.join(" ,\n"))
        }
        Value::Array(items) => {
            format!("[\t{}]", items.iter().map(rewritten).collect::<Vec<_>>().join(" , "))
        }
        Value::String(text) => escaped(text),
        Value::Number(number) if number.is_i64() || number.is_u64() => format!("{number}.0"),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

fn terms(network: &str) -> NetworkTerms {
    NetworkTerms {
        network: network.parse().unwrap(),
        asset: "asset".to_owned(),
        pay_to: "recipient".to_owned(),
        asset_decimals: 6,
        asset_symbol: "USDC".to_owned(),
        max_timeout_seconds: 120,
        extra: Map::new(),
        payment_flow_upfront: true,
    }
}

fn atomic(text: &Value) -> u64 {
    text.as_str().unwrap().replace('.', "").parse().unwrap()
}

#[test]
fn every_model_of_every_catalogue_is_generated() {
    let sold: usize = SHELVES.iter().map(|shelf| shelf.models.len()).sum();
    // imgnAI 111, ChainGPT 4 and 1, NanoGPT 3.
    assert_eq!(sold, 119);
    for shelf in SHELVES.iter() {
        for name in shelf.models.keys() {
            let (method, path, body) = shelf.request_for(name);
            assert!(service(shelf, method, path, &body) > 0, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn service_and_gas_make_the_total_to_the_atomic_unit(
        (shelf, path, body) in any_request(), gas in 0_u64..2_000_000, solana in any::<bool>(),
    ) {
        let service = service(shelf, "POST", path, &body);
        let network = if solana { "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" } else { "eip155:8453" };
        let offer = requirements(Amount::new(service), Amount::new(gas), &terms(network)).unwrap();
        let parts = &offer.extra["breakdown"];
        prop_assert_eq!(atomic(&parts["service_usdc"]), service);
        prop_assert_eq!(atomic(&parts["gas_usdc"]), gas);
        prop_assert_eq!(atomic(&parts["total_usdc"]), service + gas);
        prop_assert_eq!(&offer.amount, &(service + gas).to_string());
        prop_assert_eq!(offer.max_amount_required.as_ref(), Some(&offer.amount));
    }

    #[test]
    fn a_priced_body_costs_the_same_however_it_is_written((shelf, path, body) in any_request()) {
        let once = service(shelf, "POST", path, &body);
        let spellings = [serde_json::to_vec_pretty(&body).unwrap(), rewritten(&body).into_bytes()];
        for spelling in spellings {
            let again = priced(shelf, "POST", path, &spelling);
            prop_assert_eq!(again, Ok(Amount::new(once)), "{}", String::from_utf8_lossy(&spelling));
        }
    }
}

/// imgnAI's catalogue.
fn imgnai() -> &'static Shelf {
    SHELVES.iter().find(|shelf| shelf.catalogue.name() == "imgnai").unwrap()
}

#[test]
fn every_video_model_costs_no_less_for_a_longer_film() {
    let shelf = imgnai();
    let mut compared = 0;
    for (name, model) in shelf.of_type("video") {
        let mut last = 0;
        for seconds in model.durations() {
            let item = video(name, model, seconds);
            let price = service(shelf, "POST", "/v1/generation-requests", &json!({ "requests": [item] }));
            assert!(price >= last, "{name}: {seconds} s cost {price}, less than the shorter one ({last})");
            compared += usize::from(last > 0);
            last = price;
        }
    }
    assert!(compared > 20, "only {compared} durations were compared");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn more_images_never_cost_less_and_each_costs_the_same(
        shelf in prop::sample::select(vec![0_usize, 3]), pick in any::<prop::sample::Index>(), count in 1_u64..10,
    ) {
        let shelf = &SHELVES[shelf];
        if shelf.catalogue.name() == "imgnai" {
            let models = shelf.of_type("image");
            let (name, model) = models[pick.index(models.len())];
            let bought = |count: u64| service(shelf, "POST", "/v1/generation-requests", &images(name, model, count));
            prop_assert!(bought(count) < bought(count + 1));
            // Rounded up once, so the sum of several may be below the sum of single prices, by under one unit each.
            prop_assert!(bought(count) <= bought(1) * count && bought(1) * count - bought(count) < count);
        } else {
            let models: Vec<&String> = shelf.models.keys().collect();
            let (method, path, mut body) = shelf.request_for(models[pick.index(models.len())]);
            let mut bought = |count: u64| {
                body["n"] = json!(count);
                service(shelf, method, path, &body)
            };
            let one = bought(1);
            prop_assert_eq!(bought(count), one * count);
        }
    }

    #[test]
    fn more_tokens_never_cost_less(
        pick in any::<prop::sample::Index>(), cap in 1_u64..2_000, more in 1_u64..2_000,
        choices in 1_u64..8, words in 1_usize..300, longer in 1_usize..300,
    ) {
        let shelf = imgnai();
        let models = shelf.of_type("text");
        let (name, model) = models[pick.index(models.len())];
        // Scaled to the model, so that the least reserve does not hide every difference.
        let scale = (model.output_tokens_max() / 4_000).max(1);
        let ask = |cap: u64, choices: u64, words: usize| {
            service(shelf, "POST", "/v1/chat/completions", &chat(name, cap * scale, choices, words))
        };
        let base = ask(cap, choices, words);
        prop_assert!(base <= ask(cap + more, choices, words));
        prop_assert!(base <= ask(cap, choices + 1, words));
        prop_assert!(base <= ask(cap, choices, words + longer));
        prop_assert!(base >= 47_000, "the least reserve is ten credits");
    }
}
