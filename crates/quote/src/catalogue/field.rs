//! Declared fields: type, bounds, choices, aliases.

use std::collections::BTreeMap;

use quittance_protocol::{Json, JsonObject};

use super::body::{present, whole};
use super::file::{Field, FieldLimit, FieldType, Scalar, When};
use super::media::{self, Kind};
use super::refusal::{Fault, echo};

/// Longest string of a field that names no limit of its own.
const STRING_BYTES_MAX: usize = 64 * 1024;
/// Most elements of a list that names no limit of its own.
const LIST_ITEMS_MAX: usize = 256;

/// A field's value as far as conditions can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolved<'a> {
    Text(&'a str),
    Int(i64),
    Bool(bool),
    /// Present, but nothing a condition can name.
    Other,
}

impl Resolved<'_> {
    pub(super) fn equals(&self, scalar: &Scalar) -> bool {
        match (self, scalar) {
            (Self::Text(a), Scalar::Text(b)) => a == b,
            (Self::Int(a), Scalar::Int(b)) => a == b,
            (Self::Bool(a), Scalar::Bool(b)) => a == b,
            _ => false,
        }
    }
}

/// Resolved fields of one request.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    known: Vec<(&'a str, Resolved<'a>)>,
    /// Inline images over all fields.
    pub(super) images: usize,
}

impl<'a> Values<'a> {
    pub(super) fn get(&self, name: &str) -> Option<Resolved<'a>> {
        self.known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(super) fn hold(&self, when: &When) -> bool {
        when.iter().all(|(name, accepted)| {
            self.get(name).is_some_and(|value| accepted.as_slice().iter().any(|scalar| value.equals(scalar)))
        })
    }

    /// Reads and checks every declared field of a body.
    pub(super) fn read(fields: &'a BTreeMap<String, Field>, body: &'a JsonObject<'a>) -> Result<Self, Fault> {
        let mut values = Self::default();
        for (name, field) in fields {
            let Some((sent_as, value)) = agreed(name, field, body)? else {
                if let Some(default) = &field.default {
                    values.known.push((name, resolve_scalar(default)));
                } else if field.required {
                    return Err(Fault::missing(name).choices(field.choices.iter().flatten()));
                }
                continue;
            };
            let resolved = values.check(sent_as, field, value)?;
            values.known.push((name, resolved));
        }
        Ok(values)
    }

    fn check(&mut self, name: &str, field: &Field, value: &'a Json<'a>) -> Result<Resolved<'a>, Fault> {
        let wrong = || Fault::new("invalid_type", name, format!("`{name}` must be {}", describe(field.kind)));
        let resolved = match (field.kind, value) {
            (FieldType::String, Json::String(text)) => {
                check_text(name, field, text)?;
                Resolved::Text(text)
            }
            (FieldType::Integer, number) => {
                let value = whole(number).ok_or_else(wrong)?;
                check_bounds(name, value, field.min, field.max)?;
                Resolved::Int(value)
            }
            (FieldType::Number, Json::Number(number)) => {
                check_number(name, number.as_f64().ok_or_else(wrong)?, field)?;
                Resolved::Other
            }
            (FieldType::Boolean, Json::Bool(flag)) => Resolved::Bool(*flag),
            (FieldType::Array, Json::Array(items)) => {
                check_length(name, field, items.len())?;
                Resolved::Other
            }
            (FieldType::Object, Json::Object(_)) => Resolved::Other,
            (FieldType::DataUrl, url) => {
                check_inline(name, field, url)?;
                self.images += 1;
                Resolved::Other
            }
            (FieldType::DataUrls, Json::Array(urls)) => {
                check_length(name, field, urls.len())?;
                for url in urls {
                    check_inline(name, field, url)?;
                }
                self.images += urls.len();
                Resolved::Other
            }
            _ => return Err(wrong()),
        };
        check_choices(name, &resolved, field.choices.as_deref())?;
        Ok(resolved)
    }

    /// Checks a model's narrower limits; per field the first that applies counts.
    pub(super) fn check_limits(&self, limits: &[FieldLimit], model: &str) -> Result<(), Fault> {
        let mut done: Vec<&str> = Vec::new();
        for limit in limits {
            if done.contains(&limit.field.as_str()) || !self.hold(&limit.when) {
                continue;
            }
            done.push(&limit.field);
            let Some(value) = self.get(&limit.field) else { continue };
            if let Resolved::Int(int) = value {
                check_bounds(&limit.field, int, limit.min, limit.max)
                    .map_err(|fault| fault.also(&format!(" with model `{}`", echo(model))))?;
            }
            check_choices(&limit.field, &value, limit.choices.as_deref())?;
        }
        Ok(())
    }
}

/// The value under the field's name or an alias; all present ones must agree.
fn agreed<'a>(
    name: &'a str,
    field: &'a Field,
    body: &'a JsonObject<'a>,
) -> Result<Option<(&'a str, &'a Json<'a>)>, Fault> {
    let mut found: Option<(&str, &Json<'_>)> = None;
    for alias in std::iter::once(name).chain(field.aliases.iter().map(String::as_str)) {
        let Some(value) = present(body, alias) else { continue };
        match found {
            Some((first, known)) if known != value => return Err(media::disagree(first, alias)),
            Some(_) => {}
            None => found = Some((alias, value)),
        }
    }
    Ok(found)
}

fn resolve_scalar(scalar: &Scalar) -> Resolved<'_> {
    match scalar {
        Scalar::Text(text) => Resolved::Text(text),
        Scalar::Int(int) => Resolved::Int(*int),
        Scalar::Bool(flag) => Resolved::Bool(*flag),
    }
}

pub(super) fn describe(kind: FieldType) -> &'static str {
    match kind {
        FieldType::String => "a string",
        FieldType::Integer => "an integer",
        FieldType::Number => "a number",
        FieldType::Boolean => "true or false",
        FieldType::Array => "an array",
        FieldType::Object => "an object",
        FieldType::DataUrl => "a base64 data URL, such as data:image/png;base64,…",
        FieldType::DataUrls => "an array of base64 data URLs",
    }
}

fn check_text(name: &str, field: &Field, text: &str) -> Result<(), Fault> {
    if field.required && text.trim().is_empty() {
        return Err(Fault::missing(name));
    }
    check_bytes(name, text, field.bytes_max.unwrap_or(STRING_BYTES_MAX))
}

fn check_bytes(name: &str, text: &str, bytes_max: usize) -> Result<(), Fault> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(Fault::new("too_long", name, format!("`{name}` is longer than {bytes_max} bytes")))
}

fn check_length(name: &str, field: &Field, items: usize) -> Result<(), Fault> {
    let items_max = field.items_max.unwrap_or(LIST_ITEMS_MAX);
    if items <= items_max {
        return Ok(());
    }
    Err(Fault::new("too_many_items", name, format!("`{name}` holds more than {items_max} elements")))
}

fn check_inline(name: &str, field: &Field, url: &Json<'_>) -> Result<(), Fault> {
    let data_url =
        url.as_str().filter(|url| url.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("data:")));
    let Some(data_url) = data_url else {
        let message = format!("`{name}` must be a base64 data URL; links are not fetched");
        return Err(Fault::new("invalid_media", name, message).choices(["data:image/png;base64,…"]));
    };
    if let Some(bytes_max) = field.bytes_max {
        check_bytes(name, data_url, bytes_max)?;
    }
    media::check_data_url(data_url, Kind::Image, name)
}

fn range(min: Option<i64>, max: Option<i64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "a number".to_owned(),
    }
}

pub(super) fn check_bounds(name: &str, value: i64, min: Option<i64>, max: Option<i64>) -> Result<(), Fault> {
    if min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max) {
        return Ok(());
    }
    let message = format!("`{name}` must be {}", range(min, max));
    Err(Fault::new("out_of_range", name, message).choices([range(min, max)]))
}

fn check_number(name: &str, value: f64, field: &Field) -> Result<(), Fault> {
    // Compared, never calculated with: no price depends on it.
    #[allow(clippy::cast_precision_loss)]
    let inside =
        field.min.is_none_or(|min| value >= min as f64) && field.max.is_none_or(|max| value <= max as f64);
    if inside {
        return Ok(());
    }
    let message = format!("`{name}` must be {}", range(field.min, field.max));
    Err(Fault::new("out_of_range", name, message).choices([range(field.min, field.max)]))
}

pub(super) fn check_choices(
    name: &str,
    value: &Resolved<'_>,
    choices: Option<&[Scalar]>,
) -> Result<(), Fault> {
    let Some(choices) = choices else { return Ok(()) };
    if choices.iter().any(|choice| value.equals(choice)) {
        return Ok(());
    }
    let sent = match value {
        Resolved::Text(text) => echo(text),
        Resolved::Int(int) => int.to_string(),
        Resolved::Bool(flag) => flag.to_string(),
        Resolved::Other => "this".to_owned(),
    };
    Err(Fault::new("unsupported_value", name, format!("`{name}` cannot be `{sent}`")).choices(choices))
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(int) => write!(f, "{int}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}
