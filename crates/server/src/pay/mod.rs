//! `quittance pay URL`: the command line of `quittance-payer`.

mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use quittance_facilitator::config::read_secret;
use quittance_payer::{
    AUTHORIZATION_SECONDS_MAX, Keys, Limits, Outcome, Payer, Request, SOLANA_RPC_DEFAULT, State, Token,
    WAIT_SECONDS, dollars, network_named,
};
use quittance_protocol::Amount;

use crate::CommandError;

/// What to buy and how to pay.
#[derive(Args)]
pub(crate) struct PayArgs {
    /// URL of the endpoint.
    url: String,
    /// HTTP method; default: GET, or POST with --data.
    #[arg(long, short = 'X')]
    method: Option<String>,
    /// Request body; `@FILE` reads a file.
    #[arg(long, short = 'd')]
    data: Option<String>,
    /// Additional header `Name: value`; may be repeated.
    #[arg(long, short = 'H')]
    header: Vec<String>,
    #[command(flatten)]
    pub(crate) payer: PayerArgs,
    /// Write the answer's body to this file instead of into the receipt.
    #[arg(long, short = 'o')]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who pays, and up to what.
#[derive(Args, Clone)]
pub(crate) struct PayerArgs {
    /// `base`, `base-sepolia`, `solana`, `solana-devnet` or a CAIP-2 identifier; default: the
    /// first offer a key is given for.
    #[arg(long)]
    network: Option<String>,
    /// Base payer key as a secret reference (env:NAME, file:PATH or keystore:PATH?password=…).
    #[arg(long)]
    evm_key: Option<String>,
    /// Solana payer key as a secret reference (env:NAME or file:PATH).
    #[arg(long)]
    solana_key: Option<String>,
    /// Solana JSON-RPC endpoint.
    #[arg(long, env = "QUITTANCE_SOLANA_RPC", default_value = SOLANA_RPC_DEFAULT)]
    solana_rpc: String,
    /// Refuse to pay more than this many US dollars; only tokens known to be dollars are signed for.
    #[arg(long, default_value = "1.00")]
    max_usdc: String,
    /// Refuse to sign for more than this many US dollars for one host within a day (UTC).
    #[arg(long)]
    max_usdc_per_host_and_day: Option<String>,
    /// Refuse to sign for more than this many US dollars for all hosts within a day (UTC).
    #[arg(long)]
    pub(crate) max_usdc_per_day: Option<String>,
    /// Pay this host only, `api.example` or `api.example:8443`; may be repeated.
    #[arg(long)]
    allow_host: Vec<String>,
    /// Pay in this token (contract or mint) instead of a known dollar; needs --max-units.
    #[arg(long, requires = "max_units")]
    pub(crate) asset: Option<String>,
    /// With --asset: refuse to pay more than this many of its smallest units.
    #[arg(long, requires = "asset")]
    max_units: Option<u64>,
    /// Longest life of a signed authorization, whatever the endpoint asks for.
    #[arg(long, default_value_t = AUTHORIZATION_SECONDS_MAX)]
    max_authorization_seconds: u64,
    /// How long to keep asking while the outcome is unknown.
    #[arg(long, default_value_t = WAIT_SECONDS)]
    pub(crate) wait_seconds: u64,
    /// Buy beside a call of the same request that is under way, instead of waiting for its end.
    #[arg(long)]
    pub(crate) parallel: bool,
    /// Folder for payments whose outcome is still unknown (sent again by the next run of the
    /// same request) and for what was signed today; default: `quittance/payments` under
    /// $XDG_STATE_HOME or ~/.local/state.
    #[arg(long, env = "QUITTANCE_PAYMENTS")]
    state: Option<PathBuf>,
}

pub(crate) fn run(args: PayArgs) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(buy(args))
}

/// The payer that the command line describes.
pub(crate) fn payer(args: &PayerArgs) -> Result<Payer, CommandError> {
    let payer = Payer::new(keys(args)?, limits(args)?)?.with_wait(args.wait_seconds)?;
    let payer = match state_folder(args) {
        Some(folder) => payer.with_state(State::open(folder)?),
        None => {
            tracing::warn!("no --state and no home folder: a payment that stays open is forgotten");
            payer
        }
    };
    Ok(if args.parallel { payer.in_parallel() } else { payer })
}

async fn buy(args: PayArgs) -> Result<ExitCode, CommandError> {
    let request = request(&args)?;
    let payer = payer(&args.payer)?;
    let answer = payer.buy(&request).await?;
    if answer.outcome == Outcome::Free && matches!(answer.status, 404 | 405) && args.method.is_none() {
        tracing::warn!("asked with {}; -X METHOD asks with another", request.method());
    }
    show::finish(&args, &answer)
}

/// The request that the command line describes.
pub(crate) fn request(args: &PayArgs) -> Result<Request, CommandError> {
    let body = match &args.data {
        None => Vec::new(),
        Some(data) => match data.strip_prefix('@') {
            Some(path) => std::fs::read(path).map_err(|error| format!("{path}: {error}"))?,
            None => data.clone().into_bytes(),
        },
    };
    let method = match (&args.method, &args.data) {
        (Some(method), _) => method,
        (None, Some(_)) => "POST",
        (None, None) => "GET",
    };
    let mut request = Request::new(method, &args.url, body)?;
    for header in &args.header {
        let (name, value) = header.split_once(':').ok_or("write headers as 'Name: value'")?;
        request = request.header(name, value)?;
    }
    Ok(request)
}

fn keys(args: &PayerArgs) -> Result<Keys, CommandError> {
    let mut keys = Keys::default();
    if let Some(reference) = &args.evm_key {
        keys = keys.evm(&read_secret(reference)?)?;
    }
    if let Some(reference) = &args.solana_key {
        keys = keys.solana(&read_secret(reference)?, &args.solana_rpc)?;
    }
    Ok(keys)
}

fn limits(args: &PayerArgs) -> Result<Limits, CommandError> {
    let usdc = |name: &str, text: &str| -> Result<Amount, CommandError> {
        Ok(dollars(text).ok_or_else(|| format!("{name} must be a decimal such as 1.00"))?)
    };
    let by_day = |name: &str, text: &Option<String>| text.as_deref().map(|text| usdc(name, text)).transpose();
    let token = args.asset.clone().zip(args.max_units);
    Ok(Limits {
        per_call: usdc("--max-usdc", &args.max_usdc)?,
        host_day: by_day("--max-usdc-per-host-and-day", &args.max_usdc_per_host_and_day)?,
        day: by_day("--max-usdc-per-day", &args.max_usdc_per_day)?,
        hosts: (!args.allow_host.is_empty()).then(|| args.allow_host.iter().cloned().collect()),
        network: args.network.as_deref().map(network_named).transpose()?,
        token: token.map(|(asset, per_call)| Token { asset, per_call }),
        authorization_seconds_max: args.max_authorization_seconds,
    })
}

pub(crate) fn state_folder(args: &PayerArgs) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    args.state.clone().or_else(|| {
        let home = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(home.join("quittance/payments"))
    })
}
