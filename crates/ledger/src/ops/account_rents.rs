//! What creating token accounts may cost within a UTC day (P3): charged before what may cost it is
//! signed, in the commit that allows it, so that two replicas cannot pass the limit together.

use quittance_protocol::{Network, PaymentId};
use serde_json::json;

use super::exposure::lock;
use crate::account_rents::{AccountRent, OWN_PAUSE_MS, OwnAccount, RentSums, admit, day_of};
use crate::conn::{Tx, params, plain};
use crate::error::LedgerError;
use crate::exposure::native_stored as native;
use crate::ledger::{Ledger, journal};

impl Ledger {
    /// Asks to send a transaction that creates our own token account: what it may cost is charged in
    /// the same commit, whatever becomes of it. `false`: one was begun, here or elsewhere, within
    /// [`OWN_PAUSE_MS`]. [`LedgerError::NoRoom`]: the day's limit leaves no room.
    pub async fn begin_own_account(&self, account: &OwnAccount, now_ms: i64) -> Result<bool, LedgerError> {
        plain(&account.account, "account")?;
        let (me, new) = (self.me(), account.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                lock(tx, &new.network).await?;
                let sums = sums(tx, &new.network, None, now_ms).await?;
                admit(sums, &new.rent).map_err(LedgerError::NoRoom)?;
                let begun = tx
                    .one(
                        "SELECT 1 AS begun FROM account_rents WHERE network = $1 AND payer = '' AND at_ms > $2",
                        params![new.network.as_str(), now_ms.saturating_sub(OWN_PAUSE_MS)],
                    )
                    .await?;
                if begun.is_some() {
                    return Ok(false);
                }
                let id = format!("own {} {now_ms}", new.account);
                charge(tx, &new.network, (&id, None), &new.rent, now_ms).await?;
                let detail = json!({"network": new.network, "account": new.account,
                    "native": new.rent.native.to_string()});
                journal(tx, &me, now_ms, None, "own_account_begun", detail).await?;
                Ok(true)
            })
        })
        .await
    }

    /// What was charged for token accounts on this UTC day, in lamports.
    pub async fn account_rents(&self, network: &Network, now_ms: i64) -> Result<u64, LedgerError> {
        let network = network.clone();
        self.read(move |tx| Box::pin(async move { Ok(sums(tx, &network, None, now_ms).await?.all) })).await
    }
}

async fn sums(
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
