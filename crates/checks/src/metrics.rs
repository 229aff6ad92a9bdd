//! Names and labels of every metric: dashboards and alerts of operators depend on them.

use std::collections::BTreeMap;

use crate::files::{hold, packages, read};
use crate::imports::Imports;

const LIST: &str = "crates/checks/metrics.txt";
const HEAD: &str = "\
# Every metric with its labels, as the code registers them. Made with
#   QUITTANCE_WRITE=1 cargo test -p quittance-checks metrics
# A line that goes or changes breaks somebody's dashboard: keep it, or say so in CHANGELOG.md.
";

/// The metrics that a source file registers: a name, a help text, perhaps more, and the labels.
fn registered(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (index, _) in text.match_indices("\"quittance_") {
        let rest = &text[index + 1..];
        let Some((name, rest)) = rest.split_once('"') else { continue };
        // Prose and queries name metrics too; a registration goes on with its help text.
        let Some(rest) = rest.trim_start().strip_prefix(',') else { continue };
        let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
        let Some((_, rest)) = rest.split_once('"') else { continue };
        let end = rest.find('?').unwrap_or(rest.len());
        let labels =
            rest[..end].split_once("&[").map_or("", |(_, list)| list.split(']').next().unwrap_or(""));
        let labels: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
        found.push((name.to_owned(), labels.join(", ")));
    }
    found
}

fn all() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for folder in packages().into_iter().filter(|folder| folder != "crates/checks") {
        for (name, labels) in Imports::of(&folder).with_strings().flat_map(|text| registered(&text)) {
            assert!(all.insert(name.clone(), labels).is_none(), "{folder}: {name} is registered twice");
        }
    }
    all
}

#[test]
fn metrics_keep_their_names_and_labels() {
    let all = all();
    assert!(all.len() > 20, "where have the registrations gone? {all:?}");
    let lines: String = all.iter().map(|(name, labels)| format!("{name}{{{labels}}}\n")).collect();
    hold(
        LIST,
        &format!("{HEAD}{lines}"),
        "A new metric: QUITTANCE_WRITE=1 cargo test -p quittance-checks metrics",
    );
}

#[test]
fn operations_speaks_of_every_metric() {
    let page = read("docs/operations.md");
    let missing: Vec<_> = all().into_keys().filter(|name| !page.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md says nothing of {missing:?}");
}

#[test]
fn registrations_are_read_with_their_labels() {
    let text = r#"a: make.counter("quittance_a_total", "What", &["network", "state"])?,
        b: make.histogram("quittance_b", "Why", BUCKETS, &["network"])?, c: make.plain_gauge("quittance_c", "x")?,"#;
    let made = |name: &str, labels: &str| (name.to_owned(), labels.to_owned());
    assert_eq!(
        registered(text),
        [
            made("quittance_a_total", "network, state"),
            made("quittance_b", "network"),
            made("quittance_c", "")
        ]
    );
}
