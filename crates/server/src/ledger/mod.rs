//! `quittance ledger`: the database itself, for its operator.

mod check;

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
}

pub(crate) fn run(command: &LedgerCommand) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            LedgerCommand::Check { config, show, json } => check::run(config, *show, *json).await,
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
