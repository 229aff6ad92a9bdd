//! What whoever ran the command gets to see.

use std::process::ExitCode;

use quittance_payer::{Answer, Outcome};
use quittance_protocol::plain_words;
use serde_json::{Map, Value, json};

use super::PayArgs;
use crate::{CommandError, print};

pub(super) fn finish(args: &PayArgs, answer: &Answer) -> Result<ExitCode, CommandError> {
    if let Some(path) = &args.output {
        std::fs::write(path, &answer.body).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let text = String::from_utf8_lossy(&answer.body);
    if args.json {
        let shown = match (&args.output, serde_json::from_slice::<Value>(&answer.body)) {
            (Some(path), _) => json!(path.display().to_string()),
            (None, Ok(value)) => value,
            (None, Err(_)) => json!(text),
        };
        let mut document = json!({
            "status": answer.status, "payment": bill(answer)?, "receipt": answer.receipt, "body": shown,
        });
        if let Some(offer) = &answer.signed_offer {
            document["offer"] = serde_json::to_value(offer)?;
        }
        print(&document.to_string())?;
    } else {
        if let Some(receipt) = &answer.receipt {
            // A stranger's words, on a terminal.
            let field = |name: &str| plain_words(receipt.get(name).and_then(Value::as_str).unwrap_or("-"));
            print(&format!("network      {}", field("network")))?;
            print(&format!("transaction  {}", field("transaction")))?;
            print(&format!("payer        {}", field("payer")))?;
            let paid = match (&answer.bill, &args.payer.asset) {
                (None, _) => "-".to_owned(),
                (Some(bill), None) => format!("{} USDC", bill.amount.to_usdc()),
                (Some(bill), Some(asset)) => format!("{} units of {asset}", bill.amount),
            };
            print(&format!("paid         {paid}"))?;
        }
        print(&format!("status       {}", answer.status))?;
        if args.output.is_none() {
            print(&text)?;
        }
    }
    let good = (200..300).contains(&answer.status);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was signed; empty where nothing was.
fn bill(answer: &Answer) -> Result<Map<String, Value>, CommandError> {
    let mut bill = match &answer.bill {
        Some(bill) => serde_json::to_value(bill)?.as_object().cloned().unwrap_or_default(),
        None => Map::new(),
    };
    if let Outcome::Refused(Some(reason)) = &answer.outcome {
        bill.insert("refused".to_owned(), json!(reason));
    }
    Ok(bill)
}
