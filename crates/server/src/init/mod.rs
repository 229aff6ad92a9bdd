//! `quittance init`: a configuration that is checked, a catalogue to fill in, a compose file.

mod ask;
pub(crate) mod openapi;
mod skeleton;
pub(crate) mod texts;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quittance_facilitator::config::{Config, is_reference};
use quittance_quote::Catalogue;
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use crate::init::ask::Ask;
use crate::init::texts::Answers;
use crate::{CommandError, print};

/// Longest OpenAPI document that is read.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long an API may take to show its document.
const DOCUMENT_SECONDS: u64 = 5;

/// Where an API shows its document, unless it is said.
const DOCUMENT_PATH: &str = "/openapi.json";

/// The configuration names endpoints, whose URLs may hold keys.
const OWNER_ONLY: u32 = 0o600;
const READABLE: u32 = 0o644;

const CONFIG: &str = "quittance.toml";
const CATALOG: &str = "catalog.toml";
const COMPOSE: &str = "compose.yaml";

#[derive(Args)]
pub(crate) struct InitArgs {
    /// Folder to write `quittance.toml`, `catalog.toml` and `compose.yaml` to.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// URL of the API that is to be sold, e.g. `http://127.0.0.1:8000`.
    #[arg(long)]
    upstream: Option<String>,
    /// Its OpenAPI document (JSON), a file or a URL; without it the API is asked for /openapi.json.
    #[arg(long)]
    openapi: Option<String>,
    /// What each call costs in the skeleton, in US dollars.
    #[arg(long, default_value = "0.01")]
    price: String,
    /// Who is paid on Base; without an address Base is left out.
    #[arg(long)]
    base_pay_to: Option<String>,
    /// Who is paid on Solana; without an address Solana is left out.
    #[arg(long)]
    solana_pay_to: Option<String>,
    /// Endpoint of Base.
    #[arg(long)]
    base_rpc: Option<String>,
    /// Endpoint of Solana.
    #[arg(long)]
    solana_rpc: Option<String>,
    /// Token on Base; USDC without it.
    #[arg(long)]
    base_asset: Option<String>,
    /// Token on Solana; USDC without it.
    #[arg(long)]
    solana_asset: Option<String>,
    /// The wallet that pays for settlements on Base, by reference.
    #[arg(long, default_value = "env:BASE_WALLET")]
    base_wallet: String,
    /// The fee payer on Solana, by reference.
    #[arg(long, default_value = "env:SOLANA_WALLET")]
    solana_wallet: String,
    /// What the API asks for as `Authorization: Bearer …`, by reference (`env:NAME`, `file:PATH`).
    #[arg(long)]
    upstream_bearer: Option<String>,
    /// The ledger.
    #[arg(long, default_value = "sqlite://quittance.sqlite")]
    ledger: String,
    /// Base Sepolia and Solana's devnet instead of the mainnets.
    #[arg(long)]
    test_networks: bool,
    /// A fixed rate of ETH in US dollars, for trying things out; live sources without it.
    #[arg(long)]
    eth_usd: Option<String>,
    /// A fixed rate of SOL in US dollars.
    #[arg(long)]
    sol_usd: Option<String>,
    /// Overwrite files that are there.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: InitArgs) -> Result<ExitCode, CommandError> {
    check_references(&args)?;
    let mut ask = Ask::of_terminal();
    let answers = answers(&args, &mut ask)?;
    let document = document(&args, &answers)?;
    let made = skeleton::catalogue(document.as_ref(), &args.price)?;
    if made.is_whole {
        Catalogue::from_toml(&made.text)
            .map_err(|error| format!("the catalogue that was made is none: {error}"))?;
    }
    let files = [
        (CONFIG, OWNER_ONLY, texts::config(&answers)),
        (CATALOG, READABLE, made.text.clone()),
        (COMPOSE, READABLE, texts::compose(&answers)),
    ];
    std::fs::create_dir_all(&args.dir)?;
    if !args.force {
        for (name, ..) in &files {
            let path = args.dir.join(name);
            if path.exists() {
                return Err(
                    format!("{} is there already; pass --force to overwrite it", path.display()).into()
                );
            }
        }
    }
    check(&args.dir, &files[0].2)?;
    for (name, mode, text) in &files {
        write(&args.dir.join(name), *mode, text)?;
    }
    print(&texts::next_steps(&args.dir, &answers, document.is_some(), &made))?;
    Ok(ExitCode::SUCCESS)
}

fn answers(args: &InitArgs, ask: &mut Ask) -> Result<Answers, CommandError> {
    let upstream = ask.unless(&args.upstream, "--upstream", "URL of your API")?;
    Url::parse(&upstream).map_err(|_| "--upstream is no URL; write e.g. http://127.0.0.1:8000")?;
    let base = ask.perhaps(&args.base_pay_to, "your address on Base (empty: do not sell there)")?;
    let solana = ask.perhaps(&args.solana_pay_to, "your address on Solana (empty: do not sell there)")?;
    if base.is_none() && solana.is_none() {
        return Err("nobody could be paid: pass --base-pay-to or --solana-pay-to".into());
    }
    if !base.as_deref().is_none_or(is_base) {
        return Err("--base-pay-to (pay_to) is no address on Base: 0x and 40 hex digits".into());
    }
    if !solana.as_deref().is_none_or(is_solana) {
        return Err("--solana-pay-to (pay_to) is no address on Solana: 32 to 44 letters of base58".into());
    }
    Ok(Answers {
        upstream,
        bearer: args.upstream_bearer.clone(),
        base_pay_to: base,
        solana_pay_to: solana,
        base_rpc: args.base_rpc.clone(),
        solana_rpc: args.solana_rpc.clone(),
        base_asset: args.base_asset.clone(),
        solana_asset: args.solana_asset.clone(),
        base_wallet: args.base_wallet.clone(),
        solana_wallet: args.solana_wallet.clone(),
        ledger: args.ledger.clone(),
        test_networks: args.test_networks,
        eth_usd: args.eth_usd.clone(),
        sol_usd: args.sol_usd.clone(),
    })
}

/// The shape only: checksums, and what the chain says of it, are checked at the start.
fn is_base(address: &str) -> bool {
    let digits = address.strip_prefix("0x");
    digits.is_some_and(|digits| digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_solana(address: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() && !"0OIl".contains(c);
    (32..=44).contains(&address.len()) && address.chars().all(letter)
}

/// The API's own description. One that was named must be there; one that was not may be missing.
fn document(args: &InitArgs, answers: &Answers) -> Result<Option<Value>, CommandError> {
    let Some(place) = &args.openapi else {
        let url = format!("{}{DOCUMENT_PATH}", answers.upstream.trim_end_matches('/'));
        return Ok(fetch(&url).ok().filter(openapi::is_one));
    };
    let document = match place.starts_with("http://") || place.starts_with("https://") {
        true => fetch(place)?,
        false => {
            let text = std::fs::read(place).map_err(|error| format!("--openapi: {place}: {error}"))?;
            serde_json::from_slice(&text)
                .map_err(|error| format!("--openapi: {place} is not JSON: {error}"))?
        }
    };
    if !openapi::is_one(&document) {
        return Err("--openapi is no OpenAPI 3 document".into());
    }
    Ok(Some(document))
}

fn fetch(url: &str) -> Result<Value, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::builder()
            .timeout(Duration::from_secs(DOCUMENT_SECONDS))
            .redirect(redirect::Policy::none())
            .build()?;
        let mut answer = client.get(url).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            text.extend_from_slice(&piece);
            if text.len() > DOCUMENT_BYTES_MAX {
                return Err("the document is too long".into());
            }
        }
        Ok(serde_json::from_slice(&text)?)
    })
}

/// Reads the configuration as the program will.
fn check(dir: &Path, text: &str) -> Result<(), CommandError> {
    let path = dir.join(".quittance.toml.new");
    write(&path, OWNER_ONLY, text)?;
    let checked = Config::load(&path);
    std::fs::remove_file(&path)?;
    checked.map_err(|error| format!("what was made of the answers is refused: {error}"))?;
    Ok(())
}

/// A new file in place of one that may be there: what somebody else made there, a link say, is not
/// written through, and keeps no other mode.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), CommandError> {
    let write = || {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error| format!("{}: {error}", path.display()).into())
}

/// A secret on the command line would stand in the configuration, and whoever reads it has the money.
fn check_references(args: &InitArgs) -> Result<(), CommandError> {
    let said = [
        ("--base-wallet", Some(&args.base_wallet)),
        ("--solana-wallet", Some(&args.solana_wallet)),
        ("--upstream-bearer", args.upstream_bearer.as_ref()),
    ];
    for (flag, text) in said {
        if !text.is_none_or(|text| is_reference(text)) {
            return Err(format!("{flag}: write env:NAME or file:PATH, never the secret itself").into());
        }
    }
    if !is_reference(&args.ledger) && holds_password(&args.ledger) {
        return Err("--ledger holds a password: write env:NAME or file:PATH, and the whole URL there".into());
    }
    Ok(())
}

fn holds_password(url: &str) -> bool {
    match Url::parse(url) {
        Ok(url) => {
            let names = url.query_pairs().any(|(key, _)| key.to_ascii_lowercase().ends_with("password"));
            url.password().is_some() || names
        }
        Err(_) => url.contains('@'),
    }
}

#[cfg(test)]
mod tests;
