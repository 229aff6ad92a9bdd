//! Every metric, registered once: name, help, labels.

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

type Made<T> = Result<T, prometheus::Error>;

/// Upper bounds of the verdict histogram in seconds.
const VERDICT_BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0, 60.0, 120.0, 600.0];

/// Upper bounds of the histogram of cost over charge; above one a payment lost.
const COST_SHARE_BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 2.0, 5.0];

/// Registers what it makes.
struct Make<'r>(&'r Registry);

impl Make<'_> {
    fn kept<T: prometheus::core::Collector + Clone + 'static>(&self, metric: T) -> Made<T> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.kept(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn int_gauge(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.kept(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Made<GaugeVec> {
        self.kept(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn plain_gauge(&self, name: &str, help: &str) -> Made<Gauge> {
        self.kept(Gauge::new(name, help)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> Made<HistogramVec> {
        self.kept(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }
}

/// How payments, runs and answers go.
pub(super) struct Flow {
    pub(super) payments: IntCounterVec,
    pub(super) open: IntGaugeVec,
    pub(super) aliases: IntCounterVec,
    pub(super) refusals: IntCounterVec,
    pub(super) sends: IntCounterVec,
    pub(super) facilitator_answers: IntCounterVec,
    pub(super) verdict_seconds: HistogramVec,
    pub(super) deliveries: IntCounterVec,
    pub(super) answer_bytes: IntGaugeVec,
    pub(super) usage: IntCounterVec,
    pub(super) usage_answers: IntCounterVec,
}

impl Flow {
    pub(super) fn register(registry: &Registry) -> Made<Self> {
        let make = Make(registry);
        Ok(Self {
            payments: make.counter(
                "quittance_payments_total",
                "Payments that reached a state",
                &["network", "state"],
            )?,
            open: make.int_gauge("quittance_payments_open", "Payments without a verdict", &["network"])?,
            aliases: make.counter(
                "quittance_aliases_total",
                "Fresh authorizations that were answered from an earlier payment and never signed",
                &["network"],
            )?,
            refusals: make.counter(
                "quittance_refusals_total",
                "Payments refused before anything was written, by code",
                &["network", "code"],
            )?,
            sends: make.counter("quittance_sends_total", "Broadcasts by outcome", &["network", "outcome"])?,
            facilitator_answers: make.counter(
                "quittance_facilitator_answers_total",
                "Answers to /settle of the facilitator that settles for this gate",
                &["network", "answer"],
            )?,
            verdict_seconds: make.histogram(
                "quittance_verdict_seconds",
                "From claim to verdict",
                VERDICT_BUCKETS,
                &["network", "state"],
            )?,
            deliveries: make.counter(
                "quittance_deliveries_total",
                "Handler runs by outcome",
                &["outcome"],
            )?,
            answer_bytes: make.int_gauge(
                "quittance_answer_bytes",
                "Bytes of answers in the answer store: in use, and the most they may take",
                &["kind"],
            )?,
            usage: make.counter(
                "quittance_usage_usdc_atomic_total",
                "Prepaid work whose host reported what it used, atomic USDC: reserved, metered, charged",
                &["kind"],
            )?,
            usage_answers: make.counter(
                "quittance_usage_answers_total",
                "Answers with a reported usage, by whether it lay within the reserve",
                &["outcome"],
            )?,
        })
    }
}

/// What settling costs and earns.
pub(super) struct Money {
    pub(super) charged: IntCounterVec,
    pub(super) spent: IntCounterVec,
    pub(super) cost_share: HistogramVec,
    pub(super) tariff: IntGaugeVec,
    pub(super) day_costs: IntGaugeVec,
    pub(super) exposure: IntGaugeVec,
    pub(super) exposure_native: GaugeVec,
    pub(super) no_room: IntCounterVec,
    pub(super) wallet: GaugeVec,
    pub(super) wallet_low: IntGaugeVec,
    pub(super) lane_payments: IntGaugeVec,
    pub(super) replacements: IntCounterVec,
    pub(super) unwedged: GaugeVec,
}

impl Money {
    #[allow(clippy::too_many_lines, reason = "a list")]
    pub(super) fn register(registry: &Registry) -> Made<Self> {
        let make = Make(registry);
        Ok(Self {
            charged: make.counter(
                "quittance_charged_usdc_atomic_total",
                "Settlement surcharge earned with settled payments, atomic USDC",
                &["network"],
            )?,
            spent: make.counter(
                "quittance_spent_usdc_atomic_total",
                "Real settlement cost from receipts, atomic USDC, by whether a payment earned it back",
                &["network", "earned"],
            )?,
            cost_share: make.histogram(
                "quittance_cost_share",
                "Real cost of landing a payment over its surcharge",
                COST_SHARE_BUCKETS,
                &["network"],
            )?,
            tariff: make.int_gauge(
                "quittance_tariff_usdc_atomic",
                "Surcharge offered now, atomic USDC",
                &["network"],
            )?,
            day_costs: make.int_gauge(
                "quittance_day_cost_usdc_atomic",
                "Real settlement cost of the last 24 hours, atomic USDC, as the ceilings see it",
                &["network", "kind"],
            )?,
            exposure: make.int_gauge(
                "quittance_exposure_usdc_atomic",
                "What attempts in flight may cost and what is burnt, with the ceilings, atomic USDC",
                &["network", "kind"],
            )?,
            exposure_native: make.gauge(
                "quittance_exposure_native",
                "What attempts in flight may cost and what is burnt, with the ceilings, whole native coins",
                &["network", "kind"],
            )?,
            no_room: make.counter(
                "quittance_no_room_total",
                "Payments that were sent away unclaimed because a ceiling left no room, by which",
                &["network", "reason"],
            )?,
            wallet: make.gauge(
                "quittance_wallet_balance",
                "Balance of a wallet in whole coins",
                &["network", "wallet"],
            )?,
            wallet_low: make.int_gauge(
                "quittance_wallet_low",
                "1 while a wallet runs low and takes no new payment that another one can take",
                &["network", "wallet"],
            )?,
            lane_payments: make.int_gauge(
                "quittance_lane_payments",
                "Payments under way in a wallet's lane of this process",
                &["network", "wallet"],
            )?,
            replacements: make.counter(
                "quittance_replacements_total",
                "Transactions of ours that were replaced at their nonce, by what: the same at higher fees, or nothing",
                &["network", "by"],
            )?,
            unwedged: make.gauge(
                "quittance_unwedged_native",
                "What freeing nonces that did not move took of its budget within 24 hours, whole native coins",
                &["network"],
            )?,
        })
    }
}

/// What an operator must look at.
pub(super) struct Health {
    pub(super) alerts: IntCounterVec,
    pub(super) closed: IntGaugeVec,
    pub(super) wrong_endpoints: IntGaugeVec,
    pub(super) clock_skew: Gauge,
    pub(super) pruned: IntCounterVec,
    pub(super) pruning_ended: Gauge,
}

impl Health {
    pub(super) fn register(registry: &Registry) -> Made<Self> {
        let make = Make(registry);
        Ok(Self {
            alerts: make.counter(
                "quittance_alerts_total",
                "Things an operator must look at",
                &["network", "kind"],
            )?,
            closed: make.int_gauge(
                "quittance_network_closed",
                "1 while a network is not offered, by reason",
                &["network", "reason"],
            )?,
            wrong_endpoints: make.int_gauge(
                "quittance_endpoints_of_another_chain",
                "RPC endpoints that serve another chain than configured and are left out",
                &["network"],
            )?,
            clock_skew: make.plain_gauge(
                "quittance_clock_skew_seconds",
                "This host's clock ahead of the ledger database's, at the last heartbeat",
            )?,
            pruned: make.counter(
                "quittance_pruned_payments_total",
                "Payments that ended long ago and whose journal and attempts this process deleted",
                &[],
            )?,
            pruning_ended: make.plain_gauge(
                "quittance_pruning_ended_seconds",
                "When this process last came to the end of the payments that are old enough to be pruned, Unix time; 0: never",
            )?,
        })
    }
}

/// Exchange rates and their sources.
pub(super) struct Rates {
    pub(super) rate: GaugeVec,
    pub(super) rate_sources: IntGaugeVec,
    pub(super) rate_reads: IntCounterVec,
}

impl Rates {
    pub(super) fn register(registry: &Registry) -> Made<Self> {
        let make = Make(registry);
        Ok(Self {
            rate: make.gauge(
                "quittance_rate_usd",
                "US dollars for one coin; 0 while there is no fresh rate",
                &["pair"],
            )?,
            rate_sources: make.int_gauge(
                "quittance_rate_sources_fresh",
                "Sources with a fresh exchange rate",
                &["pair"],
            )?,
            rate_reads: make.counter(
                "quittance_rate_reads_total",
                "Readings of a rate source",
                &["source", "outcome"],
            )?,
        })
    }
}
