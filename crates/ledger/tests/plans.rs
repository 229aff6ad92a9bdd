//! What requests and frequent timers cost: no statement of theirs reads a table
//! that grows with payments from one end to the other, and none costs more on a
//! day with twenty times the payments. Nothing is timed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::exercise::{exercise, operate};
use common::fill::fill;
use common::{NOW, Store};
use quittance_ledger::testing::plans::{Explainer, Statement, statements};
use quittance_ledger::{LeaseClock, Ledger, LedgerOptions};

/// Rows before a busy day, and after it.
const QUIET: u64 = 1_000;
const BUSY: u64 = 20_000;

/// A busy day's cost over a quiet one's: the depth of an index may grow by a level.
const TIMES_MAX: u64 = 2;
/// What a statement may cost more in any case, in SQLite's steps.
const STEPS_MORE_MAX: u64 = 24;
/// The same in PostgreSQL's blocks: an update that finds no room in its page enters the row anew
/// into each of some fifteen indexes, at two or three blocks each.
const BLOCKS_MORE_MAX: u64 = 48;

/// Tables whose rows are bounded by what is configured, not by payments; or by what was replaced
/// within a day, as the next replacement drops what is older; or by what a UTC day's limit pays for.
const BOUNDED: [&str; 10] = [
    "instances",
    "wallets",
    "answer_object_totals",
    "pruning",
    "merchants",
    "merchant_networks",
    "merchant_keys",
    "merchant_accounts",
    "replaced_slots",
    "account_rents",
];

/// What one database is never asked.
const ONLY_SQLITE: &[&str] = &["FROM instances WHERE name <> $1"];
const ONLY_POSTGRES: &[&str] =
    &["pg_advisory", "FOR UPDATE", "FOR NO KEY UPDATE", "clock_timestamp", "quittance_"];

/// Nodes of PostgreSQL's plans that look at one table.
const INDEX_SCANS: [&str; 3] = ["Index Scan using ", "Index Only Scan using ", "Bitmap Index Scan on "];

struct Seen {
    /// Of requests and of timers shorter than a minute.
    frequent: Vec<Statement>,
    /// Of the start, of operators and of hourly work.
    rare: Vec<Statement>,
    explainer: Explainer,
}

/// A ledger with so many payments of one day, and what was asked of it.
async fn seen(store: &Store, rows: &[(u64, u64)], round: u64) -> Seen {
    let postgres = !store.is_sqlite();
    // Long: some steps are hours later.
    let options = LedgerOptions {
        lease_ms: 1_000_000_000,
        lease_clock: LeaseClock::Database,
        ..LedgerOptions::new("one")
    };
    let ledger = Ledger::open(&store.url, options, NOW).await.unwrap();
    let mut explainer = Explainer::open(&store.url).await.unwrap();
    for (first, last) in rows {
        fill(&mut explainer, *first, *last).await;
    }
    let left = "INSERT INTO instances (name, epoch, lease_until_ms) VALUES ('gone', 1, 0) ON CONFLICT DO NOTHING; \
                UPDATE payments SET owner = 'gone' WHERE id = (SELECT MIN(id) FROM payments \
                WHERE state = 'settled' AND finality IS NULL AND owner = 'one')";
    explainer.run(left.to_owned()).await.unwrap();
    let mut rare = statements(postgres);
    exercise(&ledger, round).await;
    let frequent = statements(postgres);
    operate(&ledger).await;
    rare.extend(statements(postgres));
    ledger.close().await;
    Seen { frequent, rare, explainer }
}

/// A reader of everything; `None`: nothing is wrong with this plan.
fn full_scan(plan: &[String], postgres: bool) -> Option<String> {
    let bounded = |line: &str| BOUNDED.iter().any(|table| line.contains(table));
    let wrong = |(at, line): (usize, &String)| match postgres {
        false => line.starts_with("SCAN") && !line.contains("CONSTANT ROW") && !bounded(line),
        true => {
            let node = INDEX_SCANS.iter().any(|scan| line.contains(scan));
            let below = plan.get(at + 1).map_or("", String::as_str);
            (line.contains("Seq Scan on") && !bounded(line))
                || (node && !below.contains("Index Cond") && !bounded(line))
        }
    };
    plan.iter().enumerate().find(|one| wrong(*one)).map(|(_, line)| line.clone())
}

/// What names one row is found by its name, and not among all that is under way:
/// PostgreSQL's statistics may say that nothing is, while a crowd comes.
fn not_by_its_key(sql: &str, plan: &[String], postgres: bool) -> Option<String> {
    let key = ["id", "payment", "name"].into_iter().find(|key| sql.contains(&format!(" WHERE {key} = $")))?;
    let by_key = plan.iter().any(|line| line.contains("Index Cond") && line.contains(&format!("({key} = ")));
    let bounded = BOUNDED.iter().any(|table| sql.contains(table));
    (postgres && !by_key && !bounded).then(|| format!("not by {key}"))
}

async fn no_full_scan(store: Store) {
    let postgres = !store.is_sqlite();
    let mut seen = seen(&store, &[(1, BUSY)], 0).await;
    let mut wrong = Vec::new();
    for statement in &seen.frequent {
        let plan = seen.explainer.plan(statement).await.unwrap();
        let line = full_scan(&plan, postgres).or_else(|| not_by_its_key(statement.sql, &plan, postgres));
        if let Some(line) = line {
            wrong.push(format!("{}\n  {line}\n  of {plan:#?}", statement.sql));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), seen.frequent.len(), wrong.join("\n\n"));
}

async fn costs(seen: &mut Seen) -> BTreeMap<&'static str, u64> {
    let mut costs = BTreeMap::new();
    for statement in &seen.frequent {
        costs.insert(statement.sql, seen.explainer.cost(statement).await.unwrap());
    }
    costs
}

async fn flat(store: Store) {
    let more_max = if store.is_sqlite() { STEPS_MORE_MAX } else { BLOCKS_MORE_MAX };
    let mut quiet = seen(&store, &[(1, QUIET)], 0).await;
    let quiet = costs(&mut quiet).await;
    let mut busy = seen(&store, &[(QUIET + 1, BUSY)], 1).await;
    let busy = costs(&mut busy).await;
    let dearer = |(sql, cost): &(&&str, &u64)| {
        let before = quiet.get(**sql).copied().unwrap_or_default();
        **cost > before * TIMES_MAX + more_max
    };
    let dearer: Vec<_> = busy.iter().filter(dearer).map(|(sql, cost)| (quiet.get(sql), cost, sql)).collect();
    assert!(dearer.is_empty(), "{dearer:#?}");
    assert!(quiet.values().sum::<u64>() > 0, "nothing was counted");
}

/// SQL in the ledger's source, as far as it stands in one literal.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for literal in source.split('"').skip(1).step_by(2) {
        let mut text = String::new();
        let mut rest = literal;
        while let Some(at) = rest.find("\\\n") {
            text.push_str(&rest[..at]);
            rest = rest[at + 2..].trim_start();
        }
        text.push_str(rest);
        let begins =
            ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|word| text.starts_with(word));
        if begins {
            found.push(text);
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    if folder.is_file() {
        found.push((folder.display().to_string(), fs::read_to_string(folder).unwrap()));
        return;
    }
    for entry in fs::read_dir(folder).unwrap() {
        sources(&entry.unwrap().path(), found);
    }
}

/// The lists above are worth nothing if a statement is not in one of them.
async fn nothing_escapes(store: Store) {
    let postgres = !store.is_sqlite();
    let mut seen = seen(&store, &[(1, 20)], 0).await;
    seen.frequent.append(&mut seen.rare);
    let mut files = Vec::new();
    sources(&Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("src/ops"), &mut files);
    sources(&Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("src/ledger.rs"), &mut files);
    assert!(files.len() > 10, "where is the source?");
    let mut missed = Vec::new();
    let mut known = 0;
    for (file, source) in &files {
        for sql in literals(source) {
            known += 1;
            let run = seen.frequent.iter().any(|statement| statement.sql.contains(&sql));
            let elsewhere = if postgres { ONLY_SQLITE } else { ONLY_POSTGRES };
            if !run && !elsewhere.iter().any(|word| sql.contains(word)) {
                missed.push(format!("{file}: {sql}"));
            }
        }
    }
    assert!(known > 80, "{known} statements are too few: the search is broken");
    assert!(missed.is_empty(), "never run by exercise() or operate():\n{}", missed.join("\n"));
}

/// Nothing asks a database but through `Tx`, which notes what is asked.
#[test]
fn nothing_passes_by_the_list() {
    let mut files = Vec::new();
    sources(&Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("src"), &mut files);
    // `exam.rs` looks at a database that is no ledger yet, for an operator.
    let allowed =
        ["conn.rs", "exam.rs", "backend/sqlite.rs", "backend/postgres.rs", "testing.rs", "testing/plans.rs"];
    for (file, source) in files {
        let direct = source.contains("sqlx::query") || source.contains("sqlx::raw_sql");
        assert!(!direct || allowed.iter().any(|name| file.ends_with(name)), "{file} asks by itself");
    }
}

// The statements of a process are noted in one place: one test at a time.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let _one = ONE.lock().await;
    nothing_escapes(Store::sqlite()).await;
    no_full_scan(Store::sqlite()).await;
    flat(Store::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let _one = ONE.lock().await;
    let Some(store) = Store::postgres().await else { return };
    nothing_escapes(store).await;
    no_full_scan(Store::postgres().await.unwrap()).await;
    flat(Store::postgres().await.unwrap()).await;
}
