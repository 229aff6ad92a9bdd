//! Reservations that end before, or long after, their payment's verdict (P3).

use quittance_protocol::PaymentId;
use serde_json::json;

use super::rows;
use crate::conn::params;
use crate::error::LedgerError;
use crate::ledger::{Ledger, journal};

impl Ledger {
    /// Nothing of this unfinished payment is signed, or nobody who was sent its bytes passed
    /// them on, so unless they are sent again they cost nothing: their cost is reserved no
    /// more, the payer's money is. Before they are sent, or signed, it is reserved anew
    /// ([`Ledger::reserve`]). Whether anything was. Bytes that take a wallet's nonce give it back
    /// only once what they burnt is in the ledger: whatever a node said, that nonce is used up
    /// some time.
    pub async fn return_cost(&self, payment: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let payment = rows::lock(tx, &id).await?;
                if payment.state.is_final() {
                    return Ok(false);
                }
                if !me.owns(&payment) {
                    return Err(LedgerError::NotOwner { payment: Box::new(payment) });
                }
                let returned = tx
                    .execute(
                        "UPDATE reservations SET usdc = 0, native = 0 WHERE payment = $1 AND native > 0 \
                         AND NOT EXISTS (SELECT 1 FROM attempt_payments l JOIN attempts a ON a.id = l.attempt \
                         LEFT JOIN costs c ON c.network = a.network AND c.tx = a.tx AND c.item = l.item \
                         WHERE l.payment = $1 AND a.nonce IS NOT NULL AND c.tx IS NULL \
                         AND NOT EXISTS (SELECT 1 FROM attempts s \
                         JOIN costs b ON b.network = s.network AND b.tx = s.tx \
                         WHERE s.network = a.network AND s.wallet = a.wallet AND s.nonce = a.nonce \
                         AND s.id <> a.id))",
                        params![id.as_str()],
                    )
                    .await?;
                if returned == 1 {
                    journal(tx, &me, now_ms, Some(&id), "cost_returned", json!({})).await?;
                }
                Ok(returned == 1)
            })
        })
        .await
    }

    /// No attempt of this finished payment can land any more: what is still
    /// reserved for it is free. Whether anything was.
    pub async fn release(&self, payment: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let freed = tx
                    .execute(
                        "DELETE FROM reservations WHERE payment = $1 AND payment IN \
                         (SELECT id FROM payments WHERE id = $1 AND state IN ('settled', 'refused', 'expired'))",
                        params![id.as_str()],
                    )
                    .await?;
                if freed == 1 {
                    journal(tx, &me, now_ms, Some(&id), "released", json!({})).await?;
                }
                Ok(freed == 1)
            })
        })
        .await
    }
}
