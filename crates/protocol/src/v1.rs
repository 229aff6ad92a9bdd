//! x402 version 1 messages, as far as they differ from version 2. Source: x402
//! specification v1 and the schemas of npm `x402` 1.2.
//!
//! Version 1 names networks by words of its own, puts the offer into the 402's body with
//! the resource in each element, and sends a payment without the terms it was made for.
//! Nothing here decides: a message of version 1 becomes one of version 2, and an answer of
//! version 2 one of version 1, so that one authorization is one payment in whichever
//! version it is sent.

mod names;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use names::{name_of, network_of};
pub use words::{receipt, verified, word_of};

use crate::X402_VERSION;
use crate::v2::{self, empty, null_as_empty};

/// The version these types speak.
pub const VERSION: u64 = 1;
/// Header of a paid request: base64(JSON) of [`PaymentPayload`].
pub const X_PAYMENT: &str = "x-payment";
/// Header of the paid answer: base64(JSON) of [`receipt`].
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// One way to pay; an element of `accepts` in the body of a 402, or what a server asks a
/// facilitator with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentRequirements {
    /// `exact`.
    pub scheme: String,
    /// A name of version 1: `base`.
    pub network: String,
    /// Price in atomic units; `exact` pays all of it.
    #[serde(rename = "maxAmountRequired")]
    pub max_amount_required: String,
    /// Recipient (the owner, on Solana).
    #[serde(rename = "payTo")]
    pub pay_to: String,
    /// How long the offer may be paid.
    #[serde(rename = "maxTimeoutSeconds")]
    pub max_timeout_seconds: u64,
    /// Token contract or mint.
    pub asset: String,
    /// Scheme-specific facts.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "empty")]
    pub extra: Map<String, Value>,
    /// `resource`, `description`, `mimeType`, `outputSchema` and what we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl PaymentRequirements {
    /// The same offer in this version; `None` on a network that it has no name for. What
    /// is sold ([`v2::ResourceRef`]) is for the caller to put in.
    pub fn of(offer: &v2::PaymentRequirements) -> Option<Self> {
        Some(Self {
            scheme: offer.scheme.clone(),
            network: name_of(&offer.network)?.to_owned(),
            max_amount_required: offer.amount.clone(),
            pay_to: offer.pay_to.clone(),
            max_timeout_seconds: offer.max_timeout_seconds,
            asset: offer.asset.clone(),
            extra: offer.extra.clone(),
            other: Map::new(),
        })
    }

    /// The same offer in version 2.
    pub fn into_v2(self) -> Result<v2::PaymentRequirements, UnknownName> {
        Ok(v2::PaymentRequirements {
            network: network_of(&self.network).ok_or(UnknownName)?.to_owned(),
            scheme: self.scheme,
            asset: self.asset,
            pay_to: self.pay_to,
            amount: self.max_amount_required,
            max_amount_required: None,
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra,
            other: self.other,
        })
    }
}

/// The body of a 402: the offer in this version. `None` where it has no name for any network
/// of the offer's.
pub fn required(offer: &v2::PaymentRequired) -> Option<Value> {
    let resource = offer.resource.clone().unwrap_or_default();
    let element = |one: &v2::PaymentRequirements| {
        let mut element = PaymentRequirements::of(one)?;
        let said = [
            ("resource", Some(&resource.url)),
            ("description", resource.description.as_ref()),
            ("mimeType", resource.mime_type.as_ref()),
        ];
        for (name, text) in said {
            element.other.insert(name.to_owned(), json!(text.map(String::as_str).unwrap_or_default()));
        }
        Some(element)
    };
    let accepts: Vec<_> = offer.accepts.iter().filter_map(element).collect();
    (!accepts.is_empty()).then(|| json!({ "x402Version": VERSION, "error": offer.error, "accepts": accepts }))
}

/// A payment, in the `X-PAYMENT` header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaymentPayload {
    /// 1.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// `exact`.
    pub scheme: String,
    /// A name of version 1.
    pub network: String,
    /// The same as in version 2.
    pub payload: Value,
    /// Fields we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl PaymentPayload {
    /// The payment in version 2, made for `terms` as far as it does not say itself what it
    /// was made for: its scheme and network are its own.
    pub fn into_v2(self, terms: v2::PaymentRequirements) -> Result<v2::PaymentPayload, UnknownName> {
        let network = network_of(&self.network).ok_or(UnknownName)?.to_owned();
        Ok(v2::PaymentPayload {
            x402_version: X402_VERSION,
            resource: None,
            accepted: v2::PaymentRequirements { scheme: self.scheme, network, ..terms },
            payload: self.payload,
            // The version has none; a word that names the purchase is no part of it.
            extensions: Map::new(),
            other: self.other,
        })
    }
}

/// Body of `POST /verify` and `POST /settle`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// 1.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// The customer's payment.
    #[serde(rename = "paymentPayload")]
    pub payment_payload: PaymentPayload,
    /// What the foreign server asked for.
    #[serde(rename = "paymentRequirements")]
    pub payment_requirements: PaymentRequirements,
}

impl VerifyRequest {
    /// The same question in version 2.
    pub fn into_v2(self) -> Result<v2::VerifyRequest, UnknownName> {
        let payment_requirements = self.payment_requirements.into_v2()?;
        let payment_payload = self.payment_payload.into_v2(payment_requirements.clone())?;
        Ok(v2::VerifyRequest {
            x402_version: X402_VERSION,
            payment_payload,
            payment_requirements,
            other: Map::new(),
        })
    }
}

/// A network that version 1 has no such name for; the name is a stranger's, and is not
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x402 version 1 calls networks by names such as base, base-sepolia, solana or solana-devnet")]
pub struct UnknownName;

/// The payer that a payload names, where it names one in plain text: version 1 repeats it
/// in every answer, good or bad.
pub fn named_payer(payload: &Value) -> Option<&str> {
    let from = payload.get("authorization")?.get("from")?.as_str()?;
    let hex = from.strip_prefix("0x")?;
    (hex.len() == 40 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(from)
}

#[cfg(test)]
mod tests;
