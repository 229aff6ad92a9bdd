//! Verdicts (invariant I6): final, and never silent.
//!
//! Conditions on a state stand in a CASE where the row is found by its id:
//! PostgreSQL would otherwise rather read all that is under way, whose index is
//! short by its statistics and, among dead entries, long in truth.

use quittance_protocol::{ErrorCode, Evidence, Landing, PaymentId};
use serde_json::json;

use super::attempts::{changed, refused};
use super::exposure;
use crate::conn::{Row, Tx, params, reason, unsigned};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::types::{Payment, PaymentState};

impl Ledger {
    /// The money arrived: claimed or recorded to settled. Accepted from any
    /// instance, because evidence of an arrival is true whoever brings it.
    ///
    /// Repeating it is a [`LedgerError::Transition`] that carries the payment.
    pub async fn settle(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        self.arrived(payment, landing, false, now_ms).await
    }

    /// As [`Self::settle`], where another ledger landed the payment at a payout
    /// address that both use: it may have been served there, so nothing ever
    /// runs for it here ([`DeliveryState::Owed`](crate::DeliveryState::Owed)).
    pub async fn settle_owed(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        self.arrived(payment, landing, true, now_ms).await
    }

    async fn arrived(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        owed: bool,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        let (transaction, block) = (landing.transaction.clone(), unsigned(landing.block, "block")?);
        let landing = stored(landing, "landing")?;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let row = tx
                    .change_one(
                        "UPDATE payments SET state = 'settled', tx = $2, landing = $3, settled_at_ms = $4, \
                         verdict_at_ms = $4, landed_block = $5, owed = $6 \
                         WHERE id = $1 AND CASE WHEN state IN ('claimed', 'recorded') THEN TRUE ELSE FALSE END RETURNING *",
                        params![id.as_str(), transaction.as_str(), landing, now_ms, block, owed],
                    )
                    .await?;
                let mut detail = json!({"transaction": transaction});
                if owed {
                    detail["owed"] = json!(true);
                }
                verdict(tx, &me, &id, PaymentState::Settled, row, detail, now_ms).await
            })
        })
        .await
    }

    /// It will never be settled: claimed or recorded to refused. `why` is for
    /// people, at most 512 bytes of it are kept.
    pub async fn refuse(
        &self,
        payment: &PaymentId,
        code: ErrorCode,
        why: &str,
        evidence: Option<&Evidence>,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        let (me, id, why) = (self.me(), payment.clone(), reason(why));
        let evidence = evidence.map(|evidence| stored(evidence, "evidence")).transpose()?;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let row = tx
                    .change_one(
                        "UPDATE payments SET state = 'refused', refusal_code = $2, refusal_reason = $3, \
                         evidence = $4, verdict_at_ms = $5 WHERE id = $1 \
                         AND CASE WHEN state IN ('claimed', 'recorded') THEN TRUE ELSE FALSE END AND owner = $6 AND owner_epoch = $7 RETURNING *",
                        params![
                            id.as_str(),
                            code.as_str(),
                            why.as_str(),
                            evidence.clone(),
                            now_ms,
                            &*me.instance,
                            me.epoch
                        ],
                    )
                    .await?;
                let detail = json!({"code": code.as_str(), "reason": why, "evidence": evidence});
                verdict(tx, &me, &id, PaymentState::Refused, row, detail, now_ms).await
            })
        })
        .await
    }

    /// Its deadline is finalized and nothing landed: claimed or recorded to expired.
    pub async fn expire(
        &self,
        payment: &PaymentId,
        evidence: &Evidence,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        let evidence = stored(evidence, "evidence")?;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let row = tx
                    .change_one(
                        "UPDATE payments SET state = 'expired', evidence = $2, verdict_at_ms = $3 \
                         WHERE id = $1 AND CASE WHEN state IN ('claimed', 'recorded') THEN TRUE ELSE FALSE END \
                         AND owner = $4 AND owner_epoch = $5 RETURNING *",
                        params![id.as_str(), evidence.as_str(), now_ms, &*me.instance, me.epoch],
                    )
                    .await?;
                let detail = json!({"evidence": evidence});
                verdict(tx, &me, &id, PaymentState::Expired, row, detail, now_ms).await
            })
        })
        .await
    }
}

/// To text and not to a JSON value first: costs in wei do not fit 64 bits.
pub(crate) fn stored<T: serde::Serialize>(value: &T, field: &'static str) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|_| LedgerError::OutOfRange { field })
}

async fn verdict(
    tx: &mut Tx,
    me: &Me,
    id: &PaymentId,
    to: PaymentState,
    row: Option<Row>,
    detail: serde_json::Value,
    now_ms: i64,
) -> Result<Payment, LedgerError> {
    let Some(payment) = changed(row)? else { return Err(refused(tx, me, id, to).await?) };
    exposure::verdict(tx, &payment, now_ms).await?;
    journal(tx, me, now_ms, Some(id), to.as_str(), detail).await?;
    Ok(payment)
}
