//! What the tests sell.

use quittance_protocol::Amount;
use quittance_quote::{EndpointInfo, Price, PriceRequest, Pricer, Pricing, Refusal, Route};
use serde_json::json;

/// Sells `POST /gen` and `POST /items/{id}` at 0.01 USDC; `GET /free` is free.
/// A body with the letters `bad` is refused in the host's own words.
pub struct TestPricer;

impl Pricer for TestPricer {
    fn route(&self, method: &str, path: &str) -> Route {
        match (method, path) {
            ("POST", "/gen") => Route::Paid(0),
            ("POST", path) if path.strip_prefix("/items/").is_some_and(|id| !id.contains('/')) => {
                Route::Paid(1)
            }
            ("GET", "/free") => Route::Free,
            _ => Route::Unknown,
        }
    }

    fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal> {
        if request.body.windows(3).any(|word| word == b"bad") {
            return Err(Refusal {
                status: 400,
                code: "bad_word".to_owned(),
                field: None,
                message: "no".to_owned(),
                choices: Vec::new(),
                body: json!({"detail": "the host's own words"}),
            });
        }
        Ok(Price { service: Amount::new(10_000), lines: Vec::new(), reserve: None, reads_json: false })
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        let endpoint = |method: &str, path: &str, pricing| EndpointInfo {
            method: method.to_owned(),
            path: path.to_owned(),
            pricing,
            summary: "0.01 USDC".to_owned(),
            description: "Makes things".to_owned(),
            mime_type: "application/json".to_owned(),
            example: (pricing == Pricing::Paid).then(|| format!(r#"{{"at": "{path}"}}"#)),
            body_schema: None,
            query: Vec::new(),
            service_min: None,
        };
        vec![
            endpoint("POST", "/gen", Pricing::Paid),
            endpoint("POST", "/items/{id}", Pricing::Paid),
            endpoint("GET", "/free", Pricing::Free),
        ]
    }
}
