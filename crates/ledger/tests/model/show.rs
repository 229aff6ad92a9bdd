//! What two ledgers said, as text that compares.

use quittance_ledger::{AttemptId, ClaimOutcome, Known, LedgerError, Payment, Recorded};
use quittance_protocol::DurableAttempt as _;

use crate::{Attempts, Port, base};

pub(crate) fn show(payment: &Payment) -> String {
    let p = payment;
    format!(
        "{p:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {} {:?} {:?}",
        p.origin,
        p.identifier,
        p.deadline,
        p.owner_epoch,
        p.delivery_owner,
        p.delivery_since_ms,
        p.created_at_ms,
        p.recorded_at_ms,
        p.settled_at_ms,
        p.verdict_at_ms,
        p.first_answer_at_ms,
        p.merchant_answer_at_ms,
        p.pending_answer_at_ms,
        p.landing,
        p.refusal,
        p.finality,
        p.finality_at_ms,
        p.payload,
        p.credited_at_ms,
        p.runs_interrupted,
        p.runs_crashed,
        p.pruned_at_ms,
        p.fee,
    )
}

pub(crate) fn show_known(known: Known) -> String {
    let Known { payment, alias } = known;
    format!("{} {alias:?}", show(&payment))
}

pub(crate) fn show_outcome(outcome: ClaimOutcome) -> String {
    match outcome {
        ClaimOutcome::Won(claim) => format!("won {}", show(&claim)),
        ClaimOutcome::Exists(known) => format!("exists {}", show_known(*known)),
        ClaimOutcome::Aliased(known) => format!("aliased {}", show_known(*known)),
        ClaimOutcome::Named(payment) => format!("named {}", show(&payment)),
        ClaimOutcome::Crowded(payment) => format!("crowded {}", show(&payment)),
    }
}

pub(crate) fn place(attempts: &Attempts, id: AttemptId) -> usize {
    attempts.lock().unwrap().iter().position(|known| *known == id).unwrap()
}

pub(crate) fn show_recorded(attempts: &Attempts, recorded: &Recorded) -> String {
    let replaces = recorded.replaces().map(|id| place(attempts, id));
    let (raw, hash) = (recorded.raw_bytes(), recorded.transaction());
    format!(
        "{:?} {:?} {:?} {raw:?} {hash} {} {replaces:?} {}",
        recorded.payments(),
        recorded.wallet(),
        recorded.nonce(),
        recorded.detail(),
        recorded.at_ms()
    )
}

fn fault(error: &LedgerError) -> String {
    match (error, error.payment()) {
        (_, Some(payment)) => format!("{error} {}", show(payment)),
        // The databases' own words.
        (LedgerError::Database(_), _) => "database".to_owned(),
        _ => error.to_string(),
    }
}

pub(crate) fn said<T>(result: Result<T, LedgerError>, ok: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => ok(value),
        Err(error) => fault(&error),
    }
}

pub(crate) fn all(payments: Vec<Payment>) -> String {
    payments.iter().map(show).collect::<Vec<_>>().join("\n")
}

/// One of two wallets of the network.
pub(super) fn wallet(pick: u64) -> &'static str {
    if pick % 5 == 1 { "0xother" } else { super::WALLET }
}

/// Raises the counter of one of them.
pub(super) async fn raised(store: &dyn Port, pick: u64, now_ms: i64) -> Result<u64, LedgerError> {
    store.ensure_wallet(&base(), wallet(pick), pick % 12, now_ms).await
}
