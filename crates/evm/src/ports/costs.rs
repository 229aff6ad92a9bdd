//! What settling costs now, for the tariff.

use async_trait::async_trait;
use quittance_chain::{ChainFault, CostSnapshot, Costs, Obstacle};
use serde_json::{Map, json};

use super::{EvmPorts, fault};
use crate::config::L1_FEE_HEADROOM;
use crate::share::gas_per_payment;
use crate::state::EvmState;

/// Payments that share a settlement's transaction: each settles alone.
const PAYMENTS_PER_TRANSACTION: u32 = 1;

/// Denominator of [`crate::EvmConfig::base_fee_headroom_bps`].
const BASIS_POINTS: u128 = 10_000;

impl EvmPorts {
    /// Says once what the configured number of blocks is worth here: on Base it is a tenth of what
    /// it was.
    fn tell_depth(&self) {
        let confirmations = self.chain.config().confirmations;
        if let Some(block_ms) = self.chain.measured_block_ms().filter(|_| confirmations > 0) {
            let depth_ms = confirmations.saturating_mul(block_ms);
            self.depth_told.get_or_init(|| {
                let network = &self.chain.config().network;
                tracing::info!(%network, confirmations, block_ms, depth_ms, "payments count at this depth");
            });
        }
    }
}

#[async_trait]
impl Costs for EvmPorts {
    async fn refresh(&self, now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let fees = self.chain.refresh_fees(now_ms).await.map_err(fault)?;
        self.tell_depth();
        let state = self.chain.state().await.map_err(fault)?;
        let overflow = || ChainFault("fees out of range".to_owned());
        let config = self.chain.config();
        let fee_per_gas = fees
            .base_fee_wei
            .checked_mul(config.base_fee_headroom_bps)
            .map(|scaled| scaled.div_ceil(BASIS_POINTS))
            .and_then(|base| base.checked_add(fees.priority_fee_wei))
            .ok_or_else(overflow)?;
        let gas = gas_per_payment(config.settle_gas_expected, PAYMENTS_PER_TRANSACTION);
        let cost_native = u128::from(gas)
            .checked_mul(fee_per_gas)
            .and_then(|wei| wei.checked_add(fees.l1_fee_wei.checked_mul(L1_FEE_HEADROOM)?))
            .ok_or_else(overflow)?;
        let bound_native = fees.cost_bound_wei(config.settle_gas_limit, 0).ok_or_else(overflow)?;
        Ok(CostSnapshot {
            cost_native,
            rent_native: 0,
            wallets_native: self.chain.wallets().into_iter().zip(state.wallets_wei.iter().copied()).collect(),
            floor_native: 0,
            bound_native,
            owed_account: None,
            obstacle: match &state {
                EvmState { paused: true, .. } => Some(Obstacle::TokenPaused),
                EvmState { pay_to_blacklisted: true, .. } => Some(Obstacle::PayToBlacklisted),
                EvmState { .. } => None,
            },
            detail: json!({
                "gas": gas,
                "base_fee_wei": fees.base_fee_wei.to_string(),
                "fee_per_gas_wei": fee_per_gas.to_string(),
                "l1_fee_wei": fees.l1_fee_wei.to_string(),
                "block": fees.block,
            }),
            offer_extra: Map::new(),
        })
    }
}
