//! Which folder of the facilitator may import from which: arrows point downwards only.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{quoted, read, table};
use crate::imports::Imports;

const PAGE: &str = "docs/architecture.md";
const ROOMS: &str = "Which room of the facilitator may use which";
const FOLDER: &str = "crates/facilitator";

/// The first part of a module's path; empty for the crate's root.
fn room(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let rows = table(PAGE, &read(PAGE), ROOMS);
    rows.iter().map(|row| (quoted(&row[0]).concat(), quoted(&row[1]).into_iter().collect())).collect()
}

#[test]
fn every_arrow_between_rooms_is_in_the_table() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    let mut there = BTreeSet::new();
    for (from, to) in Imports::of(FOLDER).arrows() {
        let here = room(&from);
        // The root is the handle, and a part of every room.
        if here.is_empty() {
            continue;
        }
        there.insert(here.to_owned());
        for used in to {
            let is_allowed = allowed.get(here).is_some_and(|may| may.contains(room(&used)));
            if !room(&used).is_empty() && room(&used) != here && !is_allowed {
                wrong.push(format!(
                    "`{from}` imports from `{used}`, which the row of `{here}` does not allow"
                ));
            }
        }
    }
    let named: BTreeSet<_> = allowed.into_keys().collect();
    wrong.extend(there.symmetric_difference(&named).map(|room| format!("`{room}` needs a folder and a row")));
    assert!(
        wrong.is_empty(),
        "{PAGE}, table \"{ROOMS}\":\n  {}\nMove what is shared into a room below both.",
        wrong.join("\n  ")
    );
}

#[test]
fn a_room_may_use_only_what_stands_above_it_in_the_table() {
    let mut above = BTreeSet::new();
    for row in table(PAGE, &read(PAGE), ROOMS) {
        let name = quoted(&row[0]).concat();
        for used in quoted(&row[1]) {
            assert!(
                above.contains(&used),
                "{PAGE}, table \"{ROOMS}\": `{name}` uses `{used}`, which is not above it"
            );
        }
        above.insert(name);
    }
}

#[test]
fn each_room_says_what_it_owns_what_it_may_touch_and_what_frees_what_is_stuck() {
    for name in allowed().into_keys() {
        let path = format!("{FOLDER}/src/{name}/mod.rs");
        if !crate::files::exists(&path) {
            continue;
        }
        let text = read(&path);
        let head = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(
            head >= 4,
            "{path} begins with what it owns, what it may touch and what frees what is stuck in it"
        );
    }
}
