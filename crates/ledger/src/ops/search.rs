//! Looking for payments by what an operator has in hand; by indexes alone, however many there are.

use std::collections::BTreeSet;

use quittance_protocol::{Network, PaymentId};

use super::rows;
use crate::conn::{Tx, params, plain};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::Payment;

/// Most payments that one search finds.
pub const FOUND_MAX: u32 = 50;

/// By an attempt's hash, while attempts are kept, and by the landing's.
const OF_TRANSACTION: &str = "\
    SELECT l.payment AS payment FROM attempts a JOIN attempt_payments l ON l.attempt = a.id \
    WHERE a.network = $1 AND a.tx = $2 \
    UNION SELECT id FROM payments WHERE network = $1 AND tx = $2 AND state = 'settled' LIMIT $3";

const OF_PAYER_SETTLED: &str = "\
    SELECT id AS payment FROM payments WHERE network = $1 AND payer = $2 AND state = 'settled' \
    ORDER BY landed_block DESC LIMIT $3";

/// What a gate has under way, and what nobody has taken the whole answer of.
const OF_PAYER_UNANSWERED: &str = "\
    SELECT id AS payment FROM payments WHERE payer = $1 AND origin = 'gate' AND first_answer_at_ms IS NULL \
    AND state IN ('claimed', 'recorded', 'settled') LIMIT $2";

impl Ledger {
    /// The payments that a transaction was signed for, or that landed with it, newest first; at most
    /// [`FOUND_MAX`].
    pub async fn of_transaction(
        &self,
        network: &Network,
        transaction: &str,
    ) -> Result<Vec<Payment>, LedgerError> {
        let (network, transaction) = (network.clone(), plain(transaction, "transaction")?.to_owned());
        self.read(move |tx| {
            Box::pin(async move {
                let values = params![network.as_str(), transaction, i64::from(FOUND_MAX)];
                let found = tx.all(OF_TRANSACTION, values).await?;
                let ids = found.iter().map(|row| row.text("payment")).collect::<Result<_, _>>()?;
                read(tx, ids).await
            })
        })
        .await
    }

    /// A payer's newest settled payments on a network and those that a gate has under way, newest first;
    /// at most [`FOUND_MAX`]. Others are in no index by their payer.
    pub async fn of_payer(&self, network: &Network, payer: &str) -> Result<Vec<Payment>, LedgerError> {
        let (network, payer) = (network.clone(), plain(payer, "payer")?.to_owned());
        self.read(move |tx| {
            Box::pin(async move {
                let most = i64::from(FOUND_MAX);
                let mut found = tx.all(OF_PAYER_SETTLED, params![network.as_str(), &*payer, most]).await?;
                found.extend(tx.all(OF_PAYER_UNANSWERED, params![&*payer, most]).await?);
                let ids = found.iter().map(|row| row.text("payment")).collect::<Result<_, _>>()?;
                let mut payments = read(tx, ids).await?;
                payments.retain(|payment| payment.network == network);
                Ok(payments)
            })
        })
        .await
    }

    /// The payment of a request, by the name that its host knows it by.
    pub async fn of_request(&self, request: &str) -> Result<Option<Payment>, LedgerError> {
        let request = plain(request, "request_id")?.to_owned();
        self.read(move |tx| {
            Box::pin(async move {
                let row = tx.one("SELECT * FROM payments WHERE request_id = $1", params![request]).await?;
                row.as_ref().map(crate::codec::payment).transpose()
            })
        })
        .await
    }
}

async fn read(tx: &mut Tx, ids: BTreeSet<String>) -> Result<Vec<Payment>, LedgerError> {
    let mut payments = Vec::new();
    for id in ids {
        payments.extend(rows::find(tx, &PaymentId::from_stored(id)).await?);
    }
    payments.sort_by(|a, b| (b.created_at_ms, b.id.as_str()).cmp(&(a.created_at_ms, a.id.as_str())));
    payments.truncate(usize::try_from(FOUND_MAX).unwrap_or(usize::MAX));
    Ok(payments)
}
