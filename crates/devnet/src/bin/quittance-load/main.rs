//! The load generator of `scripts/bench`: one thread, keep-alive connections,
//! closed loop. Prints one JSON document; times are integers, rates are left to
//! the reader.
//!
//! `same` sends requests to one place, their bodies taken in turns from a file.
//! `pay` sends payments, each signed freshly: to `/verify`, to `/settle`, or
//! through a gate.
//! `sign` makes payments of wallets that nobody ever heard of.
//! `strangers` sends whole requests from a file as fast as it can, until it is ended.
#![allow(clippy::disallowed_methods, reason = "a load generator measures real time and plays many payers")]

mod blocks;
mod http;
mod pay;
mod plan;
mod same;
mod signer;
mod strangers;
mod tally;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Parser;
use serde_json::Value;

/// Anything that ends a run; shown to a person, so text is all it needs.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Loads a server and prints what happened as JSON.
#[derive(Debug, Parser)]
#[command(name = "quittance-load")]
enum Arguments {
    /// Sends unpaid requests to one place over every connection.
    Same(same::SameArguments),
    /// Sends payments, each signed once.
    Pay {
        /// What to do, as JSON.
        #[arg(long, value_name = "FILE")]
        plan: PathBuf,
    },
    /// Signs payments of wallets without money and prints them as a list.
    Sign {
        /// What for, as JSON.
        #[arg(long, value_name = "FILE")]
        plan: PathBuf,
    },
    /// Sends whole requests, each a JSON string on a line of its own, until SIGTERM.
    Strangers(strangers::StrangersArguments),
}

async fn run(arguments: Arguments) -> Result<Value, Failure> {
    match arguments {
        Arguments::Same(arguments) => same::run(arguments).await,
        Arguments::Pay { plan } => pay::run(serde_json::from_slice(&std::fs::read(plan)?)?).await,
        Arguments::Sign { plan } => signer::penniless(&serde_json::from_slice(&std::fs::read(plan)?)?),
        Arguments::Strangers(arguments) => strangers::run(arguments).await,
    }
}

fn main() -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(Arguments::parse())))
        .and_then(|report| Ok(writeln!(std::io::stdout().lock(), "{report}")?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
