//! An OpenAPI 3 document as far as a catalogue needs it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// References that are followed from one schema to the next.
const REFERENCES_MAX: usize = 16;

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) description: String,
    /// `None` where no JSON object is asked for.
    pub(crate) fields: Option<Vec<Field>>,
    /// The document says of this very operation that it asks for no credentials.
    pub(crate) is_open: bool,
}

/// One member of a body.
pub(crate) struct Field {
    pub(crate) name: String,
    /// `None` where the catalogue has no such type: it is passed on unseen.
    pub(crate) kind: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) choices: Vec<String>,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) example: Value,
}

pub(crate) fn is_one(document: &Value) -> bool {
    document["openapi"].as_str().is_some_and(|version| version.starts_with('3'))
        && document["paths"].is_object()
}

/// What the document lists, in its order.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if !["get", "post", "put", "patch"].contains(&method.as_str()) {
                continue;
            }
            let words = operation["summary"].as_str().or(operation["description"].as_str());
            found.push(Operation {
                method: method.to_ascii_uppercase(),
                path: template(path),
                description: words.unwrap_or(path).lines().next().unwrap_or_default().to_owned(),
                fields: fields(document, operation),
                is_open: operation["security"].as_array().is_some_and(Vec::is_empty),
            });
        }
    }
    found
}

/// `{item-id}` is no name in a catalogue.
fn template(path: &str) -> String {
    let name = |segment: &str| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            format!("{{{}}}", name.chars().map(plain).collect::<String>())
        }
        None => segment.to_owned(),
    };
    let path = if path == "/" { path } else { path.trim_end_matches('/') };
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

fn fields(document: &Value, operation: &Value) -> Option<Vec<Field>> {
    let body = resolved(document, &operation["requestBody"])?;
    let schema = resolved(document, &body["content"]["application/json"]["schema"])?;
    let members = schema["properties"].as_object()?;
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Some(
        members
            .iter()
            .map(|(name, schema)| field(document, name, schema, required.contains(name.as_str())))
            .collect(),
    )
}

fn field(document: &Value, name: &str, schema: &Value, required: bool) -> Field {
    let nothing = Value::Null;
    let schema = resolved(document, schema).unwrap_or(&nothing);
    let kind = match one_type(schema) {
        Some("string") => Some("string"),
        Some("integer") => Some("integer"),
        Some("number") => Some("number"),
        Some("boolean") => Some("boolean"),
        Some("array") => Some("array"),
        Some("object") => Some("object"),
        _ => None,
    };
    let words: Vec<String> = schema["enum"].as_array().into_iter().flatten().filter_map(word).collect();
    let choices = if kind == Some("string") { words } else { Vec::new() };
    let bound = |key: &str| schema[key].as_i64().filter(|_| kind == Some("integer"));
    let (min, max) = (bound("minimum"), bound("maximum"));
    let example = example(schema, kind, &choices, min);
    Field { name: name.to_owned(), kind, required, choices, min, max, example }
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The one type besides null.
fn one_type(schema: &Value) -> Option<&str> {
    let of = |value: &'_ Value| value.as_str().filter(|kind| *kind != "null").is_some();
    match &schema["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) if kinds.iter().filter(|kind| of(kind)).count() == 1 => {
            kinds.iter().find(|kind| of(kind))?.as_str()
        }
        _ => None,
    }
}

fn example(schema: &Value, kind: Option<&str>, choices: &[String], min: Option<i64>) -> Value {
    let said = [&schema["example"], &schema["examples"][0], &schema["default"]];
    if let Some(value) = said.into_iter().find(|value| !value.is_null()) {
        return value.clone();
    }
    match (kind, choices.first()) {
        (_, Some(choice)) => Value::from(choice.as_str()),
        (Some("integer"), _) => Value::from(min.unwrap_or(1)),
        (Some("number"), _) => Value::from(1),
        (Some("boolean"), _) => Value::from(false),
        (Some("array"), _) => Value::Array(Vec::new()),
        (Some("object"), _) => Value::Object(Map::new()),
        _ => Value::from("a brass key"),
    }
}

/// What `$ref` leads to, and of alternatives with null the other one.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let mut schema = schema;
    for _ in 0..REFERENCES_MAX {
        if let Some(place) = schema["$ref"].as_str() {
            schema = document.pointer(place.strip_prefix('#')?)?;
            continue;
        }
        let alternatives = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
        let others: Vec<_> = alternatives.into_iter().flatten().filter(|one| one["type"] != "null").collect();
        match others[..] {
            [one] => schema = one,
            _ => return schema.is_object().then_some(schema),
        }
    }
    None
}
