//! What a payload says of itself before anything of it is compared: enough to
//! find it in the ledger.

use quittance_protocol::{Amount, Network, PaymentKey, PaymentPayload, SvmExactPayload};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::inspect::check_signature;
use crate::instructions as layout;
use crate::message::{WireTransaction, decode_base64, program};
use crate::token::TokenProgram;

const SIGNERS: usize = 2;
const PAYER: usize = 1;

/// Which message a payload carries, whatever the terms are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SolanaIdentity {
    /// Network and message bytes (invariant I1).
    pub key: PaymentKey,
    /// The second signer, base58.
    pub payer: String,
    /// [`crate::SolanaPayment::signature_digest`] of this signature.
    pub digest: [u8; 32],
    /// Whether the payer's key made this signature.
    pub is_signed: bool,
}

/// Reads a payload of `network`. No I/O; the only cost beyond parsing is one
/// signature check. `None` for anything that is not a transaction with two signers.
pub fn identify(network: &Network, payload: &PaymentPayload) -> Option<SolanaIdentity> {
    let exact: SvmExactPayload = serde::Deserialize::deserialize(&payload.payload).ok()?;
    let raw = decode_base64(&exact.transaction).ok()?;
    let transaction = WireTransaction::decode(&raw).ok()?;
    if transaction.required_signatures != SIGNERS {
        return None;
    }
    let (signature, payer) = (transaction.signatures.get(PAYER)?, transaction.keys.get(PAYER)?);
    Some(SolanaIdentity {
        key: PaymentKey::solana(network.as_str(), transaction.message),
        payer: payer.to_string(),
        digest: Sha256::digest(signature).into(),
        is_signed: check_signature(&transaction).is_ok(),
    })
}

/// What the first transfer of the payload's transaction moves: the inspection takes no
/// transaction with another one.
pub(crate) fn amount(payload: &Value) -> Option<Amount> {
    let exact: SvmExactPayload = serde::Deserialize::deserialize(payload).ok()?;
    let raw = decode_base64(&exact.transaction).ok()?;
    let transaction = WireTransaction::decode(&raw).ok()?;
    let moved = transaction
        .instructions
        .iter()
        .filter(|one| program(&transaction, one).and_then(TokenProgram::of_id).is_some())
        .find_map(|instruction| layout::parse_transfer_checked(instruction.data))?;
    Some(Amount::new(moved.0))
}
