//! JSON Schemas of the bodies and query parameters that an endpoint prices, in the dialect
//! of OpenAPI 3.1 (JSON Schema 2020-12).
//!
//! Directories of paid APIs read them and build the least request from them: the required
//! properties, each by its example, default or first choice. Such a request has a price.

use serde_json::{Map, Value, json};

use super::file::{CallRule, Endpoint, Field, FieldType, GenerationRule, Model, Rule, Scalar, TextRule};
use super::generation::{self, ITEMS_MAX, PROMPT_BYTES_MAX};
use super::media;
use super::text::{self, COUNT_MAX, MESSAGES_MAX};
use super::{Catalogue, video};
use crate::QueryParameter;

impl Catalogue {
    /// The schema of an endpoint's bodies; `None` where no body is read. `example` is one
    /// that has a price.
    pub(super) fn body_schema(&self, endpoint: &Endpoint, example: Option<&Value>) -> Option<Value> {
        match &endpoint.price {
            Rule::Free(_) => None,
            Rule::Call(rule) => self.call_schema(rule, example),
            Rule::Generation(rule) => Some(self.generation_schema(rule, example)),
            Rule::Text(rule) => Some(self.text_schema(rule, example)),
        }
    }

    fn call_schema(&self, rule: &CallRule, example: Option<&Value>) -> Option<Value> {
        if !rule.reads_body() {
            return None;
        }
        let mut object = Object::new(example);
        if let Some(field) = &rule.model_field {
            let mut model = json!({ "type": "string", "enum": self.sold_models(rule) });
            if let Some(default) = &rule.default_model {
                model["default"] = json!(default);
            }
            object.add(field, model, rule.default_model.is_none());
        }
        for (name, field) in &rule.fields {
            object.add(name, field_schema(field), field.required && field.default.is_none());
            for alias in &field.aliases {
                let mut schema = field_schema(field);
                schema["description"] = json!(format!("Another name of `{name}`"));
                object.add(alias, schema, false);
            }
        }
        object.add_anything(&rule.passthrough);
        Some(object.finish())
    }

    /// Models that a call may name, in alphabetical order.
    pub(super) fn sold_models<'a>(&'a self, rule: &'a CallRule) -> Vec<&'a str> {
        match &rule.models {
            Some(models) => models.iter().map(String::as_str).collect(),
            None => self.model_names("plain"),
        }
    }

    fn generation_schema(&self, rule: &GenerationRule, example: Option<&Value>) -> Value {
        let shown = |kind: &str| {
            let items = example?.get("requests")?.as_array()?;
            items.iter().find(|item| item.get("type").and_then(Value::as_str) == Some(kind)).cloned()
        };
        let kinds = ["image", "video"].into_iter().filter(|kind| !self.model_names(kind).is_empty());
        let items: Vec<_> = kinds
            .map(|kind| {
                self.item_schema(kind, rule, shown(kind).or_else(|| self.item_example(kind)).as_ref())
            })
            .collect();
        let mut object = Object::new(example);
        let requests = json!({
            "type": "array", "minItems": 1, "maxItems": rule.items_max.unwrap_or(ITEMS_MAX),
            "items": { "oneOf": items },
        });
        object.add("requests", requests, true);
        object.add("client_request_id", json!({ "type": "string" }), false);
        object.add("output_format", json!({ "type": "string", "enum": generation::OUTPUT_FORMATS }), false);
        object.add_anything(&rule.passthrough);
        object.finish()
    }

    fn item_schema(&self, kind: &str, rule: &GenerationRule, example: Option<&Value>) -> Value {
        let mut object = Object::new(example);
        object.add("type", json!({ "const": kind }), true);
        object.add("model", json!({ "type": "string", "enum": self.model_names(kind) }), true);
        let prompt = json!({ "type": "string", "minLength": 1, "maxLength": PROMPT_BYTES_MAX });
        object.add("prompt", prompt, true);
        let aspect = json!({
            "type": "string", "enum": self.aspects(kind),
            "description": "Each model makes some of these; the refusal of another names them",
        });
        object.add("aspect_ratio", aspect, true);
        if kind == "video" {
            let seconds = json!({
                "type": "integer", "enum": self.durations(),
                "description": "Each model makes some of these; the refusal of another names them",
            });
            object.add("duration_seconds", seconds, true);
        }
        object.add("negative_prompt", json!({ "type": "string", "maxLength": PROMPT_BYTES_MAX }), false);
        object.add("output_format", json!({ "type": "string", "enum": generation::OUTPUT_FORMATS }), false);
        object.add("seed", json!({ "type": "integer" }), false);
        let more: &[&str] = if kind == "video" { &video::FIELDS } else { &generation::IMAGE_FIELDS };
        object.add_anything(generation::ITEM_FIELDS.iter().chain(more));
        object.add_anything(&rule.item_passthrough);
        object.finish()
    }

    fn aspects(&self, kind: &str) -> Vec<&str> {
        let mut aspects: Vec<&str> = self
            .models
            .values()
            .filter_map(|model| match (model, kind) {
                (Model::Image(model), "image") => Some(&model.aspects),
                (Model::Video(model), "video") => Some(&model.aspects),
                _ => None,
            })
            .flatten()
            .map(String::as_str)
            .chain([media::AUTO_ASPECT])
            .collect();
        aspects.sort_unstable();
        aspects.dedup();
        aspects
    }

    fn durations(&self) -> Vec<u64> {
        let mut seconds: Vec<u64> = self
            .models
            .values()
            .filter_map(|model| if let Model::Video(model) = model { Some(&model.durations) } else { None })
            .flatten()
            .map(|duration| duration.seconds)
            .collect();
        seconds.sort_unstable();
        seconds.dedup();
        seconds
    }

    fn text_schema(&self, rule: &TextRule, example: Option<&Value>) -> Value {
        let mut object = Object::new(example);
        object.add("model", json!({ "type": "string", "enum": self.model_names("text") }), true);
        let message = json!({
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "role": { "type": "string", "enum": text::ROLES },
                "content": {
                    "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "object" } }],
                    "examples": ["Say hello"],
                },
            },
        });
        let messages = json!({ "type": "array", "minItems": 1, "maxItems": MESSAGES_MAX, "items": message });
        object.add("messages", messages, true);
        for name in ["max_tokens", "max_completion_tokens"] {
            object.add(name, json!({ "type": "integer", "minimum": 1 }), false);
        }
        let count = json!({
            "type": "integer", "minimum": 1, "maximum": rule.choices_max.unwrap_or(COUNT_MAX), "default": 1,
        });
        object.add("n", count, false);
        object.add("stream", json!({ "type": "boolean" }), false);
        object.add("stream_options", json!({ "type": "object" }), false);
        object.add_anything(text::FIELDS.iter().filter(|name| **name != "prompt"));
        object.add_anything(&rule.passthrough);
        object.finish()
    }
}

/// The query parameters that a rule checks.
pub(super) fn query(rule: &Rule) -> Vec<QueryParameter> {
    let parameter = |(name, field): (&String, &Field)| QueryParameter {
        name: name.clone(),
        required: field.required,
        schema: field_schema(field),
    };
    rule.query().into_iter().flatten().map(parameter).collect()
}

/// An object's schema as it grows.
struct Object<'e> {
    example: Option<&'e Value>,
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl<'e> Object<'e> {
    fn new(example: Option<&'e Value>) -> Self {
        Self { example, properties: Map::new(), required: Vec::new() }
    }

    /// The example's value stands at the property too: who takes the required ones alone
    /// takes values that go together.
    fn add(&mut self, name: &str, mut schema: Value, required: bool) {
        if let Some(value) = self.example.and_then(|example| example.get(name))
            && let Value::Object(schema) = &mut schema
            && !schema.contains_key("const")
        {
            schema.insert("examples".to_owned(), json!([value]));
        }
        self.properties.insert(name.to_owned(), schema);
        if required {
            self.required.push(name.to_owned());
        }
    }

    /// Properties that may hold anything, unless they are described already.
    fn add_anything<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) {
        for name in names {
            self.properties.entry(name.as_ref()).or_insert_with(|| json!({}));
        }
    }

    fn finish(self) -> Value {
        let mut schema = json!({
            "type": "object", "required": self.required, "properties": self.properties,
            "additionalProperties": false,
        });
        if let Some(example) = self.example {
            schema["examples"] = json!([example]);
        }
        schema
    }
}

fn field_schema(field: &Field) -> Value {
    let mut schema = match field.kind {
        FieldType::String => json!({ "type": "string" }),
        FieldType::Integer => json!({ "type": "integer" }),
        FieldType::Number => json!({ "type": "number" }),
        FieldType::Boolean => json!({ "type": "boolean" }),
        FieldType::Array => json!({ "type": "array" }),
        FieldType::Object => json!({ "type": "object" }),
        FieldType::DataUrl => data_url(),
        FieldType::DataUrls => json!({ "type": "array", "items": data_url() }),
    };
    let mut put = |name: &str, value: Option<Value>| {
        if let (Some(value), Value::Object(schema)) = (value, &mut schema) {
            schema.insert(name.to_owned(), value);
        }
    };
    put("minimum", field.min.map(Value::from));
    put("maximum", field.max.map(Value::from));
    put("enum", field.choices.as_ref().map(|choices| choices.iter().map(scalar).collect()));
    put("default", field.default.as_ref().map(scalar));
    put("maxItems", field.items_max.map(Value::from));
    // A bound in bytes is one in characters too.
    put("maxLength", field.bytes_max.filter(|_| field.kind != FieldType::DataUrls).map(Value::from));
    put("minLength", (field.required && field.kind == FieldType::String).then(|| json!(1)));
    schema
}

fn data_url() -> Value {
    json!({ "type": "string", "pattern": "^[Dd][Aa][Tt][Aa]:[Ii][Mm][Aa][Gg][Ee]/[^,]*;[Bb][Aa][Ss][Ee]64," })
}

pub(super) fn scalar(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Bool(flag) => json!(flag),
        Scalar::Int(int) => json!(int),
        Scalar::Text(text) => json!(text),
    }
}

#[cfg(test)]
mod tests;
