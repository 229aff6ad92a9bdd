//! What still needs a network or a wallet, and what explains a transfer to us.

use quittance_protocol::Network;

use crate::LIST_MAX;
use crate::codec;
use crate::conn::{Row, Tx, params};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::OpenWork;

/// An older attempt whose cost nobody booked is not asked for any more.
const UNBOOKED_MS_MAX: i64 = 3_600_000;

/// Newest attempts among which those without a booked cost are looked for.
const UNBOOKED_ATTEMPTS_MAX: i64 = 4_096;

const NETWORKS: &str = "\
    SELECT network, CAST(COUNT(*) AS BIGINT) AS payments FROM ( \
        SELECT network FROM payments WHERE state IN ('claimed', 'recorded') \
        UNION ALL \
        SELECT network FROM payments WHERE state = 'settled' AND finality IS NULL \
    ) AS open GROUP BY network ORDER BY network";

/// A nonce that a settled payment's own transaction used is known to be used,
/// whether its cost is booked yet or not.
const WALLETS: &str = "\
    SELECT a.network AS network, a.wallet AS wallet FROM payments p \
    JOIN attempt_payments l ON l.payment = p.id JOIN attempts a ON a.id = l.attempt \
    WHERE p.state IN ('claimed', 'recorded') AND a.wallet IS NOT NULL \
    UNION \
    SELECT a.network, a.wallet FROM attempts a \
    WHERE a.wallet IS NOT NULL AND a.created_at_ms > $1 \
    AND a.id > (SELECT COALESCE(MAX(id), 0) - $2 FROM attempts) \
    AND NOT EXISTS ( \
        SELECT 1 FROM attempts b JOIN costs c ON c.network = b.network AND c.tx = b.tx \
        WHERE b.network = a.network AND b.wallet = a.wallet AND b.nonce = a.nonce) \
    AND NOT EXISTS ( \
        SELECT 1 FROM attempts b JOIN payments s ON s.network = b.network AND s.tx = b.tx AND s.state = 'settled' \
        WHERE b.network = a.network AND b.wallet = a.wallet AND b.nonce = a.nonce) \
    ORDER BY network, wallet";

fn counted(row: &Row) -> Result<(Network, u64), LedgerError> {
    Ok((row.network()?, row.unsigned("payments")?))
}

fn wallet(row: &Row) -> Result<(Network, String), LedgerError> {
    Ok((row.network()?, row.text("wallet")?))
}

impl Ledger {
    /// What still needs a network or a wallet, whichever instance it belongs to:
    /// asked before a configuration that may lack one of them is used.
    pub async fn open_work(&self, now_ms: i64) -> Result<OpenWork, LedgerError> {
        let since_ms = now_ms.saturating_sub(UNBOOKED_MS_MAX);
        self.read(move |tx| {
            Box::pin(async move {
                let networks = tx.all(NETWORKS, params![]).await?;
                let wallets = tx.all(WALLETS, params![since_ms, UNBOOKED_ATTEMPTS_MAX]).await?;
                let unfinished = tx
                    .all(
                        "SELECT * FROM payments WHERE state IN ('claimed', 'recorded') \
                         ORDER BY created_at_ms, id LIMIT $1",
                        params![i64::from(LIST_MAX)],
                    )
                    .await?;
                Ok(OpenWork {
                    networks: networks.iter().map(counted).collect::<Result<_, _>>()?,
                    wallets: wallets.iter().map(wallet).collect::<Result<_, _>>()?,
                    unfinished: codec::payments(&unfinished)?,
                })
            })
        })
        .await
    }

    /// Which of these transactions no attempt of this ledger made and no settled
    /// payment of it landed with, in their order.
    pub async fn unexplained(
        &self,
        network: &Network,
        transactions: &[String],
    ) -> Result<Vec<String>, LedgerError> {
        let (network, transactions) = (network.clone(), transactions.to_vec());
        self.read(move |tx| {
            Box::pin(async move {
                let mut unexplained = Vec::new();
                for transaction in transactions {
                    if !is_explained(tx, &network, &transaction).await? {
                        unexplained.push(transaction);
                    }
                }
                Ok(unexplained)
            })
        })
        .await
    }
}

async fn is_explained(tx: &mut Tx, network: &Network, transaction: &str) -> Result<bool, LedgerError> {
    let row = tx
        .one(
            "SELECT 1 AS found FROM attempts WHERE network = $1 AND tx = $2 \
             UNION ALL SELECT 1 FROM payments WHERE network = $1 AND tx = $2 AND state = 'settled' LIMIT 1",
            params![network.as_str(), transaction],
        )
        .await?;
    Ok(row.is_some())
}
