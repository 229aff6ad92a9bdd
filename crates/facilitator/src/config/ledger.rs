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
    /// How long the bodies of stored answers are kept for replay. Payments and keys
    /// are kept for good.
    #[serde(default = "default_answers_kept_hours")]
    pub answers_kept_hours: u64,
    /// How long journal, attempts and payload of a finished payment are kept, from
    /// its verdict, its finality or its deadline on, whichever is last; 0: for good.
    /// What is open in any sense is kept whatever its age, and so is what it cost.
    #[serde(default = "default_keep_finished_days")]
    pub keep_finished_days: u64,
    /// Pause before it is looked again for payments that are as old.
    #[serde(default = "default_prune_pause_seconds")]
    pub prune_pause_seconds: u64,
}

/// Shorter, and a payment could be shown whose authorization may still be valid.
const KEEP_FINISHED_DAYS_MIN: u64 = 30;

fn default_keep_finished_days() -> u64 {
    400
}

fn default_prune_pause_seconds() -> u64 {
    3_600
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
                "ledger.url keeps the ledger in memory, where a restart forgets every payment; name a file"
                    .to_owned(),
            ));
        }
        if (1..KEEP_FINISHED_DAYS_MIN).contains(&self.keep_finished_days) {
            return Err(ConfigError::Invalid(format!(
                "ledger.keep_finished_days must be {KEEP_FINISHED_DAYS_MIN} at least, or 0: keep everything for good"
            )));
        }
        if self.keep_finished_days > 0 && self.keep_finished_days.saturating_mul(24) < self.answers_kept_hours
        {
            return Err(ConfigError::Invalid(
                "ledger.keep_finished_days is shorter than ledger.answers_kept_hours".to_owned(),
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
