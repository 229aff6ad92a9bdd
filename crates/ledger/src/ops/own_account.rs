//! Our own token account, created at a wallet's cost: charged before anything is sent.

use serde_json::json;

use super::account_rents;
use super::exposure::lock;
use crate::account_rents::{OWN_PAUSE_MS, OwnAccount, admit};
use crate::conn::{params, plain};
use crate::error::LedgerError;
use crate::ledger::{Ledger, journal};

impl Ledger {
    /// Asks to send a transaction that creates our own token account: what it may cost is charged in
    /// the same commit, whatever becomes of it. `false`: this one was begun, here or elsewhere, within
    /// [`OWN_PAUSE_MS`]. [`LedgerError::NoRoom`]: the day's limit leaves no room.
    pub async fn begin_own_account(&self, account: &OwnAccount, now_ms: i64) -> Result<bool, LedgerError> {
        plain(&account.account, "account")?;
        let (me, new) = (self.me(), account.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                lock(tx, &new.network).await?;
                let sums = account_rents::sums(tx, &new.network, None, now_ms).await?;
                admit(sums, &new.rent).map_err(LedgerError::NoRoom)?;
                let begun = tx
                    .one(
                        "SELECT 1 AS begun FROM account_rents WHERE network = $1 AND payer = '' AND at_ms > $2 \
                         AND id LIKE $3",
                        params![
                            new.network.as_str(),
                            now_ms.saturating_sub(OWN_PAUSE_MS),
                            format!("own {} %", new.account)
                        ],
                    )
                    .await?;
                if begun.is_some() {
                    return Ok(false);
                }
                let id = format!("own {} {now_ms}", new.account);
                account_rents::charge(tx, &new.network, (&id, None), &new.rent, now_ms).await?;
                let detail = json!({"network": new.network, "account": new.account,
                    "native": new.rent.native.to_string()});
                journal(tx, &me, now_ms, None, "own_account_begun", detail).await?;
                Ok(true)
            })
        })
        .await
    }
}
