//! What is known of a chain without asking it.

use quittance_protocol::{ErrorCode, Network};
use serde_json::{Map, Value};

/// What transactions of a network are paid with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GasCoin {
    /// Its ticker, for people: `ETH`.
    pub name: String,
    /// Decimals of its smallest unit: 18 or 9.
    pub decimals: u32,
    /// Which exchange rate prices it: `eth_usd`.
    pub pair: String,
}

/// What is known of a chain without asking it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which one.
    pub network: Network,
    /// What its transactions are paid with.
    pub coin: GasCoin,
    /// The wallet's address.
    pub wallet: String,
    /// The wallet first, then those before it, which sign nothing new but may have
    /// something under way.
    pub wallets: Vec<String>,
    /// What every offer says in `extra` (`name` and `version`, or `feePayer`).
    pub offer_extra: Map<String, Value>,
    /// Whether attempts take a wallet nonce; the chain then has [`crate::Nonces`].
    pub takes_nonce: bool,
    /// The code for an amount that is not the price.
    pub amount_mismatch: ErrorCode,
    /// The code for a payment that names another network.
    pub network_mismatch: ErrorCode,
}
