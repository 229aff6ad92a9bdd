//! `/openapi.json`: OpenAPI 3.1 with an `x-402` object in each paid operation.

use quittance_quote::Pricing;
use serde_json::{Map, Value, json};

use super::{AccountSecurity, Shown, Snapshot};

pub(super) fn write(snapshot: &Snapshot, accounts: &[AccountSecurity]) -> Value {
    let mut paths = Map::new();
    for shown in &snapshot.endpoints {
        let item = paths.entry(shown.path.clone()).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(shown.method.to_ascii_lowercase(), operation(snapshot, shown, accounts));
        }
    }
    let server = if snapshot.base_url.is_empty() { "/" } else { &snapshot.base_url };
    let schemes: Map<String, Value> =
        accounts.iter().flatten().map(|(name, scheme)| (name.clone(), scheme.clone())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Paid API",
            "version": format!("x402-v{}", snapshot.x402_version),
            "description": "Paid per request with x402, without an account. A paid operation answers 402 \
                with an offer; sign it and repeat the request with PAYMENT-SIGNATURE.",
        },
        "servers": [{ "url": server }],
        "paths": paths,
        "components": {
            "headers": headers(),
            "schemas": schemas(),
            "securitySchemes": schemes,
        },
    })
}

fn operation(snapshot: &Snapshot, shown: &Shown, accounts: &[AccountSecurity]) -> Value {
    let mut operation = json!({
        "operationId": operation_id(shown),
        "summary": shown.description,
        "responses": { "200": { "description": "The answer", "content": { &shown.mime_type: {} } } },
    });
    let Value::Object(map) = &mut operation else { return operation };
    let mut parameters: Vec<Value> = shown
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if shown.pricing == Pricing::Paid {
        map.insert("description".to_owned(), json!(format!("Price: {}.", shown.summary)));
        map.insert("responses".to_owned(), paid_responses(snapshot, shown));
        map.insert("x-402".to_owned(), extension(snapshot, shown));
        parameters.push(json!({
            "name": "PAYMENT-SIGNATURE", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "Base64 of the payment's JSON; without it the answer is 402 with an offer",
        }));
        if matches!(shown.method.as_str(), "POST" | "PUT" | "PATCH") {
            map.insert("requestBody".to_owned(), request_body(shown));
        }
        // `{}` first: nobody needs an account to pay.
        if shown.accounts && !accounts.is_empty() {
            let alternatives = accounts.iter().map(|alternative| {
                alternative.keys().map(|name| (name.clone(), json!([]))).collect::<Map<_, _>>()
            });
            let security: Vec<_> = std::iter::once(Map::new()).chain(alternatives).collect();
            map.insert("security".to_owned(), json!(security));
        }
    }
    if !parameters.is_empty() {
        map.insert("parameters".to_owned(), json!(parameters));
    }
    operation
}

fn operation_id(shown: &Shown) -> String {
    let mut id = shown.method.to_ascii_lowercase();
    for word in shown.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn request_body(shown: &Shown) -> Value {
    let mut content = json!({ "schema": { "type": "object" } });
    if let Some(body) = shown.example.as_ref().and_then(|example| example.body.as_ref()) {
        content["example"] = body.clone();
    }
    json!({ "required": true, "content": { "application/json": content } })
}

/// What an agent that knows x402 needs before it asks.
fn extension(snapshot: &Snapshot, shown: &Shown) -> Value {
    let mut extension = json!({
        "x402Version": snapshot.x402_version,
        "scheme": "exact",
        "networks": snapshot.networks,
        "pricing": shown.summary,
        "accounts": shown.accounts,
    });
    if let Some(example) = &shown.example {
        extension["example"] = json!(example);
    }
    extension
}

fn paid_responses(snapshot: &Snapshot, shown: &Shown) -> Value {
    let receipt = json!({
        "PAYMENT-RESPONSE": { "$ref": "#/components/headers/PaymentResponse" },
        "Payment-State": { "$ref": "#/components/headers/PaymentState" },
    });
    let trouble = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Trouble" } } });
    let mut offer = json!({ "schema": { "$ref": "#/components/schemas/PaymentRequired" } });
    // The example offer is for the first example; another endpoint's would lie.
    let first = snapshot.examples().next();
    if let Some(example) =
        snapshot.offer.as_ref().filter(|_| first.is_some_and(|(f, _)| std::ptr::eq(f, shown)))
    {
        offer["example"] = json!(example);
    }
    json!({
        "200": { "description": "Paid for and served", "headers": receipt, "content": { &shown.mime_type: {} } },
        "400": { "description": "The request has no price; nothing was charged, nothing may be retried unchanged" },
        "402": {
            "description": "Pay one of `accepts`, or the payment that came was refused (`error` says why)",
            "headers": { "PAYMENT-REQUIRED": { "$ref": "#/components/headers/PaymentRequired" } },
            "content": { "application/json": offer },
        },
        "409": { "description": "The payment bought another request, or is used up", "content": trouble },
        "500": { "description": "The service failed; the payment is a credit for the same request",
            "headers": receipt, "content": trouble },
        "503": {
            "description": "The outcome is not known yet, or payments cannot be taken now",
            "headers": { "Retry-After": { "schema": { "type": "integer" } },
                "PAYMENT-RESPONSE": { "$ref": "#/components/headers/PaymentResponse" } },
            "content": trouble,
        },
    })
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "PaymentRequired": text("Base64 of the offer's JSON; the body repeats it"),
        "PaymentResponse": text("Base64 of the receipt's JSON"),
        "PaymentState": text("`delivered`, `refundable`, `credited` or `running`"),
    })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "PaymentRequired": {
            "type": "object",
            "required": ["x402Version", "accepts"],
            "properties": {
                "x402Version": { "const": 2 },
                "error": text,
                "code": text,
                "message": text,
                "retry_action": { "$ref": "#/components/schemas/RetryAction" },
                "resource": { "type": "object" },
                "accepts": { "type": "array", "items": { "$ref": "#/components/schemas/Offer" } },
                "extensions": { "type": "object" },
            },
        },
        "Offer": {
            "type": "object",
            "required": ["scheme", "network", "asset", "payTo", "amount", "maxTimeoutSeconds"],
            "properties": {
                "scheme": { "const": "exact" },
                "network": text,
                "asset": text,
                "payTo": text,
                "amount": { "type": "string", "pattern": "^[0-9]+$" },
                "maxTimeoutSeconds": { "type": "integer" },
                "extra": { "type": "object" },
            },
        },
        "RetryAction": { "enum": ["pay", "retry_same_payment", "do_not_retry"] },
        "Trouble": {
            "type": "object",
            "required": ["error", "message"],
            "properties": {
                "error": text,
                "message": text,
                "payment_state": text,
                "retry_action": { "$ref": "#/components/schemas/RetryAction" },
                "retry_after_seconds": { "type": "integer" },
                "transaction": text,
            },
        },
    })
}
