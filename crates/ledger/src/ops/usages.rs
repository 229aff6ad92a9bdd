//! What prepaid work really used, and what settling cost of what was charged for it.

use quittance_protocol::{Amount, PaymentId};

use crate::conn::{Row, Tx, amount, params, reason, unsigned};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{CostEntry, CostShares, Usage, UsageSum};

/// Largest amount of a usage, atomic USDC: shares in basis points must fit a BIGINT.
pub const USAGE_MAX: u64 = 400_000_000_000_000;

/// Most tokens of a usage, for the same reason.
const TOKENS_MAX: u64 = USAGE_MAX;

/// Ranks are nearest-rank: of n answers the ⌈n·p⌉-th.
const USAGES: &str = "\
    WITH used AS ( \
        SELECT p.resource AS resource, u.product AS product, u.reserved AS reserved, u.metered AS metered, \
               u.charged AS charged, (u.metered * 10000 + u.reserved - 1) / u.reserved AS share, \
               CASE WHEN u.prompt_tokens_reserved = 0 THEN 0 ELSE \
                   (u.prompt_tokens * 10000 + u.prompt_tokens_reserved - 1) / u.prompt_tokens_reserved \
               END AS prompt_share \
        FROM usages u JOIN payments p ON p.id = u.payment WHERE u.at_ms >= $1 \
    ), ranked AS ( \
        SELECT used.*, ROW_NUMBER() OVER (PARTITION BY resource, product ORDER BY share) AS place, \
               COUNT(*) OVER (PARTITION BY resource, product) AS size \
        FROM used \
    ) \
    SELECT resource, product, COUNT(*) AS answers, \
           CAST(SUM(CASE WHEN metered > reserved THEN 1 ELSE 0 END) AS BIGINT) AS over_reserve, \
           CAST(SUM(reserved) AS BIGINT) AS reserved, CAST(SUM(metered) AS BIGINT) AS metered, \
           CAST(SUM(charged) AS BIGINT) AS charged, \
           CAST(MAX(CASE WHEN place = (size + 1) / 2 THEN share END) AS BIGINT) AS share_median, \
           CAST(MAX(CASE WHEN place = (size * 95 + 99) / 100 THEN share END) AS BIGINT) AS share_p95, \
           CAST(MAX(share) AS BIGINT) AS share_most, CAST(MAX(prompt_share) AS BIGINT) AS prompt_share_most \
    FROM ranked GROUP BY resource, product ORDER BY resource, product";

/// A payment may have cost several transactions; what it was charged covers all of them.
const COST_SHARES: &str = "\
    WITH spent AS ( \
        SELECT p.network AS network, p.gas AS gas, CAST(SUM(c.usdc) AS BIGINT) AS usdc \
        FROM payments p JOIN costs c ON c.payment = p.id \
        WHERE p.state = 'settled' AND p.gas > 0 AND p.created_at_ms >= $1 AND c.usdc IS NOT NULL \
        GROUP BY p.id, p.network, p.gas \
    ), shares AS ( \
        SELECT network, gas, usdc, (usdc * 10000 + gas - 1) / gas AS share FROM spent \
    ), ranked AS ( \
        SELECT shares.*, ROW_NUMBER() OVER (PARTITION BY network ORDER BY share) AS place, \
               COUNT(*) OVER (PARTITION BY network) AS size \
        FROM shares \
    ) \
    SELECT network, COUNT(*) AS payments, \
           CAST(SUM(CASE WHEN usdc > gas THEN 1 ELSE 0 END) AS BIGINT) AS under_cost, \
           CAST(MIN(share) AS BIGINT) AS least, \
           CAST(MAX(CASE WHEN place = (size + 1) / 2 THEN share END) AS BIGINT) AS median, \
           CAST(MAX(CASE WHEN place = (size * 95 + 99) / 100 THEN share END) AS BIGINT) AS p95, \
           CAST(MAX(CASE WHEN place = (size * 99 + 99) / 100 THEN share END) AS BIGINT) AS p99, \
           CAST(MAX(share) AS BIGINT) AS most \
    FROM ranked GROUP BY network ORDER BY network";

/// A usage as it can be stored: a product without NUL, numbers within their limits.
pub(crate) fn storable(usage: &Usage) -> Result<Usage, LedgerError> {
    let limited = |value: u64, max: u64, field: &'static str| {
        if value > max { Err(LedgerError::OutOfRange { field }) } else { Ok(()) }
    };
    limited(usage.prompt_tokens_reserved, TOKENS_MAX, "prompt_tokens_reserved")?;
    limited(usage.prompt_tokens, TOKENS_MAX, "prompt_tokens")?;
    limited(usage.completion_tokens_reserved, TOKENS_MAX, "completion_tokens_reserved")?;
    limited(usage.completion_tokens, TOKENS_MAX, "completion_tokens")?;
    limited(usage.reserved.atomic(), USAGE_MAX, "reserved")?;
    limited(usage.metered.atomic(), USAGE_MAX, "metered")?;
    limited(usage.charged.atomic(), USAGE_MAX, "charged")?;
    if usage.reserved == Amount::ZERO {
        return Err(LedgerError::OutOfRange { field: "reserved" });
    }
    Ok(Usage { product: reason(&usage.product), ..usage.clone() })
}

/// Writes a [`storable`] usage beside its answer, in the caller's SQL transaction.
pub(super) async fn insert(
    tx: &mut Tx,
    payment: &PaymentId,
    usage: &Usage,
    now_ms: i64,
) -> Result<(), LedgerError> {
    tx.later(
        "INSERT INTO usages (payment, product, prompt_tokens_reserved, prompt_tokens, \
         completion_tokens_reserved, completion_tokens, reserved, metered, charged, at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            payment.as_str(),
            usage.product.as_str(),
            unsigned(usage.prompt_tokens_reserved, "prompt_tokens_reserved")?,
            unsigned(usage.prompt_tokens, "prompt_tokens")?,
            unsigned(usage.completion_tokens_reserved, "completion_tokens_reserved")?,
            unsigned(usage.completion_tokens, "completion_tokens")?,
            amount(usage.reserved, "reserved")?,
            amount(usage.metered, "metered")?,
            amount(usage.charged, "charged")?,
            now_ms
        ],
    )
    .await?;
    Ok(())
}

/// The usage of one payment.
pub(super) async fn get(tx: &mut Tx, payment: &PaymentId) -> Result<Option<Usage>, LedgerError> {
    let row = tx.one("SELECT * FROM usages WHERE payment = $1", params![payment.as_str()]).await?;
    row.as_ref().map(usage).transpose()
}

fn usage(row: &Row) -> Result<Usage, LedgerError> {
    Ok(Usage {
        product: row.text("product")?,
        prompt_tokens_reserved: row.unsigned("prompt_tokens_reserved")?,
        prompt_tokens: row.unsigned("prompt_tokens")?,
        completion_tokens_reserved: row.unsigned("completion_tokens_reserved")?,
        completion_tokens: row.unsigned("completion_tokens")?,
        reserved: row.amount("reserved")?,
        metered: row.amount("metered")?,
        charged: row.amount("charged")?,
    })
}

fn usage_sum(row: &Row) -> Result<UsageSum, LedgerError> {
    Ok(UsageSum {
        resource: row.text("resource")?,
        product: row.text("product")?,
        answers: row.unsigned("answers")?,
        over: row.unsigned("over_reserve")?,
        reserved: row.amount("reserved")?,
        metered: row.amount("metered")?,
        charged: row.amount("charged")?,
        share_median_bps: row.unsigned("share_median")?,
        share_p95_bps: row.unsigned("share_p95")?,
        share_most_bps: row.unsigned("share_most")?,
        prompt_share_most_bps: row.unsigned("prompt_share_most")?,
    })
}

fn cost_shares(row: &Row) -> Result<CostShares, LedgerError> {
    Ok(CostShares {
        network: row.network()?,
        payments: row.unsigned("payments")?,
        under_cost: row.unsigned("under_cost")?,
        least_bps: row.unsigned("least")?,
        median_bps: row.unsigned("median")?,
        p95_bps: row.unsigned("p95")?,
        p99_bps: row.unsigned("p99")?,
        most_bps: row.unsigned("most")?,
    })
}

impl Ledger {
    /// What a payment's work used, if its host said so. Outlives the stored answer.
    pub async fn usage(&self, payment: &PaymentId) -> Result<Option<Usage>, LedgerError> {
        let id = payment.clone();
        self.read(move |tx| Box::pin(async move { get(tx, &id).await })).await
    }

    /// Reserves against real usages since `since_ms`, by resource and product.
    pub async fn usages(&self, since_ms: i64) -> Result<Vec<UsageSum>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move { tx.all(USAGES, params![since_ms]).await?.iter().map(usage_sum).collect() })
        })
        .await
    }

    /// The spread of cost over charge of the payments claimed since `since_ms`, by network.
    pub async fn cost_shares(&self, since_ms: i64) -> Result<Vec<CostShares>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move {
                tx.all(COST_SHARES, params![since_ms]).await?.iter().map(cost_shares).collect()
            })
        })
        .await
    }

    /// What transactions cost that were made for this payment, oldest first.
    pub async fn costs(&self, payment: &PaymentId) -> Result<Vec<CostEntry>, LedgerError> {
        let id = payment.clone();
        self.read(move |tx| {
            Box::pin(async move {
                tx.all("SELECT * FROM costs WHERE payment = $1 ORDER BY at_ms, tx", params![id.as_str()])
                    .await?
                    .iter()
                    .map(|row| {
                        let native = row.text("native")?.parse();
                        let usdc = row.int_opt("usdc")?.map(u64::try_from).transpose();
                        Ok(CostEntry {
                            network: row.network()?,
                            transaction: row.text("tx")?,
                            payment: Some(id.clone()),
                            native: native.map_err(|_| LedgerError::Corrupt { field: "native" })?,
                            usdc: usdc.map_err(|_| LedgerError::Corrupt { field: "usdc" })?.map(Amount::new),
                            earned: row.flag("earned")?,
                        })
                    })
                    .collect()
            })
        })
        .await
    }
}
