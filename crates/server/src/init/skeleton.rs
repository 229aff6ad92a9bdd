//! A catalogue to fill in: what an API lists, each call at one price, or an example.

use std::fmt::Write as _;

use quittance_quote::Catalogue;
use serde_json::{Map, Value};

use crate::CommandError;
use crate::init::openapi::{self, Field, Operation};

/// Operations that are looked at.
const OPERATIONS_MAX: usize = 256;

/// Last segments of paths that say whether an API is well, and nothing else.
const HEALTH: [&str; 8] = ["health", "healthz", "healthcheck", "live", "livez", "ready", "readyz", "ping"];

/// A catalogue, and what there is to say of it.
pub(crate) struct Skeleton {
    pub(crate) text: String,
    /// What of the document is not in it, each with the reason.
    pub(crate) left_out: Vec<String>,
    /// Operations that sell nothing until the operator chooses.
    pub(crate) open: usize,
    /// Whether it lists anything: without it the operator has to choose first.
    pub(crate) is_whole: bool,
}

/// What makes something is sold; what only reads is written as a comment. One operation of a document
/// is a profile of somebody, the next a price list: what is free goes to anybody, so nobody but the
/// operator says it.
pub(crate) fn catalogue(document: Option<&Value>, price: &str) -> Result<Skeleton, CommandError> {
    let title = document.and_then(|document| document["info"]["title"].as_str()).unwrap_or("my api");
    let mut text = format!(
        "# Made by `quittance init`: look at every price. The language: catalogs/README.md.\n\
         # What is not listed is not served. `quittance catalog check catalog.toml` reads it.\n\n\
         [catalogue]\nname = {}\nunit = \"usd\"\nusd_per_unit = \"1\"\n",
        quoted(&name(title))
    );
    let Some(document) = document else {
        text.push_str(&endpoint(&sample(), price));
        Catalogue::from_toml(&text).map_err(|error| format!("--price: {error}"))?;
        return Ok(Skeleton { text, left_out: Vec::new(), open: 0, is_whole: true });
    };
    let (mut left_out, mut comments) = (Vec::new(), String::new());
    let (mut listed, mut open) = (0_usize, 0_usize);
    for operation in openapi::operations(document).iter().take(OPERATIONS_MAX) {
        let made = endpoint(operation, price);
        let with = format!("{text}{made}");
        match Catalogue::from_toml(&with) {
            Ok(_) if operation.method != "GET" || is_health(operation) => {
                text = with;
                listed = listed.saturating_add(1);
            }
            Ok(_) => {
                comments.push_str(&commented(&made, price));
                open = open.saturating_add(1);
            }
            Err(error) => left_out.push(format!("{} {}: {error}", operation.method, operation.path)),
        }
    }
    if listed == 0 && open == 0 {
        return Err(format!("nothing of the OpenAPI document can be listed: {}", left_out.join("; ")).into());
    }
    if open > 0 {
        text.push_str(
            "\n# What only reads. Free is what anybody may read; what is not listed is not served.\n",
        );
        text.push_str(&comments);
    }
    Ok(Skeleton { text, left_out, open, is_whole: listed > 0 })
}

/// A path that says whether the API is well, where the document says that anybody may ask.
fn is_health(operation: &Operation) -> bool {
    let last = operation.path.rsplit('/').next().unwrap_or_default();
    operation.is_open && !operation.path.contains('{') && HEALTH.contains(&last)
}

/// An endpoint to choose, with both prices.
fn commented(endpoint: &str, price: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("# {line}\n") };
    let text: String = endpoint.lines().map(line).collect();
    format!("{text}# # or: price = {{ kind = \"call\", units = {} }}\n", quoted(price))
}

/// An endpoint for who shows no document.
fn sample() -> Operation {
    let prompt = Field {
        name: "prompt".to_owned(),
        kind: Some("string"),
        required: true,
        choices: Vec::new(),
        min: None,
        max: None,
        example: Value::from("a brass key"),
    };
    Operation {
        method: "POST".to_owned(),
        path: "/v1/generate".to_owned(),
        description: "Makes something".to_owned(),
        fields: Some(vec![prompt]),
        is_open: false,
    }
}

/// A name of a catalogue.
fn name(title: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    title.chars().take(64).map(plain).collect::<String>().trim_matches('-').to_owned()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What makes something is paid; what only reads is free, once it is listed.
fn endpoint(operation: &Operation, price: &str) -> String {
    let Operation { method, path, description, fields, is_open: _ } = operation;
    let mut text = format!(
        "\n[[endpoints]]\nmethod = {}\npath = {}\ndescription = {}\n",
        quoted(method),
        quoted(path),
        quoted(description)
    );
    if method == "GET" {
        text.push_str("price = { kind = \"free\" }\n");
        return text;
    }
    let known: Vec<&Field> = fields.iter().flatten().filter(|field| field.kind.is_some()).collect();
    let unknown: Vec<String> = fields
        .iter()
        .flatten()
        .filter(|field| field.kind.is_none())
        .map(|field| quoted(&field.name))
        .collect();
    if !known.is_empty() {
        let needed: Map<String, Value> = fields
            .iter()
            .flatten()
            .filter(|field| field.required)
            .map(|field| (field.name.clone(), field.example.clone()))
            .collect();
        let _ = writeln!(text, "example = {}", quoted(&Value::Object(needed).to_string()));
    }
    let _ = writeln!(text, "\n[endpoints.price]\nkind = \"call\"\nunits = {}", quoted(price));
    if !unknown.is_empty() && !known.is_empty() {
        let _ = writeln!(text, "# Passed on unseen: none of these may change what a call costs.");
        let _ = writeln!(text, "passthrough = [{}]", unknown.join(", "));
    }
    if !known.is_empty() {
        text.push_str("\n[endpoints.price.fields]\n");
    }
    for field in known {
        let _ = writeln!(text, "{} = {{ {} }}", quoted(&field.name), declaration(field));
    }
    text
}

fn declaration(field: &Field) -> String {
    let mut parts = vec![format!("type = {}", quoted(field.kind.unwrap_or("string")))];
    if field.required {
        parts.push("required = true".to_owned());
    }
    parts.extend(field.min.map(|min| format!("min = {min}")));
    parts.extend(field.max.map(|max| format!("max = {max}")));
    if !field.choices.is_empty() {
        let choices: Vec<String> = field.choices.iter().map(|choice| quoted(choice)).collect();
        parts.push(format!("choices = [{}]", choices.join(", ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As FastAPI writes it.
    fn document() -> Value {
        json!({
            "openapi": "3.1.0",
            "info": { "title": "My Pictures API" },
            "paths": {
                "/v1/images": { "post": {
                    "summary": "Make a picture",
                    "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } },
                } },
                "/v1/images/{image-id}": { "get": { "summary": "One picture" }, "delete": {} },
                "/v1/account": { "get": { "summary": "Mine", "security": [] } },
                "/health": { "get": { "summary": "Well?", "security": [] } },
                "/internal/health": { "get": {} },
                "/v2/{id}/health": { "get": { "security": [] } },
                "/v1/files/{name}.png": { "get": {} },
                "/v1/upload": { "post": { "requestBody": { "content": { "multipart/form-data": { "schema": {} } } } } },
            },
            "components": { "schemas": { "Order": {
                "type": "object",
                "required": ["prompt", "size"],
                "properties": {
                    "prompt": { "type": "string" },
                    "size": { "type": "string", "enum": ["small", "large"] },
                    "steps": { "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 50 }, { "type": "null" }], "default": 20 },
                    "style": { "anyOf": [{ "type": "string" }, { "type": "object" }] },
                },
            } } },
        })
    }

    #[test]
    fn a_document_becomes_a_catalogue_that_loads() {
        let Skeleton { text, left_out, open, is_whole } = catalogue(Some(&document()), "0.05").unwrap();
        let made = Catalogue::from_toml(&text).unwrap();
        let listed: Vec<_> = made.endpoints().iter().map(|e| format!("{} {}", e.method, e.path)).collect();
        assert_eq!(listed, ["POST /v1/images", "GET /health", "POST /v1/upload"], "{text}");
        assert!(is_whole);
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert!(left_out[0].contains("/v1/files/{name}.png"), "{left_out:?}");
        for words in [
            r#"name = "my-pictures-api""#,
            r#""size" = { type = "string", required = true, choices = ["small", "large"] }"#,
            r#""steps" = { type = "integer", min = 1, max = 50 }"#,
            r#"passthrough = ["style"]"#,
        ] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
        // What only reads is there to be chosen.
        assert_eq!(open, 4, "{text}");
        let (_, comments) = text.split_once("# What only reads.").unwrap();
        let chosen: String = comments
            .lines()
            .skip(1)
            .filter_map(|line| Some(format!("{}\n", line.strip_prefix("# ")?)))
            .collect();
        let with = Catalogue::from_toml(&format!("{text}{chosen}")).unwrap();
        assert!(with.endpoints().iter().any(|e| e.path == "/v1/images/{image_id}"), "{text}");
    }

    #[test]
    fn an_api_that_only_reads_sells_nothing_until_somebody_chooses() {
        let document = json!({
            "openapi": "3.1.0", "info": { "title": "weather" },
            "paths": { "/v1/weather": { "get": { "summary": "Weather\n# evil = 1" } } },
        });
        let made = catalogue(Some(&document), "0.05").unwrap();
        assert_eq!((made.open, made.is_whole), (1, false));
        assert!(Catalogue::from_toml(&made.text).is_err());
        let chosen = made.text.replace("# [[endpoints]]", "[[endpoints]]").replace("# # or: price", "price");
        let chosen = ["method", "path", "description"]
            .iter()
            .fold(chosen, |text, key| text.replace(&format!("# {key} ="), &format!("{key} =")));
        let listed = Catalogue::from_toml(&chosen).unwrap();
        assert_eq!(listed.endpoints()[0].path, "/v1/weather");
    }

    #[test]
    fn without_a_document_there_is_an_example() {
        let text = catalogue(None, "0.01").unwrap().text;
        assert_eq!(Catalogue::from_toml(&text).unwrap().endpoints().len(), 1, "{text}");
        assert!(catalogue(None, "a lot").is_err());
    }
}
