//! What foreign servers ask about before anything is claimed: each `isValid` holds
//! the money it was said of, for the time that a server has to work before it settles.

use super::exposure::{Asker, lock, sums};
use super::{aliases, check_leases, lease_clock, merchant_sums};
use crate::conn::plain;
use crate::error::LedgerError;
use crate::exposure::{NoRoom, Reserve, admit};
use crate::ledger::Ledger;
use crate::merchant::{CheckTerms, NewCheck, NewCheckLease};

impl Ledger {
    /// Asks to say `isValid: true` of an authorization that nobody has claimed. Until
    /// it is claimed, and for [`CheckTerms::lease_ms`] at most, its money is held against
    /// every other authorization of its source, like that of a payment in flight. Asking
    /// again for the same sale with the same signature renews that.
    ///
    /// [`LedgerError::NoRoom`]: a claim would find none; nothing is stored. The caller
    /// has proven the signature: whoever cannot sign for a payer holds none of its money.
    pub async fn lease_new_check(
        &self,
        check: NewCheck,
        wanted: Reserve,
        terms: CheckTerms,
        now_ms: i64,
    ) -> Result<NewCheckLease, LedgerError> {
        let clock = self.options().lease_clock;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                plain(&check.payer, "payer")?;
                lock(tx, &check.network).await?;
                if let Some(known) = aliases::known(tx, &check.key).await?.filter(|known| !known.is_free()) {
                    return Ok(NewCheckLease::Known(Box::new(known.payment)));
                }
                // Replicas' clocks differ; the lease is one for all of them.
                let lease_now_ms = lease_clock::lease_now(tx, clock, now_ms).await?;
                if check_leases::is_of_another(tx, &check, lease_now_ms).await? {
                    return Ok(NewCheckLease::Other);
                }
                let asker = Asker {
                    network: &check.network,
                    payer: &check.payer,
                    payment: None,
                    leases: Some((&check.key, lease_now_ms)),
                };
                let sums = sums(tx, &asker, &wanted, now_ms).await?;
                admit(&sums, &wanted, check.amount).map_err(LedgerError::NoRoom)?;
                if sums.leases >= u64::from(terms.leases_max) {
                    return Err(LedgerError::NoRoom(NoRoom::PayerInFlight));
                }
                if let Some(merchant) = &check.merchant {
                    let of = (merchant.as_str(), &check.network);
                    let wanted = (check.amount, &wanted);
                    merchant_sums::admit_payment(tx, of, None, wanted, now_ms).await?;
                }
                check_leases::take_away_ended(tx, &check.network, lease_now_ms).await?;
                check_leases::put(tx, &check, &wanted.source, lease_now_ms.saturating_add(terms.lease_ms))
                    .await?;
                Ok(NewCheckLease::Leased)
            })
        })
        .await
    }
}
