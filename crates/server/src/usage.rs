//! `quittance payments usage`: what prepaid work used of what it reserved.

use std::collections::BTreeMap;

use quittance_ledger::UsageSum;
use serde_json::{Value, json};

use crate::columns::{decimal, percent, table as columns};

/// All of a reserve, in basis points.
const WHOLE_BPS: u64 = 10_000;

/// One document, amounts in atomic units.
pub(crate) fn document(rows: &[UsageSum]) -> Value {
    let products: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "resource": row.resource,
                "product": row.product,
                "answers": row.answers,
                "over_reserve": row.over,
                "reserved": row.reserved,
                "metered": row.metered,
                "charged": row.charged,
                "share_median": decimal(row.share_median_bps.into()),
                "share_p95": decimal(row.share_p95_bps.into()),
                "share_most": decimal(row.share_most_bps.into()),
                "prompt_share_most": decimal(row.prompt_share_most_bps.into()),
                "advice": advice(row),
            })
        })
        .collect();
    json!({ "products": products })
}

/// A table for people, amounts in USDC; shares are metered over reserved.
pub(crate) fn table(rows: &[UsageSum]) -> String {
    let mut resources: BTreeMap<&str, Vec<&UsageSum>> = BTreeMap::new();
    for row in rows {
        resources.entry(&row.resource).or_default().push(row);
    }
    let titles = ["model", "answers", "over", "reserved", "used", "median", "p95", "most", "prompt, most"];
    let mut text = String::new();
    for (resource, rows) in resources {
        text.push_str(&format!("{resource}\n"));
        text.push_str(&columns(titles, rows.iter().map(|row| cells(row))));
        for row in rows {
            if let Some(advice) = advice(row) {
                text.push_str(&format!("  {}: {advice}\n", row.product));
            }
        }
    }
    if rows.is_empty() {
        text.push_str("no answers with a reported usage in this time\n");
    }
    text
}

fn cells(row: &UsageSum) -> [String; 9] {
    [
        row.product.clone(),
        row.answers.to_string(),
        row.over.to_string(),
        row.reserved.to_usdc(),
        row.metered.to_usdc(),
        percent(row.share_median_bps),
        percent(row.share_p95_bps),
        percent(row.share_most_bps),
        percent(row.prompt_share_most_bps),
    ]
}

/// What to change, if anything was sold under what it used.
fn advice(row: &UsageSum) -> Option<String> {
    if row.prompt_share_most_bps > WHOLE_BPS {
        // Rounded up to a hundredth, so that the factor covers what was seen.
        let factor = decimal(u128::from(row.prompt_share_most_bps.div_ceil(100)) * 100);
        return Some(format!(
            "prompts are longer than counted: prompt_tokens_factor = \"{factor}\" covers them"
        ));
    }
    (row.over > 0).then(|| {
        "answers used more than their reserve: the host must cap them at the output that was priced"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use quittance_protocol::Amount;

    use super::*;

    fn row(over: u64, share_most_bps: u64, prompt_share_most_bps: u64) -> UsageSum {
        UsageSum {
            resource: "POST /v1/chat/completions".to_owned(),
            product: "claude-haiku-4-5".to_owned(),
            answers: 7,
            over,
            reserved: Amount::new(329_000),
            metered: Amount::new(3_290),
            charged: Amount::new(329_000),
            share_median_bps: 100,
            share_p95_bps: 250,
            share_most_bps,
            prompt_share_most_bps,
        }
    }

    #[test]
    fn reserves_that_hold_need_no_advice() {
        let rows = [row(0, 9_999, 10_000)];
        assert_eq!(document(&rows)["products"][0]["advice"], Value::Null);
        assert_eq!(document(&rows)["products"][0]["share_p95"], "0.025");
        let table = table(&rows);
        assert!(table.contains("0.329000  0.003290"), "{table}");
        assert_eq!(table.lines().count(), 3, "{table}");
    }

    #[test]
    fn reserves_that_do_not_hold_are_explained() {
        let longer = document(&[row(0, 5_000, 12_301)]);
        assert!(
            longer["products"][0]["advice"].as_str().unwrap().contains("prompt_tokens_factor = \"1.24\"")
        );
        let more = table(&[row(1, 13_000, 9_000)]);
        assert!(more.contains("claude-haiku-4-5: answers used more"), "{more}");
        assert!(table(&[]).contains("no answers"));
    }
}
