//! What merchants have under way, sold and cost: running totals, written in the commit of
//! what they sum up, for limits and statements.

use quittance_protocol::{Amount, Network, PaymentId};

use super::merchant_rows::{limits, state};
use crate::conn::{Row, Tx, amount, params, plain};
use crate::error::LedgerError;
use crate::exposure::{
    DAY_MS, Exposed, NATIVE_MAX, NoRoom, Reserve, SLOT_MS, first_slot, native_stored as native, slot_of,
};
use crate::ledger::Ledger;
use crate::merchant_room::{MerchantRoom, MerchantSums, admit};
use crate::types::{CostEntry, FeePolicy, MerchantTotals, Payment, PayoutAccount};

impl Ledger {
    /// Whether a merchant's next payment would have room within the merchant's own limits.
    /// Stores nothing; [`Ledger::claim_within`] decides.
    pub async fn merchant_room(
        &self,
        merchant: &str,
        network: &Network,
        amount: Amount,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (merchant, network) = (plain(merchant, "merchant")?.to_owned(), network.clone());
        self.read(move |tx| {
            Box::pin(async move { look(tx, (&merchant, &network), None, (amount, &wanted), now_ms).await })
        })
        .await
    }

    /// What merchants sold and what that cost, by merchant, network and UTC day, from the day
    /// of `since_ms` on, oldest first.
    pub async fn merchant_totals(&self, since_ms: i64) -> Result<Vec<MerchantTotals>, LedgerError> {
        let first = since_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS / SLOT_MS);
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT merchant, network, CAST(slot / 144 AS BIGINT) AS day, \
                         CAST(SUM(payments) AS BIGINT) AS payments, CAST(SUM(amount) AS BIGINT) AS amount, \
                         CAST(SUM(charged) AS BIGINT) AS charged, CAST(SUM(absorbed) AS BIGINT) AS absorbed, \
                         CAST(SUM(billed) AS BIGINT) AS billed, \
                         CAST(SUM(lost_payments) AS BIGINT) AS lost_payments, \
                         CAST(SUM(lost_amount) AS BIGINT) AS lost_amount, \
                         CAST(SUM(lost_due) AS BIGINT) AS lost_due, \
                         CAST(SUM(earned_cost) AS BIGINT) AS earned_cost, \
                         CAST(SUM(burnt_cost) AS BIGINT) AS burnt_cost, CAST(SUM(native) AS BIGINT) AS native, \
                         CAST(SUM(unpriced) AS BIGINT) AS unpriced, CAST(SUM(accounts) AS BIGINT) AS accounts, \
                         CAST(SUM(rent) AS BIGINT) AS rent FROM merchant_totals WHERE slot >= $1 AND slot <= $2 \
                         GROUP BY merchant, network, slot / 144 ORDER BY merchant, network, slot / 144",
                        // Of all rows the newest few, said so that both databases look at no others.
                        params![first, i64::MAX],
                    )
                    .await?;
                rows.iter().map(totals).collect()
            })
        })
        .await
    }
}

fn totals(row: &Row) -> Result<MerchantTotals, LedgerError> {
    Ok(MerchantTotals {
        merchant: row.text("merchant")?,
        network: row.network()?,
        day_ms: row.int("day")?.saturating_mul(DAY_MS),
        payments: row.unsigned("payments")?,
        amount: row.amount("amount")?,
        charged: row.amount("charged")?,
        absorbed: row.amount("absorbed")?,
        billed: row.amount("billed")?,
        lost_payments: row.unsigned("lost_payments")?,
        lost_amount: row.amount("lost_amount")?,
        lost_due: row.amount("lost_due")?,
        earned_cost: row.amount("earned_cost")?,
        burnt_cost: row.amount("burnt_cost")?,
        native: row.unsigned("native")?,
        unpriced: row.unsigned("unpriced")?,
        accounts: row.unsigned("accounts")?,
        rent: row.amount("rent")?,
    })
}

/// Two networks at once would both see the same room. Always behind the network's own turn.
pub(super) async fn lock(tx: &mut Tx, merchant: &str) -> Result<(), LedgerError> {
    if tx.is_postgres() {
        tx.all("SELECT pg_advisory_xact_lock(hashtext('quittance merchant ' || $1))", params![merchant])
            .await?;
    }
    Ok(())
}

async fn room(tx: &mut Tx, merchant: &str, network: &Network) -> Result<MerchantRoom, LedgerError> {
    let row = tx
        .one(
            "SELECT m.state AS state, m.in_flight_max AS in_flight_max, n.network AS network, \
             n.amount_day_max AS amount_day_max, n.cost_day_max AS cost_day_max, \
             n.native_day_max AS native_day_max FROM merchants m \
             LEFT JOIN merchant_networks n ON n.merchant = m.name AND n.network = $2 WHERE m.name = $1",
            params![merchant, network.as_str()],
        )
        .await?
        .ok_or(LedgerError::NoRoom(NoRoom::MerchantClosed))?;
    let sells = row.text_opt("network")?.is_some();
    Ok(MerchantRoom {
        state: state(&row)?,
        in_flight_max: u32::try_from(row.int("in_flight_max")?)
            .map_err(|_| LedgerError::Corrupt { field: "in_flight_max" })?,
        limits: sells.then(|| limits(&row)).transpose()?,
    })
}

async fn sums(
    tx: &mut Tx,
    merchant: &str,
    network: &Network,
    without: Option<&PaymentId>,
    now_ms: i64,
) -> Result<MerchantSums, LedgerError> {
    let corrupt = || LedgerError::Corrupt { field: "merchant_totals" };
    let open = tx
        .one(
            "SELECT CAST(COALESCE(SUM(CASE WHEN amount > 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS under_way, \
             CAST(COALESCE(SUM(CASE WHEN network = $2 THEN amount ELSE 0 END), 0) AS BIGINT) AS amount, \
             CAST(COALESCE(SUM(CASE WHEN network = $2 THEN usdc ELSE 0 END), 0) AS BIGINT) AS usdc, \
             CAST(COALESCE(SUM(CASE WHEN network = $2 THEN native ELSE 0 END), 0) AS BIGINT) AS native \
             FROM reservations WHERE merchant = $1 AND payment <> $3",
            params![merchant, network.as_str(), without.map_or("", PaymentId::as_str)],
        )
        .await?
        .ok_or_else(corrupt)?;
    let day = tx
        .one(
            "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS amount, \
             CAST(COALESCE(SUM(earned_cost + burnt_cost + rent), 0) AS BIGINT) AS usdc, \
             CAST(COALESCE(SUM(burnt_cost), 0) AS BIGINT) AS burnt, \
             CAST(COALESCE(SUM(native), 0) AS BIGINT) AS native FROM merchant_totals \
             WHERE merchant = $1 AND network = $2 AND slot >= $3",
            params![merchant, network.as_str(), first_slot(now_ms)],
        )
        .await?
        .ok_or_else(corrupt)?;
    let add = |field| Ok::<_, LedgerError>(open.unsigned(field)?.saturating_add(day.unsigned(field)?));
    Ok(MerchantSums {
        under_way: open.unsigned("under_way")?,
        amount: Amount::new(add("amount")?),
        cost: Exposed { usdc: Amount::new(add("usdc")?), native: add("native")? },
        unearned: Amount::new(open.unsigned("usdc")?.saturating_add(day.unsigned("burnt")?)),
    })
}

/// Whether a merchant's payment has room within the merchant's own limits; in the network's turn.
pub(super) async fn admit_payment(
    tx: &mut Tx,
    (merchant, network): (&str, &Network),
    without: Option<&PaymentId>,
    (amount, wanted): (Amount, &Reserve),
    now_ms: i64,
) -> Result<(), LedgerError> {
    lock(tx, merchant).await?;
    look(tx, (merchant, network), without, (amount, wanted), now_ms).await
}

async fn look(
    tx: &mut Tx,
    (merchant, network): (&str, &Network),
    without: Option<&PaymentId>,
    (amount, wanted): (Amount, &Reserve),
    now_ms: i64,
) -> Result<(), LedgerError> {
    let soft = Some(wanted.limits.soft_day.usdc);
    let room = room(tx, merchant, network).await?;
    let sums = sums(tx, merchant, network, without, now_ms).await?;
    admit(&room, &sums, amount, wanted.bound, soft).map_err(LedgerError::NoRoom)
}

/// The same for the rent of a token account.
pub(super) async fn admit_account(
    tx: &mut Tx,
    new: &PayoutAccount,
    bound: Exposed,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let merchant = new.merchant.as_str();
    let row = tx
        .one(
            "SELECT m.accounts_max AS accounts_max, CAST((SELECT COUNT(*) FROM merchant_accounts a \
             WHERE a.merchant = m.name) AS BIGINT) AS accounts FROM merchants m WHERE m.name = $1",
            params![merchant],
        )
        .await?
        .ok_or(LedgerError::NoRoom(NoRoom::MerchantClosed))?;
    if row.unsigned("accounts")? >= row.unsigned("accounts_max")? {
        return Err(LedgerError::NoRoom(NoRoom::MerchantCost));
    }
    let room = room(tx, merchant, &new.network).await?;
    let sums = MerchantSums { under_way: 0, ..sums(tx, merchant, &new.network, None, now_ms).await? };
    admit(&room, &sums, Amount::ZERO, bound, None).map_err(LedgerError::NoRoom)
}

/// A merchant's payment has settled.
pub(super) async fn settled(tx: &mut Tx, payment: &Payment, now_ms: i64) -> Result<(), LedgerError> {
    let (Some(merchant), Some(fee)) = (payment.merchant_row(), payment.fee) else { return Ok(()) };
    let carried = |policy| if fee.policy == policy { fee.carried } else { Amount::ZERO };
    tx.later(
        "INSERT INTO merchant_totals (merchant, network, slot, payments, amount, charged, absorbed, billed) \
         VALUES ($1, $2, $3, 1, $4, $5, $6, $7) ON CONFLICT (merchant, network, slot) DO UPDATE SET \
         payments = merchant_totals.payments + 1, amount = merchant_totals.amount + excluded.amount, \
         charged = merchant_totals.charged + excluded.charged, \
         absorbed = merchant_totals.absorbed + excluded.absorbed, \
         billed = merchant_totals.billed + excluded.billed",
        params![
            merchant,
            payment.network.as_str(),
            slot_of(now_ms),
            amount(payment.amount, "amount")?,
            amount(payment.gas, "gas")?,
            amount(carried(FeePolicy::Absorbed), "fee_carried")?,
            amount(carried(FeePolicy::Billed), "fee_carried")?,
        ],
    )
    .await
}

/// One that had settled was lost in a reorganisation: nothing is due for it.
pub(super) async fn lost(tx: &mut Tx, payment: &Payment, now_ms: i64) -> Result<(), LedgerError> {
    let Some(merchant) = payment.merchant_row() else { return Ok(()) };
    tx.later(
        "INSERT INTO merchant_totals (merchant, network, slot, lost_payments, lost_amount, lost_due) \
         VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT (merchant, network, slot) DO UPDATE SET \
         lost_payments = merchant_totals.lost_payments + 1, \
         lost_amount = merchant_totals.lost_amount + excluded.lost_amount, \
         lost_due = merchant_totals.lost_due + excluded.lost_due",
        params![
            merchant,
            payment.network.as_str(),
            slot_of(now_ms),
            amount(payment.amount, "amount")?,
            amount(payment.due(), "gas")?,
        ],
    )
    .await
}

/// What settling one of its payments cost.
pub(super) async fn booked(
    tx: &mut Tx,
    entry: &CostEntry,
    payment: &Payment,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let Some(merchant) = payment.merchant_row() else { return Ok(()) };
    let usdc = amount(entry.usdc.unwrap_or(Amount::ZERO), "usdc")?;
    let (earned, burnt) = if entry.earned { (usdc, 0) } else { (0, usdc) };
    tx.later(
        "INSERT INTO merchant_totals (merchant, network, slot, earned_cost, burnt_cost, native, unpriced) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (merchant, network, slot) DO UPDATE SET \
         earned_cost = merchant_totals.earned_cost + excluded.earned_cost, \
         burnt_cost = merchant_totals.burnt_cost + excluded.burnt_cost, \
         native = merchant_totals.native + excluded.native, \
         unpriced = merchant_totals.unpriced + excluded.unpriced",
        params![
            merchant,
            entry.network.as_str(),
            slot_of(now_ms),
            earned,
            burnt,
            native(u64::try_from(entry.native).unwrap_or(NATIVE_MAX)),
            i64::from(entry.usdc.is_none()),
        ],
    )
    .await
}

/// The rent of a token account, charged before the transaction that may cost it is sent.
pub(super) async fn add_rent(tx: &mut Tx, new: &PayoutAccount, now_ms: i64) -> Result<(), LedgerError> {
    tx.later(
        "INSERT INTO merchant_totals (merchant, network, slot, accounts, rent, native) \
         VALUES ($1, $2, $3, 1, $4, $5) ON CONFLICT (merchant, network, slot) DO UPDATE SET \
         accounts = merchant_totals.accounts + 1, rent = merchant_totals.rent + excluded.rent, \
         native = merchant_totals.native + excluded.native",
        params![
            new.merchant.as_str(),
            new.network.as_str(),
            slot_of(now_ms),
            amount(new.usdc, "usdc")?,
            native(new.native),
        ],
    )
    .await
}
