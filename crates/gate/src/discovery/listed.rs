//! What a gate sells and shows, as far as that does not change while it runs.

use std::collections::BTreeMap;

use quittance_protocol::Amount;
use quittance_quote::{EndpointInfo, PriceRequest, Pricer, Pricing};
use serde_json::Value;

/// A document that the gate answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// `GET /v1/x402`: networks, endpoints and example prices as JSON.
    X402,
    /// `GET /.well-known/x402`: the same.
    WellKnown,
    /// `GET /openapi.json`: OpenAPI 3.1, each paid operation with `x-402`.
    OpenApi,
    /// `GET /llms.txt`: all an agent without context needs to pay.
    Llms,
}

impl Document {
    /// All of them; what a gate answers unless it is told otherwise.
    pub const ALL: [Self; 4] = [Self::X402, Self::WellKnown, Self::OpenApi, Self::Llms];

    /// Where it is answered.
    pub const fn path(self) -> &'static str {
        match self {
            Self::X402 => "/v1/x402",
            Self::WellKnown => "/.well-known/x402",
            Self::OpenApi => "/openapi.json",
            Self::Llms => "/llms.txt",
        }
    }
}

/// Credentials that let a request through unpaid, in OpenAPI's words: name →
/// security scheme object. All schemes of one alternative are sent together.
pub type AccountSecurity = BTreeMap<String, Value>;

/// What does not change while the gate runs.
pub(crate) struct Listed {
    pub(crate) info: EndpointInfo,
    pub(crate) example: Option<PricedExample>,
    /// Whether a hook may let the host's own customers through.
    pub(crate) accounts: bool,
}

/// A request that has a price.
pub(crate) struct PricedExample {
    pub(crate) body: Option<Value>,
    pub(crate) service: Amount,
}

/// Prices every example once, with the host's own rules.
pub(crate) fn list(pricer: &dyn Pricer, accounts: impl Fn(&str, &str) -> bool) -> Vec<Listed> {
    let listed = |info: EndpointInfo| {
        let paid = info.pricing == Pricing::Paid;
        let example = if paid { priced_example(pricer, &info) } else { None };
        let accounts = paid && accounts(&info.method, &info.example_path());
        Listed { info, example, accounts }
    };
    pricer.endpoints().into_iter().map(listed).collect()
}

/// Without an example body only a request without any body is tried.
fn priced_example(pricer: &dyn Pricer, info: &EndpointInfo) -> Option<PricedExample> {
    let body = info.example.as_deref();
    let request = PriceRequest {
        method: &info.method,
        path: &info.example_path(),
        query: "",
        content_type: body.map(|_| "application/json"),
        body: body.unwrap_or_default().as_bytes(),
    };
    let priced = pricer.price(&request).map_err(|refusal| refusal.message);
    let parsed = body.map(serde_json::from_str).transpose().map_err(|error| error.to_string());
    match (priced, parsed) {
        (Ok(price), Ok(body)) => Some(PricedExample { body, service: price.service }),
        (Err(reason), _) | (_, Err(reason)) => {
            if body.is_some() {
                tracing::warn!(method = info.method, path = info.path, reason, "the example has no price");
            }
            None
        }
    }
}
