//! A payment of x402 version 1 at the gate.
//!
//! It does not say what it was made for, so it is completed with the terms that are sold on
//! its network, and with the amount that the payer signed: the price decides whether that is
//! enough, as of every payment. Key and signature are the payload's own, so in whichever
//! version it comes it is one payment.

use quittance_protocol::{PaymentPayload, PaymentRequirements, v1};
use serde_json::Map;

use crate::Inner;

impl Inner {
    /// See [`crate::Facilitator::in_version_2`].
    pub(crate) fn in_version_2(
        &self,
        payment: v1::PaymentPayload,
    ) -> Result<PaymentPayload, v1::UnknownName> {
        let network = v1::network_of(&payment.network).ok_or(v1::UnknownName)?;
        // One that is retired has payments on record.
        let net = self.net(network);
        let signed = net.as_ref().and_then(|net| net.chain.decode().amount(&payment.payload));
        let terms = net.as_ref().map(|net| &net.terms);
        payment.into_v2(PaymentRequirements {
            // Both are the payment's own.
            scheme: String::new(),
            network: String::new(),
            asset: terms.map(|terms| terms.asset.clone()).unwrap_or_default(),
            pay_to: terms.map(|terms| terms.pay_to.clone()).unwrap_or_default(),
            // Without one the payload is none, and its check says so.
            amount: signed.unwrap_or_default().to_string(),
            max_amount_required: None,
            max_timeout_seconds: terms.map(|terms| terms.max_timeout_seconds).unwrap_or_default(),
            extra: Map::new(),
            other: Map::new(),
        })
    }
}
