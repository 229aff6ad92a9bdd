//! Exchange rates of the native coins.

use quittance_quote::{QuoteError, Rate};

/// A coin that transactions are paid with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coin {
    /// Ether.
    Eth,
    /// SOL.
    Sol,
}

/// Where exchange rates come from. A stale or unknown rate is `None`: that
/// network is then not offered, while the others sell on.
pub trait RateSource: Send + Sync + 'static {
    /// US dollars for one coin, if a fresh rate is known.
    fn rate(&self, coin: Coin, now_ms: i64) -> Option<Rate>;
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
    fn rate(&self, coin: Coin, _now_ms: i64) -> Option<Rate> {
        Some(match coin {
            Coin::Eth => self.eth_usd.clone(),
            Coin::Sol => self.sol_usd.clone(),
        })
    }
}
