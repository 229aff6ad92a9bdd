//! What a payload says of itself before anything of it is compared: enough to find it in the ledger.

use alloy::primitives::{B256, U256};
use quittance_protocol::{Family, Network, PaymentKey, PaymentPayload};

use crate::abi::TransferWithAuthorization;
use crate::check::{Fields, read_fields, read_payload};
use crate::payment::{authorization_digest, domain};
use crate::signature::{self, EcdsaSignature, PayerSignature};
use crate::text;

/// Which authorization a payload carries, whatever the terms, the window and the token are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvmIdentity {
    /// Chain, token, payer and nonce (I1).
    pub key: PaymentKey,
    /// The authorization's `from` with EIP-55 case.
    pub payer: String,
    /// [`crate::EvmPayment::signature_digest`] of this signature, as a key's and as a contract's:
    /// which of them it is only the token's domain can tell.
    pub digests: Vec<[u8; 32]>,
    /// Whether the payer's key made this signature.
    pub is_signed: bool,
}

/// Stands for every signature with a high `s`: none is ever on record.
const HIGH_S_DIGEST: [u8; 32] = [0xff; 32];

/// Reads an EIP-3009 payload of `network`. No I/O; the only cost beyond parsing is one ecrecover.
/// `None` for anything that no authorization could look like.
///
/// `name` and `version` are those of the configured token's domain. The payload's own `extra` is
/// tried as well: whoever signs under any domain of this token is the payer all the same.
pub fn identify(
    network: &Network,
    payload: &PaymentPayload,
    configured: Option<(&str, &str)>,
) -> Option<EvmIdentity> {
    let Family::Eip155(chain_id) = network.family() else { return None };
    let exact = read_payload(payload).ok()?;
    let token = text::address(&payload.accepted.asset)?;
    let fields = read_fields(&exact).ok()?;
    let (signed, digests) = read_signature(&exact.signature)?;
    let extra = |name: &str| payload.accepted.extra.get(name).and_then(serde_json::Value::as_str);
    let echoed = extra("name").zip(extra("version"));
    let mut domains = configured.into_iter().chain(echoed.filter(|echoed| Some(*echoed) != configured));
    let is_signed = domains
        .any(|(name, version)| signs(signed, &fields, domain(name, version, chain_id, token).separator()));
    Some(EvmIdentity {
        key: PaymentKey::evm(chain_id, &token.0.0, &fields.from.0.0, &fields.nonce.0),
        payer: fields.from.to_string(),
        digests,
        is_signed,
    })
}

/// What shows whose key signed, and the digests under which it may be on record.
fn read_signature(text: &str) -> Option<(Option<EcdsaSignature>, Vec<[u8; 32]>)> {
    match signature::read(text) {
        Ok(read) => {
            let ecdsa = read.ecdsa.map(|ecdsa| PayerSignature::Ecdsa(ecdsa).digest());
            let contract = PayerSignature::Contract(read.bytes).digest();
            Some((read.ecdsa, ecdsa.into_iter().chain([contract]).collect()))
        }
        // No payment of its own, but the payer's key made it: whoever is told to
        // sign once more pays twice if the first one lands.
        Err(_) => signature::read_twin(text).map(|twin| (Some(twin), vec![HIGH_S_DIGEST])),
    }
}

fn signs(signed: Option<EcdsaSignature>, fields: &Fields, separator: B256) -> bool {
    let digest = authorization_digest(separator, &fields.message());
    signed.is_some_and(|ecdsa| ecdsa.is_of(fields.from, digest))
}

impl Fields {
    /// What the payer signed (EIP-3009).
    pub(crate) fn message(&self) -> TransferWithAuthorization {
        TransferWithAuthorization {
            from: self.from,
            to: self.to,
            value: U256::from(self.value),
            validAfter: U256::from(self.valid_after),
            validBefore: U256::from(self.valid_before),
            nonce: self.nonce,
        }
    }
}

#[cfg(test)]
mod tests;
