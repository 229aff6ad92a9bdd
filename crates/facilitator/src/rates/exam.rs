//! All sources of exchange rates read once, for an operator.

use futures::future::join_all;

use super::combine::Seen;
use super::live::{Pair, milliseconds};
use crate::config::{Config, ConfigError};

/// One source's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceExam {
    /// Its name in logs and metrics.
    pub name: String,
    /// US dollars for one coin, or why there is none.
    pub said: Result<String, String>,
    /// Whether its own date is young enough; one without a date is.
    pub fresh: bool,
}

/// One coin's rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateExam {
    /// E.g. `eth_usd`.
    pub pair: String,
    /// Its sources; none where the rate is written down.
    pub sources: Vec<SourceExam>,
    /// US dollars for one coin, or why nothing could be offered.
    pub rate: Result<String, String>,
}

/// Reads every source of every coin that a network needs, all at once.
pub async fn examine_rates(config: &Config, now_ms: &(impl Fn() -> i64 + Sync)) -> Vec<RateExam> {
    let coins = config.rates.coins();
    join_all(coins.into_iter().map(|coin| async move {
        let pair = Pair::new(coin, &config.rates, None);
        let exam = match &pair {
            Ok(pair) => look(pair, now_ms).await,
            Err(error) => (Vec::new(), Err(ConfigError::to_string(error))),
        };
        RateExam { pair: coin.pair(), sources: exam.0, rate: exam.1 }
    }))
    .await
}

async fn look(pair: &Pair, now_ms: &(impl Fn() -> i64 + Sync)) -> (Vec<SourceExam>, Result<String, String>) {
    let asked = pair.sources.iter().map(|source| async move {
        let outcome = source.read().await;
        let read_ms = now_ms();
        let exam = SourceExam {
            name: source.name.clone(),
            said: outcome
                .as_ref()
                .map(|reading| reading.price.rate().to_string())
                .map_err(ToString::to_string),
            fresh: outcome.as_ref().is_ok_and(|reading| {
                let seen = Seen { price: reading.price.clone(), dated_ms: reading.dated_ms, read_ms };
                seen.is_fresh(milliseconds(1), source.dated_age_max_ms, read_ms)
            }),
        };
        pair.note(source, outcome, read_ms);
        exam
    });
    let sources = join_all(asked).await;
    let rate = pair.now(now_ms()).map(|rate| rate.to_string()).map_err(|error| error.to_string());
    (sources, rate)
}
