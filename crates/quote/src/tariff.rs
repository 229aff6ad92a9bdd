//! What settling on a network costs, in USDC, at one moment.

use std::collections::VecDeque;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::rounding::RoundingMode;
use bigdecimal::{BigDecimal, ToPrimitive};
use quittance_protocol::{Amount, Network};
use serde::{Deserialize, Serialize};

use crate::decimal::usdc_ceil;
use crate::{Markup, QuoteError, Rate};

/// Decimals of ETH: wei per ether is 10^18.
const ETH_DECIMALS: i64 = 18;
/// Decimals of SOL: lamports per SOL is 10^9.
const SOL_DECIMALS: i64 = 9;
/// What the Solana cluster charges for each signature of a transaction.
pub const LAMPORTS_PER_SIGNATURE: u64 = 5_000;
/// Most tariffs a window keeps. At one every second this is more than eight
/// minutes, four times the longest time an offer can be paid by default.
pub const WINDOW_TARIFFS_MAX: usize = 512;
/// A fall of one atomic unit is allowed after this time even where the
/// relative limit rounds to nothing, so that a small surcharge cannot stick.
const SMALLEST_FALL_AFTER_MS: i64 = 1_000;
/// Most decimals of a native coin; bounds the powers of ten below.
const NATIVE_DECIMALS_MAX: i64 = 36;
const BASIS_POINTS: u128 = 10_000;
const MS_PER_MINUTE: u128 = 60_000;

/// A network's settlement surcharge, numbered in the order of commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// The network it is for.
    pub network: Network,
    /// Rises by one with each tariff of the network.
    pub number: i64,
    /// Surcharge including markup, atomic USDC, rounded up.
    pub gas: Amount,
    /// The cost it was made from, in wei or lamports, before markup.
    pub cost_native: u128,
    /// Whether the rent of a missing token account is in it (Solana).
    pub rent_included: bool,
    /// When it was committed, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When the next one was committed; `None` while it is current.
    pub replaced_at_ms: Option<i64>,
}

/// Cost of one settlement on an EVM chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseCost {
    /// Gas limit of the transaction's share of one payment.
    pub gas: u64,
    /// Base fee with headroom plus tip, wei per gas.
    pub fee_per_gas_wei: u128,
    /// L1 data fee (GasPriceOracle predeploy), wei.
    pub l1_fee_wei: u128,
}

impl BaseCost {
    /// Total in wei.
    pub fn native(&self) -> Result<u128, QuoteError> {
        u128::from(self.gas)
            .checked_mul(self.fee_per_gas_wei)
            .and_then(|execution| execution.checked_add(self.l1_fee_wei))
            .ok_or(QuoteError::OutOfRange)
    }
}

/// Cost of one settlement on Solana.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SolanaCost {
    /// Signatures of the transaction, the payer's included: the fee payer pays for all.
    pub signatures: u64,
    /// Priority fee, lamports.
    pub priority_fee_lamports: u64,
    /// Rent of a token account that this payment creates, lamports; 0 when it exists.
    pub rent_lamports: u64,
}

impl SolanaCost {
    /// Total in lamports.
    pub fn native(&self) -> Result<u128, QuoteError> {
        let signatures = u128::from(self.signatures) * u128::from(LAMPORTS_PER_SIGNATURE);
        Ok(signatures + u128::from(self.priority_fee_lamports) + u128::from(self.rent_lamports))
    }
}

fn check_native_decimals(decimals: i64) -> Result<(), QuoteError> {
    if (0..=NATIVE_DECIMALS_MAX).contains(&decimals) { Ok(()) } else { Err(QuoteError::OutOfRange) }
}

/// `native` atomic units of a coin with `decimals`, × dollars per coin ×
/// markup, in atomic USDC rounded up.
pub fn native_to_usdc(
    native: u128,
    decimals: i64,
    rate: &Rate,
    markup: &Markup,
) -> Result<Amount, QuoteError> {
    check_native_decimals(decimals)?;
    usdc_ceil(&(BigDecimal::new(BigInt::from(native), decimals) * &rate.0 * &markup.0))
}

/// What `amount` buys of a coin with `decimals`, in its atomic units, rounded
/// down: the most a transaction may cost that this amount pays for (I10).
pub fn usdc_to_native(amount: Amount, decimals: i64, rate: &Rate) -> Result<u128, QuoteError> {
    check_native_decimals(decimals)?;
    let dollars =
        BigDecimal::new(BigInt::from(amount.atomic()), i64::from(quittance_protocol::USDC_DECIMALS));
    let scale = BigDecimal::new(BigInt::from(1), -decimals);
    let native = (dollars * scale / &rate.0).with_scale_round(0, RoundingMode::Floor);
    native.to_u128().ok_or(QuoteError::OutOfRange)
}

/// Surcharge on an EVM chain: wei × dollars per ether × markup, rounded up to the atomic unit.
pub fn base_gas_usdc(cost: &BaseCost, eth_usd: &Rate, markup: &Markup) -> Result<Amount, QuoteError> {
    native_to_usdc(cost.native()?, ETH_DECIMALS, eth_usd, markup)
}

/// Surcharge on Solana: lamports × dollars per SOL × markup, rounded up to the atomic unit.
pub fn solana_gas_usdc(cost: &SolanaCost, sol_usd: &Rate, markup: &Markup) -> Result<Amount, QuoteError> {
    native_to_usdc(cost.native()?, SOL_DECIMALS, sol_usd, markup)
}

/// The surcharge to offer next: rises at once, falls at most
/// `fall_limit_bps_per_minute` basis points of the previous one per minute.
///
/// Payers may pick the cheapest tariff of the window, so a sudden fall would
/// be bought for the whole window even if it was a mistake.
pub fn next_gas(
    previous: Option<Amount>,
    wanted: Amount,
    elapsed_ms: i64,
    fall_limit_bps_per_minute: u32,
) -> Amount {
    let Some(previous) = previous else { return wanted };
    if wanted >= previous {
        return wanted;
    }
    let elapsed = u128::try_from(elapsed_ms).unwrap_or(0);
    let fall = u128::from(previous.atomic())
        .saturating_mul(u128::from(fall_limit_bps_per_minute))
        .saturating_mul(elapsed)
        / (BASIS_POINTS * MS_PER_MINUTE);
    let smallest = u64::from(elapsed_ms >= SMALLEST_FALL_AFTER_MS && fall_limit_bps_per_minute > 0);
    let fall = u64::try_from(fall).unwrap_or(u64::MAX).max(smallest);
    wanted.max(Amount::new(previous.atomic().saturating_sub(fall)))
}

/// The recent tariffs of one network: the current one and those that a payer
/// may still hold an offer of.
#[derive(Clone, Debug)]
pub struct TariffWindow {
    network: Network,
    payable_ms: i64,
    age_max_ms: i64,
    tariffs: VecDeque<Tariff>,
}

impl TariffWindow {
    /// A window in which a replaced tariff stays payable for
    /// `timeout_max_seconds + grace_seconds`, and a tariff that nobody
    /// replaces is stale, and no longer offered, after `age_max_seconds`.
    pub fn new(network: Network, timeout_max_seconds: u64, grace_seconds: u64, age_max_seconds: u64) -> Self {
        let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        Self {
            network,
            payable_ms: ms(timeout_max_seconds.saturating_add(grace_seconds)),
            age_max_ms: ms(age_max_seconds),
            tariffs: VecDeque::new(),
        }
    }

    /// The network whose tariffs these are.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How many tariffs are kept.
    pub fn len(&self) -> usize {
        self.tariffs.len()
    }

    /// Whether no tariff was ever pushed.
    pub fn is_empty(&self) -> bool {
        self.tariffs.is_empty()
    }

    /// The newest tariff's number, to ask the ledger for what came after it.
    pub fn newest(&self) -> Option<&Tariff> {
        self.tariffs.back()
    }

    /// Takes a tariff in, from this process or read from the ledger, in any
    /// order. A known number is overwritten (its replacement may have become
    /// known); a tariff followed by a newer one counts as replaced when the
    /// newer one was created.
    pub fn push(&mut self, tariff: Tariff) -> Result<(), QuoteError> {
        if tariff.network != self.network {
            return Err(QuoteError::WrongNetwork {
                expected: self.network.to_string(),
                got: tariff.network.to_string(),
            });
        }
        let at = self.tariffs.partition_point(|known| known.number < tariff.number);
        match self.tariffs.get_mut(at) {
            Some(known) if known.number == tariff.number => {
                let replaced_at_ms = tariff.replaced_at_ms.or(known.replaced_at_ms);
                *known = Tariff { replaced_at_ms, ..tariff };
            }
            _ => self.tariffs.insert(at, tariff),
        }
        self.link(at);
        if let Some(before) = at.checked_sub(1) {
            self.link(before);
        }
        while self.tariffs.len() > WINDOW_TARIFFS_MAX {
            self.tariffs.pop_front();
        }
        Ok(())
    }

    /// Dates the replacement of tariff `at` from its successor.
    fn link(&mut self, at: usize) {
        let Some(next_created) = self.tariffs.get(at + 1).map(|next| next.created_at_ms) else { return };
        if let Some(tariff) = self.tariffs.get_mut(at) {
            // A successor that arrives late ends it earlier than a gap suggested.
            let ended = tariff.replaced_at_ms.map_or(next_created, |known| known.min(next_created));
            tariff.replaced_at_ms = Some(ended);
        }
    }

    /// The tariff to offer now; `None` when there is none or the newest is stale.
    pub fn current(&self, now_ms: i64) -> Option<&Tariff> {
        let newest = self.tariffs.back()?;
        let fresh = now_ms.saturating_sub(newest.created_at_ms) <= self.age_max_ms;
        let unreplaced = newest.replaced_at_ms.is_none_or(|at| now_ms < at);
        (fresh && unreplaced).then_some(newest)
    }

    /// The newest tariff with exactly this surcharge that was current within
    /// the payable time before `now_ms`, counted from its replacement.
    pub fn matching(&self, gas: Amount, now_ms: i64) -> Option<&Tariff> {
        self.tariffs.iter().rev().find(|tariff| tariff.gas == gas && self.payable(tariff, now_ms))
    }

    /// The tariff that makes `amount` the price of `service`: nothing else is taken,
    /// more is no more welcome than less, and the service itself is never discounted.
    pub fn paying(&self, amount: Amount, service: Amount, now_ms: i64) -> Option<&Tariff> {
        self.matching(amount.checked_sub(service).ok()?, now_ms)
    }

    /// Every tariff that may still be paid, newest first.
    pub fn payable_tariffs(&self, now_ms: i64) -> impl Iterator<Item = &Tariff> {
        self.tariffs.iter().rev().filter(move |tariff| self.payable(tariff, now_ms))
    }

    fn payable(&self, tariff: &Tariff, now_ms: i64) -> bool {
        let stale_at = tariff.created_at_ms.saturating_add(self.age_max_ms);
        let ended_at = tariff.replaced_at_ms.unwrap_or(stale_at);
        now_ms <= ended_at.saturating_add(self.payable_ms)
    }
}

#[cfg(test)]
mod tests;
