//! `[receipts]` of the configuration: what the gate signs for auditors.

use serde::Deserialize;

use super::secrets::is_reference;
use super::{Config, ConfigError};

/// `[receipts]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiptsConfig {
    /// Reference to the key that signs offers and receipts (`env:NAME`, `file:PATH`); nothing is
    /// signed without one.
    pub signing_key: Option<String>,
}

impl Config {
    pub(super) fn check_receipts(&self) -> Result<(), ConfigError> {
        let Some(key) = &self.receipts.signing_key else { return Ok(()) };
        let invalid = |problem: &str| Err(ConfigError::Invalid(format!("receipts.signing_key {problem}")));
        if !is_reference(key) {
            return invalid("must be env:NAME or file:PATH, never the key itself");
        }
        // Whoever calls chooses the `Host`: without a name of its own the seller would put its
        // signature under offers of other people's hosts.
        if self.server.public_url.is_none() {
            return invalid("needs server.public_url: what is signed names it");
        }
        // What signs texts for strangers must not be what signs transactions.
        if self.networks.values().any(|network| network.wallets.contains(key)) {
            return invalid("must be a key of its own, not a wallet's");
        }
        Ok(())
    }
}
