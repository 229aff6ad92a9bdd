//! Prometheus metrics. Labels are bounded: networks of the configuration,
//! states and codes of fixed enums.
//!
//! Owns the registry and what is told of trouble, once per episode.
//! May touch: `chain`.
//! Nothing gets stuck here.

pub(crate) mod batches;
mod endpoints;
pub(crate) mod merchants;
mod register;
pub(crate) mod trouble;
mod work;

use std::time::Duration;

use prometheus::Registry;
use quittance_ledger::{Exposed, ExposureLimits, ExposureSums, MerchantTotals, NoRoom, Usage};
use quittance_protocol::{Amount, ErrorCode, Network, SendOutcome};

use crate::chain::{Facts, Successor};
use batches::BatchMetrics;
pub(crate) use endpoints::EndpointMetrics;
use merchants::MerchantMetrics;
use register::{Flow, Health, Money, Rates};
pub(crate) use work::{LedgerLatency, UpkeepMetrics};

/// All metrics of one facilitator.
pub struct Metrics {
    registry: Registry,
    flow: Flow,
    money: Money,
    rates: Rates,
    health: Health,
    endpoints: EndpointMetrics,
    upkeep: UpkeepMetrics,
    ledger: LedgerLatency,
    merchants: MerchantMetrics,
    batches: BatchMetrics,
}

impl Metrics {
    /// Registers everything once.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        trouble::register(&registry)?;
        Ok(Self {
            flow: Flow::register(&registry)?,
            money: Money::register(&registry)?,
            rates: Rates::register(&registry)?,
            health: Health::register(&registry)?,
            endpoints: EndpointMetrics::new(&registry)?,
            upkeep: UpkeepMetrics::new(&registry)?,
            ledger: LedgerLatency::new(&registry)?,
            merchants: MerchantMetrics::new(&registry)?,
            batches: BatchMetrics::new(&registry)?,
            registry,
        })
    }

    /// How each endpoint does.
    pub(crate) fn endpoints(&self) -> &EndpointMetrics {
        &self.endpoints
    }

    /// How background work goes.
    pub(crate) fn upkeep(&self) -> &UpkeepMetrics {
        &self.upkeep
    }

    /// What merchants sold today; those that are named have labels of their own.
    pub(crate) fn merchants(&self, named: &[String], today: &[MerchantTotals]) {
        self.merchants.set(named, today);
    }

    /// A call whose merchant is not known.
    pub(crate) fn not_known(&self, why: &str) {
        self.merchants.not_known(why);
    }

    /// How payments share transactions.
    pub(crate) fn batches(&self) -> &BatchMetrics {
        &self.batches
    }

    /// What measures a ledger, around each of its operations.
    pub(crate) fn ledger(&self) -> LedgerLatency {
        self.ledger.clone()
    }

    /// For `/metrics`.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Makes every series of a network exist from the start, so that a
    /// dashboard shows zero and not nothing.
    pub(crate) fn introduce(&self, network: &Network) {
        let network = network.as_str();
        self.batches.introduce(network);
        for state in ["claimed", "settled", "refused", "expired"] {
            self.flow.payments.with_label_values(&[network, state]);
        }
        self.flow.aliases.with_label_values(&[network]);
        for earned in ["true", "false"] {
            self.money.spent.with_label_values(&[network, earned]);
        }
        for outcome in ["accepted", "refused", "unknown"] {
            self.flow.sends.with_label_values(&[network, outcome]);
        }
        for by in [Successor::Same, Successor::Nothing] {
            self.money.replacements.with_label_values(&[network, successor_word(by)]);
        }
        self.money.unwedged.with_label_values(&[network]);
        for kind in [
            "send_refused",
            "waiting",
            "contradiction",
            "unreadable_payment",
            "lane_broke",
            "unwedge_spent",
            "reorganised",
            "reorged_loss",
            "uncollected_ceiling",
            "spent_ceiling",
            "wallet_empty",
            "wallet_low",
            "token_paused",
            "pay_to_blacklisted",
            "pay_to_frozen",
            "pay_to_closed",
            "facilitator_refuses",
            "accounts_spent",
            "wrong_chain",
            "no_history",
        ] {
            self.health.alerts.with_label_values(&[network, kind]);
        }
        for outcome in ["delivered", "not_kept", "credited", "replayed", "unreachable"] {
            self.flow.deliveries.with_label_values(&[outcome]);
        }
        for kind in ["reserved", "metered", "charged"] {
            self.flow.usage.with_label_values(&[kind]);
        }
        for outcome in ["within", "over"] {
            self.flow.usage_answers.with_label_values(&[outcome]);
        }
        for why in NoRoom::ALL {
            self.money.no_room.with_label_values(&[network, no_room_word(why)]);
        }
        self.money.cost_share.with_label_values(&[network]);
        self.flow.open.with_label_values(&[network]);
        self.money.charged.with_label_values(&[network]);
        self.flow.verdict_seconds.with_label_values(&[network, "settled"]);
    }

    pub(crate) fn reached(&self, network: &Network, state: &str) {
        self.flow.payments.with_label_values(&[network.as_str(), state]).inc();
    }

    pub(crate) fn open_add(&self, network: &Network, change: i64) {
        self.flow.open.with_label_values(&[network.as_str()]).add(change);
    }

    pub(crate) fn verdict(&self, network: &Network, state: &str, took: Duration) {
        self.flow.verdict_seconds.with_label_values(&[network.as_str(), state]).observe(took.as_secs_f64());
    }

    pub(crate) fn aliased(&self, network: &Network) {
        self.flow.aliases.with_label_values(&[network.as_str()]).inc();
    }

    pub(crate) fn refused(&self, network: &str, code: ErrorCode) {
        self.flow.refusals.with_label_values(&[network, code.as_str()]).inc();
    }

    /// What the facilitator that settles for this gate answered.
    pub(crate) fn facilitator_answer(&self, network: &Network, answer: &str) {
        self.flow.facilitator_answers.with_label_values(&[network.as_str(), answer]).inc();
    }

    /// Makes its series exist before it answers; of gates alone that have one.
    pub(crate) fn introduce_facilitator(&self, network: &Network, answers: &[&str]) {
        for answer in answers {
            self.flow.facilitator_answers.with_label_values(&[network.as_str(), answer]);
        }
    }

    pub(crate) fn sent(&self, network: &Network, outcome: &SendOutcome) {
        let outcome = match outcome {
            SendOutcome::Accepted => "accepted",
            SendOutcome::Refused { .. } => "refused",
            SendOutcome::Unknown { .. } => "unknown",
        };
        self.flow.sends.with_label_values(&[network.as_str(), outcome]).inc();
    }

    pub(crate) fn charged(&self, network: &Network, gas: Amount) {
        self.money.charged.with_label_values(&[network.as_str()]).inc_by(gas.atomic());
    }

    pub(crate) fn spent(&self, network: &Network, cost: Amount, earned: bool) {
        let earned = if earned { "true" } else { "false" };
        self.money.spent.with_label_values(&[network.as_str(), earned]).inc_by(cost.atomic());
    }

    /// One settled payment: what landing it cost, beside what it was charged.
    /// A display value: the ledger holds both numbers exactly.
    #[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
    pub(crate) fn cost_share(&self, network: &Network, cost: Amount, charged: Amount) {
        if charged > Amount::ZERO {
            let share = cost.atomic() as f64 / charged.atomic() as f64;
            self.money.cost_share.with_label_values(&[network.as_str()]).observe(share);
        }
    }

    /// What prepaid work used of its reserve.
    pub(crate) fn usage(&self, usage: &Usage) {
        for (kind, amount) in
            [("reserved", usage.reserved), ("metered", usage.metered), ("charged", usage.charged)]
        {
            self.flow.usage.with_label_values(&[kind]).inc_by(amount.atomic());
        }
        let outcome = if usage.metered > usage.reserved { "over" } else { "within" };
        self.flow.usage_answers.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn tariff(&self, network: &Network, gas: Amount) {
        self.money
            .tariff
            .with_label_values(&[network.as_str()])
            .set(i64::try_from(gas.atomic()).unwrap_or(i64::MAX));
    }

    pub(crate) fn delivery(&self, outcome: &str) {
        self.flow.deliveries.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn alert(&self, network: &Network, kind: &str) {
        self.health.alerts.with_label_values(&[network.as_str(), kind]).inc();
    }

    /// A display value.
    #[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
    pub(crate) fn clock_skew(&self, skew_ms: i64) {
        self.health.clock_skew.set(skew_ms as f64 / 1_000.0);
    }

    pub(crate) fn pruned(&self, payments: u64) {
        self.health.pruned.with_label_values::<&str>(&[]).inc_by(payments);
    }

    /// A display value.
    #[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
    pub(crate) fn pruning_ended(&self, now: u64) {
        self.health.pruning_ended.set(now as f64);
    }

    pub(crate) fn wrong_endpoints(&self, network: &Network, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.health.wrong_endpoints.with_label_values(&[network.as_str()]).set(count);
    }

    /// Sets the reasons that hold, and clears the others.
    pub(crate) fn closed(&self, network: &Network, reasons: impl IntoIterator<Item = (&'static str, bool)>) {
        for (reason, holds) in reasons {
            self.health.closed.with_label_values(&[network.as_str(), reason]).set(i64::from(holds));
        }
    }

    /// What kept answers take, and may take.
    pub(crate) fn kept_bytes(&self, used: u64, most: u64) {
        for (kind, bytes) in [("used", used), ("most", most)] {
            self.flow.answer_bytes.with_label_values(&[kind]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// What a network has at stake, beside its ceilings.
    pub(crate) fn exposure(&self, chain: &Facts, sums: &ExposureSums, limits: &ExposureLimits) {
        let network = chain.network.as_str();
        let atomic = |amount: Amount| i64::try_from(amount.atomic()).unwrap_or(i64::MAX);
        for (kind, value) in [("total", sums.spent), ("uncollected", sums.burnt.usdc)] {
            self.money.day_costs.with_label_values(&[network, kind]).set(atomic(value));
        }
        let hard = Exposed {
            usdc: Amount::new(limits.soft_day.usdc.atomic().saturating_add(limits.probes_day.usdc.atomic())),
            native: limits.soft_day.native.saturating_add(limits.probes_day.native),
        };
        for (kind, value) in [
            ("reserved", sums.reserved),
            ("reserved_strangers", sums.reserved_strangers),
            ("burnt", sums.burnt),
            ("in_flight_limit", limits.network_in_flight),
            ("soft_limit", limits.soft_day),
            ("hard_limit", hard),
        ] {
            self.money.exposure.with_label_values(&[network, kind]).set(atomic(value.usdc));
            let coins = whole_coins(u128::from(value.native), chain.coin.decimals);
            self.money.exposure_native.with_label_values(&[network, kind]).set(coins);
        }
    }

    /// A transaction of ours was replaced at its nonce.
    pub(crate) fn replaced(&self, network: &Network, by: Successor) {
        self.money.replacements.with_label_values(&[network.as_str(), successor_word(by)]).inc();
    }

    /// What freeing nonces took of its budget within a day.
    pub(crate) fn unwedged(&self, network: &Network, decimals: u32, native: u64) {
        let coins = whole_coins(u128::from(native), decimals);
        self.money.unwedged.with_label_values(&[network.as_str()]).set(coins);
    }

    /// A payment was sent away unclaimed.
    pub(crate) fn no_room(&self, network: &Network, why: NoRoom) {
        self.money.no_room.with_label_values(&[network.as_str(), no_room_word(why)]).inc();
    }

    pub(crate) fn rate_read(&self, source: &str, ok: bool) {
        for (outcome, count) in [("ok", ok), ("failed", !ok)] {
            self.rates.rate_reads.with_label_values(&[source, outcome]).inc_by(u64::from(count));
        }
    }

    /// A display value: tariffs are made from the exact one.
    pub(crate) fn rate(&self, pair: &str, rate: Option<&str>, fresh: usize) {
        let shown = rate.and_then(|rate| rate.parse().ok()).unwrap_or(0.0);
        self.rates.rate.with_label_values(&[pair]).set(shown);
        self.rates.rate_sources.with_label_values(&[pair]).set(i64::try_from(fresh).unwrap_or(i64::MAX));
    }

    /// Of a wallet that pays for settlements.
    pub(crate) fn wallet(&self, chain: &Facts, wallet: &str, native: u128, is_low: bool) {
        let whole = whole_coins(native, chain.coin.decimals);
        let labels = [chain.network.as_str(), wallet];
        self.money.wallet.with_label_values(&labels).set(whole);
        self.money.wallet_low.with_label_values(&labels).set(i64::from(is_low));
    }

    /// Payments in a wallet's lane.
    pub(crate) fn lane_payments(&self, network: &Network, wallet: &str, payments: usize) {
        let payments = i64::try_from(payments).unwrap_or(i64::MAX);
        self.money.lane_payments.with_label_values(&[network.as_str(), wallet]).set(payments);
    }
}

/// A display value: the ledger itself never holds a float.
#[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
fn whole_coins(native: u128, decimals: u32) -> f64 {
    native as f64 / 10_f64.powi(i32::try_from(decimals).unwrap_or(18))
}

const fn successor_word(by: Successor) -> &'static str {
    match by {
        Successor::Same => "same",
        Successor::Nothing => "nothing",
    }
}

pub(crate) const fn no_room_word(why: NoRoom) -> &'static str {
    match why {
        NoRoom::Balance => "balance",
        NoRoom::PayerInFlight => "payer_in_flight",
        NoRoom::NetworkInFlight => "network_in_flight",
        NoRoom::CodeInFlight => "contract_payers_in_flight",
        NoRoom::PayerBurnt => "payer_burnt",
        NoRoom::Strangers => "strangers",
        NoRoom::Exhausted => "exhausted",
        NoRoom::Spent => "spent",
        NoRoom::MerchantClosed => "merchant_closed",
        NoRoom::MerchantInFlight => "merchant_in_flight",
        NoRoom::MerchantAmount => "merchant_amount",
        NoRoom::MerchantCost => "merchant_cost",
        NoRoom::AccountsSpent => "accounts_spent",
        NoRoom::PayerAccounts => "payer_accounts",
    }
}
