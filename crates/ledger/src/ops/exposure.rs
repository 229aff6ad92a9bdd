//! Reservations (P3, I10): what attempts in flight may cost, and what of a
//! payer's balance its payments in flight need.

use quittance_protocol::{Amount, Network, PaymentId, PaymentKey};
use serde_json::json;

use super::freed::{self, DELETE_BOOKED};
use super::{account_rents, check_leases, claims, lease_clock, merchant_sums, rows};
use crate::LIST_MAX;
use crate::codec;
use crate::conn::{Row, Tx, amount, params, plain};
use crate::error::LedgerError;
use crate::exposure::{
    Exposed, ExposureSums, Funding, NATIVE_MAX, Reserve, Sums, admit, first_slot, native_stored as native,
    slot_of,
};
use crate::ledger::{Ledger, Me, journal};
use crate::token::ClaimOutcome;
use crate::types::{CostEntry, LeaseClock, NewClaim, Payment};

/// Of one network, and of one payer in it; one payment is left out.
const COSTS: &str = "\
    SELECT CAST(COALESCE(SUM(usdc), 0) AS BIGINT) AS usdc, CAST(COALESCE(SUM(native), 0) AS BIGINT) AS native, \
    CAST(COALESCE(SUM(CASE WHEN funding <> 'history' THEN usdc ELSE 0 END), 0) AS BIGINT) AS stranger_usdc, \
    CAST(COALESCE(SUM(CASE WHEN funding <> 'history' THEN native ELSE 0 END), 0) AS BIGINT) AS stranger_native, \
    CAST(COALESCE(SUM(CASE WHEN payer = $2 THEN usdc ELSE 0 END), 0) AS BIGINT) AS payer_usdc, \
    CAST(COALESCE(SUM(CASE WHEN payer = $2 THEN native ELSE 0 END), 0) AS BIGINT) AS payer_native, \
    CAST(COALESCE(SUM(CASE WHEN payer = $2 AND funding = 'history' THEN usdc ELSE 0 END), 0) AS BIGINT) \
        AS payer_history, \
    CAST(COALESCE(SUM(CASE WHEN payer = $2 AND funding <> 'history' THEN 1 ELSE 0 END), 0) AS BIGINT) \
        AS payer_unearned, \
    CAST(COALESCE(SUM(CASE WHEN funding = 'probe' THEN 1 ELSE 0 END), 0) AS BIGINT) AS probes, \
    CAST(COALESCE(SUM(CASE WHEN by_code THEN 1 ELSE 0 END), 0) AS BIGINT) AS by_code \
    FROM reservations WHERE network = $1 AND native > 0 AND payment <> $3";

impl Ledger {
    /// [`Ledger::claim`], with what the claim's first signature may cost and what
    /// it takes from the payer's balance reserved in the same commit. A key that
    /// exists needs no room. [`LedgerError::NoRoom`]: nothing is stored.
    pub async fn claim_within(
        &self,
        new: NewClaim,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<ClaimOutcome, LedgerError> {
        let (me, clock) = (self.me(), self.options().lease_clock);
        self.write(now_ms, move |tx| Box::pin(claim_within(tx, (me, clock), new, wanted, now_ms))).await
    }

    /// Reserves a further signature of a payment without a verdict, or a dearer
    /// one; nothing where as much is reserved already.
    pub async fn reserve(
        &self,
        payment: &PaymentId,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| Box::pin(reserve_again(tx, me, id, wanted, now_ms))).await
    }

    /// Whether a payer's next attempt would have room, whatever its balance.
    /// Stores nothing; [`Ledger::claim_within`] decides.
    pub async fn room(
        &self,
        network: &Network,
        payer: &str,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (network, payer) = (network.clone(), payer.to_owned());
        self.read(move |tx| {
            Box::pin(async move {
                let wanted = Reserve { balance: None, ..wanted };
                let asker = Asker { network: &network, payer: &payer, payment: None, leases: None };
                let sums = sums(tx, &asker, &wanted, now_ms).await?;
                admit(&sums, &wanted, Amount::ZERO).map(drop).map_err(LedgerError::NoRoom)
            })
        })
        .await
    }

    /// What a network's attempts have reserved and burnt.
    pub async fn exposure(&self, network: &Network, now_ms: i64) -> Result<ExposureSums, LedgerError> {
        let network = network.clone();
        self.read(move |tx| {
            Box::pin(async move {
                let mut sums = Sums::default();
                add_reserved(tx, &mut sums, &network, "", None).await?;
                add_day(tx, &mut sums, &network, "", now_ms).await?;
                Ok(sums.network)
            })
        })
        .await
    }

    /// Payments that have their verdict, and attempts whose fate is not in the
    /// books; at most [`LIST_MAX`]. Whoever owns them.
    pub async fn unaccounted(&self, network: &Network) -> Result<Vec<Payment>, LedgerError> {
        let network = network.clone();
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT p.* FROM reservations r JOIN payments p ON p.id = r.payment \
                         WHERE r.network = $1 AND r.native > 0 AND p.state IN ('settled', 'refused', 'expired') \
                         ORDER BY p.created_at_ms, p.id LIMIT $2",
                        params![network.as_str(), i64::from(LIST_MAX)],
                    )
                    .await?;
                codec::payments(&rows)
            })
        })
        .await
    }
}

/// Whose room is looked for.
pub(super) struct Asker<'a> {
    pub(super) network: &'a Network,
    pub(super) payer: &'a str,
    /// The payment that is left out.
    pub(super) payment: Option<&'a PaymentId>,
    /// The leases of checks count, but for this key's, and are judged at this time.
    pub(super) leases: Option<(&'a PaymentKey, i64)>,
}

async fn claim_within(
    tx: &mut Tx,
    (me, clock): (Me, LeaseClock),
    new: NewClaim,
    wanted: Reserve,
    now_ms: i64,
) -> Result<ClaimOutcome, LedgerError> {
    let outcome = claims::claim(tx, me, new, now_ms).await?;
    if let ClaimOutcome::Won(claim) = &outcome {
        let (id, claimed) = (claim.id.clone(), claim.amount);
        lock(tx, &claim.network).await?;
        let leases = (&claim.key, lease_clock::lease_now(tx, clock, now_ms).await?);
        let (network, payer) = (&claim.network, claim.payer.as_str());
        let asker = Asker { network, payer, payment: Some(&id), leases: Some(leases) };
        let sums = sums(tx, &asker, &wanted, now_ms).await?;
        let funding = admit(&sums, &wanted, claimed).map_err(LedgerError::NoRoom)?;
        if let Some(merchant) = claim.merchant_row() {
            let of = (merchant, network);
            merchant_sums::admit_payment(tx, of, Some(&id), (claimed, &wanted), now_ms).await?;
        }
        insert(tx, claim, &wanted, funding).await?;
        if let Some(rent) = &wanted.account {
            let of = (id.as_str(), Some(payer));
            account_rents::charge(tx, network, of, rent, now_ms).await?;
        }
        check_leases::end(tx, &claim.key).await?;
    }
    Ok(outcome)
}

async fn reserve_again(
    tx: &mut Tx,
    me: Me,
    id: PaymentId,
    wanted: Reserve,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let payment = rows::lock(tx, &id).await?;
    if payment.state.is_final() {
        let (from, to) = (payment.state, crate::types::PaymentState::Recorded);
        return Err(LedgerError::Transition { from, to, payment: Box::new(payment) });
    }
    if !me.owns(&payment) {
        return Err(LedgerError::NotOwner { payment: Box::new(payment) });
    }
    let row = tx.one("SELECT * FROM reservations WHERE payment = $1", params![id.as_str()]).await?;
    if let Some(row) = &row
        && row.unsigned("native")? >= wanted.bound.native
        && row.amount("usdc")? >= wanted.bound.usdc
    {
        return Ok(());
    }
    lock(tx, &payment.network).await?;
    let (network, payer) = (&payment.network, payment.payer.as_str());
    // What is claimed goes before what is only asked about.
    let asker = Asker { network, payer, payment: Some(&id), leases: None };
    let sums = sums(tx, &asker, &wanted, now_ms).await?;
    let funding = admit(&sums, &wanted, payment.amount).map_err(LedgerError::NoRoom)?;
    match row {
        None => insert(tx, &payment, &wanted, funding).await?,
        Some(_) => {
            // Who asks again may not have looked at the payer: once counted as code, always.
            tx.later(
                "UPDATE reservations SET usdc = $2, native = $3, funding = $4, by_code = (by_code OR $5) \
                 WHERE payment = $1",
                params![
                    id.as_str(),
                    amount(wanted.bound.usdc, "usdc")?,
                    native(wanted.bound.native),
                    funding.as_str(),
                    wanted.by_code
                ],
            )
            .await?;
        }
    }
    let detail =
        json!({"native": wanted.bound.native.to_string(), "usdc": wanted.bound.usdc, "funding": funding});
    journal(tx, &me, now_ms, Some(&id), "reserved", detail).await
}

/// Two replicas at once would both see the same room.
pub(super) async fn lock(tx: &mut Tx, network: &Network) -> Result<(), LedgerError> {
    if tx.is_postgres() {
        tx.all(
            "SELECT pg_advisory_xact_lock(hashtext('quittance exposure ' || $1))",
            params![network.as_str()],
        )
        .await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut Tx,
    payment: &Payment,
    wanted: &Reserve,
    funding: Funding,
) -> Result<(), LedgerError> {
    tx.later(
        "INSERT INTO reservations (payment, network, payer, source, amount, hold_until_ms, usdc, native, \
         funding, by_code, merchant) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            payment.id.as_str(),
            payment.network.as_str(),
            payment.payer.as_str(),
            plain(&wanted.source, "source")?,
            amount(payment.amount, "amount")?,
            wanted.hold_until_ms,
            amount(wanted.bound.usdc, "usdc")?,
            native(wanted.bound.native),
            funding.as_str(),
            wanted.by_code,
            payment.merchant_row().map(str::to_owned),
        ],
    )
    .await
}

pub(super) async fn sums(
    tx: &mut Tx,
    asker: &Asker<'_>,
    wanted: &Reserve,
    now_ms: i64,
) -> Result<Sums, LedgerError> {
    let Asker { network, payer, payment: without, leases } = *asker;
    let mut sums = Sums::default();
    add_reserved(tx, &mut sums, network, payer, without).await?;
    add_day(tx, &mut sums, network, payer, now_ms).await?;
    let row = tx
        .one(
            "SELECT paid, burnt FROM payers WHERE network = $1 AND payer = $2",
            params![network.as_str(), payer],
        )
        .await?;
    if let Some(row) = row {
        (sums.paid, sums.paid_burnt) = (row.amount("paid")?, row.amount("burnt")?);
    }
    if let Some(seen) = wanted.balance {
        sums.held = held(tx, network, &wanted.source, without, now_ms).await?;
        sums.landed = landed_after(tx, network, payer, seen.at).await?;
    }
    if let Some((key, lease_now_ms)) = leases {
        (sums.leases, sums.leased) =
            check_leases::leased(tx, network, &wanted.source, key, lease_now_ms).await?;
    }
    Ok(sums)
}

async fn add_reserved(
    tx: &mut Tx,
    sums: &mut Sums,
    network: &Network,
    payer: &str,
    without: Option<&PaymentId>,
) -> Result<(), LedgerError> {
    let without = without.map_or("", PaymentId::as_str);
    let row = tx.one(COSTS, params![network.as_str(), payer, without]).await?;
    let row = row.ok_or(LedgerError::Corrupt { field: "reservations" })?;
    sums.network.reserved = exposed(&row, "usdc", "native")?;
    sums.network.reserved_strangers = exposed(&row, "stranger_usdc", "stranger_native")?;
    sums.payer = exposed(&row, "payer_usdc", "payer_native")?;
    sums.payer_history = row.amount("payer_history")?;
    sums.payer_unearned = row.unsigned("payer_unearned")?;
    (sums.probes, sums.by_code) = (row.unsigned("probes")?, row.unsigned("by_code")?);
    Ok(())
}

fn exposed(row: &Row, usdc: &'static str, native: &'static str) -> Result<Exposed, LedgerError> {
    Ok(Exposed { usdc: row.amount(usdc)?, native: row.unsigned(native)? })
}

/// A day's totals: a bounded number of rows, whatever happened in it.
async fn add_day(
    tx: &mut Tx,
    sums: &mut Sums,
    network: &Network,
    payer: &str,
    now_ms: i64,
) -> Result<(), LedgerError> {
    for of in ["", payer] {
        let row = tx
            .one(
                "SELECT CAST(COALESCE(SUM(usdc), 0) AS BIGINT) AS usdc, \
                 CAST(COALESCE(SUM(burnt_usdc), 0) AS BIGINT) AS burnt_usdc, \
                 CAST(COALESCE(SUM(burnt_native), 0) AS BIGINT) AS burnt_native \
                 FROM cost_totals WHERE network = $1 AND payer = $2 AND slot >= $3",
                params![network.as_str(), of, first_slot(now_ms)],
            )
            .await?
            .ok_or(LedgerError::Corrupt { field: "cost_totals" })?;
        if of.is_empty() {
            sums.network.spent = row.amount("usdc")?;
            sums.network.burnt = exposed(&row, "burnt_usdc", "burnt_native")?;
        } else {
            sums.payer_burnt = row.amount("burnt_usdc")?;
        }
        if payer.is_empty() {
            break;
        }
    }
    Ok(())
}

async fn held(
    tx: &mut Tx,
    network: &Network,
    source: &str,
    without: Option<&PaymentId>,
    now_ms: i64,
) -> Result<Amount, LedgerError> {
    tx.one(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS amount FROM reservations \
         WHERE network = $1 AND source = $2 AND payment <> $3 \
         AND (hold_until_ms IS NULL OR hold_until_ms >= $4)",
        params![network.as_str(), source, without.map_or("", PaymentId::as_str), now_ms],
    )
    .await?
    .ok_or(LedgerError::Corrupt { field: "reservations" })?
    .amount("amount")
}

async fn landed_after(tx: &mut Tx, network: &Network, payer: &str, at: u64) -> Result<Amount, LedgerError> {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    tx.one(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS amount FROM payments \
         WHERE network = $1 AND payer = $2 AND landed_block > $3 AND state = 'settled'",
        params![network.as_str(), payer, at],
    )
    .await?
    .ok_or(LedgerError::Corrupt { field: "payments" })?
    .amount("amount")
}

/// What may still be burnt on this payment is reserved up to here, in wei or lamports.
pub(super) async fn reserved(tx: &mut Tx, id: &PaymentId) -> Result<u64, LedgerError> {
    let row = tx.one("SELECT native FROM reservations WHERE payment = $1", params![id.as_str()]).await?;
    row.map_or(Ok(0), |row| row.unsigned("native"))
}

/// Takes the turn of a payment's reservation until COMMIT, and no other row's: a delivery that begins
/// does not wait for it. SQLite has one writer and needs none.
pub(super) async fn lock_reservation(tx: &mut Tx, id: &PaymentId) -> Result<(), LedgerError> {
    if tx.is_postgres() {
        let sql = "SELECT 1 AS held FROM reservations WHERE payment = $1 FOR UPDATE";
        tx.one(sql, params![id.as_str()]).await?;
    }
    Ok(())
}

/// A cost as reservations count it.
pub(crate) fn counted(native: u128) -> u64 {
    u64::try_from(native).unwrap_or(NATIVE_MAX).min(NATIVE_MAX)
}

/// The payment's verdict is being written: its money is free, and what its
/// attempts may cost unless the fate of one is open.
pub(crate) async fn verdict(tx: &mut Tx, payment: &Payment, now_ms: i64) -> Result<(), LedgerError> {
    let closed = payment.state == crate::types::PaymentState::Expired && payment.deadline.ends_attempts();
    // In this order: the first waits for a cost that is being booked, and the second sees it.
    tx.later("UPDATE reservations SET amount = 0 WHERE payment = $1", params![payment.id.as_str()]).await?;
    tx.later(DELETE_BOOKED, params![payment.id.as_str(), closed]).await?;
    if payment.state != crate::types::PaymentState::Settled {
        account_rents::give_back(tx, &payment.network, &payment.id).await?;
    }
    // What is owed back paid for nothing. A merchant's surcharge is not here: payer and
    // merchant may be one, and would earn what may be burnt by paying themselves.
    let owed = payment.delivery == crate::types::DeliveryState::Owed;
    if payment.state == crate::types::PaymentState::Settled && !owed {
        if payment.fee.is_some() {
            return merchant_sums::settled(tx, payment, now_ms).await;
        }
        tx.later(
            "INSERT INTO payers (network, payer, paid, burnt) VALUES ($1, $2, $3, 0) \
             ON CONFLICT (network, payer) DO UPDATE SET paid = payers.paid + excluded.paid",
            params![payment.network.as_str(), payment.payer.as_str(), amount(payment.gas, "gas")?],
        )
        .await?;
    }
    Ok(())
}

/// What was taken for paid is not: it earns its payer nothing.
pub(crate) async fn unpaid(tx: &mut Tx, payment: &Payment, now_ms: i64) -> Result<(), LedgerError> {
    if payment.delivery == crate::types::DeliveryState::Owed {
        return Ok(());
    }
    if payment.fee.is_some() {
        return merchant_sums::lost(tx, payment, now_ms).await;
    }
    tx.later(
        "UPDATE payers SET paid = CASE WHEN paid > $3 THEN paid - $3 ELSE 0 END \
         WHERE network = $1 AND payer = $2",
        params![payment.network.as_str(), payment.payer.as_str(), amount(payment.gas, "gas")?],
    )
    .await
}

/// A cost that was just booked: added to the day's totals, and taken from what is reserved.
pub(crate) async fn booked(
    tx: &mut Tx,
    entry: &CostEntry,
    payment: Option<&Payment>,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let usdc = entry.usdc.unwrap_or(Amount::ZERO);
    let mut burnt = Exposed::default();
    let mut payer = None;
    if !entry.earned {
        payer = payment.map(|payment| payment.payer.as_str());
        let spends_history = match payment {
            Some(payment) => funding_of(tx, &payment.id).await? == Some(Funding::History),
            None => false,
        };
        match payer.filter(|_| spends_history) {
            Some(of) => {
                burn_history(tx, &entry.network, of, usdc).await?;
                payer = None;
            }
            None => burnt = Exposed { usdc, native: u64::try_from(entry.native).unwrap_or(NATIVE_MAX) },
        }
    }
    add_total(tx, &entry.network, "", usdc, burnt, now_ms).await?;
    if let Some(payment) = payment {
        merchant_sums::booked(tx, entry, payment, now_ms).await?;
    }
    if let Some(payer) = payer {
        add_total(tx, &entry.network, payer, Amount::ZERO, burnt, now_ms).await?;
    }
    match payment {
        Some(payment) => freed::free(tx, &payment.id, payment.state.is_final()).await,
        None => Ok(()),
    }
}

async fn funding_of(tx: &mut Tx, id: &PaymentId) -> Result<Option<Funding>, LedgerError> {
    let row = tx.one("SELECT funding FROM reservations WHERE payment = $1", params![id.as_str()]).await?;
    let Some(row) = row else { return Ok(None) };
    Funding::from_stored(&row.text("funding")?).map(Some).ok_or(LedgerError::Corrupt { field: "funding" })
}

async fn burn_history(tx: &mut Tx, network: &Network, payer: &str, usdc: Amount) -> Result<(), LedgerError> {
    tx.later(
        "UPDATE payers SET burnt = burnt + $3 WHERE network = $1 AND payer = $2",
        params![network.as_str(), payer, amount(usdc, "usdc")?],
    )
    .await
}

async fn add_total(
    tx: &mut Tx,
    network: &Network,
    payer: &str,
    usdc: Amount,
    burnt: Exposed,
    now_ms: i64,
) -> Result<(), LedgerError> {
    tx.later(
        "INSERT INTO cost_totals (network, payer, slot, usdc, burnt_usdc, burnt_native) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (network, payer, slot) DO UPDATE SET \
         usdc = cost_totals.usdc + excluded.usdc, burnt_usdc = cost_totals.burnt_usdc + excluded.burnt_usdc, \
         burnt_native = cost_totals.burnt_native + excluded.burnt_native",
        params![
            network.as_str(),
            payer,
            slot_of(now_ms),
            amount(usdc, "usdc")?,
            amount(burnt.usdc, "usdc")?,
            native(burnt.native),
        ],
    )
    .await
}
