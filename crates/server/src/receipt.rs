//! `quittance receipt verify`: what an auditor runs, offline.

use std::io::Read as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use quittance_protocol::plain_words;
use quittance_receipts::{Checked, Expected, Found, Wrong, check};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{CommandError, print};

/// Longest document that is read.
const DOCUMENT_BYTES_MAX: u64 = 1_048_576;

/// What is said of a document that is refused.
const REFUSED: u8 = 3;

#[derive(Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Check signed offers and a receipt (x402 extension `offer-receipt`) without asking anybody; exits
    /// with 0 when all is as the seller signed it, 3 when something is not, 1 when nothing could be read.
    Verify(VerifyArgs),
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// JSON document, or `-` for standard input: what `quittance pay --json` printed, a 402's body, a
    /// PAYMENT-REQUIRED or PAYMENT-RESPONSE as JSON, or an object with any of them.
    file: String,
    /// Address that the seller signs with, from its own `/.well-known/x402` or another page of it; may
    /// be repeated.
    #[arg(long, required = true)]
    signer: Vec<String>,
    /// Refuse a receipt of another payer.
    #[arg(long)]
    payer: Option<String>,
    /// Refuse another price, in the token's smallest units.
    #[arg(long)]
    amount: Option<String>,
    /// Refuse a receipt of another transaction.
    #[arg(long)]
    transaction: Option<String>,
    /// Refuse what was sold under another URL; its query is not compared.
    #[arg(long)]
    resource: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: ReceiptCommand) -> Result<ExitCode, CommandError> {
    let ReceiptCommand::Verify(args) = command;
    let found = Found::read(&read(&args.file)?)?;
    let expected = Expected {
        signers: args.signer,
        payer: args.payer,
        amount: args.amount,
        transaction: args.transaction,
        resource: args.resource,
    };
    match check(&found, &expected) {
        Ok(checked) => show(&checked, args.json),
        Err(wrong) => refuse(&wrong, args.json),
    }
}

fn read(file: &str) -> Result<Vec<u8>, CommandError> {
    let mut text = Vec::new();
    let mut take =
        |from: &mut dyn std::io::Read| from.take(DOCUMENT_BYTES_MAX.saturating_add(1)).read_to_end(&mut text);
    let read = match file {
        "-" => take(&mut std::io::stdin().lock()),
        path => std::fs::File::open(path).and_then(|mut file| take(&mut file)),
    };
    read.map_err(|error| format!("{file}: {error}"))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(format!("{file} is longer than {DOCUMENT_BYTES_MAX} bytes").into());
    }
    Ok(text)
}

fn show(checked: &Checked, as_json: bool) -> Result<ExitCode, CommandError> {
    if as_json {
        let document = json!({ "valid": true, "offers": checked.offers, "receipt": checked.receipt });
        print(&document.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    // A signature says whose words they are, not that they are fit for a terminal.
    let line = |name: &str, text: &str| print(&format!("{name:<9} {}", plain_words(text)));
    for offer in &checked.offers {
        line("offered", &format!("{} units of {}", offer.amount, offer.asset))?;
        line("", &format!("on {} to {}", offer.network, offer.pay_to))?;
        line("for", &offer.resource_url)?;
        line("until", &moment(offer.valid_until))?;
    }
    if let Some(receipt) = &checked.receipt {
        line("served", &format!("{} on {}", receipt.payer, receipt.network))?;
        line("for", &receipt.resource_url)?;
        line("at", &moment(receipt.issued_at))?;
        line("paid in", &receipt.transaction)?;
    }
    print("the seller signed all of it; what was paid is on the chain, in that transaction")?;
    Ok(ExitCode::SUCCESS)
}

fn refuse(wrong: &Wrong, as_json: bool) -> Result<ExitCode, CommandError> {
    let text = plain_words(&wrong.to_string()).to_string();
    match as_json {
        true => print(&json!({ "valid": false, "error": wrong.code(), "message": text }).to_string())?,
        false => print(&format!("refused   {}: {text}", wrong.code()))?,
    }
    Ok(ExitCode::from(REFUSED))
}

fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}
