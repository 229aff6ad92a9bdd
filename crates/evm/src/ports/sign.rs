//! The wallets: what they sign, which nonces they have, and bytes on their way.

use async_trait::async_trait;
use quittance_chain::{Broadcast, ChainFault, CostAllowed, Nonces, Sent, Sign, SignRefused, Verified};
use quittance_protocol::{DurableAttempt, SignedBytes};
use serde_json::{Value, json};

use super::{EvmPorts, fault, ours};
use crate::config::L1_FEE_HEADROOM;
use crate::error::EvmError;
use crate::fee_snapshot::FeeSnapshot;
use crate::sign::SignedTransaction;

/// Where an attempt's record has its fee cap.
pub(super) const FEE_CAP: &str = "max_fee_per_gas_wei";

impl EvmPorts {
    /// The last fees read, with the fee cap lowered until the expected gas at
    /// that cap fits what the payment was charged.
    ///
    /// The gap between expected gas and gas limit is the operator's explicit
    /// budget (I10): the configured limit says how large it is, only a payer's
    /// contract or a first transfer to an empty recipient uses it, and all of it
    /// is reserved (P3).
    pub(super) fn fees_within(&self, charged_wei: u128) -> Result<FeeSnapshot, SignRefused> {
        let mut fees = self.chain.fees().ok_or_else(|| SignRefused::later("no fees read yet"))?;
        let l1 = fees.l1_fee_wei.saturating_mul(L1_FEE_HEADROOM);
        let for_gas = charged_wei
            .checked_sub(l1)
            .ok_or_else(|| SignRefused::later("the L1 fee is above what was charged"))?;
        let affordable = for_gas / u128::from(self.chain.config().settle_gas_expected.max(1));
        fees.max_fee_per_gas_wei = fees.max_fee_per_gas_wei.min(affordable);
        if fees.max_fee_per_gas_wei <= fees.base_fee_wei {
            return Err(SignRefused::later("the base fee is above what was charged"));
        }
        Ok(fees)
    }
}

impl Sign for EvmPorts {
    fn cost_bound(&self, payment: &Verified, charged_native: u128) -> Result<u128, SignRefused> {
        let payment = ours(payment).map_err(SignRefused::never)?;
        let fees = self.fees_within(charged_native)?;
        self.chain.settlement_bound_wei(payment, &fees).ok_or_else(|| SignRefused::later("fees out of range"))
    }

    fn settlement_bound(&self, charged_native: u128) -> Option<u128> {
        let fees = self.fees_within(charged_native).ok()?;
        fees.cost_bound_wei(self.chain.config().settle_gas_limit, 0)
    }

    fn sign(
        &self,
        payment: &Verified,
        wallet: &str,
        nonce: Option<u64>,
        allowed: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        let payment = ours(payment).map_err(SignRefused::never)?;
        let nonce = nonce.ok_or_else(|| SignRefused::never("a settlement needs a wallet nonce"))?;
        let mut fees = self.fees_within(allowed.charged_native)?;
        // Fees may have risen since the reservation was made.
        let reserved = self.chain.fee_cap_within(payment, &fees, allowed.reserved_native).unwrap_or(0);
        fees.max_fee_per_gas_wei = fees.max_fee_per_gas_wei.min(reserved);
        if fees.max_fee_per_gas_wei <= fees.base_fee_wei {
            return Err(SignRefused::later("the base fee is above what was reserved"));
        }
        let signed = self
            .chain
            .sign_settlement(payment, (wallet, nonce), &fees, allowed.reserved_native)
            .map_err(|error| refused(&error))?;
        Ok(signed_bytes(signed))
    }
}

/// Bytes and what their record says of them.
pub(super) fn signed_bytes(signed: SignedTransaction) -> SignedBytes {
    SignedBytes {
        detail: json!({
            "gas_limit": signed.gas_limit,
            FEE_CAP: signed.max_fee_per_gas_wei.to_string(),
            "cost_bound_wei": signed.cost_bound_wei.to_string(),
        }),
        raw: signed.raw,
        transaction: signed.transaction,
    }
}

/// Why nothing was signed.
pub(super) fn refused(error: &EvmError) -> SignRefused {
    SignRefused { retry: error.retry(), reason: error.to_string() }
}

#[async_trait]
impl Nonces for EvmPorts {
    async fn next(&self, wallet: &str) -> Result<u64, ChainFault> {
        self.chain.transaction_count(wallet).await.map_err(fault)
    }

    async fn used(&self, wallet: &str) -> Result<u64, ChainFault> {
        self.chain.used_nonces(wallet).await.map_err(fault)
    }

    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault> {
        self.chain.transaction_cost_wei(transaction).await.map_err(fault)
    }

    async fn base_fee(&self) -> Result<Option<u128>, ChainFault> {
        self.chain.base_fee_wei().await.map(Some).map_err(fault)
    }

    fn fee_cap(&self, detail: &Value) -> Option<u128> {
        detail.get(FEE_CAP)?.as_str()?.parse().ok()
    }
}

#[async_trait]
impl Broadcast for EvmPorts {
    async fn broadcast(&self, attempt: &dyn DurableAttempt) -> Sent {
        // A node may keep bytes that it refuses, so nothing of their reservation is given back.
        self.chain.send(attempt).await.into()
    }
}
