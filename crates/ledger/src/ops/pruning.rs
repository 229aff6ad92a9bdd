//! What goes of payments that ended long ago: journal, attempts, signed bytes, the
//! payer's own bytes, aliases and tellings. The row stays, and with it the key, whose
//! signature it was and what became of it: nobody claims it again, and whoever shows it
//! is answered as before (P1, I1). Costs, usages and what answers were stay too: sums
//! and ranks are made of them.

use quittance_protocol::PaymentId;
use serde_json::json;

use super::lease_clock;
use crate::codec;
use crate::conn::{Tx, params};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::pruning::{
    ATTEMPTS_MAX, Ended, FinishedPolicy, LINES_PER_STEP, LOOKED_AT_PER_STEP, PRUNED_PER_STEP, PruneCursor,
    Pruned, TARIFFS_PER_STEP, is_over, tariffs_before_ms,
};
use crate::types::Payment;

impl Ledger {
    /// One step through the payments that ended before `keep_ms` ago, oldest first, from
    /// behind `after`: looks at 64 at most and prunes 8 at most, in one commit. A payment
    /// that is open in any sense is left alone: without a verdict, not final, not
    /// delivered, not told, refundable, owed, with an answer that is kept, with a
    /// reservation, with a wallet nonce that may be unused, or with a deadline that is
    /// not as long ago.
    ///
    /// One instance prunes at a time: others hear [`Pruned::Busy`] until `lease_ms` after
    /// its last step.
    pub async fn prune_finished(
        &self,
        policy: FinishedPolicy,
        after: Option<PruneCursor>,
        now_ms: i64,
    ) -> Result<Pruned, LedgerError> {
        let (me, clock) = (self.me(), self.options().lease_clock);
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let lease_now_ms = lease_clock::lease_now(tx, clock, now_ms).await?;
                let until_ms = lease_now_ms.saturating_add(policy.lease_ms);
                let leased = tx
                    .execute(
                        "UPDATE pruning SET owner = $1, until_ms = $2 WHERE place = 1 AND (owner = $1 OR until_ms < $3)",
                        params![&*me.instance, until_ms, lease_now_ms],
                    )
                    .await?;
                if leased == 0 {
                    return Ok(Pruned::Busy);
                }
                step(tx, &me, policy.before_ms(now_ms), after, now_ms).await
            })
        })
        .await
    }
}

async fn step(
    tx: &mut Tx,
    me: &Me,
    before_ms: i64,
    after: Option<PruneCursor>,
    now_ms: i64,
) -> Result<Pruned, LedgerError> {
    let found = candidates(tx, before_ms, after.as_ref()).await?;
    let mut is_last = found.len() < usize::from(LOOKED_AT_PER_STEP);
    let (mut next, mut payments, mut lines_left) = (after, 0, LINES_PER_STEP);
    for payment in &found {
        if payments == PRUNED_PER_STEP || lines_left == 0 {
            is_last = false;
            break;
        }
        if may_go(tx, payment, before_ms).await? {
            if !all_of_journal(tx, &payment.id, &mut lines_left, now_ms).await? {
                // The rest of a long journal goes in the next step.
                is_last = false;
                break;
            }
            prune(tx, &payment.id, now_ms).await?;
            payments = payments.saturating_add(1);
        }
        next = Some(PruneCursor::of(payment));
    }
    let tariffs = old_tariffs(tx, tariffs_before_ms(before_ms, now_ms)).await?;
    is_last &= tariffs < TARIFFS_PER_STEP;
    if payments > 0 || tariffs > 0 {
        let detail = json!({"payments": payments, "tariffs": tariffs, "before_ms": before_ms});
        journal(tx, me, now_ms, None, "finished_pruned", detail).await?;
    }
    Ok(Pruned::Step { payments, tariffs, next: next.filter(|_| !is_last) })
}

async fn candidates(
    tx: &mut Tx,
    before_ms: i64,
    after: Option<&PruneCursor>,
) -> Result<Vec<Payment>, LedgerError> {
    let (at_ms, id) = after.map_or((i64::MIN, ""), |after| (after.verdict_at_ms, after.payment.as_str()));
    let rows = tx
        .all(
            "SELECT * FROM payments WHERE pruned_at_ms IS NULL AND verdict_at_ms IS NOT NULL \
             AND (verdict_at_ms, id) > ($1, $2) AND verdict_at_ms < $3 ORDER BY verdict_at_ms, id LIMIT $4",
            params![at_ms, id, before_ms, i64::from(LOOKED_AT_PER_STEP)],
        )
        .await?;
    codec::payments(&rows)
}

/// Whether nothing of this payment is open. The cheapest questions come first.
async fn may_go(tx: &mut Tx, payment: &Payment, before_ms: i64) -> Result<bool, LedgerError> {
    let id = payment.id.as_str();
    if !is_over(payment, before_ms) {
        return Ok(false);
    }
    let answer = tx
        .one("SELECT refundable, body IS NOT NULL AS kept FROM answers WHERE payment = $1", params![id])
        .await?;
    let (refundable, kept) = match &answer {
        Some(row) => (row.flag("refundable")?, row.flag("kept")?),
        None => (false, false),
    };
    let reserved =
        tx.one("SELECT payment FROM reservations WHERE payment = $1", params![id]).await?.is_some();
    let ended = Ended { refundable, kept, reserved };
    Ok(ended.may_go() && !has_open_nonce(tx, id).await?)
}

/// Whether a wallet nonce of this payment may be unused still: its bytes fill the gap
/// then (I2). It is used once a cost is booked for it, or for a later one.
async fn has_open_nonce(tx: &mut Tx, id: &str) -> Result<bool, LedgerError> {
    let attempts = attempts_of(tx, id).await?;
    if attempts.len() > usize::from(ATTEMPTS_MAX) {
        return Ok(true);
    }
    for attempt in attempts {
        let Some((wallet, nonce)) = attempt.slot else { continue };
        let used = tx
            .one(
                "SELECT b.id AS id FROM attempts b JOIN costs c ON c.network = b.network AND c.tx = b.tx \
                 WHERE b.network = $1 AND b.wallet = $2 AND b.nonce >= $3 ORDER BY b.nonce LIMIT 1",
                params![attempt.network, wallet, nonce],
            )
            .await?;
        if used.is_none() || has_open_share(tx, attempt.id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether somebody's share of what an attempt cost is not in the books yet: it is taken from how many
/// payments there are, so none of them goes before.
async fn has_open_share(tx: &mut Tx, attempt: i64) -> Result<bool, LedgerError> {
    let open = tx
        .one(
            "SELECT l.payment AS payment FROM attempt_payments l JOIN attempts a ON a.id = l.attempt \
             LEFT JOIN costs c ON c.network = a.network AND c.tx = a.tx AND c.item = l.item \
             WHERE l.attempt = $1 AND c.tx IS NULL \
             AND EXISTS (SELECT 1 FROM costs b WHERE b.network = a.network AND b.tx = a.tx) LIMIT 1",
            params![attempt],
        )
        .await?;
    Ok(open.is_some())
}

struct AttemptRow {
    id: i64,
    network: String,
    slot: Option<(String, i64)>,
}

async fn attempts_of(tx: &mut Tx, id: &str) -> Result<Vec<AttemptRow>, LedgerError> {
    tx.all(
        "SELECT a.id AS id, a.network AS network, a.wallet AS wallet, a.nonce AS nonce FROM attempt_payments l \
         JOIN attempts a ON a.id = l.attempt WHERE l.payment = $1 LIMIT $2",
        params![id, i64::from(ATTEMPTS_MAX) + 1],
    )
    .await?
    .iter()
    .map(|row| {
        let slot = row.text_opt("wallet")?.zip(row.int_opt("nonce")?);
        Ok(AttemptRow { id: row.int("id")?, network: row.text("network")?, slot })
    })
    .collect()
}

/// Deletes the journal, and says whether all of it went: a payment that waited for long
/// has many lines.
async fn all_of_journal(
    tx: &mut Tx,
    id: &PaymentId,
    lines_left: &mut u64,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    // The mark lets lines go.
    mark(tx, id, Some(now_ms)).await?;
    let lines = tx
        .all(
            "SELECT sequence FROM journal WHERE payment = $1 LIMIT $2",
            params![id.as_str(), i64::try_from(*lines_left).unwrap_or(i64::MAX)],
        )
        .await?;
    for line in &lines {
        tx.execute("DELETE FROM journal WHERE sequence = $1", params![line.int("sequence")?]).await?;
    }
    *lines_left = lines_left.saturating_sub(lines.len() as u64);
    let is_all = *lines_left > 0;
    if !is_all {
        mark(tx, id, None).await?;
    }
    Ok(is_all)
}

async fn mark(tx: &mut Tx, id: &PaymentId, pruned_at_ms: Option<i64>) -> Result<(), LedgerError> {
    tx.execute("UPDATE payments SET pruned_at_ms = $2 WHERE id = $1", params![id.as_str(), pruned_at_ms])
        .await
        .map(drop)
}

async fn prune(tx: &mut Tx, id: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
    let pruned = tx
        .execute(
            "UPDATE payments SET payload = '{}', evidence = NULL \
             WHERE id = $1 AND pruned_at_ms = $2",
            params![id.as_str(), now_ms],
        )
        .await?;
    if pruned != 1 {
        return Err(LedgerError::Corrupt { field: "pruned_at_ms" });
    }
    tx.execute("DELETE FROM aliases WHERE payment = $1", params![id.as_str()]).await?;
    tx.execute("DELETE FROM merchant_answers WHERE payment = $1", params![id.as_str()]).await?;
    let attempts = attempts_of(tx, id.as_str()).await?;
    tx.execute("DELETE FROM attempt_payments WHERE payment = $1", params![id.as_str()]).await?;
    for attempt in attempts {
        drop_attempt(tx, attempt).await?;
    }
    Ok(())
}

/// An attempt goes with the last of its payments, and one with a nonce when no payment
/// uses that nonce any more: with its slot, and whatever replaced it there.
async fn drop_attempt(tx: &mut Tx, attempt: AttemptRow) -> Result<(), LedgerError> {
    let Some((wallet, nonce)) = attempt.slot else {
        return tx
            .execute(
                "DELETE FROM attempts WHERE id = $1 AND NOT EXISTS \
                 (SELECT 1 FROM attempt_payments l WHERE l.attempt = attempts.id)",
                params![attempt.id],
            )
            .await
            .map(drop);
    };
    let needed = tx
        .one(
            "SELECT a.id AS id FROM attempts a JOIN attempt_payments l ON l.attempt = a.id \
             WHERE a.network = $1 AND a.wallet = $2 AND a.nonce = $3 LIMIT 1",
            params![attempt.network.as_str(), wallet.as_str(), nonce],
        )
        .await?;
    if needed.is_some() {
        return Ok(());
    }
    tx.execute(
        "DELETE FROM attempts WHERE network = $1 AND wallet = $2 AND nonce = $3",
        params![attempt.network.as_str(), wallet.as_str(), nonce],
    )
    .await?;
    tx.execute(
        "DELETE FROM slots WHERE network = $1 AND wallet = $2 AND nonce = $3",
        params![attempt.network, wallet, nonce],
    )
    .await
    .map(drop)
}

/// Tariffs that nobody can pay by any more; a payment says what it was charged by itself.
async fn old_tariffs(tx: &mut Tx, before_ms: i64) -> Result<u64, LedgerError> {
    let old = tx
        .all(
            "SELECT network, number FROM tariffs WHERE replaced_at_ms IS NOT NULL AND replaced_at_ms < $1 \
             ORDER BY replaced_at_ms LIMIT $2",
            params![before_ms, i64::try_from(TARIFFS_PER_STEP).unwrap_or(i64::MAX)],
        )
        .await?;
    for row in &old {
        tx.execute(
            "DELETE FROM tariffs WHERE network = $1 AND number = $2 AND replaced_at_ms IS NOT NULL",
            params![row.text("network")?, row.int("number")?],
        )
        .await?;
    }
    Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
}
