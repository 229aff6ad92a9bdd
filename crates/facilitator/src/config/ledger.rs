//! `[ledger]` of the configuration.

use std::fmt;

use serde::Deserialize;

use super::{ConfigError, resolve};

/// `[ledger]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// `sqlite://path` or `postgres://…`; `env:NAME` and `file:PATH` refer to a
    /// secret that holds the URL.
    pub url: String,
    /// This process's name among several on one database.
    /// Default: the host's name and `server.listen`, so that a process that
    /// comes back is the same one, and a second one on the host is another.
    pub instance: Option<String>,
    /// How long a silent process keeps its payments.
    #[serde(default = "default_lease_seconds")]
    pub lease_seconds: u64,
    /// How long the bodies of stored answers are kept for replay. Payments, keys
    /// and the journal are kept for good.
    #[serde(default = "default_answers_kept_hours")]
    pub answers_kept_hours: u64,
}

fn default_answers_kept_hours() -> u64 {
    720
}

fn default_lease_seconds() -> u64 {
    15
}

impl LedgerConfig {
    /// Books in memory would forget what landed with the first restart (P2, I1).
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let url = resolve("ledger.url", &self.url).unwrap_or_default().to_ascii_lowercase();
        if url.starts_with("sqlite") && (url.contains(":memory:") || url.contains("mode=memory")) {
            return Err(ConfigError::Invalid(
                "ledger.url keeps the books in memory, where a restart forgets every payment; name a file"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for LedgerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("LedgerConfig")
            .field("instance", &self.instance)
            .field("lease_seconds", &self.lease_seconds)
            .finish_non_exhaustive()
    }
}
