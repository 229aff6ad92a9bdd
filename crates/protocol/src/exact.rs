//! Payloads of the `exact` scheme.
//!
//! Source: x402 specification, `schemes/exact/scheme_exact_evm.md` (EIP-3009)
//! and `schemes/exact/scheme_exact_svm.md`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// `payload` on an EVM network: an EIP-3009 authorization and its signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvmExactPayload {
    /// What the payer signed.
    pub authorization: EvmAuthorization,
    /// EIP-712 signature, 0x hex.
    pub signature: String,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The signed message of `transferWithAuthorization` (EIP-3009), still as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvmAuthorization {
    /// Payer address, 0x hex.
    pub from: String,
    /// Recipient address, 0x hex.
    pub to: String,
    /// Atomic units of the token.
    pub value: NumberText,
    /// Unix seconds; the reference sends a string, imgnAI's documents a number.
    #[serde(rename = "validAfter")]
    pub valid_after: NumberText,
    /// Unix seconds, exclusive.
    #[serde(rename = "validBefore")]
    pub valid_before: NumberText,
    /// 32 random bytes, 0x hex.
    pub nonce: String,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// `payload` on Solana.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SvmExactPayload {
    /// Base64 of the serialised `VersionedTransaction`.
    pub transaction: String,
    /// The customer's wallet as imgnAI's clients send it; never trusted, only compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A non-negative integer that may stand on the wire as a string or a number.
/// It goes out in the form in which it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberText {
    /// `"1778430000"`
    Text(String),
    /// `1778430000`
    Number(u64),
}

impl NumberText {
    /// The value, when it is a plain decimal that fits 64 bits.
    pub fn to_u64(&self) -> Option<u64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Text(text) => {
                let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                plain.then(|| text.parse().ok()).flatten()
            }
        }
    }
}

impl fmt::Display for NumberText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(n) => write!(f, "{n}"),
        }
    }
}

impl Serialize for NumberText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(n) => serializer.serialize_u64(*n),
        }
    }
}

impl<'de> Deserialize<'de> for NumberText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = NumberText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a non-negative integer, as a string or a number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NumberText, E> {
                Ok(NumberText::Text(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<NumberText, E> {
                Ok(NumberText::Number(n))
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<NumberText, E> {
                u64::try_from(n).map(NumberText::Number).map_err(|_| E::custom("negative number"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_timestamps_and_strings_both_survive() {
        let numbers =
            r#"{"from":"0x1","to":"0x2","value":"5","validAfter":0,"validBefore":1778430120,"nonce":"0x3"}"#;
        let parsed: EvmAuthorization = serde_json::from_str(numbers).unwrap();
        assert_eq!(parsed.valid_before.to_u64(), Some(1_778_430_120));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), numbers);
        let strings = numbers.replace("1778430120", "\"1778430120\"");
        let parsed: EvmAuthorization = serde_json::from_str(&strings).unwrap();
        assert_eq!(parsed.valid_before.to_u64(), Some(1_778_430_120));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), strings);
    }

    #[test]
    fn fractions_signs_and_overflow_have_no_value() {
        for text in ["-1", "1.5", "1e3", "", "0x10", "18446744073709551616"] {
            assert_eq!(NumberText::Text(text.into()).to_u64(), None, "{text}");
        }
        assert!(serde_json::from_str::<NumberText>("1.5").is_err());
        assert!(serde_json::from_str::<NumberText>("-1").is_err());
    }
}
