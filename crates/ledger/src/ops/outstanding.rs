//! What payers may still come for: credits, and money that is to be given back.

use super::delivery::runs_left;
use crate::conn::params;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{Outstanding, OutstandingKind, RunLimits};

/// Credits and what was delivered in part are among what nobody has taken whole, which has an index
/// of its own; refusals of handlers among the answers that are kept.
const OUTSTANDING: &str = concat!(
    "SELECT network, kind, CAST(COUNT(*) AS BIGINT) AS payments, CAST(SUM(amount) AS BIGINT) AS amount FROM ( \
     SELECT network, amount, 'owed' AS kind FROM payments WHERE owed \
     UNION ALL \
     SELECT network, amount, CASE WHEN delivered_in_part THEN 'delivered_in_part' WHEN ",
    runs_left!("$1", "$2"),
    " THEN 'credit' ELSE 'credit_used_up' END FROM payments \
     WHERE origin = 'gate' AND first_answer_at_ms IS NULL AND state IN ('claimed', 'recorded', 'settled') \
     AND (delivered_in_part OR delivery = 'credited' OR (state = 'settled' AND delivery = 'none' AND runs > 0)) \
     UNION ALL \
     SELECT p.network, p.amount, 'refused' FROM answers a JOIN payments p ON p.id = a.payment \
     WHERE a.body IS NOT NULL AND a.at_ms >= $3 AND a.refundable AND NOT a.truncated \
     ) AS found GROUP BY network, kind ORDER BY network, kind"
);

impl Ledger {
    /// What is outstanding, by network and kind. Handlers' refusals are those answered since
    /// `answers_since_ms` and still kept. Looks at every payment that nobody has taken the whole
    /// answer of: for people, not for timers.
    pub async fn outstanding(
        &self,
        limits: RunLimits,
        answers_since_ms: i64,
    ) -> Result<Vec<Outstanding>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move {
                let (failed, crashed) = (i64::from(limits.failed_max), i64::from(limits.crashed_max));
                let rows = tx.all(OUTSTANDING, params![failed, crashed, answers_since_ms]).await?;
                let read = |row: &crate::conn::Row| {
                    let kind = OutstandingKind::from_stored(&row.text("kind")?);
                    Ok(Outstanding {
                        network: row.network()?,
                        kind: kind.ok_or(LedgerError::Corrupt { field: "kind" })?,
                        payments: row.unsigned("payments")?,
                        amount: row.amount("amount")?,
                    })
                };
                rows.iter().map(read).collect()
            })
        })
        .await
    }
}
