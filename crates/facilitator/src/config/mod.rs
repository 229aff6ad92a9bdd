//! Configuration: TOML, overlaid by `QUITTANCE__SECTION__KEY` variables.
//!
//! Owns every key, its range and its words.
//! May touch: `prices`, `chain`, `api`.
//! Nothing gets stuck here: what is wrong ends the start, with the key to change.
//!
//! Parsed once; unknown keys are errors; secrets stand here only by reference.
//! One file per section; `check` holds what sections demand of each other.

mod answers;
mod callers;
mod check;
mod decimal;
mod dollars;
mod evm;
mod exam;
mod exposure;
mod facilitator;
mod gate;
mod gateway;
mod keystore;
mod ledger;
mod merchants;
mod network;
mod own_terms;
mod quote;
mod ranges;
pub(crate) mod rates;
mod read;
mod receipts;
mod report;
mod secrets;
mod server;
mod solana;
mod token_account;
mod token_program;
pub(crate) mod units;
mod urls;
mod warnings;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use answers::AnswersConfig;
pub use callers::CallersConfig;
pub use exam::{ConfigExam, Problem, ProblemKind};
pub use facilitator::FacilitatorConfig;
pub use gate::GateConfig;
pub use gateway::{CredentialConfig, GatewayConfig, UpstreamConfig};
pub use ledger::LedgerConfig;
pub use merchants::MerchantsConfig;
pub use network::{NetworkConfig, WALLETS_MAX};
pub use own_terms::LimitTexts;
pub use quote::QuoteConfig;
pub use rates::{RateKind, RatePair, RateSourceConfig, RatesConfig};
pub use receipts::ReceiptsConfig;
pub use secrets::{is_reference, read_secret};
pub(crate) use secrets::{read as read_secret_of, resolve};
pub use server::ServerConfig;
pub use token_account::TokenAccount;
pub use token_program::TokenProgram;
pub use warnings::{Warning, WarningKind};

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
    /// The gate in front of APIs in any language.
    #[serde(default)]
    pub gateway: GatewayConfig,
    /// Foreign servers.
    #[serde(default)]
    pub merchants: MerchantsConfig,
    /// What strangers may make us ask.
    #[serde(default)]
    pub callers: CallersConfig,
    /// Kept answers.
    #[serde(default)]
    pub answers: AnswersConfig,
    /// Another facilitator, which settles what is claimed here.
    #[serde(default)]
    pub facilitator: Option<FacilitatorConfig>,
    /// What the gate signs for auditors.
    #[serde(default)]
    pub receipts: ReceiptsConfig,
}

/// Why the configuration cannot be used; every message says what to do, and none
/// repeats a value: it may be a key, a password, or a URL that holds one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Unreadable, malformed, or with a key nobody knows.
    #[error("configuration: {0}")]
    Read(String),
    /// A reference to a secret leads nowhere.
    #[error("{key}: {problem}")]
    Secret {
        /// Where the reference stands.
        key: String,
        /// What to do.
        problem: String,
    },
    /// Two settings contradict each other, or one is out of range.
    #[error("configuration: {0}")]
    Invalid(String),
}

#[cfg(test)]
mod tests;
