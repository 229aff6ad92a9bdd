//! Settled payments in the order of their chain, for who holds the books against it.

use quittance_protocol::{Landing, PaymentId};

use crate::LANDINGS_MAX;
use crate::conn::{Row, params};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{BookedLanding, LandingFilter};

/// Newest block first. A cost of the payment's own: what a transaction cost that was for no single one
/// is nobody's here.
const LANDED: &str = "\
    SELECT id, landed_block, tx, payer, amount, finality, landing, \
           (SELECT native FROM costs WHERE network = payments.network AND tx = payments.tx \
            AND payment = payments.id) AS native \
    FROM payments WHERE network = $1 AND pay_to = $2 AND state = 'settled' AND created_at_ms >= $3 \
    AND landed_block BETWEEN $4 AND $5 \
    AND ($6 OR landed_block < $7 OR (landed_block = $7 AND id < $8)) \
    ORDER BY landed_block DESC, id DESC LIMIT $9";

impl Ledger {
    /// Settled payments by the block that they landed in, the newest first.
    pub async fn booked_landings(&self, filter: LandingFilter) -> Result<Vec<BookedLanding>, LedgerError> {
        let clamped = |block: u64| i64::try_from(block).unwrap_or(i64::MAX);
        let limit = match filter.limit {
            0 => LANDINGS_MAX,
            limit => limit.min(LANDINGS_MAX),
        };
        let (block, id) = filter.before.map_or((None, None), |(block, id)| (Some(block), Some(id)));
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        LANDED,
                        params![
                            filter.network.as_str(),
                            filter.pay_to,
                            filter.claimed_since_ms,
                            clamped(*filter.blocks.start()),
                            clamped(*filter.blocks.end()),
                            block.is_none(),
                            block.map_or(0, clamped),
                            id.as_ref().map_or("", PaymentId::as_str),
                            i64::from(limit),
                        ],
                    )
                    .await?;
                rows.iter().map(landing).collect()
            })
        })
        .await
    }
}

fn landing(row: &Row) -> Result<BookedLanding, LedgerError> {
    let corrupt = |field: &'static str| LedgerError::Corrupt { field };
    let landing: Landing = row
        .text_opt("landing")?
        .and_then(|text| serde_json::from_str(&text).ok())
        .ok_or_else(|| corrupt("landing"))?;
    let native = row.text_opt("native")?.map(|text| text.parse::<u128>()).transpose();
    Ok(BookedLanding {
        id: PaymentId::from_stored(row.text("id")?),
        block: row.unsigned("landed_block")?,
        transaction: row.text("tx")?,
        payer: row.text("payer")?,
        amount: row.amount("amount")?,
        is_lost: row.text_opt("finality")?.as_deref() == Some("reorged_loss"),
        paid_by_us: landing.paid_by_us,
        cost_native: native.map_err(|_| corrupt("native"))?,
    })
}
