//! A ledger that was restored from a copy: what may have been granted after the copy was made, and is
//! forgotten, is granted to nobody again (P1).
//!
//! The chain remembers what landed: a payment that the copy does not have is refused as used up, one
//! that it has open finds its landing. Nobody remembers what was served for it. So of all that the copy
//! holds and that a grant may still have been left for, none is left: it ends as credits end that have
//! used up their runs, and the operator refunds it or knows better.

use quittance_protocol::PaymentId;
use serde_json::json;

use crate::conn::params;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::Restored;

/// Added to the runs of a payment whose runs nobody remembers: beyond every limit that may be configured.
const FORGOTTEN_RUNS: u32 = 1_000_000;

/// What a gate may grant still.
macro_rules! grantable {
    () => {
        "origin = 'gate' AND NOT owed AND runs < $2 AND (state IN ('claimed', 'recorded') \
         OR (state = 'settled' AND delivery IN ('none', 'running', 'credited')))"
    };
}

/// What a foreign server may be told of still.
macro_rules! tellable {
    () => {
        "origin = 'merchant' AND merchant_answer_at_ms IS NULL AND state IN ('claimed', 'recorded', 'settled')"
    };
}

const WITHHELD_LINES: &str = concat!(
    "INSERT INTO journal (payment, at_ms, instance, event, detail) \
     SELECT id, CAST($1 AS BIGINT), 'restore', 'restored', CAST($3 AS TEXT) FROM payments WHERE ",
    grantable!()
);
const WITHHOLD: &str = concat!(
    "UPDATE payments SET runs = runs + $2, \
     delivery = CASE WHEN state = 'settled' THEN 'credited' ELSE delivery END, \
     credited_at_ms = CASE WHEN state = 'settled' THEN $1 ELSE credited_at_ms END WHERE ",
    grantable!()
);
const TOLD_LINES: &str = concat!(
    "INSERT INTO journal (payment, at_ms, instance, event, detail) \
     SELECT id, CAST($1 AS BIGINT), 'restore', 'restored', CAST($2 AS TEXT) FROM payments WHERE ",
    tellable!()
);
const TELL: &str = concat!("UPDATE payments SET merchant_answer_at_ms = $1 WHERE ", tellable!());

impl Ledger {
    /// Withholds what this ledger would grant or tell of all that it holds, because it may have been
    /// granted or told after the copy was made that it was restored from. Payments without a verdict go
    /// on to theirs. Once is enough; again changes nothing. Nobody else may have the ledger open: on PostgreSQL
    /// it is refused while a lease lives.
    pub async fn mark_restored(&self, now_ms: i64) -> Result<Restored, LedgerError> {
        self.write_unleased(Box::new(move |tx| {
            Box::pin(async move {
                // SQLite has a lock for that.
                if tx.is_postgres()
                    && let Some(row) = tx
                        .one("SELECT name FROM instances WHERE lease_until_ms > $1 LIMIT 1", params![now_ms])
                        .await?
                {
                    return Err(LedgerError::InUse(format!("instance name {}", row.text("name")?)));
                }
                let newest = tx
                    .one(
                        "SELECT id, created_at_ms FROM payments ORDER BY created_at_ms DESC, id DESC LIMIT 1",
                        params![],
                    )
                    .await?;
                let line =
                    tx.one("SELECT at_ms FROM journal ORDER BY sequence DESC LIMIT 1", params![]).await?;
                let open = tx
                    .one(
                        "SELECT COUNT(*) AS open FROM payments WHERE state IN ('claimed', 'recorded')",
                        params![],
                    )
                    .await?;
                let forgotten = i64::from(FORGOTTEN_RUNS);
                let withheld = tx
                    .execute(
                        WITHHELD_LINES,
                        params![now_ms, forgotten, json!({"withheld": "run"}).to_string()],
                    )
                    .await?;
                tx.execute(WITHHOLD, params![now_ms, forgotten]).await?;
                let told = tx
                    .execute(TOLD_LINES, params![now_ms, json!({"withheld": "telling"}).to_string()])
                    .await?;
                tx.execute(TELL, params![now_ms]).await?;
                tx.execute(
                    "UPDATE merchant_answers SET state = 'told', \
                     tellings = CASE WHEN tellings > 0 THEN tellings ELSE 1 END WHERE state <> 'told'",
                    params![],
                )
                .await?;
                let newest = newest.map(|row| {
                    Ok::<_, LedgerError>((PaymentId::from_stored(row.text("id")?), row.int("created_at_ms")?))
                });
                Ok(Restored {
                    newest: newest.transpose()?,
                    last_ms: line.map(|row| row.int("at_ms")).transpose()?,
                    open: open.map_or(Ok(0), |row| row.unsigned("open"))?,
                    withheld,
                    told,
                })
            })
        }))
        .await
    }
}
