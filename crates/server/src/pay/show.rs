//! What whoever ran the command gets to see.

use std::process::ExitCode;

use quittance_protocol::Amount;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::PayArgs;
use crate::{CommandError, print};

pub(super) fn finish(
    args: &PayArgs,
    status: StatusCode,
    receipt: Option<Value>,
    bill: &Map<String, Value>,
    body: &[u8],
) -> Result<ExitCode, CommandError> {
    if let Some(path) = &args.output {
        std::fs::write(path, body).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let text = String::from_utf8_lossy(body);
    if args.json {
        let shown = match (&args.output, serde_json::from_slice::<Value>(body)) {
            (Some(path), _) => json!(path.display().to_string()),
            (None, Ok(value)) => value,
            (None, Err(_)) => json!(text),
        };
        let document = json!({
            "status": status.as_u16(), "payment": bill, "receipt": receipt, "body": shown,
        });
        print(&document.to_string())?;
    } else {
        if let Some(receipt) = &receipt {
            let field = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
            print(&format!("network      {}", field("network")))?;
            print(&format!("transaction  {}", field("transaction")))?;
            print(&format!("payer        {}", field("payer")))?;
            let amount = bill.get("amount").and_then(Value::as_str).and_then(|a| a.parse::<Amount>().ok());
            let paid = match (amount, &args.asset) {
                (None, _) => "-".to_owned(),
                (Some(amount), None) => format!("{} USDC", amount.to_usdc()),
                (Some(amount), Some(asset)) => format!("{amount} units of {asset}"),
            };
            print(&format!("paid         {paid}"))?;
        }
        print(&format!("status       {status}"))?;
        if args.output.is_none() {
            print(&text)?;
        }
    }
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
