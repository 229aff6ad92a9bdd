//! Configuration: TOML, overlaid by `QUITTANCE__SECTION__KEY` variables.
//!
//! Parsed once; unknown keys are errors; secrets stand here only by reference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use quittance_protocol::{Amount, Family, Network, Secret};
use serde::Deserialize;

use crate::rates::Coin;
use crate::units::{basis_points, usdc};

pub use crate::rates::settings::{RateKind, RatePair, RateSourceConfig, RatesConfig};

/// What the environment's names start with.
const ENV_PREFIX: &str = "QUITTANCE__";

/// Keys (beside all `…_usdc`) whose text looks like a number.
const TEXT_KEYS: &[&str] = &[
    "eth_usd",
    "sol_usd",
    "markup",
    "base_fee_headroom",
    "fall_per_minute",
    "deviation_max",
    "asset_version",
];

/// Everything `quittance serve` and an embedding host read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    #[serde(default)]
    pub server: ServerConfig,
    /// The durable record.
    pub ledger: LedgerConfig,
    /// Networks by a name of the operator's choice.
    pub networks: BTreeMap<String, NetworkConfig>,
    /// Exchange rates.
    #[serde(default)]
    pub rates: RatesConfig,
    /// Surcharges.
    #[serde(default)]
    pub quote: QuoteConfig,
    /// The payment gate.
    #[serde(default)]
    pub gate: GateConfig,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port. Loopback unless the operator says otherwise.
    pub listen: String,
    /// How the outside world reaches us; stands in `resource.url`.
    pub public_url: Option<String>,
    /// Worker threads of the HTTP server.
    pub workers: usize,
    /// How long requests in flight may take after a stop signal.
    pub shutdown_seconds: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:4402".to_owned(), public_url: None, workers: 2, shutdown_seconds: 30 }
    }
}

/// `[ledger]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// `sqlite://path` or `postgres://…`; `env:NAME` and `file:PATH` refer to a
    /// secret that holds the URL.
    pub url: String,
    /// This process's name among several on one database.
    /// Default: the host's name and `server.listen`, so that a process that
    /// comes back is the same one, and a second one on the host is another.
    pub instance: Option<String>,
    /// How long a silent process keeps its payments.
    #[serde(default = "default_lease_seconds")]
    pub lease_seconds: u64,
    /// How long the bodies of stored answers are kept for replay. Payments, keys
    /// and the journal are kept for good.
    #[serde(default = "default_answers_kept_hours")]
    pub answers_kept_hours: u64,
}

fn default_answers_kept_hours() -> u64 {
    720
}

fn default_lease_seconds() -> u64 {
    15
}

/// `[networks.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// CAIP-2 identifier.
    pub network: Network,
    /// JSON-RPC endpoints, the first is preferred.
    pub rpc_urls: Vec<String>,
    /// Token contract or mint.
    pub asset: String,
    /// Recipient (the owner, on Solana).
    pub pay_to: String,
    /// Secret references (`env:NAME`, `file:PATH`) of the oracle wallets.
    pub wallets: Vec<String>,
    /// Shown in offers.
    #[serde(default = "default_symbol")]
    pub asset_symbol: String,
    /// EIP-712 domain name of the token.
    #[serde(default = "default_token_name")]
    pub asset_name: String,
    /// EIP-712 domain version of the token.
    #[serde(default = "default_token_version")]
    pub asset_version: String,
    /// How long an offer may be paid.
    #[serde(default = "default_max_timeout_seconds")]
    pub max_timeout_seconds: u64,
    /// One RPC call's limit.
    #[serde(default = "default_rpc_timeout_ms")]
    pub rpc_timeout_ms: u64,
    /// Pause between two looks of the shared poller.
    #[serde(default = "default_poll_interval_ms")]
    pub poll_interval_ms: u64,
    /// From this amount on (USDC) a landing needs the word of a second endpoint,
    /// where `rpc_urls` has one (I7): a lone node that lies can sell no more.
    #[serde(default = "default_second_opinion_usdc", deserialize_with = "decimal_text")]
    pub second_opinion_usdc: String,
    /// Base: blocks on top of the one that holds the payment.
    #[serde(default)]
    pub confirmations: u64,
    /// Base: gas limit of a settlement, also the cost bound.
    #[serde(default = "default_gas_limit")]
    pub settle_gas_limit: u64,
    /// Base: gas a settlement is expected to use, what the tariff charges for.
    #[serde(default = "default_gas_expected")]
    pub settle_gas_expected: u64,
    /// Base: cap on the fee per gas of anything we sign (I8).
    #[serde(default = "default_max_fee_per_gas_wei")]
    pub max_fee_per_gas_wei: u64,
    /// Base: tip per gas.
    #[serde(default = "default_priority_fee_wei")]
    pub priority_fee_wei: u64,
    /// Base: how far ahead `validBefore` may lie.
    #[serde(default = "default_authorization_seconds_max")]
    pub authorization_seconds_max: u64,
    /// Base: whether signatures that do not recover to the payer are put before
    /// the payer's contract (ERC-1271); each such payment costs an RPC call.
    #[serde(default)]
    pub contract_payers: bool,
    /// Solana: when the recipient's token account is created.
    #[serde(default)]
    pub token_account: TokenAccount,
    /// Solana: cap on the priority fee a payer may make us pay.
    #[serde(default = "default_priority_fee_lamports_max")]
    pub priority_fee_lamports_max: u64,
}

fn default_symbol() -> String {
    "USDC".to_owned()
}
fn default_token_name() -> String {
    "USD Coin".to_owned()
}
fn default_token_version() -> String {
    "2".to_owned()
}
fn default_max_timeout_seconds() -> u64 {
    120
}
fn default_rpc_timeout_ms() -> u64 {
    5_000
}
fn default_poll_interval_ms() -> u64 {
    100
}
fn default_second_opinion_usdc() -> String {
    "10".to_owned()
}
fn default_gas_limit() -> u64 {
    150_000
}
fn default_gas_expected() -> u64 {
    88_000
}
fn default_max_fee_per_gas_wei() -> u64 {
    20_000_000_000
}
fn default_priority_fee_wei() -> u64 {
    1_000_000
}
fn default_authorization_seconds_max() -> u64 {
    900
}
fn default_priority_fee_lamports_max() -> u64 {
    1_000
}

/// When the recipient's token account on Solana comes into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenAccount {
    /// We create it once, so that official clients, which never do, can pay.
    #[default]
    AtStart,
    /// The first payer's transaction creates it and is charged the rent.
    InPayment,
}

/// `[quote]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuoteConfig {
    /// Factor on the estimated settlement cost.
    #[serde(deserialize_with = "decimal_text")]
    pub markup: String,
    /// Factor on the base fee: how much it may rise before the payment lands.
    #[serde(deserialize_with = "decimal_text")]
    pub base_fee_headroom: String,
    /// How long a replaced tariff stays payable beyond `max_timeout_seconds`.
    pub grace_seconds: u64,
    /// Pause between two tariffs.
    pub refresh_seconds: u64,
    /// How much a tariff may fall in a minute, as a part of itself.
    #[serde(deserialize_with = "decimal_text")]
    pub fall_per_minute: String,
    /// The least surcharge (USDC), however cheap settling is.
    #[serde(deserialize_with = "decimal_text")]
    pub gas_floor_usdc: String,
    /// Above this surcharge a network is not offered (USDC).
    #[serde(deserialize_with = "decimal_text")]
    pub gas_ceiling_usdc: String,
    /// What the operator adds per payment to what the payer was charged before a
    /// signature is refused as too costly (USDC, I10).
    #[serde(deserialize_with = "decimal_text")]
    pub cost_budget_usdc: String,
    /// What one payer's attempts on one network may cost without earning, within
    /// 24 hours, before that payer is refused there (USDC, I10).
    #[serde(deserialize_with = "decimal_text")]
    pub uncollected_payer_day_usdc: String,
    /// What all attempts on one network may cost without earning, within 24
    /// hours, before it is not offered (USDC, I10).
    #[serde(deserialize_with = "decimal_text")]
    pub uncollected_network_day_usdc: String,
    /// What settling on one network may cost at all, within 24 hours, before it
    /// is not offered (USDC): the most a mistake can burn in a day.
    #[serde(deserialize_with = "decimal_text")]
    pub spent_network_day_usdc: String,
}

impl Default for QuoteConfig {
    fn default() -> Self {
        Self {
            markup: "1.25".to_owned(),
            base_fee_headroom: "1.125".to_owned(),
            grace_seconds: 30,
            refresh_seconds: 5,
            fall_per_minute: "0.10".to_owned(),
            gas_floor_usdc: "0".to_owned(),
            gas_ceiling_usdc: "0.50".to_owned(),
            cost_budget_usdc: "0.005".to_owned(),
            uncollected_payer_day_usdc: "0.10".to_owned(),
            uncollected_network_day_usdc: "2.00".to_owned(),
            spent_network_day_usdc: "100.00".to_owned(),
        }
    }
}

/// `[gate]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// Price catalogue (TOML).
    pub catalogue: Option<PathBuf>,
    /// Longest request body.
    pub body_bytes_max: usize,
    /// Longest answer that is stored for replay.
    pub answer_body_bytes_max: usize,
    /// How long a request waits for a verdict before it is told `settlement_pending`.
    pub pending_wait_seconds: u64,
    /// How long an answer is replayed to who shows no `payment-identifier`.
    pub replay_seconds: u64,
    /// How often one payment may start the handler.
    pub runs_max: u32,
    /// Paid requests in flight.
    pub concurrency_max: usize,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            catalogue: None,
            body_bytes_max: 8 * 1024 * 1024,
            answer_body_bytes_max: 4 * 1024 * 1024,
            pending_wait_seconds: 30,
            replay_seconds: 120,
            runs_max: 3,
            concurrency_max: 1_024,
        }
    }
}

/// Why the configuration cannot be used; every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Unreadable, malformed, or with a key nobody knows.
    #[error("configuration: {0}")]
    Read(Box<figment::Error>),
    /// A reference to a secret leads nowhere.
    #[error("secret {reference}: {problem}")]
    Secret {
        /// The reference, not the secret.
        reference: String,
        /// What to do.
        problem: String,
    },
    /// Two settings contradict each other, or one is out of range.
    #[error("configuration: {0}")]
    Invalid(String),
}

impl Config {
    /// Reads `path` and the environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        if !path.is_file() {
            return Err(ConfigError::Invalid(format!(
                "{} is not a file; pass --config FILE",
                path.display()
            )));
        }
        let mut figment =
            Figment::new().merge(Toml::file_exact(path)).merge(Env::prefixed(ENV_PREFIX).split("__"));
        for override_ in text_overrides(std::env::vars()) {
            figment = figment.merge(override_);
        }
        let config: Self = figment.extract().map_err(|e| ConfigError::Read(Box::new(e)))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types cannot express.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.networks.is_empty() {
            return Err(ConfigError::Invalid("no [networks.NAME] section: nothing could be paid".to_owned()));
        }
        let mut seen = std::collections::BTreeSet::new();
        for (name, network) in &self.networks {
            if !seen.insert(network.network.as_str()) {
                return Err(invalid(name, "the same network stands in two sections"));
            }
            network.check(name)?;
        }
        let coins: Vec<_> = self.networks.values().map(|network| Coin::of(&network.network)).collect();
        self.rates.check(&coins)?;
        self.quote.check()?;
        if self.gate.runs_max == 0 {
            return Err(ConfigError::Invalid("gate.runs_max must be at least 1".to_owned()));
        }
        Ok(())
    }
}

impl QuoteConfig {
    /// The markup in basis points: 12,500 for `"1.25"`.
    pub fn markup_bps(&self) -> Result<u32, ConfigError> {
        basis_points("quote.markup", &self.markup)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let floor = usdc("quote.gas_floor_usdc", &self.gas_floor_usdc)?;
        let ceiling = usdc("quote.gas_ceiling_usdc", &self.gas_ceiling_usdc)?;
        if floor > ceiling {
            return Err(ConfigError::Invalid(
                "quote.gas_floor_usdc is above gas_ceiling_usdc: nothing would ever be offered".to_owned(),
            ));
        }
        for (key, value) in [
            ("uncollected_payer_day_usdc", &self.uncollected_payer_day_usdc),
            ("uncollected_network_day_usdc", &self.uncollected_network_day_usdc),
            ("spent_network_day_usdc", &self.spent_network_day_usdc),
        ] {
            if usdc(&format!("quote.{key}"), value)? == Amount::ZERO {
                return Err(ConfigError::Invalid(format!(
                    "quote.{key} must be above zero; a large number means no ceiling"
                )));
            }
        }
        Ok(())
    }
}

impl NetworkConfig {
    fn check(&self, name: &str) -> Result<(), ConfigError> {
        if self.rpc_urls.is_empty() {
            return Err(invalid(name, "rpc_urls is empty"));
        }
        if self.wallets.len() != 1 {
            return Err(invalid(name, "wallets must name exactly one secret, e.g. [\"env:BASE_WALLET\"]"));
        }
        usdc(&format!("networks.{name}.second_opinion_usdc"), &self.second_opinion_usdc)?;
        if self.max_timeout_seconds == 0 {
            return Err(invalid(name, "max_timeout_seconds must be at least 1"));
        }
        if let Family::Eip155(_) = self.network.family() {
            if self.settle_gas_expected > self.settle_gas_limit {
                return Err(invalid(name, "settle_gas_expected is above settle_gas_limit"));
            }
            if self.authorization_seconds_max < self.max_timeout_seconds {
                return Err(invalid(name, "authorization_seconds_max is below max_timeout_seconds"));
            }
        }
        Ok(())
    }
}

/// An exact decimal: text as it stands, or a TOML number by its shortest
/// spelling, which is the one in the file. No arithmetic is done on it.
pub(crate) fn decimal_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Decimal {
        Text(String),
        Whole(u64),
        Fraction(f64),
    }
    Ok(match Decimal::deserialize(deserializer)? {
        Decimal::Text(text) => text,
        Decimal::Whole(number) => number.to_string(),
        Decimal::Fraction(number) => number.to_string(),
    })
}

/// As [`decimal_text`], for a key that may be absent.
pub(crate) fn optional_decimal_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    decimal_text(deserializer).map(Some)
}

/// Decimals that the environment gives for keys that hold text. The environment
/// has no types: `2500.00` would be read as a float, and refused or worse.
fn text_overrides(vars: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let path = |name: &str| Some(name.strip_prefix(ENV_PREFIX)?.to_ascii_lowercase().replace("__", "."));
    vars.filter_map(|(name, value)| Some((path(&name)?, value)))
        .filter(|(path, _)| {
            let key = path.rsplit('.').next().unwrap_or_default();
            key.ends_with("_usdc") || TEXT_KEYS.contains(&key)
        })
        .map(|(path, value)| (path, value.trim().trim_matches('"').to_owned()))
        .collect()
}

/// `text` itself, or the secret that `env:NAME` or `file:PATH` refers to.
pub(crate) fn resolve(key: &str, text: &str) -> Result<String, ConfigError> {
    if !text.starts_with("env:") && !text.starts_with("file:") {
        return Ok(text.to_owned());
    }
    let secret = read_secret(text)?;
    secret
        .expose_str()
        .map(str::to_owned)
        .ok_or_else(|| ConfigError::Invalid(format!("{key} refers to something that is not text")))
}

fn invalid(name: &str, problem: &str) -> ConfigError {
    ConfigError::Invalid(format!("networks.{name}: {problem}"))
}

/// Reads what `env:NAME` or `file:PATH` refers to.
///
/// The secret itself in the configuration is refused: it would end up in
/// backups and version control.
pub fn read_secret(reference: &str) -> Result<Secret, ConfigError> {
    let fail =
        |problem: &str| ConfigError::Secret { reference: shown(reference), problem: problem.to_owned() };
    if let Some(name) = reference.strip_prefix("env:") {
        let value = std::env::var(name).map_err(|_| fail("the environment variable is not set"))?;
        return Ok(Secret::new(value.trim().as_bytes().to_vec()));
    }
    if let Some(path) = reference.strip_prefix("file:") {
        let value = std::fs::read_to_string(path).map_err(|e| fail(&format!("cannot read the file: {e}")))?;
        return Ok(Secret::new(value.trim().as_bytes().to_vec()));
    }
    Err(fail("write env:NAME or file:PATH, never the secret itself"))
}

/// A malformed reference may be the secret itself, pasted by mistake.
fn shown(reference: &str) -> String {
    if reference.starts_with("env:") || reference.starts_with("file:") {
        reference.to_owned()
    } else {
        "(hidden)".to_owned()
    }
}

#[cfg(test)]
mod tests;
