//! Why a start ended.

use quittance_evm::EvmError;
use quittance_ledger::LedgerError;
use quittance_quote::QuoteError;
use quittance_solana::SolanaError;

use crate::config::ConfigError;

/// Why the facilitator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger cannot be opened.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// An EVM network cannot be used.
    #[error("networks.{name}: {source}")]
    Evm {
        /// Which section.
        name: String,
        /// Why.
        source: Box<EvmError>,
    },
    /// A Solana network cannot be used.
    #[error("networks.{name}: {source}")]
    Solana {
        /// Which section.
        name: String,
        /// Why.
        source: Box<SolanaError>,
    },
    /// A rate, markup or decimal is malformed.
    #[error("configuration: {0}")]
    Quote(#[from] QuoteError),
    /// The configuration lacks what unfinished payments need.
    #[error("configuration: {0}")]
    Abandoned(String),
    /// Metrics clash; a bug.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// Whether a chain's nodes did not answer, which may pass.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Self::Evm { source, .. } => source.retry(),
            Self::Solana { source, .. } => source.retry(),
            Self::Config(_) | Self::Ledger(_) | Self::Quote(_) | Self::Abandoned(_) | Self::Metrics(_) => {
                false
            }
        }
    }
}
