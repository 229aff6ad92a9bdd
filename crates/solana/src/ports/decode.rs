//! Payloads and stored forms of a Solana cluster.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_chain::{CheckedPayment, Decode, Identity, PaymentFacts, Unreadable, Unstorable, Verified};
use quittance_protocol::{Amount, Network, PaymentPayload};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::identity::{amount, identify};
use crate::payment::SolanaPayment;

/// Reads what came from clients and from the ledger; needs no connection.
#[derive(Clone, Debug)]
pub struct SolanaDecode {
    network: Network,
}

impl SolanaDecode {
    /// For a cluster, configured or not.
    pub fn new(network: Network) -> Self {
        Self { network }
    }
}

impl Decode for SolanaDecode {
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        let found = identify(&self.network, payload)?;
        let (key, payer, digests) = (found.key, found.payer, vec![found.digest]);
        Some(Identity { key, payer, digests, is_signed: found.is_signed })
    }

    fn amount(&self, payload: &Value) -> Option<Amount> {
        amount(payload)
    }

    fn payload(&self, payment: &Verified) -> Option<Value> {
        let payment: &SolanaPayment = payment.get()?;
        Some(json!({ "transaction": STANDARD.encode(payment.raw()) }))
    }

    fn revive(&self, form: &Value) -> Result<Verified, Unreadable> {
        let payment = SolanaPayment::deserialize(form).map_err(|error| Unreadable(words(&error)))?;
        if payment.inspected().network != self.network {
            return Err(Unreadable("it is of another network".to_owned()));
        }
        Ok(Verified::new(payment))
    }
}

/// What is wrong, without what stands there: it may be a part of a signature.
fn words(error: &serde_json::Error) -> String {
    format!("{:?} error", error.classify()).to_lowercase()
}

impl CheckedPayment for SolanaPayment {
    fn facts(&self) -> PaymentFacts {
        PaymentFacts {
            key: self.key(),
            payer: self.payer().to_owned(),
            source: self.source().unwrap_or_else(|| self.payer().to_owned()),
            amount: self.amount(),
            signature_digest: self.signature_digest(),
            is_signed: true,
            valid_after: None,
            // Without a memo, payer, amount and blockhash are all there is.
            may_coincide: self.memo().is_none(),
            wallet: self.fee_payer(),
            needs_rent: false,
        }
    }

    fn store(&self) -> Result<Value, Unstorable> {
        serde_json::to_value(self).map_err(|error| Unstorable(words(&error)))
    }
}
