//! What the endpoints for tests cost, and how discovery shows them.

use quittance_quote::{EndpointInfo, PriceRequest, Pricing};

use crate::paths::GENERATION_PATH;

/// The paid hooks cost what this buys.
const PRICED_BODY: &str =
    r#"{"requests":[{"type":"image","model":"gen","prompt":"a test","aspect_ratio":"1:1"}]}"#;

/// The hooks as discovery shows them.
pub(crate) fn endpoints() -> Vec<EndpointInfo> {
    let price = "one image of the model gen";
    vec![
        endpoint("GET", "/test/handler-runs", Pricing::Free, "free", "How often paid handlers ran"),
        endpoint("POST", "/test/slow", Pricing::Paid, price, "Works for about 1.5 seconds"),
        endpoint("POST", "/test/fail", Pricing::Paid, price, "Always answers 500"),
        endpoint("POST", "/test/fail-once", Pricing::Paid, price, "Answers 500 at a payment's first run"),
        endpoint("POST", "/test/big", Pricing::Paid, price, "Streams as many bytes as its body says"),
    ]
}

/// Whether this is one of the paid hooks.
pub(crate) fn is_paid(method: &str, path: &str) -> bool {
    method == "POST" && matches!(path, "/test/slow" | "/test/fail" | "/test/fail-once" | "/test/big")
}

/// The request whose price the hooks have.
pub(crate) fn priced_as() -> PriceRequest<'static> {
    PriceRequest {
        method: "POST",
        path: GENERATION_PATH,
        query: "",
        content_type: Some("application/json"),
        body: PRICED_BODY.as_bytes(),
    }
}

/// An [`EndpointInfo`] of a JSON endpoint.
pub(crate) fn endpoint(
    method: &str,
    path: &str,
    pricing: Pricing,
    summary: &str,
    description: &str,
) -> EndpointInfo {
    EndpointInfo {
        method: method.to_owned(),
        path: path.to_owned(),
        pricing,
        summary: summary.to_owned(),
        description: description.to_owned(),
        mime_type: "application/json".to_owned(),
        example: (pricing == Pricing::Paid).then(|| "{}".to_owned()),
        body_schema: None,
        query: Vec::new(),
        service_min: None,
    }
}
