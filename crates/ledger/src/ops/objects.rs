//! Answers that lie in a file or object store: their names and keys, and what
//! is left of those that nobody needs.

use quittance_protocol::PaymentId;

use super::{lease_clock, rows};
use crate::LIST_MAX;
use crate::conn::{Row, Tx, params, plain, unsigned};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{AnswerObject, DeliveryState, LeftoverObject};

/// A dropped object is deleted once more after this long: a write that was on its
/// way when it was dropped may have come after the first deletion.
pub(crate) const DELETED_AGAIN_MS: i64 = 3_600_000;

impl Ledger {
    /// Before the first object of an answer is written: its name and key. Only
    /// for the run under way, by the instance that has it.
    pub async fn begin_answer_object(
        &self,
        payment: &PaymentId,
        run: u32,
        name: &str,
        key: [u8; 32],
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (me, id, name) = (self.me(), payment.clone(), plain(name, "object")?.to_owned());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let begun = tx
                    .execute(
                        "INSERT INTO answer_objects (name, payment, run, key, bytes, state, instance, at_ms) \
                         SELECT $1, id, runs, $2, 0, 'writing', $3, $4 FROM payments WHERE id = $5 \
                         AND CASE WHEN delivery = 'running' THEN TRUE ELSE FALSE END AND runs = $6 AND delivery_owner = $3 AND delivery_epoch = $7",
                        params![
                            name,
                            &key,
                            &*me.instance,
                            now_ms,
                            id.as_str(),
                            i64::from(run),
                            me.epoch
                        ],
                    )
                    .await?;
                match begun {
                    1 => Ok(()),
                    _ => Err(rows::delivery_error(rows::get(tx, &id).await?, DeliveryState::Running)),
                }
            })
        })
        .await
    }

    /// Objects that no kept answer needs: of runs that ended without them, of
    /// this instance and of dead ones, and dropped ones that are to be deleted.
    pub async fn leftover_objects(&self, now_ms: i64) -> Result<Vec<LeftoverObject>, LedgerError> {
        let (me, clock) = (self.me(), self.options().lease_clock);
        self.read(move |tx| {
            Box::pin(async move {
                let lease_now_ms = lease_clock::lease_now(tx, clock, now_ms).await?;
                tx.all(
                    "SELECT o.name AS name, o.key IS NOT NULL AS has_key FROM answer_objects o \
                     JOIN payments p ON p.id = o.payment LEFT JOIN instances i ON i.name = o.instance \
                     WHERE o.state <> 'kept' AND o.state IN ('writing', 'dropped') AND (\
                     (o.state = 'writing' AND NOT (p.delivery = 'running' AND p.runs = o.run) \
                      AND (o.instance = $1 OR i.name IS NULL OR i.lease_until_ms < $2)) \
                     OR (o.state = 'dropped' AND (o.deleted_at_ms IS NULL OR o.dropped_at_ms < $3))) \
                     ORDER BY o.name LIMIT $4",
                    params![
                        &*me.instance,
                        lease_now_ms,
                        now_ms.saturating_sub(DELETED_AGAIN_MS),
                        i64::from(LIST_MAX)
                    ],
                )
                .await?
                .iter()
                .map(|row| Ok(LeftoverObject { name: row.text("name")?, has_key: row.flag("has_key")? }))
                .collect()
            })
        })
        .await
    }

    /// Deletes the key of an object that its run did not keep. Says whether there was one.
    pub async fn drop_answer_object(&self, name: &str, now_ms: i64) -> Result<bool, LedgerError> {
        let name = name.to_owned();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let dropped = tx
                    .execute(
                        "UPDATE answer_objects SET state = 'dropped', key = NULL, dropped_at_ms = $2 \
                         WHERE name = $1 AND CASE WHEN state = 'writing' THEN TRUE ELSE FALSE END AND NOT EXISTS (SELECT 1 FROM payments p \
                         WHERE p.id = answer_objects.payment AND p.runs = answer_objects.run \
                         AND CASE WHEN p.delivery = 'running' THEN TRUE ELSE FALSE END)",
                        params![name, now_ms],
                    )
                    .await?;
                Ok(dropped == 1)
            })
        })
        .await
    }

    /// A dropped object was deleted from the store: its row goes too, an hour
    /// after it was dropped.
    pub async fn note_object_deleted(&self, name: &str, now_ms: i64) -> Result<(), LedgerError> {
        let name = name.to_owned();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                tx.execute(
                    "UPDATE answer_objects SET deleted_at_ms = $2 WHERE name = $1 \
                     AND CASE WHEN state = 'dropped' THEN TRUE ELSE FALSE END",
                    params![name.as_str(), now_ms],
                )
                .await?;
                tx.execute(
                    "DELETE FROM answer_objects WHERE name = $1 AND CASE WHEN state = 'dropped' THEN TRUE ELSE FALSE END \
                     AND dropped_at_ms < $2",
                    params![name.as_str(), now_ms.saturating_sub(DELETED_AGAIN_MS)],
                )
                .await
                .map(drop)
            })
        })
        .await
    }

    /// What all kept objects take, in bytes of answers.
    pub async fn kept_object_bytes(&self) -> Result<u64, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move {
                tx.one("SELECT kept_bytes FROM answer_object_totals WHERE place = 1", params![])
                    .await?
                    .ok_or(LedgerError::Corrupt { field: "answer_object_totals" })?
                    .unsigned("kept_bytes")
            })
        })
        .await
    }
}

/// The run completed: its object is the answer's.
pub(super) async fn keep(
    tx: &mut Tx,
    payment: &PaymentId,
    run: u32,
    object: &AnswerObject,
) -> Result<(), LedgerError> {
    let kept = tx
        .execute(
            "UPDATE answer_objects SET state = 'kept', bytes = $4 WHERE name = $1 AND payment = $2 \
             AND run = $3 AND CASE WHEN state = 'writing' THEN TRUE ELSE FALSE END",
            params![
                object.name.as_str(),
                payment.as_str(),
                i64::from(run),
                unsigned(object.bytes, "object bytes")?
            ],
        )
        .await?;
    // A row never points to an object that was not begun for this very run.
    if kept != 1 {
        return Err(LedgerError::Corrupt { field: "answer_objects" });
    }
    tx.execute(
        "UPDATE answer_object_totals SET kept_bytes = kept_bytes + $1 WHERE place = 1",
        params![unsigned(object.bytes, "object bytes")?],
    )
    .await
    .map(drop)
}

/// A payment's answer is not needed any more: its object loses its key.
pub(super) async fn forget(tx: &mut Tx, payment: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
    let dropped = tx
        .change(
            "UPDATE answer_objects SET state = 'dropped', key = NULL, dropped_at_ms = $2 WHERE state = 'kept' \
             AND name = (SELECT object FROM answers WHERE payment = $1) RETURNING bytes",
            params![payment.as_str(), now_ms],
        )
        .await?;
    for row in &dropped {
        tx.execute(
            "UPDATE answer_object_totals SET kept_bytes = \
             CASE WHEN kept_bytes > $1 THEN kept_bytes - $1 ELSE 0 END WHERE place = 1",
            params![row.int("bytes")?],
        )
        .await?;
    }
    Ok(())
}

/// The object of an answer's row, joined with its own.
pub(super) fn of_answer(row: &Row) -> Result<Option<AnswerObject>, LedgerError> {
    let Some(name) = row.text_opt("object")? else { return Ok(None) };
    let bytes = row.int_opt("object_bytes")?.and_then(|bytes| u64::try_from(bytes).ok());
    let bytes = bytes.ok_or(LedgerError::Corrupt { field: "answer_objects" })?;
    Ok(Some(AnswerObject { name, key: row.hash("object_key")?, bytes }))
}
