//! x402 v2 messages. Source: x402 specification v2, "Core types".
//!
//! Fields the specification does not name are kept in `other` and written back
//! unchanged, so that extensions of either side survive a round trip.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Amount, ErrorCode};

/// The protocol version these types speak.
pub const X402_VERSION: u64 = 2;

pub(crate) fn empty(map: &Map<String, Value>) -> bool {
    map.is_empty()
}

/// What is being sold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceInfo {
    /// Absolute URL of the resource.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Media type of the paid answer.
    #[serde(default, rename = "mimeType", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A [`ResourceInfo`] by reference; writes the same JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceRef<'a> {
    /// Absolute URL of the resource.
    pub url: &'a str,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// Media type of the paid answer.
    #[serde(rename = "mimeType", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'a str>,
}

impl ResourceRef<'_> {
    /// The same, owned.
    pub fn to_info(self) -> ResourceInfo {
        ResourceInfo {
            url: self.url.to_owned(),
            description: self.description.map(str::to_owned),
            mime_type: self.mime_type.map(str::to_owned),
            other: Map::new(),
        }
    }
}

/// One way to pay; an element of `accepts`, or `accepted` in a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentRequirements {
    /// `exact`.
    pub scheme: String,
    /// CAIP-2 identifier. Text, because a stranger's value must reach the check
    /// that answers `invalid_network`.
    pub network: String,
    /// Token contract or mint.
    pub asset: String,
    /// Recipient (the owner, on Solana).
    #[serde(rename = "payTo")]
    pub pay_to: String,
    /// Price in atomic units, as text for the same reason as `network`.
    pub amount: String,
    /// Equal to `amount`; imgnAI's dialect.
    #[serde(default, rename = "maxAmountRequired", skip_serializing_if = "Option::is_none")]
    pub max_amount_required: Option<String>,
    /// How long the offer may be paid.
    #[serde(rename = "maxTimeoutSeconds")]
    pub max_timeout_seconds: u64,
    /// Scheme-specific facts. imgnAI's clients echo `accepted` without it.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "empty")]
    pub extra: Map<String, Value>,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl PaymentRequirements {
    /// The price, when it is an amount at all.
    pub fn amount(&self) -> Option<Amount> {
        self.amount.parse().ok()
    }
}

/// How an offer adds up; decimals of whole USDC with six places (`extra.breakdown`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Price of the service.
    pub service_usdc: String,
    /// Surcharge for settling on this network.
    pub gas_usdc: String,
    /// Their sum, equal to `amount`.
    pub total_usdc: String,
}

/// The 402 answer, in the `PAYMENT-REQUIRED` header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentRequired {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// Why payment is asked for (again).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is being sold. The reference requires it; imgnAI's examples omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    /// Ways to pay, in the order of preference.
    pub accepts: Vec<PaymentRequirements>,
    /// Extensions the server offers.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "empty")]
    pub extensions: Map<String, Value>,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A payment, in the `PAYMENT-SIGNATURE` header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentPayload {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// Echo of the resource; never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    /// The chosen element of `accepts`; its `extra` is never trusted.
    pub accepted: PaymentRequirements,
    /// Scheme and network specific; see [`crate::EvmExactPayload`] and
    /// [`crate::SvmExactPayload`].
    pub payload: Value,
    /// Extensions the client uses.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "empty")]
    pub extensions: Map<String, Value>,
    /// Fields we do not know, kept as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl PaymentPayload {
    /// The client's `payment-identifier`, if it sent one: 16 to 128 characters of
    /// `[a-zA-Z0-9_-]`, as the extension has it. The extension without an `id` (a
    /// client that echoes the offer's declaration) is none; anything else in its
    /// place is an error.
    pub fn payment_identifier(&self) -> Result<Option<&str>, MalformedIdentifier> {
        let mut found = match self.extensions.get("payment-identifier") {
            None | Some(Value::Null) => return Ok(None),
            Some(extension) => extension,
        };
        // An `id` in the wrong place is one that was meant.
        if found.get("info").is_none() && found.get("id").is_some() {
            return Err(MalformedIdentifier);
        }
        for name in ["info", "id"] {
            found = match found.as_object().ok_or(MalformedIdentifier)?.get(name) {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => value,
            };
        }
        let id = found.as_str().ok_or(MalformedIdentifier)?;
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if plain && (16..=128).contains(&id.len()) { Ok(Some(id)) } else { Err(MalformedIdentifier) }
    }
}

/// A `payment-identifier` that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Self::TEXT)]
pub struct MalformedIdentifier;

impl MalformedIdentifier {
    /// What to do about it.
    pub const TEXT: &str = "a payment-identifier is 16 to 128 letters, digits, `_` or `-`; \
         send one, or none";
}

/// Body of `POST /verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// The customer's payment.
    #[serde(rename = "paymentPayload")]
    pub payment_payload: PaymentPayload,
    /// What the foreign server asked for.
    #[serde(rename = "paymentRequirements")]
    pub payment_requirements: PaymentRequirements,
    /// Fields we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Body of `POST /settle`; the same shape.
pub type SettleRequest = VerifyRequest;

/// Answer of `POST /verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyResponse {
    /// Whether `/settle` would be tried.
    #[serde(rename = "isValid")]
    pub is_valid: bool,
    /// Code when it is not.
    #[serde(default, rename = "invalidReason", skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<ErrorCode>,
    /// What to do about it.
    #[serde(default, rename = "invalidMessage", skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Fields we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What an agent should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAction {
    /// Sign a fresh payment for the offer in this answer.
    Pay,
    /// Send the very same payment again after `retry_after_seconds`.
    RetrySamePayment,
    /// Nothing this payment can do will help.
    DoNotRetry,
}

/// Answer of `POST /settle`, and the `PAYMENT-RESPONSE` header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettleResponse {
    /// Whether the payment is settled on chain.
    pub success: bool,
    /// Code when it is not (yet).
    #[serde(default, rename = "errorReason", skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<ErrorCode>,
    /// What to do about it.
    #[serde(default, rename = "errorMessage", skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Transaction hash (Base) or signature (Solana); empty when there is none.
    pub transaction: String,
    /// CAIP-2 network.
    pub network: String,
    /// Atomic units paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// `settled`, `pending`, …: where the payment stands in our books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_state: Option<String>,
    /// What the client should do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_action: Option<RetryAction>,
    /// When to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Fields we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One line of `GET /supported`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SupportedKind {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// `exact`.
    pub scheme: String,
    /// CAIP-2 network.
    pub network: String,
    /// E.g. `feePayer` on Solana.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "empty")]
    pub extra: Map<String, Value>,
}

/// Answer of `GET /supported`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SupportedResponse {
    /// What can be verified and settled here.
    pub kinds: Vec<SupportedKind>,
    /// Extensions by name.
    pub extensions: Vec<String>,
    /// CAIP family pattern (`eip155:*`) to our wallet addresses.
    pub signers: Map<String, Value>,
    /// Networks that take no payments now, each with the reason.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub closed: Map<String, Value>,
}

/// Other implementations write `"extra": null`, and PHP an empty map as `[]`.
pub(crate) fn null_as_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        Value::Array(items) if items.is_empty() => Ok(Map::new()),
        _ => Err(serde::de::Error::custom("`extra` and `extensions` are objects")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{decode_header, encode_header};

    #[test]
    fn accepted_without_extra_is_read() {
        let json = r#"{"x402Version":2,"accepted":{"scheme":"exact","network":"eip155:8453","asset":"0xa","payTo":"0xb","amount":"13938","maxAmountRequired":"13938","maxTimeoutSeconds":120},"payload":{"a":1}}"#;
        let payload: PaymentPayload = serde_json::from_str(json).unwrap();
        assert!(payload.accepted.extra.is_empty());
        assert_eq!(serde_json::to_string(&payload).unwrap(), json);
    }

    #[test]
    fn unknown_fields_survive_a_round_trip() {
        let value = serde_json::json!({
            "x402Version": 2,
            "resource": {"url": "http://a/", "serviceName": "x"},
            "accepted": {"scheme": "exact", "network": "eip155:8453", "asset": "0xa", "payTo": "0xb",
                "amount": "1", "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "deep": {"er": [1, null]}},
                "outputSchema": {"x": 1}},
            "payload": {"authorization": {}, "future": true},
            "extensions": {"bazaar": {"info": {}}},
            "trace": "abc",
        });
        let header = encode_header(&value).unwrap();
        let payload: PaymentPayload = decode_header(&header).unwrap();
        assert_eq!(serde_json::to_value(&payload).unwrap(), value);
    }

    #[test]
    fn a_null_extra_is_an_empty_one() {
        let json = r#"{"scheme":"exact","network":"n","asset":"a","payTo":"p","amount":"1","maxTimeoutSeconds":1,"extra":null}"#;
        let requirements: PaymentRequirements = serde_json::from_str(json).unwrap();
        assert!(requirements.extra.is_empty());
    }

    /// PHP's `json_encode` writes an empty map so.
    #[test]
    fn an_empty_list_is_an_empty_map_and_no_other_list_is() {
        let terms = |extra: &str| {
            let text = r#"{"scheme":"exact","network":"n","asset":"a","payTo":"p","amount":"1","maxTimeoutSeconds":1,"extra":EXTRA}"#;
            serde_json::from_str::<PaymentRequirements>(&text.replace("EXTRA", extra))
        };
        assert!(terms("[]").unwrap().extra.is_empty());
        let payment = |extensions: &str| {
            let text = serde_json::to_string(&terms("[]").unwrap()).unwrap();
            let whole =
                format!(r#"{{"x402Version":2,"accepted":{text},"payload":{{}},"extensions":{extensions}}}"#);
            serde_json::from_str::<PaymentPayload>(&whole)
        };
        assert!(payment("[]").unwrap().extensions.is_empty());
        for bad in ["[1]", "[[]]", "\"\"", "0", "false"] {
            for error in [terms(bad).unwrap_err(), payment(bad).unwrap_err()] {
                assert!(error.to_string().starts_with("`extra` and `extensions` are objects"), "{error}");
            }
        }
    }

    #[test]
    fn payment_identifiers_are_bounded() {
        let with = |extensions: Value| {
            PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted: serde_json::from_str(
                r#"{"scheme":"exact","network":"n","asset":"a","payTo":"p","amount":"1","maxTimeoutSeconds":1}"#,
            )
            .unwrap(),
            payload: Value::Null,
            extensions: extensions.as_object().unwrap().clone(),
            other: Map::new(),
        }
        };
        let id = |id: Value| with(json!({"payment-identifier": {"info": {"id": id}}}));
        let longest = "a".repeat(128);
        for good in ["pay_0123456789abcdef", longest.as_str()] {
            assert_eq!(id(json!(good)).payment_identifier(), Ok(Some(good)), "{good}");
        }
        // Named and not named are told apart: who misspells a name meant one.
        let too_long = "a".repeat(129);
        for bad in ["", "short", "has spaces in it, sixteen", "umlaut_ä_sixteen", too_long.as_str()] {
            assert_eq!(id(json!(bad)).payment_identifier(), Err(MalformedIdentifier), "{bad}");
        }
        for bad in [json!(5), json!(["pay_0123456789abcdef"]), json!({"id": "pay_0123456789abcdef"})] {
            assert_eq!(id(bad.clone()).payment_identifier(), Err(MalformedIdentifier), "{bad}");
        }
        for bad in [
            json!("pay_0123456789abcdef"),
            json!({"id": "pay_0123456789abcdef"}),
            json!({"info": "pay_0123456789abcdef"}),
            json!([]),
        ] {
            let payload = with(json!({"payment-identifier": bad}));
            assert_eq!(payload.payment_identifier(), Err(MalformedIdentifier), "{payload:?}");
        }
        for none in [json!(null), json!({}), json!({"info": null}), json!({"info": {"required": false}})] {
            assert_eq!(with(json!({"payment-identifier": none})).payment_identifier(), Ok(None));
        }
        assert_eq!(id(Value::Null).payment_identifier(), Ok(None));
        assert_eq!(with(json!({})).payment_identifier(), Ok(None));
    }
}
