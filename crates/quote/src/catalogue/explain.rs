//! Better words for a catalogue that does not parse.
//!
//! A model's or a price's fields depend on its `type` or `kind`, and by the time
//! the parser knows which it has forgotten where they stood. A second look, part
//! by part, finds the table and the key to change.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::file;

/// The place and the problem, if a part by itself shows it.
pub(super) fn explain(text: &str) -> Option<(String, String)> {
    let file: Table = text.parse().ok()?;
    let models = file.get("models").and_then(Value::as_table).into_iter().flatten();
    for (name, model) in models {
        if let Some(problem) = problem_of_model(model) {
            return Some((format!("[models.{name}]"), problem));
        }
    }
    let endpoints = file.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    for (index, endpoint) in endpoints.enumerate() {
        let word = |key: &str| endpoint.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
        if let Some(problem) = endpoint.get("price").and_then(problem_of_price) {
            let place = format!("[[endpoints]] number {}, {} {}", index + 1, word("method"), word("path"));
            return Some((place, format!("price: {problem}")));
        }
    }
    None
}

fn problem_of_model(model: &Value) -> Option<String> {
    match model.get("type").and_then(Value::as_str) {
        None => Some("a model needs a `type`: text, image, video or plain".to_owned()),
        Some("text") => problem::<file::TextModel>(model, "type"),
        Some("image") => problem::<file::ImageModel>(model, "type"),
        Some("video") => problem::<file::VideoModel>(model, "type"),
        Some("plain") => problem::<file::PlainModel>(model, "type"),
        // The parser's own words name the choices.
        Some(_) => None,
    }
}

fn problem_of_price(price: &Value) -> Option<String> {
    match price.get("kind").and_then(Value::as_str) {
        None => Some("it needs a `kind`: free, call, generation or text".to_owned()),
        Some("free") => problem::<file::FreeRule>(price, "kind"),
        Some("call") => problem::<file::CallRule>(price, "kind"),
        Some("generation") => problem::<file::GenerationRule>(price, "kind"),
        Some("text") => problem::<file::TextRule>(price, "kind"),
        Some(_) => None,
    }
}

/// What keeps this part from being a `T`.
fn problem<T: DeserializeOwned>(part: &Value, tag: &str) -> Option<String> {
    let mut table = part.as_table()?.clone();
    table.remove(tag);
    let error = Value::Table(table).try_into::<T>().err()?;
    let words: Vec<&str> =
        error.message().split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    let place = error.to_string();
    let key =
        place.lines().find_map(|line| line.trim().strip_prefix("in `")).map(|key| key.trim_end_matches('`'));
    let words = words.join(" ");
    Some(key.map_or_else(|| words.clone(), |key| format!("`{key}`: {words}")))
}
