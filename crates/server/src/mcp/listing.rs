//! What a seller says that it sells, as short as an agent can use it.

use quittance_payer::{Look, PayError, Payer, Request};
use quittance_protocol::plain_words;
use serde_json::{Map, Value, json};

/// Endpoints that are listed at most.
const ENDPOINTS_MAX: usize = 200;

/// Where sellers say it, the most exact first.
const DOCUMENTS: [&str; 2] = ["/.well-known/x402", "/openapi.json"];

/// Reads the first document that lists something.
pub(super) async fn of(payer: &Payer, url: &str) -> Result<Value, PayError> {
    let origin = Request::get(url)?.origin();
    let mut last = None;
    for path in DOCUMENTS {
        let place = format!("{origin}{path}");
        let document = match payer.look(&Request::get(&place)?).await {
            Ok(Look::Free(answer)) if answer.status == 200 => {
                serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()
            }
            Ok(_) => continue,
            // A limit is the operator's word, and the same for every path.
            Err(error @ PayError::Limit(_)) => return Err(error),
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        let mut endpoints = listed(&document, &origin);
        if !endpoints.is_empty() {
            let more = endpoints.len().saturating_sub(ENDPOINTS_MAX);
            endpoints.truncate(ENDPOINTS_MAX);
            let networks = document.get("networks").map(networks).unwrap_or_default();
            return Ok(
                json!({ "document": place, "networks": networks, "endpoints": endpoints, "left_out": more }),
            );
        }
    }
    Err(last.unwrap_or_else(|| {
        PayError::NotX402(format!(
            "neither {} of {origin} lists anything that is sold; `price` asks one URL",
            DOCUMENTS.join(" nor ")
        ))
    }))
}

fn listed(document: &Value, origin: &str) -> Vec<Value> {
    let ours = document.get("endpoints").and_then(Value::as_array);
    let resources = document.get("resources").and_then(Value::as_array);
    let paths = document.get("paths").and_then(Value::as_object);
    let ours = ours.into_iter().flatten().filter_map(|one| endpoint(one, origin));
    let resources = resources.into_iter().flatten().filter_map(|one| {
        let url = one.as_str().or_else(|| one.get("url").and_then(Value::as_str))?;
        Some(json!({ "url": absolute(url, origin) }))
    });
    let operations = paths.into_iter().flatten().flat_map(|(path, item)| {
        let item = item.as_object();
        item.into_iter().flatten().filter_map(move |(method, one)| operation(method, path, one, origin))
    });
    let found: Vec<_> = ours.chain(operations).collect();
    if found.is_empty() { resources.collect() } else { found }
}

/// As this project's sellers list it.
fn endpoint(one: &Value, origin: &str) -> Option<Value> {
    let text = |name: &str| one.get(name).and_then(Value::as_str).map(plain_words);
    if text("pricing").is_some_and(|pricing| pricing != "paid") {
        return None;
    }
    let mut shown = Map::new();
    shown.insert("method".to_owned(), json!(text("method")?));
    shown.insert("url".to_owned(), json!(absolute(&text("path")?, origin)));
    shown.insert("description".to_owned(), json!(text("description")));
    shown.insert("price".to_owned(), json!(text("summary")));
    if let Some(example) = one.get("example") {
        shown.insert("example".to_owned(), example.clone());
    }
    Some(Value::Object(shown))
}

/// As directories read it.
fn operation(method: &str, path: &str, one: &Value, origin: &str) -> Option<Value> {
    let price = one.get("x-payment-info").or_else(|| one.get("x-402"))?;
    let text = |name: &str| one.get(name).and_then(Value::as_str).map(plain_words);
    Some(json!({
        "method": method.to_ascii_uppercase(),
        "url": absolute(path, origin),
        "description": text("summary").or_else(|| text("description")),
        "price": price,
        "body": one.pointer("/requestBody/content/application~1json/example"),
    }))
}

fn networks(all: &Value) -> Vec<String> {
    let all = all.as_array().into_iter().flatten();
    all.filter_map(|one| one.get("network").and_then(Value::as_str).map(plain_words)).collect()
}

fn absolute(path: &str, origin: &str) -> String {
    if path.starts_with('/') { format!("{origin}{path}") } else { plain_words(path) }
}
