//! What is known of a chain without asking it.

use quittance_protocol::{ErrorCode, Family, Network};
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
    /// The wallets that pay for new settlements, in the order of the configuration, each
    /// once: at least one, unless somebody else settles.
    pub wallets: Vec<String>,
    /// Those that paid before: they take no new payment, and finish what they began.
    pub retired_wallets: Vec<String>,
    /// What every offer says in `extra` (`name` and `version` of a token's domain).
    pub offer_extra: Map<String, Value>,
    /// Where an offer's `extra` names the wallet that is to pay (`feePayer`), if a payer's own
    /// message has to name it.
    pub offer_wallet: Option<&'static str>,
    /// Whether attempts take a wallet nonce; the chain then has [`crate::Nonces`].
    pub takes_nonce: bool,
    /// The code for an amount that is not the price.
    pub amount_mismatch: ErrorCode,
    /// The code for a payment that names another network.
    pub network_mismatch: ErrorCode,
}

impl Facts {
    /// Every wallet that may have something under way: those that pay for new settlements first.
    pub fn all_wallets(&self) -> impl Iterator<Item = &String> {
        self.wallets.iter().chain(&self.retired_wallets)
    }

    /// Whether two texts name one wallet: addresses in hexadecimal digits ignore case.
    pub fn same_wallet(&self, one: &str, other: &str) -> bool {
        match self.network.family() {
            Family::Eip155(_) => one.eq_ignore_ascii_case(other),
            Family::Solana => one == other,
        }
    }
}
