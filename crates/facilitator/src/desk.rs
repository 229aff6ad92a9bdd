//! One network's desk: its chain, its terms, its recent tariffs, its poller.

use std::sync::{Arc, PoisonError, RwLock};

use quittance_protocol::{Amount, PaymentRequirements};
use quittance_quote::{
    Markup, NetworkTerms, QuoteError, Tariff, TariffWindow, native_to_usdc, requirements, usdc_to_native,
};

use crate::api::NetworkInfo;
use crate::chain::Chain;
use crate::rates::{Coin, RateSource};
use crate::watch::Poller;

/// Everything about one network.
pub(crate) struct Desk {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) terms: NetworkTerms,
    pub(crate) coin: Coin,
    pub(crate) rates: Arc<dyn RateSource>,
    pub(crate) poller: Poller,
    pub(crate) window: RwLock<TariffWindow>,
    pub(crate) gas_ceiling: Amount,
    pub(crate) cost_budget: Amount,
    /// A markup of one.
    pub(crate) at_cost: Markup,
}

impl Desk {
    /// The tariff to offer now; `None` when it is stale or above the ceiling.
    pub(crate) fn current(&self, now_ms: i64) -> Option<Tariff> {
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        window.current(now_ms).filter(|tariff| tariff.gas <= self.gas_ceiling).cloned()
    }

    /// The tariff in the window that makes `amount` the price of `service`.
    pub(crate) fn matching(&self, amount: Amount, service: Amount, now_ms: i64) -> Option<Tariff> {
        let gas = amount.checked_sub(service).ok()?;
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        window.matching(gas, now_ms).cloned()
    }

    /// Takes a tariff in that is already in the ledger.
    pub(crate) fn push(&self, tariff: Tariff) -> Result<(), QuoteError> {
        self.window.write().unwrap_or_else(PoisonError::into_inner).push(tariff)
    }

    /// The newest known tariff, however old.
    pub(crate) fn newest(&self) -> Option<Tariff> {
        self.window.read().unwrap_or_else(PoisonError::into_inner).newest().cloned()
    }

    /// The offer of `service` on this network, or `None` when it cannot be offered.
    pub(crate) fn offer(&self, service: Amount, now_ms: i64) -> Option<PaymentRequirements> {
        let tariff = self.current(now_ms)?;
        requirements(service, tariff.gas, &self.terms).ok()
    }

    /// The most a settlement may cost in wei or lamports, for a payment that
    /// was charged `gas` for it (I10).
    pub(crate) fn allowed_native(&self, gas: Amount, now_ms: i64) -> Option<u128> {
        let rate = self.rates.rate(self.coin, now_ms)?;
        let dollars = gas.checked_add(self.cost_budget).ok()?;
        usdc_to_native(dollars, i64::from(self.chain.native_decimals()), &rate).ok()
    }

    /// What `native` wei or lamports are worth, without markup, rounded up.
    pub(crate) fn cost_usdc(&self, native: u128, now_ms: i64) -> Option<Amount> {
        let rate = self.rates.rate(self.coin, now_ms)?;
        native_to_usdc(native, i64::from(self.chain.native_decimals()), &rate, &self.at_cost).ok()
    }

    /// As discovery shows it.
    pub(crate) fn info(&self, now_ms: i64) -> NetworkInfo {
        NetworkInfo {
            network: self.terms.network.clone(),
            asset: self.terms.asset.clone(),
            pay_to: self.terms.pay_to.clone(),
            scheme: "exact".to_owned(),
            gas: self.current(now_ms).map(|tariff| tariff.gas),
            extra: self.terms.extra.clone(),
        }
    }

    /// Whether a requirement names this network's asset and recipient, compared
    /// as the chain would (EVM hex ignores case, base58 does not).
    pub(crate) fn sells(&self, requirements: &PaymentRequirements) -> bool {
        let same = |a: &str, b: &str| match self.coin {
            Coin::Eth => a.eq_ignore_ascii_case(b),
            Coin::Sol => a == b,
        };
        same(&requirements.asset, &self.terms.asset) && same(&requirements.pay_to, &self.terms.pay_to)
    }
}
