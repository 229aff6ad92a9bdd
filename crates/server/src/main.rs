#![doc = include_str!("../README.md")]

mod catalog;
mod columns;
mod erase;
mod intake;
mod margin;
mod pay;
mod payments;
mod polled;
mod serve;
mod success;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Self-hosted x402 payment facilitator.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// Log filter, e.g. `info` or `quittance_facilitator=debug`; logs go to stderr.
    #[arg(long, env = "QUITTANCE_LOG", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve /verify, /settle, /supported, /metrics, /healthz and /readyz.
    Serve {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Call a URL and pay for it if it asks.
    Pay(Box<pay::PayArgs>),
    /// Check a price catalogue, or explain a price.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Show the books; reads only, also while the program serves.
    #[command(subcommand)]
    Payments(payments::PaymentsCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&cli.log).unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .init();
    let result = match cli.command {
        Command::Serve { config } => serve::run(&config),
        Command::Pay(args) => pay::run(*args),
        Command::Catalog(command) => return catalog::run(&command),
        Command::Payments(command) => payments::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Anything that ends a command; shown to a person, so text is all it needs.
pub(crate) type CommandError = Box<dyn std::error::Error + Send + Sync>;

/// Writes a result to standard output; logs never go there.
pub(crate) fn print(text: &str) -> Result<(), std::io::Error> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
