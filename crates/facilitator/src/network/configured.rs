//! One configured network: its chain, its terms, its recent tariffs, its poller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use quittance_ledger::{Exposed, ExposureLimits};
use quittance_protocol::{Amount, Family, PaymentRequirements};
use quittance_quote::{
    Markup, NetworkTerms, OfferTemplate, QuoteError, Tariff, TariffWindow, native_to_usdc, requirements,
    usdc_to_native,
};
use tokio::sync::Notify;

use crate::api::NetworkInfo;
use crate::api::wallets::WalletReport;
use crate::chain::{Chain, Endpoints};
use crate::network::closed::{Closed, Obstructed, SOON_SECONDS};
use crate::network::poller::Poller;
use crate::network::pool::{Pool, PoolWallet};
use crate::network::prepared::{Moment, Prepared};
use crate::network::rents::Accounts;
use crate::network::seen::Seen;
use crate::network::spending::Spending;
use crate::network::strangers::share::Share;
use crate::prices::Coin;
use crate::rates::RateSource;
use crate::remote::Remote;

/// Which payments may share a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchTerms {
    /// The most that one holds.
    pub(crate) size_max: usize,
    /// What is left of each one's time at least.
    pub(crate) margin_seconds: u64,
    /// The longest that a payment waits for others.
    pub(crate) wait_ms: u64,
}

/// Everything about one network.
pub(crate) struct ConfiguredNetwork {
    pub(crate) chain: Arc<Chain>,
    pub(crate) terms: NetworkTerms,
    /// What offers say: one for each wallet that takes new payments where an offer names it, by its
    /// place in [`Pool::paying`]; else one.
    pub(crate) offers: Vec<NetworkTerms>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) coin: Coin,
    pub(crate) rates: Arc<dyn RateSource>,
    pub(crate) poller: Poller,
    pub(crate) window: RwLock<TariffWindow>,
    pub(crate) prepared: Prepared,
    pub(crate) moment: Moment,
    pub(crate) gas_floor: Amount,
    pub(crate) gas_ceiling: Amount,
    /// What attempts may cost without earning (P3).
    pub(crate) limits: ExposureLimits,
    /// What freeing nonces that do not move may cost within a day beyond what was charged, in wei.
    pub(crate) unwedge_day: u64,
    /// What creating token accounts may cost.
    pub(crate) accounts: Accounts,
    /// Something in flight ended: there may be room.
    pub(crate) freed: Notify,
    pub(crate) spending: Spending,
    /// What was seen of it last; for operators.
    pub(crate) seen: Seen,
    /// Nothing new is taken; what was begun is finished.
    pub(crate) retired: bool,
    /// Who settles what is claimed here, if not wallets of this process.
    pub(crate) remote: Option<Arc<Remote>>,
    /// Others, with ledgers of their own, settle to the same address.
    pub(crate) shared_pay_to: bool,
    /// Which payments share a transaction, where the chain has such transactions.
    pub(crate) batch: BatchTerms,
    /// Pause between two looks for transfers that the ledger cannot explain.
    pub(crate) payout_look: Duration,
    /// Pause between two looks at the endpoints' heads.
    pub(crate) head_look: Duration,
    /// Whether the chain answered since this process started, and no wallet's
    /// nonce counter is behind it: before that nothing may be signed.
    pub(crate) ready: AtomicBool,
    /// What the last look at token and recipient found.
    pub(crate) obstructed: Obstructed,
    /// Why the network was closed when the last tariff was due; for logs and alerts.
    pub(crate) closed: Mutex<Option<Closed>>,
    /// Whether payers without history waited when that was last looked at.
    pub(crate) strangers_wait: AtomicBool,
    /// What strangers may ask of it.
    pub(crate) share: Share,
    pub(crate) cost_budget: Amount,
    /// A markup of one.
    pub(crate) at_cost: Markup,
}

impl ConfiguredNetwork {
    /// Whether a payment that was claimed now could land, as far as is known.
    pub(crate) fn takes_payments(&self) -> Result<(), Closed> {
        if self.retired {
            return Err(Closed::Retired);
        }
        if let Some(reason) = self.obstructed.now() {
            return Err(reason);
        }
        self.pool.closed().map_or(Ok(()), Err)
    }

    /// What the next offer says besides prices: which wallet pays is said in turn.
    fn next_offer(&self) -> usize {
        if self.offers.len() > 1 { self.pool.next_named() } else { 0 }
    }

    /// Whether nobody could say that a payment never landed.
    pub(crate) fn keeps_no_history(&self) -> bool {
        self.chain.endpoints().is_some_and(Endpoints::keeps_no_history)
    }

    /// The tariff to offer now.
    pub(crate) fn current(&self, now_ms: i64) -> Option<Tariff> {
        self.open(now_ms).ok()
    }

    /// The tariff to offer now, or why there is none. No I/O (P4).
    pub(crate) fn open(&self, now_ms: i64) -> Result<Tariff, Closed> {
        self.if_open(now_ms, Tariff::clone)
    }

    /// The same, for who needs only a part of the tariff.
    fn if_open<T>(&self, now_ms: i64, read: impl FnOnce(&Tariff) -> T) -> Result<T, Closed> {
        self.takes_payments()?;
        if let Some(reason) = self.spending.closed(&self.limits, now_ms) {
            return Err(reason);
        }
        // A tariff outlives the rate it was made from, but is not offered
        // without one: the coin may be at any price by now.
        if !self.rates.is_known(self.coin, now_ms) {
            return Err(Closed::NoRate);
        }
        // An earlier life's tariff may still be current.
        if !self.ready.load(Ordering::Acquire) {
            return Err(if self.chain.is_connected() { Closed::NoTariff } else { Closed::NotConnected });
        }
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        let tariff = window.current(now_ms).ok_or(Closed::NoTariff)?;
        if tariff.gas > self.gas_ceiling { Err(Closed::AboveCeiling) } else { Ok(read(tariff)) }
    }

    /// Something in flight ended: there may be room.
    pub(crate) fn free(&self) {
        self.spending.something_ended();
        self.freed.notify_one();
    }

    /// The most that the next settlement may cost, which was charged `gas`, where
    /// the chain says `bound_native` of any: what a claim would reserve.
    pub(crate) fn next_bound(&self, gas: Amount, bound_native: u128, now_ms: i64) -> Option<Exposed> {
        let allowed = self.allowed_native(gas, now_ms)?;
        let bound = self.chain.sign().ok().and_then(|wallet| wallet.settlement_bound(allowed));
        let native = bound.unwrap_or(bound_native);
        Some(Exposed { usdc: self.cost_usdc(native, now_ms)?, native: u64::try_from(native).ok()? })
    }

    /// What `Retry-After` says while the network is closed.
    pub(crate) fn retry_after_seconds(&self, now_ms: i64) -> u64 {
        self.open(now_ms).err().map_or(SOON_SECONDS, Closed::retry_after_seconds)
    }

    /// The tariff in the window that makes `amount` the price of `service`.
    pub(crate) fn matching(&self, amount: Amount, service: Amount, now_ms: i64) -> Option<Tariff> {
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        window.paying(amount, service, now_ms).cloned()
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
        let read = |_, terms: &NetworkTerms| requirements(service, tariff.gas, terms).ok();
        self.moment.terms((&self.offers, self.next_offer()), now_ms, read).flatten()
    }

    /// Appends the JSON of [`Self::offer`] to `out`; nothing where that is `None`.
    pub(crate) fn write_offer(&self, service: Amount, now_ms: i64, out: &mut Vec<u8>) -> Option<()> {
        let gas = self.if_open(now_ms, |tariff| tariff.gas).ok()?;
        self.template(gas, now_ms)?.write(service, out).ok()
    }

    /// The same in x402 version 1, about what is `sold`; `None` also where that has no name
    /// for the network.
    pub(crate) fn write_offer_v1(
        &self,
        service: Amount,
        sold: &[u8],
        now_ms: i64,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let gas = self.if_open(now_ms, |tariff| tariff.gas).ok()?;
        let template = self.template(gas, now_ms)?;
        template.write_v1(service, sold, out).is_ok_and(|is_written| is_written).then_some(())
    }

    fn template(&self, gas: Amount, now_ms: i64) -> Option<Arc<OfferTemplate>> {
        let at = self.next_offer();
        let prepare = |number, terms: &NetworkTerms| self.prepared.at(gas, (number, at), terms).ok();
        self.moment.terms((&self.offers, at), now_ms, prepare).flatten()
    }

    /// What one more offer says besides prices.
    pub(crate) fn named_terms(&self) -> &NetworkTerms {
        self.offers.get(self.next_offer()).unwrap_or(&self.terms)
    }

    /// What whoever keeps an offer's terms is told to say.
    pub(crate) fn kept_terms(&self) -> &NetworkTerms {
        self.offers.get(self.pool.first_named()).unwrap_or(&self.terms)
    }

    /// The most a settlement may cost in wei or lamports, for a payment that
    /// was charged `gas` for it (I10).
    pub(crate) fn allowed_native(&self, gas: Amount, now_ms: i64) -> Option<u128> {
        let rate = self.rates.rate(self.coin, now_ms)?;
        let dollars = gas.checked_add(self.cost_budget).ok()?;
        usdc_to_native(dollars, i64::from(self.chain.facts().coin.decimals), &rate).ok()
    }

    /// What `native` wei or lamports are worth, without markup, rounded up. At
    /// the last known rate if need be: a cost booked without a value would slip
    /// past the ceilings.
    pub(crate) fn cost_usdc(&self, native: u128, now_ms: i64) -> Option<Amount> {
        let rate = self.rates.last_known(self.coin, now_ms)?;
        native_to_usdc(native, i64::from(self.chain.facts().coin.decimals), &rate, &self.at_cost).ok()
    }

    /// Its wallets, as operators see them.
    pub(crate) fn wallet_reports(&self) -> Vec<WalletReport> {
        let (facts, is_known) = (self.chain.facts(), self.pool.is_known());
        let coin = (facts.coin.name.as_str(), facts.coin.decimals);
        let report = |wallet: &Arc<PoolWallet>| WalletReport {
            balance_native: is_known.then(|| wallet.native().to_string()),
            funds: is_known.then(|| wallet.funds().as_str()),
            runway_settlements: self.pool.runway(wallet),
            lane_payments: Some(wallet.load().payments),
            ..WalletReport::silent(&facts.network, &wallet.address, wallet.retired, coin)
        };
        self.pool.all().iter().map(report).collect()
    }

    /// As discovery shows it.
    pub(crate) fn info(&self, now_ms: i64) -> NetworkInfo {
        NetworkInfo {
            network: self.terms.network.clone(),
            asset: self.terms.asset.clone(),
            pay_to: self.terms.pay_to.clone(),
            scheme: "exact".to_owned(),
            gas: self.current(now_ms).map(|tariff| tariff.gas),
            extra: self.kept_terms().extra.clone(),
        }
    }

    /// Whether a requirement names this network's asset and recipient, compared
    /// as the chain would (EVM hex ignores case, base58 does not).
    pub(crate) fn sells(&self, requirements: &PaymentRequirements) -> bool {
        let same = |a: &str, b: &str| match self.terms.network.family() {
            Family::Eip155(_) => a.eq_ignore_ascii_case(b),
            Family::Solana => a == b,
        };
        same(&requirements.asset, &self.terms.asset) && same(&requirements.pay_to, &self.terms.pay_to)
    }
}
