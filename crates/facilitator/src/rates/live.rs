//! Rates from live sources: each is read in the background on its own, so a
//! slow one delays nobody, and every question is answered from memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use quittance_quote::Rate;
use tokio_util::sync::CancellationToken;

use super::chainlink::Chainlink;
use super::combine::{NoRate, Seen, combine};
use super::fetch::Fetcher;
use super::http::HttpJson;
use super::pyth::Pyth;
use super::{RateSource, Reading};
use crate::config::units::basis_points;
use crate::config::{ConfigError, resolve};
use crate::config::{RateKind, RateSourceConfig, RatesConfig};
use crate::context::clock::Clock;
use crate::metrics::Metrics;
use crate::prices::Coin;
use crate::prices::error::SourceError;
use crate::prices::feed::Feed;
use crate::prices::price::Price;

/// Rates as the configuration says: fixed values, or the median of live sources.
pub struct LiveRates {
    pairs: BTreeMap<Coin, Pair>,
    refresh: Duration,
    metrics: Arc<Metrics>,
    clock: Clock,
}

pub(super) struct Pair {
    coin: Coin,
    fixed: Option<Rate>,
    /// When what the operator wrote down, here or as a static source, is too old
    /// to sell at. The clock starts with the process: nobody says when it was written.
    fixed_until_ms: Option<i64>,
    pub(super) sources: Vec<Arc<Source>>,
    read_age_max_ms: i64,
    deviation_bps: u32,
    sources_min: usize,
    last: RwLock<Option<Rate>>,
    missing: AtomicBool,
    /// Whether there was a rate at this millisecond; forgotten with every reading.
    known: Mutex<Option<(i64, bool)>>,
}

pub(super) struct Source {
    pub(super) name: String,
    reader: Reader,
    pub(super) dated_age_max_ms: i64,
    seen: RwLock<Option<Seen>>,
    failing: AtomicBool,
}

enum Reader {
    Fixed(Price),
    Chainlink(Chainlink),
    Pyth(Pyth),
    Http(HttpJson),
}

impl LiveRates {
    /// Reads every source once, so that offers need not wait for the first
    /// pause, and goes on reading until `stop`. Fixed rates of the coins in
    /// `ageing` run out after `fixed_rates_max_age_hours`.
    pub(crate) async fn start(
        config: &RatesConfig,
        ageing: &[Coin],
        metrics: Arc<Metrics>,
        clock: Clock,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, ConfigError> {
        let until_ms = |coin| {
            let age_max_ms = milliseconds(config.fixed_rates_max_age_hours.saturating_mul(3_600));
            ageing.contains(&coin).then(|| clock.now_ms().saturating_add(age_max_ms))
        };
        let pair = |coin: Coin| Ok((coin, Pair::new(coin, config, until_ms(coin))?));
        let rates = Arc::new(Self {
            pairs: config.coins().into_iter().map(pair).collect::<Result<_, ConfigError>>()?,
            refresh: Duration::from_secs(config.refresh_seconds),
            metrics,
            clock,
        });
        let all = || {
            let of_pair = |(coin, pair): (&Coin, &Pair)| {
                let coin = *coin;
                pair.sources.iter().map(move |source| (coin, Arc::clone(source))).collect::<Vec<_>>()
            };
            rates.pairs.iter().flat_map(of_pair).collect::<Vec<_>>()
        };
        join_all(all().into_iter().map(|(coin, source)| {
            let rates = Arc::clone(&rates);
            async move { rates.look(coin, &source).await }
        }))
        .await;
        for (coin, source) in all() {
            tokio::spawn(Arc::clone(&rates).poll(coin, source, stop.clone()));
        }
        for pair in rates.pairs.values() {
            if pair.fixed.is_some() {
                rates.metrics.rate_read(&format!("fixed-{}", pair.coin.pair()), true);
                if pair.fixed_until_ms.is_some() {
                    tokio::spawn(Arc::clone(&rates).watch_fixed(pair.coin, stop.clone()));
                }
            }
            rates.show(pair);
        }
        Ok(rates)
    }

    async fn poll(self: Arc<Self>, coin: Coin, source: Arc<Source>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.refresh) => {}
            }
            self.look(coin, &source).await;
        }
    }

    /// Says when a fixed rate has run out.
    async fn watch_fixed(self: Arc<Self>, coin: Coin, stop: CancellationToken) {
        let Some(pair) = self.pairs.get(&coin) else { return };
        while !pair.is_outdated(self.clock.now_ms()) {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.refresh) => {}
            }
        }
        tracing::error!(pair = coin.pair(), reason = %NoRate::Outdated, "no exchange rate: its networks are not offered");
        self.show(pair);
    }

    async fn look(&self, coin: Coin, source: &Source) {
        let outcome = source.read().await;
        let now_ms = self.clock.now_ms();
        self.metrics.rate_read(&source.name, outcome.is_ok());
        let Some(pair) = self.pairs.get(&coin) else { return };
        pair.note(source, outcome, now_ms);
        match pair.now(now_ms) {
            Ok(rate) => {
                *pair.last.write().unwrap_or_else(PoisonError::into_inner) = Some(rate);
                if pair.missing.swap(false, Ordering::Relaxed) {
                    tracing::info!(pair = coin.pair(), "exchange rate is back");
                }
            }
            // Once, not at every look of an outage.
            Err(reason) => {
                if !pair.missing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(pair = coin.pair(), %reason, "no exchange rate: its networks are not offered");
                }
            }
        }
        self.show(pair);
    }

    fn show(&self, pair: &Pair) {
        let now_ms = self.clock.now_ms();
        let rate = pair.now(now_ms).ok().map(|rate| rate.to_string());
        let fresh = match &pair.fixed {
            Some(_) => usize::from(rate.is_some()),
            None => pair.fresh(now_ms).len(),
        };
        self.metrics.rate(&pair.coin.pair(), rate.as_deref(), fresh);
    }
}

impl RateSource for LiveRates {
    fn rate(&self, coin: Coin, now_ms: i64) -> Option<Rate> {
        self.pairs.get(&coin)?.now(now_ms).ok()
    }

    fn is_known(&self, coin: Coin, now_ms: i64) -> bool {
        self.pairs.get(&coin).is_some_and(|pair| pair.is_known(now_ms))
    }

    fn read_age_ms(&self, coin: Coin, now_ms: i64) -> Option<i64> {
        let pair = self.pairs.get(&coin).filter(|pair| pair.fixed.is_none())?;
        let read = |source: &Arc<Source>| {
            let seen = source.seen.read().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref().map(|seen| now_ms.saturating_sub(seen.read_ms).max(0))
        };
        pair.sources.iter().filter_map(read).min()
    }

    fn last_known(&self, coin: Coin, now_ms: i64) -> Option<Rate> {
        let pair = self.pairs.get(&coin)?;
        let last = || {
            pair.fixed.clone().or_else(|| pair.last.read().unwrap_or_else(PoisonError::into_inner).clone())
        };
        pair.now(now_ms).ok().or_else(last)
    }
}

impl Pair {
    pub(super) fn new(
        coin: Coin,
        config: &RatesConfig,
        fixed_until_ms: Option<i64>,
    ) -> Result<Self, ConfigError> {
        let fetcher = Fetcher::new(Duration::from_millis(config.timeout_ms))
            .map_err(|error| ConfigError::Invalid(format!("rates: no HTTP client: {error}")))?;
        let sources = config.sources_of(coin).map(|(index, source)| {
            let age_max_seconds = source.dated_age_max_seconds(config.age_max_seconds);
            Ok(Arc::new(Source {
                name: source.label(index),
                reader: Reader::new(index, source, &fetcher)?,
                dated_age_max_ms: milliseconds(age_max_seconds),
                seen: RwLock::new(None),
                failing: AtomicBool::new(false),
            }))
        });
        Ok(Self {
            coin,
            fixed: config.fixed_of(coin).map(str::parse).transpose().map_err(|error| {
                ConfigError::Invalid(format!("{}: {error}", RatesConfig::fixed_key(coin)))
            })?,
            fixed_until_ms,
            sources: sources.collect::<Result<_, ConfigError>>()?,
            read_age_max_ms: milliseconds(config.age_max_seconds),
            deviation_bps: basis_points("rates.deviation_max", &config.deviation_max)?,
            sources_min: config.sources_min,
            last: RwLock::new(None),
            missing: AtomicBool::new(false),
            known: Mutex::new(None),
        })
    }

    /// Every unpaid request asks. The answer follows from the moment and the
    /// readings alone, so within a millisecond it is worked out once.
    fn is_known(&self, now_ms: i64) -> bool {
        if self.fixed.is_some() {
            return !self.is_outdated(now_ms);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((at_ms, rate)) if at_ms == now_ms => rate,
            _ => {
                let rate = self.now(now_ms).is_ok();
                *known = Some((now_ms, rate));
                rate
            }
        }
    }

    pub(super) fn note(&self, source: &Source, outcome: Result<Reading, SourceError>, now_ms: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        source.note(outcome, now_ms);
        *known = None;
    }

    fn fresh(&self, now_ms: i64) -> Vec<Price> {
        let fresh = |source: &Arc<Source>| {
            let seen = source.seen.read().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref()
                .filter(|seen| seen.is_fresh(self.read_age_max_ms, source.dated_age_max_ms, now_ms))
                .map(|seen| seen.price.clone())
        };
        self.sources.iter().filter_map(fresh).collect()
    }

    fn is_outdated(&self, now_ms: i64) -> bool {
        self.fixed_until_ms.is_some_and(|until_ms| now_ms >= until_ms)
    }

    pub(super) fn now(&self, now_ms: i64) -> Result<Rate, NoRate> {
        if self.is_outdated(now_ms) {
            return Err(NoRate::Outdated);
        }
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let fresh = self.fresh(now_ms);
        combine(&fresh.iter().collect::<Vec<_>>(), self.deviation_bps, self.sources_min)
    }
}

impl Source {
    pub(super) async fn read(&self) -> Result<Reading, SourceError> {
        match &self.reader {
            Reader::Fixed(price) => Ok(Reading { price: price.clone(), dated_ms: None }),
            Reader::Chainlink(feed) => feed.read().await,
            Reader::Pyth(feed) => feed.read().await,
            Reader::Http(document) => document.read().await,
        }
    }

    /// A failed reading keeps the last one: it ages out by itself.
    fn note(&self, outcome: Result<Reading, SourceError>, read_ms: i64) {
        let failed_before = self.failing.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(Reading { price, dated_ms }) => {
                let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
                *seen = Some(Seen { price, dated_ms, read_ms });
                if failed_before {
                    tracing::info!(source = self.name, "rate source is back");
                }
            }
            Err(error) if failed_before => {
                tracing::debug!(source = self.name, %error, "rate source failed again");
            }
            Err(error) => tracing::warn!(source = self.name, %error, "rate source failed"),
        }
    }
}

impl Reader {
    fn new(index: usize, config: &RateSourceConfig, fetcher: &Fetcher) -> Result<Self, ConfigError> {
        let coin = config.pair.coin();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let url = resolve(&format!("rates.sources[{index}].url"), &text(&config.url))?;
        Ok(match config.kind {
            RateKind::Chainlink => {
                Self::Chainlink(Chainlink::new(fetcher.clone(), url, text(&config.address), coin))
            }
            RateKind::Pyth => {
                let feed = Feed::of(coin, config.feed.as_deref()).ok_or_else(|| {
                    ConfigError::Invalid(format!("rates.sources[{index}]: kind = \"pyth\" needs feed here"))
                })?;
                Self::Pyth(Pyth::new(fetcher.clone(), url, text(&config.account), feed))
            }
            RateKind::Http => Self::Http(HttpJson::new(
                fetcher.clone(),
                url,
                text(&config.pointer),
                config.time_pointer.clone(),
            )),
            RateKind::Static => Self::Fixed(Price::parse(&text(&config.value)).map_err(|_| {
                ConfigError::Invalid(format!("rates.sources[{index}]: value is not a price"))
            })?),
        })
    }
}

pub(super) fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
}
