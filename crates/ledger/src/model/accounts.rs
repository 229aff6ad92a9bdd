//! Pages and days of the books: as `ops::accounts`.

use std::collections::BTreeMap;

use quittance_protocol::Amount;

use super::ModelLedger;
use super::rows::Database;
use crate::LIST_MAX;
use crate::error::LedgerError;
use crate::ops::accounts::{empty, place_of_costs};
use crate::types::{
    AccountCost, AccountCursor, AccountFilter, AccountPage, AccountRow, FeePolicy, Finality, Origin, Payment,
    PaymentState, RangeOf, Seller, StatementRow,
};

const DAY_MS: i64 = 86_400_000;

impl ModelLedger {
    pub(crate) fn accounts(
        &self,
        filter: &AccountFilter,
        after: Option<&AccountCursor>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError> {
        self.read(|rows| Ok(rows.accounts(filter, after, limit)))
    }

    pub(crate) fn statement(&self, since_ms: i64, until_ms: i64) -> Result<Vec<StatementRow>, LedgerError> {
        self.read(|rows| Ok(rows.statement(since_ms, until_ms)))
    }
}

fn seller(payment: &Payment) -> Seller {
    match &payment.origin {
        Origin::Gate => Seller::Gate,
        Origin::Merchant(name) => Seller::Merchant(name.clone()),
    }
}

fn place(payment: &Payment) -> AccountCursor {
    AccountCursor { created_at_ms: payment.created_at_ms, id: payment.id.clone() }
}

fn add(sum: &mut Amount, more: Amount) {
    *sum = Amount::new(sum.atomic().saturating_add(more.atomic()));
}

impl Database {
    fn accounts(&self, filter: &AccountFilter, after: Option<&AccountCursor>, limit: u32) -> AccountPage {
        let limit = usize::try_from(limit.clamp(1, LIST_MAX)).unwrap_or(usize::MAX);
        let wanted = |payment: &&Payment| {
            let at_ms = match filter.range {
                RangeOf::Claims => Some(payment.created_at_ms),
                RangeOf::Settlements => payment.settled_at_ms,
            };
            at_ms.is_some_and(|at_ms| (filter.since_ms..filter.until_ms).contains(&at_ms))
                && after.is_none_or(|after| place(payment) > *after)
                && filter.network.as_ref().is_none_or(|network| payment.network == *network)
                && filter.seller.as_ref().is_none_or(|wanted| seller(payment) == *wanted)
                && filter.state.is_none_or(|state| payment.state == state)
        };
        let mut found: Vec<&Payment> = self.payments().filter(wanted).collect();
        found.sort_by_key(|payment| place(payment));
        found.truncate(limit);
        let row = |payment: &Payment| {
            let mine = self.costs.values().filter(|cost| cost.payment.as_ref() == Some(&payment.id));
            let at = self.by_id.get(&payment.id);
            AccountRow {
                payment: payment.clone(),
                costs: mine.map(|cost| AccountCost { native: cost.native, usdc: cost.usdc }).collect(),
                product: at.and_then(|at| self.usages.get(at)).map(|(usage, _)| usage.product.clone()),
            }
        };
        let next = found.last().filter(|_| found.len() == limit).map(|payment| place(payment));
        AccountPage { rows: found.into_iter().map(row).collect(), next }
    }

    fn statement(&self, since_ms: i64, until_ms: i64) -> Vec<StatementRow> {
        let range = since_ms..until_ms;
        let mut days = BTreeMap::new();
        let settled = self.payments().filter(|payment| payment.state == PaymentState::Settled);
        for payment in settled {
            let Some(at_ms) = payment.settled_at_ms.filter(|at_ms| range.contains(at_ms)) else { continue };
            let seller = seller(payment).as_str().to_owned();
            let place =
                (at_ms.div_euclid(DAY_MS) * DAY_MS, payment.network.clone(), seller, payment.pay_to.clone());
            let day = days.entry(place.clone()).or_insert_with(|| empty(place));
            day.payments = day.payments.saturating_add(1);
            add(&mut day.gross, payment.amount);
            add(&mut day.service, payment.service);
            add(&mut day.surcharge, payment.gas);
            if let Some(fee) = payment.fee.filter(|fee| fee.policy == FeePolicy::Billed) {
                add(&mut day.billed, fee.carried);
            }
            if payment.finality == Some(Finality::ReorgedLoss) {
                day.lost_payments = day.lost_payments.saturating_add(1);
                add(&mut day.lost, payment.amount);
            }
            if let Some(landing) = &payment.landing {
                let (first, last) = day.blocks.unwrap_or((landing.block, landing.block));
                day.blocks = Some((first.min(landing.block), last.max(landing.block)));
            }
        }
        let moved = days.clone();
        for ((network, _, _), cost) in self.costs.iter().filter(|(_, cost)| range.contains(&cost.at_ms)) {
            let of = cost.payment.as_ref().and_then(|id| self.get(id).ok());
            let seller = of.map_or_else(String::new, |row| seller(&row.payment).as_str().to_owned());
            let day_ms = cost.at_ms.div_euclid(DAY_MS) * DAY_MS;
            let place = place_of_costs(&moved, (day_ms, network.clone(), seller));
            let day = days.entry(place.clone()).or_insert_with(|| empty(place));
            day.cost_native = day.cost_native.saturating_add(cost.native);
            match cost.usdc {
                Some(usdc) => add(&mut day.cost, usdc),
                None => day.unpriced = day.unpriced.saturating_add(1),
            }
            if !cost.earned {
                add(&mut day.burnt, cost.usdc.unwrap_or(Amount::ZERO));
            }
        }
        days.into_values().collect()
    }
}
