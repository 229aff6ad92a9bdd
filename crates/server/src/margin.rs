//! `quittance payments margin`: what settling cost against what was charged.

use std::collections::BTreeMap;

use quittance_ledger::{CostEntry, CostShares, Margin};
use quittance_protocol::Amount;
use serde_json::{Value, json};

use crate::columns::{decimal, percent, signed, table as columns};

/// A markup of one, in basis points: below cost it makes no sense.
const MARKUP_ONE: u128 = 10_000;

/// Advice is rounded up to a hundredth.
const ADVICE_STEP: u128 = 100;

/// The smallest markup at which, in every hour seen, the charges would have
/// covered the costs even if each settlement had cost what 95 of 100 do not
/// exceed; in basis points. `None` where nothing was sold.
///
/// Charges are taken to grow with the markup: true while neither the floor nor
/// the limit on falls decided them, and while `markup_bps` was in force.
pub(crate) fn advice(hours: &[&Margin], markup_bps: u32) -> Option<u128> {
    let mut wanted = MARKUP_ONE;
    let (mut all_needed, mut all_charged) = (0_u128, 0_u128);
    for hour in hours {
        let (charged, needed) = (u128::from(hour.charged.atomic()), needed(hour));
        all_needed = all_needed.saturating_add(needed);
        all_charged = all_charged.saturating_add(charged);
        // An hour that only lost is no hour's customers' to pay: it counts in the sum.
        if charged > 0 {
            wanted = wanted.max(covering(needed, charged, markup_bps));
        }
    }
    if all_charged == 0 {
        return None;
    }
    wanted = wanted.max(covering(all_needed, all_charged, markup_bps));
    Some(wanted.div_ceil(ADVICE_STEP).saturating_mul(ADVICE_STEP))
}

fn covering(needed: u128, charged: u128, markup_bps: u32) -> u128 {
    needed.saturating_mul(u128::from(markup_bps)).div_ceil(charged)
}

fn needed(hour: &Margin) -> u128 {
    let dear = hour.cost_p95.map_or(0, Amount::atomic);
    let landings = u128::from(dear).saturating_mul(u128::from(hour.payments));
    landings
        .max(u128::from(hour.earned_cost.atomic()))
        .saturating_add(u128::from(hour.uncollected_cost.atomic()))
}

/// The markups at which 50, 95, 99 and 100 of 100 payments would have paid for
/// their own landing, by what each of them cost and was charged.
fn covering_shares(shares: &CostShares, markup_bps: u32) -> [(&'static str, u128); 4] {
    let covering = |share_bps: u64| {
        let exact = u128::from(share_bps).saturating_mul(u128::from(markup_bps)).div_ceil(MARKUP_ONE);
        exact.max(MARKUP_ONE).div_ceil(ADVICE_STEP).saturating_mul(ADVICE_STEP)
    };
    [
        ("50", covering(shares.median_bps)),
        ("95", covering(shares.p95_bps)),
        ("99", covering(shares.p99_bps)),
        ("100", covering(shares.most_bps)),
    ]
}

/// Surcharge minus what the payment's transactions cost; `None` while a cost has
/// no value, or none was booked.
pub(crate) fn of_payment(charged: Amount, costs: &[CostEntry]) -> Option<i128> {
    let mut margin = i128::from(charged.atomic());
    for cost in costs {
        margin -= i128::from(cost.usdc?.atomic());
    }
    (!costs.is_empty()).then_some(margin)
}

/// Hours by network, in the order of the rows.
fn by_network(rows: &[Margin]) -> BTreeMap<&str, Vec<&Margin>> {
    let mut networks: BTreeMap<&str, Vec<&Margin>> = BTreeMap::new();
    for row in rows {
        networks.entry(row.network.as_str()).or_default().push(row);
    }
    networks
}

/// One document: all hours, and the advice per network.
pub(crate) fn document(rows: &[Margin], shares: &[CostShares], markup_bps: u32) -> Value {
    let hours: Vec<Value> = rows.iter().map(hour_document).collect();
    let networks: Vec<Value> = by_network(rows)
        .into_iter()
        .map(|(network, hours)| {
            json!({
                "network": network,
                "markup": decimal(u128::from(markup_bps)),
                "markup_advice": advice(&hours, markup_bps).map(decimal),
                "unpriced": hours.iter().map(|hour| hour.unpriced).sum::<u64>(),
                "payments": shares_of(shares, network).map(|shares| shares_document(shares, markup_bps)),
            })
        })
        .collect();
    json!({ "hours": hours, "networks": networks })
}

fn shares_of<'a>(shares: &'a [CostShares], network: &str) -> Option<&'a CostShares> {
    shares.iter().find(|shares| shares.network.as_str() == network)
}

/// Cost over charge of single payments, and what would have covered how many.
fn shares_document(shares: &CostShares, markup_bps: u32) -> Value {
    let covering: serde_json::Map<String, Value> = covering_shares(shares, markup_bps)
        .into_iter()
        .map(|(percent, markup)| (percent.to_owned(), json!(decimal(markup))))
        .collect();
    json!({
        "count": shares.payments,
        "under_cost": shares.under_cost,
        "cost_share_least": decimal(shares.least_bps.into()),
        "cost_share_median": decimal(shares.median_bps.into()),
        "cost_share_p95": decimal(shares.p95_bps.into()),
        "cost_share_p99": decimal(shares.p99_bps.into()),
        "cost_share_most": decimal(shares.most_bps.into()),
        "markup_covering_percent": covering,
    })
}

fn hour_document(row: &Margin) -> Value {
    json!({
        "network": row.network,
        "hour": hour(row.hour_ms),
        "payments": row.payments,
        "charged": row.charged,
        "cost_earned": row.earned_cost,
        "cost_uncollected": row.uncollected_cost,
        "margin": difference(row).to_string(),
        "cost_least": row.cost_least,
        "cost_median": row.cost_median,
        "cost_p95": row.cost_p95,
        "unpriced": row.unpriced,
    })
}

/// A table for people, amounts in USDC.
pub(crate) fn table(rows: &[Margin], shares: &[CostShares], markup_bps: u32) -> String {
    let titles =
        ["hour (UTC)", "payments", "charged", "cost", "for nothing", "margin", "least", "median", "p95"];
    let mut text = String::new();
    for (network, hours) in by_network(rows) {
        text.push_str(&format!("{network}\n"));
        text.push_str(&columns(titles, hours.iter().map(|row| cells(row))));
        text.push_str(&advice_line(&hours, markup_bps));
        if let Some(shares) = shares_of(shares, network) {
            text.push_str(&shares_lines(shares, markup_bps));
        }
    }
    if rows.is_empty() {
        text.push_str("no payments in this time\n");
    }
    text
}

fn shares_lines(shares: &CostShares, markup_bps: u32) -> String {
    let covering = covering_shares(shares, markup_bps)
        .map(|(percent, markup)| format!("{} covers {percent} %", decimal(markup)))
        .join(", ");
    format!(
        "  cost of what was charged: median {}, p95 {}, p99 {}, most {}; {} of {} payments under cost\n  \
         markup for single payments: {covering}\n",
        percent(shares.median_bps),
        percent(shares.p95_bps),
        percent(shares.p99_bps),
        percent(shares.most_bps),
        shares.under_cost,
        shares.payments,
    )
}

fn advice_line(hours: &[&Margin], markup_bps: u32) -> String {
    let unpriced: u64 = hours.iter().map(|hour| hour.unpriced).sum();
    let mut line = match advice(hours, markup_bps) {
        Some(advice) => format!(
            "  markup {}; {} would have covered every hour at its 95th percentile\n",
            decimal(u128::from(markup_bps)),
            decimal(advice)
        ),
        None => "  nothing was sold\n".to_owned(),
    };
    if unpriced > 0 {
        line.push_str(&format!("  {unpriced} costs are missing in it: no exchange rate was known\n"));
    }
    line
}

fn cells(row: &Margin) -> [String; 9] {
    let optional = |amount: Option<Amount>| amount.map_or_else(|| "-".to_owned(), |amount| amount.to_usdc());
    [
        hour(row.hour_ms),
        row.payments.to_string(),
        row.charged.to_usdc(),
        row.earned_cost.to_usdc(),
        row.uncollected_cost.to_usdc(),
        signed(difference(row)),
        optional(row.cost_least),
        optional(row.cost_median),
        optional(row.cost_p95),
    ]
}

/// Charged minus everything spent, atomic USDC.
fn difference(row: &Margin) -> i128 {
    i128::from(row.charged.atomic())
        - i128::from(row.earned_cost.atomic())
        - i128::from(row.uncollected_cost.atomic())
}

/// `2026-11-23T07:00Z`.
fn hour(at_ms: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000)) {
        Ok(at) => {
            format!("{:04}-{:02}-{:02}T{:02}:00Z", at.year(), u8::from(at.month()), at.day(), at.hour())
        }
        Err(_) => at_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(payments: u64, charged: u64, earned: u64, uncollected: u64, p95: Option<u64>) -> Margin {
        Margin {
            network: "eip155:8453".parse().unwrap(),
            hour_ms: 1_795_417_200_000,
            payments,
            charged: Amount::new(charged),
            earned_cost: Amount::new(earned),
            uncollected_cost: Amount::new(uncollected),
            unpriced: 0,
            cost_least: p95.map(Amount::new),
            cost_median: p95.map(Amount::new),
            cost_p95: p95.map(Amount::new),
        }
    }

    #[test]
    fn advice_covers_the_worst_hour_and_the_sum() {
        for (hours, expected) in [
            // Charged 1.25 times the cost exactly: a markup of one would do.
            (vec![row(10, 12_500, 10_000, 0, Some(1_000))], Some(10_000)),
            // A dear tail: ten payments at the 95th percentile cost 20,000.
            (vec![row(10, 12_500, 11_000, 0, Some(2_000))], Some(20_000)),
            // What earned nothing has to be earned as well.
            (vec![row(10, 12_500, 10_000, 5_000, Some(1_000))], Some(15_000)),
            // The worst hour counts.
            (
                vec![row(10, 12_500, 10_000, 0, Some(1_000)), row(1, 1_250, 2_501, 0, Some(2_501))],
                Some(25_100),
            ),
            // An hour that only lost counts in the sum.
            (vec![row(10, 12_500, 10_000, 0, Some(1_000)), row(0, 0, 0, 10_000, None)], Some(20_000)),
            (vec![row(0, 0, 0, 10_000, None)], None),
            (vec![], None),
        ] {
            let hours: Vec<&Margin> = hours.iter().collect();
            assert_eq!(advice(&hours, 12_500), expected, "{hours:?}");
        }
    }

    #[test]
    fn a_loss_is_shown_with_its_sign() {
        let rows = [row(2, 1_000, 1_500, 250, Some(800))];
        let document = document(&rows, &[], 12_500);
        assert_eq!(document["hours"][0]["margin"], "-750");
        assert_eq!(document["hours"][0]["hour"], "2026-11-23T07:00Z");
        assert_eq!(document["networks"][0]["markup"], "1.25");
        assert!(table(&rows, &[], 12_500).contains("-0.000750"), "{}", table(&rows, &[], 12_500));
    }

    #[test]
    fn the_spread_of_single_payments_says_which_markup_covers_how_many() {
        let shares = CostShares {
            network: "eip155:8453".parse().unwrap(),
            payments: 200,
            under_cost: 2,
            least_bps: 6_000,
            median_bps: 7_300,
            p95_bps: 7_600,
            p99_bps: 9_000,
            most_bps: 14_001,
        };
        let rows = [row(200, 1_000, 750, 0, Some(8))];
        let network = &document(&rows, std::slice::from_ref(&shares), 12_500)["networks"][0]["payments"];
        assert_eq!((&network["count"], &network["under_cost"]), (&json!(200), &json!(2)));
        assert_eq!(network["cost_share_p99"], "0.9");
        // 1.25 × 0.73 is below one, 1.25 × 0.9 = 1.125, 1.25 × 1.4001 = 1.750125.
        let covering = json!({ "50": "1", "95": "1", "99": "1.13", "100": "1.76" });
        assert_eq!(network["markup_covering_percent"], covering);
        let table = table(&rows, &[shares], 12_500);
        assert!(table.contains("1.13 covers 99 %, 1.76 covers 100 %"), "{table}");
        assert!(table.contains("2 of 200 payments under cost"), "{table}");
    }

    #[test]
    fn a_payments_margin_counts_all_its_transactions() {
        let cost = |usdc: Option<u64>, earned| CostEntry {
            network: "eip155:8453".parse().unwrap(),
            transaction: String::new(),
            payment: None,
            native: 1,
            usdc: usdc.map(Amount::new),
            earned,
        };
        let charged = Amount::new(1_000);
        assert_eq!(of_payment(charged, &[]), None, "nothing is booked yet");
        assert_eq!(of_payment(charged, &[cost(Some(700), true)]), Some(300));
        assert_eq!(of_payment(charged, &[cost(Some(700), true), cost(Some(400), false)]), Some(-100));
        assert_eq!(of_payment(charged, &[cost(Some(700), true), cost(None, false)]), None);
    }
}
