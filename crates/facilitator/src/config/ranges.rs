//! The range of every number in the configuration.
//!
//! A number out of range is a mistake that would otherwise show as money: a
//! time that overflows, a limit that limits nothing, a factor that sells under
//! cost. The sections are taken apart field by field, without `..`, so that a
//! new key does not compile until somebody has said what it may be.

mod network;

use super::{
    AnswersConfig, CallersConfig, Config, ConfigError, GateConfig, LedgerConfig, MerchantsConfig,
    QuoteConfig, RateSourceConfig, RatesConfig, ServerConfig,
};
use crate::config::units::{BASIS_POINTS_DIGITS, COIN_DIGITS, USDC_DIGITS, scaled};
use crate::prices::Coin;

/// Decimals that a fixed rate may have.
const RATE_DIGITS: usize = 8;

/// A day, for times that nothing should wait longer than.
pub(super) const DAY_SECONDS: u64 = 86_400;
/// As good as no limit, in whole USDC.
const MUCH_USDC: u64 = 1_000_000_000;
/// One GiB.
const BYTES_MAX: u64 = 1_073_741_824;

/// What a key holds, and how many decimals it is exact to.
enum Number<'a> {
    Whole(u64),
    Decimal(&'a str, usize),
}

/// One number of a configuration and what it may be, in units of its last decimal.
pub(super) struct Range<'a> {
    pub(super) key: String,
    number: Number<'a>,
    pub(super) low: u64,
    pub(super) high: u64,
}

impl<'a> Range<'a> {
    pub(super) fn whole(key: impl Into<String>, value: u64, low: u64, high: u64) -> Self {
        Self { key: key.into(), number: Number::Whole(value), low, high }
    }

    /// A length or count of this machine.
    pub(super) fn size(key: impl Into<String>, value: usize, low: u64, high: u64) -> Self {
        Self::whole(key, u64::try_from(value).unwrap_or(u64::MAX), low, high)
    }

    /// A factor or part, in basis points.
    fn factor(key: impl Into<String>, text: &'a str, low: u64, high: u64) -> Self {
        Self { key: key.into(), number: Number::Decimal(text, BASIS_POINTS_DIGITS), low, high }
    }

    /// USDC, in atomic units; `high` in whole ones.
    pub(super) fn usdc(key: impl Into<String>, text: &'a str, low: u64, high: u64) -> Self {
        let high = high.saturating_mul(1_000_000);
        Self { key: key.into(), number: Number::Decimal(text, USDC_DIGITS), low, high }
    }

    /// US dollars for one coin: a hundredth of a dollar to a million.
    fn rate(key: impl Into<String>, text: &'a str) -> Self {
        let unit = 10_u64.saturating_pow(RATE_DIGITS as u32);
        let number = Number::Decimal(text, RATE_DIGITS);
        Self { key: key.into(), number, low: unit / 100, high: unit.saturating_mul(1_000_000) }
    }

    /// The same of any coin: many cost less than a cent.
    fn rate_of(key: impl Into<String>, coin: Coin, text: &'a str) -> Self {
        let range = Self::rate(key, text);
        match coin {
            Coin::ETH | Coin::SOL => range,
            _ => Self { low: range.low / 100, ..range },
        }
    }

    /// Native coins, `high` in whole ones.
    fn coins(key: impl Into<String>, text: &'a str, high: u64) -> Self {
        let high = high.saturating_mul(1_000_000_000);
        Self { key: key.into(), number: Number::Decimal(text, COIN_DIGITS), low: 1, high }
    }

    /// The same where none at all switches something off.
    fn coins_or_none(key: impl Into<String>, text: &'a str, high: u64) -> Self {
        Self { low: 0, ..Self::coins(key, text, high) }
    }

    fn places(&self) -> usize {
        match self.number {
            Number::Whole(_) => 0,
            Number::Decimal(_, places) => places,
        }
    }

    /// A number of this range's units as it is written in the configuration.
    pub(super) fn text(&self, value: u64) -> String {
        let places = self.places();
        if places == 0 {
            return value.to_string();
        }
        let digits = format!("{value:0>width$}", width = places.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { format!("\"{whole}\"") } else { format!("\"{whole}.{fraction}\"") }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let value = match self.number {
            Number::Whole(value) => Some(value),
            Number::Decimal(text, places) => scaled(text, places),
        };
        let (low, high) = (self.text(self.low), self.text(self.high));
        if value.is_some_and(|value| (self.low..=self.high).contains(&value)) {
            return Ok(());
        }
        let places = match self.places() {
            0 => String::new(),
            places => format!(", with at most {places} decimals"),
        };
        Err(ConfigError::Invalid(format!("{} must be between {low} and {high}{places}", self.key)))
    }
}

impl Config {
    /// Every number there is.
    pub(super) fn ranges(&self) -> Vec<Range<'_>> {
        let Self {
            server,
            ledger,
            networks,
            rates,
            quote,
            gate,
            gateway,
            merchants,
            callers,
            answers,
            facilitator,
            receipts: _,
        } = self;
        let mut all = Vec::new();
        all.extend(of_server(server));
        all.extend(of_ledger(ledger));
        for (name, network) in networks {
            all.extend(network::of_network(name, network));
        }
        all.extend(of_rates(rates));
        for (index, source) in rates.sources.iter().enumerate() {
            all.extend(of_source(index, source));
        }
        all.extend(of_quote(quote));
        all.extend(of_gate(gate));
        all.extend(gateway.ranges());
        all.extend(of_merchants(merchants));
        all.extend(of_callers(callers));
        all.extend(of_answers(answers));
        all.extend(facilitator.iter().flat_map(|facilitator| facilitator.ranges()));
        all
    }
}

fn of_server(server: &ServerConfig) -> Vec<Range<'_>> {
    let ServerConfig {
        listen: _,
        admin_listen: _,
        admin_from: _,
        public_url: _,
        workers,
        shutdown_seconds,
        header_seconds_max,
        keep_alive_seconds,
        connections_max,
        connections_address_max,
        trusted_proxies: _,
        forwarded_header: _,
    } = server;
    vec![
        Range::whole("server.header_seconds_max", *header_seconds_max, 1, 600),
        Range::whole("server.keep_alive_seconds", *keep_alive_seconds, 1, 3_600),
        Range::size("server.connections_max", *connections_max, 16, 1_000_000),
        Range::size("server.connections_address_max", *connections_address_max, 1, 1_000_000),
        Range::size("server.workers", *workers, 1, 1_024),
        Range::whole("server.shutdown_seconds", *shutdown_seconds, 0, 3_600),
    ]
}

fn of_ledger(ledger: &LedgerConfig) -> Vec<Range<'_>> {
    let LedgerConfig {
        url: _,
        instance: _,
        lease_seconds,
        answers_kept_hours,
        keep_finished_days,
        prune_pause_seconds,
    } = ledger;
    vec![
        // A shorter lease is lost to one slow commit.
        Range::whole("ledger.lease_seconds", *lease_seconds, 3, DAY_SECONDS),
        Range::whole("ledger.answers_kept_hours", *answers_kept_hours, 1, 87_600),
        Range::whole("ledger.keep_finished_days", *keep_finished_days, 0, 3_650),
        Range::whole("ledger.prune_pause_seconds", *prune_pause_seconds, 1, DAY_SECONDS),
    ]
}

pub(super) fn of_rates(rates: &RatesConfig) -> Vec<Range<'_>> {
    let RatesConfig {
        eth_usd,
        sol_usd,
        fixed: others,
        fixed_rates_max_age_hours,
        sources: _,
        age_max_seconds,
        deviation_max,
        refresh_seconds,
        sources_min,
        timeout_ms,
    } = rates;
    let fixed = [("rates.eth_usd", eth_usd), ("rates.sol_usd", sol_usd)];
    let fixed = fixed.into_iter().filter_map(|(key, text)| Some((key, text.as_deref()?)));
    // A slipped point sells every settlement for nothing, or to nobody.
    let mut all: Vec<_> = fixed.map(|(key, text)| Range::rate(key, text)).collect();
    // What is no pair may be a secret that was pasted here: it is refused without a word of it.
    let others = others.iter().filter_map(|(pair, text)| Some((Coin::of_pair(pair)?, text)));
    all.extend(others.map(|(coin, text)| Range::rate_of(RatesConfig::fixed_key(coin), coin, text)));
    all.extend([
        Range::whole("rates.fixed_rates_max_age_hours", *fixed_rates_max_age_hours, 1, 720),
        Range::whole("rates.age_max_seconds", *age_max_seconds, 1, DAY_SECONDS),
        // Above half, sources that "agree" mean nothing.
        Range::factor("rates.deviation_max", deviation_max, 1, 5_000),
        Range::whole("rates.refresh_seconds", *refresh_seconds, 1, 3_600),
        Range::size("rates.sources_min", *sources_min, 1, 16),
        Range::whole("rates.timeout_ms", *timeout_ms, 100, 60_000),
    ]);
    all
}

fn of_source(index: usize, source: &RateSourceConfig) -> Vec<Range<'_>> {
    let RateSourceConfig {
        kind: _,
        pair,
        name: _,
        url: _,
        address: _,
        account: _,
        feed: _,
        pointer: _,
        time_pointer: _,
        value,
        age_max_seconds,
    } = source;
    let key = |key: &str| format!("rates.sources[{index}].{key}");
    let age = age_max_seconds.map(|age| Range::whole(key("age_max_seconds"), age, 1, 7 * DAY_SECONDS));
    let value = value.as_deref().map(|text| Range::rate_of(key("value"), pair.coin(), text));
    age.into_iter().chain(value).collect()
}

fn of_answers(answers: &AnswersConfig) -> Vec<Range<'_>> {
    let AnswersConfig {
        store: _,
        ledger_bytes_max,
        answer_bytes_max,
        total_bytes_max,
        memory_bytes_max,
        store_timeout_ms,
        reader_stall_seconds,
        reader_seconds_max,
        endpoint: _,
        region: _,
        access_key_id: _,
        secret_access_key: _,
        allow_http: _,
    } = answers;
    vec![
        // A row of the ledger, not a file in it.
        Range::whole("answers.ledger_bytes_max", *ledger_bytes_max, 0, 4 * 1_048_576),
        Range::whole("answers.answer_bytes_max", *answer_bytes_max, 1, 64 * BYTES_MAX),
        Range::whole("answers.total_bytes_max", *total_bytes_max, 0, 1_048_576 * BYTES_MAX),
        // One long answer at a time needs two segments of a MiB.
        Range::whole("answers.memory_bytes_max", *memory_bytes_max, 2 * 1_048_576, 64 * BYTES_MAX),
        Range::whole("answers.store_timeout_ms", *store_timeout_ms, 100, 600_000),
        Range::whole("answers.reader_stall_seconds", *reader_stall_seconds, 1, 3_600),
        Range::whole("answers.reader_seconds_max", *reader_seconds_max, 1, DAY_SECONDS),
    ]
}

fn of_quote(quote: &QuoteConfig) -> Vec<Range<'_>> {
    let QuoteConfig {
        markup,
        base_fee_headroom,
        grace_seconds,
        refresh_seconds,
        fall_per_minute,
        gas_floor_usdc,
        gas_ceiling_usdc,
        cost_budget_usdc,
        uncollected_payer_day_usdc,
        unearned_in_flight_payer_max,
        uncollected_network_day_usdc,
        probe_network_day_usdc,
        payer_history_part,
        in_flight_payer_usdc,
        in_flight_network_usdc,
        spent_network_day_usdc,
    } = quote;
    vec![
        // Below one every settlement makes a loss.
        Range::factor("quote.markup", markup, 10_000, 1_000_000),
        // Below one the next block's fee is above what was charged.
        Range::factor("quote.base_fee_headroom", base_fee_headroom, 10_000, 100_000),
        Range::whole("quote.grace_seconds", *grace_seconds, 0, 3_600),
        Range::whole("quote.refresh_seconds", *refresh_seconds, 1, 3_600),
        Range::factor("quote.fall_per_minute", fall_per_minute, 0, 10_000),
        Range::usdc("quote.gas_floor_usdc", gas_floor_usdc, 0, 1_000),
        Range::usdc("quote.gas_ceiling_usdc", gas_ceiling_usdc, 1, 1_000),
        Range::usdc("quote.cost_budget_usdc", cost_budget_usdc, 0, 1_000),
        Range::usdc("quote.uncollected_payer_day_usdc", uncollected_payer_day_usdc, 1, MUCH_USDC),
        Range::usdc("quote.uncollected_network_day_usdc", uncollected_network_day_usdc, 1, MUCH_USDC),
        Range::usdc("quote.probe_network_day_usdc", probe_network_day_usdc, 0, MUCH_USDC),
        Range::whole(
            "quote.unearned_in_flight_payer_max",
            u64::from(*unearned_in_flight_payer_max),
            1,
            100_000,
        ),
        // Above what a markup leaves, burning on purpose would pay.
        Range::factor("quote.payer_history_part", payer_history_part, 0, 5_000),
        Range::usdc("quote.in_flight_payer_usdc", in_flight_payer_usdc, 1, MUCH_USDC),
        Range::usdc("quote.in_flight_network_usdc", in_flight_network_usdc, 1, MUCH_USDC),
        Range::usdc("quote.spent_network_day_usdc", spent_network_day_usdc, 1, MUCH_USDC),
    ]
}

fn of_gate(gate: &GateConfig) -> Vec<Range<'_>> {
    let GateConfig {
        catalogue: _,
        body_bytes_max,
        answer_body_bytes_max,
        pending_wait_seconds,
        replay_seconds,
        runs_max,
        runs_interrupted_max,
        concurrency_max,
        copies_max,
        body_seconds_max,
        unpaid_bytes_max,
        paid_bytes_max,
    } = gate;
    vec![
        Range::size("gate.body_bytes_max", *body_bytes_max, 1, BYTES_MAX),
        Range::size("gate.answer_body_bytes_max", *answer_body_bytes_max, 1, BYTES_MAX),
        Range::whole("gate.pending_wait_seconds", *pending_wait_seconds, 1, 600),
        Range::whole("gate.replay_seconds", *replay_seconds, 0, DAY_SECONDS),
        Range::whole("gate.runs_max", u64::from(*runs_max), 1, 100),
        // At 1 a restart during a run costs its payer the payment.
        Range::whole("gate.runs_interrupted_max", u64::from(*runs_interrupted_max), 1, 1_000),
        Range::size("gate.concurrency_max", *concurrency_max, 1, 1_000_000),
        Range::size("gate.copies_max", *copies_max, 1, 1_000_000),
        Range::whole("gate.body_seconds_max", *body_seconds_max, 1, 3_600),
        // Below this a body of usual length could be turned away from an idle gate.
        Range::size("gate.unpaid_bytes_max", *unpaid_bytes_max, 1_048_576, 64 * BYTES_MAX),
        Range::size("gate.paid_bytes_max", *paid_bytes_max, 1_048_576, 64 * BYTES_MAX),
    ]
}

fn of_merchants(merchants: &MerchantsConfig) -> Vec<Range<'_>> {
    let MerchantsConfig {
        retell_max,
        verify_lease_seconds,
        verify_leases_payer_max,
        concurrency_max,
        copies_max,
        body_seconds_max,
        anonymous: _,
        refresh_seconds,
        age_seconds_max,
        wrong_keys_per_minute,
        labels_max,
    } = merchants;
    vec![
        Range::size("merchants.concurrency_max", *concurrency_max, 1, 1_000_000),
        Range::size("merchants.copies_max", *copies_max, 1, 1_000_000),
        Range::whole("merchants.body_seconds_max", *body_seconds_max, 1, 600),
        Range::whole("merchants.refresh_seconds", *refresh_seconds, 1, 60),
        Range::whole("merchants.age_seconds_max", *age_seconds_max, 5, 600),
        Range::whole("merchants.wrong_keys_per_minute", u64::from(*wrong_keys_per_minute), 1, 100_000),
        Range::size("merchants.labels_max", *labels_max, 0, 1_000),
        // Each is one more handler run that a lost connection can cost.
        Range::whole("merchants.retell_max", u64::from(*retell_max), 0, 10),
        Range::whole("merchants.verify_lease_seconds", *verify_lease_seconds, 1, 3_600),
        Range::whole("merchants.verify_leases_payer_max", u64::from(*verify_leases_payer_max), 1, 65_536),
    ]
}

fn of_callers(callers: &CallersConfig) -> Vec<Range<'_>> {
    let CallersConfig {
        checks_in_flight_max,
        waiting_max,
        failed_checks_address_burst,
        failed_checks_address_minute,
        failed_checks_payer_burst,
        failed_checks_payer_minute,
    } = callers;
    let count = |key, value: &u32| Range::whole(format!("callers.{key}"), u64::from(*value), 1, 1_000_000);
    vec![
        Range::size("callers.checks_in_flight_max", *checks_in_flight_max, 1, 100_000),
        Range::size("callers.waiting_max", *waiting_max, 1, 1_000_000),
        count("failed_checks_address_burst", failed_checks_address_burst),
        count("failed_checks_address_minute", failed_checks_address_minute),
        count("failed_checks_payer_burst", failed_checks_payer_burst),
        count("failed_checks_payer_minute", failed_checks_payer_minute),
    ]
}
