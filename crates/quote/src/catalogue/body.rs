//! Reading a customer's JSON as if an attacker wrote it.

use quittance_protocol::{Json, JsonObject};

use super::refusal::{Fault, echo};
use crate::{Body, PriceRequest};

/// Longest body that is priced.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Whole numbers that every JSON reader represents exactly.
const SAFE_INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// The body as a JSON object.
pub(super) fn object<'b, 'a>(
    request: &PriceRequest<'_>,
    body: &'b Body<'a>,
) -> Result<&'b JsonObject<'a>, Fault> {
    check_content_type(request.content_type)?;
    if body.bytes().len() > BODY_BYTES_MAX {
        return Err(Fault::whole(
            "body_too_large",
            format!("the body is longer than {BODY_BYTES_MAX} bytes"),
        ));
    }
    if body.bytes().is_empty() {
        return Err(Fault::whole("invalid_json", "the body is empty; send a JSON object"));
    }
    match body.json() {
        Ok(Json::Object(map)) => Ok(map),
        Ok(_) => Err(Fault::whole("invalid_json", "the body must be a JSON object")),
        Err(problem) => {
            Err(Fault::whole("invalid_json", format!("the body is not valid JSON: {}", echo(problem))))
        }
    }
}

/// A host that reads a form where we read JSON would sell something else.
fn check_content_type(content_type: Option<&str>) -> Result<(), Fault> {
    let Some(content_type) = content_type else { return Ok(()) };
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    // PHP ends a type at a comma: `application/x-www-form-urlencoded,+json` is a form there.
    let is_token = |text: &str| {
        let letter = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        !text.is_empty() && text.bytes().all(letter)
    };
    let is_json = |kind: &str, subtype: &str| {
        // Servers that look for the beginning of a type find a form.
        let looks_like_a_form = kind == "multipart" || subtype.contains("form-");
        subtype.ends_with("+json") && !looks_like_a_form && is_token(kind) && is_token(subtype)
    };
    let suffixed = || essence.split_once('/').is_some_and(|(kind, subtype)| is_json(kind, subtype));
    if essence == "application/json" || suffixed() {
        return Ok(());
    }
    Err(Fault::new("unsupported_content_type", "Content-Type", "send the body as application/json")
        .choices(["application/json"]))
}

/// A member that is present and not null: clients send null placeholders.
pub(super) fn present<'a>(map: &'a JsonObject<'a>, name: &str) -> Option<&'a Json<'a>> {
    map.get(name).filter(|value| !value.is_null())
}

/// Refuses members that are in none of `known`: a field we do not know may
/// change what the host does, and so what the request should cost.
pub(super) fn refuse_unknown(
    map: &JsonObject<'_>,
    known: &[&[&str]],
    passthrough: &[String],
) -> Result<(), Fault> {
    for (name, value) in map.iter() {
        let listed = known.iter().any(|names| names.contains(&name));
        if !listed && !value.is_null() && !passthrough.iter().any(|other| other == name) {
            let choices =
                known.iter().copied().flatten().copied().chain(passthrough.iter().map(String::as_str));
            let message =
                format!("unknown field `{}`; it could change the price, so it is refused", echo(name));
            return Err(Fault::new("unknown_field", echo(name), message).choices(choices));
        }
    }
    Ok(())
}

/// A non-empty string.
pub(super) fn text<'a>(map: &'a JsonObject<'a>, name: &str) -> Result<Option<&'a str>, Fault> {
    match present(map, name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::new("invalid_type", name, format!("`{name}` must be a string"))),
    }
}

/// A whole number, also when written `5.0`; JSON has only one kind of number.
pub(super) fn whole(value: &Json<'_>) -> Option<i64> {
    let Json::Number(number) = value else { return None };
    if let Some(int) = number.as_i64() {
        return (int.unsigned_abs() <= SAFE_INTEGER_MAX).then_some(int);
    }
    let float = number.as_f64()?;
    #[allow(clippy::cast_precision_loss)]
    let bounded = float.is_finite() && float.abs() <= SAFE_INTEGER_MAX as f64 && float.fract() == 0.0;
    #[allow(clippy::cast_possible_truncation)]
    bounded.then_some(float as i64)
}

/// Words for a flag that is set, in any letter case.
const YES: [&str; 4] = ["true", "1", "yes", "on"];
/// Words for one that is not.
const NO: [&str; 5] = ["false", "0", "no", "off", ""];

/// A flag as loosely typed hosts read it: by the words above, a number by whether it is
/// zero. `None` for everything else: one host would read it as set, another not, and so
/// its price is in doubt.
pub(super) fn truthy(value: &Json<'_>) -> Option<bool> {
    match value {
        Json::Null => Some(false),
        Json::Bool(flag) => Some(*flag),
        Json::Number(number) => Some(number.as_f64() != Some(0.0)),
        Json::String(text) => {
            let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
            is(&YES).then_some(true).or(is(&NO).then_some(false))
        }
        Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check_content_type;

    #[test]
    fn a_type_that_some_server_reads_as_a_form_is_not_json() {
        for form in [
            "application/x-www-form-urlencoded,+json",
            "application/x-www-form-urlencoded +json",
            "application/x-www-form-urlencoded+json",
            "multipart/form-data+json",
            "multipart/x+json",
            "application/json, application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded, application/json",
            "application/x/y+json",
            "/a+json",
            "+json",
            "",
        ] {
            assert!(check_content_type(Some(form)).is_err(), "{form:?}");
        }
        for json in [
            "application/json;x=\"a,b\"",
            "Application/JSON",
            "application/vnd.api+json; charset=utf-7",
            "application/ld+json",
        ] {
            assert!(check_content_type(Some(json)).is_ok(), "{json:?}");
        }
    }
}
