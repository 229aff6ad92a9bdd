//! Exchange rates of the native coins.

mod chainlink;
mod combine;
mod error;
mod fetch;
mod http;
mod live;
pub(crate) mod price;
mod pyth;

use quittance_protocol::{Family, Network};
use quittance_quote::{QuoteError, Rate};

pub use live::LiveRates;

/// A coin that transactions are paid with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coin {
    /// Ether.
    Eth,
    /// SOL.
    Sol,
}

impl Coin {
    /// What transactions of a network are paid with.
    pub(crate) fn of(network: &Network) -> Self {
        match network.family() {
            Family::Eip155(_) => Self::Eth,
            Family::Solana => Self::Sol,
        }
    }

    /// As it stands in the configuration and in metrics.
    pub(crate) fn pair(self) -> &'static str {
        match self {
            Self::Eth => "eth_usd",
            Self::Sol => "sol_usd",
        }
    }
}

/// Where exchange rates come from. A stale or unknown rate is `None`: that
/// network is then not offered, while the others sell on.
pub trait RateSource: Send + Sync + 'static {
    /// US dollars for one coin, if a fresh rate is known. No I/O: every offer asks.
    fn rate(&self, coin: Coin, now_ms: i64) -> Option<Rate>;

    /// Whether [`Self::rate`] would be `Some`, for who does not need the rate itself.
    fn is_known(&self, coin: Coin, now_ms: i64) -> bool {
        self.rate(coin, now_ms).is_some()
    }

    /// The last rate there was, however old: good for booking what was spent,
    /// never for an offer.
    fn last_known(&self, coin: Coin, now_ms: i64) -> Option<Rate> {
        self.rate(coin, now_ms)
    }
}

/// Rates the operator wrote down; for development, and for tests.
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
    fn is_known(&self, _: Coin, _: i64) -> bool {
        true
    }

    fn rate(&self, coin: Coin, _now_ms: i64) -> Option<Rate> {
        Some(match coin {
            Coin::Eth => self.eth_usd.clone(),
            Coin::Sol => self.sol_usd.clone(),
        })
    }
}

/// What one look at a source gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    price: price::Price,
    /// When the source made it, milliseconds since the Unix epoch, if it says so.
    dated_ms: Option<i64>,
}

#[cfg(test)]
mod tests;
