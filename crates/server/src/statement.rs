//! `quittance merchants statement`: what a merchant sold, what settling cost and what it owes.

use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{Ledger, Merchant, MerchantTotals};
use quittance_protocol::Amount;
use serde_json::{Value, json};

use crate::columns::{signed, table as columns};
use crate::{CommandError, print};

const DAY_MS: i64 = 86_400_000;

/// Sums of days, in atomic units and USDC.
#[derive(Default)]
struct Sum {
    payments: u64,
    amount: u64,
    charged: u64,
    absorbed: u64,
    billed: u64,
    accounts: u64,
    rent: u64,
    lost_payments: u64,
    lost_due: u64,
    due: i128,
    cost: u64,
    unpriced: u64,
}

impl Sum {
    fn add(&mut self, day: &MerchantTotals) {
        let add = |sum: &mut u64, one: u64| *sum = sum.saturating_add(one);
        add(&mut self.payments, day.payments);
        add(&mut self.amount, day.amount.atomic());
        add(&mut self.charged, day.charged.atomic());
        add(&mut self.absorbed, day.absorbed.atomic());
        add(&mut self.billed, day.billed.atomic());
        add(&mut self.accounts, day.accounts);
        add(&mut self.rent, day.rent.atomic());
        add(&mut self.lost_payments, day.lost_payments);
        add(&mut self.lost_due, day.lost_due.atomic());
        add(&mut self.cost, day.cost().atomic());
        add(&mut self.unpriced, day.unpriced);
        self.due += due(day);
    }

    fn margin(&self) -> i128 {
        self.due - i128::from(self.cost)
    }

    fn document(&self) -> Value {
        json!({
            "payments": self.payments,
            "amount": Amount::new(self.amount),
            "charged": Amount::new(self.charged),
            "absorbed": Amount::new(self.absorbed),
            "billed": Amount::new(self.billed),
            "token_accounts": self.accounts,
            "rent": Amount::new(self.rent),
            "lost_payments": self.lost_payments,
            "lost_due": Amount::new(self.lost_due),
            "due": self.due.to_string(),
            "cost": Amount::new(self.cost),
            "margin": self.margin().to_string(),
            "unpriced": self.unpriced,
        })
    }

    fn cells(&self, day: String, network: &str) -> [String; 9] {
        let usdc = |atomic: u64| Amount::new(atomic).to_usdc();
        [
            day,
            network.to_owned(),
            self.payments.to_string(),
            usdc(self.amount),
            usdc(self.charged.saturating_add(self.billed)),
            usdc(self.rent),
            signed(self.due),
            usdc(self.cost),
            signed(self.margin()),
        ]
    }
}

/// What is owed for a day; a loss may be found on another day than it was charged on, so this may
/// be below zero.
fn due(day: &MerchantTotals) -> i128 {
    let of = |amount: Amount| i128::from(amount.atomic());
    of(day.charged) + of(day.billed) + of(day.rent) - of(day.lost_due)
}

pub(crate) async fn show(
    _: &Config,
    ledger: &Ledger,
    merchant: &Merchant,
    days: u32,
    as_json: bool,
) -> Result<(), CommandError> {
    let today = Clock::system().now_ms().div_euclid(DAY_MS);
    let since_ms = today.saturating_add(1).saturating_sub(i64::from(days)).saturating_mul(DAY_MS);
    let mut rows = ledger.merchant_totals(since_ms).await?;
    rows.retain(|row| row.merchant == merchant.name);
    rows.sort_by(|a, b| (a.day_ms, a.network.as_str()).cmp(&(b.day_ms, b.network.as_str())));
    match as_json {
        true => print(&serde_json::to_string_pretty(&document(merchant, &rows))?)?,
        false => print(table(merchant, &rows).trim_end())?,
    }
    Ok(())
}

fn total(rows: &[MerchantTotals]) -> Sum {
    let mut sum = Sum::default();
    rows.iter().for_each(|row| sum.add(row));
    sum
}

/// One document: a line for each day and network, and their sum.
fn document(merchant: &Merchant, rows: &[MerchantTotals]) -> Value {
    let days: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut day = json!({ "day": date(row.day_ms), "network": row.network });
            let sums = total(std::slice::from_ref(row)).document();
            if let (Some(day), Some(sums)) = (day.as_object_mut(), sums.as_object()) {
                day.extend(sums.clone());
            }
            day
        })
        .collect();
    json!({
        "merchant": merchant.name,
        "fee_policy": merchant.fee_policy,
        "days": days,
        "total": total(rows).document(),
    })
}

/// A table for people, amounts in USDC.
fn table(merchant: &Merchant, rows: &[MerchantTotals]) -> String {
    if rows.is_empty() {
        return "no payments in this time\n".to_owned();
    }
    let titles = ["day (UTC)", "network", "payments", "amount", "surcharge", "rent", "due", "cost", "margin"];
    let lines =
        rows.iter().map(|row| total(std::slice::from_ref(row)).cells(date(row.day_ms), row.network.as_str()));
    let sum = total(rows);
    let mut text = format!("{}, surcharge {}\n", merchant.name, merchant.fee_policy);
    text.push_str(&columns(titles, lines.chain([sum.cells("all".to_owned(), "")])));
    if sum.absorbed > 0 {
        text.push_str(&format!("  absorbed: {} USDC\n", Amount::new(sum.absorbed).to_usdc()));
    }
    if sum.unpriced > 0 {
        text.push_str(&format!("  {} costs are missing in it: no exchange rate was known\n", sum.unpriced));
    }
    text
}

/// `2026-11-23`.
fn date(at_ms: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000)) {
        Ok(at) => format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
        Err(_) => at_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use quittance_ledger::{FeePolicy, MerchantState};

    use super::*;

    fn day(number: i64, charged: u64, billed: u64, lost_due: u64) -> MerchantTotals {
        MerchantTotals {
            merchant: "shop".to_owned(),
            network: "eip155:8453".parse().unwrap(),
            day_ms: 1_795_392_000_000 + number * DAY_MS,
            payments: 2,
            amount: Amount::new(20_000),
            charged: Amount::new(charged),
            absorbed: Amount::new(7),
            billed: Amount::new(billed),
            lost_payments: u64::from(lost_due > 0),
            lost_amount: Amount::ZERO,
            lost_due: Amount::new(lost_due),
            earned_cost: Amount::new(500),
            burnt_cost: Amount::new(100),
            native: 1,
            unpriced: 0,
            accounts: 1,
            rent: Amount::new(50),
        }
    }

    #[test]
    fn the_total_is_the_sum_of_its_days_also_where_a_loss_is_found_later() {
        let merchant = Merchant {
            name: "shop".to_owned(),
            state: MerchantState::Open,
            fee_policy: FeePolicy::Billed,
            in_flight_max: 1,
            accounts_max: 1,
            created_at_ms: 0,
            changed_at_ms: 0,
            networks: Vec::new(),
            keys: Vec::new(),
        };
        let rows = [day(0, 1_000, 0, 0), day(1, 0, 300, 1_000)];
        let said = document(&merchant, &rows);
        let number = |value: &Value| value.as_str().unwrap().parse::<i128>().unwrap();
        assert_eq!((&said["days"][0]["due"], &said["days"][1]["due"]), (&json!("1050"), &json!("-650")));
        for field in ["due", "margin", "cost", "amount", "billed", "rent"] {
            let days: i128 = said["days"].as_array().unwrap().iter().map(|day| number(&day[field])).sum();
            assert_eq!(days, number(&said["total"][field]), "{field}");
        }
        assert_eq!(said["days"][0]["day"], "2026-11-23");
        let table = table(&merchant, &rows);
        assert!(table.contains("-0.000650") && table.contains("absorbed: 0.000014"), "{table}");
    }
}
