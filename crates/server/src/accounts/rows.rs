//! What stands in the rows of an export and of a statement.

use std::collections::BTreeMap;

use quittance_facilitator::config::Config;
use quittance_ledger::{AccountRow, Origin, PaymentState, StatementRow};
use quittance_protocol::{Amount, Family, Network};

use super::GATE;
use super::cells::{Cell, Column, Kind, Sheet};
use super::range::day;
use crate::columns;

const fn column(name: &'static str, kind: Kind, in_table: bool) -> Column {
    Column { name, kind, in_table }
}

/// Of `quittance payments export`.
pub(super) const EXPORT: &[Column] = &[
    column("id", Kind::Text, true),
    column("claimed_at", Kind::Time, false),
    column("settled_at", Kind::Time, true),
    column("network", Kind::Text, true),
    column("seller", Kind::Text, true),
    column("state", Kind::Text, true),
    column("delivery", Kind::Text, true),
    column("finality", Kind::Text, false),
    column("payer", Kind::Text, false),
    column("pay_to", Kind::Text, false),
    column("asset", Kind::Text, false),
    column("gross_usdc", Kind::Usdc, true),
    column("service_usdc", Kind::Usdc, false),
    column("surcharge_usdc", Kind::Usdc, true),
    column("billed_usdc", Kind::Usdc, false),
    column("cost_coin", Kind::Text, false),
    column("coin", Kind::Text, false),
    column("cost_usdc", Kind::Usdc, true),
    column("net_usdc", Kind::Usdc, true),
    column("margin_usdc", Kind::Usdc, true),
    column("transaction", Kind::Text, false),
    column("block", Kind::Number, false),
    column("product", Kind::Text, true),
    column("resource", Kind::Text, false),
    column("request_id", Kind::Text, false),
    column("refusal", Kind::Text, false),
];

/// Of its sums.
pub(super) const TOTALS: &[Column] = &[
    column("network", Kind::Text, true),
    column("payments", Kind::Number, true),
    column("settled", Kind::Number, true),
    column("gross_usdc", Kind::Usdc, true),
    column("service_usdc", Kind::Usdc, true),
    column("surcharge_usdc", Kind::Usdc, true),
    column("billed_usdc", Kind::Usdc, true),
    column("cost_coin", Kind::Text, true),
    column("coin", Kind::Text, true),
    column("cost_usdc", Kind::Usdc, true),
    column("margin_usdc", Kind::Usdc, true),
    column("unpriced", Kind::Number, true),
];

/// Of `quittance payments statement`.
pub(super) const STATEMENT: &[Column] = &[
    column("day", Kind::Text, true),
    column("network", Kind::Text, true),
    column("seller", Kind::Text, true),
    column("pay_to", Kind::Text, false),
    column("payments", Kind::Number, true),
    column("gross_usdc", Kind::Usdc, true),
    column("service_usdc", Kind::Usdc, true),
    column("surcharge_usdc", Kind::Usdc, true),
    column("billed_usdc", Kind::Usdc, true),
    column("lost_payments", Kind::Number, false),
    column("lost_usdc", Kind::Usdc, true),
    column("first_block", Kind::Number, false),
    column("last_block", Kind::Number, false),
    column("cost_coin", Kind::Text, true),
    column("coin", Kind::Text, true),
    column("cost_usdc", Kind::Usdc, true),
    column("burnt_usdc", Kind::Usdc, true),
    column("unpriced", Kind::Number, true),
    column("margin_usdc", Kind::Usdc, true),
];

/// What the transactions of each network are paid with.
pub(super) struct Coins(BTreeMap<Network, (String, u32)>);

impl Coins {
    pub(super) fn of(config: &Config) -> Self {
        let named = |section: &quittance_facilitator::config::NetworkConfig| {
            (section.network.clone(), (section.coin().ticker().to_owned(), decimals(&section.network)))
        };
        Self(config.networks.values().map(named).collect())
    }

    /// Whole coins, and which; the smallest units of a network that left the configuration.
    fn said(&self, network: &Network, native: u128) -> (Cell, Cell) {
        let (coin, decimals) = match self.0.get(network) {
            Some((coin, decimals)) => (coin.clone(), *decimals),
            None => match network.family() {
                Family::Eip155(_) => ("wei".to_owned(), 0),
                Family::Solana => ("lamports".to_owned(), 0),
            },
        };
        (Cell::text(columns::coins(&native.to_string(), decimals.into())), Cell::text(coin))
    }
}

/// Of the smallest unit: wei, or lamports.
fn decimals(network: &Network) -> u32 {
    match network.family() {
        Family::Eip155(_) => 18,
        Family::Solana => 9,
    }
}

fn usdc(amount: Amount) -> Cell {
    Cell::Usdc(i64::try_from(amount.atomic()).ok())
}

fn difference(one: i128, other: i128) -> Option<i64> {
    i64::try_from(one.checked_sub(other)?).ok()
}

fn number(value: u64) -> Cell {
    Cell::Number(i64::try_from(value).ok())
}

/// What the payment's own transactions cost: in the coin, and in USDC if all of it is known.
fn cost(row: &AccountRow) -> (u128, Option<Amount>) {
    let native = row.costs.iter().fold(0_u128, |sum, cost| sum.saturating_add(cost.native));
    let usdc = row.costs.iter().try_fold(0_u64, |sum, cost| sum.checked_add(cost.usdc?.atomic()));
    (native, usdc.map(Amount::new))
}

pub(super) fn export_row(row: &AccountRow, coins: &Coins) -> Vec<Cell> {
    let payment = &row.payment;
    let is_settled = payment.state == PaymentState::Settled;
    let (native, cost) = cost(row);
    let (cost_coin, coin) = coins.said(&payment.network, native);
    let of = |amount: Amount| i128::from(amount.atomic());
    // Of what did not settle nothing came in, and what it cost is a loss.
    let came_in = if is_settled { payment.amount } else { Amount::ZERO };
    let due = if is_settled { payment.due() } else { Amount::ZERO };
    let net = cost.and_then(|cost| difference(of(came_in), of(cost)));
    let margin = cost.and_then(|cost| difference(of(due), of(cost)));
    let billed = of(payment.due()).saturating_sub(of(payment.gas));
    vec![
        Cell::text(payment.id.as_str()),
        Cell::Time(Some(payment.created_at_ms)),
        Cell::Time(payment.settled_at_ms),
        Cell::text(payment.network.as_str()),
        Cell::text(match &payment.origin {
            Origin::Gate => GATE,
            Origin::Merchant(name) => name,
        }),
        Cell::text(payment.state.as_str()),
        Cell::text(payment.delivery.as_str()),
        Cell::Text(payment.finality.map(|finality| finality.as_str().to_owned())),
        Cell::text(&payment.payer),
        Cell::text(&payment.pay_to),
        Cell::text(&payment.asset),
        usdc(payment.amount),
        usdc(payment.service),
        usdc(payment.gas),
        Cell::Usdc(i64::try_from(billed).ok()),
        cost_coin,
        coin,
        cost.map_or(Cell::Usdc(None), usdc),
        Cell::Usdc(net),
        Cell::Usdc(margin),
        Cell::Text(payment.transaction.clone()),
        payment.landing.as_ref().map_or(Cell::Number(None), |landing| number(landing.block)),
        Cell::Text(row.product.clone()),
        Cell::text(&payment.resource),
        Cell::text(payment.request_id.as_str()),
        Cell::Text(payment.refusal.as_ref().map(|(code, _)| code.as_str().to_owned())),
    ]
}

/// Sums of an export, by network.
#[derive(Default)]
pub(super) struct Totals(BTreeMap<Network, Total>);

#[derive(Default)]
struct Total {
    payments: u64,
    settled: u64,
    gross: i128,
    service: i128,
    surcharge: i128,
    billed: i128,
    native: u128,
    cost: i128,
    unpriced: u64,
}

impl Totals {
    /// What came in counts of what settled alone; what was spent counts of all.
    pub(super) fn add(&mut self, row: &AccountRow) {
        let payment = &row.payment;
        let sum = self.0.entry(payment.network.clone()).or_default();
        let of = |amount: Amount| i128::from(amount.atomic());
        sum.payments = sum.payments.saturating_add(1);
        if payment.state == PaymentState::Settled {
            sum.settled = sum.settled.saturating_add(1);
            sum.gross = sum.gross.saturating_add(of(payment.amount));
            sum.service = sum.service.saturating_add(of(payment.service));
            sum.surcharge = sum.surcharge.saturating_add(of(payment.gas));
            let billed = of(payment.due()).saturating_sub(of(payment.gas));
            sum.billed = sum.billed.saturating_add(billed);
        }
        for cost in &row.costs {
            sum.native = sum.native.saturating_add(cost.native);
            match cost.usdc {
                Some(usdc) => sum.cost = sum.cost.saturating_add(of(usdc)),
                None => sum.unpriced = sum.unpriced.saturating_add(1),
            }
        }
    }

    pub(super) fn sheet(&self, coins: &Coins) -> Sheet {
        let mut sheet = Sheet::new(TOTALS);
        for (network, sum) in &self.0 {
            let (cost_coin, coin) = coins.said(network, sum.native);
            let usdc = |atomic: i128| Cell::Usdc(i64::try_from(atomic).ok());
            sheet.push(vec![
                Cell::text(network.as_str()),
                number(sum.payments),
                number(sum.settled),
                usdc(sum.gross),
                usdc(sum.service),
                usdc(sum.surcharge),
                usdc(sum.billed),
                cost_coin,
                coin,
                usdc(sum.cost),
                usdc(sum.surcharge.saturating_add(sum.billed).saturating_sub(sum.cost)),
                number(sum.unpriced),
            ]);
        }
        sheet
    }
}

pub(super) fn statement_row(row: &StatementRow, coins: &Coins) -> Vec<Cell> {
    let (cost_coin, coin) = coins.said(&row.network, row.cost_native);
    let of = |amount: Amount| i128::from(amount.atomic());
    let due = of(row.surcharge).saturating_add(of(row.billed));
    let block = |block: Option<u64>| block.map_or(Cell::Number(None), number);
    vec![
        Cell::text(if row.day_ms == ALL_DAYS { "all".to_owned() } else { day(row.day_ms) }),
        Cell::text(row.network.as_str()),
        Cell::text(&row.seller),
        Cell::text(&row.pay_to),
        number(row.payments),
        usdc(row.gross),
        usdc(row.service),
        usdc(row.surcharge),
        usdc(row.billed),
        number(row.lost_payments),
        usdc(row.lost),
        block(row.blocks.map(|(first, _)| first)),
        block(row.blocks.map(|(_, last)| last)),
        cost_coin,
        coin,
        usdc(row.cost),
        usdc(row.burnt),
        number(row.unpriced),
        Cell::Usdc(difference(due, of(row.cost))),
    ]
}

/// The day of a sum over all days.
const ALL_DAYS: i64 = i64::MIN;

/// By network and address: what stands there must be on chain.
pub(super) fn statement_totals(days: &[StatementRow], coins: &Coins) -> Sheet {
    let mut sums: BTreeMap<(Network, String), StatementRow> = BTreeMap::new();
    for day in days {
        let place = (day.network.clone(), day.pay_to.clone());
        match sums.get_mut(&place) {
            Some(sum) => add(sum, day),
            None => {
                let first = StatementRow { day_ms: ALL_DAYS, seller: String::new(), ..day.clone() };
                sums.insert(place, first);
            }
        }
    }
    let mut sheet = Sheet::new(STATEMENT);
    sums.values().for_each(|sum| sheet.push(statement_row(sum, coins)));
    sheet
}

fn add(sum: &mut StatementRow, day: &StatementRow) {
    let amount = |sum: &mut Amount, more: Amount| {
        *sum = Amount::new(sum.atomic().saturating_add(more.atomic()));
    };
    let count = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    count(&mut sum.payments, day.payments);
    count(&mut sum.lost_payments, day.lost_payments);
    count(&mut sum.unpriced, day.unpriced);
    amount(&mut sum.gross, day.gross);
    amount(&mut sum.service, day.service);
    amount(&mut sum.surcharge, day.surcharge);
    amount(&mut sum.billed, day.billed);
    amount(&mut sum.lost, day.lost);
    amount(&mut sum.cost, day.cost);
    amount(&mut sum.burnt, day.burnt);
    sum.cost_native = sum.cost_native.saturating_add(day.cost_native);
    sum.blocks = match (sum.blocks, day.blocks) {
        (Some((first, last)), Some((other_first, other_last))) => {
            Some((first.min(other_first), last.max(other_last)))
        }
        (one, other) => one.or(other),
    };
}
