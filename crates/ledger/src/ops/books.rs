//! Costs (invariant I10) and tariffs.

use quittance_protocol::{Amount, Network, PaymentId};
use serde_json::{Value as Json, json};

use super::{exposure, rows};
use crate::conn::{Tx, amount, params, plain, unsigned};
use crate::error::LedgerError;
use crate::exposure::{first_slot, slot_ends};
use crate::ledger::{Ledger, Me, journal};
use crate::types::{CostEntry, CostShare, TariffRow};

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

    /// Books the payment's share of what a transaction cost, once: all of it where the payment was
    /// alone in it. The shares of those that were together add up to the whole that the first of
    /// them was booked from. `None`: it is in the books.
    pub async fn book_cost(&self, entry: CostEntry, now_ms: i64) -> Result<Option<CostShare>, LedgerError> {
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

/// Where a payment stands in a transaction of ours, and of how many: of what nobody recorded it is
/// the only one.
async fn place(
    tx: &mut Tx,
    network: &Network,
    transaction: &str,
    id: &PaymentId,
) -> Result<(u64, u64), LedgerError> {
    let row = tx
        .one(
            "SELECT l.item AS item, (SELECT COUNT(*) FROM attempt_payments o WHERE o.attempt = a.id) AS items \
             FROM attempts a JOIN attempt_payments l ON l.attempt = a.id AND l.payment = $3 \
             WHERE a.network = $1 AND a.tx = $2",
            params![network.as_str(), transaction, id.as_str()],
        )
        .await?;
    match row {
        Some(row) => Ok((row.unsigned("item")?, row.unsigned("items")?)),
        None => Ok((0, 1)),
    }
}

/// All that a transaction cost: what the first of its shares was taken from, where there is one.
async fn whole(
    tx: &mut Tx,
    entry: &CostEntry,
    transaction: &str,
) -> Result<(u128, Option<Amount>), LedgerError> {
    let network = entry.network.as_str();
    if tx.is_postgres() {
        // Two shares that were booked at once would be taken from two readings of the chain.
        tx.all(
            "SELECT id FROM attempts WHERE network = $1 AND tx = $2 FOR NO KEY UPDATE",
            params![network, transaction],
        )
        .await?;
    }
    let row = tx
        .one(
            "SELECT whole, whole_usdc FROM costs WHERE network = $1 AND tx = $2 ORDER BY item LIMIT 1",
            params![network, transaction],
        )
        .await?;
    let Some(row) = row else { return Ok((entry.native, entry.usdc)) };
    let native = row.text("whole")?.parse().map_err(|_| LedgerError::Corrupt { field: "whole" })?;
    let usdc = match row.int_opt("whole_usdc")? {
        Some(_) => Some(row.amount("whole_usdc")?),
        None => None,
    };
    Ok((native, usdc))
}

async fn book_cost(
    tx: &mut Tx,
    me: Me,
    entry: CostEntry,
    now_ms: i64,
) -> Result<Option<CostShare>, LedgerError> {
    let transaction = plain(&entry.transaction, "transaction")?.to_owned();
    let (payment, (item, items)) = match &entry.payment {
        Some(id) => (Some(rows::get(tx, id).await?), place(tx, &entry.network, &transaction, id).await?),
        None => (None, (0, 1)),
    };
    entry.usdc.map(|usdc| amount(usdc, "usdc")).transpose()?;
    let whole = match items > 1 {
        true => whole(tx, &entry, &transaction).await?,
        false => (entry.native, entry.usdc),
    };
    let share = CostShare::of(whole, item, items);
    let entry = CostEntry { native: share.native, usdc: share.usdc, ..entry };
    let booked = tx
        .execute(
            "INSERT INTO costs (network, tx, item, payment, payer, native, usdc, earned, at_ms, whole, whole_usdc) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (network, tx, item) DO NOTHING",
            params![
                entry.network.as_str(),
                transaction.as_str(),
                unsigned(item, "item")?,
                entry.payment.as_ref().map(|id| id.as_str().to_owned()),
                payment.as_ref().map(|payment| payment.payer.clone()),
                entry.native.to_string(),
                entry.usdc.map(|usdc| amount(usdc, "usdc")).transpose()?,
                entry.earned,
                now_ms,
                whole.0.to_string(),
                whole.1.map(|usdc| amount(usdc, "usdc")).transpose()?,
            ],
        )
        .await?;
    if booked == 0 {
        return Ok(None);
    }
    exposure::booked(tx, &entry, payment.as_ref(), now_ms).await?;
    journal(tx, &me, now_ms, entry.payment.as_ref(), "cost", cost_line(&entry, &share)).await?;
    Ok(Some(share))
}

/// For the journal.
pub(crate) fn cost_line(entry: &CostEntry, share: &CostShare) -> Json {
    let mut line = json!({"network": entry.network, "transaction": entry.transaction,
        "native": entry.native.to_string(), "usdc": entry.usdc, "earned": entry.earned});
    if share.payments > 1 {
        line["share_of"] = json!(share.payments);
    }
    line
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
