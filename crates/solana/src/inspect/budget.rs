//! What a payer lets us pay for being first.

use super::Rules;
use crate::defect::{Defect, holds, is_planted};
use crate::error::SolanaError;
use crate::instructions::{self as layout, ComputeBudget};
use crate::message::{HeaderBudget, WireTransaction, program};

const MICRO_LAMPORTS_PER_LAMPORT: u128 = 1_000_000;

impl Rules {
    /// Returns the priority fee in lamports. The payer chooses it and we pay
    /// it, so limit and price are capped one by one and in their product.
    pub(super) fn check_compute_budget(&self, transaction: &WireTransaction<'_>) -> Result<u64, SolanaError> {
        let (mut limit, mut price, mut data, mut units_by_default) = (None, None, None, 0_u32);
        for instruction in &transaction.instructions {
            if program(transaction, instruction) != Some(&layout::COMPUTE_BUDGET) {
                units_by_default = units_by_default.saturating_add(layout::DEFAULT_UNITS_PER_INSTRUCTION);
                continue;
            }
            units_by_default = units_by_default.saturating_add(layout::DEFAULT_UNITS_PER_BUILT_IN);
            let refusal = if layout::is_unit_price(instruction.data) {
                SolanaError::ComputePrice
            } else {
                SolanaError::ComputeLimit
            };
            let parsed = layout::parse_compute_budget(instruction.data);
            let (Some(parsed), []) = (parsed, instruction.accounts) else { return Err(refusal) };
            let is_wrong = match parsed {
                ComputeBudget::UnitLimit(units) => limit.replace(units).is_some(),
                ComputeBudget::UnitPrice(micro_lamports) => price.replace(micro_lamports).is_some(),
                // No block takes a transaction that says zero.
                ComputeBudget::DataLimit(0) => true,
                ComputeBudget::DataLimit(bytes) => data.replace(bytes).is_some(),
            };
            if is_wrong {
                return Err(refusal);
            }
        }
        if let Some(units) = limit.filter(|units| *units > self.compute_unit_limit_max) {
            return Err(SolanaError::ComputeLimitTooHigh { units, max: self.compute_unit_limit_max });
        }
        // Without a limit the runtime grants, and charges for, its default.
        let default = match is_planted(Defect::DefaultFree) {
            true => 0,
            false => units_by_default.min(layout::UNITS_MAX),
        };
        let price = price.unwrap_or(0);
        let fee = priority_fee(limit.unwrap_or(default), price);
        let is_low =
            price <= self.compute_unit_price_micro_lamports_max && fee <= self.priority_fee_lamports_max;
        if !holds(is_low, Defect::FreePriority) {
            return Err(SolanaError::ComputePriceTooHigh { price, fee });
        }
        Ok(fee)
    }

    /// The same of version 1, whose header says what the whole costs: the same caps, one by one,
    /// and the price that limit and fee come to.
    pub(super) fn check_header_budget(
        &self,
        transaction: &WireTransaction<'_>,
        budget: &HeaderBudget,
    ) -> Result<u64, SolanaError> {
        let refuse = |problem| Err(SolanaError::HeaderBudget { problem });
        let is_budget = |one| program(transaction, one) == Some(&layout::COMPUTE_BUDGET);
        if transaction.instructions.iter().any(is_budget) {
            return refuse("is all that counts; leave compute budget instructions out");
        }
        if budget.heap_bytes.is_some() {
            return refuse("asks for a heap, which no payment needs; leave it out");
        }
        // For the runtime zero, with which nothing runs.
        let (Some(units), Some(_)) = (budget.unit_limit, budget.data_bytes) else {
            return refuse("must set a compute unit limit and a limit of loaded account data");
        };
        if units == 0 {
            return refuse("must set a compute unit limit above zero");
        }
        if units > self.compute_unit_limit_max {
            return Err(SolanaError::ComputeLimitTooHigh { units, max: self.compute_unit_limit_max });
        }
        let fee = budget.priority_fee_lamports.unwrap_or(0);
        let price = unit_price(units, fee);
        let is_low =
            price <= self.compute_unit_price_micro_lamports_max && fee <= self.priority_fee_lamports_max;
        if !holds(is_low, Defect::FreePriority) {
            return Err(SolanaError::ComputePriceTooHigh { price, fee });
        }
        Ok(fee)
    }
}

/// What a fee comes to for each unit, in micro-lamports, rounded down: a price that is rounded up
/// to a fee may be the highest one.
fn unit_price(units: u32, fee_lamports: u64) -> u64 {
    let micro = u128::from(fee_lamports) * MICRO_LAMPORTS_PER_LAMPORT;
    let price = micro.checked_div(u128::from(units)).unwrap_or(u128::MAX);
    u64::try_from(price).unwrap_or(u64::MAX)
}

/// Limit × price in lamports, rounded up as the runtime does.
pub(super) fn priority_fee(units: u32, price_micro_lamports: u64) -> u64 {
    let micro = u128::from(units) * u128::from(price_micro_lamports);
    if is_planted(Defect::FeeRoundedDown) {
        return u64::try_from(micro / MICRO_LAMPORTS_PER_LAMPORT).unwrap_or(u64::MAX);
    }
    u64::try_from(micro.div_ceil(MICRO_LAMPORTS_PER_LAMPORT)).unwrap_or(u64::MAX)
}
