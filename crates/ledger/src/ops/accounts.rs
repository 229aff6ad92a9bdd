//! The books in pages and by days, for accountants: bounded memory, however many payments there are.

use std::collections::BTreeMap;

use quittance_protocol::{Amount, Network};

use crate::LIST_MAX;
use crate::codec;
use crate::conn::{Row, params};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{
    AccountCost, AccountCursor, AccountFilter, AccountPage, AccountRow, RangeOf, Seller, StatementRow,
};

const DAY_MS: i64 = 86_400_000;

/// Costs are text, because wei do not fit an integer: they are read as text and summed where they do.
macro_rules! page {
    ($range:literal) => {
        concat!(
            "SELECT p.*, (SELECT u.product FROM usages u WHERE u.payment = p.id) AS product, \
             (SELECT string_agg(c.native || ' ' || COALESCE(CAST(c.usdc AS TEXT), '-'), ',') FROM costs c \
              WHERE c.payment = p.id) AS spent FROM payments p WHERE ",
            $range,
            " AND (p.created_at_ms, p.id) > ($3, $4) AND ($5 OR p.network = $6) AND ($7 OR p.origin = 'gate') \
             AND ($8 OR p.merchant = $9) AND ($10 OR p.state = $11) \
             ORDER BY p.created_at_ms, p.id LIMIT $12"
        )
    };
}

const CLAIMED: &str = page!("p.created_at_ms >= $1 AND p.created_at_ms < $2");
const SETTLED: &str = page!("p.settled_at_ms >= $1 AND p.settled_at_ms < $2");

const MOVED: &str = "\
    SELECT network, COALESCE(merchant, 'gate') AS seller, pay_to, \
        CAST(settled_at_ms / 86400000 AS BIGINT) AS day, CAST(COUNT(*) AS BIGINT) AS payments, \
        CAST(SUM(amount) AS BIGINT) AS gross, CAST(SUM(service) AS BIGINT) AS service, \
        CAST(SUM(gas) AS BIGINT) AS surcharge, \
        CAST(SUM(CASE WHEN fee_policy = 'billed' THEN fee_carried ELSE 0 END) AS BIGINT) AS billed, \
        CAST(SUM(CASE WHEN finality = 'reorged_loss' THEN 1 ELSE 0 END) AS BIGINT) AS lost_payments, \
        CAST(SUM(CASE WHEN finality = 'reorged_loss' THEN amount ELSE 0 END) AS BIGINT) AS lost, \
        MIN(landed_block) AS first_block, MAX(landed_block) AS last_block \
    FROM payments WHERE state = 'settled' AND settled_at_ms >= $1 AND settled_at_ms < $2 \
    GROUP BY network, COALESCE(merchant, 'gate'), pay_to, settled_at_ms / 86400000";

/// In whole thousand millions of wei or lamports, and the rest: each sum fits.
const SPENT: &str = "\
    SELECT c.network AS network, CASE WHEN p.id IS NULL THEN '' ELSE COALESCE(p.merchant, 'gate') END AS seller, \
        CAST(c.at_ms / 86400000 AS BIGINT) AS day, \
        CAST(SUM(CAST(c.native AS BIGINT) / 1000000000) AS BIGINT) AS native_high, \
        CAST(SUM(CAST(c.native AS BIGINT) % 1000000000) AS BIGINT) AS native_low, \
        CAST(COALESCE(SUM(c.usdc), 0) AS BIGINT) AS cost, \
        CAST(SUM(CASE WHEN c.earned THEN 0 ELSE COALESCE(c.usdc, 0) END) AS BIGINT) AS burnt, \
        CAST(SUM(CASE WHEN c.usdc IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS unpriced \
    FROM costs c LEFT JOIN payments p ON p.id = c.payment WHERE c.at_ms >= $1 AND c.at_ms < $2 \
    GROUP BY c.network, CASE WHEN p.id IS NULL THEN '' ELSE COALESCE(p.merchant, 'gate') END, c.at_ms / 86400000";

const NATIVE_HIGH: u128 = 1_000_000_000;

impl Ledger {
    /// Payments of a range with what their own transactions cost, oldest claim first, at most
    /// [`LIST_MAX`] at a time; `after`: behind the last one of the page before.
    pub async fn accounts(
        &self,
        filter: &AccountFilter,
        after: Option<&AccountCursor>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        let (filter, after) = (filter.clone(), after.cloned());
        let limit = limit.clamp(1, LIST_MAX);
        self.read(move |tx| {
            Box::pin(async move {
                let (after_ms, after_id) = match after {
                    Some(cursor) => (cursor.created_at_ms, cursor.id.as_str().to_owned()),
                    None => (i64::MIN, String::new()),
                };
                let merchant = match &filter.seller {
                    Some(Seller::Merchant(name)) => Some(name.clone()),
                    Some(Seller::Gate) | None => None,
                };
                let sql = match filter.range {
                    RangeOf::Claims => CLAIMED,
                    RangeOf::Settlements => SETTLED,
                };
                let values = params![
                    filter.since_ms,
                    filter.until_ms,
                    after_ms,
                    after_id,
                    filter.network.is_none(),
                    filter.network.as_ref().map(|network| network.to_string()),
                    filter.seller != Some(Seller::Gate),
                    merchant.is_none(),
                    merchant,
                    filter.state.is_none(),
                    filter.state.map(|state| state.as_str().to_owned()),
                    i64::from(limit),
                ];
                let rows = tx.all(sql, values).await?;
                let rows = rows.iter().map(account).collect::<Result<Vec<_>, _>>()?;
                let is_full = u32::try_from(rows.len()).is_ok_and(|length| length == limit);
                let next = rows.last().filter(|_| is_full).map(|row| AccountCursor {
                    created_at_ms: row.payment.created_at_ms,
                    id: row.payment.id.clone(),
                });
                Ok(AccountPage { rows, next })
            })
        })
        .await
    }

    /// What each seller's payments moved and cost, by the UTC day on which they settled and on which
    /// a cost was booked, oldest first. Reads every payment; its size is that of the days.
    pub async fn statement(&self, since_ms: i64, until_ms: i64) -> Result<Vec<StatementRow>, LedgerError> {
        self.read(move |tx| {
            Box::pin(async move {
                let moved = tx.all(MOVED, params![since_ms, until_ms]).await?;
                let spent = tx.all(SPENT, params![since_ms, until_ms]).await?;
                let mut days = BTreeMap::new();
                for row in &moved {
                    let day = moved_row(row)?;
                    days.insert(place(&day), day);
                }
                for row in &spent {
                    add_spent(&mut days, row)?;
                }
                Ok(days.into_values().collect())
            })
        })
        .await
    }
}

fn account(row: &Row) -> Result<AccountRow, LedgerError> {
    let corrupt = || LedgerError::Corrupt { field: "costs" };
    let spent = row.text_opt("spent")?.unwrap_or_default();
    let cost = |text: &str| {
        let (native, usdc) = text.split_once(' ').ok_or_else(corrupt)?;
        let usdc = match usdc {
            "-" => None,
            usdc => Some(Amount::new(usdc.parse().map_err(|_| corrupt())?)),
        };
        Ok(AccountCost { native: native.parse().map_err(|_| corrupt())?, usdc })
    };
    Ok(AccountRow {
        payment: codec::payment(row)?,
        costs: spent
            .split(',')
            .filter(|text| !text.is_empty())
            .map(cost)
            .collect::<Result<_, LedgerError>>()?,
        product: row.text_opt("product")?,
    })
}

/// By day, network, seller and address.
pub(crate) type Place = (i64, Network, String, String);

pub(crate) fn place(row: &StatementRow) -> Place {
    (row.day_ms, row.network.clone(), row.seller.clone(), row.pay_to.clone())
}

/// A day on which nothing happened.
pub(crate) fn empty((day_ms, network, seller, pay_to): Place) -> StatementRow {
    StatementRow {
        day_ms,
        network,
        seller,
        pay_to,
        payments: 0,
        gross: Amount::ZERO,
        service: Amount::ZERO,
        surcharge: Amount::ZERO,
        billed: Amount::ZERO,
        lost_payments: 0,
        lost: Amount::ZERO,
        blocks: None,
        cost_native: 0,
        cost: Amount::ZERO,
        burnt: Amount::ZERO,
        unpriced: 0,
    }
}

/// Where a seller's costs of a day stand: with its payments, if those went to one address.
pub(crate) fn place_of_costs(
    days: &BTreeMap<Place, StatementRow>,
    (day_ms, network, seller): (i64, Network, String),
) -> Place {
    let first = (day_ms, network.clone(), seller.clone(), String::new());
    let own =
        |(place, _): &(&Place, &StatementRow)| (place.0, &place.1, &place.2) == (day_ms, &network, &seller);
    let mut found = days.range(first.clone()..).take_while(own).map(|(place, _)| place);
    match (found.next(), found.next()) {
        (Some(place), None) => place.clone(),
        _ => first,
    }
}

fn moved_row(row: &Row) -> Result<StatementRow, LedgerError> {
    let block = |field: &'static str| {
        let value = row.int_opt(field)?.map(u64::try_from).transpose();
        value.map_err(|_| LedgerError::Corrupt { field })
    };
    let day_ms = row.int("day")?.saturating_mul(DAY_MS);
    Ok(StatementRow {
        payments: row.unsigned("payments")?,
        gross: row.amount("gross")?,
        service: row.amount("service")?,
        surcharge: row.amount("surcharge")?,
        billed: row.amount("billed")?,
        lost_payments: row.unsigned("lost_payments")?,
        lost: row.amount("lost")?,
        blocks: block("first_block")?.zip(block("last_block")?),
        ..empty((day_ms, row.network()?, row.text("seller")?, row.text("pay_to")?))
    })
}

fn add_spent(days: &mut BTreeMap<Place, StatementRow>, row: &Row) -> Result<(), LedgerError> {
    let day_ms = row.int("day")?.saturating_mul(DAY_MS);
    let place = place_of_costs(days, (day_ms, row.network()?, row.text("seller")?));
    let day = days.entry(place.clone()).or_insert_with(|| empty(place));
    let high = u128::from(row.unsigned("native_high")?).saturating_mul(NATIVE_HIGH);
    day.cost_native = high.saturating_add(u128::from(row.unsigned("native_low")?));
    day.cost = row.amount("cost")?;
    day.burnt = row.amount("burnt")?;
    day.unpriced = row.unsigned("unpriced")?;
    Ok(())
}
