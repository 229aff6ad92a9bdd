use std::sync::Arc;

use quittance_quote::{Catalogue, PriceRequest, Pricer, Pricing, Route};
use sample_api::host::Host;
use sample_api::keys::ApiKeys;
use sample_api::pricing::HostPricer;

use crate::host::catalogue;

fn request<'a>(method: &'a str, path: &'a str, body: &'a str) -> PriceRequest<'a> {
    PriceRequest { method, path, query: "", content_type: Some("application/json"), body: body.as_bytes() }
}

const IMAGE: &str = r#"{"requests":[{"type":"image","model":"gen","prompt":"x","aspect_ratio":"1:1"}]}"#;

#[test]
fn the_paid_hooks_cost_one_image_of_gen_whatever_their_body() {
    let pricer = HostPricer::new(catalogue(), true);
    let image = pricer.price(&request("POST", "/v1/generation-requests", IMAGE)).unwrap();
    assert_eq!(image.service.atomic(), 14_100);
    for path in ["/test/slow", "/test/fail", "/test/fail-once"] {
        for body in ["", "{}", "nonsense"] {
            assert_eq!(pricer.price(&request("POST", path, body)).unwrap().service, image.service);
        }
    }
}

#[test]
fn routes_point_at_the_endpoints_that_discovery_lists() {
    for test_hooks in [false, true] {
        let pricer = HostPricer::new(catalogue(), test_hooks);
        let endpoints = pricer.endpoints();
        for endpoint in &endpoints {
            let path = endpoint.path.replace("{request_id}", "req_1");
            match (pricer.route(&endpoint.method, &path), endpoint.pricing) {
                (Route::Free, Pricing::Free) => {}
                (Route::Paid(index), Pricing::Paid) => assert_eq!(&endpoints[index], endpoint),
                (route, pricing) => panic!("{path}: {route:?} but {pricing:?}"),
            }
        }
        let listed = endpoints.iter().any(|endpoint| endpoint.path.starts_with("/test/"));
        assert_eq!(listed, test_hooks);
        assert_eq!(pricer.route("GET", "/test/slow"), Route::Unknown);
        assert_eq!(pricer.route("POST", "/healthz"), Route::Unknown);
        assert_eq!(pricer.route("POST", "/test//slow"), Route::Unknown);
    }
}

#[test]
fn without_the_switch_the_hooks_do_not_exist() {
    let pricer = HostPricer::new(catalogue(), false);
    assert_eq!(pricer.route("POST", "/test/slow"), Route::Unknown);
    assert!(pricer.price(&request("POST", "/test/slow", "{}")).is_err());
}

#[test]
fn what_this_host_cannot_make_has_no_price() {
    let pricer = HostPricer::new(catalogue(), false);
    let body = IMAGE.replace("\"prompt\"", "\"output_format\":\"webp\",\"prompt\"");
    let refusal = pricer.price(&request("POST", "/v1/generation-requests", &body)).unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "unsupported_output_format"));
    assert_eq!(refusal.field.as_deref(), Some("requests[0].output_format"));
    assert_eq!(refusal.choices, ["png"]);
    assert_eq!(refusal.body["error"]["code"], "unsupported_output_format");
}

#[test]
fn hooks_need_a_catalogue_that_sells_gen() {
    let text = include_str!("catalogue.toml").replace("[models.gen]", "[models.other]");
    let other = Arc::new(Catalogue::from_toml(&text).unwrap());
    assert!(Host::new(Arc::clone(&other), ApiKeys::default(), false, 1024).is_ok());
    let Err(error) = Host::new(other, ApiKeys::default(), true, 1024) else { panic!("started") };
    assert_eq!(error.code(), "unknown_model");
}

/// Every image and film that the shipped catalogue sells can be made here.
#[test]
fn the_shipped_catalogue_sells_nothing_that_this_host_cannot_make() {
    let text = include_str!("../../../../catalogs/imgnai.toml");
    let models: toml::Table = toml::from_str(text).unwrap();
    let pricer = HostPricer::new(Arc::new(Catalogue::from_toml(text).unwrap()), true);
    let mut made = 0;
    for (name, model) in models["models"].as_table().unwrap() {
        let kind = model["type"].as_str().unwrap();
        let aspects = model.get("aspects").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let lengths: Vec<Option<i64>> = match model.get("durations").and_then(toml::Value::as_array) {
            Some(durations) => durations.iter().map(|d| d["seconds"].as_integer()).collect(),
            None => vec![None],
        };
        for aspect in aspects.iter().filter_map(toml::Value::as_str) {
            for seconds in &lengths {
                let item = serde_json::json!({
                    "type": kind, "model": name, "prompt": "x", "aspect_ratio": aspect, "duration_seconds": seconds,
                });
                let body = serde_json::json!({ "requests": [item] }).to_string();
                match pricer.price(&request("POST", "/v1/generation-requests", &body)) {
                    Ok(_) => made += 1,
                    // A model that needs an image says so in the catalogue's words.
                    Err(refusal) => assert_eq!(refusal.code, "image_required", "{name} {aspect} {seconds:?}"),
                }
            }
        }
    }
    assert!(made > 400, "only {made}");
    assert!(Host::new(Arc::new(Catalogue::from_toml(text).unwrap()), ApiKeys::default(), true, 1024).is_ok());
}
