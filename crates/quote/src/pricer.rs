//! What a gate asks of anything that can price its requests.

use quittance_protocol::Amount;
use serde::Serialize;
use serde_json::Value;

use crate::reserve::TextReserve;

/// A request as it came, before anything is read from it.
#[derive(Clone, Copy, Debug)]
pub struct PriceRequest<'a> {
    /// HTTP method, upper case.
    pub method: &'a str,
    /// Path as received, without the query.
    pub path: &'a str,
    /// Query without the question mark; empty when there is none.
    pub query: &'a str,
    /// `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// What a request costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Price of the service, rounded up once to the atomic unit.
    pub service: Amount,
    /// How it adds up, exactly; the sum of `usdc` is `service` before rounding.
    pub lines: Vec<PriceLine>,
    /// For text: what the price reserves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve: Option<TextReserve>,
    /// Whether it was read from the body, as JSON. Whoever hands the body on says so of it: a
    /// server that reads a form where JSON was priced would do something else.
    #[serde(skip)]
    pub reads_json: bool,
}

/// One line of a price; decimals as exact strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriceLine {
    /// What is sold, e.g. a model's name.
    pub label: String,
    /// How many.
    pub quantity: String,
    /// Price of one, in `unit`.
    pub unit_price: String,
    /// The catalogue's unit, e.g. `credit`.
    pub unit: String,
    /// `quantity × unit_price` in US dollars.
    pub usdc: String,
}

/// Why a request has no price. Answered before any 402.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// 400, or 404 for a request that is not the API's.
    pub status: u16,
    /// Stable word, e.g. `unknown_model`.
    pub code: String,
    /// The field to change, e.g. `requests[0].duration_seconds`.
    pub field: Option<String>,
    /// For people.
    pub message: String,
    /// Values that would have been accepted, when they can be listed.
    pub choices: Vec<String>,
    /// The whole answer in the host's own error shape.
    pub body: Value,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Must be paid; the index into [`Pricer::endpoints`].
    Paid(usize),
    /// Served without payment.
    Free,
    /// 404: not listed, or its path is not canonical.
    Unknown,
}

/// Whether an endpoint is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// A payment is asked for.
    Paid,
    /// No payment.
    Free,
}

/// One endpoint, as discovery lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointInfo {
    /// HTTP method.
    pub method: String,
    /// Path template, e.g. `/v1/generation-requests/{request_id}`.
    pub path: String,
    /// Whether it is sold.
    pub pricing: Pricing,
    /// How it is priced, in words.
    pub summary: String,
    /// What it does.
    pub description: String,
    /// Media type of its answer.
    pub mime_type: String,
    /// A request body that has a price, JSON as text; `None` where a paid
    /// request takes no body, where it is free, or where nobody wrote one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// JSON Schema 2020-12 of the bodies that have a price; `None` where none is read or
    /// nobody described them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_schema: Option<Value>,
    /// Query parameters that are checked. Others reach a host of its own; a gateway refuses them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryParameter>,
    /// A price of the service that no request is below, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_min: Option<Amount>,
}

/// One query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryParameter {
    /// Its name.
    pub name: String,
    /// Whether a request without it is refused.
    pub required: bool,
    /// JSON Schema of its value.
    pub schema: Value,
}

impl EndpointInfo {
    /// A path that the template matches: each `{name}` stands for itself.
    pub fn example_path(&self) -> String {
        self.path.replace(['{', '}'], "")
    }
}

/// Something that prices requests: a [`crate::Catalogue`], or a host's own code.
///
/// All methods are pure and cheap: an unpaid request must cost nothing but CPU.
pub trait Pricer: Send + Sync {
    /// Where this method and path go.
    fn route(&self, method: &str, path: &str) -> Route;

    /// The price of this request, or why it would be refused.
    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal>;

    /// Only [`Price::service`], or the same refusal: all that an unpaid request
    /// needs. The default asks for the whole price.
    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    fn service(&self, request: &PriceRequest<'_>) -> Result<Amount, Refusal> {
        self.price(request).map(|price| price.service)
    }

    /// Every endpoint, for discovery; [`Route::Paid`] holds indices into it.
    fn endpoints(&self) -> Vec<EndpointInfo>;
}
