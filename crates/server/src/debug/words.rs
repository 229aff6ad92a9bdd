//! How a call ended, in words, with what to do: from the page of error codes.

use quittance_payer::{Answer, Outcome, PayError};
use quittance_protocol::plain_words;
use serde::Serialize;
use serde_json::Value;

/// The page that each code stands on.
const PAGE: &str = include_str!("../../../../docs/errors.md");

/// How it ended.
#[derive(Serialize)]
pub(crate) struct End {
    /// `paid`, `free`, `refused`, `open`, `looked` or `failed`.
    pub(crate) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// What the page of error codes says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    /// Bytes of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<usize>,
}

/// What the page says about a code.
pub(crate) fn advice(code: &str) -> Option<String> {
    let wanted = format!("| `{code}` |");
    let row = PAGE.lines().find(|line| line.starts_with(&wanted))?;
    let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    cells.last().map(|text| (*text).to_owned()).filter(|text| !text.is_empty())
}

pub(crate) fn of_answer(answer: &Answer) -> End {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = |name: &str| body.get(name).and_then(Value::as_str).map(plain_words);
    let in_receipt = |name: &str| {
        let receipt = answer.receipt.as_ref()?;
        receipt.get(name).and_then(Value::as_str).map(plain_words)
    };
    let outcome = match &answer.outcome {
        Outcome::Free => "free",
        Outcome::Paid => "paid",
        Outcome::Refused(_) => "refused",
        Outcome::Open => "open",
    };
    let is_good = (200..300).contains(&answer.status);
    let code = match &answer.outcome {
        Outcome::Refused(Some(reason)) => Some(plain_words(reason)),
        _ if is_good => None,
        _ => in_receipt("errorReason").or_else(|| said("code")).or_else(|| said("error")),
    };
    let words = said("message").or_else(|| in_receipt("errorMessage"));
    let message = match (&answer.outcome, is_good) {
        (Outcome::Free, true) => "answered without a payment".to_owned(),
        (Outcome::Paid, true) => "paid, and answered".to_owned(),
        (Outcome::Paid, false) => words
            .unwrap_or_else(|| "paid; the answer is no success: read it, and do not pay again".to_owned()),
        (Outcome::Refused(_), _) => words.unwrap_or_else(|| "the payment was refused".to_owned()),
        (Outcome::Open, _) => {
            "nobody said how the payment ended: the same command sends the same payment again, \
             and no other"
                .to_owned()
        }
        (Outcome::Free, false) => words.unwrap_or_else(|| "no success, and no price".to_owned()),
    };
    let advice = code.as_deref().and_then(advice);
    End { outcome, status: Some(answer.status), code, message, advice, bytes: Some(answer.body.len()) }
}

pub(crate) fn of_look() -> End {
    let message = "nothing was signed; --pay buys within the limits of the command line".to_owned();
    End { outcome: "looked", status: Some(402), code: None, message, advice: None, bytes: None }
}

pub(crate) fn of_error(error: &PayError) -> End {
    let advice = match error {
        PayError::Http(_) => Some("Nothing was signed: see whether the server runs and the URL is right."),
        PayError::NotX402(_) => {
            Some("Nothing was signed: the server asks for money in a way that is no x402.")
        }
        PayError::NoOffer(_) => {
            Some("Nothing was signed: give a key for one of the networks (--evm-key, --solana-key).")
        }
        PayError::Limit(_) => Some("Nothing was signed: the limits of the command line say how much may be."),
        PayError::Unknown(_) => Some("Run the same command again: it sends the same payment, and no other."),
        _ => None,
    };
    let (message, advice) = (plain_words(&error.to_string()), advice.map(str::to_owned));
    End { outcome: "failed", status: None, code: None, message, advice, bytes: None }
}

#[cfg(test)]
mod tests {
    use quittance_protocol::ErrorCode;

    use super::*;

    #[test]
    fn the_page_has_words_for_what_gates_say() {
        for code in [ErrorCode::SettlementPending, ErrorCode::InsufficientFunds, ErrorCode::InvalidNetwork] {
            let advice = advice(code.as_str()).unwrap();
            assert!(advice.len() > 20 && !advice.contains('|'), "{advice}");
        }
        assert_eq!(advice("no_such_code"), None);
        assert_eq!(advice("code"), None, "the table's own head");
    }
}
