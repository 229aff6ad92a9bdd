//! Wallet nonces and signed bytes (invariant I2).

use quittance_protocol::{Network, PaymentId, SendOutcome};
use serde_json::json;

use super::{exposure, replaced, rows};
use crate::SignedBytes;
use crate::attempt::{NewAttempt, Terms};
use crate::codec;
use crate::conn::{Row, Tx, params, plain, reason, unsigned};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::token::Recorded;
use crate::types::{AttemptId, Payment, PaymentState, Slot};

/// Most attempts that one call reads back.
const ATTEMPTS_MAX: i64 = 1_000;

impl Ledger {
    /// Makes sure the wallet has a nonce counter and raises it to the chain's,
    /// if that is larger; it is never lowered. Returns the next nonce.
    pub async fn ensure_wallet(
        &self,
        network: &Network,
        wallet: &str,
        chain_nonce: u64,
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        let (me, network, wallet) = (self.me(), network.clone(), wallet.to_owned());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let chain_nonce_stored = unsigned(chain_nonce, "chain_nonce")?;
                let raised = tx
                    .change_one(
                        "INSERT INTO wallets (network, wallet, next_nonce) VALUES ($1, $2, $3) \
                         ON CONFLICT (network, wallet) DO UPDATE SET next_nonce = excluded.next_nonce \
                         WHERE wallets.next_nonce < excluded.next_nonce RETURNING next_nonce",
                        params![network.as_str(), plain(&wallet, "wallet")?, chain_nonce_stored],
                    )
                    .await?;
                if raised.is_some() {
                    let detail = json!({"network": network, "wallet": wallet, "next_nonce": chain_nonce});
                    journal(tx, &me, now_ms, None, "wallet_counter", detail).await?;
                }
                next_nonce(tx, &network, &wallet).await
            })
        })
        .await
    }

    /// Reserves the attempt's slot, calls its signer with the nonce, stores slot,
    /// bytes and hash and moves its payments to recorded: all in one commit. If
    /// signing fails nothing is reserved. A further attempt is refused beside one that its
    /// caller does not know or that may still land (I10), and any beyond what is reserved
    /// for its payments (P3): see [`NewAttempt::again`] and [`NewAttempt::costing`].
    pub async fn record(&self, attempt: NewAttempt, now_ms: i64) -> Result<Recorded, LedgerError> {
        attempt.check()?;
        let me = self.me();
        self.write(now_ms, move |tx| Box::pin(record(tx, me, attempt, now_ms))).await
    }

    /// Notes what a node answered to these bytes. In the background: a recorded
    /// attempt counts as possibly sent whatever this says.
    pub async fn journal_send(
        &self,
        attempt: AttemptId,
        outcome: &SendOutcome,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let me = self.me();
        let (outcome, why) = match outcome {
            SendOutcome::Accepted => ("accepted", None),
            SendOutcome::Refused { reason: why } => ("refused", Some(reason(why))),
            SendOutcome::Unknown { reason: why } => ("unknown", Some(reason(why))),
        };
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let detail = json!({"attempt": attempt.0, "outcome": outcome, "reason": why});
                let payments = payments_of(tx, attempt).await?;
                if payments.is_empty() {
                    attempt_row(tx, attempt).await?;
                    journal(tx, &me, now_ms, None, "broadcast", detail.clone()).await?;
                }
                for payment in &payments {
                    journal(tx, &me, now_ms, Some(payment), "broadcast", detail.clone()).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Every attempt for this payment, oldest first: for resume and rebroadcast.
    pub async fn recorded_attempts(&self, payment: &PaymentId) -> Result<Vec<Recorded>, LedgerError> {
        let payment = payment.clone();
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT a.* FROM attempts a JOIN attempt_payments p ON p.attempt = a.id \
                         WHERE p.payment = $1 ORDER BY a.id LIMIT $2",
                        params![payment.as_str(), ATTEMPTS_MAX],
                    )
                    .await?;
                recorded_rows(tx, &rows).await
            })
        })
        .await
    }

    /// Every attempt at this wallet nonce or a later one, by nonce, then
    /// oldest first, at most 1,000: the slots that the chain has not used yet.
    pub async fn attempts_from_nonce(
        &self,
        network: &Network,
        wallet: &str,
        nonce: u64,
    ) -> Result<Vec<Recorded>, LedgerError> {
        let (network, wallet) = (network.clone(), wallet.to_owned());
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT * FROM attempts WHERE network = $1 AND wallet = $2 AND nonce >= $3 \
                         ORDER BY nonce, id LIMIT $4",
                        params![network.as_str(), wallet, unsigned(nonce, "nonce")?, ATTEMPTS_MAX],
                    )
                    .await?;
                recorded_rows(tx, &rows).await
            })
        })
        .await
    }
}

async fn next_nonce(tx: &mut Tx, network: &Network, wallet: &str) -> Result<u64, LedgerError> {
    tx.one(
        "SELECT next_nonce FROM wallets WHERE network = $1 AND wallet = $2",
        params![network.as_str(), wallet],
    )
    .await?
    .ok_or_else(|| unknown_wallet(network, wallet))?
    .unsigned("next_nonce")
}

fn unknown_wallet(network: &Network, wallet: &str) -> LedgerError {
    LedgerError::UnknownWallet { network: network.to_string(), wallet: wallet.to_owned() }
}

async fn record(tx: &mut Tx, me: Me, attempt: NewAttempt, now_ms: i64) -> Result<Recorded, LedgerError> {
    let NewAttempt { terms, sign } = attempt;
    let (network, shortfall) = lock_payments(tx, &me, &terms).await?;
    let Terms { payments, from, slot, unwedge_day, .. } = terms;
    let place = reserve(tx, network, slot, now_ms).await?;
    if let (Some(replaces), Some(wallet), Some(nonce)) = (place.replaces, &place.wallet, place.nonce) {
        let of = replaced::Place { network: &place.network, wallet, nonce, replaces };
        replaced::admit(tx, &me, &of, unwedge_day.map(|day| (shortfall, day)), now_ms).await?;
    }
    let signed = sign(place.nonce.unwrap_or(0)).map_err(LedgerError::Sign)?;
    let nonce = place.nonce.map(|nonce| unsigned(nonce, "nonce")).transpose()?;
    let row = tx
        .change_one(
            "INSERT INTO attempts (network, wallet, nonce, tx, raw, detail, replaces, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
            params![
                place.network.as_str(),
                place.wallet.clone(),
                nonce,
                plain(&signed.transaction, "transaction")?,
                signed.raw.clone(),
                signed.detail.to_string(),
                place.replaces.map(AttemptId::get),
                now_ms,
            ],
        )
        .await?
        .ok_or(LedgerError::Corrupt { field: "attempts" })?;
    let attempt = AttemptId(row.int("id")?);
    let detail = json!({
        "attempt": attempt.0, "transaction": signed.transaction, "wallet": place.wallet,
        "nonce": place.nonce, "replaces": place.replaces.map(AttemptId::get), "payments": payments.len(),
    });
    for (item, payment) in (0_i64..).zip(&payments) {
        tx.later(
            "INSERT INTO attempt_payments (payment, attempt, item) VALUES ($1, $2, $3)",
            params![payment.as_str(), attempt.0, item],
        )
        .await?;
        advance(tx, &me, payment, from, &signed.transaction, now_ms).await?;
        journal(tx, &me, now_ms, Some(payment), "recorded", detail.clone()).await?;
    }
    if payments.is_empty() {
        journal(tx, &me, now_ms, None, "recorded", detail).await?;
    }
    Ok(Recorded {
        attempt,
        payments,
        network: place.network,
        wallet: place.wallet,
        nonce: place.nonce,
        signed,
        replaces: place.replaces,
        at_ms: now_ms,
    })
}

/// Locks the payments in one order, so that two batches cannot deadlock, and
/// checks that each may take this step, and that what it may cost is reserved: all of it, or the
/// rest that a replacement lacks.
async fn lock_payments(tx: &mut Tx, me: &Me, terms: &Terms) -> Result<(Option<Network>, u64), LedgerError> {
    let mut ordered: Vec<&PaymentId> = terms.payments.iter().collect();
    ordered.sort();
    let mut first: Option<Payment> = None;
    let mut reserved = 0_u64;
    for id in ordered {
        let payment = rows::lock(tx, id).await?;
        if payment.state != terms.from {
            let to = PaymentState::Recorded;
            return Err(LedgerError::Transition { from: payment.state, to, payment: Box::new(payment) });
        }
        if !me.owns(&payment) {
            return Err(LedgerError::NotOwner { payment: Box::new(payment) });
        }
        if first.as_ref().is_some_and(|first| first.network != payment.network) {
            return Err(LedgerError::OutOfRange { field: "network of a batch" });
        }
        if let Some(known) = terms.newest.get(id) {
            check_beside(tx, &payment, *known, &terms.slot).await?;
        }
        if terms.cost > 0 {
            reserved = reserved.saturating_add(exposure::reserved(tx, id).await?);
        }
        first.get_or_insert(payment);
    }
    let cost = exposure::counted(terms.cost);
    match first {
        Some(payment) if reserved < cost && !terms.may_unwedge() => {
            Err(LedgerError::NotReserved { payment: Box::new(payment), reserved, cost })
        }
        first => Ok((first.map(|payment| payment.network), cost.saturating_sub(reserved))),
    }
}

/// A payment's newest attempt, how many of its attempts are another wallet's than `$2`, and how many
/// may still land: nothing at their slot is in the ledger.
const BESIDE: &str = "SELECT MAX(l.attempt) AS newest, \
    CAST(COALESCE(SUM(CASE WHEN a.wallet <> CAST($2 AS TEXT) THEN 1 ELSE 0 END), 0) AS BIGINT) AS elsewhere, \
    CAST(COALESCE(SUM(CASE WHEN c.tx IS NULL AND NOT EXISTS (SELECT 1 FROM attempts s \
     JOIN costs b ON b.network = s.network AND b.tx = s.tx \
     WHERE s.network = a.network AND s.wallet = a.wallet AND s.nonce = a.nonce AND s.id <> a.id) \
     THEN 1 ELSE 0 END), 0) AS BIGINT) AS open \
    FROM attempt_payments l JOIN attempts a ON a.id = l.attempt \
    LEFT JOIN costs c ON c.network = a.network AND c.tx = a.tx AND c.item = l.item WHERE l.payment = $1";

/// I10, under the payment's lock, beneath which alone its attempts are recorded: nobody has
/// recorded another one since, and beside a fresh nonce none may still land. One wallet makes them
/// all, so that one lane knows of them.
async fn check_beside(
    tx: &mut Tx,
    payment: &Payment,
    known: AttemptId,
    slot: &Slot,
) -> Result<(), LedgerError> {
    let none = LedgerError::Corrupt { field: "attempts" };
    let wallet = match slot {
        Slot::Fresh { wallet } => Some(wallet.clone()),
        Slot::Same { .. } | Slot::Unnumbered => None,
    };
    let Some(row) = tx.one(BESIDE, params![payment.id.as_str(), wallet.clone()]).await? else {
        return Err(none);
    };
    let newest = row.int_opt("newest")?.map(AttemptId).ok_or(none)?;
    if let Some(wallet) = wallet.filter(|_| newest == known)
        && row.unsigned("elsewhere")? > 0
    {
        return Err(LedgerError::OtherWallet { payment: Box::new(payment.clone()), wallet });
    }
    let may_land = row.unsigned("open")? > 0 && !matches!(slot, Slot::Same { .. });
    match newest == known && !may_land {
        true => Ok(()),
        false => Err(LedgerError::AttemptBeside { payment: Box::new(payment.clone()), newest }),
    }
}

/// Where the bytes will go.
struct Place {
    network: Network,
    wallet: Option<String>,
    nonce: Option<u64>,
    replaces: Option<AttemptId>,
}

async fn reserve(
    tx: &mut Tx,
    network: Option<Network>,
    slot: Slot,
    now_ms: i64,
) -> Result<Place, LedgerError> {
    let no_network = || LedgerError::OutOfRange { field: "payments" };
    match slot {
        Slot::Unnumbered => {
            Ok(Place { network: network.ok_or_else(no_network)?, wallet: None, nonce: None, replaces: None })
        }
        Slot::Fresh { wallet } => {
            let network = network.ok_or_else(no_network)?;
            let row = tx
                .change_one(
                    "UPDATE wallets SET next_nonce = next_nonce + 1 WHERE network = $1 AND wallet = $2 \
                     RETURNING next_nonce - 1 AS nonce",
                    params![network.as_str(), wallet.as_str()],
                )
                .await?
                .ok_or_else(|| unknown_wallet(&network, &wallet))?;
            let nonce = row.int("nonce")?;
            tx.later(
                "INSERT INTO slots (network, wallet, nonce, created_at_ms) VALUES ($1, $2, $3, $4)",
                params![network.as_str(), wallet.as_str(), nonce, now_ms],
            )
            .await?;
            let nonce = Some(row.unsigned("nonce")?);
            Ok(Place { network, wallet: Some(wallet), nonce, replaces: None })
        }
        Slot::Same { attempt } => {
            let row = attempt_row(tx, attempt).await?;
            let place = Place {
                network: row.network()?,
                wallet: row.text_opt("wallet")?,
                nonce: row.int_opt("nonce")?.and_then(|nonce| u64::try_from(nonce).ok()),
                replaces: Some(attempt),
            };
            if place.nonce.is_none() || network.is_some_and(|network| network != place.network) {
                return Err(LedgerError::OutOfRange { field: "attempt to replace" });
            }
            Ok(place)
        }
    }
}

/// Moves a locked payment to recorded; its newest hash is what a pending answer shows.
async fn advance(
    tx: &mut Tx,
    me: &Me,
    payment: &PaymentId,
    from: PaymentState,
    transaction: &str,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let changed = tx
        .execute(
            "UPDATE payments SET state = 'recorded', tx = $2, recorded_at_ms = COALESCE(recorded_at_ms, $3) \
             WHERE id = $1 AND state = $4 AND owner = $5 AND owner_epoch = $6",
            params![payment.as_str(), transaction, now_ms, from.as_str(), &*me.instance, me.epoch],
        )
        .await?;
    if changed == 1 { Ok(()) } else { Err(LedgerError::Corrupt { field: "state" }) }
}

async fn attempt_row(tx: &mut Tx, attempt: AttemptId) -> Result<Row, LedgerError> {
    tx.one("SELECT * FROM attempts WHERE id = $1", params![attempt.0])
        .await?
        .ok_or(LedgerError::UnknownAttempt(attempt))
}

async fn payments_of(tx: &mut Tx, attempt: AttemptId) -> Result<Vec<PaymentId>, LedgerError> {
    tx.all("SELECT payment FROM attempt_payments WHERE attempt = $1 ORDER BY item", params![attempt.0])
        .await?
        .iter()
        .map(|row| row.text("payment").map(PaymentId::from_stored))
        .collect()
}

async fn recorded_rows(tx: &mut Tx, rows: &[Row]) -> Result<Vec<Recorded>, LedgerError> {
    let mut attempts = Vec::with_capacity(rows.len());
    for row in rows {
        let attempt = AttemptId(row.int("id")?);
        let nonce = match row.int_opt("nonce")? {
            Some(_) => Some(row.unsigned("nonce")?),
            None => None,
        };
        attempts.push(Recorded {
            attempt,
            payments: payments_of(tx, attempt).await?,
            network: row.network()?,
            wallet: row.text_opt("wallet")?,
            nonce,
            signed: SignedBytes {
                raw: row.blob("raw")?,
                transaction: row.text("tx")?,
                detail: row.json("detail")?,
            },
            replaces: row.int_opt("replaces")?.map(AttemptId),
            at_ms: row.int("created_at_ms")?,
        });
    }
    Ok(attempts)
}

impl Me {
    pub(crate) fn owns(&self, payment: &Payment) -> bool {
        payment.owner == *self.instance && payment.owner_epoch == self.epoch
    }
}

/// The payment behind an update that changed no row, as an error that says why.
pub(crate) async fn refused(
    tx: &mut Tx,
    me: &Me,
    id: &PaymentId,
    to: PaymentState,
) -> Result<LedgerError, LedgerError> {
    let payment = rows::get(tx, id).await?;
    Ok(if payment.state.may_become(to) && !me.owns(&payment) {
        LedgerError::NotOwner { payment: Box::new(payment) }
    } else {
        LedgerError::Transition { from: payment.state, to, payment: Box::new(payment) }
    })
}

pub(crate) fn changed(row: Option<Row>) -> Result<Option<Payment>, LedgerError> {
    row.as_ref().map(codec::payment).transpose()
}
