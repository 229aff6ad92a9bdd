//! `docs/errors.md` against the codes, and against who makes them.

use std::collections::{BTreeMap, BTreeSet};

use quittance_protocol::ErrorCode;

use crate::files::{cells, hold, packages, quoted, read, table};
use crate::imports::Imports;

const PAGE: &str = "docs/errors.md";
/// Code, gate, `/verify` and `/settle`, made in, what to do.
const COLUMNS: usize = 5;
/// The column of the table that is made from the code.
const MADE_IN: usize = 3;

/// The crates that build a code into an answer; where it is only compared does not count.
fn makers() -> BTreeMap<&'static str, BTreeSet<String>> {
    let by_variant: BTreeMap<String, &'static str> =
        ErrorCode::ALL.iter().map(|code| (format!("{code:?}"), code.as_str())).collect();
    let mut makers: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for folder in packages() {
        let name = folder.trim_start_matches("crates/");
        if ["protocol", "sim", "devnet", "checks"].contains(&name) {
            continue;
        }
        for text in Imports::of(&folder).texts() {
            let short = text.contains("use ErrorCode as C;").then_some("C::");
            for start in ["ErrorCode::"].into_iter().chain(short) {
                for (index, _) in text.match_indices(start) {
                    let before = &text[..index];
                    let variant: String =
                        text[index + start.len()..].chars().take_while(|c| c.is_alphanumeric()).collect();
                    let after = &text[index + start.len() + variant.len()..];
                    let own = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                    if own && !is_looked_at(before, after) && by_variant.contains_key(&variant) {
                        makers.entry(by_variant[&variant]).or_default().insert(name.to_owned());
                    }
                }
            }
        }
    }
    makers
}

/// Whether the code stands in a pattern or a comparison.
fn is_looked_at(before: &str, after: &str) -> bool {
    let after = after.trim_start_matches(|c: char| c.is_whitespace() || c == ')');
    let before = before.trim_end_matches(|c: char| c.is_whitespace() || c == '(');
    let before = before.strip_suffix("Some").unwrap_or(before).trim_end();
    after.starts_with("=>")
        || after.starts_with("| ")
        || before.ends_with('|')
        || before.ends_with("==")
        || before.ends_with("!=")
}

#[test]
fn the_page_lists_every_code_once() {
    let rows = table(PAGE, &read(PAGE), "Codes");
    let listed: Vec<_> = rows.iter().map(|row| quoted(&row[0]).concat()).collect();
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    for code in &codes {
        assert!(
            listed.iter().any(|one| one == code),
            "{PAGE} lacks `{code}` (crates/protocol/src/error_code.rs)"
        );
    }
    for code in &listed {
        assert!(codes.contains(&code.as_str()), "{PAGE} has `{code}`, which is no code");
    }
    assert_eq!(listed, codes, "{PAGE}: once each, in the order of the enum");
    for row in rows {
        assert_eq!(row.len(), COLUMNS, "{PAGE}: {row:?}");
        assert!(row[COLUMNS - 1].len() > 5, "{PAGE}: what to do about {}?", row[0]);
    }
}

#[test]
fn the_page_says_who_makes_each_code() {
    let makers = makers();
    let mut made = String::new();
    for line in read(PAGE).lines() {
        let mut row = cells(line);
        let code = quoted(&row[0]).concat();
        if line.starts_with("| `") && row.len() == COLUMNS && code.parse::<ErrorCode>().is_ok() {
            let by: Vec<_> = makers.get(code.as_str()).into_iter().flatten().cloned().collect();
            row[MADE_IN] = if by.is_empty() { "*nobody*".to_owned() } else { by.join(", ") };
            let answered = row[1] != "–" || row[2] != "–";
            assert_eq!(
                answered,
                !by.is_empty(),
                "{PAGE}: `{code}` is made in {by:?}; say where it is answered, and how"
            );
            made.push_str(&format!("| {} |\n", row.join(" | ")));
        } else {
            made.push_str(line);
            made.push('\n');
        }
    }
    hold(PAGE, &made, "Write the column anew: QUITTANCE_WRITE=1 cargo test -p quittance-checks errors");
}

/// The gate says 409 of what the facilitator calls a conflict, and of nothing else.
#[test]
fn the_page_says_409_of_every_conflict() {
    let by_variant: BTreeMap<String, &str> =
        ErrorCode::ALL.iter().map(|code| (format!("{code:?}"), code.as_str())).collect();
    let mut conflicts = BTreeSet::new();
    for text in Imports::of("crates/facilitator").texts() {
        for rest in text.split("conflict(").skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix("ErrorCode::") else { continue };
            let variant = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            conflicts.insert(by_variant[variant].to_owned());
        }
    }
    assert!(conflicts.len() > 3, "where has `conflict` gone? {conflicts:?}");
    // The gate, which asked because of its length, says so with its own status.
    conflicts.remove(ErrorCode::BodyTooLarge.as_str());
    let rows = table(PAGE, &read(PAGE), "Codes");
    let listed: BTreeSet<_> =
        rows.iter().filter(|row| row[1].contains("409")).map(|row| quoted(&row[0]).concat()).collect();
    assert_eq!(listed, conflicts, "{PAGE}: the codes whose gate column says 409");
}

#[test]
fn the_page_lists_the_words_about_a_request() {
    const HEADING: &str = "Words about a request to `/verify`, `/settle` or `/accepts`";
    let rows = table(PAGE, &read(PAGE), HEADING);
    let listed: BTreeSet<_> = rows.iter().map(|row| quoted(&row[0]).concat()).collect();
    let text = read("crates/server/src/intake.rs");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let literals = code.split('"').skip(1).step_by(2);
    let is_word =
        |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let words: BTreeSet<_> = literals.filter(is_word).map(str::to_owned).collect();
    assert_eq!(listed, words, "{PAGE}, \"{HEADING}\"");
}

#[test]
fn the_page_lists_the_words_about_a_merchants_key() {
    let rows = table(PAGE, &read(PAGE), "Words about a merchant's key");
    let listed: BTreeSet<_> = rows.iter().map(|row| quoted(&row[0]).concat()).collect();
    let text = read("crates/facilitator/src/admission/merchant/roster.rs");
    let words = text.split("fn as_str(self)").nth(1).and_then(|rest| rest.split("\n    }\n").next());
    let words = words.unwrap_or_default().split('"').skip(1).step_by(2);
    assert_eq!(listed, words.map(str::to_owned).collect(), "{PAGE}");
}

#[test]
fn the_page_lists_the_gates_own_words() {
    let listed: BTreeSet<_> = table(PAGE, &read(PAGE), "Words of the gate alone")
        .iter()
        .map(|row| quoted(&row[0]).concat())
        .collect();
    let mut words = BTreeSet::new();
    for folder in packages() {
        for text in Imports::of(&folder).with_strings() {
            let Some(start) = text.find("impl GateError {") else { continue };
            let Some(code) = text[start..].find("fn code(&self)") else { continue };
            let body = &text[start + code..];
            let body = &body[..body.find("\n    }").unwrap_or(body.len())];
            words.extend(
                body.split("=> \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
            );
        }
    }
    assert!(words.len() > 10, "where has GateError::code gone? {words:?}");
    for word in &words {
        assert!(listed.contains(word), "{PAGE}, \"Words of the gate alone\", lacks `{word}`");
    }
}
