//! Costs (invariant I10) and tariffs.

use quittance_protocol::{Amount, Network};
use serde_json::{Value as Json, json};

use super::{exposure, rows};
use crate::conn::{Tx, amount, params, plain};
use crate::error::LedgerError;
use crate::exposure::{first_slot, slot_ends};
use crate::ledger::{Ledger, Me, journal};
use crate::types::{CostEntry, TariffRow};

impl Ledger {
    /// When the first of what a payer's attempts burnt within a day leaves the window
    /// (P3), in Unix milliseconds; `None` if they burnt nothing that counts.
    pub async fn burnt_until(
        &self,
        network: &Network,
        payer: &str,
        now_ms: i64,
    ) -> Result<Option<i64>, LedgerError> {
        let (network, payer) = (network.clone(), payer.to_owned());
        self.read(move |tx| {
            Box::pin(async move {
                let row = tx
                    .one(
                        "SELECT slot FROM cost_totals WHERE network = $1 AND payer = $2 AND slot >= $3 \
                         AND burnt_usdc > 0 ORDER BY slot LIMIT 1",
                        params![network.as_str(), payer, first_slot(now_ms)],
                    )
                    .await?;
                row.map(|row| row.int("slot").map(slot_ends)).transpose()
            })
        })
        .await
    }

    /// Books what a transaction cost, once: returns whether it was new.
    pub async fn book_cost(&self, entry: CostEntry, now_ms: i64) -> Result<bool, LedgerError> {
        let me = self.me();
        self.write(now_ms, move |tx| Box::pin(book_cost(tx, me, entry, now_ms))).await
    }

    /// Makes a tariff current; the one before it is replaced at `now_ms`.
    /// Returns its number, which is committed and may be offered.
    pub async fn put_tariff(
        &self,
        network: &Network,
        gas: Amount,
        detail: Json,
        now_ms: i64,
    ) -> Result<i64, LedgerError> {
        let network = network.clone();
        self.write(now_ms, move |tx| Box::pin(put_tariff(tx, network, gas, detail, now_ms))).await
    }

    /// The current tariff and those replaced after this instant, by number.
    pub async fn tariffs_since(
        &self,
        network: &Network,
        replaced_after_ms: i64,
    ) -> Result<Vec<TariffRow>, LedgerError> {
        let network = network.clone();
        self.read(move |tx| {
            Box::pin(async move {
                tx.all(
                    // Two looks of an index each: joined by OR they would read every
                    // tariff that the network ever had.
                    "SELECT * FROM tariffs WHERE network = $1 AND replaced_at_ms IS NULL \
                     UNION ALL \
                     SELECT * FROM tariffs WHERE network = $1 AND replaced_at_ms > $2 ORDER BY number",
                    params![network.as_str(), replaced_after_ms],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(TariffRow {
                        number: row.int("number")?,
                        network: row.network()?,
                        gas: row.amount("gas")?,
                        detail: row.json("detail")?,
                        created_at_ms: row.int("created_at_ms")?,
                        replaced_at_ms: row.int_opt("replaced_at_ms")?,
                    })
                })
                .collect()
            })
        })
        .await
    }
}

async fn book_cost(tx: &mut Tx, me: Me, entry: CostEntry, now_ms: i64) -> Result<bool, LedgerError> {
    // It is asked for again once the landing is final: a lock that finds it there would be a commit.
    let there = params![entry.network.as_str(), plain(&entry.transaction, "transaction")?];
    if tx.one("SELECT 1 AS booked FROM costs WHERE network = $1 AND tx = $2", there).await?.is_some() {
        return Ok(false);
    }
    let payment = match &entry.payment {
        Some(id) => {
            // Or of a verdict and a cost at once each would leave the reservation to the other.
            exposure::lock_reservation(tx, id).await?;
            Some(rows::get(tx, id).await?)
        }
        None => None,
    };
    let usdc = entry.usdc.map(|usdc| amount(usdc, "usdc")).transpose()?;
    let booked = tx
        .execute(
            "INSERT INTO costs (network, tx, payment, payer, native, usdc, earned, at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (network, tx) DO NOTHING",
            params![
                entry.network.as_str(),
                plain(&entry.transaction, "transaction")?,
                entry.payment.as_ref().map(|id| id.as_str().to_owned()),
                payment.as_ref().map(|payment| payment.payer.clone()),
                entry.native.to_string(),
                usdc,
                entry.earned,
                now_ms
            ],
        )
        .await?;
    if booked == 0 {
        return Ok(false);
    }
    exposure::booked(tx, &entry, payment.as_ref(), now_ms).await?;
    let detail = json!({"network": entry.network, "transaction": entry.transaction,
        "native": entry.native.to_string(), "usdc": entry.usdc, "earned": entry.earned});
    journal(tx, &me, now_ms, entry.payment.as_ref(), "cost", detail).await?;
    Ok(true)
}

/// Tariffs are their own record (numbered, never deleted), so they get no journal line.
async fn put_tariff(
    tx: &mut Tx,
    network: Network,
    gas: Amount,
    detail: Json,
    now_ms: i64,
) -> Result<i64, LedgerError> {
    if tx.is_postgres() {
        // Two replicas at once would both see the same last number.
        tx.all(
            "SELECT pg_advisory_xact_lock(hashtext('quittance tariff ' || $1))",
            params![network.as_str()],
        )
        .await?;
    }
    tx.later(
        // A replica whose clock is behind must not shorten anybody's window.
        "UPDATE tariffs SET replaced_at_ms = CASE WHEN created_at_ms > $2 THEN created_at_ms ELSE $2 END \
         WHERE network = $1 AND replaced_at_ms IS NULL",
        params![network.as_str(), now_ms],
    )
    .await?;
    tx.change_one(
        "INSERT INTO tariffs (network, number, gas, detail, created_at_ms) \
         SELECT $1, COALESCE((SELECT number FROM tariffs WHERE network = $1 ORDER BY number DESC LIMIT 1), 0) + 1, \
         $2, $3, $4 RETURNING number",
        params![network.as_str(), amount(gas, "gas")?, detail.to_string(), now_ms],
    )
    .await?
    .ok_or(LedgerError::Corrupt { field: "tariffs" })?
    .int("number")
}
