//! Nothing is left out in silence: crates, migrations, end-to-end files, guides.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::files::{below, names, packages, read, root};

/// Run by hand or by another file, not a file of tests itself.
const TOOLS: [&str; 2] = ["check-receipts.mjs", "demo.mjs"];

/// The quoted strings of a list in the workspace's manifest.
fn manifest_list(name: &str) -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let start = manifest.find(&format!("\n{name} = [")).unwrap_or_else(|| panic!("Cargo.toml has no {name}"));
    let list = &manifest[start..][..manifest[start..].find(']').unwrap()];
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_package_is_a_member() {
    let packages: BTreeSet<_> = packages().into_iter().collect();
    assert_eq!(manifest_list("members"), packages, "Cargo.toml: members");
    let mut checked_by_default = packages;
    checked_by_default.remove("crates/devnet");
    assert_eq!(
        manifest_list("default-members"),
        checked_by_default,
        "Cargo.toml: default-members are what lints and unit tests look at; only the devnet is too long to build"
    );
}

#[test]
fn every_package_has_a_page() {
    let without: Vec<_> =
        packages().into_iter().filter(|folder| !names(folder).contains(&"README.md".to_owned())).collect();
    assert!(without.is_empty(), "no README.md in {without:?}: it is the crate's documentation");
}

#[test]
fn every_migration_exists_for_both_databases() {
    assert_eq!(
        names("migrations/sqlite"),
        names("migrations/postgres"),
        "migrations/sqlite, migrations/postgres"
    );
    let numbers: Vec<_> = names("migrations/sqlite").iter().map(|name| name[..4].to_owned()).collect();
    let distinct: BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len(), "two migrations have one number: {numbers:?}");
}

/// A file that no list names is run by no database.
#[test]
fn every_migration_is_in_the_list_of_its_database() {
    for database in ["sqlite", "postgres"] {
        let (list, folder) =
            (format!("crates/ledger/src/backend/{database}.rs"), format!("migrations/{database}"));
        let code = read(&list);
        let code = code.split_once("const MIGRATIONS: ").unwrap_or_else(|| panic!("{list}: no MIGRATIONS")).1;
        let parts: Vec<_> = code.split("];").next().unwrap_or_default().split("include_str!(").collect();
        let row = |two: &[&str]| {
            let number = two[0].rsplit('(').next().unwrap_or_default().trim().split(',').next();
            let file = two[1].split(&format!("{folder}/")).nth(1).and_then(|rest| rest.split('"').next());
            let file = file.unwrap_or_else(|| panic!("{list}: a file of another folder: {}", two[1]));
            (number.and_then(|number| number.parse::<u32>().ok()).unwrap_or_default(), file.to_owned())
        };
        let rows: Vec<_> = parts.windows(2).map(row).collect();
        for (number, file) in &rows {
            assert_eq!(format!("{number:04}"), file[..4], "{list}: the number of {file}");
        }
        assert!(rows.is_sorted(), "{list}: oldest first");
        let listed: Vec<_> = rows.into_iter().map(|(_, file)| file).collect();
        assert_eq!(listed, names(&folder), "{list}, MIGRATIONS: every file of {folder}, once");
    }
}

#[test]
fn every_end_to_end_file_is_run_by_exactly_one_step() {
    let listed = Command::new("bash").arg(root().join("scripts/test")).arg("--list").output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        let (step, files) = line.split_once('\t').unwrap_or_else(|| panic!("scripts/test --list: {line}"));
        for file in files.split_whitespace() {
            steps.entry(file.to_owned()).or_default().push(step.to_owned());
        }
    }
    for file in names("tests").into_iter().filter(|name| name.ends_with(".mjs")) {
        let by = steps.remove(&file).unwrap_or_default();
        assert_eq!(by.len(), 1, "tests/{file} is run by the steps {by:?} of scripts/test");
        assert!(
            TOOLS.contains(&file.as_str()) || read(&format!("tests/{file}")).contains("finish();"),
            "tests/{file} must end with finish() of tests/lib/tally.mjs, or it passes when it stops half-way"
        );
    }
    assert!(steps.is_empty(), "scripts/test runs files that are not there: {steps:?}");
}

/// Clones share one cache of compiled tests: a path that was compiled in would be another clone's.
#[test]
fn tests_ask_where_they_are_when_they_run() {
    let call = ["env!(\"", "CARGO_MANIFEST_DIR", "\")"].concat();
    let wrong: Vec<_> =
        below("crates", &[".rs"]).into_iter().filter(|file| read(file).contains(&call)).collect();
    assert!(wrong.is_empty(), "{wrong:?}: use std::env::var(\"CARGO_MANIFEST_DIR\")");
}
