//! What foreign servers ask about before anything is claimed: each `isValid` holds
//! the money it was said of, for the time that a server has to work before it settles.

use quittance_protocol::{Amount, Network, PaymentKey};

use super::exposure::{Asker, lock, sums};
use super::{aliases, instances};
use crate::conn::{Tx, amount, params, plain};
use crate::error::LedgerError;
use crate::exposure::{NoRoom, Reserve, admit};
use crate::ledger::Ledger;
use crate::merchant::{CheckTerms, NewCheck, NewCheckLease};

/// Leases whose time is over that one new lease takes away: more than it adds, so
/// that the table holds little beyond what is held.
const ENDED_PER_LEASE: i64 = 4;

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
                let lease_now_ms = instances::lease_now(tx, clock, now_ms).await?;
                if is_of_another(tx, &check, lease_now_ms).await? {
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
                take_away_ended(tx, &check.network, lease_now_ms).await?;
                put(tx, &check, &wanted.source, lease_now_ms.saturating_add(terms.lease_ms)).await?;
                Ok(NewCheckLease::Leased)
            })
        })
        .await
    }
}

/// Whether the authorization's money is held for another signature or sale.
async fn is_of_another(tx: &mut Tx, check: &NewCheck, lease_now_ms: i64) -> Result<bool, LedgerError> {
    tx.one(
        "SELECT 1 AS found FROM check_leases WHERE payment_key = $1 AND until_ms > $2 \
         AND NOT (signature_digest = $3 AND fingerprint = $4)",
        params![check.key.as_bytes(), lease_now_ms, &check.signature_digest, check.fingerprint.as_bytes()],
    )
    .await
    .map(|row| row.is_some())
}

async fn put(tx: &mut Tx, check: &NewCheck, source: &str, until_ms: i64) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO check_leases (payment_key, network, source, amount, fingerprint, signature_digest, \
         until_ms) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (payment_key) DO UPDATE SET \
         network = excluded.network, source = excluded.source, amount = excluded.amount, \
         fingerprint = excluded.fingerprint, signature_digest = excluded.signature_digest, \
         until_ms = excluded.until_ms",
        params![
            check.key.as_bytes(),
            check.network.as_str(),
            plain(source, "source")?,
            amount(check.amount, "amount")?,
            check.fingerprint.as_bytes(),
            &check.signature_digest,
            until_ms,
        ],
    )
    .await
    .map(drop)
}

/// In the network's turn: replicas that took the same rows away would wait for each other.
async fn take_away_ended(tx: &mut Tx, network: &Network, lease_now_ms: i64) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM check_leases WHERE payment_key IN (SELECT payment_key FROM check_leases \
         WHERE network = $1 AND until_ms <= $2 ORDER BY until_ms LIMIT $3)",
        params![network.as_str(), lease_now_ms, ENDED_PER_LEASE],
    )
    .await
    .map(drop)
}

/// How many authorizations of a source are leased, but for one, and what they take.
pub(super) async fn leased(
    tx: &mut Tx,
    network: &Network,
    source: &str,
    without: &PaymentKey,
    lease_now_ms: i64,
) -> Result<(u64, Amount), LedgerError> {
    let row = tx
        .one(
            "SELECT COUNT(*) AS leases, CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS amount FROM check_leases \
             WHERE network = $1 AND source = $2 AND until_ms > $3 AND payment_key <> $4",
            params![network.as_str(), source, lease_now_ms, without.as_bytes()],
        )
        .await?
        .ok_or(LedgerError::Corrupt { field: "check_leases" })?;
    Ok((row.unsigned("leases")?, row.amount("amount")?))
}

/// The authorization is claimed: its reservation holds its money from here on.
pub(super) async fn end(tx: &mut Tx, key: &PaymentKey) -> Result<(), LedgerError> {
    tx.execute("DELETE FROM check_leases WHERE payment_key = $1", params![key.as_bytes()]).await.map(drop)
}
