//! Copies of one payment: they wait together, read the ledger together, and beyond a
//! number are told at once to come back.

use std::sync::Arc;
use std::time::Duration;

use quittance_protocol::{ErrorCode, PaymentKey, PaymentPayload, RetryAction, SettleResponse};
use serde_json::Map;
use tokio::time::Instant;

use crate::Inner;
use crate::api::PayOutcome;
use crate::api::receipts::{PENDING_RETRY_SECONDS, pending_receipt};
use crate::in_flight::entries::{PaymentEntry, Peek};
use crate::in_flight::places::Presented;
use crate::in_flight::share_key::mixed;

/// How long what one copy read is shared with the others, unless something is announced.
pub(crate) const SHARED_FOR: Duration = Duration::from_millis(250);

impl Inner {
    /// See [`crate::Facilitator::presented`].
    pub(crate) fn presented(&self, payload: &PaymentPayload) -> Option<Presented> {
        let identity = self.identify(payload)?;
        let key = match (identity.is_signed, identity.digests.first()) {
            (false, Some(digest)) => mixed(&identity.key, digest),
            _ => identity.key,
        };
        let has_history = self.strangers.has_history(identity.signer());
        Some(Presented { key, has_history, is_signed: identity.is_signed })
    }

    /// See [`crate::Facilitator::copy_too_many`].
    pub(crate) async fn copy_too_many(&self, payload: &PaymentPayload) -> PayOutcome {
        let receipt = match self.identify(payload) {
            Some(identity) if identity.is_signed => self.peek(&identity.key).await,
            _ => None,
        };
        PayOutcome::Pending {
            receipt: receipt.unwrap_or_else(|| unknown(&payload.accepted.network)),
            retry_after_seconds: PENDING_RETRY_SECONDS,
        }
    }

    /// What stands under a key, from one read that all copies share; whoever comes
    /// while it is made gets what was known before.
    pub(crate) async fn peek(&self, key: &PaymentKey) -> Option<SettleResponse> {
        let entry = self.in_flight.entry(*key);
        {
            let mut peek = lock(&entry);
            if peek.at.is_some_and(|at| at.elapsed() < SHARED_FOR) {
                return peek.receipt.clone();
            }
            peek.at = Some(Instant::now());
        }
        let known = self.context.ledger.known(key).await.ok().flatten().filter(|known| !known.is_free());
        let receipt = match known {
            // It was told pending like the others, and that is on record (P7).
            Some(known) => match self.pending(&known.payment).await {
                PayOutcome::Pending { .. } => Some(pending_receipt(&known.payment)),
                _ => None,
            },
            None => None,
        };
        lock(&entry).receipt.clone_from(&receipt);
        receipt
    }
}

fn lock(entry: &Arc<PaymentEntry>) -> std::sync::MutexGuard<'_, Peek> {
    entry.peek.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `settlement_pending` of a payment that is not on record yet.
fn unknown(network: &str) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::SettlementPending),
        error_message: Some("send the same payment again".to_owned()),
        payer: None,
        transaction: String::new(),
        network: network.to_owned(),
        amount: None,
        payment_state: Some("pending".to_owned()),
        retry_action: Some(RetryAction::RetrySamePayment),
        retry_after_seconds: Some(PENDING_RETRY_SECONDS),
        other: Map::new(),
    }
}
