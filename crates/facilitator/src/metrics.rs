//! Prometheus metrics. Labels are bounded: networks of the configuration,
//! states and codes of fixed enums.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use quittance_ledger::{Exposed, ExposureLimits, ExposureSums, NoRoom, Usage};
use quittance_protocol::{Amount, ErrorCode, Network, SendOutcome};

use crate::chain::Chain;
use crate::closed::Closed;

/// Upper bounds of the verdict histogram in seconds.
const VERDICT_BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0, 60.0, 120.0, 600.0];

/// Upper bounds of the histogram of cost over charge; above one a payment lost.
const COST_SHARE_BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 2.0, 5.0];

/// All metrics of one facilitator.
pub struct Metrics {
    registry: Registry,
    payments: IntCounterVec,
    open: IntGaugeVec,
    aliases: IntCounterVec,
    refusals: IntCounterVec,
    sends: IntCounterVec,
    verdict_seconds: HistogramVec,
    charged: IntCounterVec,
    spent: IntCounterVec,
    cost_share: HistogramVec,
    usage: IntCounterVec,
    usage_answers: IntCounterVec,
    wallet: GaugeVec,
    tariff: IntGaugeVec,
    deliveries: IntCounterVec,
    alerts: IntCounterVec,
    closed: IntGaugeVec,
    wrong_endpoints: IntGaugeVec,
    day_costs: IntGaugeVec,
    exposure: IntGaugeVec,
    exposure_native: GaugeVec,
    no_room: IntCounterVec,
    answer_bytes: IntGaugeVec,
    rate: GaugeVec,
    rate_sources: IntGaugeVec,
    rate_reads: IntCounterVec,
    clock_skew: Gauge,
}

impl Metrics {
    /// Registers everything once.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let int_gauge = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let payments =
            counter("quittance_payments_total", "Payments that reached a state", &["network", "state"])?;
        let open = int_gauge("quittance_payments_open", "Payments without a verdict", &["network"])?;
        let aliases = counter(
            "quittance_aliases_total",
            "Fresh authorizations that were answered from an earlier payment and never signed",
            &["network"],
        )?;
        let refusals = counter(
            "quittance_refusals_total",
            "Payments refused before anything was written, by code",
            &["network", "code"],
        )?;
        let sends = counter("quittance_sends_total", "Broadcasts by outcome", &["network", "outcome"])?;
        let charged = counter(
            "quittance_charged_usdc_atomic_total",
            "Settlement surcharge earned with settled payments, atomic USDC",
            &["network"],
        )?;
        let spent = counter(
            "quittance_spent_usdc_atomic_total",
            "Real settlement cost from receipts, atomic USDC, by whether a payment earned it back",
            &["network", "earned"],
        )?;
        let usage = counter(
            "quittance_usage_usdc_atomic_total",
            "Prepaid work whose host reported what it used, atomic USDC: reserved, metered, charged",
            &["kind"],
        )?;
        let usage_answers = counter(
            "quittance_usage_answers_total",
            "Answers with a reported usage, by whether it lay within the reserve",
            &["outcome"],
        )?;
        let cost_share = HistogramVec::new(
            HistogramOpts::new("quittance_cost_share", "Real cost of landing a payment over its surcharge")
                .buckets(COST_SHARE_BUCKETS.to_vec()),
            &["network"],
        )?;
        registry.register(Box::new(cost_share.clone()))?;
        let tariff =
            int_gauge("quittance_tariff_usdc_atomic", "Surcharge offered now, atomic USDC", &["network"])?;
        let deliveries = counter("quittance_deliveries_total", "Handler runs by outcome", &["outcome"])?;
        let alerts =
            counter("quittance_alerts_total", "Things an operator must look at", &["network", "kind"])?;
        let closed = int_gauge(
            "quittance_network_closed",
            "1 while a network is not offered, by reason",
            &["network", "reason"],
        )?;
        let wrong_endpoints = int_gauge(
            "quittance_endpoints_of_another_chain",
            "RPC endpoints that serve another chain than configured and are left out",
            &["network"],
        )?;
        let answer_bytes = int_gauge(
            "quittance_answer_bytes",
            "Bytes of answers in the answer store: in use, and the most they may take",
            &["kind"],
        )?;
        let day_costs = int_gauge(
            "quittance_day_cost_usdc_atomic",
            "Real settlement cost of the last 24 hours, atomic USDC, as the ceilings see it",
            &["network", "kind"],
        )?;
        let exposure = int_gauge(
            "quittance_exposure_usdc_atomic",
            "What attempts in flight may cost and what is burnt, with the ceilings, atomic USDC",
            &["network", "kind"],
        )?;
        let exposure_native = GaugeVec::new(
            Opts::new(
                "quittance_exposure_native",
                "What attempts in flight may cost and what is burnt, with the ceilings, whole native coins",
            ),
            &["network", "kind"],
        )?;
        registry.register(Box::new(exposure_native.clone()))?;
        let no_room = counter(
            "quittance_no_room_total",
            "Payments that were sent away unclaimed because a ceiling left no room, by which",
            &["network", "reason"],
        )?;
        let rate_sources =
            int_gauge("quittance_rate_sources_fresh", "Sources with a fresh exchange rate", &["pair"])?;
        let rate_reads =
            counter("quittance_rate_reads_total", "Readings of a rate source", &["source", "outcome"])?;
        let rate = GaugeVec::new(
            Opts::new("quittance_rate_usd", "US dollars for one coin; 0 while there is no fresh rate"),
            &["pair"],
        )?;
        registry.register(Box::new(rate.clone()))?;
        let clock_skew = Gauge::new(
            "quittance_clock_skew_seconds",
            "This host's clock ahead of the ledger database's, at the last heartbeat",
        )?;
        registry.register(Box::new(clock_skew.clone()))?;
        let wallet = GaugeVec::new(
            Opts::new("quittance_wallet_balance", "Oracle wallet balance in whole native coins"),
            &["network", "wallet"],
        )?;
        registry.register(Box::new(wallet.clone()))?;
        let verdict_seconds = HistogramVec::new(
            HistogramOpts::new("quittance_verdict_seconds", "From claim to verdict")
                .buckets(VERDICT_BUCKETS.to_vec()),
            &["network", "state"],
        )?;
        registry.register(Box::new(verdict_seconds.clone()))?;
        Ok(Self {
            registry,
            payments,
            open,
            aliases,
            refusals,
            sends,
            verdict_seconds,
            charged,
            spent,
            cost_share,
            usage,
            usage_answers,
            wallet,
            tariff,
            deliveries,
            alerts,
            closed,
            wrong_endpoints,
            day_costs,
            exposure,
            exposure_native,
            no_room,
            answer_bytes,
            rate,
            rate_sources,
            rate_reads,
            clock_skew,
        })
    }

    /// For `/metrics`.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Makes every series of a network exist from the start, so that a
    /// dashboard shows zero and not nothing.
    pub(crate) fn introduce(&self, network: &Network) {
        let network = network.as_str();
        for state in ["claimed", "settled", "refused", "expired"] {
            self.payments.with_label_values(&[network, state]);
        }
        self.aliases.with_label_values(&[network]);
        for earned in ["true", "false"] {
            self.spent.with_label_values(&[network, earned]);
        }
        for outcome in ["accepted", "refused", "unknown"] {
            self.sends.with_label_values(&[network, outcome]);
        }
        for kind in [
            "send_refused",
            "waiting",
            "contradiction",
            "reorganised",
            "reorged_loss",
            "uncollected_ceiling",
            "spent_ceiling",
            "wallet_empty",
            "token_paused",
            "pay_to_blacklisted",
            "pay_to_frozen",
            "pay_to_closed",
            "wrong_chain",
            "no_history",
        ] {
            self.alerts.with_label_values(&[network, kind]);
        }
        for outcome in ["delivered", "not_kept", "credited", "replayed", "unreachable"] {
            self.deliveries.with_label_values(&[outcome]);
        }
        for kind in ["reserved", "metered", "charged"] {
            self.usage.with_label_values(&[kind]);
        }
        for outcome in ["within", "over"] {
            self.usage_answers.with_label_values(&[outcome]);
        }
        for why in NoRoom::ALL {
            self.no_room.with_label_values(&[network, no_room_word(why)]);
        }
        self.cost_share.with_label_values(&[network]);
        self.open.with_label_values(&[network]);
        self.charged.with_label_values(&[network]);
        self.verdict_seconds.with_label_values(&[network, "settled"]);
    }

    pub(crate) fn reached(&self, network: &Network, state: &str) {
        self.payments.with_label_values(&[network.as_str(), state]).inc();
    }

    pub(crate) fn open_add(&self, network: &Network, change: i64) {
        self.open.with_label_values(&[network.as_str()]).add(change);
    }

    pub(crate) fn verdict(&self, network: &Network, state: &str, took: Duration) {
        self.verdict_seconds.with_label_values(&[network.as_str(), state]).observe(took.as_secs_f64());
    }

    pub(crate) fn aliased(&self, network: &Network) {
        self.aliases.with_label_values(&[network.as_str()]).inc();
    }

    pub(crate) fn refused(&self, network: &str, code: ErrorCode) {
        self.refusals.with_label_values(&[network, code.as_str()]).inc();
    }

    pub(crate) fn sent(&self, network: &Network, outcome: &SendOutcome) {
        let outcome = match outcome {
            SendOutcome::Accepted => "accepted",
            SendOutcome::Refused { .. } => "refused",
            SendOutcome::Unknown { .. } => "unknown",
        };
        self.sends.with_label_values(&[network.as_str(), outcome]).inc();
    }

    pub(crate) fn charged(&self, network: &Network, gas: Amount) {
        self.charged.with_label_values(&[network.as_str()]).inc_by(gas.atomic());
    }

    pub(crate) fn spent(&self, network: &Network, cost: Amount, earned: bool) {
        let earned = if earned { "true" } else { "false" };
        self.spent.with_label_values(&[network.as_str(), earned]).inc_by(cost.atomic());
    }

    /// One settled payment: what landing it cost, beside what it was charged.
    /// A display value: the books hold both numbers exactly.
    #[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
    pub(crate) fn cost_share(&self, network: &Network, cost: Amount, charged: Amount) {
        if charged > Amount::ZERO {
            let share = cost.atomic() as f64 / charged.atomic() as f64;
            self.cost_share.with_label_values(&[network.as_str()]).observe(share);
        }
    }

    /// What prepaid work used of its reserve.
    pub(crate) fn usage(&self, usage: &Usage) {
        for (kind, amount) in
            [("reserved", usage.reserved), ("metered", usage.metered), ("charged", usage.charged)]
        {
            self.usage.with_label_values(&[kind]).inc_by(amount.atomic());
        }
        let outcome = if usage.metered > usage.reserved { "over" } else { "within" };
        self.usage_answers.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn tariff(&self, network: &Network, gas: Amount) {
        self.tariff
            .with_label_values(&[network.as_str()])
            .set(i64::try_from(gas.atomic()).unwrap_or(i64::MAX));
    }

    pub(crate) fn delivery(&self, outcome: &str) {
        self.deliveries.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn alert(&self, network: &Network, kind: &str) {
        self.alerts.with_label_values(&[network.as_str(), kind]).inc();
    }

    /// A display value.
    #[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
    pub(crate) fn clock_skew(&self, skew_ms: i64) {
        self.clock_skew.set(skew_ms as f64 / 1_000.0);
    }

    pub(crate) fn wrong_endpoints(&self, network: &Network, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.wrong_endpoints.with_label_values(&[network.as_str()]).set(count);
    }

    /// Sets one reason, or none, and clears the others.
    pub(crate) fn closed(&self, network: &Network, reason: Option<Closed>) {
        for each in Closed::ALL {
            let value = i64::from(reason == Some(each));
            self.closed.with_label_values(&[network.as_str(), each.as_str()]).set(value);
        }
    }

    /// What kept answers take, and may take.
    pub(crate) fn kept_bytes(&self, used: u64, most: u64) {
        for (kind, bytes) in [("used", used), ("most", most)] {
            self.answer_bytes.with_label_values(&[kind]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// What a network has at stake, beside its ceilings.
    pub(crate) fn exposure(&self, chain: &dyn Chain, sums: &ExposureSums, limits: &ExposureLimits) {
        let network = chain.network().as_str();
        let atomic = |amount: Amount| i64::try_from(amount.atomic()).unwrap_or(i64::MAX);
        for (kind, value) in [("total", sums.spent), ("uncollected", sums.burnt.usdc)] {
            self.day_costs.with_label_values(&[network, kind]).set(atomic(value));
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
            self.exposure.with_label_values(&[network, kind]).set(atomic(value.usdc));
            let coins = whole_coins(u128::from(value.native), chain.native_decimals());
            self.exposure_native.with_label_values(&[network, kind]).set(coins);
        }
    }

    /// A payment was sent away unclaimed.
    pub(crate) fn no_room(&self, network: &Network, why: NoRoom) {
        self.no_room.with_label_values(&[network.as_str(), no_room_word(why)]).inc();
    }

    pub(crate) fn rate_read(&self, source: &str, ok: bool) {
        for (outcome, count) in [("ok", ok), ("failed", !ok)] {
            self.rate_reads.with_label_values(&[source, outcome]).inc_by(u64::from(count));
        }
    }

    /// A display value: tariffs are made from the exact one.
    pub(crate) fn rate(&self, pair: &str, rate: Option<&str>, fresh: usize) {
        let shown = rate.and_then(|rate| rate.parse().ok()).unwrap_or(0.0);
        self.rate.with_label_values(&[pair]).set(shown);
        self.rate_sources.with_label_values(&[pair]).set(i64::try_from(fresh).unwrap_or(i64::MAX));
    }

    /// Of the wallet that pays for settlements.
    pub(crate) fn wallet_balance(&self, chain: &dyn Chain, native: u128) {
        let whole = whole_coins(native, chain.native_decimals());
        self.wallet.with_label_values(&[chain.network().as_str(), chain.wallet()]).set(whole);
    }
}

/// A display value: the books themselves never hold a float.
#[allow(clippy::float_arithmetic, clippy::cast_precision_loss)]
fn whole_coins(native: u128, decimals: u32) -> f64 {
    native as f64 / 10_f64.powi(i32::try_from(decimals).unwrap_or(18))
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
    }
}
