//! The gate's answers against `docs/errors.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Response;
use quittance_facilitator::{PayOutcome, Rejection, StoredAnswer};
use quittance_protocol::{ErrorCode, SettleResponse};
use serde_json::Value;

use super::{Ask, Runs, call, counting, paid, read};
use crate::testing::{Double, gate, receipt};
use crate::{Body, GateError, answers};

const PAGE: &str = include_str!("../../../../docs/errors.md");

/// An answer as a cell of the page writes it.
fn written(status: u16, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    let words = ["payment_state", "retry_action"].map(|name| body[name].as_str());
    let words = words.into_iter().flatten().map(|word| format!(" `{word}`"));
    format!("{status}{}", words.collect::<String>())
}

async fn of(answer: Response<Body>) -> String {
    let (head, body) = answer.into_parts();
    written(head.status.as_u16(), &read(body).await.unwrap())
}

/// What a paid call hears whose payment comes to this.
async fn paying(outcome: PayOutcome) -> String {
    let app = counting(gate(&Double::scripted(outcome)), &Runs::default());
    let answer = call(&app, paid("/gen")).await;
    written(answer.status, &answer.body)
}

/// What a call without a payment hears.
async fn unpaid(nothing_to_offer: bool) -> String {
    let double = Arc::new(Double::default());
    double.nothing_to_offer.store(nothing_to_offer, Ordering::SeqCst);
    let answer = call(&counting(gate(&double), &Runs::default()), Ask::post("/gen").body("{}")).await;
    written(answer.status, &answer.body)
}

fn in_state(state: &str) -> SettleResponse {
    SettleResponse { payment_state: Some(state.to_owned()), ..receipt() }
}

/// Codes that somebody makes and that no gate says.
const NEVER_SAID: [ErrorCode; 5] = [
    // The chain that is asked is that of the payment's own `accepted.network`.
    ErrorCode::InvalidExactEvmNetworkMismatch,
    ErrorCode::InvalidExactSvmNetworkMismatch,
    // Of the scheme that a foreign server asks for.
    ErrorCode::UnsupportedScheme,
    // The gate says `network_unavailable`, reason `ledger`.
    ErrorCode::UnexpectedVerifyError,
    ErrorCode::UnexpectedSettleError,
];

/// Everything that the gate says with a code. Which codes are conflicts (409) is held by
/// `crates/checks`: the facilitator names them.
async fn answers_with(code: ErrorCode) -> Vec<String> {
    let new = || Rejection::new(code, "why");
    let refused = |rejection| paying(PayOutcome::Refused(rejection));
    let conflict = |receipt| paying(PayOutcome::Conflict { code, message: "why".to_owned(), receipt });
    let pending = |state| {
        let receipt = SettleResponse { success: false, error_reason: Some(code), ..in_state(state) };
        paying(PayOutcome::Pending { receipt, retry_after_seconds: 2 })
    };
    match code {
        ErrorCode::PaymentRequired => vec![unpaid(false).await],
        ErrorCode::SettlementPending => vec![pending("pending").await, pending("settled").await],
        ErrorCode::NetworkUnavailable => {
            let outcome = PayOutcome::Unavailable { retry_after_seconds: 5, reason: "chain" };
            vec![paying(outcome).await, unpaid(true).await]
        }
        // Of a payment without a verdict there is no receipt.
        ErrorCode::RequestMismatch => vec![conflict(Some(receipt())).await, conflict(None).await],
        ErrorCode::CreditExhausted | ErrorCode::RefundOwed | ErrorCode::ReplayWindowClosed => {
            vec![conflict(Some(receipt())).await]
        }
        ErrorCode::BodyTooLarge => {
            let error = GateError::BodyTooLarge { max: 1 };
            vec![
                of(answers::trouble(&error)).await,
                of(answers::unserved_but_paid(&error, Some(&receipt()))).await,
            ]
        }
        ErrorCode::TooManyRequests => vec![refused(new().retry_same()).await],
        // What is missing may come.
        ErrorCode::InsufficientFunds | ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter => {
            vec![refused(new()).await, refused(new().retry_same()).await]
        }
        // The payer cancelled it, or burnt too much of the operator's.
        ErrorCode::InvalidTransactionState => {
            vec![refused(new()).await, refused(new().do_not_retry()).await]
        }
        ErrorCode::InvalidPayload => vec![
            refused(new()).await,
            of(answers::send_one(Some(&receipt()))).await,
            of(answers::send_one(None)).await,
        ],
        _ => vec![refused(new()).await],
    }
}

/// The cells of each row below a heading of the page.
fn rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, rest) = PAGE.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect())
}

/// The answers that a row of the page lists in its second cell, by the word in the first.
fn listed(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let answers = |cell: &str| cell.split("; ").map(str::to_owned).collect();
    rows(heading).map(|row| (row[0].replace('`', ""), answers(row[1]))).collect()
}

#[tokio::test]
async fn the_gate_answers_as_the_page_says() {
    let page = listed("Codes");
    let nobodys: Vec<_> = rows("Codes").filter(|row| row[3] == "*nobody*").map(|row| row[0]).collect();
    for code in ErrorCode::ALL {
        let listed = page.get(code.as_str()).unwrap_or_else(|| panic!("docs/errors.md lacks {code}"));
        let is_said = !NEVER_SAID.contains(code) && !nobodys.contains(&format!("`{code}`").as_str());
        assert_eq!(!listed.contains("–"), is_said, "docs/errors.md, {code}, gate");
        if !is_said {
            continue;
        }
        let said: BTreeSet<_> = answers_with(*code).await.into_iter().collect();
        assert_eq!(*listed, said, "docs/errors.md, {code}, gate");
    }
}

/// What the gate says with a word of its own.
async fn answers_to(error: GateError) -> Vec<String> {
    let after = |state| of(answers::trouble_after(&error, Some(&in_state(state)), Some(2)));
    match &error {
        GateError::UnknownEndpoint | GateError::UrlTooLong { .. } => vec![
            of(answers::trouble(&error)).await,
            of(answers::unserved_but_paid(&error, Some(&receipt()))).await,
        ],
        GateError::HandlerFailed | GateError::HandlerTooSlow | GateError::RunRevoked => {
            vec![after("credited").await, after("running").await]
        }
        GateError::NotBooked(_) => vec![after("running").await],
        _ => vec![of(answers::trouble(&error)).await],
    }
}

#[tokio::test]
async fn the_gates_own_words_are_said_as_the_page_says() {
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for error in [
        GateError::UnknownEndpoint,
        GateError::OtherMethod { allowed: "POST".to_owned() },
        GateError::UrlTooLong { max: 1 },
        GateError::EncodedBody,
        GateError::UnclearType,
        GateError::BodyTooSlow,
        GateError::BodyBroken,
        GateError::TooManyInFlight,
        GateError::TooManyBytes { paying: false },
        GateError::TooManyBytes { paying: true },
        GateError::ServiceDown { paying: false },
        GateError::ServiceDown { paying: true },
        GateError::HandlerFailed,
        GateError::HandlerTooSlow,
        GateError::RunRevoked,
        GateError::NotBooked("why".into()),
        GateError::NotPaid,
        GateError::NotAuthenticated,
        GateError::Gate,
    ] {
        said.entry(error.code().to_owned()).or_default().extend(answers_to(error).await);
    }
    for (status, refundable) in [(200, false), (200, true), (400, true)] {
        let answer = StoredAnswer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            object: None,
            truncated: true,
            refundable,
            usage: None,
        };
        let words = of(answers::not_kept(&answer, &receipt())).await;
        said.entry("answer_not_kept".to_owned()).or_default().insert(words);
    }
    let words = of(answers::unreachable(&receipt(), 2)).await;
    said.entry("answer_unreachable".to_owned()).or_default().insert(words);
    assert_eq!(listed("Words of the gate alone"), said, "docs/errors.md");
}
