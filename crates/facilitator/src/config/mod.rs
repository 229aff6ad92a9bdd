//! Configuration: TOML, overlaid by `QUITTANCE__SECTION__KEY` variables.
//!
//! Parsed once; unknown keys are errors; secrets stand here only by reference.
//! One file per section; `check` holds what sections demand of each other.

mod check;
mod decimal;
mod gate;
mod ledger;
mod network;
mod quote;
pub(crate) mod rates;
mod read;
mod secrets;
mod server;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use gate::GateConfig;
pub use ledger::LedgerConfig;
pub use network::{NetworkConfig, TokenAccount};
pub use quote::QuoteConfig;
pub use rates::{RateKind, RatePair, RateSourceConfig, RatesConfig};
pub use secrets::read_secret;
pub(crate) use secrets::resolve;
pub use server::ServerConfig;

/// Everything `quittance serve` and an embedding host read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    #[serde(default)]
    pub server: ServerConfig,
    /// The durable record.
    pub ledger: LedgerConfig,
    /// Networks by a name of the operator's choice.
    pub networks: BTreeMap<String, NetworkConfig>,
    /// Exchange rates.
    #[serde(default)]
    pub rates: RatesConfig,
    /// Surcharges.
    #[serde(default)]
    pub quote: QuoteConfig,
    /// The payment gate.
    #[serde(default)]
    pub gate: GateConfig,
}

/// Why the configuration cannot be used; every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Unreadable, malformed, or with a key nobody knows.
    #[error("configuration: {0}")]
    Read(Box<figment::Error>),
    /// A reference to a secret leads nowhere.
    #[error("secret {reference}: {problem}")]
    Secret {
        /// The reference, not the secret.
        reference: String,
        /// What to do.
        problem: String,
    },
    /// Two settings contradict each other, or one is out of range.
    #[error("configuration: {0}")]
    Invalid(String),
}

#[cfg(test)]
mod tests;
