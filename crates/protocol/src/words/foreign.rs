//! Words of libraries and servers that were given a secret, or may have been.

use super::{WORDS_CHARS_MAX, Words, visible};

/// A line of a log is cut here.
const LINE_CHARS_MAX: usize = 16_384;

/// Ends of names whose values are secrets: `password=…`, `"api_key": "…"`.
const SECRET_NAMES: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "authorization",
    "credential",
];

/// What stands before a credential in a header.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// Shorter words behind those are words.
const CREDENTIAL_CHARS_MIN: usize = 16;

/// What stands in the place of a secret.
const LEFT_OUT: &str = "…";

/// Words of a database's driver, an object store or an HTTP client: bounded, on one
/// line, of each URL the host alone, without values that are named secrets, and
/// without what may be a private key.
pub fn foreign_words(text: &str) -> String {
    let line: String = visible(text).collect();
    let line = without_values(&without_credentials(&with_urls(&line, host_alone)));
    without_keys(&line).chars().take(WORDS_CHARS_MAX).collect()
}

/// One line of a log, as it is written: no control character inside, whatever
/// library wrote it, and no user or password of a URL. With `colours` the
/// sequences that colour a terminal stay.
pub fn log_line(text: &str, colours: bool) -> String {
    let (text, end) = text.strip_suffix('\n').map_or((text, ""), |text| (text, "\n"));
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, after) = rest.split_at(at);
        out.extend(visible(before));
        let colour = colour_of(after).filter(|_| colours);
        out.push_str(colour.unwrap_or(" "));
        rest = after.get(colour.map_or(1, str::len)..).unwrap_or_default();
    }
    out.extend(visible(rest));
    let mut line = with_urls(&out, without_login);
    if let Some((at, _)) = line.char_indices().nth(LINE_CHARS_MAX) {
        line.truncate(at);
    }
    line.push_str(end);
    line
}

/// The text with everything in it that may be a private key left out; lines and
/// colours stay.
pub fn without_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let colour = colour_of(rest);
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let length = colour.map_or(word.max(first.len_utf8()), str::len);
        let (piece, after) = rest.split_at(length);
        out.push_str(if word > 0 && may_be_a_key(piece) { LEFT_OUT } else { piece });
        rest = after;
    }
    out
}

/// 32 bytes of hex somewhere in it, or 64 of base58.
fn may_be_a_key(word: &str) -> bool {
    word.len() >= 80 || word.as_bytes().windows(64).any(|run| run.iter().all(u8::is_ascii_hexdigit))
}

/// `ESC [ digits m` at the start.
fn colour_of(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let length = end.checked_add(3)?;
    parameters.get(end..)?.starts_with('m').then(|| text.get(..length)).flatten()
}

/// Every URL of the line, as far as the next space, as `shown` shows it.
fn with_urls(line: &str, shown: fn(&str) -> String) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, _) = rest.split_at(at);
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let begins = before.trim_end_matches(name).len();
        let (left, url) = rest.split_at(begins);
        let end = url.find(char::is_whitespace).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        out.push_str(left);
        out.push_str(&shown(url));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A password or a path may be a key.
fn host_alone(url: &str) -> String {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let words = Words::of(&without_login(url));
    let host = words.host().trim_end_matches(['"', '\'', ')', '>', ',', ';', '.', ':']);
    format!("{scheme}://{host}")
}

fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A password may hold a slash that nobody escaped.
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}://{rest}"),
        None => url.to_owned(),
    }
}

/// Leaves out the word after `Bearer` and `Basic`.
fn without_credentials(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        let lower = rest.to_ascii_lowercase();
        let next = SCHEMES.iter().filter_map(|scheme| Some(lower.find(scheme)?.saturating_add(scheme.len())));
        let Some((before, after)) = next.min().and_then(|at| rest.split_at_checked(at)) else { break };
        let end = after.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(after.len());
        let (word, after) = after.split_at(end);
        out.push_str(before);
        out.push_str(if word.len() >= CREDENTIAL_CHARS_MIN { LEFT_OUT } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Leaves out the values of what is named like a secret.
fn without_values(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':']) {
        let (name, after) = rest.split_at(at);
        let (sign, after) = after.split_at(1);
        out.push_str(name);
        out.push_str(sign);
        rest = after;
        let name = name.trim_end_matches([' ', '"', '\'']).trim_end_matches('s').to_ascii_lowercase();
        if !SECRET_NAMES.iter().any(|secret| name.ends_with(secret)) {
            continue;
        }
        let value = after.trim_start();
        let space = after.len().saturating_sub(value.len());
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let end = match quote {
            Some(quote) => {
                value.get(1..).and_then(|inner| inner.find(quote)).and_then(|at| at.checked_add(2))
            }
            None => value.find(|c: char| c.is_whitespace() || matches!(c, '&' | ',' | ';' | ')' | '}')),
        };
        let end = end.unwrap_or(value.len());
        if end > 0 {
            out.push_str(after.get(..space).unwrap_or_default());
            out.push_str(LEFT_OUT);
            rest = value.get(end..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Zk9sQ2wYt7RfLp3XnVb8";

    #[test]
    fn whatever_a_driver_repeats_no_secret_is_in_it() {
        let hex = "ab".repeat(32);
        let rows = [
            format!("cannot connect to postgres://shop:{SECRET}@db.internal:5432/books?sslmode=disable"),
            format!("invalid url \"postgresql://shop:pa/ss@{SECRET}@db.internal/books\""),
            format!("host=db.internal user=shop password={SECRET} dbname=books"),
            format!("host=db.internal PASSWORD = 'a {SECRET}' dbname=books"),
            format!("{{\"secret_access_key\": \"{SECRET}\"}} on db.internal"),
            format!("GET http://db.internal/bucket/x?X-Amz-Security-Token={SECRET}&y=1 returned 403"),
            format!("db.internal: header Authorization: Bearer {SECRET}"),
            format!("db.internal: header authorization: Basic {SECRET}=="),
            format!("db.internal: apiKey:{SECRET}"),
            format!("db.internal: Failing row contains (0x{hex}, 5)"),
        ];
        for said in rows {
            let shown = foreign_words(&said);
            assert!(!shown.contains(SECRET) && !shown.contains(&hex), "{said} -> {shown}");
            assert!(!shown.contains("pa/ss"), "{shown}");
            assert!(shown.contains("db.internal"), "{said} -> {shown}");
        }
    }

    #[test]
    fn words_that_hide_nothing_stay_as_they_are() {
        for said in [
            "error returned from database: (code: 13) database or disk is full",
            "password authentication failed for user \"shop\"",
            "could not serialize access due to concurrent update",
            "basic authentication is required, bearer tokens are not taken",
            "syntax error at or near \"payments\"",
        ] {
            assert_eq!(foreign_words(said), said);
        }
        assert_eq!(foreign_words("a\r\nERROR b\u{1b}[31m\u{202e}c"), "a  ERROR b [31mc");
        assert_eq!(foreign_words(&"x ".repeat(5_000)).chars().count(), WORDS_CHARS_MAX);
    }

    #[test]
    fn a_line_of_a_log_is_one_line_whoever_wrote_it() {
        let line = "NOTICE a\nERROR b\u{1b}[2J\u{1b}[31mred\u{202e} http://u:p/q@h/x http://h/y\r\n";
        assert_eq!(log_line(line, false), "NOTICE a ERROR b [2J [31mred http://h/x http://h/y \n");
        assert_eq!(log_line(line, true), "NOTICE a ERROR b [2J\u{1b}[31mred http://h/x http://h/y \n");
        assert_eq!(log_line("no end", true), "no end");
        assert_eq!(log_line("\u{1b}", true), " ");
        assert!(log_line(&"ü".repeat(50_000), true).chars().count() <= LINE_CHARS_MAX);
    }

    #[test]
    fn a_key_in_many_lines_is_left_out_and_an_address_is_not() {
        let (hex, base58) = ("ab".repeat(32), "5".repeat(87));
        let text = format!("error: '0x{hex}'\n\u{1b}[33m{base58}\u{1b}[0m\n");
        assert_eq!(without_keys(&text), "error: '…'\n\u{1b}[33m…\u{1b}[0m\n");
        let address =
            "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
        assert_eq!(without_keys(address), address);
    }
}
