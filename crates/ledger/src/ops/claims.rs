//! Claims (invariant I1).

use quittance_protocol::{Amount, PaymentId, PaymentKey};
use serde_json::json;

use super::aliases::{self, Before};
use super::rows::{by_key, check, deadline, find};
use crate::codec;
use crate::conn::{Row, Tx, amount, params, unsigned};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::token::{Claim, ClaimOutcome};
use crate::types::{NewClaim, Origin, Payment};

/// A key is given back at most once within a claim.
pub(crate) const ROUNDS_MAX: u32 = 2;

impl Ledger {
    /// Claims a payment key; of any number of callers one wins. One commit,
    /// none when the key exists.
    ///
    /// With a [policy](crate::RepeatPolicy), the key becomes an alias of an earlier
    /// payment of the same payer for the same request instead, if one is left.
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
}

pub(crate) async fn claim(
    tx: &mut Tx,
    me: Me,
    new: NewClaim,
    now_ms: i64,
) -> Result<ClaimOutcome, LedgerError> {
    check(&new)?;
    for _ in 0..ROUNDS_MAX {
        let names = match aliases::before_claim(tx, &me, &new, now_ms).await? {
            Before::Ends(outcome) => return Ok(outcome),
            Before::Goes(names) => names,
        };
        if let Some(row) = insert(tx, &me, &new, now_ms).await? {
            let detail = json!({"amount": new.amount, "payer": new.payer, "resource": new.resource,
                "key": new.key.to_string()});
            journal(tx, &me, now_ms, Some(&new.id), "claimed", detail).await?;
            return Ok(ClaimOutcome::Won(Claim(Box::new(codec::payment(&row)?))));
        }
        aliases::drop_names(tx, &new, &names).await?;
        let known =
            aliases::known(tx, &new.key).await?.ok_or(LedgerError::Corrupt { field: "payment_key" })?;
        if !known.is_free() {
            return Ok(ClaimOutcome::Exists(Box::new(known)));
        }
        aliases::release(tx, &me, &new.key, &known.payment.id, now_ms).await?;
    }
    Err(LedgerError::Corrupt { field: "aliases" })
}

async fn insert(tx: &mut Tx, me: &Me, new: &NewClaim, now_ms: i64) -> Result<Option<Row>, LedgerError> {
    let (origin, merchant) = match &new.origin {
        Origin::Gate => ("gate", None),
        Origin::Merchant(name) => ("merchant", Some(name.clone())),
    };
    let (deadline_unit, deadline) = deadline(new.deadline);
    tx.change_one(
        "INSERT INTO payments (id, request_id, payment_key, network, origin, merchant, fingerprint, \
             signature_digest, identifier, payer, pay_to, asset, amount, service, gas, tariff, \
             deadline_unit, deadline_value, watch_from, payload, resource, state, delivery, runs, \
             owner, owner_epoch, created_at_ms, fee_policy, fee_carried) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
             $19, $20, $21, 'claimed', 'none', 0, $22, $23, $24, $25, $26) \
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
            new.fee.map(|fee| fee.policy.as_str().to_owned()),
            amount(new.fee.map_or(Amount::ZERO, |fee| fee.carried), "fee_carried")?,
        ],
    )
    .await
}
