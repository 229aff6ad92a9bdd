//! Pages say what is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{below, exists, names, quoted, read, root, table};

/// Pages that describe the code as it is now; decisions and findings describe their day.
fn living_pages() -> Vec<String> {
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md"].map(str::to_owned).to_vec();
    pages.extend(below("docs", &[".md"]).into_iter().filter(|page| !page.starts_with("docs/decisions/")));
    pages.extend(below("crates", &["README.md"]));
    pages.extend(below("examples", &["README.md"]));
    pages
}

fn all_pages() -> Vec<String> {
    let mut pages = living_pages();
    pages.extend(below("docs/decisions", &[".md"]));
    pages.extend(["CHANGELOG.md", "findings/README.md", "catalogs/README.md"].map(str::to_owned));
    pages
}

/// The text without what stands between code fences.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in all_pages() {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        for (index, _) in prose(&read(&page)).match_indices("](") {
            let rest = prose(&read(&page))[index + 2..].to_owned();
            let target = rest.split([')', ' ']).next().unwrap_or_default().to_owned();
            if target.contains("://") || target.is_empty() {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { page.clone() } else { format!("{folder}/{file}") };
            let path = path.trim_start_matches('/').to_owned();
            if !exists(&path) {
                broken.push(format!("{page}: {target}"));
            } else if !anchor.is_empty() && !anchors(&read(&path)).contains(anchor) {
                broken.push(format!("{page}: {target} (no such heading)"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n  {}", broken.join("\n  "));
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// `a/{b,c}.rs` names two files.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((inner, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    inner.split(',').flat_map(|one| expanded(&format!("{before}{}{after}", one.trim()))).collect()
}

fn is_there(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let Some((before, after)) = path.split_once('*') else { return exists(path) };
    let (folder, start) = before.rsplit_once('/').unwrap_or((".", before));
    exists(folder)
        && names(folder).iter().any(|name| match after.split_once('/') {
            None => name.starts_with(start) && name.ends_with(after),
            Some((end, rest)) => {
                name.starts_with(start) && name.ends_with(end) && is_there(&format!("{folder}/{name}/{rest}"))
            }
        })
}

#[test]
fn files_that_pages_name_exist() {
    const TOPS: [&str; 9] = [
        "crates/",
        "tests/",
        "docs/",
        "scripts/",
        "migrations/",
        "deploy/",
        "examples/",
        "catalogs/",
        "findings/",
    ];
    let mut missing = Vec::new();
    for page in living_pages() {
        for text in quoted(&prose(&read(&page))) {
            for word in text.split_whitespace() {
                let word = word.trim_start_matches("./").trim_end_matches([',', '.', ';', ':', '(', ')']);
                let is_path = TOPS.iter().any(|top| word.starts_with(top));
                // A place to be filled in, such as `tests/NAME.mjs`.
                let open = word.contains('<') || word.contains("NAME") || word.contains("NNNN");
                // A crate's page speaks of its own folders, too.
                let own = page.rsplit_once('/').map_or("", |(folder, _)| folder);
                let there = |path: &String| is_there(path) || is_there(&format!("{own}/{path}"));
                if is_path && !open && !expanded(word).iter().all(there) {
                    missing.push(format!("{page}: `{word}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "pages name files that are not there:\n  {}", missing.join("\n  "));
}

/// All code and all tests.
fn sources() -> String {
    let files = below("crates", &[".rs"]).into_iter().chain(below("examples", &[".rs"]));
    files.map(|file| read(&file)).collect()
}

#[test]
fn tests_that_pages_name_exist() {
    let sources = sources();
    let mut missing = Vec::new();
    for page in living_pages() {
        for text in quoted(&prose(&read(&page))) {
            for one in expanded(&text) {
                let name = one.rsplit("::").next().unwrap_or_default();
                // Metrics, columns and codes have underscores too, but not so many words.
                let is_test = name.matches('_').count() >= 4
                    && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                    && !name.starts_with("quittance_");
                if is_test && !sources.contains(name) {
                    missing.push(format!("{page}: `{one}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "pages name tests that are not there:\n  {}", missing.join("\n  "));
}

/// `P3`, `I10` and the like in a text.
fn citations(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let mut found = BTreeSet::new();
    for (index, _) in text.match_indices(['P', 'I']) {
        let word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let digits = text[index + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let before = index.checked_sub(1).is_some_and(word);
        if digits > 0 && digits < 3 && !before && !word(index + 1 + digits) {
            found.insert(text[index..=index + digits].to_owned());
        }
    }
    found
}

#[test]
fn every_promise_and_invariant_cited_is_defined() {
    const PAGE: &str = "docs/invariants.md";
    let page = read(PAGE);
    let mut defined = BTreeSet::new();
    for heading in ["Promises", "Invariants"] {
        for row in table(PAGE, &page, heading) {
            let id = row[0].trim_matches('*').to_owned();
            assert!(!row.last().unwrap().is_empty(), "{PAGE}: {id} names no test");
            defined.insert(id);
        }
    }
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    let mut cited = BTreeSet::new();
    for top in ["crates", "examples", "tests", "migrations", "docs"] {
        for file in below(top, &[".rs", ".mjs", ".sql", ".md"]) {
            for id in citations(&read(&file)) {
                if !defined.contains(&id) {
                    missing.insert(id.clone(), file.clone());
                }
                if !file.starts_with("docs/") {
                    cited.insert(id);
                }
            }
        }
    }
    assert!(missing.is_empty(), "cited, but not in {PAGE}: {missing:?}");
    let unused: Vec<_> = defined.difference(&cited).collect();
    assert!(unused.is_empty(), "{PAGE} defines what no code or test cites: {unused:?}");
}

#[test]
fn every_decision_is_in_the_index() {
    const INDEX: &str = "docs/decisions/README.md";
    let text = read(INDEX);
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in table(INDEX, &text, "Decisions") {
        let file = row[0].split(['(', ')']).nth(1).unwrap_or_default().to_owned();
        assert!(rows.insert(file.clone(), row).is_none(), "{INDEX}: {file} stands twice");
    }
    let files: Vec<_> = names("docs/decisions").into_iter().filter(|name| name != "README.md").collect();
    let numbers: BTreeSet<_> = files.iter().map(|file| &file[..4]).collect();
    assert_eq!(numbers.len(), files.len(), "two decisions have one number: {files:?}");
    for file in &files {
        let page = read(&format!("docs/decisions/{file}"));
        let title = page.lines().next().unwrap_or_default();
        let title =
            title.trim_start_matches(['#', ' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.', ':']);
        let row = rows.remove(file).unwrap_or_else(|| {
            panic!("{INDEX} lacks a row; add\n| [{}]({file}) | {title} | in force | |", &file[..4])
        });
        assert_eq!(row[1], title, "{INDEX}: the title of {file}");
        assert!(
            ["in force", "in part", "superseded"].contains(&row[2].as_str()),
            "{INDEX}: {file} is \"{}\"; say in force, in part or superseded",
            row[2]
        );
        let superseded = row[2] != "in force";
        let by = quoted(&row[3].replace(['[', ']'], "`"));
        assert_eq!(superseded, !by.is_empty(), "{INDEX}: {file}: by which decision?");
        for number in by {
            assert!(numbers.contains(number.as_str()), "{INDEX}: {file}: there is no decision {number}");
            assert!(page.contains(&number), "docs/decisions/{file} does not say that {number} supersedes it");
        }
        let says = page.contains("uperseded");
        assert_eq!(says, superseded, "docs/decisions/{file} and {INDEX} disagree about its status");
    }
    assert!(rows.is_empty(), "{INDEX} has rows for decisions that are not there: {:?}", rows.keys());
}

#[test]
fn each_term_stands_once_in_the_glossary() {
    const PAGE: &str = "docs/glossary.md";
    let text = read(PAGE);
    let mut seen = BTreeSet::new();
    for heading in ["Words of the field", "Words of this project"] {
        let terms: Vec<_> = table(PAGE, &text, heading)
            .into_iter()
            .map(|row| row[0].trim_matches('*').to_lowercase())
            .collect();
        let mut sorted = terms.clone();
        sorted.sort();
        assert_eq!(terms, sorted, "{PAGE}, \"{heading}\": in the order of the alphabet");
        for term in terms {
            assert!(seen.insert(term.clone()), "{PAGE}: {term} stands twice");
        }
    }
    for row in table(PAGE, &text, "Old words and what they become") {
        assert!(
            seen.contains(&row[1].trim_matches('*').to_lowercase()),
            "{PAGE}: {} becomes {}, which is no term",
            row[0],
            row[1]
        );
    }
}

#[test]
fn every_guide_is_linked_and_names_a_test() {
    let page = read("CONTRIBUTING.md");
    for guide in names("docs/guides") {
        assert!(
            page.contains(&format!("docs/guides/{guide}")),
            "CONTRIBUTING.md does not name docs/guides/{guide}"
        );
        let text = read(&format!("docs/guides/{guide}"));
        assert!(text.contains("## What fails if you forget a step"), "docs/guides/{guide}");
    }
    assert!(root().join("CONTRIBUTING.md").exists());
}

#[test]
fn every_script_is_named_where_people_look() {
    let pages: String =
        ["README.md", "CONTRIBUTING.md", "docs/performance.md", "docs/operations.md", "catalogs/README.md"]
            .map(read)
            .concat();
    let decisions: String =
        names("docs/decisions").iter().map(|name| read(&format!("docs/decisions/{name}"))).collect();
    for script in names("scripts").into_iter().filter(|name| !name.contains('.')) {
        let called = format!("scripts/{script}");
        assert!(
            quoted(&pages).iter().any(|text| text.contains(&called))
                || pages.contains(&format!("./{called}"))
                || decisions.contains(&called),
            "no page says what {called} is for"
        );
    }
}
