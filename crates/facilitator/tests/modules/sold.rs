//! What comes from foreign servers.

use quittance_protocol::{Dialect, Network, SettleRequest, SettleResponse, VerifyRequest, VerifyResponse};
use serde_json::{Value, json};

use super::harness::{GAS, Process, unique};

/// What a foreign server sells for.
pub(crate) const SOLD_FOR: u64 = 10 * GAS;

/// A payer's authorization, for a price and a nonce of its own.
pub(crate) struct Authorization(pub(crate) Value);

impl Authorization {
    pub(crate) fn of(payer: &str) -> Self {
        Self(json!({ "payer": payer, "amount": SOLD_FOR, "nonce": u64::from_be_bytes(unique()) }))
    }

    pub(crate) fn request(&self) -> VerifyRequest {
        let terms = json!({
            "scheme": "exact", "network": Network::BASE, "asset": "0xa", "payTo": "0xb",
            "amount": SOLD_FOR.to_string(), "maxTimeoutSeconds": 120, "extra": {},
        });
        let payment = json!({ "x402Version": 2, "accepted": terms, "payload": self.0 });
        let request = json!({ "x402Version": 2, "paymentPayload": payment, "paymentRequirements": terms });
        serde_json::from_value(request).unwrap()
    }

    /// The same authorization as a server of version 1 sends it.
    pub(crate) fn in_version_1(&self) -> VerifyRequest {
        let terms = json!({
            "scheme": "exact", "network": "base", "asset": "0xa", "payTo": "0xb",
            "maxAmountRequired": SOLD_FOR.to_string(), "maxTimeoutSeconds": 120, "extra": {},
            "resource": "https://shop.test/x", "description": "", "mimeType": "",
        });
        let payment = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": self.0 });
        let request = json!({ "x402Version": 1, "paymentPayload": payment, "paymentRequirements": terms });
        Dialect::read(request).unwrap().0
    }
}

pub(crate) async fn verify(process: &Process, authorization: &Authorization) -> VerifyResponse {
    process.facilitator.verify(authorization.request(), "all").await
}

pub(crate) async fn settle(process: &Process, authorization: &Authorization) -> SettleResponse {
    let request: SettleRequest = authorization.request();
    process.facilitator.settle(request, "all").await.response
}
