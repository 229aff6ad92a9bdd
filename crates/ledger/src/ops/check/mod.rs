//! Whether the rows of a ledger say the same as each other: what no constraint of the schema holds,
//! because it takes several rows to see it. Read in one snapshot, so that whoever works on the ledger
//! meanwhile cannot make a rule look broken; of each rule the first few rows are read, and counted.

mod answers;
mod attempts;
mod books;
mod payments;

use crate::conn::{Row, Tx, params};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::types::{CheckedRule, Violation};

/// A rule, and the statement that finds what breaks it, on either database.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

/// The first violations by name, each with how many there are.
macro_rules! first_of {
    ($sql:expr) => {
        concat!(
            "SELECT what, COALESCE(found, '') AS found, COUNT(*) OVER () AS broken FROM (",
            $sql,
            ") AS violations ORDER BY what, found LIMIT $1"
        )
    };
}
pub(super) use first_of;

/// A rule whose statement is one for both databases, or one for each.
macro_rules! rule {
    ($name:literal, $says:literal, $sql:literal $(,)?) => {
        rule!($name, $says, $sql, $sql)
    };
    ($name:literal, $says:literal, $sqlite:expr, $postgres:expr $(,)?) => {
        $crate::ops::check::Rule {
            name: $name,
            says: $says,
            sqlite: $crate::ops::check::first_of!($sqlite),
            postgres: $crate::ops::check::first_of!($postgres),
        }
    };
}
pub(super) use rule;

/// In the order in which they are told.
fn rules() -> impl Iterator<Item = &'static Rule> {
    [payments::RULES, attempts::RULES, answers::RULES, books::RULES].into_iter().flatten()
}

impl Ledger {
    /// Every rule, with the first rows that break it, `shown_max` at most. Reads whole tables.
    pub async fn check(&self, shown_max: u32) -> Result<Vec<CheckedRule>, LedgerError> {
        self.snapshot(move |tx| Box::pin(async move { check(tx, None, shown_max).await })).await
    }
}

/// All rules, or this one, in whatever transaction `tx` is.
pub(crate) async fn check(
    tx: &mut Tx,
    only: Option<&str>,
    shown_max: u32,
) -> Result<Vec<CheckedRule>, LedgerError> {
    let mut checked = Vec::new();
    for rule in rules().filter(|rule| only.is_none_or(|name| name == rule.name)) {
        let sql = if tx.is_postgres() { rule.postgres } else { rule.sqlite };
        // One row at least: it says how many there are.
        let rows = tx.all(sql, params![i64::from(shown_max.max(1))]).await?;
        let broken = rows.first().map_or(Ok(0), |row| row.unsigned("broken"))?;
        let shown = usize::try_from(shown_max).unwrap_or(usize::MAX);
        let violations = rows.iter().take(shown).map(violation).collect::<Result<_, _>>()?;
        checked.push(CheckedRule { name: rule.name, says: rule.says, broken, violations });
    }
    Ok(checked)
}

fn violation(row: &Row) -> Result<Violation, LedgerError> {
    Ok(Violation { what: row.text("what")?, found: row.text("found")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_a_sentence() {
        let mut names: Vec<_> = rules().map(|rule| rule.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for rule in rules() {
            assert!(rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", rule.name);
            assert!(rule.says.ends_with('.') && rule.says.len() > 20, "{}", rule.says);
        }
    }
}
