//! Exchange rates of the native coins.
//!
//! Owns the last known rate of each coin and how old it is.
//! May touch: `prices`, `metrics`, `context`, `config`.
//! A rate that no source tells any more closes its networks (`no_rate`); the next one opens them.
//! Until then they are stuck, and payments under way that need a price to be signed wait.

mod chainlink;
mod combine;
mod exam;
mod fetch;
mod http;
mod live;
mod pyth;

use quittance_quote::{QuoteError, Rate};

use crate::prices::Coin;
pub use exam::{RateExam, SourceExam, examine_rates};
pub use live::LiveRates;

/// Where exchange rates come from. A stale or unknown rate is `None`: that
/// network is then not offered, while the others sell on.
pub trait RateSource: Send + Sync + 'static {
    /// US dollars for one coin, if a fresh rate is known. No I/O: every offer asks.
    fn rate(&self, coin: Coin, now_ms: i64) -> Option<Rate>;

    /// Whether [`Self::rate`] would be `Some`, for who does not need the rate itself.
    fn is_known(&self, coin: Coin, now_ms: i64) -> bool {
        self.rate(coin, now_ms).is_some()
    }

    /// How long ago a source was read last; none where nobody reads.
    fn read_age_ms(&self, _: Coin, _: i64) -> Option<i64> {
        None
    }

    /// The last rate there was, however old: good for booking what was spent,
    /// never for an offer.
    fn last_known(&self, coin: Coin, now_ms: i64) -> Option<Rate> {
        self.rate(coin, now_ms)
    }
}

/// Rates of ether and SOL that somebody wrote down; for development, and for tests.
#[derive(Clone, Debug)]
pub struct StaticRates {
    eth_usd: Rate,
    sol_usd: Rate,
}

impl StaticRates {
    /// Parses exact decimals such as `2500.00`.
    pub fn parse(eth_usd: &str, sol_usd: &str) -> Result<Self, QuoteError> {
        Ok(Self { eth_usd: eth_usd.parse()?, sol_usd: sol_usd.parse()? })
    }
}

impl RateSource for StaticRates {
    fn is_known(&self, coin: Coin, _: i64) -> bool {
        matches!(coin, Coin::ETH | Coin::SOL)
    }

    fn rate(&self, coin: Coin, _now_ms: i64) -> Option<Rate> {
        match coin {
            Coin::ETH => Some(self.eth_usd.clone()),
            Coin::SOL => Some(self.sol_usd.clone()),
            _ => None,
        }
    }
}

/// What one look at a source gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    price: crate::prices::price::Price,
    /// When the source made it, milliseconds since the Unix epoch, if it says so.
    dated_ms: Option<i64>,
}

#[cfg(test)]
mod tests;
