//! Where the ledger is, and how it is looked at.

use quittance_facilitator::Clock;
use quittance_facilitator::config::{Config, read_secret};
use quittance_ledger::{Books, Ledger, LedgerOptions};

use crate::CommandError;

/// The ledger's URL, wherever it stands.
pub(crate) fn ledger_url(config: &Config) -> Result<String, CommandError> {
    let url = &config.ledger.url;
    if url.starts_with("env:") || url.starts_with("file:") {
        return Ok(read_secret(url)?.expose_str().unwrap_or_default().to_owned());
    }
    Ok(url.clone())
}

/// What these commands look at: they write nothing, whatever they are given.
pub(crate) async fn open_books(config: &Config) -> Result<Box<dyn Books>, CommandError> {
    let url = ledger_url(config)?;
    let mut options = LedgerOptions::new("payments-command");
    options.read_only = true;
    Ok(Box::new(Ledger::open(&url, options, Clock::system().now_ms()).await?))
}
