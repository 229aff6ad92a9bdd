//! `quittance pay URL`: pays any x402 v2 endpoint.
//!
//! It signs only for tokens that are known to be dollars, under a cap in dollars;
//! echoes the chosen offer whole, as official servers compare it; always sends a
//! `payment-identifier`, so that only who ran it can have the answer replayed; and
//! sends the same payment again for as long as its outcome is unknown. The payment
//! goes to the URL it was asked for and nowhere else.

mod offers;
mod request;
mod show;
mod sign;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quittance_protocol::{PAYMENT_REQUIRED, PaymentRequired, decode_header, encode_header};
use reqwest::{Client, StatusCode, redirect};
use serde_json::json;

use crate::CommandError;
use offers::Wanted;
use request::{Request, body_of};

/// Public mainnet endpoint, used when `--solana-rpc` is not given.
const SOLANA_RPC_DEFAULT: &str = "https://api.mainnet-beta.solana.com";

/// Shortest time limit of one HTTP request: a settlement takes its time.
const REQUEST_SECONDS_MIN: u64 = 30;

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
    /// `base`, `base-sepolia`, `solana`, `solana-devnet` or a CAIP-2 identifier; default: the
    /// first offer a key is given for.
    #[arg(long)]
    network: Option<String>,
    /// Base payer key as a secret reference (env:NAME or file:PATH).
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
    /// Pay in this token (contract or mint) instead of a known dollar; needs --max-units.
    #[arg(long, requires = "max_units")]
    asset: Option<String>,
    /// With --asset: refuse to pay more than this many of its smallest units.
    #[arg(long, requires = "asset")]
    max_units: Option<u64>,
    /// How long to keep asking while the outcome is unknown.
    #[arg(long, default_value_t = 120)]
    wait_seconds: u64,
    /// Write the answer's body to this file instead of into the receipt.
    #[arg(long, short = 'o')]
    output: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: PayArgs) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(buy(args))
}

async fn buy(args: PayArgs) -> Result<ExitCode, CommandError> {
    let client = Client::builder()
        .timeout(Duration::from_secs(args.wait_seconds.max(REQUEST_SECONDS_MIN)))
        // Another place could take the payment and serve something else.
        .redirect(redirect::Policy::none())
        .build()?;
    let wanted = Wanted::from_args(&args)?;
    let request = Request::from_args(&args)?;
    let unpaid = request.send(&client, None).await?;
    let status = unpaid.status();
    if status.is_redirection() {
        return Err(request::moved(&unpaid).into());
    }
    if status != StatusCode::PAYMENT_REQUIRED {
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) && args.method.is_none() {
            tracing::warn!("asked with {}; -X METHOD asks with another", request.method());
        }
        let body = body_of(unpaid).await?;
        return show::finish(&args, status, None, &serde_json::Map::new(), &body);
    }
    let required = offers::read(unpaid).await?;
    let offer = wanted.choose(&required)?;
    let mut bill = wanted.check_price(offer)?;
    let payload = sign::sign(&required, offer, &args).await?;
    let header = encode_header(&payload)?;
    let paid = request.send_until_known(&client, &header, args.wait_seconds).await?;
    let (status, receipt) = (paid.status(), request::receipt_of(&paid));
    if status.is_redirection() {
        return Err(request::moved(&paid).into());
    }
    let refusal = paid.headers().get(PAYMENT_REQUIRED).and_then(|value| value.to_str().ok());
    let refusal = refusal.and_then(|text| decode_header::<PaymentRequired>(text).ok()?.error);
    let body = body_of(paid).await?;
    if let Some(reason) = refusal {
        bill.insert("refused".to_owned(), json!(reason));
    }
    show::finish(&args, status, receipt, &bill, &body)
}
