//! The wallets that pay for settlements, as operators see them.

use quittance_protocol::Network;
use serde::Serialize;

/// One wallet of a network's pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalletReport {
    /// Where it pays.
    pub network: Network,
    /// Its address.
    pub wallet: String,
    /// `active`, or `retired`: it takes no new payment and finishes what it began.
    pub role: &'static str,
    /// What transactions are paid with.
    pub coin: String,
    /// Decimals of its smallest unit.
    pub decimals: u32,
    /// What it holds in that unit, as text; none before the network's nodes have answered.
    pub balance_native: Option<String>,
    /// `fine`, `low` (another one takes new payments while it can) or `empty`.
    pub funds: Option<&'static str>,
    /// How many settlements that pays for, at what one is expected to cost now.
    pub runway_settlements: Option<u64>,
    /// Payments under way in its lane of this process.
    pub lane_payments: Option<usize>,
}

impl WalletReport {
    /// Of one that nothing is known of but its address.
    pub(crate) fn silent(network: &Network, wallet: &str, retired: bool, coin: (&str, u32)) -> Self {
        Self {
            network: network.clone(),
            wallet: wallet.to_owned(),
            role: if retired { "retired" } else { "active" },
            coin: coin.0.to_owned(),
            decimals: coin.1,
            balance_native: None,
            funds: None,
            runway_settlements: None,
            lane_payments: None,
        }
    }
}
