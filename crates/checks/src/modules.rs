//! Which folder of the facilitator may import from which: arrows point downwards only.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{below, exists, quoted, read, table};
use crate::imports::Imports;

const PAGE: &str = "docs/architecture.md";
const MODULES: &str = "Which module of the facilitator may use which";
const FOLDER: &str = "crates/facilitator";

/// The first part of a module's path; empty for the crate's root.
fn top(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let rows = table(PAGE, &read(PAGE), MODULES);
    rows.iter().map(|row| (quoted(&row[0]).concat(), quoted(&row[1]).into_iter().collect())).collect()
}

#[test]
fn every_arrow_between_modules_is_in_the_table() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    let mut there = BTreeSet::new();
    for (from, to) in Imports::of(FOLDER).arrows() {
        let here = top(&from);
        // The root is the handle, and a part of every module.
        if here.is_empty() {
            continue;
        }
        there.insert(here.to_owned());
        for used in to {
            let is_allowed = allowed.get(here).is_some_and(|may| may.contains(top(&used)));
            if !top(&used).is_empty() && top(&used) != here && !is_allowed {
                wrong.push(format!(
                    "`{from}` imports from `{used}`, which the row of `{here}` does not allow"
                ));
            }
        }
    }
    let named: BTreeSet<_> = allowed.into_keys().collect();
    wrong.extend(
        there.symmetric_difference(&named).map(|module| format!("`{module}` needs a folder and a row")),
    );
    assert!(
        wrong.is_empty(),
        "{PAGE}, table \"{MODULES}\":\n  {}\nMove what is shared into a module below both.",
        wrong.join("\n  ")
    );
}

#[test]
fn a_module_may_use_only_what_stands_above_it_in_the_table() {
    let mut above = BTreeSet::new();
    for row in table(PAGE, &read(PAGE), MODULES) {
        let name = quoted(&row[0]).concat();
        for used in quoted(&row[1]) {
            assert!(
                above.contains(&used),
                "{PAGE}, table \"{MODULES}\": `{name}` uses `{used}`, which is not above it"
            );
        }
        above.insert(name);
    }
}

/// The words in which a module says what it may touch.
const MAY_TOUCH: &str = "May touch: ";

/// What stands at the head of a module, in one line.
fn head(path: &str) -> String {
    let text = read(path);
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The modules in the sentence that says what a module may touch; `None` without one.
fn may_touch(head: &str) -> Option<BTreeSet<String>> {
    let (_, rest) = head.split_once(MAY_TOUCH)?;
    let sentence = rest.split_once(". ").map_or(rest, |(sentence, _)| sentence);
    Some(quoted(sentence).into_iter().collect())
}

/// What a head lacks of the three things that each says.
fn lacks(head: &str) -> Vec<&'static str> {
    let said = [
        ("Owns ", "what it owns (\"Owns …\")"),
        (MAY_TOUCH, "which modules it may touch (\"May touch: `…`, `…`.\", or \"no other module\")"),
        ("stuck", "what frees what is stuck in it, or that nothing gets stuck"),
    ];
    said.into_iter().filter(|(words, _)| !head.contains(words)).map(|(_, what)| what).collect()
}

#[test]
fn each_module_says_what_it_owns_what_it_may_touch_and_what_frees_what_is_stuck() {
    let mut wrong = Vec::new();
    for (module, row) in allowed() {
        let folder = format!("{FOLDER}/src/{module}/mod.rs");
        let path = if exists(&folder) { folder } else { format!("{FOLDER}/src/{module}.rs") };
        let head = head(&path);
        wrong.extend(lacks(&head).into_iter().map(|what| format!("{path} does not say {what}")));
        let said = may_touch(&head).unwrap_or_default();
        if said != row {
            wrong.push(format!("{path} says that it may touch {said:?}; its row says {row:?}"));
        }
    }
    assert!(wrong.is_empty(), "{PAGE}, table \"{MODULES}\":\n  {}", wrong.join("\n  "));
}

#[test]
fn a_folder_inside_a_module_says_so_too_and_may_touch_no_more() {
    let mut wrong = Vec::new();
    for (module, row) in allowed() {
        let src = format!("{FOLDER}/src/{module}/");
        if !exists(&src) {
            continue;
        }
        for path in below(src.trim_end_matches('/'), &["mod.rs"]) {
            let inner = path.trim_start_matches(&src).trim_end_matches("mod.rs").trim_end_matches('/');
            if inner.is_empty() || inner.ends_with("tests") {
                continue;
            }
            let head = head(&path);
            wrong.extend(lacks(&head).into_iter().map(|what| format!("{path} does not say {what}")));
            let more: Vec<_> = may_touch(&head).unwrap_or_default().difference(&row).cloned().collect();
            if !more.is_empty() {
                wrong.push(format!("{path} may touch {more:?}, which the row of `{module}` does not allow"));
            }
        }
    }
    assert!(wrong.is_empty(), "{PAGE}, table \"{MODULES}\":\n  {}", wrong.join("\n  "));
}

#[test]
fn a_head_is_read_as_it_is_written() {
    let said = |head| may_touch(head).map(|modules| modules.into_iter().collect::<Vec<_>>());
    assert_eq!(
        said("Owns it. May touch: `b`, `a`. `c` frees what is stuck."),
        Some(vec!["a".into(), "b".into()])
    );
    assert_eq!(said("May touch: no other module."), Some(Vec::new()));
    assert_eq!(said("Owns it; may touch `a`."), None);
    assert_eq!(lacks("Owns it. May touch: `a`. Nothing gets stuck here."), Vec::<&str>::new());
    assert_eq!(lacks("From a payment to a claim.").len(), 3);
}
