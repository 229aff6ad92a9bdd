//! Only the ledger may say that bytes are durable (invariant I2).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            rust_files(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

/// Modules declared as `#[cfg(test)] mod name;`.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    let declarations = text.split("#[cfg(test)]").skip(1);
    declarations
        .filter_map(|rest| rest.trim_start().strip_prefix("mod ")?.split_once(';').map(|(name, _)| name))
}

/// The text before an inline test module, without blanks, so that line breaks hide nothing.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn only_the_ledger_implements_durable_attempt() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let crates = Path::new(&here).parent().unwrap();
    let mut implementors = Vec::new();
    let mut searched = 0;
    for entry in std::fs::read_dir(crates).unwrap() {
        let source = entry.unwrap().path().join("src");
        let mut files = Vec::new();
        if source.is_dir() {
            rust_files(&source, &mut files);
        }
        let texts: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let only_tests: Vec<_> = texts.iter().flat_map(|text| test_modules(text)).collect();
        for (file, text) in files.iter().zip(&texts) {
            searched += 1;
            let name = file.file_stem().unwrap().to_string_lossy();
            if !only_tests.contains(&&*name) && without_tests(text).contains("DurableAttempt for ") {
                implementors.push(file.strip_prefix(crates).unwrap().to_owned());
            }
        }
    }
    assert!(searched > 20, "the search itself found only {searched} files");
    assert_eq!(implementors, [Path::new("ledger/src/token.rs")]);
}
