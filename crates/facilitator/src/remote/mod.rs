//! Another facilitator, which settles what this process claims.
//!
//! It signs and sends; the claim, the look at the chain and the verdict stay here. Nothing that it
//! says is believed: an answer tells where to look, and when to ask again. So an answer that never
//! comes, or lies, costs time and no money.
//!
//! Owns the questions, and how often they are put.
//! May touch: `prices`, `chain`, `metrics`, `config`, `rates`.
//! What is stuck: a payment that it does not settle is asked about until the chain shows one end or
//! the other.

mod answer;
mod ask;
mod http;
mod look;
mod ports;

use std::sync::Arc;
use std::time::Duration;

use quittance_protocol::Network;
use reqwest::header::HeaderMap;
use tokio::sync::Semaphore;

use crate::config::{ConfigError, FacilitatorConfig, read_secret_of, resolve};
use crate::prices::Coin;
use crate::rates::RateSource;

pub(crate) use answer::Answer;
pub(crate) use ask::{Asking, Named, Question};
pub(crate) use ports::SettledElsewhere;

/// Questions at a time; who finds no place waits for one.
const QUESTIONS_MAX: usize = 512;

/// Where the other facilitator is, and how it is asked.
pub(crate) struct Remote {
    client: reqwest::Client,
    url: String,
    credentials: HeaderMap,
    timeout: Duration,
    pause_max: Duration,
    places: Semaphore,
}

impl Remote {
    pub(crate) fn new(config: &FacilitatorConfig) -> Result<Arc<Self>, ConfigError> {
        let url = resolve("facilitator.url", &config.url)?;
        let read = |reference: &String| read_secret_of("facilitator.api_key", reference);
        let key = config.api_key.as_ref().map(read).transpose()?;
        let credentials = http::credentials(key.as_ref())?;
        Ok(Arc::new(Self {
            client: http::client()?,
            url: url.trim_end_matches('/').to_owned(),
            credentials,
            timeout: Duration::from_secs(config.timeout_seconds.max(1)),
            pause_max: Duration::from_secs(config.repeat_seconds_max.max(1)),
            places: Semaphore::new(QUESTIONS_MAX),
        }))
    }
}

/// What is sold on one network, for [`Remote::look`].
#[derive(Clone, Debug)]
pub(crate) struct Sold {
    pub(crate) network: Network,
    pub(crate) asset: String,
    pub(crate) pay_to: String,
    /// Where customers' messages name who pays for them: whom ours name.
    pub(crate) fee_payer: Option<String>,
}

/// The rate of coins that this process does not spend: nothing depends on it.
#[derive(Debug)]
pub(crate) struct NotSpent(quittance_quote::Rate);

impl NotSpent {
    pub(crate) fn new() -> Result<Self, quittance_quote::QuoteError> {
        Ok(Self("1".parse()?))
    }
}

impl RateSource for NotSpent {
    fn rate(&self, _: Coin, _: i64) -> Option<quittance_quote::Rate> {
        Some(self.0.clone())
    }
}
