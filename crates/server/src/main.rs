#![doc = include_str!("../README.md")]

mod accounts;
mod admin;
mod api_key;
mod bodies;
mod catalog;
mod columns;
mod debug;
mod doctor;
mod erase;
mod gateway;
mod init;
mod intake;
mod ledger;
mod ledger_url;
mod logs;
mod margin;
mod mcp;
mod merchants;
mod monitor;
mod page;
mod pay;
mod payments;
mod receipt;
mod reconcile;
mod serve;
mod statement;
mod status;
mod success;
mod usage;
mod wallets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quittance_facilitator::config::Warning;
use quittance_protocol::without_keys;

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
    /// Serve /verify, /settle, /supported, /metrics, /healthz, /readyz, and /status to this host.
    Serve {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Sell an API in any language: the payment gate as a reverse proxy in front of it.
    Gateway(Box<gateway::GatewayArgs>),
    /// Look at everything that could be wrong before customers see it: configuration, keys, nodes,
    /// token, wallets, rates, ledger, catalogue, host and the running program. Sends and writes
    /// nothing; exits with 0 where all is well, 1 with warnings, 2 with errors.
    Doctor(Box<doctor::DoctorArgs>),
    /// Write a configuration that is checked, a catalogue to fill in, and a compose file.
    Init(Box<init::InitArgs>),
    /// Show what is under way and how the background work of the program goes; exits with 1
    /// when the program does not answer or some of that work is late.
    Status {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// One JSON document instead of tables.
        #[arg(long)]
        json: bool,
    },
    /// List the wallets that pay for settlements: balance, how long it lasts, payments under way,
    /// and which retired one may go.
    Wallets {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Hold the ledger against the chain, to the last atomic unit: what landed and is not booked, what
    /// is booked and did not land, amounts and costs that differ. Exits with 0 where it adds up, else
    /// with 1.
    Reconcile(Box<reconcile::ReconcileArgs>),
    /// Call a URL and pay for it if it asks.
    Pay(Box<pay::PayArgs>),
    /// Show a call step by step, with times: the offers, what is signed for them, what came back, and
    /// what a refusal means. Pays only with --pay.
    Debug(Box<debug::DebugArgs>),
    /// Let an agent find prices and buy within limits: an MCP server on standard input and output.
    /// Needs --max-usdc-per-day.
    Mcp(Box<mcp::McpArgs>),
    /// Check what a seller signed: that it offered a price, was paid, and served. Asks nobody.
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Check a price catalogue, or explain a price.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Who sells through /verify and /settle under a name, keys and terms of its own; works beside
    /// the running program, which follows within seconds.
    #[command(subcommand)]
    Merchants(Box<merchants::MerchantsCommand>),
    /// Look at the ledger, also while the program serves; only `erase` changes it.
    #[command(subcommand)]
    Payments(payments::PaymentsCommand),
    /// The ledger's database: check its rows against each other, copy it, put a copy back.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    logs::start(&cli.log);
    let result = match cli.command {
        Command::Serve { config } => serve::run(&config),
        Command::Gateway(args) => gateway::run(*args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Init(args) => init::run(*args),
        Command::Status { config, json } => status::run(&config, json),
        Command::Wallets { config, json } => wallets::run(&config, json),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Pay(args) => pay::run(*args),
        Command::Debug(args) => debug::run(*args),
        Command::Mcp(args) => mcp::run(*args),
        Command::Receipt(command) => receipt::run(command),
        Command::Catalog(command) => return catalog::run(&command),
        Command::Merchants(command) => merchants::run(&command),
        Command::Payments(command) => payments::run(&command),
        Command::Ledger(command) => ledger::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", without_keys(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, or what was asked for. A key that stands where none is
/// looked for would be repeated, and logs of jobs keep what a program prints.
fn misused(error: &clap::Error) -> ExitCode {
    let text = without_keys(&error.render().to_string());
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let printed = match error.use_stderr() {
        true => {
            use std::io::Write as _;
            std::io::stderr().lock().write_all(text.as_bytes())
        }
        false => print(text.trim_end()),
    };
    if printed.is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE }
}

/// Anything that ends a command; shown to a person, so text is all it needs.
pub(crate) type CommandError = Box<dyn std::error::Error + Send + Sync>;

/// Says where it listens, and what is wrong with that; tests and scripts read the address.
pub(crate) fn say_listening(addresses: &[SocketAddr]) {
    for address in addresses {
        if let Some(warning) = Warning::of_bound(address) {
            tracing::warn!("{warning}");
        }
        tracing::info!("listening on http://{address}");
    }
}

/// Writes a result to standard output; logs never go there.
pub(crate) fn print(text: &str) -> Result<(), std::io::Error> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_place_of_the_command_line_is_not_repeated() {
        let (hex, base58) = ("0x".to_owned() + &"ab".repeat(32), "5".repeat(87));
        for key in [hex.as_str(), &hex[2..], &base58] {
            let error = Cli::try_parse_from(["quittance", "pay", "http://127.0.0.1:1/", key]).err().unwrap();
            let shown = without_keys(&error.render().to_string());
            assert!(!shown.contains(&key[2..]) && shown.contains("unexpected argument"), "{shown}");
            assert_eq!(without_keys(&format!("{key} is not a file")), "… is not a file");
        }
    }

    /// `--help` of a command and of all below it. The value that a variable has just now is left out.
    fn help(command: clap::Command, path: &str, text: &mut String) {
        let name = format!("{path}{}", command.get_name());
        let mut shown = command.clone().term_width(100).bin_name(&name);
        text.push_str(&format!("$ {name} --help\n"));
        for line in shown.render_long_help().to_string().lines() {
            let line = match line.split_once("[env: ") {
                Some((before, rest)) => {
                    let variable = rest.split(['=', ']']).next().unwrap();
                    let after = rest.split_once(']').unwrap().1;
                    format!("{before}[env: {variable}]{after}")
                }
                None => line.to_owned(),
            };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
        for below in command.get_subcommands() {
            help(below.clone(), &format!("{name} "), text);
        }
    }

    #[test]
    fn help_says_what_it_said() {
        let mut made = String::new();
        help(<Cli as clap::CommandFactory>::command().name("quittance"), "", &mut made);
        // Asked when the test runs: clones that share a cache share the compiled test, too.
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let path = std::path::Path::new(&here).join("src/help.txt");
        if std::env::var_os("QUITTANCE_WRITE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let stands = std::fs::read_to_string(&path).unwrap();
        let differs = stands.lines().zip(made.lines()).find(|(before, now)| before != now);
        assert_eq!(
            stands, made,
            "first at {differs:?}; if it is meant: QUITTANCE_WRITE=1 cargo test -p quittance help_says"
        );
    }
}
