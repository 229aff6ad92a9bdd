//! Receipts, and the words of answers that name no rule: they are said by every module that
//! answers a payment.

use quittance_ledger::{LedgerError, Payment, PaymentState};
use quittance_protocol::{ErrorCode, RetryAction, SettleResponse};
use serde_json::Map;

use crate::api::{PayOutcome, Rejection};
use crate::metrics::trouble::{self, Trouble};

/// What `Retry-After` says while a verdict is outstanding.
pub(crate) const PENDING_RETRY_SECONDS: u64 = 2;

/// The reason of [`unavailable`].
pub(crate) const LEDGER: &str = "ledger";

/// What `Retry-After` says when a chain or the ledger cannot be reached.
pub(crate) const UNAVAILABLE_RETRY_SECONDS: u64 = 5;

pub(crate) fn reject(code: ErrorCode, message: &str) -> Rejection {
    Rejection::new(code, message)
}

pub(crate) fn unavailable(error: &LedgerError) -> PayOutcome {
    trouble::note(Trouble::Ledger, "", error);
    not_now(LEDGER)
}

/// This payment cannot be taken, or looked up, for the moment; `reason` as in
/// [`PayOutcome::Unavailable`].
pub(crate) fn not_now(reason: &'static str) -> PayOutcome {
    PayOutcome::Unavailable { retry_after_seconds: UNAVAILABLE_RETRY_SECONDS, reason }
}

pub(crate) fn conflict(code: ErrorCode, message: &str, known: &Payment) -> PayOutcome {
    let settled = known.state == PaymentState::Settled;
    PayOutcome::Conflict { code, message: message.to_owned(), receipt: settled.then(|| receipt(known)) }
}

/// The receipt of a settled payment.
pub(crate) fn receipt(known: &Payment) -> SettleResponse {
    SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(known.payer.clone()),
        transaction: known.transaction.clone().unwrap_or_default(),
        network: known.network.to_string(),
        amount: Some(known.amount.to_string()),
        payment_state: Some(known.state.to_string()),
        retry_action: None,
        retry_after_seconds: None,
        other: Map::new(),
    }
}

/// `settlement_pending`, with the hash once there is one (P5).
pub(crate) fn pending_receipt(known: &Payment) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::SettlementPending),
        error_message: Some("send the same payment again".to_owned()),
        retry_action: Some(RetryAction::RetrySamePayment),
        retry_after_seconds: Some(PENDING_RETRY_SECONDS),
        payment_state: Some(pending_word(known).to_owned()),
        ..receipt(known)
    }
}

fn pending_word(known: &Payment) -> &'static str {
    if known.state == PaymentState::Settled { "settled" } else { "pending" }
}
