//! What a 402 asks for. Whatever is odd in it is left out, piece by piece.

use quittance_protocol::{
    PAYMENT_REQUIRED, PaymentRequirements, ResourceInfo, SignedOffer, X402_VERSION, decode_header, v1,
};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use crate::PayError;

/// Signed offers of one 402 that are read at most.
const SIGNED_MAX: usize = 32;

/// A 402 as it came.
#[derive(Debug)]
pub(crate) struct Required {
    /// 1 or 2: which headers and shapes the payment has.
    pub(crate) version: u64,
    pub(crate) offers: Vec<PaymentRequirements>,
    pub(crate) resource: Option<ResourceInfo>,
    pub(crate) extensions: Map<String, Value>,
    /// What the seller signed of them.
    pub(crate) signed: Vec<SignedOffer>,
    /// Entries of `accepts` that are of no known shape.
    pub(crate) odd: usize,
    /// Why it asks (again).
    pub(crate) error: Option<String>,
}

impl Required {
    /// The header first, which is version 2's; a body of either version is taken, too.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, PayError> {
        let header = headers.get(PAYMENT_REQUIRED).and_then(|value| value.to_str().ok());
        let value = match header {
            Some(text) => decode_header::<Value>(text)?,
            None => serde_json::from_slice(body).map_err(|_| {
                PayError::NotX402(
                    "the 402 has neither a PAYMENT-REQUIRED header nor a JSON body: not an x402 endpoint"
                        .to_owned(),
                )
            })?,
        };
        let mut required = Self::from_value(&value)?;
        if required.signed.is_empty() {
            // What has no room in the header stands in the body.
            required.signed = serde_json::from_slice(body).map(|body| signed(&body)).unwrap_or_default();
        }
        Ok(required)
    }

    /// The signature of an offer that was chosen: whatever its place says, its fields have to agree.
    pub(crate) fn signed_offer(&self, offer: &PaymentRequirements) -> Option<SignedOffer> {
        let is_it = |one: &&SignedOffer| {
            let payload = &one.payload;
            (&payload.scheme, &payload.network, &payload.asset, &payload.pay_to, &payload.amount)
                == (&offer.scheme, &offer.network, &offer.asset, &offer.pay_to, &offer.amount)
        };
        self.signed.iter().find(is_it).cloned()
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self, PayError> {
        let version = value.get("x402Version").and_then(Value::as_u64);
        let version =
            version.filter(|version| [X402_VERSION, v1::VERSION].contains(version)).ok_or_else(|| {
                let spoken = version.map_or("no version".to_owned(), |version| format!("version {version}"));
                PayError::NotX402(format!("the endpoint speaks {spoken} of x402; this client speaks 2 and 1"))
            })?;
        let entries = value
            .get("accepts")
            .and_then(Value::as_array)
            .ok_or_else(|| PayError::NotX402("the 402 lists no `accepts`".to_owned()))?;
        let read = |entry: &Value| -> Option<PaymentRequirements> {
            if version == X402_VERSION {
                return serde_json::from_value(entry.clone()).ok();
            }
            serde_json::from_value::<v1::PaymentRequirements>(entry.clone()).ok()?.into_v2().ok()
        };
        // A server may offer what this client has never heard of beside what it knows.
        let offers: Vec<_> = entries.iter().filter_map(read).collect();
        Ok(Self {
            version,
            odd: entries.len().saturating_sub(offers.len()),
            offers,
            signed: signed(value),
            resource: value.get("resource").and_then(|one| serde_json::from_value(one.clone()).ok()),
            extensions: value.get("extensions").and_then(Value::as_object).cloned().unwrap_or_default(),
            error: value.get("error").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// Signed offers of a 402; odd ones are left out one by one.
fn signed(value: &Value) -> Vec<SignedOffer> {
    let offers = value.pointer("/extensions/offer-receipt/info/offers").and_then(Value::as_array);
    let read = |one: &Value| serde_json::from_value(one.clone()).ok();
    offers.into_iter().flatten().take(SIGNED_MAX).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use quittance_protocol::{Network, encode_header};
    use serde_json::json;

    use super::*;

    fn offer() -> Value {
        json!({ "scheme": "exact", "network": Network::BASE, "asset": "0xa", "payTo": "0xb", "amount": "7",
            "maxTimeoutSeconds": 60 })
    }

    #[test]
    fn odd_entries_are_left_out_one_by_one() {
        let entries = json!([null, "x", { "scheme": "exact" }, offer(), { "network": 7 }]);
        let read =
            Required::from_value(&json!({ "x402Version": 2, "accepts": entries, "error": "again" })).unwrap();
        assert_eq!((read.offers.len(), read.odd, read.error.as_deref()), (1, 4, Some("again")));
    }

    #[test]
    fn the_header_goes_before_the_body_and_a_body_of_version_1_is_one() {
        let first = json!({ "x402Version": 1, "error": "pay", "accepts": [
            { "scheme": "exact", "network": "base", "maxAmountRequired": "9", "asset": "0xa", "payTo": "0xb",
              "maxTimeoutSeconds": 60, "resource": "https://shop.example/x", "description": "", "mimeType": "" },
            { "scheme": "exact", "network": "nowhere", "maxAmountRequired": "9", "asset": "0xa", "payTo": "0xb",
              "maxTimeoutSeconds": 60 } ] });
        let body = serde_json::to_vec(&first).unwrap();
        let read = Required::read(&HeaderMap::new(), &body).unwrap();
        assert_eq!((read.version, read.odd), (1, 1));
        assert_eq!((read.offers[0].network.as_str(), read.offers[0].amount.as_str()), (Network::BASE, "9"));
        let mut headers = HeaderMap::new();
        let second = json!({ "x402Version": 2, "accepts": [offer()] });
        headers.insert(PAYMENT_REQUIRED, encode_header(&second).unwrap().parse().unwrap());
        let read = Required::read(&headers, &body).unwrap();
        assert_eq!((read.version, read.offers[0].amount.as_str()), (2, "7"));
    }

    #[test]
    fn what_is_no_402_of_x402_is_said_to_be_none() {
        let empty = HeaderMap::new();
        for (body, words) in [
            (&b"<html>"[..], "not an x402 endpoint"),
            (b"{}", "no version"),
            (br#"{"x402Version":3,"accepts":[]}"#, "version 3"),
            (br#"{"x402Version":2}"#, "no `accepts`"),
        ] {
            let error = Required::read(&empty, body).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
