//! Refusals in the host's own words.

use serde_json::{Map, Value, json};

use crate::Refusal;

/// Most choices a refusal lists.
pub const CHOICES_MAX: usize = 128;

/// Longest piece of a customer's value that is repeated to them.
const ECHO_CHARS_MAX: usize = 64;

/// A refusal before it has the host's shape.
#[derive(Debug)]
pub(super) struct Fault {
    status: u16,
    code: &'static str,
    field: Option<String>,
    message: String,
    choices: Vec<String>,
}

impl Fault {
    pub(super) fn new(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: 400, code, field: Some(field.into()), message: message.into(), choices: Vec::new() }
    }

    /// About the body as a whole.
    pub(super) fn whole(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, field: None, message: message.into(), choices: Vec::new() }
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self { status: 404, ..Self::whole("not_found", message) }
    }

    pub(super) fn missing(field: impl Into<String>) -> Self {
        let field = field.into();
        let message = format!("`{field}` is required");
        Self::new("missing_field", field, message)
    }

    pub(super) fn choices<T: ToString>(mut self, choices: impl IntoIterator<Item = T>) -> Self {
        self.choices = choices.into_iter().take(CHOICES_MAX).map(|choice| choice.to_string()).collect();
        self
    }

    /// Adds words to the message.
    pub(super) fn also(mut self, words: &str) -> Self {
        self.message.push_str(words);
        self
    }

    /// The same fault inside `prefix`, e.g. `requests[0]`.
    pub(super) fn within(mut self, prefix: &str) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("{prefix}.{field}"),
            None => prefix.to_owned(),
        });
        self
    }

    pub(super) fn into_refusal(self, shape: Option<&Map<String, Value>>) -> Refusal {
        let body = match shape {
            Some(shape) => Value::Object(self.fill_map(shape)),
            None => json!({"error": {
                "code": self.code, "message": self.message, "field": self.field, "choices": self.choices,
            }}),
        };
        Refusal {
            status: self.status,
            code: self.code.to_owned(),
            field: self.field,
            message: self.message,
            choices: self.choices,
            body,
        }
    }

    fn fill_map(&self, shape: &Map<String, Value>) -> Map<String, Value> {
        shape.iter().map(|(key, value)| (key.clone(), self.fill(value))).collect()
    }

    fn fill(&self, shape: &Value) -> Value {
        match shape {
            Value::Object(map) => Value::Object(self.fill_map(map)),
            Value::Array(values) => values.iter().map(|value| self.fill(value)).collect(),
            Value::String(text) => self.fill_text(text),
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> Value {
        match text {
            "{status}" => json!(self.status),
            "{code}" => json!(self.code),
            "{field}" => json!(self.field),
            "{message}" => json!(self.message),
            "{choices}" => json!(self.choices),
            _ => Value::String(self.splice(text)),
        }
    }

    /// One pass, so that a message holding `{code}` is not filled again.
    fn splice(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, tail) = rest.split_at(open);
            out.push_str(before);
            let names = ["{status}", "{code}", "{field}", "{message}", "{choices}"];
            match names.into_iter().find(|name| tail.starts_with(name)) {
                Some(name) => {
                    match name {
                        "{status}" => out.push_str(&self.status.to_string()),
                        "{code}" => out.push_str(self.code),
                        "{field}" => out.push_str(self.field.as_deref().unwrap_or("")),
                        "{message}" => out.push_str(&self.message),
                        _ => out.push_str(&self.choices.join(", ")),
                    }
                    rest = tail.get(name.len()..).unwrap_or("");
                }
                None => {
                    out.push('{');
                    rest = tail.get(1..).unwrap_or("");
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// A customer's value, cut to what is safe to repeat.
pub(super) fn echo(text: &str) -> String {
    let mut cut: String = text.chars().take(ECHO_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
