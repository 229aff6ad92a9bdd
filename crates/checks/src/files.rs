//! Reading the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    // Asked when the test runs: clones that share a cache share the compiled test, too.
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("run with cargo");
    Path::new(&here).join("../..").canonicalize().unwrap()
}

/// A file of the repository, by its path from the top.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether there is such a file or folder.
pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file below a folder with one of these endings, by its path from the top, sorted.
pub(crate) fn below(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for name in names(&folder) {
            let path = format!("{folder}/{name}");
            if name == "node_modules" || name == "target" {
                continue;
            }
            if root().join(&path).is_dir() {
                open.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Folders of all packages of the workspace.
pub(crate) fn packages() -> Vec<String> {
    let folders =
        |top: &str| names(top).into_iter().map(move |name| format!("{top}/{name}")).collect::<Vec<_>>();
    let mut all = folders("crates");
    all.extend(folders("examples"));
    all.retain(|folder| exists(&format!("{folder}/Cargo.toml")));
    all
}

/// The rows of the first table below a heading, each as its trimmed cells, without the head.
pub(crate) fn table(page: &str, text: &str, heading: &str) -> Vec<Vec<String>> {
    let start = text
        .lines()
        .position(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == heading)
        .unwrap_or_else(|| panic!("{page} has no heading \"{heading}\""));
    let rows: Vec<_> = text
        .lines()
        .skip(start + 1)
        .skip_while(|line| !line.starts_with('|') && !line.starts_with('#'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
        .collect();
    assert!(!rows.is_empty(), "{page} has no table below \"{heading}\"");
    rows
}

/// The cells of one row of a table.
pub(crate) fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect()
}

/// What stands between backticks in a text.
pub(crate) fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Compares a file that is made from the code, or writes it with `QUITTANCE_WRITE=1`.
pub(crate) fn hold(path: &str, made: &str, advice: &str) {
    if std::env::var_os("QUITTANCE_WRITE").is_some() {
        fs::write(root().join(path), made).unwrap();
        return;
    }
    let stands = if exists(path) { read(path) } else { String::new() };
    if stands == made {
        return;
    }
    let gone = stands.lines().filter(|line| !made.lines().any(|other| other == *line));
    let fresh = made.lines().filter(|line| !stands.lines().any(|other| other == *line));
    let difference: Vec<_> =
        gone.map(|line| format!("- {line}")).chain(fresh.map(|line| format!("+ {line}"))).collect();
    panic!("{path} does not agree with the code:\n{}\n{advice}", difference.join("\n"));
}
