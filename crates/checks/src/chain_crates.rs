//! Which files of the facilitator may name a chain crate: everything else sees a chain through its ports.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{quoted, read, table};
use crate::imports::Imports;

const PAGE: &str = "docs/architecture.md";
const FILES: &str = "Which file of the facilitator may use a chain crate";
const FOLDER: &str = "crates/facilitator";

/// They know what a chain looks like, or how its nodes are asked.
const CHAIN_CRATES: [&str; 3] = ["evm", "solana", "rpc"];

#[test]
fn the_facilitator_names_a_chain_crate_only_where_the_table_says() {
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table(PAGE, &read(PAGE), FILES) {
        for name in quoted(&row[0]) {
            allowed.insert(name, quoted(&row[1]).into_iter().collect());
        }
    }
    let listed: Vec<_> = allowed.keys().map(String::as_str).collect();
    assert_eq!(listed.len(), CHAIN_CRATES.len(), "{PAGE}, table \"{FILES}\": {listed:?}");
    let imports = Imports::of(FOLDER);
    for name in CHAIN_CRATES {
        let users = imports.naming(&format!("quittance-{name}"));
        assert_eq!(
            allowed.get(name),
            Some(&users),
            "{PAGE}, table \"{FILES}\": the files that name `{name}`. What they need of it belongs behind a port of \
             `crates/chain`"
        );
    }
}
