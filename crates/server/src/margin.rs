//! `quittance payments margin`: what settling cost against what was charged.

use std::collections::BTreeMap;

use quittance_ledger::Margin;
use quittance_protocol::Amount;
use serde_json::{Value, json};

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

/// Hours by network, in the order of the rows.
fn by_network(rows: &[Margin]) -> BTreeMap<&str, Vec<&Margin>> {
    let mut networks: BTreeMap<&str, Vec<&Margin>> = BTreeMap::new();
    for row in rows {
        networks.entry(row.network.as_str()).or_default().push(row);
    }
    networks
}

/// One document: all hours, and the advice per network.
pub(crate) fn document(rows: &[Margin], markup_bps: u32) -> Value {
    let hours: Vec<Value> = rows.iter().map(hour_document).collect();
    let networks: Vec<Value> = by_network(rows)
        .into_iter()
        .map(|(network, hours)| {
            json!({
                "network": network,
                "markup": decimal(u128::from(markup_bps)),
                "markup_advice": advice(&hours, markup_bps).map(decimal),
                "unpriced": hours.iter().map(|hour| hour.unpriced).sum::<u64>(),
            })
        })
        .collect();
    json!({ "hours": hours, "networks": networks })
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
pub(crate) fn table(rows: &[Margin], markup_bps: u32) -> String {
    let titles =
        ["hour (UTC)", "payments", "charged", "cost", "for nothing", "margin", "least", "median", "p95"];
    let mut text = String::new();
    for (network, hours) in by_network(rows) {
        text.push_str(&format!("{network}\n"));
        let mut lines = vec![titles.map(str::to_owned)];
        lines.extend(hours.iter().map(|row| cells(row)));
        for line in &lines {
            let padded: Vec<String> = line
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let width = lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                })
                .collect();
            text.push_str(&format!("  {}\n", padded.join("  ")));
        }
        text.push_str(&advice_line(&hours, markup_bps));
    }
    if rows.is_empty() {
        text.push_str("no payments in this time\n");
    }
    text
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

fn signed(atomic: i128) -> String {
    let sign = if atomic < 0 { "-" } else { "" };
    format!("{sign}{}", Amount::new(u64::try_from(atomic.unsigned_abs()).unwrap_or(u64::MAX)).to_usdc())
}

/// Basis points as a decimal: 12,500 as `1.25`.
fn decimal(bps: u128) -> String {
    let text = format!("{}.{:04}", bps / MARKUP_ONE, bps % MARKUP_ONE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
        let document = document(&rows, 12_500);
        assert_eq!(document["hours"][0]["margin"], "-750");
        assert_eq!(document["hours"][0]["hour"], "2026-11-23T07:00Z");
        assert_eq!(document["networks"][0]["markup"], "1.25");
        assert!(table(&rows, 12_500).contains("-0.000750"), "{}", table(&rows, 12_500));
    }
}
