//! Coins and their prices, as sources give them and as the configuration writes them.
//!
//! Owns exact values, never through a float.
//! May touch: no other module.
//! Nothing gets stuck here.

pub(crate) mod coin;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod price;

pub use coin::Coin;
