//! `quittance ledger backup`, `restore` and `restored`.

use std::path::Path;
use std::process::ExitCode;

use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{Ledger, Restored, back_up, restore as put_back};
use serde_json::json;

use super::of_this_version;
use crate::ledger_url::ledger_url;
use crate::{CommandError, accounts, print};

const ON_POSTGRES: &str = "this ledger is on PostgreSQL: copy it with pg_dump --format=custom (or the archive that \
     you keep), put it back with pg_restore into an empty database, then run `quittance ledger restored` \
     before the program starts";

pub(super) async fn backup(config: &Path, file: &Path) -> Result<ExitCode, CommandError> {
    let url = of_this_version(&Config::load(config)?).await?;
    if !url.starts_with("sqlite:") {
        return Err(ON_POSTGRES.into());
    }
    let bytes = back_up(&url, file).await?;
    print(&json!({ "file": file.display().to_string(), "bytes": bytes, "whole": true }).to_string())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(config: &Path, file: &Path) -> Result<ExitCode, CommandError> {
    let url = ledger_url(&Config::load(config)?)?;
    if !url.starts_with("sqlite:") {
        return Err(ON_POSTGRES.into());
    }
    if !file.is_file() {
        return Err(format!("{}: there is no such file", file.display()).into());
    }
    told(&put_back(&url, file, Clock::system().now_ms()).await?)
}

/// A database that something else has put back.
pub(super) async fn restored(config: &Path) -> Result<ExitCode, CommandError> {
    let url = of_this_version(&Config::load(config)?).await?;
    let ledger = Ledger::open_beside(&url, "restore").await?;
    let marked = ledger.mark_restored(Clock::system().now_ms()).await?;
    ledger.close().await;
    told(&marked)
}

/// What the copy knows, and where to look for what it does not.
fn told(restored: &Restored) -> Result<ExitCode, CommandError> {
    let at = accounts::rfc3339;
    let since = restored.last_ms.or(restored.newest.as_ref().map(|(_, at)| *at));
    print(&serde_json::to_string_pretty(&json!({
        "newest_payment": restored.newest.as_ref().map(|(id, _)| id),
        "newest_claimed_at": restored.newest.as_ref().map(|(_, ms)| at(*ms)),
        "forgotten_since": since.map(at),
        "without_verdict": restored.open,
        "runs_withheld": restored.withheld,
        "tellings_withheld": restored.told,
        "then": since.map(|ms| format!("quittance reconcile --since {}", at(ms))),
    }))?)?;
    Ok(ExitCode::SUCCESS)
}
