//! Calls that clients repeat (P7), and what they call their purchases.
//!
//! Locks are taken in one order: identifiers, the earlier payment, the key.

use quittance_protocol::{IdentifierHash, PaymentId, PaymentKey};
use serde_json::json;

use super::delivery::runs_left;
use super::rows;
use crate::codec;
use crate::conn::{Row, Tx, amount, params};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::repeats::{Alias, Known, ended_unpaid};
use crate::token::ClaimOutcome;
use crate::types::{NewClaim, Origin, Payment, RepeatPolicy};

/// Looks for an earlier payment within one claim.
const LOOKS_MAX: u32 = 3;

/// What is true of a payment that something is left of for its payer; the first
/// part is the condition of the index over them.
macro_rules! unanswered {
    ($sql:literal, $opens:literal, $closes:literal, $crashed_max:literal) => {
        concat!(
            "SELECT * FROM payments WHERE ",
            $sql,
            " AND ",
            $opens,
            "origin = 'gate' AND first_answer_at_ms IS NULL AND state IN ('claimed', 'recorded', 'settled')",
            $closes,
            " AND NOT owed AND (delivery = 'running' \
             OR (delivery IN ('none', 'credited') AND ",
            runs_left!("$2", $crashed_max),
            ") OR (delivery = 'delivered' AND EXISTS (SELECT 1 FROM answers WHERE payment = payments.id \
             AND body IS NOT NULL AND NOT truncated)))"
        )
    };
}

/// By its id, and not by the index over all of them: see `verdicts`.
const STILL_UNANSWERED: &str = unanswered!("id = $1", "CASE WHEN ", " THEN TRUE ELSE FALSE END", "$3");

/// The same, and nobody who came with it is waiting to be served: they were told
/// that it is pending or failed, or must have been by now, or left, or the life of
/// the process that they were connected to is over. Paid ones first.
const LEFT_BY_ITS_CALLER: &str = concat!(
    unanswered!("payer = $1 AND fingerprint = $3 AND network = $4 AND payment_key <> $5", "", "", "$7"),
    " AND (pending_answer_at_ms IS NOT NULL OR credited_at_ms IS NOT NULL \
     OR (delivery = 'none' AND created_at_ms <= $6) \
     OR NOT EXISTS (SELECT 1 FROM instances WHERE name = COALESCE(payments.delivery_owner, payments.owner) \
     AND epoch = COALESCE(payments.delivery_epoch, payments.owner_epoch))) \
     AND NOT EXISTS (SELECT 1 FROM identifiers WHERE payment = payments.id) \
     ORDER BY (SELECT COUNT(*) FROM aliases WHERE aliases.payment = payments.id), \
     CASE state WHEN 'settled' THEN 0 ELSE 1 END, created_at_ms, id LIMIT 1"
);

impl Ledger {
    /// What stands under this key: a payment, or an alias of one.
    pub async fn known(&self, key: &PaymentKey) -> Result<Option<Known>, LedgerError> {
        let key = *key;
        self.read(move |tx| Box::pin(async move { known(tx, &key).await })).await
    }

    /// Answers the authorization from an earlier payment, if there is one that
    /// its policy allows; `None`, and nothing stored, if there is not. For
    /// authorizations that could not be claimed themselves: deadline and
    /// `watch_from` are not looked at. At most one commit.
    pub async fn claim_alias(&self, new: NewClaim, now_ms: i64) -> Result<Option<ClaimOutcome>, LedgerError> {
        let me = self.me();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                rows::check(&new)?;
                if let Some(known) = known(tx, &new.key).await? {
                    return Ok((!known.is_free()).then(|| ClaimOutcome::Exists(Box::new(known))));
                }
                let Some(payment) = left_for(tx, &new, Lock::Yes).await? else { return Ok(None) };
                let outcome = answer_from(tx, &me, &new, payment, now_ms).await?;
                match outcome {
                    Some(outcome) => Ok(Some(outcome)),
                    None => Ok(known(tx, &new.key).await?.map(|known| ClaimOutcome::Exists(Box::new(known)))),
                }
            })
        })
        .await
    }

    /// The payment that [`claim_alias`](Self::claim_alias) would answer from now.
    pub async fn earlier(&self, new: &NewClaim) -> Result<Option<Payment>, LedgerError> {
        let new = new.clone();
        self.read(move |tx| Box::pin(async move { left_for(tx, &new, Lock::No).await })).await
    }

    /// The aliases of a payment, oldest first.
    pub async fn aliases(&self, payment: &PaymentId) -> Result<Vec<Alias>, LedgerError> {
        let id = payment.clone();
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT * FROM aliases WHERE payment = $1 ORDER BY at_ms, payment_key LIMIT $2",
                        params![id.as_str(), i64::from(crate::LIST_MAX)],
                    )
                    .await?;
                rows.iter().map(alias).collect()
            })
        })
        .await
    }
}

impl NewClaim {
    /// What the payer itself calls this purchase, in the order of locking.
    pub(crate) fn names(&self) -> Vec<IdentifierHash> {
        let own = self.identifier.filter(|identifier| !identifier.is_offered());
        let mut names: Vec<_> = own.into_iter().chain(self.idempotency).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where these names are unique, beside the payer.
    pub(crate) fn scope(&self) -> String {
        match &self.origin {
            Origin::Gate => "gate".to_owned(),
            Origin::Merchant(name) => format!("merchant:{name}"),
        }
    }
}

/// What a claim comes to before its payment is written.
pub(crate) enum Before {
    /// It does not become a payment.
    Ends(ClaimOutcome),
    /// It may. These names are its own from now on.
    Goes(Vec<IdentifierHash>),
}

/// Whether a claim is answered from an earlier payment, or names another one.
pub(crate) async fn before_claim(
    tx: &mut Tx,
    me: &Me,
    new: &NewClaim,
    now_ms: i64,
) -> Result<Before, LedgerError> {
    let names = new.names();
    if names.is_empty() {
        let outcome = match earlier(tx, new, Lock::Yes).await? {
            Some(payment) => answer_from(tx, me, new, payment, now_ms).await?,
            None => None,
        };
        return Ok(outcome.map_or(Before::Goes(names), Before::Ends));
    }
    let (taken, named) = take_names(tx, new, &names).await?;
    if let Some(mine) = named.iter().find(|payment| payment.key == new.key) {
        drop_names(tx, new, &taken).await?;
        let mine = Known { payment: mine.clone(), alias: None };
        return Ok(Before::Ends(ClaimOutcome::Exists(Box::new(mine))));
    }
    let Some(other) = named.iter().find(|payment| !ended_unpaid(payment)) else {
        // What ended unpaid gives its names back.
        for payment in &named {
            rename(tx, new, payment).await?;
        }
        return Ok(Before::Goes(names));
    };
    drop_names(tx, new, &taken).await?;
    let outcome = match known(tx, &new.key).await? {
        Some(known) if known.is_free() => None,
        Some(known) => Some(ClaimOutcome::Exists(Box::new(known))),
        None => match answerable(tx, new, names.len(), &named, Lock::Yes).await? {
            Some(payment) => answer_from(tx, me, new, payment, now_ms).await?,
            None => Some(ClaimOutcome::Named(Box::new(other.clone()))),
        },
    };
    Ok(outcome.map_or_else(|| Before::Goes(Vec::new()), Before::Ends))
}

/// Gives an alias up whose payment ended unpaid, so that its key can be claimed.
pub(crate) async fn release(
    tx: &mut Tx,
    me: &Me,
    key: &PaymentKey,
    payment: &PaymentId,
    now_ms: i64,
) -> Result<(), LedgerError> {
    if tx.is_postgres() {
        // Before the row's own lock, as who writes it does.
        tx.all("SELECT quittance_lock_key($1)::TEXT", params![key.as_bytes()]).await?;
    }
    let gone = tx
        .execute(
            "DELETE FROM aliases WHERE payment_key = $1 AND payment = $2",
            params![key.as_bytes(), payment.as_str()],
        )
        .await?;
    match gone {
        0 => Ok(()),
        _ => journal(tx, me, now_ms, Some(payment), "alias_released", json!({"key": key.to_string()})).await,
    }
}

/// Gives back the names that a claim took in this transaction.
pub(crate) async fn drop_names(
    tx: &mut Tx,
    new: &NewClaim,
    names: &[IdentifierHash],
) -> Result<(), LedgerError> {
    for name in names {
        tx.later(
            "DELETE FROM identifiers WHERE scope = $1 AND payer = $2 AND identifier = $3 AND payment = $4",
            params![new.scope(), new.payer.as_str(), name.as_bytes(), new.id.as_str()],
        )
        .await?;
    }
    Ok(())
}

pub(crate) async fn known(tx: &mut Tx, key: &PaymentKey) -> Result<Option<Known>, LedgerError> {
    if let Some(payment) = rows::by_key(tx, key).await? {
        return Ok(Some(Known { payment, alias: None }));
    }
    let row = tx.one("SELECT * FROM aliases WHERE payment_key = $1", params![key.as_bytes()]).await?;
    let Some(alias) = row.as_ref().map(alias).transpose()? else { return Ok(None) };
    let payment = rows::get(tx, &alias.payment).await?;
    Ok(Some(Known { payment, alias: Some(alias) }))
}

/// The payment that a claim is answered from, its names left alone.
async fn left_for(tx: &mut Tx, new: &NewClaim, lock: Lock) -> Result<Option<Payment>, LedgerError> {
    let names = new.names();
    if names.is_empty() {
        return earlier(tx, new, lock).await;
    }
    let mut named = Vec::new();
    for name in &names {
        named.extend(payment_named(tx, new, name).await?);
    }
    answerable(tx, new, names.len(), &named, lock).await
}

/// Whether what is found may not change before COMMIT; a reader cannot ask for it.
#[derive(Clone, Copy, PartialEq)]
enum Lock {
    Yes,
    No,
}

/// The payment that an unnamed claim is answered from.
async fn earlier(tx: &mut Tx, new: &NewClaim, lock: Lock) -> Result<Option<Payment>, LedgerError> {
    let Some(policy) = new.repeats else { return Ok(None) };
    // Who ends between the look and the lock makes room for the next one.
    for _ in 0..LOOKS_MAX {
        let row = tx
            .one(
                LEFT_BY_ITS_CALLER,
                params![
                    new.payer.as_str(),
                    i64::from(policy.runs.failed_max),
                    new.fingerprint.as_bytes(),
                    new.network.as_str(),
                    new.key.as_bytes(),
                    policy.waiting_since_ms,
                    i64::from(policy.runs.crashed_max),
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        if let Some(payment) = still_unanswered(tx, &codec::payment(&row)?.id, policy, lock).await? {
            return Ok(Some(payment));
        }
    }
    Ok(None)
}

/// The payment that a claim's own names stand for, if every one of them does,
/// for this very request, and something of it is left.
async fn answerable(
    tx: &mut Tx,
    new: &NewClaim,
    names: usize,
    named: &[Payment],
    lock: Lock,
) -> Result<Option<Payment>, LedgerError> {
    let (Some(policy), Some(first)) = (new.repeats, named.first()) else { return Ok(None) };
    let one = named.len() == names && named.iter().all(|payment| payment.id == first.id);
    if !one || first.fingerprint != new.fingerprint || first.network != new.network {
        return Ok(None);
    }
    still_unanswered(tx, &first.id, policy, lock).await
}

/// Locks the row first, if it may: what was read before it may have ended meanwhile.
async fn still_unanswered(
    tx: &mut Tx,
    id: &PaymentId,
    policy: RepeatPolicy,
    lock: Lock,
) -> Result<Option<Payment>, LedgerError> {
    if lock == Lock::Yes {
        rows::lock(tx, id).await?;
    }
    let limits = (i64::from(policy.runs.failed_max), i64::from(policy.runs.crashed_max));
    let row = tx.one(STILL_UNANSWERED, params![id.as_str(), limits.0, limits.1]).await?;
    row.as_ref().map(codec::payment).transpose()
}

/// Stores the alias; `None` if the key is taken by now.
async fn answer_from(
    tx: &mut Tx,
    me: &Me,
    new: &NewClaim,
    payment: Payment,
    now_ms: i64,
) -> Result<Option<ClaimOutcome>, LedgerError> {
    let Some(policy) = new.repeats else { return Ok(None) };
    let row = tx
        .one("SELECT COUNT(*) AS aliases FROM aliases WHERE payment = $1", params![payment.id.as_str()])
        .await?
        .ok_or(LedgerError::Corrupt { field: "aliases" })?;
    if row.int("aliases")? >= i64::from(policy.aliases_max) {
        return Ok(match known(tx, &new.key).await? {
            // Given up first, and asked again.
            Some(known) if known.is_free() => None,
            Some(known) => Some(ClaimOutcome::Exists(Box::new(known))),
            None => Some(ClaimOutcome::Crowded(Box::new(payment))),
        });
    }
    let stored = tx
        .change_one(
            "INSERT INTO aliases (payment_key, payment, signature_digest, identifier, amount, \
             at_ms) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (payment_key) DO NOTHING RETURNING *",
            params![
                new.key.as_bytes(),
                payment.id.as_str(),
                &new.signature_digest,
                new.identifier.map(|id| id.as_bytes().to_vec()),
                amount(new.amount, "amount")?,
                now_ms,
            ],
        )
        .await?;
    let Some(stored) = stored else { return Ok(None) };
    let detail = json!({"key": new.key.to_string(), "amount": new.amount});
    journal(tx, me, now_ms, Some(&payment.id), "aliased", detail).await?;
    let alias = Some(alias(&stored)?);
    Ok(Some(ClaimOutcome::Aliased(Box::new(Known { payment, alias }))))
}

/// Takes what is free of these names for the claim; those, and the payments that
/// have the others.
async fn take_names(
    tx: &mut Tx,
    new: &NewClaim,
    names: &[IdentifierHash],
) -> Result<(Vec<IdentifierHash>, Vec<Payment>), LedgerError> {
    let (mut taken, mut named) = (Vec::new(), Vec::new());
    for name in names {
        let free = tx
            .execute(
                "INSERT INTO identifiers (scope, payer, identifier, payment) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (scope, payer, identifier) DO NOTHING",
                params![new.scope(), new.payer.as_str(), name.as_bytes(), new.id.as_str()],
            )
            .await?;
        if free == 0 {
            let payment = payment_named(tx, new, name).await?;
            named.push(payment.ok_or(LedgerError::Corrupt { field: "identifiers" })?);
        } else {
            taken.push(*name);
        }
    }
    Ok((taken, named))
}

async fn payment_named(
    tx: &mut Tx,
    new: &NewClaim,
    name: &IdentifierHash,
) -> Result<Option<Payment>, LedgerError> {
    let row = tx
        .one(
            "SELECT p.* FROM identifiers i JOIN payments p ON p.id = i.payment \
             WHERE i.scope = $1 AND i.payer = $2 AND i.identifier = $3",
            params![new.scope(), new.payer.as_str(), name.as_bytes()],
        )
        .await?;
    row.as_ref().map(codec::payment).transpose()
}

async fn rename(tx: &mut Tx, new: &NewClaim, from: &Payment) -> Result<(), LedgerError> {
    for name in new.names() {
        tx.later(
            "UPDATE identifiers SET payment = $4 \
             WHERE scope = $1 AND payer = $2 AND identifier = $3 AND payment = $5",
            params![new.scope(), new.payer.as_str(), name.as_bytes(), new.id.as_str(), from.id.as_str()],
        )
        .await?;
    }
    Ok(())
}

fn alias(row: &Row) -> Result<Alias, LedgerError> {
    let identifier = row.blob_opt("identifier")?.map(<[u8; 32]>::try_from).transpose();
    let identifier = identifier.map_err(|_| LedgerError::Corrupt { field: "identifier" })?;
    Ok(Alias {
        key: PaymentKey::from_bytes(row.hash("payment_key")?),
        payment: PaymentId::from_stored(row.text("payment")?),
        signature_digest: row.hash("signature_digest")?,
        identifier: identifier.map(IdentifierHash::from_bytes),
        amount: row.amount("amount")?,
        at_ms: row.int("at_ms")?,
    })
}
