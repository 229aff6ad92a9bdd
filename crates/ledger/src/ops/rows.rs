//! Rows of payments: what they can hold, how they are found and locked.

use quittance_protocol::{Amount, Deadline, PaymentId, PaymentKey};

use crate::codec;
use crate::conn::{Tx, amount, params, plain, unsigned};
use crate::error::LedgerError;
use crate::types::{DeliveryState, FeePolicy, NewClaim, Origin, Payment};

/// What both databases can hold, said before anything is asked of them.
pub(crate) fn check(new: &NewClaim) -> Result<(), LedgerError> {
    let texts = [(&new.payer, "payer"), (&new.pay_to, "pay_to"), (&new.asset, "asset")];
    for (text, field) in texts.into_iter().chain([(&new.resource, "resource")]) {
        plain(text, field)?;
    }
    if let Origin::Merchant(name) = &new.origin {
        plain(name, "merchant")?;
    }
    for (value, field) in [(new.amount, "amount"), (new.service, "service"), (new.gas, "gas")] {
        amount(value, field)?;
    }
    if let Some(fee) = &new.fee {
        amount(fee.carried, "fee_carried")?;
        let carries = fee.policy != FeePolicy::Added || fee.carried == Amount::ZERO;
        if new.origin == Origin::Gate || !carries {
            return Err(LedgerError::OutOfRange { field: "fee_carried" });
        }
    }
    unsigned(deadline(new.deadline).1, "deadline")?;
    unsigned(new.watch_from, "watch_from").map(drop)
}

/// As it is stored.
pub(crate) fn deadline(deadline: Deadline) -> (&'static str, u64) {
    match deadline {
        Deadline::UnixSeconds(value) => ("unix_seconds", value),
        Deadline::BlockHeight(value) => ("block_height", value),
    }
}

pub(crate) async fn by_key(tx: &mut Tx, key: &PaymentKey) -> Result<Option<Payment>, LedgerError> {
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

/// A delivery does not take this step.
pub(super) fn delivery_error(payment: Payment, to: DeliveryState) -> LedgerError {
    LedgerError::DeliveryTransition { from: payment.delivery, to, payment: Box::new(payment) }
}
