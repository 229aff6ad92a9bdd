//! What works, and an operator should know of: said once at the start.

use std::fmt;
use std::net::SocketAddr;

use quittance_protocol::{Family, Network};

use super::urls::is_plain_off_loopback;
use super::{Config, NetworkConfig, RateKind, RatesConfig, resolve};
use crate::prices::Coin;

/// Networks whose coins are worth nothing. A node on loopback may be an operator's own node of a
/// mainnet, so an address says nothing.
const TEST_NETWORKS: [&str; 6] = [
    Network::BASE_SEPOLIA,
    "eip155:11155111",
    "eip155:31337",
    "eip155:1337",
    Network::SOLANA_DEVNET,
    "solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z",
];

/// What kind of thing to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// What a node or a source says crosses a network in the clear.
    PlainHttp,
    /// An address in which a typing mistake would not show.
    NoChecksum,
    /// A rate of a real coin that nobody renews.
    FixedRate,
    /// Every address of the machine.
    ListensEverywhere,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What kind of thing.
    pub kind: WarningKind,
    /// Which key, e.g. `networks.base.rpc_urls[0]`.
    pub key: String,
    /// What of it, and what to do. Never a value.
    pub text: &'static str,
}

impl Warning {
    /// About an address that a server is bound to: there are many ways to write
    /// that it is every one (`0`, `0x0`, `[::ffff:0.0.0.0]`), and only one result.
    pub fn of_bound(address: &SocketAddr) -> Option<Self> {
        address.ip().to_canonical().is_unspecified().then(|| Self {
            kind: WarningKind::ListensEverywhere,
            key: "server.listen".to_owned(),
            text: "listens on every address of this machine; there is no TLS and no authentication here: \
                   listen on loopback, or let only a proxy of yours reach the port",
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

impl Config {
    /// What the program says at its start; no I/O but reading what `env:` and
    /// `file:` refer to.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        let mut warn = |kind, key: String, text| found.push(Warning { kind, key, text });
        for (name, network) in &self.networks {
            for (index, url) in network.rpc_urls.iter().enumerate() {
                let url = resolve("rpc_urls", url).unwrap_or_default();
                if is_plain_off_loopback(&url) {
                    warn(
                        WarningKind::PlainHttp,
                        format!("networks.{name}.rpc_urls[{index}]"),
                        "plain http to another machine: whoever is between can change what the chain \
                         says; use https",
                    );
                }
            }
            for (key, address) in [("pay_to", &network.pay_to), ("asset", &network.asset)] {
                let may_lack_checksum = match network.network.family() {
                    Family::Eip155(_) => !has_mixed_case(address),
                    Family::Solana => false,
                };
                if may_lack_checksum {
                    warn(
                        WarningKind::NoChecksum,
                        format!("networks.{name}.{key}"),
                        "has no checksum, so a typing mistake would not show; write it with the capital \
                         letters that wallets and explorers show",
                    );
                }
            }
        }
        for (index, source) in self.rates.sources.iter().enumerate() {
            let url = source.url.as_deref().map(|url| resolve("url", url).unwrap_or_default());
            if url.as_deref().is_some_and(is_plain_off_loopback) {
                warn(
                    WarningKind::PlainHttp,
                    format!("rates.sources[{index}].url"),
                    "plain http to another machine: whoever is between can set the exchange rate; use https",
                );
            }
        }
        for coin in self.ageing_coins() {
            warn(
                WarningKind::FixedRate,
                RatesConfig::fixed_key(coin),
                "is fixed on a mainnet: settlements are sold at an old rate until it runs out \
                 (rates.fixed_rates_max_age_hours), then its networks close; add live [[rates.sources]]",
            );
        }
        found
    }

    /// The coins whose rates are written down although their networks are real.
    pub(crate) fn ageing_coins(&self) -> Vec<Coin> {
        self.rates.coins().into_iter().filter(|coin| self.is_fixed_on_a_mainnet(*coin)).collect()
    }

    /// Whether a coin's rate is written down although its networks are real: it
    /// then ages from the start of the process on.
    pub(crate) fn is_fixed_on_a_mainnet(&self, coin: Coin) -> bool {
        let mut sources = self.rates.sources_of(coin);
        let fixed =
            self.rates.fixed_of(coin).is_some() || sources.any(|(_, source)| source.kind == RateKind::Static);
        let used = |network: &NetworkConfig| network.coin() == coin && network.is_real();
        fixed && self.networks.values().any(used)
    }
}

impl NetworkConfig {
    /// Whether its coins are worth something.
    pub fn is_real(&self) -> bool {
        !TEST_NETWORKS.contains(&self.network.as_str())
    }
}

fn has_mixed_case(address: &str) -> bool {
    let digits = address.strip_prefix("0x").unwrap_or(address);
    digits.bytes().any(|b| b.is_ascii_uppercase()) && digits.bytes().any(|b| b.is_ascii_lowercase())
}
