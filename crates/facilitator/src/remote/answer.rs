//! What an answer to `/settle` says. Pure.
//!
//! None of it is a verdict: whoever holds a signed authorization can land it until its deadline, so
//! a refusal proves as little as a success.

use quittance_protocol::plain_words;
use serde_json::Value;

use super::http::Said;

/// Longest name of a transaction: 88 characters of base58 on Solana.
const TRANSACTION_CHARS_MAX: usize = 128;

/// Longest code that is repeated.
const CODE_CHARS_MAX: usize = 80;

/// What a facilitator answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It says that this transaction settled the payment.
    Settled(String),
    /// It says that this one did, and that it was told of before.
    Duplicate(String),
    /// It does not know yet.
    Pending {
        /// Which transaction it waits for, if it says so.
        transaction: Option<String>,
        /// When to ask again.
        retry_after: Option<u64>,
    },
    /// It says that it does not settle this, and why.
    Refused(String),
    /// No answer to the question: a time-out, a status, a body that is none, a success of nothing.
    Unknown {
        why: String,
        /// When to ask again, where a status said so.
        retry_after: Option<u64>,
    },
}

impl Answer {
    pub(super) fn of(said: Result<Said, String>) -> Self {
        let said = match said {
            Ok(said) => said,
            Err(why) => return Self::Unknown { why, retry_after: None },
        };
        let Said { status, retry_after, body } = said;
        let unknown = |why: String| Self::Unknown { why, retry_after };
        // A proxy in front of it answers for nobody.
        if status >= 500 || matches!(status, 401 | 403 | 408 | 429) || (300..400).contains(&status) {
            return unknown(format!("HTTP {status}"));
        }
        let Ok(Value::Object(answer)) = serde_json::from_slice(&body) else {
            return unknown(format!("HTTP {status} without an answer"));
        };
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let transaction = transaction(text("transaction"));
        match (answer.get("success").and_then(Value::as_bool), text("errorReason"), transaction) {
            (Some(true), _, Some(transaction)) => Self::Settled(transaction),
            (Some(true), _, None) => unknown("a success that names no transaction".to_owned()),
            (Some(false), "settlement_pending", transaction) => Self::Pending { transaction, retry_after },
            (Some(false), "duplicate_settlement", Some(transaction)) => Self::Duplicate(transaction),
            (Some(false), code, _) => Self::Refused(plain_words(code).chars().take(CODE_CHARS_MAX).collect()),
            (None, _, _) => unknown(format!("HTTP {status} without an answer")),
        }
    }

    /// For metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Settled(_) => "settled",
            Self::Duplicate(_) => "duplicate",
            Self::Pending { .. } => "pending",
            Self::Refused(_) => "refused",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Every one of [`Self::word`].
    pub(crate) const WORDS: [&'static str; 5] = ["settled", "duplicate", "pending", "refused", "unknown"];
}

/// A name that can be a transaction's; anything else names none.
fn transaction(text: &str) -> Option<String> {
    let is_name =
        (1..=TRANSACTION_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer::of(Ok(Said { status, retry_after: Some(7), body: body.as_bytes().to_vec() }))
    }

    fn is_unknown(answer: &Answer) -> bool {
        matches!(answer, Answer::Unknown { .. })
    }

    #[test]
    fn what_is_no_answer_is_unknown_and_nothing_else() {
        assert!(is_unknown(&Answer::of(Err("no answer within 30 s".to_owned()))));
        for (status, body) in [
            (200, ""),
            (200, "<html>"),
            (200, "[]"),
            (200, "{}"),
            (200, "null"),
            (200, r#"{"success":"true","transaction":"0xab"}"#),
            // A success of nothing.
            (200, r#"{"success":true}"#),
            (200, r#"{"success":true,"transaction":""}"#),
            (200, r#"{"success":true,"transaction":7}"#),
            (200, r#"{"success":true,"transaction":"0xab\n0xcd"}"#),
            // Who answers for another says nothing, whatever its body says.
            (500, r#"{"success":true,"transaction":"0xab"}"#),
            (503, r#"{"success":false,"errorReason":"invalid_payload"}"#),
            (429, r#"{"success":false,"errorReason":"invalid_payload"}"#),
            (401, r#"{"success":false,"errorReason":"unauthorized"}"#),
            (302, r#"{"success":true,"transaction":"0xab"}"#),
            (404, "not found"),
        ] {
            assert!(is_unknown(&answer(status, body)), "{status} {body}");
        }
        let long = format!(r#"{{"success":true,"transaction":"{}"}}"#, "a".repeat(129));
        assert!(is_unknown(&answer(200, &long)));
    }

    #[test]
    fn a_transaction_is_named_by_a_success_and_by_a_duplicate() {
        let settled = answer(200, r#"{"success":true,"transaction":"0xab","network":"eip155:8453"}"#);
        assert_eq!(settled, Answer::Settled("0xab".to_owned()));
        let duplicate =
            r#"{"success":false,"errorReason":"duplicate_settlement","transaction":"0xab","network":""}"#;
        assert_eq!(answer(200, duplicate), Answer::Duplicate("0xab".to_owned()));
        let nameless = r#"{"success":false,"errorReason":"duplicate_settlement","transaction":""}"#;
        assert_eq!(answer(200, nameless), Answer::Refused("duplicate_settlement".to_owned()));
        let pending = r#"{"success":false,"errorReason":"settlement_pending","transaction":""}"#;
        assert_eq!(answer(200, pending), Answer::Pending { transaction: None, retry_after: Some(7) });
    }

    #[test]
    fn a_refusal_is_repeated_in_few_plain_characters() {
        let body = format!(r#"{{"success":false,"errorReason":"bad\u001b[31m{}"}}"#, "x".repeat(500));
        let Answer::Refused(code) = answer(400, &body) else { panic!() };
        assert!(code.len() <= CODE_CHARS_MAX && !code.contains('\u{1b}'), "{code}");
    }

    #[test]
    fn every_word_is_listed() {
        let pending = Answer::Pending { transaction: None, retry_after: None };
        let unknown = Answer::Unknown { why: String::new(), retry_after: None };
        let all = [
            Answer::Settled(String::new()),
            Answer::Duplicate(String::new()),
            pending,
            Answer::Refused(String::new()),
            unknown,
        ];
        assert_eq!(all.map(|answer| answer.word()), Answer::WORDS);
    }
}
