//! What is dropped of what is finished, in small steps.

use quittance_protocol::PaymentId;
use serde_json::json;

use super::{objects, rows};
use crate::conn::{Tx, params};
use crate::error::LedgerError;
use crate::ledger::{Ledger, journal};
use crate::types::Retention;

/// Answers that one step of [`Ledger::prune`] drops at most: a step is one
/// transaction, and on SQLite whoever settles a payment waits for it.
pub(crate) const ANSWERS_PER_STEP: u64 = 32;

impl Ledger {
    /// Drops bodies, headers and keys of old answers, oldest first, at most 32 at
    /// a time; returns of how many. What nobody had got whole is delivered in
    /// part from then on.
    pub async fn prune(&self, policy: Retention, now_ms: i64) -> Result<u64, LedgerError> {
        let me = self.me();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let before_ms = now_ms.saturating_sub(policy.answers_ms);
                let mut dropped = 0_u64;
                for id in old_answers(tx, before_ms).await? {
                    dropped = dropped.saturating_add(forget(tx, &id, now_ms).await?);
                }
                if dropped > 0 {
                    let detail = json!({"answers": dropped, "before_ms": before_ms});
                    journal(tx, &me, now_ms, None, "pruned", detail).await?;
                }
                Ok(dropped)
            })
        })
        .await
    }

    /// Drops body, headers and key of one payment's answer, whenever it was made.
    /// Says whether there was one.
    pub async fn erase_answer(&self, payment: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                rows::get(tx, &id).await?;
                let erased = forget(tx, &id, now_ms).await? > 0;
                if erased {
                    journal(tx, &me, now_ms, Some(&id), "answer_erased", json!({})).await?;
                }
                Ok(erased)
            })
        })
        .await
    }
}

async fn old_answers(tx: &mut Tx, before_ms: i64) -> Result<Vec<PaymentId>, LedgerError> {
    let step = i64::try_from(ANSWERS_PER_STEP).unwrap_or(i64::MAX);
    tx.all(
        "SELECT payment FROM answers WHERE body IS NOT NULL AND at_ms < $1 ORDER BY at_ms LIMIT $2",
        params![before_ms, step],
    )
    .await?
    .iter()
    .map(|row| row.text("payment").map(PaymentId::from_stored))
    .collect()
}

/// Forgets one payment's answer, once: of how many, 0 or 1.
async fn forget(tx: &mut Tx, payment: &PaymentId, now_ms: i64) -> Result<u64, LedgerError> {
    objects::forget(tx, payment, now_ms).await?;
    tx.execute(
        "UPDATE payments SET delivered_in_part = $2 WHERE id = $1 AND delivery = 'delivered' \
         AND first_answer_at_ms IS NULL AND EXISTS \
         (SELECT 1 FROM answers WHERE payment = $1 AND body IS NOT NULL)",
        params![payment.as_str(), true],
    )
    .await?;
    tx.execute(
        "UPDATE answers SET headers = NULL, body = NULL, object = NULL \
         WHERE payment = $1 AND body IS NOT NULL",
        params![payment.as_str()],
    )
    .await
}
