//! Running sums against the rows that they sum up, for operators and tests: a sum
//! that is kept is worth what it is checked with.

use crate::conn::{Row, params};
use crate::error::LedgerError;
use crate::exposure::first_slot;
use crate::ledger::Ledger;

/// What settling cost, by network and ten minutes of the last day.
const COSTS: &str = "\
    WITH kept AS (SELECT network, slot, usdc FROM cost_totals WHERE payer = '' AND slot >= $1), \
    real AS ( \
        SELECT network, at_ms / 600000 AS slot, CAST(SUM(COALESCE(usdc, 0)) AS BIGINT) AS usdc \
        FROM costs WHERE at_ms / 600000 >= $1 GROUP BY network, at_ms / 600000 \
    ) \
    SELECT 'cost_totals of ' || network AS what, CAST(SUM(kept) AS BIGINT) AS kept, \
           CAST(SUM(counted) AS BIGINT) AS counted FROM ( \
        SELECT network, slot, usdc AS kept, 0 AS counted FROM kept \
        UNION ALL SELECT network, slot, 0, usdc FROM real \
    ) AS sums GROUP BY network, slot HAVING SUM(kept) <> SUM(counted) ORDER BY 1";

/// What payers paid for settling.
const PAYERS: &str = "\
    WITH real AS ( \
        SELECT network, payer, CAST(SUM(gas) AS BIGINT) AS paid FROM payments \
        WHERE state = 'settled' AND NOT owed AND fee_policy IS NULL AND finality IS DISTINCT FROM 'reorged_loss' GROUP BY network, payer \
    ) \
    SELECT 'payers, ' || payer AS what, CAST(SUM(kept) AS BIGINT) AS kept, \
           CAST(SUM(counted) AS BIGINT) AS counted FROM ( \
        SELECT network, payer, paid AS kept, 0 AS counted FROM payers \
        UNION ALL SELECT network, payer, 0, paid FROM real \
    ) AS sums GROUP BY network, payer HAVING SUM(kept) <> SUM(counted) ORDER BY 1";

const OBJECTS: &str = "\
    SELECT 'answer_object_totals' AS what, kept_bytes AS kept, counted FROM answer_object_totals, \
        (SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS counted FROM answer_objects WHERE state = 'kept') AS real \
    WHERE kept_bytes <> counted";

/// What merchants' payments moved, were charged and cost, since there are merchants.
const MERCHANTS: &str = "\
    WITH real AS ( \
        SELECT merchant, network, CAST(SUM(amount + gas * 2 + fee_carried * 3) AS BIGINT) AS counted FROM payments \
        WHERE state = 'settled' AND NOT owed AND fee_policy IS NOT NULL GROUP BY merchant, network \
        UNION ALL \
        SELECT p.merchant, c.network, CAST(SUM(COALESCE(c.usdc, 0) * 5) AS BIGINT) FROM costs c \
        JOIN payments p ON p.id = c.payment WHERE p.fee_policy IS NOT NULL GROUP BY p.merchant, c.network \
    ), kept AS ( \
        SELECT merchant, network, CAST(SUM(amount + charged * 2 + (absorbed + billed) * 3 \
            + (earned_cost + burnt_cost) * 5) AS BIGINT) AS kept FROM merchant_totals GROUP BY merchant, network \
    ) \
    SELECT 'merchant_totals, ' || merchant AS what, CAST(SUM(kept) AS BIGINT) AS kept, \
           CAST(SUM(counted) AS BIGINT) AS counted FROM ( \
        SELECT merchant, network, kept, 0 AS counted FROM kept \
        UNION ALL SELECT merchant, network, 0, counted FROM real \
    ) AS sums GROUP BY merchant, network HAVING SUM(kept) <> SUM(counted) ORDER BY 1";

impl Ledger {
    /// Every running sum that differs from what it sums up, in words; reads whole
    /// tables.
    pub async fn audit_totals(&self, now_ms: i64) -> Result<Vec<String>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move {
                let mut found = tx.all(COSTS, params![first_slot(now_ms)]).await?;
                found.extend(tx.all(PAYERS, params![]).await?);
                found.extend(tx.all(OBJECTS, params![]).await?);
                found.extend(tx.all(MERCHANTS, params![]).await?);
                found.iter().map(difference).collect()
            })
        })
        .await
    }
}

fn difference(row: &Row) -> Result<String, LedgerError> {
    Ok(format!("{} says {}, the rows {}", row.text("what")?, row.int("kept")?, row.int("counted")?))
}
