//! Payment headers: base64 of JSON, decoded as if written by an attacker.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Json;
use crate::shape::read_shape;

/// Header of a 402 answer: base64(JSON) of [`crate::PaymentRequired`].
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Header of a paid request: base64(JSON) of [`crate::PaymentPayload`].
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Header of the paid answer: base64(JSON) of [`crate::SettleResponse`].
pub const PAYMENT_RESPONSE: &str = "payment-response";

/// Longest payment header that is looked at. A Solana transaction is at most
/// 4,096 bytes, twice in base64, and an echoed `accepted` a few hundred, so 16 KiB is ample.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Deepest nesting of a payment header's JSON. Merchants declare JSON schemas of their bodies in
/// extensions, which clients echo: each level of a body takes two of its schema, or three.
pub const HEADER_JSON_DEPTH_MAX: usize = 96;

/// Why a header could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Longer than [`HEADER_BYTES_MAX`].
    #[error("payment header longer than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    /// Not padded standard base64.
    #[error("payment header is not padded standard base64")]
    NotBase64,
    /// Not UTF-8 JSON, or a key stands twice, or nested too deeply.
    #[error("payment header is not valid JSON: {0}")]
    NotJson(String),
    /// JSON of another shape.
    #[error("payment header has the wrong shape: {0}")]
    WrongShape(String),
}

/// Encodes a value as header text.
pub fn encode_header<T: Serialize>(value: &T) -> Result<String, HeaderError> {
    let json = serde_json::to_vec(value).map_err(|e| HeaderError::WrongShape(e.to_string()))?;
    Ok(encode_header_json(&json))
}

/// Encodes what is JSON text already.
pub fn encode_header_json(json: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(json)
}

/// Decodes header text.
pub fn decode_header<T: DeserializeOwned>(text: &str) -> Result<T, HeaderError> {
    if text.len() > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let json = STANDARD.decode(text).map_err(|_| HeaderError::NotBase64)?;
    let value = parse_json_strict(&json, HEADER_JSON_DEPTH_MAX).map_err(HeaderError::NotJson)?;
    read_shape(&value).map_err(HeaderError::WrongShape)
}

/// Parses JSON as [`Json::parse_strict`] does, to a tree that owns its strings.
pub fn parse_json_strict(bytes: &[u8], depth_max: usize) -> Result<Value, String> {
    Json::parse_strict(bytes, depth_max).map(Json::into_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_padded_base64_only() {
        let good = encode_header(&serde_json::json!({"a": 1})).unwrap();
        assert_eq!(good, "eyJhIjoxfQ==");
        assert!(decode_header::<Value>(&good).is_ok());
        for bad in
            ["eyJhIjoxfQ", "eyJhIjoxfQ=", "eyJh\nIjoxfQ==", " eyJhIjoxfQ==", "eyJhIjoxfR==", "e30_", ""]
        {
            assert!(decode_header::<Value>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn header_length_is_bounded() {
        let long = "A".repeat(HEADER_BYTES_MAX + 4);
        assert_eq!(decode_header::<Value>(&long), Err(HeaderError::TooLong));
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        assert!(parse_json_strict(br#"{"a":1,"a":1}"#, 8).is_err());
        assert!(parse_json_strict(br#"{"x":[{"a":1,"\u0061":2}]}"#, 8).is_err());
        assert!(parse_json_strict(br#"{"x":[{"a":1},{"a":2}]}"#, 8).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse_json_strict(b"[[[[]]]]", 4).is_ok());
        assert!(parse_json_strict(b"[[[[]]]]", 3).is_err());
        // What a merchant declares of a chat API's body with tools, echoed by its customers.
        let schema = |levels: usize| format!("{}{{}}{}", "{\"items\":".repeat(levels), "}".repeat(levels));
        assert!(parse_json_strict(schema(30).as_bytes(), HEADER_JSON_DEPTH_MAX).is_ok());
        assert!(parse_json_strict(schema(95).as_bytes(), HEADER_JSON_DEPTH_MAX).is_ok());
        assert!(parse_json_strict(schema(96).as_bytes(), HEADER_JSON_DEPTH_MAX).is_err());
        // Whatever is read strictly can be read again from the ledger (serde_json stops at 128).
        assert!(serde_json::from_str::<Value>(&schema(127 - 8)).is_ok());
        let bomb = [b'['; 100_000];
        assert!(parse_json_strict(&bomb, 16).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert!(parse_json_strict(b"{} {}", 4).is_err());
        assert!(parse_json_strict(b"{}x", 4).is_err());
    }
}
