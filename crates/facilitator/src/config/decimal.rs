//! Exact decimals: text as it stands, or a TOML number.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An exact decimal: text as it stands, or a TOML number by its shortest
/// spelling, which is the one in the file. No arithmetic is done on it.
pub(super) fn decimal_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Decimal {
        Text(String),
        Whole(u64),
        Fraction(f64),
    }
    Ok(match Decimal::deserialize(deserializer)? {
        Decimal::Text(text) => text,
        Decimal::Whole(number) => number.to_string(),
        Decimal::Fraction(number) => number.to_string(),
    })
}

/// As [`decimal_text`], for a key that may be absent.
pub(super) fn optional_decimal_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    decimal_text(deserializer).map(Some)
}

/// As [`decimal_text`], for a section whose keys the operator chooses.
pub(super) fn decimal_texts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    struct Text(#[serde(deserialize_with = "decimal_text")] String);
    let all = BTreeMap::<String, Text>::deserialize(deserializer)?;
    Ok(all.into_iter().map(|(key, Text(text))| (key, text)).collect())
}
