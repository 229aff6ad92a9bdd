//! What operators look at, and what may be dropped.

use quittance_protocol::{Network, PaymentId};
use serde_json::json;

use crate::LIST_MAX;
use crate::codec;
use crate::conn::params;
use crate::error::LedgerError;
use crate::ledger::{Ledger, journal};
use crate::types::{JournalLine, Payment, PaymentFilter, PaymentState, Retention};

impl Ledger {
    /// How many payments there are, by network and state.
    pub async fn counts(&self) -> Result<Vec<(Network, PaymentState, u64)>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move {
                tx.all(
                    "SELECT network, state, COUNT(*) AS payments FROM payments \
                     GROUP BY network, state ORDER BY network, state",
                    params![],
                )
                .await?
                .iter()
                .map(|row| {
                    let state = PaymentState::from_stored(&row.text("state")?)
                        .ok_or(LedgerError::Corrupt { field: "state" })?;
                    Ok((row.network()?, state, row.unsigned("payments")?))
                })
                .collect()
            })
        })
        .await
    }

    /// The journal of one payment, oldest first.
    pub async fn journal(&self, payment: &PaymentId) -> Result<Vec<JournalLine>, LedgerError> {
        let id = payment.clone();
        self.read(move |tx| {
            Box::pin(async move {
                tx.all(
                    "SELECT * FROM journal WHERE payment = $1 ORDER BY sequence LIMIT $2",
                    params![id.as_str(), i64::from(LIST_MAX)],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(JournalLine {
                        sequence: row.int("sequence")?,
                        at_ms: row.int("at_ms")?,
                        instance: row.text("instance")?,
                        event: row.text("event")?,
                        detail: row.json("detail")?,
                    })
                })
                .collect()
            })
        })
        .await
    }

    /// Payments, newest first.
    pub async fn payments(&self, filter: PaymentFilter) -> Result<Vec<Payment>, LedgerError> {
        let limit = match filter.limit {
            0 => LIST_MAX,
            limit => limit.min(LIST_MAX),
        };
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT * FROM payments WHERE ($1 OR state = $2) AND ($3 OR network = $4) \
                         AND ($5 OR (created_at_ms, id) < (SELECT created_at_ms, id FROM payments WHERE id = $6)) \
                         ORDER BY created_at_ms DESC, id DESC LIMIT $7",
                        params![
                            filter.state.is_none(),
                            filter.state.map(|state| state.as_str().to_owned()),
                            filter.network.is_none(),
                            filter.network.map(|network| network.to_string()),
                            filter.before.is_none(),
                            filter.before.map(|id| id.to_string()),
                            i64::from(limit),
                        ],
                    )
                    .await?;
                codec::payments(&rows)
            })
        })
        .await
    }

    /// Drops bodies and headers of old answers; returns of how many. Payments,
    /// keys, attempts and journal stay.
    pub async fn prune(&self, policy: Retention, now_ms: i64) -> Result<u64, LedgerError> {
        let me = self.me();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let before_ms = now_ms.saturating_sub(policy.answers_ms);
                let dropped = tx
                    .execute(
                        "UPDATE answers SET headers = NULL, body = NULL WHERE body IS NOT NULL AND at_ms < $1",
                        params![before_ms],
                    )
                    .await?;
                if dropped > 0 {
                    let detail = json!({"answers": dropped, "before_ms": before_ms});
                    journal(tx, &me, now_ms, None, "pruned", detail).await?;
                }
                Ok(dropped)
            })
        })
        .await
    }
}
