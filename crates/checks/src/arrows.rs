//! The allowed arrows between crates, and where each outside package stops.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{packages, quoted, read, table};

const PAGE: &str = "docs/architecture.md";
const CRATES: &str = "Which crate may use which";
const OUTSIDE: &str = "Where outside packages stop";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Shipped,
    Tests,
}

/// The packages that a manifest depends on, with the section that names each.
fn dependencies(folder: &str) -> Vec<(String, Kind)> {
    let mut found = Vec::new();
    let mut section = None;
    for line in read(&format!("{folder}/Cargo.toml")).lines() {
        if line.starts_with('[') {
            section = match line.trim() {
                "[dependencies]" => Some(Kind::Shipped),
                "[dev-dependencies]" => Some(Kind::Tests),
                other => {
                    assert!(
                        !other.contains("dependencies"),
                        "{folder}/Cargo.toml: write {other} as a line of [dependencies], or teach this test"
                    );
                    None
                }
            };
        } else if let Some(kind) = section {
            let name: String =
                line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            if !name.is_empty() {
                found.push((name, kind));
            }
        }
    }
    found
}

/// `crates/evm` is `evm` in the tables.
fn short(folder: &str) -> &str {
    folder.trim_start_matches("crates/")
}

/// A dependency of ours by its short name; the program's package is called like the project.
fn ours(name: &str) -> Option<&str> {
    name.strip_prefix("quittance-")
}

fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let rows = table(PAGE, &read(PAGE), CRATES);
    rows.iter().map(|row| (quoted(&row[0]).concat(), quoted(&row[1]).into_iter().collect())).collect()
}

#[test]
fn every_arrow_between_crates_is_in_the_table() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for folder in packages() {
        let name = short(&folder);
        let Some(may) = allowed.get(name) else {
            wrong
                .push(format!("`{name}` has no row; add one that says what it may use and what lives there"));
            continue;
        };
        for (dependency, _) in dependencies(&folder) {
            let Some(used) = ours(&dependency) else { continue };
            if used != name && !may.contains(used) {
                wrong.push(format!("`{name}` uses `{used}`, which its row does not allow"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{PAGE}, table \"{CRATES}\":\n  {}\nAn arrow that is meant belongs into the second column of its row, \
         with a sentence in the change that says why; any other is a file in the wrong crate.",
        wrong.join("\n  ")
    );
}

#[test]
fn the_table_names_no_crate_that_is_not_there() {
    let there: BTreeSet<_> = packages().iter().map(|folder| short(folder).to_owned()).collect();
    let named: BTreeSet<_> = allowed().into_keys().collect();
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "{PAGE}, table \"{CRATES}\", has rows for crates that are not there: {gone:?}");
}

#[test]
fn allowed_arrows_point_downwards() {
    let allowed = allowed();
    for start in allowed.keys() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = allowed[start].iter().collect();
        while let Some(next) = open.pop() {
            assert_ne!(next, start, "{PAGE}, table \"{CRATES}\": `{start}` reaches itself");
            if seen.insert(next) {
                open.extend(allowed.get(next).into_iter().flatten());
            }
        }
    }
}

#[test]
fn outside_packages_stop_where_the_table_says() {
    let rows = table(PAGE, &read(PAGE), OUTSIDE);
    let mut wrong = Vec::new();
    for row in &rows {
        let homes: BTreeSet<_> = quoted(&row[1]).into_iter().collect();
        for pattern in quoted(&row[0]) {
            for folder in packages() {
                let shipped = dependencies(&folder).into_iter().filter(|(_, kind)| *kind == Kind::Shipped);
                for (name, _) in shipped {
                    let is_it = match pattern.strip_suffix('*') {
                        Some(start) => name.starts_with(start),
                        None => name == pattern,
                    };
                    if is_it && !homes.contains(short(&folder)) {
                        wrong.push(format!("`{}` depends on `{name}`", short(&folder)));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{PAGE}, table \"{OUTSIDE}\":\n  {}\nIf it is meant, add the crate to that row's second column.",
        wrong.join("\n  ")
    );
}
