//! The fee payers, and bytes on their way.

use async_trait::async_trait;
use quittance_chain::{Broadcast, CostAllowed, Sent, Sign, SignRefused, Verified};
use quittance_protocol::{DurableAttempt, SignedBytes};
use serde_json::json;

use super::{SolanaPorts, ours};
use crate::broadcast;

impl Sign for SolanaPorts {
    fn cost_bound(&self, payment: &Verified, charged_native: u128) -> Result<u128, SignRefused> {
        let payment = ours(payment).map_err(SignRefused::never)?;
        let bound = u128::from(self.chain.cost_bound_lamports(payment));
        if bound > charged_native {
            return Err(SignRefused::later("the fee is above what was charged"));
        }
        Ok(bound)
    }

    fn sign(
        &self,
        payment: &Verified,
        wallet: &str,
        _nonce: Option<u64>,
        allowed: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        let payment = ours(payment).map_err(SignRefused::never)?;
        if payment.fee_payer().as_deref() != Some(wallet) {
            return Err(SignRefused::never("the message names another fee payer"));
        }
        let lamports = allowed.charged_native.min(allowed.reserved_native);
        let signed = self
            .chain
            .co_sign(payment, u64::try_from(lamports).unwrap_or(u64::MAX))
            .map_err(|error| SignRefused { retry: error.retry(), reason: error.to_string() })?;
        Ok(SignedBytes {
            detail: json!({ "cost_bound_lamports": signed.cost_bound_lamports }),
            raw: signed.raw,
            transaction: signed.transaction,
        })
    }
}

#[async_trait]
impl Broadcast for SolanaPorts {
    async fn broadcast(&self, attempt: &dyn DurableAttempt) -> Sent {
        let broadcast::Broadcast { outcome, withheld } = self.chain.broadcast(attempt).await;
        Sent { outcome, withheld }
    }
}
