//! Where the ledger is.

use quittance_facilitator::config::{Config, read_secret};

use crate::CommandError;

/// The ledger's URL, wherever it stands.
pub(crate) fn ledger_url(config: &Config) -> Result<String, CommandError> {
    let url = &config.ledger.url;
    if url.starts_with("env:") || url.starts_with("file:") {
        return Ok(read_secret(url)?.expose_str().unwrap_or_default().to_owned());
    }
    Ok(url.clone())
}
