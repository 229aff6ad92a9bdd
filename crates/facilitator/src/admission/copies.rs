//! Copies of one payment: they wait together, read the ledger together, and beyond a
//! number are told at once to come back.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{LedgerError, Payment};
use quittance_protocol::{ErrorCode, PaymentKey, PaymentPayload, RetryAction, SettleResponse};
use serde_json::Map;
use tokio::time::Instant;

use crate::admission::answer::{PENDING_RETRY_SECONDS, pending_receipt};
use crate::api::PayOutcome;
use crate::in_flight::notices::{Notice, Reading};
use crate::in_flight::places::Presented;
use crate::{Inner, in_flight::notices::Glimpse};

/// How long what one copy read is news to the others, unless something is announced.
const SHARED_FOR: Duration = Duration::from_millis(250);

impl Inner {
    /// The payment as the ledger has it now; `None` if it has none, or does not say
    /// until then.
    pub(crate) async fn reread(
        &self,
        notice: &Notice,
        known: &Payment,
        until: Instant,
    ) -> Result<Option<Payment>, LedgerError> {
        // A ledger that hangs is waited for together, and no longer than anybody waits.
        let Ok(mut reading) = tokio::time::timeout_at(until, notice.reading.lock()).await else {
            return Ok(None);
        };
        let announced = notice.announced();
        if let Some(last) = &*reading
            && last.announced == announced
            && last.payment.id == known.id
            && last.at.elapsed() < SHARED_FOR
        {
            return Ok(Some(last.payment.clone()));
        }
        let at = Instant::now();
        let fresh = self.context.ledger.payment(&known.id).await?;
        *reading = fresh.clone().map(|payment| Reading { at, announced, payment });
        Ok(fresh)
    }

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
            Some(identity) if identity.is_signed => self.glimpse(&identity.key).await,
            _ => None,
        };
        PayOutcome::Pending {
            receipt: receipt.unwrap_or_else(|| unknown(&payload.accepted.network)),
            retry_after_seconds: PENDING_RETRY_SECONDS,
        }
    }

    /// What stands under a key, from one read that all copies share; whoever comes
    /// while it is made gets what was known before.
    pub(crate) async fn glimpse(&self, key: &PaymentKey) -> Option<SettleResponse> {
        let notice = self.in_flight.notice(*key);
        {
            let mut glimpse = lock(&notice);
            if glimpse.at.is_some_and(|at| at.elapsed() < SHARED_FOR) {
                return glimpse.receipt.clone();
            }
            glimpse.at = Some(Instant::now());
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
        lock(&notice).receipt.clone_from(&receipt);
        receipt
    }
}

fn lock(notice: &Arc<Notice>) -> std::sync::MutexGuard<'_, Glimpse> {
    notice.glimpse.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a payment's copies share places and turns by. A signature that may be made up
/// has them for itself.
pub(crate) fn seat(key: &PaymentKey, digest: &[u8; 32], is_signed: bool) -> PaymentKey {
    if is_signed { *key } else { mixed(key, digest) }
}

/// A place of its own for a signature that is not the payer's: whoever made it up
/// must not sit in the places of the payment itself.
pub(crate) fn mixed(key: &PaymentKey, digest: &[u8; 32]) -> PaymentKey {
    let mut bytes = *key.as_bytes();
    for (byte, other) in bytes.iter_mut().zip(digest) {
        *byte ^= other;
    }
    PaymentKey::from_bytes(bytes)
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
