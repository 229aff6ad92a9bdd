//! What operators look at.

use quittance_protocol::{Amount, Network, PaymentId};

use super::delivery::runs_left;
use crate::LIST_MAX;
use crate::codec;
use crate::conn::{Row, params};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{JournalLine, Margin, Payment, PaymentFilter, PaymentState};

/// Ranks are nearest-rank: of n costs the ⌈n·p⌉-th.
const MARGINS: &str = "\
    WITH booked AS ( \
        SELECT c.network AS network, COALESCE(p.created_at_ms, c.at_ms) / 3600000 AS hour, c.usdc AS usdc, \
               c.earned AS earned \
        FROM costs c LEFT JOIN payments p ON p.id = c.payment \
        WHERE COALESCE(p.created_at_ms, c.at_ms) >= $1 \
    ), ranked AS ( \
        SELECT network, hour, usdc, ROW_NUMBER() OVER (PARTITION BY network, hour ORDER BY usdc) AS place, \
               COUNT(*) OVER (PARTITION BY network, hour) AS size \
        FROM booked WHERE earned AND usdc IS NOT NULL \
    ), spread AS ( \
        SELECT network, hour, MIN(usdc) AS least, \
               MAX(CASE WHEN place = (size + 1) / 2 THEN usdc END) AS median, \
               MAX(CASE WHEN place = (size * 95 + 99) / 100 THEN usdc END) AS p95 \
        FROM ranked GROUP BY network, hour \
    ), spent AS ( \
        SELECT network, hour, SUM(CASE WHEN earned THEN usdc ELSE 0 END) AS earned, \
               SUM(CASE WHEN earned THEN 0 ELSE usdc END) AS uncollected, \
               SUM(CASE WHEN usdc IS NULL THEN 1 ELSE 0 END) AS unpriced \
        FROM booked GROUP BY network, hour \
    ), charged AS ( \
        SELECT network, created_at_ms / 3600000 AS hour, COUNT(*) AS payments, SUM(gas) AS charged \
        FROM payments WHERE state = 'settled' AND finality IS DISTINCT FROM 'reorged_loss' \
        AND created_at_ms >= $1 GROUP BY network, created_at_ms / 3600000 \
    ), hours AS ( \
        SELECT network, hour FROM charged UNION SELECT network, hour FROM spent \
    ) \
    SELECT h.network AS network, CAST(h.hour AS BIGINT) AS hour, \
           CAST(COALESCE(c.payments, 0) AS BIGINT) AS payments, \
           CAST(COALESCE(c.charged, 0) AS BIGINT) AS charged, \
           CAST(COALESCE(s.earned, 0) AS BIGINT) AS earned, \
           CAST(COALESCE(s.uncollected, 0) AS BIGINT) AS uncollected, \
           CAST(COALESCE(s.unpriced, 0) AS BIGINT) AS unpriced, \
           CAST(r.least AS BIGINT) AS least, CAST(r.median AS BIGINT) AS median, CAST(r.p95 AS BIGINT) AS p95 \
    FROM hours h \
    LEFT JOIN charged c ON c.network = h.network AND c.hour = h.hour \
    LEFT JOIN spent s ON s.network = h.network AND s.hour = h.hour \
    LEFT JOIN spread r ON r.network = h.network AND r.hour = h.hour \
    ORDER BY h.network, h.hour";

/// See [`Ledger::payments`].
const LISTED: &str = concat!(
    "SELECT * FROM payments WHERE ($1 OR state = $2) AND ($3 OR network = $4) \
     AND ($5 OR (created_at_ms, id) < (SELECT created_at_ms, id FROM payments WHERE id = $6)) \
     AND ($8 OR CASE WHEN owed THEN 'owed' WHEN delivered_in_part THEN 'delivered_in_part' ELSE delivery END = $9) \
     AND ($13 OR merchant = $14) AND created_at_ms >= $15 AND created_at_ms < $16 AND ($10 OR owed OR delivered_in_part OR ((delivery = 'credited' OR (state = 'settled' AND delivery = 'none' AND runs > 0)) AND NOT ",
    runs_left!("$11", "$12"),
    ") OR (delivery = 'delivered' \
     AND EXISTS (SELECT 1 FROM answers WHERE payment = payments.id AND refundable))) \
     ORDER BY created_at_ms DESC, id DESC LIMIT $7"
);

const HOUR_MS: i64 = 3_600_000;

fn margin(row: &Row) -> Result<Margin, LedgerError> {
    let optional = |field: &'static str| {
        let value = row.int_opt(field)?.map(u64::try_from).transpose();
        Ok::<_, LedgerError>(value.map_err(|_| LedgerError::Corrupt { field })?.map(Amount::new))
    };
    Ok(Margin {
        network: row.network()?,
        hour_ms: row.int("hour")?.saturating_mul(HOUR_MS),
        payments: row.unsigned("payments")?,
        charged: row.amount("charged")?,
        earned_cost: row.amount("earned")?,
        uncollected_cost: row.amount("uncollected")?,
        unpriced: row.unsigned("unpriced")?,
        cost_least: optional("least")?,
        cost_median: optional("median")?,
        cost_p95: optional("p95")?,
    })
}

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
                        LISTED,
                        params![
                            filter.state.is_none(),
                            filter.state.map(|state| state.as_str().to_owned()),
                            filter.network.is_none(),
                            filter.network.map(|network| network.to_string()),
                            filter.before.is_none(),
                            filter.before.map(|id| id.to_string()),
                            i64::from(limit),
                            filter.delivery.is_none(),
                            filter.delivery.map(|delivery| delivery.as_str().to_owned()),
                            filter.refundable.is_none(),
                            filter.refundable.map_or(0, |limits| i64::from(limits.failed_max)),
                            filter.refundable.map_or(0, |limits| i64::from(limits.crashed_max)),
                            filter.merchant.is_none(),
                            filter.merchant,
                            filter.since_ms.unwrap_or(i64::MIN),
                            filter.until_ms.unwrap_or(i64::MAX),
                        ],
                    )
                    .await?;
                codec::payments(&rows)
            })
        })
        .await
    }

    /// Charged against spent, by network and hour of the claim, oldest first:
    /// what was charged in an hour stands beside what just these payments cost.
    /// A transaction for no single payment counts in the hour it was booked in.
    pub async fn margins(&self, since_ms: i64) -> Result<Vec<Margin>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move { tx.all(MARGINS, params![since_ms]).await?.iter().map(margin).collect() })
        })
        .await
    }
}
