//! `quittance ledger check`: do the books agree with themselves?

use std::path::Path;
use std::process::ExitCode;

use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{CheckedRule, Ledger, LedgerOptions};
use serde_json::{Value, json};

use super::of_this_version;
use crate::{CommandError, print};

/// It could not be looked at; nothing is said about the rows.
const UNREAD: u8 = 2;

pub(super) async fn run(path: &Path, show: u32, as_json: bool) -> Result<ExitCode, CommandError> {
    let rules = match rules(path, show).await {
        Ok(rules) => rules,
        Err(error) => {
            tracing::error!("{}", quittance_protocol::without_keys(&error.to_string()));
            return Ok(ExitCode::from(UNREAD));
        }
    };
    match as_json {
        true => print(&serde_json::to_string_pretty(&document(&rules))?)?,
        false => print(&text(&rules))?,
    }
    Ok(if holds(&rules) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rules(path: &Path, show: u32) -> Result<Vec<CheckedRule>, CommandError> {
    let url = of_this_version(&Config::load(path)?).await?;
    let mut options = LedgerOptions::new("ledger-command");
    options.read_only = true;
    let ledger = Ledger::open(&url, options, Clock::system().now_ms()).await?;
    Ok(ledger.check(show).await?)
}

fn holds(rules: &[CheckedRule]) -> bool {
    rules.iter().all(|rule| rule.broken == 0)
}

fn document(rules: &[CheckedRule]) -> Value {
    let rules_json: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let shown: Vec<Value> =
                rule.violations.iter().map(|one| json!({ "what": one.what, "found": one.found })).collect();
            json!({ "name": rule.name, "says": rule.says, "broken": rule.broken, "shown": shown })
        })
        .collect();
    json!({ "holds": holds(rules), "rules": rules_json })
}

fn text(rules: &[CheckedRule]) -> String {
    let mut text = String::new();
    let mut broken = 0_usize;
    for rule in rules.iter().filter(|rule| rule.broken > 0) {
        broken = broken.saturating_add(1);
        text.push_str(&format!("{}: {} {} rows break it\n", rule.name, rule.says, rule.broken));
        for one in &rule.violations {
            text.push_str(&format!("  {}: {}\n", one.what, one.found));
        }
        let shown = u64::try_from(rule.violations.len()).unwrap_or(u64::MAX);
        if rule.broken > shown {
            text.push_str(&format!("  and {} more\n", rule.broken.saturating_sub(shown)));
        }
    }
    match broken {
        0 => text.push_str(&format!("all {} rules hold", rules.len())),
        broken => text.push_str(&format!("{broken} of {} rules are broken", rules.len())),
    }
    text
}

#[cfg(test)]
mod tests {
    use quittance_ledger::Violation;

    use super::*;

    #[test]
    fn a_broken_rule_is_told_with_how_many_and_what_is_left_out() {
        let whole = CheckedRule { name: "key", says: "A sentence.", broken: 0, violations: Vec::new() };
        let violation = Violation { what: "pay_1".to_owned(), found: "settled".to_owned() };
        let broken = CheckedRule { name: "answer", broken: 3, violations: vec![violation], ..whole.clone() };
        assert_eq!(text(std::slice::from_ref(&whole)), "all 1 rules hold");
        let rules = [whole, broken];
        assert_eq!(
            text(&rules),
            "answer: A sentence. 3 rows break it\n  pay_1: settled\n  and 2 more\n1 of 2 rules are broken"
        );
        assert!(!holds(&rules));
        assert_eq!(document(&rules)["rules"][1]["shown"][0]["what"], "pay_1");
    }
}
