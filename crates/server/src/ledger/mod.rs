//! `quittance ledger`: the database itself, for its operator.

mod check;
mod copies;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use quittance_facilitator::config::Config;
use quittance_ledger::{SchemaExam, examine};

use crate::CommandError;
use crate::ledger_url::ledger_url;

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Hold the rows of the ledger against each other by every rule that no constraint of the
    /// database can hold; reads only, in one snapshot, while the program serves. Exits with 0 where
    /// all rules hold, with 1 where one is broken, with 2 where it could not be read.
    Check {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// How many of what breaks a rule are shown; all are counted.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        show: u32,
        /// One JSON document instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Write a copy of the ledger (SQLite) to a new file, whole and of one moment, while the program
    /// serves. It holds what the ledger holds: keep it as carefully.
    Backup {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Where to; it must not exist.
        file: PathBuf,
    },
    /// Put a copy where the ledger (SQLite) was, and withhold whatever it would grant that may have been
    /// granted after it was made. Refused where a ledger is, and while the program runs.
    Restore {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// The copy.
        file: PathBuf,
    },
    /// The same withholding for a ledger that something else has put back: pg_restore, a snapshot of a
    /// disk, an archive. Before the program starts again, and only then.
    Restored {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
}

pub(crate) fn run(command: &LedgerCommand) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            LedgerCommand::Check { config, show, json } => check::run(config, *show, *json).await,
            LedgerCommand::Backup { config, file } => copies::backup(config, file).await,
            LedgerCommand::Restore { config, file } => copies::restore(config, file).await,
            LedgerCommand::Restored { config } => copies::restored(config).await,
        }
    })
}

/// The URL of a ledger that has this version's tables: rows of others are not judged by our rules.
async fn of_this_version(config: &Config) -> Result<String, CommandError> {
    let url = ledger_url(config)?;
    match examine(&url).await?.schema {
        None => Err("there is no ledger at ledger.url yet: the first start makes it".into()),
        Some(SchemaExam { missing, unknown, changed, .. }) => {
            match missing.is_empty() && unknown.is_empty() && changed.is_empty() {
                true => Ok(url),
                false => {
                    Err("the ledger has another version's tables: use the program that it belongs to, or \
                              start this one once"
                        .into())
                }
            }
        }
    }
}
