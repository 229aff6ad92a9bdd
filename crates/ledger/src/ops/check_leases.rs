//! Rows of `check_leases`: whose money is held for what was only asked about.

use quittance_protocol::{Amount, Network, PaymentKey};

use crate::conn::{Tx, amount, params, plain};
use crate::error::LedgerError;
use crate::merchant::NewCheck;

/// Leases whose time is over that one new lease takes away: more than it adds, so
/// that the table holds little beyond what is held.
const ENDED_PER_LEASE: i64 = 4;

/// Whether the authorization's money is held for another signature or sale.
pub(super) async fn is_of_another(
    tx: &mut Tx,
    check: &NewCheck,
    lease_now_ms: i64,
) -> Result<bool, LedgerError> {
    tx.one(
        "SELECT 1 AS found FROM check_leases WHERE payment_key = $1 AND until_ms > $2 \
         AND NOT (signature_digest = $3 AND fingerprint = $4)",
        params![check.key.as_bytes(), lease_now_ms, &check.signature_digest, check.fingerprint.as_bytes()],
    )
    .await
    .map(|row| row.is_some())
}

pub(super) async fn put(
    tx: &mut Tx,
    check: &NewCheck,
    source: &str,
    until_ms: i64,
) -> Result<(), LedgerError> {
    tx.later(
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
}

/// In the network's turn: replicas that took the same rows away would wait for each other.
pub(super) async fn take_away_ended(
    tx: &mut Tx,
    network: &Network,
    lease_now_ms: i64,
) -> Result<(), LedgerError> {
    tx.later(
        "DELETE FROM check_leases WHERE payment_key IN (SELECT payment_key FROM check_leases \
         WHERE network = $1 AND until_ms <= $2 ORDER BY until_ms LIMIT $3)",
        params![network.as_str(), lease_now_ms, ENDED_PER_LEASE],
    )
    .await
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
    tx.later("DELETE FROM check_leases WHERE payment_key = $1", params![key.as_bytes()]).await
}
