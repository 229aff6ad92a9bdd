//! What is reserved for a payment is free once the fate of each of its attempts is in the ledger.

use quittance_protocol::PaymentId;

use crate::conn::{Tx, params};
use crate::error::LedgerError;

/// Every attempt of a payment whose fate is open: neither the payment's share of what it cost is in the
/// ledger nor anything of another attempt at its nonce.
macro_rules! open_attempts {
    () => {
        "SELECT 1 FROM attempt_payments l JOIN attempts a ON a.id = l.attempt \
         LEFT JOIN costs c ON c.network = a.network AND c.tx = a.tx AND c.item = l.item \
         WHERE l.payment = $1 AND c.tx IS NULL \
         AND NOT EXISTS (SELECT 1 FROM attempts s JOIN costs b ON b.network = s.network AND b.tx = s.tx \
         WHERE s.network = a.network AND s.wallet = a.wallet AND s.nonce = a.nonce AND s.id <> a.id)"
    };
}

/// A reservation of whose payment the fate of every attempt is in the ledger.
pub(super) const DELETE_BOOKED: &str =
    concat!("DELETE FROM reservations WHERE payment = $1 AND ($2 OR NOT EXISTS (", open_attempts!(), "))");

/// The same for a payment without a verdict: its money is needed still.
const FREE_BOOKED: &str = concat!(
    "UPDATE reservations SET usdc = 0, native = 0 WHERE payment = $1 AND NOT EXISTS (",
    open_attempts!(),
    ")"
);

/// Frees what is reserved once the fate of every attempt is in the ledger.
pub(super) async fn free(tx: &mut Tx, id: &PaymentId, is_final: bool) -> Result<(), LedgerError> {
    match is_final {
        true => tx.later(DELETE_BOOKED, params![id.as_str(), false]).await,
        false => tx.execute(FREE_BOOKED, params![id.as_str()]).await.map(drop),
    }
}
