//! What an agent is told: one JSON object, and the answer's body where it can be read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use quittance_payer::{Answer, Bill, Outcome, PayError, Terms};
use quittance_protocol::{encode_header_json as base64, plain_words};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};

use crate::debug::words::{self, End};

/// Longest text that is handed over itself; a longer one goes into a file, because it was paid for.
const TEXT_BYTES_MAX: usize = 100_000;

/// Longest picture or sound that is handed over itself.
const MEDIA_BYTES_MAX: usize = 1_500_000;

/// What of the price may be paid.
pub(super) fn of_terms(terms: &Terms) -> Value {
    let offers: Vec<_> = terms
        .offers
        .iter()
        .map(|offer| {
            let mut shown = offer.bill.as_ref().map(bill).unwrap_or_default();
            shown.insert("payable".to_owned(), json!(offer.why_not.is_none()));
            if let Some(reason) = &offer.why_not {
                shown.insert("why_not".to_owned(), json!(plain_words(reason)));
            }
            Value::Object(shown)
        })
        .collect();
    let resource = terms.resource_url.as_deref().map(plain_words);
    json!({ "resource": resource, "offers": offers, "would_pay": terms.chosen().and_then(|one| one.bill.as_ref()).map(bill) })
}

fn bill(bill: &Bill) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("usdc".to_owned(), json!(bill.amount.to_usdc()));
    shown.insert("network".to_owned(), json!(plain_words(&bill.network)));
    shown.insert("pay_to".to_owned(), json!(plain_words(&bill.pay_to)));
    shown
}

/// An answer that came, paid for or not.
pub(super) fn of_answer(answer: &Answer, folder: &Path) -> CallToolResult {
    let end = words::of_answer(answer);
    let mut told = told(&end);
    told.insert("status".to_owned(), json!(answer.status));
    if let Some(paid) = answer.bill.as_ref().filter(|_| answer.outcome == Outcome::Paid) {
        told.insert("paid".to_owned(), Value::Object(bill(paid)));
    }
    if let Some(receipt) = &answer.receipt {
        told.insert("receipt".to_owned(), receipt.clone());
    }
    if let Some(offer) = &answer.signed_offer {
        told.insert("offer".to_owned(), json!(offer));
    }
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    told.insert("content_type".to_owned(), json!(plain_words(kind)));
    let mut content = Vec::new();
    match handed_over(&answer.body, kind) {
        Some(block) => content.push(block),
        None => match keep(&answer.body, folder) {
            Ok(path) => drop(told.insert("file".to_owned(), json!(path))),
            Err(error) => drop(told.insert("not_kept".to_owned(), json!(error))),
        },
    }
    let is_good =
        (200..300).contains(&answer.status) && matches!(answer.outcome, Outcome::Paid | Outcome::Free);
    result(told, content, is_good)
}

/// Nothing came, or nothing was asked.
pub(super) fn failed(error: &PayError) -> CallToolResult {
    result(told(&words::of_error(error)), Vec::new(), false)
}

/// The arguments are none.
pub(super) fn misused(error: &crate::CommandError) -> CallToolResult {
    let mut told = Map::new();
    told.insert("outcome".to_owned(), json!("misused"));
    told.insert("message".to_owned(), json!(plain_words(&error.to_string())));
    result(told, Vec::new(), false)
}

fn told(end: &End) -> Map<String, Value> {
    serde_json::to_value(end).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

fn result(told: Map<String, Value>, more: Vec<ContentBlock>, is_good: bool) -> CallToolResult {
    let told = Value::Object(told);
    let mut content = vec![ContentBlock::text(told.to_string())];
    content.extend(more);
    let mut result = if is_good { CallToolResult::success(content) } else { CallToolResult::error(content) };
    result.structured_content = Some(told);
    result
}

/// The body itself, where an agent can read it.
fn handed_over(body: &[u8], kind: &str) -> Option<ContentBlock> {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if body.len() <= MEDIA_BYTES_MAX && kind.starts_with("image/") {
        return Some(ContentBlock::image(base64(body), kind));
    }
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= TEXT_BYTES_MAX)?;
    Some(ContentBlock::text(text))
}

/// Keeps what was paid for, for its owner alone.
fn keep(body: &[u8], folder: &Path) -> Result<String, String> {
    let path = folder.join(format!("{}.bin", quittance_payer::random_name()));
    let write = || -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(body)?;
        file.sync_all()
    };
    write().map_err(|error| format!("the answer could not be written: {error}"))?;
    Ok(path.display().to_string())
}
