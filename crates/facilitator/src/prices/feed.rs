//! Feeds of prices that are kept on a chain.

use super::coin::Coin;

const ETH_USD: &str = "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace";
const SOL_USD: &str = "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d";

/// Which price an account must hold: a typed address of another one would sell far
/// under cost.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) coin: Coin,
    /// Pyth's own number of it, hex.
    pub(crate) id: String,
}

impl Feed {
    /// The coin's feed; `given` for coins whose number is not known here.
    pub(crate) fn of(coin: Coin, given: Option<&str>) -> Option<Self> {
        let id = Self::known(coin).or(given)?;
        Some(Self { coin, id: id.strip_prefix("0x").unwrap_or(id).to_owned() })
    }

    /// The number of a coin's feed, where it is known here.
    pub(crate) fn known(coin: Coin) -> Option<&'static str> {
        match coin {
            Coin::ETH => Some(ETH_USD),
            Coin::SOL => Some(SOL_USD),
            _ => None,
        }
    }
}
