//! Instances: names, epochs, leases, and taking over what a dead one left.

use std::sync::Arc;

use quittance_protocol::PaymentId;
use serde_json::json;

use super::lease_clock::lease_now;
use super::{delivery, merchants};
use crate::codec;
use crate::conn::{Tx, params, plain};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::types::{LeaseClock, LedgerOptions, Payment, RunEnd};

impl Ledger {
    /// Payments without a verdict that this instance owns, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<Payment>, LedgerError> {
        let me = self.me();
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT * FROM payments WHERE owner = $1 AND owner_epoch = $2 \
                         AND state IN ('claimed', 'recorded') ORDER BY created_at_ms, id",
                        params![&*me.instance, me.epoch],
                    )
                    .await?;
                codec::payments(&rows)
            })
        })
        .await
    }

    /// Handler runs that this instance has under way, by the ledger: a run that
    /// nobody in the process works on became nobody's when a commit's answer was lost.
    pub async fn running(&self) -> Result<Vec<(PaymentId, u32)>, LedgerError> {
        let me = self.me();
        self.read(move |tx| {
            Box::pin(async move {
                tx.all(
                    "SELECT id, runs FROM payments WHERE delivery = 'running' AND delivery_owner = $1 \
                     AND delivery_epoch = $2 ORDER BY id",
                    params![&*me.instance, me.epoch],
                )
                .await?
                .iter()
                .map(|row| Ok((PaymentId::from_stored(row.text("id")?), codec::runs(row)?)))
                .collect()
            })
        })
        .await
    }

    /// How long this instance counts as alive after a heartbeat; none where no
    /// other instance can exist (SQLite).
    pub fn lease_ms(&self) -> Option<i64> {
        self.is_shared().then(|| self.options().lease_ms)
    }

    /// Takes over the unfinished payments of instances whose lease has passed,
    /// and of earlier lives of this one, and turns the handler runs they left
    /// into credits. Returns the payments
    /// that are now ours to finish.
    pub async fn adopt_orphans(&self, now_ms: i64) -> Result<Vec<Payment>, LedgerError> {
        let (me, clock) = (self.me(), self.options().lease_clock);
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                // A commit of an earlier life of this instance may come after that
                // life was taken over: the database finishes what a dead client began.
                // What it granted so never began.
                let mut adopted = take_over(tx, &me, (&me.instance, RunEnd::Interrupted), now_ms).await?;
                let lease_now_ms = lease_now(tx, clock, now_ms).await?;
                for name in fence_dead(tx, &me, lease_now_ms).await? {
                    adopted.extend(take_over(tx, &me, (&name, RunEnd::Crashed), now_ms).await?);
                }
                Ok(adopted)
            })
        })
        .await
    }

    /// Whether the ledger answers: one row is read, whatever it holds.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        let me = self.me();
        self.read(move |tx| {
            Box::pin(async move {
                tx.one("SELECT epoch FROM instances WHERE name = $1", params![&*me.instance]).await.map(drop)
            })
        })
        .await
    }

    /// Renews this instance's lease. [`LedgerError::LeaseLost`] means that
    /// another instance has taken its payments: [`rejoin`](Self::rejoin).
    pub async fn heartbeat(&self, now_ms: i64) -> Result<(), LedgerError> {
        self.keep_name().await?;
        let me = self.me();
        let (clock, lease_ms) = (self.options().lease_clock, self.options().lease_ms);
        let skew_ms = self
            .write_unleased(Box::new(move |tx| {
                Box::pin(async move {
                    let lease_now_ms = lease_now(tx, clock, now_ms).await?;
                    let lease_until_ms = lease_now_ms.saturating_add(lease_ms);
                    let changed = tx
                        .execute(
                            "UPDATE instances SET lease_until_ms = $3 WHERE name = $1 AND epoch = $2",
                            params![&*me.instance, me.epoch, lease_until_ms],
                        )
                        .await?;
                    if changed != 1 {
                        return Err(LedgerError::LeaseLost);
                    }
                    Ok(now_ms.saturating_sub(lease_now_ms))
                })
            }))
            .await?;
        // Counted from before the call, by the clock that this process asks: it
        // stops itself before anybody else may take over.
        self.renewed_until(now_ms.saturating_add(lease_ms));
        self.measured_skew(skew_ms);
        Ok(())
    }

    /// Begins a new life after a lost lease: this process slept, or could not
    /// reach the database, for longer than its lease. What others took stays
    /// theirs; operations on it are [`LedgerError::NotOwner`] from now on. Fails
    /// with [`LedgerError::LeaseLost`] while another process uses our name.
    pub async fn rejoin(&self, now_ms: i64) -> Result<(), LedgerError> {
        self.keep_name().await?;
        let name = self.me().instance;
        let options = self.options().clone();
        let lease_until_ms = now_ms.saturating_add(options.lease_ms);
        let epoch = self
            .write_unleased(Box::new(move |tx| {
                Box::pin(async move { enter(tx, name, &options, true, RunEnd::Interrupted, now_ms).await })
            }))
            .await?;
        self.began_life(epoch);
        self.renewed_until(lease_until_ms);
        Ok(())
    }
}

/// Begins a life of this instance and takes over what earlier ones left; where
/// the ledger is not shared, what anybody left. `end` says how the runs among it ended:
/// with an earlier process, or only with a lease of this one. Returns the epoch.
pub(crate) async fn enter(
    tx: &mut Tx,
    name: Arc<str>,
    options: &LedgerOptions,
    shared: bool,
    end: RunEnd,
    now_ms: i64,
) -> Result<i64, LedgerError> {
    let clock = if shared { options.lease_clock } else { LeaseClock::Caller };
    let lease_until_ms = lease_now(tx, clock, now_ms).await?.saturating_add(options.lease_ms);
    let row = tx
        .change_one(
            "INSERT INTO instances (name, epoch, lease_until_ms) VALUES ($1, 1, $2) \
             ON CONFLICT (name) DO UPDATE SET epoch = instances.epoch + 1, \
             lease_until_ms = excluded.lease_until_ms RETURNING epoch",
            params![plain(&name, "instance")?, lease_until_ms],
        )
        .await?
        .ok_or(LedgerError::Corrupt { field: "instances" })?;
    let epoch = row.int("epoch")?;
    let me = Me { instance: name.clone(), epoch };
    take_over(tx, &me, (&name, end), now_ms).await?;
    if !shared {
        let others = tx.all("SELECT name FROM instances WHERE name <> $1", params![&*name]).await?;
        for other in others {
            take_over(tx, &me, (&other.text("name")?, end), now_ms).await?;
        }
    }
    Ok(epoch)
}

/// Ends the lives of instances that left work behind and whose lease has
/// passed. Their epoch moves on, so that their next heartbeat fails.
async fn fence_dead(tx: &mut Tx, me: &Me, now_ms: i64) -> Result<Vec<String>, LedgerError> {
    let left_behind = tx
        .all(
            "SELECT name FROM instances WHERE lease_until_ms < $1 AND name <> $2 AND (\
             (SELECT 1 FROM payments WHERE owner = name AND state IN ('claimed', 'recorded') \
              ORDER BY owner_epoch LIMIT 1) IS NOT NULL OR \
             (SELECT 1 FROM payments WHERE owner = name AND state = 'settled' AND finality IS NULL \
              ORDER BY owner_epoch LIMIT 1) IS NOT NULL OR \
             (SELECT 1 FROM payments WHERE delivery_owner = name AND delivery = 'running' \
              ORDER BY delivery_epoch LIMIT 1) IS NOT NULL OR \
             (SELECT 1 FROM merchant_answers WHERE owner = name AND state = 'telling' \
              ORDER BY owner_epoch LIMIT 1) IS NOT NULL) \
             ORDER BY name",
            params![now_ms, &*me.instance],
        )
        .await?;
    let mut dead = Vec::new();
    for row in left_behind {
        let name = row.text("name")?;
        let fenced = tx
            .execute(
                "UPDATE instances SET epoch = epoch + 1 WHERE name = $1 AND lease_until_ms < $2",
                params![name.as_str(), now_ms],
            )
            .await?;
        if fenced == 1 {
            dead.push(name);
        }
    }
    Ok(dead)
}

/// Takes over what one instance left, by the name it had; never from a later life
/// of our own: what a dead life sent may arrive late.
///
/// Each condition begins with the columns of an index over what is under way, so
/// that a look at nothing costs nothing, however much of ours is under way.
async fn take_over(
    tx: &mut Tx,
    me: &Me,
    (from, end): (&str, RunEnd),
    now_ms: i64,
) -> Result<Vec<Payment>, LedgerError> {
    let before_epoch = if *from == *me.instance { me.epoch } else { i64::MAX };
    // Whoever came with a payment was connected to the process that is gone: it
    // repeats its call, signed anew, as if it had been told that this is pending (P7).
    let rows = tx
        .change(
            "UPDATE payments SET owner = $1, owner_epoch = $2, pending_answer_at_ms = \
             CASE WHEN origin = 'gate' THEN COALESCE(pending_answer_at_ms, $5) ELSE pending_answer_at_ms END \
             WHERE state IN ('claimed', 'recorded') \
             AND owner = $3 AND owner_epoch < $4 RETURNING *",
            params![&*me.instance, me.epoch, from, before_epoch, now_ms],
        )
        .await?;
    let mut adopted = codec::payments(&rows)?;
    adopted.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
    for payment in &adopted {
        journal(tx, me, now_ms, Some(&payment.id), "adopted", json!({"epoch": me.epoch})).await?;
    }
    // Landings that are not final yet go on being watched; nobody drives them,
    // so they are not returned and not journaled one by one.
    tx.execute(
        "UPDATE payments SET owner = $1, owner_epoch = $2, pending_answer_at_ms = \
         CASE WHEN origin = 'gate' AND delivery = 'none' THEN COALESCE(pending_answer_at_ms, $5) \
         ELSE pending_answer_at_ms END WHERE state = 'settled' AND finality IS NULL \
         AND owner = $3 AND owner_epoch < $4",
        params![&*me.instance, me.epoch, from, before_epoch, now_ms],
    )
    .await?;
    let cut_off = tx
        .change(
            "UPDATE payments SET delivery = 'credited', credited_at_ms = $3, \
             runs_interrupted = runs_interrupted + 1, runs_crashed = runs_crashed + $4 \
             WHERE delivery = 'running' AND delivery_owner = $1 AND delivery_epoch < $2 RETURNING id, runs",
            params![from, before_epoch, now_ms, i64::from(end == RunEnd::Crashed)],
        )
        .await?;
    for row in &cut_off {
        let id = PaymentId::from_stored(row.text("id")?);
        let detail = delivery::credited(codec::runs(row)?, delivery::CUT_OFF, end);
        journal(tx, me, now_ms, Some(&id), "credited", detail).await?;
    }
    merchants::take_over(tx, me, from, before_epoch, now_ms).await?;
    Ok(adopted)
}
