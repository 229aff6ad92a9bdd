//! `[rates]` of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::ConfigError;
use super::decimal::{decimal_text, decimal_texts, optional_decimal_text};
use crate::prices::Coin;
use crate::prices::feed::Feed;
use crate::prices::price::Price;

/// Most sources; every offer looks at all of a pair's.
const SOURCES_MAX: usize = 16;

/// Chainlink's ETH / USD feed on Base gives a new answer at least every 1,200 s.
const CHAINLINK_AGE_MAX_SECONDS: u64 = 1_500;

/// `[rates]`: exact decimals as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatesConfig {
    /// US dollars for one ether, fixed while the program runs.
    #[serde(deserialize_with = "optional_decimal_text")]
    pub eth_usd: Option<String>,
    /// US dollars for one SOL, fixed while the program runs.
    #[serde(deserialize_with = "optional_decimal_text")]
    pub sol_usd: Option<String>,
    /// The same for further gas coins, by pair: `pol_usd`.
    #[serde(deserialize_with = "decimal_texts")]
    pub fixed: BTreeMap<String, String>,
    /// How long a fixed rate is good for on a mainnet, from the start of the
    /// process on. Test networks do not ask.
    pub fixed_rates_max_age_hours: u64,
    /// Live sources. A pair has either these or a fixed value.
    pub sources: Vec<RateSourceConfig>,
    /// How long ago a source may have been read, and how old its own date may be
    /// unless the source sets a limit of its own.
    pub age_max_seconds: u64,
    /// How far a source may lie from the median, as a part of it.
    #[serde(deserialize_with = "decimal_text")]
    pub deviation_max: String,
    /// Pause between two readings of a source.
    pub refresh_seconds: u64,
    /// Fresh, agreeing sources that a pair needs at least.
    pub sources_min: usize,
    /// Limit of one reading.
    pub timeout_ms: u64,
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self {
            eth_usd: None,
            sol_usd: None,
            fixed: BTreeMap::new(),
            fixed_rates_max_age_hours: 24,
            sources: Vec::new(),
            age_max_seconds: 60,
            deviation_max: "0.02".to_owned(),
            refresh_seconds: 10,
            sources_min: 1,
            timeout_ms: 5_000,
        }
    }
}

/// `[[rates.sources]]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSourceConfig {
    /// Where the value comes from.
    pub kind: RateKind,
    /// Of which coin.
    pub pair: RatePair,
    /// For logs and metrics; `KIND-PAIR-NUMBER` without it.
    #[serde(default)]
    pub name: Option<String>,
    /// Chainlink and Pyth: a JSON-RPC endpoint; HTTP: the document. `env:NAME`
    /// and `file:PATH` refer to a secret that holds it.
    #[serde(default)]
    pub url: Option<String>,
    /// Chainlink: the aggregator proxy.
    #[serde(default)]
    pub address: Option<String>,
    /// Pyth: the price feed account.
    #[serde(default)]
    pub account: Option<String>,
    /// Pyth: the feed's number, 64 hex digits, for coins whose feed is not known here
    /// (those of ether and SOL are).
    #[serde(default)]
    pub feed: Option<String>,
    /// HTTP: JSON pointer to the price, a string or a number.
    #[serde(default)]
    pub pointer: Option<String>,
    /// HTTP: JSON pointer to the price's Unix time, if the document has one.
    #[serde(default)]
    pub time_pointer: Option<String>,
    /// Static: the value.
    #[serde(default)]
    pub value: Option<String>,
    /// How old the source's own date may be; 1,500 for Chainlink, which speaks
    /// rarely while the price is calm, else `rates.age_max_seconds`.
    #[serde(default)]
    pub age_max_seconds: Option<u64>,
}

/// Kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKind {
    /// A Chainlink aggregator on an EVM chain.
    Chainlink,
    /// A Pyth price feed account on Solana.
    Pyth,
    /// A JSON document.
    Http,
    /// A fixed value, for development.
    Static,
}

/// A pair of a coin and the US dollar, such as `eth_usd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatePair(Coin);

impl RatePair {
    pub(crate) fn coin(self) -> Coin {
        self.0
    }
}

impl<'de> Deserialize<'de> for RatePair {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Coin::of_pair(&text).map(Self).ok_or_else(|| serde::de::Error::custom("no pair"))
    }
}

impl RateKind {
    fn name(self) -> &'static str {
        match self {
            Self::Chainlink => "chainlink",
            Self::Pyth => "pyth",
            Self::Http => "http",
            Self::Static => "static",
        }
    }
}

impl RatesConfig {
    /// The fixed value of a coin, if it has one.
    pub(crate) fn fixed_of(&self, coin: Coin) -> Option<&str> {
        match coin {
            Coin::ETH => self.eth_usd.as_deref(),
            Coin::SOL => self.sol_usd.as_deref(),
            _ => self.fixed.get(&coin.pair()).map(String::as_str),
        }
    }

    /// Where that stands.
    pub(crate) fn fixed_key(coin: Coin) -> String {
        match coin {
            Coin::ETH | Coin::SOL => format!("rates.{}", coin.pair()),
            _ => format!("rates.fixed.{}", coin.pair()),
        }
    }

    /// Every coin that has a rate, or may have one.
    pub(crate) fn coins(&self) -> BTreeSet<Coin> {
        let fixed = self.fixed.keys().filter_map(|pair| Coin::of_pair(pair));
        let sources = self.sources.iter().map(|source| source.pair.coin());
        [Coin::ETH, Coin::SOL].into_iter().chain(fixed).chain(sources).collect()
    }

    /// The sources of a coin.
    pub(crate) fn sources_of(&self, coin: Coin) -> impl Iterator<Item = (usize, &RateSourceConfig)> {
        self.sources.iter().enumerate().filter(move |(_, source)| source.pair.coin() == coin)
    }

    /// Checks everything; `needed` are the coins of the configured networks.
    pub(crate) fn check(&self, needed: &[Coin]) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        if self.age_max_seconds <= self.refresh_seconds && !self.sources.is_empty() {
            return invalid(
                "rates.age_max_seconds must be above refresh_seconds, or every rate is stale before the next reading"
                    .to_owned(),
            );
        }
        if self.sources.len() > SOURCES_MAX {
            return invalid(format!("rates.sources has more than {SOURCES_MAX} entries"));
        }
        let mut names = BTreeSet::new();
        for (index, source) in self.sources.iter().enumerate() {
            source.check(index)?;
            if !names.insert(source.label(index)) {
                return invalid(format!("rates.sources[{index}]: two sources have this name"));
            }
        }
        self.check_fixed()?;
        let coins = self.coins().into_iter().chain(needed.iter().copied()).collect::<BTreeSet<_>>();
        coins.into_iter().try_for_each(|coin| self.check_coin(coin, needed.contains(&coin)))
    }

    /// A key that nobody reads would leave its coin without a rate.
    fn check_fixed(&self) -> Result<(), ConfigError> {
        for pair in self.fixed.keys() {
            match Coin::of_pair(pair) {
                Some(Coin::ETH | Coin::SOL) => {
                    return Err(ConfigError::Invalid(format!("rates.fixed.{pair} is written rates.{pair}")));
                }
                Some(_) => {}
                // Anything may have been pasted as a key.
                None => {
                    return Err(ConfigError::Invalid(
                        "rates.fixed: each key is a pair in lower case such as pol_usd".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_coin(&self, coin: Coin, needed: bool) -> Result<(), ConfigError> {
        let (pair, fixed_key) = (coin.pair(), Self::fixed_key(coin));
        let count = self.sources_of(coin).count();
        if let Some(value) = self.fixed_of(coin) {
            Price::parse(value).map_err(|_| {
                ConfigError::Invalid(format!("{fixed_key} must be a decimal above zero such as \"2500.00\""))
            })?;
            if count > 0 {
                // A fixed value beside live ones would sell under cost as soon
                // as they fail: exactly when nobody looks.
                return Err(ConfigError::Invalid(format!(
                    "{fixed_key} is fixed and [[rates.sources]] has this pair too; remove one of them"
                )));
            }
            return Ok(());
        }
        if count == 0 {
            return if needed {
                Err(ConfigError::Invalid(format!(
                    "no rate for a configured network: add [[rates.sources]] with pair = \"{pair}\", or set {fixed_key}"
                )))
            } else {
                Ok(())
            };
        }
        let fixed = self.sources_of(coin).filter(|(_, source)| source.kind == RateKind::Static).count();
        if fixed > 0 && fixed < count {
            return Err(ConfigError::Invalid(format!(
                "rates.sources mixes kind = \"static\" with live sources of {pair}; a static value never goes stale, remove it"
            )));
        }
        if count < self.sources_min {
            return Err(ConfigError::Invalid(format!(
                "rates.sources_min is {}, but {pair} has only {count} in [[rates.sources]]",
                self.sources_min
            )));
        }
        Ok(())
    }
}

impl RateSourceConfig {
    /// For logs and metrics.
    pub(crate) fn label(&self, index: usize) -> String {
        let made = || format!("{}-{}-{index}", self.kind.name(), self.pair.coin().pair());
        self.name.clone().unwrap_or_else(made)
    }

    /// How old the source's own date may be.
    pub(crate) fn dated_age_max_seconds(&self, default: u64) -> u64 {
        self.age_max_seconds.unwrap_or(match self.kind {
            RateKind::Chainlink => CHAINLINK_AGE_MAX_SECONDS,
            RateKind::Pyth | RateKind::Http | RateKind::Static => default,
        })
    }

    fn check(&self, index: usize) -> Result<(), ConfigError> {
        let kind = self.kind.name();
        let invalid = |text: String| Err(ConfigError::Invalid(format!("rates.sources[{index}]: {text}")));
        // Where the number is known, a typed one could only be wrong.
        let takes_feed = self.kind == RateKind::Pyth && Feed::known(self.pair.coin()).is_none();
        let keys = [
            ("url", self.url.as_deref(), self.kind != RateKind::Static, self.kind != RateKind::Static),
            (
                "address",
                self.address.as_deref(),
                self.kind == RateKind::Chainlink,
                self.kind == RateKind::Chainlink,
            ),
            ("account", self.account.as_deref(), self.kind == RateKind::Pyth, self.kind == RateKind::Pyth),
            ("feed", self.feed.as_deref(), takes_feed, takes_feed),
            ("pointer", self.pointer.as_deref(), self.kind == RateKind::Http, self.kind == RateKind::Http),
            ("time_pointer", self.time_pointer.as_deref(), self.kind == RateKind::Http, false),
            ("value", self.value.as_deref(), self.kind == RateKind::Static, self.kind == RateKind::Static),
        ];
        for (key, value, allowed, needed) in keys {
            if needed && value.is_none() {
                return invalid(format!("kind = \"{kind}\" needs {key}"));
            }
            if !allowed && value.is_some() {
                return invalid(format!("kind = \"{kind}\" takes no {key}; remove it"));
            }
        }
        if self.feed.as_ref().is_some_and(|feed| !is_feed(feed)) {
            return invalid("feed must be 64 hex digits".to_owned());
        }
        let pointer_is_odd = |pointer: &Option<String>| pointer.as_ref().is_some_and(|p| !p.starts_with('/'));
        if pointer_is_odd(&self.pointer) || pointer_is_odd(&self.time_pointer) {
            return invalid("a JSON pointer starts with a slash, e.g. \"/data/amount\"".to_owned());
        }
        if self.address.as_ref().is_some_and(|address| !is_evm_address(address)) {
            return invalid("address must be 0x and 40 hex digits".to_owned());
        }
        if self.account.as_ref().is_some_and(|account| !is_base58(account)) {
            return invalid("account must be a Solana address in base58".to_owned());
        }
        if self.value.as_ref().is_some_and(|value| Price::parse(value).is_err()) {
            return invalid("value must be a decimal above zero such as \"2500.00\"".to_owned());
        }
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            return invalid("name must be 1 to 40 of a-z, 0-9, - and _".to_owned());
        }
        Ok(())
    }
}

fn is_evm_address(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_feed(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_base58(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
    (32..=44).contains(&text.len()) && text.bytes().all(letter)
}

fn is_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=40).contains(&text.len()) && text.bytes().all(letter)
}

impl fmt::Debug for RateSourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a key.
        f.debug_struct("RateSourceConfig")
            .field("kind", &self.kind)
            .field("pair", &self.pair)
            .finish_non_exhaustive()
    }
}
