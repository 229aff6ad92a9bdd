//! Query parameters: what is declared, and what a host could read otherwise.

use std::collections::BTreeMap;

use super::field::{Resolved, check_bounds, check_choices, describe};
use super::file::{CallRule, Field, FieldType, GenerationRule, Rule, TextRule};
use super::refusal::{Fault, echo};

impl Rule {
    /// Declared query parameters; `None` where nothing is sold.
    pub(super) fn query(&self) -> Option<&BTreeMap<String, Field>> {
        match self {
            Self::Free(_) => None,
            Self::Call(CallRule { query, .. })
            | Self::Generation(GenerationRule { query, .. })
            | Self::Text(TextRule { query, .. }) => Some(query),
        }
    }
}

/// Reads and checks every declared query parameter. Others pass: see [`refuse_undeclared`].
pub(super) fn check(fields: &BTreeMap<String, Field>, query: &str) -> Result<(), Fault> {
    for (name, field) in fields {
        let mut found = None;
        // Decoded as hosts do it: `l%69mit` is `limit`.
        for (_, value) in form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name) {
            if found.replace(value).is_some() {
                return Err(Fault::new(
                    "conflicting_fields",
                    name,
                    format!("`{name}` stands twice in the query"),
                ));
            }
        }
        let Some(text) = found else {
            if field.required {
                return Err(Fault::missing(name));
            }
            continue;
        };
        let bad = || {
            let message = format!("query parameter `{name}` must be {}", describe(field.kind));
            Fault::new("invalid_type", name, message)
        };
        let resolved = match field.kind {
            FieldType::Integer => Resolved::Int(text.parse().map_err(|_| bad())?),
            FieldType::Boolean => Resolved::Bool(text.parse().map_err(|_| bad())?),
            _ => Resolved::Text(&text),
        };
        if let Resolved::Int(value) = resolved {
            check_bounds(name, value, field.min, field.max)?;
        }
        check_choices(name, &resolved, field.choices.as_deref())?;
    }
    Ok(())
}

/// Refuses every name that is not declared, letter by letter. Rails, Laravel and PHP lay the query
/// over the body (`?size=large` beside a body without a size), ASP.NET ignores letter case, others
/// split at `;` or make a list of `limit[]`: each is another request than the one with a price.
pub(super) fn refuse_undeclared(fields: &BTreeMap<String, Field>, query: &str) -> Result<(), Fault> {
    let refuse = |name: &str| {
        let message =
            format!("unknown query parameter `{}`; it could change the price, so it is refused", echo(name));
        Err(Fault::new("unknown_field", echo(name), message).choices(fields.keys()))
    };
    if let Some((_, rest)) = query.split_once(';') {
        return refuse(rest.split(['=', '&', ';']).next().unwrap_or_default());
    }
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        if name.contains('[') || !fields.contains_key(&*name) {
            return refuse(&name);
        }
    }
    Ok(())
}
