//! Nonces whose attempts were replaced (I2): who may replace one, and what that takes of the
//! operator's budget beyond what is reserved for its payments (I10).
//!
//! One of a nonce's attempts lands, so what is reserved for the dearest covers them all, and what
//! one of them cost is what the nonce cost.

use quittance_protocol::{Network, PaymentId};
use serde_json::json;

use super::{exposure, freed, rows};
use crate::LIST_MAX;
use crate::conn::{Tx, params, unsigned};
use crate::error::LedgerError;
use crate::exposure::{DAY_MS, native_stored as native};
use crate::ledger::{Ledger, Me, journal};
use crate::types::{AttemptId, ReplacedSlot};

/// A nonce, and the attempt there that is to be replaced.
pub(super) struct Place<'a> {
    pub(super) network: &'a Network,
    pub(super) wallet: &'a str,
    pub(super) nonce: u64,
    pub(super) replaces: AttemptId,
}

impl Ledger {
    /// Nonces whose attempts were replaced, and of which it is not final which attempt used them:
    /// at most [`LIST_MAX`], those that wait longest first.
    pub async fn replaced_slots(&self, network: &Network) -> Result<Vec<ReplacedSlot>, LedgerError> {
        let network = network.clone();
        self.read(move |tx| {
            Box::pin(async move {
                tx.all(
                    "SELECT wallet, nonce, native, at_ms FROM replaced_slots WHERE network = $1 AND is_open \
                     ORDER BY at_ms, wallet, nonce LIMIT $2",
                    params![network.as_str(), i64::from(LIST_MAX)],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(ReplacedSlot {
                        wallet: row.text("wallet")?,
                        nonce: row.unsigned("nonce")?,
                        native: row.unsigned("native")?,
                        at_ms: row.int("at_ms")?,
                    })
                })
                .collect()
            })
        })
        .await
    }

    /// It is final which attempt used the nonce: the budget gets back what that did not cost, and
    /// what the others might have cost is reserved no more. Says whether it was open.
    pub async fn close_replaced(
        &self,
        network: &Network,
        wallet: &str,
        nonce: u64,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let (me, network, wallet) = (self.me(), network.clone(), wallet.to_owned());
        self.write(now_ms, move |tx| Box::pin(close(tx, me, network, wallet, nonce, now_ms))).await
    }

    /// What unwedging nonces of a network took of its budget within a day, in wei.
    pub async fn unwedged(&self, network: &Network, now_ms: i64) -> Result<u64, LedgerError> {
        let network = network.clone();
        self.read(move |tx| Box::pin(async move { taken(tx, &network, None, now_ms).await })).await
    }
}

/// Whether this process may replace what is at the nonce, under the nonce's lock, beneath which alone
/// its attempts are replaced: nobody has since, it is not used as far as the ledger knows, and no
/// payment there is another process's. `unwedge`: what is not reserved for its payments, and what
/// all nonces may take of the budget.
pub(super) async fn admit(
    tx: &mut Tx,
    me: &Me,
    place: &Place<'_>,
    unwedge: Option<(u64, u64)>,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let Place { network, wallet, replaces, .. } = *place;
    let nonce = unsigned(place.nonce, "nonce")?;
    let slot = || params![network.as_str(), wallet, nonce];
    if tx.is_postgres() {
        tx.all(
            "SELECT nonce FROM slots WHERE network = $1 AND wallet = $2 AND nonce = $3 FOR UPDATE",
            slot(),
        )
        .await?;
    }
    let row = tx
        .one(
            "SELECT MAX(a.id) AS newest, COUNT(c.tx) AS booked FROM attempts a \
             LEFT JOIN costs c ON c.network = a.network AND c.tx = a.tx \
             WHERE a.network = $1 AND a.wallet = $2 AND a.nonce = $3",
            slot(),
        )
        .await?
        .ok_or(LedgerError::Corrupt { field: "attempts" })?;
    let newest = row.int_opt("newest")?.map(AttemptId).ok_or(LedgerError::Corrupt { field: "attempts" })?;
    if newest != replaces || row.unsigned("booked")? > 0 {
        return Err(LedgerError::NotReplaceable { newest });
    }
    for (id, is_final) in payments_at(tx, network, wallet, nonce).await? {
        if is_final {
            continue;
        }
        let payment = rows::get(tx, &id).await?;
        if !me.owns(&payment) {
            return Err(LedgerError::NotOwner { payment: Box::new(payment) });
        }
    }
    take(tx, place, unwedge, now_ms).await
}

/// Takes it from the budget: of a nonce the most that any replacement there took, as one lands.
async fn take(
    tx: &mut Tx,
    place: &Place<'_>,
    unwedge: Option<(u64, u64)>,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let Place { network, wallet, .. } = *place;
    let nonce = unsigned(place.nonce, "nonce")?;
    exposure::lock(tx, network).await?;
    let row = tx
        .one(
            "SELECT native FROM replaced_slots WHERE network = $1 AND wallet = $2 AND nonce = $3",
            params![network.as_str(), wallet, nonce],
        )
        .await?;
    let known = row.map_or(Ok(0), |row| row.unsigned("native"))?;
    let (shortfall, day) = unwedge.unwrap_or((0, 0));
    let wanted = known.max(shortfall);
    if wanted > known {
        let left = day.saturating_sub(taken(tx, network, Some((wallet, nonce)), now_ms).await?);
        if wanted > left {
            return Err(LedgerError::UnwedgeSpent { wanted, left });
        }
    }
    // What counts no more goes, so that there are never more rows than a day's.
    tx.execute(
        "DELETE FROM replaced_slots WHERE network = $1 AND NOT is_open AND at_ms < $2",
        params![network.as_str(), now_ms.saturating_sub(DAY_MS)],
    )
    .await?;
    tx.later(
        "INSERT INTO replaced_slots (network, wallet, nonce, native, at_ms, is_open) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (network, wallet, nonce) DO UPDATE SET \
         native = excluded.native, at_ms = excluded.at_ms, is_open = excluded.is_open",
        params![network.as_str(), wallet, nonce, native(wanted), now_ms, true],
    )
    .await
}

/// What counts against a day's budget: what is open, and what was replaced within a day.
async fn taken(
    tx: &mut Tx,
    network: &Network,
    without: Option<(&str, i64)>,
    now_ms: i64,
) -> Result<u64, LedgerError> {
    let (wallet, nonce) = without.unwrap_or(("", -1));
    tx.one(
        "SELECT CAST(COALESCE(SUM(native), 0) AS BIGINT) AS native FROM replaced_slots \
         WHERE network = $1 AND (is_open OR at_ms >= $2) AND NOT (wallet = $3 AND nonce = $4)",
        params![network.as_str(), now_ms.saturating_sub(DAY_MS), wallet, nonce],
    )
    .await?
    .ok_or(LedgerError::Corrupt { field: "replaced_slots" })?
    .unsigned("native")
}

async fn close(
    tx: &mut Tx,
    me: Me,
    network: Network,
    wallet: String,
    nonce: u64,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    let stored = unsigned(nonce, "nonce")?;
    let slot = || params![network.as_str(), wallet.as_str(), stored];
    let open = tx
        .one(
            "SELECT native FROM replaced_slots WHERE network = $1 AND wallet = $2 AND nonce = $3 AND is_open",
            slot(),
        )
        .await?;
    let Some(row) = open else { return Ok(false) };
    let costs = tx
        .all(
            // All of each transaction, of however many of its shares are in the books.
            "SELECT DISTINCT a.id AS id, c.whole AS native FROM attempts a \
             JOIN costs c ON c.network = a.network AND c.tx = a.tx \
             WHERE a.network = $1 AND a.wallet = $2 AND a.nonce = $3",
            slot(),
        )
        .await?;
    let mut spent = if costs.is_empty() { u64::MAX } else { 0 };
    for cost in &costs {
        let cost: u128 =
            cost.text("native")?.parse().map_err(|_| LedgerError::Corrupt { field: "native" })?;
        spent = spent.saturating_add(exposure::counted(cost));
    }
    let kept = row.unsigned("native")?.min(spent);
    tx.execute(
        "UPDATE replaced_slots SET native = $4, is_open = $5 WHERE network = $1 AND wallet = $2 AND nonce = $3",
        params![network.as_str(), wallet.as_str(), stored, native(kept), false],
    )
    .await?;
    for (id, is_final) in payments_at(tx, &network, &wallet, stored).await? {
        freed::free(tx, &id, is_final).await?;
    }
    let detail = json!({"network": network, "wallet": wallet, "nonce": nonce, "unwedged": kept.to_string()});
    journal(tx, &me, now_ms, None, "replaced_closed", detail).await?;
    Ok(true)
}

/// The payments of every attempt at a nonce, and whether each has its verdict.
async fn payments_at(
    tx: &mut Tx,
    network: &Network,
    wallet: &str,
    nonce: i64,
) -> Result<Vec<(PaymentId, bool)>, LedgerError> {
    tx.all(
        "SELECT DISTINCT p.id AS id, p.verdict_at_ms AS verdict_at_ms FROM attempts a \
         JOIN attempt_payments l ON l.attempt = a.id JOIN payments p ON p.id = l.payment \
         WHERE a.network = $1 AND a.wallet = $2 AND a.nonce = $3 ORDER BY p.id",
        params![network.as_str(), wallet, nonce],
    )
    .await?
    .iter()
    .map(|row| Ok((row.text("id").map(PaymentId::from_stored)?, row.int_opt("verdict_at_ms")?.is_some())))
    .collect()
}
