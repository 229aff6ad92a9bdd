//! What creating token accounts may cost within a UTC day (P3): charged before what may cost it is
//! signed, in the commit that allows it, so that two replicas cannot pass the limit together.

use quittance_protocol::{Network, PaymentId};

use crate::account_rents::{RentSums, admit, day_of};
use crate::conn::{Tx, params};
use crate::error::LedgerError;
use crate::exposure::{AccountRent, native_stored as native};
use crate::ledger::Ledger;

impl Ledger {
    /// What was charged for token accounts on this UTC day, in lamports.
    pub async fn account_rents(&self, network: &Network, now_ms: i64) -> Result<u64, LedgerError> {
        let network = network.clone();
        self.read(move |tx| Box::pin(async move { Ok(sums(tx, &network, None, now_ms).await?.all) })).await
    }
}

pub(super) async fn sums(
    tx: &mut Tx,
    network: &Network,
    payer: Option<&str>,
    now_ms: i64,
) -> Result<RentSums, LedgerError> {
    let row = tx
        .one(
            "SELECT CAST(COALESCE(SUM(native), 0) AS BIGINT) AS native, \
             CAST(COALESCE(SUM(CASE WHEN payer = $2 THEN native ELSE 0 END), 0) AS BIGINT) AS payers \
             FROM account_rents WHERE network = $1 AND day = $3",
            params![network.as_str(), payer.unwrap_or_default(), day_of(now_ms)],
        )
        .await?
        .ok_or(LedgerError::Corrupt { field: "account_rents" })?;
    let payers = payer.map(|_| row.unsigned("payers")).transpose()?;
    Ok(RentSums { all: row.unsigned("native")?, payer: payers })
}

/// Charges what a payment, or a transaction of ours, may pay for an account; in the network's turn.
pub(super) async fn charge(
    tx: &mut Tx,
    network: &Network,
    (id, payer): (&str, Option<&str>),
    rent: &AccountRent,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sums = sums(tx, network, payer, now_ms).await?;
    admit(sums, rent).map_err(LedgerError::NoRoom)?;
    tx.later(
        "DELETE FROM account_rents WHERE network = $1 AND day < $2",
        params![network.as_str(), day_of(now_ms)],
    )
    .await?;
    tx.later(
        "INSERT INTO account_rents (network, id, payer, day, native, at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        params![network.as_str(), id, payer.unwrap_or_default(), day_of(now_ms), native(rent.native), now_ms],
    )
    .await
}

/// A payment ended without a landing: it paid no rent.
pub(super) async fn give_back(tx: &mut Tx, network: &Network, id: &PaymentId) -> Result<(), LedgerError> {
    tx.later(
        "DELETE FROM account_rents WHERE network = $1 AND id = $2",
        params![network.as_str(), id.as_str()],
    )
    .await
}
