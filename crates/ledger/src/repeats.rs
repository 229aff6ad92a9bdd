//! Calls that clients repeat (P7): the values.

use quittance_protocol::{Amount, IdentifierHash, PaymentId, PaymentKey};

use crate::types::{Payment, PaymentState};

/// An authorization that is answered from an earlier payment of its payer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Alias {
    /// The authorization's own key.
    #[serde(serialize_with = "as_text")]
    pub key: PaymentKey,
    /// The payment it is answered from.
    pub payment: PaymentId,
    /// SHA-256 of its signature: only its holder is answered.
    #[serde(skip)]
    pub signature_digest: [u8; 32],
    /// Hash of the identifier that came with it.
    #[serde(skip)]
    pub identifier: Option<IdentifierHash>,
    /// What it would have moved.
    pub amount: Amount,
    /// When it was made.
    pub at_ms: i64,
}

fn as_text<S: serde::Serializer>(key: &PaymentKey, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(key)
}

/// What stands under a payment key.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The payment: the key's own, or the one that its alias is answered from.
    pub payment: Payment,
    /// Set when the key is an alias's.
    pub alias: Option<Alias>,
}

impl Known {
    /// SHA-256 of the signature that this key was claimed with.
    pub fn signature_digest(&self) -> &[u8; 32] {
        self.alias.as_ref().map_or(&self.payment.signature_digest, |alias| &alias.signature_digest)
    }

    /// Hash of the identifier that was sent with this key.
    pub fn identifier(&self) -> Option<&IdentifierHash> {
        match &self.alias {
            Some(alias) => alias.identifier.as_ref(),
            None => self.payment.identifier.as_ref(),
        }
    }

    /// An alias of a payment that will never be paid: its authorization may be
    /// claimed like any other.
    pub fn is_free(&self) -> bool {
        self.alias.is_some() && ended_unpaid(&self.payment)
    }
}

pub(crate) fn ended_unpaid(payment: &Payment) -> bool {
    matches!(payment.state, PaymentState::Refused | PaymentState::Expired)
}
