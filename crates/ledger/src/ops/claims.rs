//! Claims (invariant I1).

use quittance_protocol::{Deadline, IdentifierHash, PaymentId, PaymentKey};
use serde_json::json;

use crate::codec;
use crate::conn::{Tx, amount, params, plain, unsigned};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::token::{Claim, ClaimOutcome};
use crate::types::{NewClaim, Origin, Payment};

/// Most payments that one identifier lists.
const IDENTIFIER_PAYMENTS_MAX: i64 = 16;

impl Ledger {
    /// Claims a payment key; of any number of callers one wins. One commit,
    /// none when the key exists.
    pub async fn claim(&self, new: NewClaim, now_ms: i64) -> Result<ClaimOutcome, LedgerError> {
        let me = self.me();
        self.write(now_ms, move |tx| Box::pin(claim(tx, me, new, now_ms))).await
    }

    /// The payment with this key.
    pub async fn payment_by_key(&self, key: &PaymentKey) -> Result<Option<Payment>, LedgerError> {
        let key = *key;
        self.read(move |tx| Box::pin(async move { by_key(tx, &key).await })).await
    }

    /// The payment with this id.
    pub async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, LedgerError> {
        let id = id.clone();
        self.read(move |tx| Box::pin(async move { find(tx, &id).await })).await
    }

    /// Payments claimed with this `payment-identifier`, newest first, at most 16.
    /// Clients choose identifiers, so two payers may have used the same one.
    pub async fn payment_by_identifier(&self, id: &IdentifierHash) -> Result<Vec<Payment>, LedgerError> {
        let id = *id;
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT * FROM payments WHERE identifier = $1 \
                         ORDER BY created_at_ms DESC, id DESC LIMIT $2",
                        params![id.as_bytes(), IDENTIFIER_PAYMENTS_MAX],
                    )
                    .await?;
                codec::payments(&rows)
            })
        })
        .await
    }
}

async fn claim(tx: &mut Tx, me: Me, new: NewClaim, now_ms: i64) -> Result<ClaimOutcome, LedgerError> {
    for (text, field) in [
        (new.payer.as_str(), "payer"),
        (new.pay_to.as_str(), "pay_to"),
        (new.asset.as_str(), "asset"),
        (new.resource.as_str(), "resource"),
    ] {
        plain(text, field)?;
    }
    let (origin, merchant) = match &new.origin {
        Origin::Gate => ("gate", None),
        Origin::Merchant(name) => ("merchant", Some(plain(name, "merchant")?.to_owned())),
    };
    let (deadline_unit, deadline) = match new.deadline {
        Deadline::UnixSeconds(value) => ("unix_seconds", value),
        Deadline::BlockHeight(value) => ("block_height", value),
    };
    let row = tx
        .change_one(
            "INSERT INTO payments (id, request_id, payment_key, network, origin, merchant, fingerprint, \
             signature_digest, identifier, payer, pay_to, asset, amount, service, gas, tariff, \
             deadline_unit, deadline_value, watch_from, payload, resource, state, delivery, runs, \
             owner, owner_epoch, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
             $19, $20, $21, 'claimed', 'none', 0, $22, $23, $24) \
             ON CONFLICT (payment_key) DO NOTHING RETURNING *",
            params![
                new.id.as_str(),
                new.request_id.as_str(),
                new.key.as_bytes(),
                new.network.as_str(),
                origin,
                merchant,
                new.fingerprint.as_bytes(),
                &new.signature_digest,
                new.identifier.map(|id| id.as_bytes().to_vec()),
                new.payer.as_str(),
                new.pay_to.as_str(),
                new.asset.as_str(),
                amount(new.amount, "amount")?,
                amount(new.service, "service")?,
                amount(new.gas, "gas")?,
                new.tariff,
                deadline_unit,
                unsigned(deadline, "deadline")?,
                unsigned(new.watch_from, "watch_from")?,
                new.payload.to_string(),
                new.resource.as_str(),
                &*me.instance,
                me.epoch,
                now_ms,
            ],
        )
        .await?;
    let Some(row) = row else {
        let known = by_key(tx, &new.key).await?.ok_or(LedgerError::Corrupt { field: "payment_key" })?;
        return Ok(ClaimOutcome::Exists(Box::new(known)));
    };
    let detail = json!({"amount": new.amount, "payer": new.payer, "resource": new.resource, "key": new.key.to_string()});
    journal(tx, &me, now_ms, Some(&new.id), "claimed", detail).await?;
    Ok(ClaimOutcome::Won(Claim(Box::new(codec::payment(&row)?))))
}

async fn by_key(tx: &mut Tx, key: &PaymentKey) -> Result<Option<Payment>, LedgerError> {
    let row = tx.one("SELECT * FROM payments WHERE payment_key = $1", params![key.as_bytes()]).await?;
    row.as_ref().map(codec::payment).transpose()
}

pub(crate) async fn find(tx: &mut Tx, id: &PaymentId) -> Result<Option<Payment>, LedgerError> {
    let row = tx.one("SELECT * FROM payments WHERE id = $1", params![id.as_str()]).await?;
    row.as_ref().map(codec::payment).transpose()
}

pub(crate) async fn get(tx: &mut Tx, id: &PaymentId) -> Result<Payment, LedgerError> {
    find(tx, id).await?.ok_or_else(|| LedgerError::UnknownPayment(id.clone()))
}

/// The payment, its row locked until COMMIT. SQLite has one writer and needs no lock.
pub(crate) async fn lock(tx: &mut Tx, id: &PaymentId) -> Result<Payment, LedgerError> {
    let sql = match tx.is_postgres() {
        true => "SELECT * FROM payments WHERE id = $1 FOR UPDATE",
        false => "SELECT * FROM payments WHERE id = $1",
    };
    let row = tx.one(sql, params![id.as_str()]).await?;
    codec::payment(&row.ok_or_else(|| LedgerError::UnknownPayment(id.clone()))?)
}
