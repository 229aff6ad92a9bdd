//! `/openapi.json`: OpenAPI 3.1 with an `x-402` object in each paid operation.

use quittance_protocol::v1;
use quittance_quote::Pricing;
use serde_json::{Map, Value, json};

use super::{AccountSecurity, Shown, Snapshot};

/// What an agent reads before it chooses an operation.
const GUIDANCE: &str = "Send the request without payment: the answer 402 says what exactly this request \
    costs on each network, in atomic units of USDC, and nothing is charged for asking. A request that \
    cannot be served is 400 before any price. Pay one element of `accepts` and repeat the same request. On \
    503 send the same payment again after `Retry-After`, never a new one. `/llms.txt` has the whole flow.";

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
                with an offer; sign it and repeat the request with PAYMENT-SIGNATURE (x402 version 2) or \
                X-PAYMENT (version 1).",
            "x-guidance": GUIDANCE,
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
    parameters.extend(shown.query.iter().map(|parameter| {
        json!({ "name": parameter.name, "in": "query", "required": parameter.required, "schema": parameter.schema })
    }));
    // Said even where there is nothing to say: an operation without it counts as one that
    // nobody knows how to call.
    map.insert("security".to_owned(), json!([]));
    if shown.pricing == Pricing::Paid {
        map.insert("x-payment-info".to_owned(), payment_info(shown));
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
    let example = shown.example.as_ref().and_then(|example| example.body.as_ref());
    let schema = shown.body_schema.clone().unwrap_or_else(|| schema_like(example));
    let mut content = json!({ "schema": schema });
    if let Some(body) = example {
        content["example"] = body.clone();
    }
    json!({ "required": true, "content": { "application/json": content } })
}

/// The schema of a body that nobody described. Directories build their least request from it
/// and list what answers that with an offer: so it asks for what stands in the example, which
/// has a price, and allows whatever else.
fn schema_like(example: Option<&Value>) -> Value {
    let mut schema = json!({ "type": "object" });
    let Some(Value::Object(members)) = example.filter(|example| **example != json!({})) else {
        return schema;
    };
    let named = |(name, value): (&String, &Value)| (name.clone(), json!({ "examples": [value] }));
    schema["properties"] = Value::Object(members.iter().map(named).collect());
    schema["required"] = members.keys().cloned().collect();
    schema["examples"] = json!([members]);
    schema
}

/// What directories of paid APIs read, in both of their dialects: the price in dollars with
/// the protocols, and offers in atomic units.
///
/// No amount is fixed, since what settling costs moves; none is below the least price of the
/// service. The offers are those for the example, at this moment.
fn payment_info(shown: &Shown) -> Value {
    let mut price = json!({ "mode": "dynamic", "currency": "USD" });
    if let Some(least) = shown.service_min.or(shown.example.as_ref().map(|example| example.service)) {
        price["min"] = json!(least.to_usdc());
    }
    let offers = shown.example.iter().flat_map(|example| &example.offers).map(|offer| {
        json!({
            "intent": "charge", "method": "x402", "scheme": "exact", "network": offer.network,
            "currency": offer.asset, "amount": offer.amount, "description": "What the example costs now",
        })
    });
    json!({ "price": price, "protocols": [{ "x402": {} }], "offers": offers.collect::<Vec<_>>() })
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
        offer["example"] = v1::required(example).unwrap_or_else(|| json!(example));
    }
    json!({
        "200": { "description": "Paid for and served", "headers": receipt, "content": { &shown.mime_type: {} } },
        "400": { "description": "The request has no price; nothing was charged, nothing may be retried unchanged" },
        "402": {
            "description": "Pay an offer of the header (x402 version 2) or of the body (version 1), or the payment \
                that came was refused (`error` says why)",
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
        "PaymentRequired": text("Base64 of the offer's JSON in x402 version 2; the body has the same in version 1"),
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
                "x402Version": { "enum": [1, 2], "description": "2 only where version 1 has no name for a network" },
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
            "required": ["scheme", "network", "asset", "payTo", "maxAmountRequired", "maxTimeoutSeconds"],
            "properties": {
                "scheme": { "const": "exact" },
                "network": text,
                "asset": text,
                "payTo": text,
                "maxAmountRequired": { "type": "string", "pattern": "^[0-9]+$" },
                "resource": text,
                "description": text,
                "mimeType": text,
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
