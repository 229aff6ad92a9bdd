//! Token accounts that are created for merchants: charged, once, before anything is sent.

use quittance_protocol::Network;
use serde_json::json;

use super::{account_rents, exposure, merchant_sums};
use crate::conn::{Tx, params, plain};
use crate::error::LedgerError;
use crate::exposure::{AccountRent, Exposed};
use crate::ledger::{Ledger, Me, journal};
use crate::types::PayoutAccount;

impl Ledger {
    /// Asks to send a transaction that creates a token account for a merchant, at the wallet's
    /// cost; what it costs is charged to the merchant in the same commit, once. `false`: as many
    /// transactions were sent for it as may be, or it was seen created once.
    ///
    /// [`LedgerError::NoRoom`]: its limits leave no room, or as many accounts were paid for as may be.
    pub async fn begin_payout_account(
        &self,
        account: &PayoutAccount,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        plain(&account.account, "account")?;
        let (me, account) = (self.me(), account.clone());
        self.write(now_ms, move |tx| Box::pin(begin_account(tx, me, account, now_ms))).await
    }

    /// The account was created; `false`: nobody had begun to, or it was known.
    pub async fn end_payout_account(
        &self,
        network: &Network,
        account: &str,
        transaction: &str,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let me = self.me();
        let (network, account) = (network.clone(), plain(account, "account")?.to_owned());
        let transaction = plain(transaction, "transaction")?.to_owned();
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let ended = tx
                    .execute(
                        "UPDATE merchant_accounts SET tx = $3 WHERE network = $1 AND account = $2 AND tx IS NULL",
                        params![network.as_str(), account.as_str(), transaction.as_str()],
                    )
                    .await?;
                if ended == 1 {
                    let detail = json!({"network": network, "account": account, "transaction": transaction});
                    journal(tx, &me, now_ms, None, "merchant_account_created", detail).await?;
                }
                Ok(ended == 1)
            })
        })
        .await
    }
}

async fn begin_account(tx: &mut Tx, me: Me, new: PayoutAccount, now_ms: i64) -> Result<bool, LedgerError> {
    // As a claim: the network's turn before the merchant's.
    exposure::lock(tx, &new.network).await?;
    merchant_sums::lock(tx, &new.merchant).await?;
    let known = tx
        .one(
            "SELECT merchant, tries, tx FROM merchant_accounts WHERE network = $1 AND account = $2",
            params![new.network.as_str(), new.account.as_str()],
        )
        .await?;
    if let Some(row) = known {
        // It may have landed all the same, whoever asks: its rent was charged when it began.
        let over = row.text_opt("tx")?.is_some() || row.unsigned("tries")? >= u64::from(new.tries_max);
        if over || row.text("merchant")? != new.merchant {
            return Ok(false);
        }
        tx.later(
            "UPDATE merchant_accounts SET tries = tries + 1 WHERE network = $1 AND account = $2",
            params![new.network.as_str(), new.account.as_str()],
        )
        .await?;
        return Ok(true);
    }
    let bound = Exposed { usdc: new.usdc, native: new.native };
    merchant_sums::admit_account(tx, &new, bound, now_ms).await?;
    let (payer, rent) =
        (format!("merchant {}", new.merchant), AccountRent { native: new.native, limits: new.limits });
    account_rents::charge(tx, &new.network, (&new.account, Some(&payer)), &rent, now_ms).await?;
    tx.later(
        "INSERT INTO merchant_accounts (network, account, merchant, tries, begun_at_ms) \
         VALUES ($1, $2, $3, 1, $4)",
        params![new.network.as_str(), new.account.as_str(), new.merchant.as_str(), now_ms],
    )
    .await?;
    merchant_sums::add_rent(tx, &new, now_ms).await?;
    let detail = json!({"merchant": new.merchant, "network": new.network, "account": new.account,
        "native": new.native.to_string(), "usdc": new.usdc});
    journal(tx, &me, now_ms, None, "merchant_account_begun", detail).await?;
    Ok(true)
}
