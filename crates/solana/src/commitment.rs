//! How deep is deep enough.

use serde::{Deserialize, Serialize};
use solana_client::rpc_config::CommitmentConfig;

/// How deep a landing must be before it is evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commitment {
    /// Voted on by two thirds of the stake.
    #[default]
    Confirmed,
    /// Rooted.
    Finalized,
}

impl Commitment {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

impl From<Commitment> for CommitmentConfig {
    fn from(commitment: Commitment) -> Self {
        match commitment {
            Commitment::Confirmed => Self::confirmed(),
            Commitment::Finalized => Self::finalized(),
        }
    }
}
