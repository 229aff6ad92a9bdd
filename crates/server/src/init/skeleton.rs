//! A catalogue to fill in: what an API lists, each call at one price, or an example.

use std::fmt::Write as _;

use quittance_quote::Catalogue;
use serde_json::{Map, Value};

use crate::CommandError;
use crate::init::openapi::{self, Field, Operation};

/// Operations that are looked at.
const OPERATIONS_MAX: usize = 256;

/// The catalogue, and what of the document is not in it, each with the reason.
pub(crate) fn catalogue(
    document: Option<&Value>,
    price: &str,
) -> Result<(String, Vec<String>), CommandError> {
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
        return Ok((text, Vec::new()));
    };
    let mut left_out = Vec::new();
    let mut listed = 0_usize;
    for operation in openapi::operations(document).iter().take(OPERATIONS_MAX) {
        let with = format!("{text}{}", endpoint(operation, price));
        match Catalogue::from_toml(&with) {
            Ok(_) => {
                text = with;
                listed = listed.saturating_add(1);
            }
            Err(error) => left_out.push(format!("{} {}: {error}", operation.method, operation.path)),
        }
    }
    if listed == 0 {
        return Err(format!("nothing of the OpenAPI document can be listed: {}", left_out.join("; ")).into());
    }
    Ok((text, left_out))
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

/// What only reads is free, what makes something is paid.
fn endpoint(operation: &Operation, price: &str) -> String {
    let Operation { method, path, description, fields } = operation;
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
        let (text, left_out) = catalogue(Some(&document()), "0.05").unwrap();
        let made = Catalogue::from_toml(&text).unwrap();
        let listed: Vec<_> = made.endpoints().iter().map(|e| format!("{} {}", e.method, e.path)).collect();
        assert_eq!(listed, ["POST /v1/images", "GET /v1/images/{image_id}", "POST /v1/upload"], "{text}");
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
    }

    #[test]
    fn without_a_document_there_is_an_example() {
        let (text, _) = catalogue(None, "0.01").unwrap();
        assert_eq!(Catalogue::from_toml(&text).unwrap().endpoints().len(), 1, "{text}");
        assert!(catalogue(None, "a lot").is_err());
    }
}
