//! The ports through which a chain is seen, and payloads and stored forms of networks
//! that are not configured.
//!
//! Owns nothing: what the ports show is the chain crates'.
//! May touch: no other module.
//! Nothing gets stuck here: what cannot be read is none, and `context` tells of it.

use std::sync::Arc;

use quittance_evm::EvmDecode;
use quittance_protocol::{Family, Network, PaymentPayload};
use quittance_solana::SolanaDecode;

pub use quittance_chain::*;

/// Reads what came from clients and from the ledger on a network of which nothing but its
/// name is known.
pub(crate) fn decode_of(network: &Network) -> Arc<dyn Decode> {
    match network.family() {
        Family::Eip155(_) => Arc::new(EvmDecode::new(network.clone())),
        Family::Solana => Arc::new(SolanaDecode::new(network.clone())),
    }
}

/// Finds out which payment a payload of a network carries that is not configured (any
/// more).
pub(crate) fn identify(network: &Network, payload: &PaymentPayload) -> Option<Identity> {
    decode_of(network).identify(payload)
}

/// Whether a merchant may be paid in this token at this address, as far as no node is asked.
pub(crate) fn check_pay_to(network: &Network, pay_to: &str, asset: &str) -> Result<(), String> {
    match network.family() {
        Family::Eip155(_) => quittance_evm::check_pay_to(pay_to, asset).map_err(|error| error.to_string()),
        Family::Solana => quittance_solana::check_pay_to(pay_to, asset).map_err(|error| error.to_string()),
    }
}
