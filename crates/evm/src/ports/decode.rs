//! Payloads and stored forms of an EVM network.

use quittance_chain::{CheckedPayment, Decode, Identity, PaymentFacts, Unreadable, Unstorable, Verified};
use quittance_protocol::{Amount, EvmExactPayload, Family, Network, PaymentPayload};
use serde::Deserialize as _;
use serde_json::Value;

use crate::identify::identify;
use crate::payment::{EvmPayment, SignatureKind};

/// Reads what came from clients and from the ledger; needs no connection.
#[derive(Clone, Debug)]
pub struct EvmDecode {
    network: Network,
    /// `name` and `version` of the configured token's EIP-712 domain.
    domain: Option<(String, String)>,
}

impl EvmDecode {
    /// For a network that may not be configured: only the domain that a payload itself
    /// names is tried.
    pub fn new(network: Network) -> Self {
        Self { network, domain: None }
    }

    /// For a configured token.
    pub fn with_domain(self, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { domain: Some((name.into(), version.into())), ..self }
    }
}

impl Decode for EvmDecode {
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        let domain = self.domain.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
        let found = identify(&self.network, payload, domain)?;
        let (key, payer, digests) = (found.key, found.payer, found.digests);
        Some(Identity { key, payer, digests, is_signed: found.is_signed })
    }

    fn amount(&self, payload: &Value) -> Option<Amount> {
        let exact = EvmExactPayload::deserialize(payload).ok()?;
        exact.authorization.value.to_u64().map(Amount::new)
    }

    fn payload(&self, payment: &Verified) -> Option<Value> {
        payment.get::<EvmPayment>().map(EvmPayment::payload)
    }

    fn revive(&self, form: &Value) -> Result<Verified, Unreadable> {
        let payment = EvmPayment::deserialize(form).map_err(|error| Unreadable(words(&error)))?;
        if self.network.family() != Family::Eip155(payment.chain_id) {
            return Err(Unreadable("it is of another network".to_owned()));
        }
        Ok(Verified::new(payment))
    }
}

/// What is wrong, without what stands there: it may be a part of a signature.
fn words(error: &serde_json::Error) -> String {
    format!("{:?} error", error.classify()).to_lowercase()
}

impl CheckedPayment for EvmPayment {
    fn facts(&self) -> PaymentFacts {
        PaymentFacts {
            key: self.key(),
            payer: self.payer(),
            source: self.payer(),
            amount: self.amount(),
            signature_digest: self.signature_digest(),
            is_signed: self.signature_kind() == SignatureKind::Ecdsa,
            valid_after: Some(self.valid_after()),
            // Each authorization has a nonce of its own.
            may_coincide: false,
            wallet: None,
            needs_rent: false,
        }
    }

    fn store(&self) -> Result<Value, Unstorable> {
        serde_json::to_value(self).map_err(|error| Unstorable(words(&error)))
    }
}
