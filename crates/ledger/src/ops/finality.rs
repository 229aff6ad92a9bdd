//! What becomes of a landing after the verdict (invariant I6): the grant is
//! never revoked, the evidence is watched until it is final.

use std::ops::RangeInclusive;

use quittance_protocol::{Evidence, Landing, Network, PaymentId};
use serde_json::json;

use super::verdicts::stored;
use super::{exposure, rows};
use crate::LIST_MAX;
use crate::codec;
use crate::conn::{params, unsigned};
use crate::error::LedgerError;
use crate::ledger::{Ledger, journal};
use crate::types::Payment;

impl Ledger {
    /// Settled payments of this instance whose landing is not final yet, by the
    /// block they landed in, lowest first, at most [`LIST_MAX`].
    pub async fn unfinal(
        &self,
        network: &Network,
        blocks: RangeInclusive<u64>,
    ) -> Result<Vec<Payment>, LedgerError> {
        let (me, network) = (self.me(), network.clone());
        // A range may reach beyond what a block number can be.
        let clamped = |block: u64| i64::try_from(block).unwrap_or(i64::MAX);
        let (first, last) = (clamped(*blocks.start()), clamped(*blocks.end()));
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT * FROM payments WHERE state = 'settled' AND finality IS NULL AND owner = $1 \
                         AND owner_epoch = $2 AND network = $3 AND landed_block BETWEEN $4 AND $5 \
                         ORDER BY landed_block, id LIMIT $6",
                        params![&*me.instance, me.epoch, network.as_str(), first, last, i64::from(LIST_MAX)],
                    )
                    .await?;
                codec::payments(&rows)
            })
        })
        .await
    }

    /// Whether any settled payment of this instance is not final yet; reads one row.
    pub async fn has_unfinal(&self, network: &Network) -> Result<bool, LedgerError> {
        let (me, network) = (self.me(), network.clone());
        self.read(move |tx| {
            Box::pin(async move {
                let row = tx
                    .one(
                        "SELECT landed_block FROM payments WHERE state = 'settled' AND finality IS NULL \
                         AND owner = $1 AND owner_epoch = $2 AND network = $3 ORDER BY landed_block LIMIT 1",
                        params![&*me.instance, me.epoch, network.as_str()],
                    )
                    .await?;
                Ok(row.is_some())
            })
        })
        .await
    }

    /// These landings are final, where they are now; one commit for all of
    /// them. Accepted from any instance. Returns how many were not final before.
    pub async fn finalize(
        &self,
        landings: Vec<(PaymentId, Landing)>,
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        let me = self.me();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let mut finalized = 0_u64;
                for (id, landing) in &landings {
                    let changed = tx
                        .execute(
                            "UPDATE payments SET finality = 'finalized', finality_at_ms = $2, tx = $3, \
                             landing = $4, landed_block = $5 \
                             WHERE id = $1 AND CASE WHEN state = 'settled' AND finality IS NULL THEN TRUE ELSE FALSE END",
                            params![
                                id.as_str(),
                                now_ms,
                                landing.transaction.as_str(),
                                stored(landing, "landing")?,
                                unsigned(landing.block, "block")?,
                            ],
                        )
                        .await?;
                    if changed == 1 {
                        finalized = finalized.saturating_add(1);
                        let detail = json!({"transaction": landing.transaction, "block": landing.block});
                        journal(tx, &me, now_ms, Some(id), "finalized", detail).await?;
                    }
                }
                Ok(finalized)
            })
        })
        .await
    }

    /// The payment stands in another block, or another transaction, than its
    /// verdict says: a reorganisation moved it. Whether anything changed.
    pub async fn move_landing(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        let (transaction, block) = (landing.transaction.clone(), landing.block);
        let landing = stored(landing, "landing")?;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE payments SET tx = $2, landing = $3, landed_block = $4 \
                         WHERE id = $1 AND CASE WHEN state = 'settled' AND finality IS NULL THEN TRUE ELSE FALSE END AND landing <> $3",
                        params![id.as_str(), transaction.as_str(), landing, unsigned(block, "block")?],
                    )
                    .await?;
                if changed == 1 {
                    let detail = json!({"transaction": transaction, "block": block});
                    journal(tx, &me, now_ms, Some(&id), "moved", detail).await?;
                }
                Ok(changed == 1)
            })
        })
        .await
    }

    /// The landing is gone and cannot come back: a loss. The verdict and the
    /// grant stand. Whether it was booked now.
    pub async fn book_reorged_loss(
        &self,
        payment: &PaymentId,
        evidence: &Evidence,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        let evidence = stored(evidence, "evidence")?;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE payments SET finality = 'reorged_loss', finality_at_ms = $2, evidence = $3 \
                         WHERE id = $1 AND CASE WHEN state = 'settled' AND finality IS NULL THEN TRUE ELSE FALSE END",
                        params![id.as_str(), now_ms, evidence.as_str()],
                    )
                    .await?;
                if changed == 1 {
                    let unpaid = rows::get(tx, &id).await?;
                    exposure::unpaid(tx, &unpaid, now_ms).await?;
                    let detail = json!({"evidence": evidence});
                    journal(tx, &me, now_ms, Some(&id), "reorged_loss", detail).await?;
                }
                Ok(changed == 1)
            })
        })
        .await
    }
}
