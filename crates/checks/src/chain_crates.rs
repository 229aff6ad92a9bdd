//! Which files of the facilitator may name a chain crate: everything else sees a chain through its ports.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{quoted, read, table};
use crate::imports::Imports;

const PAGE: &str = "docs/architecture.md";
const FILES: &str = "Which file of the facilitator may use a chain crate";
const FOLDER: &str = "crates/facilitator";

const CRATES: &str = "Which crate may use which";

/// How nodes are asked; the crates that know what a chain looks like are those that the
/// facilitator may use and that may use the ports.
const RPC: &str = "rpc";
const PORTS: &str = "chain";

fn chain_crates() -> BTreeSet<String> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table(PAGE, &read(PAGE), CRATES) {
        for name in quoted(&row[0]) {
            arrows.insert(name, quoted(&row[1]).into_iter().collect());
        }
    }
    let implements = |name: &String| arrows.get(name).is_some_and(|uses| uses.contains(PORTS));
    let used = arrows["facilitator"].iter().filter(|name| implements(name) || *name == RPC);
    used.cloned().collect()
}

#[test]
fn the_facilitator_names_a_chain_crate_only_where_the_table_says() {
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table(PAGE, &read(PAGE), FILES) {
        for name in quoted(&row[0]) {
            allowed.insert(name, quoted(&row[1]).into_iter().collect());
        }
    }
    let listed: Vec<_> = allowed.keys().map(String::as_str).collect();
    let crates = chain_crates();
    assert!(crates.len() > 2, "{crates:?}");
    assert_eq!(listed.len(), crates.len(), "{PAGE}, table \"{FILES}\": {listed:?}, not {crates:?}");
    let imports = Imports::of(FOLDER);
    for name in &crates {
        let users = imports.naming(&format!("quittance-{name}"));
        assert_eq!(
            allowed.get(name),
            Some(&users),
            "{PAGE}, table \"{FILES}\": the files that name `{name}`. What they need of it belongs behind a port of \
             `crates/chain`"
        );
    }
}
