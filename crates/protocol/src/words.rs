//! Words that are not ours, fit to be logged, stored and passed on.
//!
//! - [`plain_words`]: one bounded line;
//! - [`Words`]: those of a node, without the URL that it was asked at, whose path or
//!   query is often a key;
//! - [`foreign_words`]: those of a database's driver, an object store or an HTTP
//!   client, which may repeat any URL or key that they were given;
//! - [`without_keys`]: a text of many lines, without what may be a private key;
//! - [`log_line`]: the last gate, for whatever a library logs by itself.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

mod foreign;

pub use foreign::{foreign_words, log_line, without_keys};

/// Longest piece of a node's words that is kept, in characters.
pub const WORDS_CHARS_MAX: usize = 240;

/// So much of them is looked at: replacing makes words shorter by far less.
const READ_CHARS_MAX: usize = 16_384;

/// Shorter parts of a URL say nothing, and occur in any text.
const SECRET_CHARS_MIN: usize = 3;

/// A single segment of the path, or value of the query, is as long if it is a key: `rpc`
/// and `base` are words that nodes say.
const KEY_CHARS_MIN: usize = 6;

/// From this length on a part of the URL cannot stand in a result by chance: shorter
/// ones could be part of base64 or hex, and results must stay what they are.
const SECRET_IN_RESULT_CHARS_MIN: usize = 16;

/// Words on one line, bounded: no control character gets into a log or a journal,
/// nothing that turns text around, and nothing invisible.
pub fn plain_words(text: &str) -> String {
    visible(text).take(WORDS_CHARS_MAX).collect()
}

fn visible(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().take(READ_CHARS_MAX).filter(|c| !is_invisible(*c)).map(|c| match c {
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    })
}

/// Zero width, or a change of direction.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}')
}

/// What one endpoint's words may not repeat: the URL it is asked at.
///
/// Providers put keys into the path, the query or the user part of a URL, and some
/// repeat it in their error messages.
#[derive(Clone, Default)]
pub struct Words {
    host: String,
    /// In lower case, the longest first.
    secrets: Vec<String>,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Words {
    /// For an endpoint at `url`.
    pub fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(at);
        let (user, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        let host = host_of(host_port);
        let mut secrets = Vec::new();
        let mut add = |text: &str| {
            for form in [text.to_owned(), percent_decoded(text)] {
                let form = form.to_ascii_lowercase();
                if form.chars().count() >= SECRET_CHARS_MIN && form != host && !secrets.contains(&form) {
                    secrets.push(form);
                }
            }
        };
        if !user.is_empty() || tail.len() > 1 {
            add(url);
            add(&format!("{scheme}://{host_port}{tail}"));
            add(&format!("{host_port}{tail}"));
        }
        add(user);
        user.split(':').for_each(&mut add);
        // As HTTP sends it.
        add(&STANDARD.encode(percent_decoded(user)));
        let (path, query) = tail.split_once(['?', '#']).unwrap_or((tail, ""));
        add(tail);
        add(path);
        add(query);
        query.split(['&', '#']).for_each(&mut add);
        let values = query.split(['&', '#']).filter_map(|pair| Some(pair.split_once('=')?.1));
        path.split('/').chain(values).filter(|part| part.len() >= KEY_CHARS_MIN).for_each(&mut add);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { host, secrets }
    }

    /// The host alone.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A node's words, bounded, on one line, with its host in the place of any part
    /// of the URL.
    pub fn clean(&self, text: &str) -> String {
        let line: String = visible(text).collect();
        self.without_secrets(&line, 0).chars().take(WORDS_CHARS_MAX).collect()
    }

    /// Takes the URL out of every text of a result, however deep.
    pub fn clean_result(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.occurs_in(text) => {
                *text = self.without_secrets(text, SECRET_IN_RESULT_CHARS_MIN);
            }
            Value::Array(list) => list.iter_mut().for_each(|one| self.clean_result(one)),
            Value::Object(map) => map.values_mut().for_each(|one| self.clean_result(one)),
            _ => {}
        }
    }

    /// Whether a result may hold a part of the URL that is long enough to be one.
    pub fn occurs_in(&self, text: &str) -> bool {
        let long = || self.secrets.iter().filter(|secret| secret.len() >= SECRET_IN_RESULT_CHARS_MIN);
        if long().next().is_none() {
            return false;
        }
        let lower = text.to_ascii_lowercase();
        long().any(|secret| lower.contains(secret.as_str()))
    }

    fn without_secrets(&self, text: &str, length_min: usize) -> String {
        let mut out = text.to_owned();
        for secret in self.secrets.iter().filter(|secret| secret.len() >= length_min) {
            let mut found = String::with_capacity(out.len());
            let lower = out.to_ascii_lowercase();
            let mut from = 0;
            for (at, _) in lower.match_indices(secret.as_str()) {
                found.push_str(out.get(from..at).unwrap_or_default());
                found.push_str(&self.host);
                from = at.saturating_add(secret.len());
            }
            if from > 0 {
                found.push_str(out.get(from..).unwrap_or_default());
                out = found;
            }
        }
        out
    }
}

/// Without the port, which is no secret but no name either.
fn host_of(host_port: &str) -> String {
    let end = match host_port.rfind(']') {
        Some(bracket) => bracket.saturating_add(1),
        None => host_port.find(':').unwrap_or(host_port.len()),
    };
    host_port.get(..end).unwrap_or(host_port).to_ascii_lowercase()
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.split_at_checked(2).filter(|_| *first == b'%');
        let byte = pair.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = byte.unwrap_or((*first, tail));
        out.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "Zk9sQ2wYt7RfLp3XnVb8";

    #[test]
    fn a_node_that_repeats_its_url_gives_away_no_key() {
        let rows = [
            format!("https://rpc.example.org/v2/{KEY}"),
            format!("https://rpc.example.org/?apikey={KEY}"),
            format!("https://rpc.example.org:8443/base?x=1&token={KEY}#f"),
            format!("https://user:{KEY}@rpc.example.org/rpc"),
            format!("https://{KEY}@rpc.example.org"),
            format!("https://u%73er:{KEY}@rpc.example.org/"),
        ];
        for url in rows {
            let words = Words::of(&url);
            assert_eq!(words.host(), "rpc.example.org");
            let user = url.split("://").nth(1).unwrap().split('@').next().unwrap().to_owned();
            for said in [
                format!("bad key in {url}"),
                format!("{url}/: forbidden"),
                format!("key {KEY} is over its limit"),
                format!("key {} is over its limit", KEY.to_ascii_uppercase()),
                format!("GET {} failed", url.split("example.org").nth(1).unwrap()),
                format!("a\u{200b}b {}\u{200b}{}", &KEY[..4], &KEY[4..]),
                format!("{}{url}", "x".repeat(230)),
            ] {
                let clean = words.clean(&said);
                assert!(!clean.to_lowercase().contains(&KEY.to_lowercase()), "{said} -> {clean}");
                assert!(!clean.contains(&KEY[..10]), "{said} -> {clean}");
                assert!(clean.chars().count() <= WORDS_CHARS_MAX);
            }
            if url.contains('@') {
                let basic = STANDARD.encode(percent_decoded(&user));
                assert!(!words.clean(&format!("Basic {basic} denied")).contains(&basic));
            }
        }
    }

    #[test]
    fn words_are_one_bounded_line() {
        let words = Words::of("https://rpc.example.org");
        assert_eq!(words.clean("a\r\nERROR b\u{1b}[31m\u{85}\u{2028}c\u{202e}d"), "a  ERROR b [31m  cd");
        assert_eq!(words.clean(&"ü".repeat(5_000)).chars().count(), WORDS_CHARS_MAX);
        assert_eq!(plain_words("a\0b"), "a b");
        assert_eq!(Words::of("http://x.org/base").clean("block base fee"), "block base fee");
        // Nothing to hide: nothing is changed.
        assert_eq!(words.clean("rpc.example.org is down"), "rpc.example.org is down");
    }

    #[test]
    fn results_lose_long_secrets_and_nothing_else() {
        let words = Words::of(&format!("https://rpc.example.org/v2/{KEY}"));
        let mut value =
            json!({"err": [format!("see https://rpc.example.org/v2/{KEY}")], "data": "AA/v2/AAAA=="});
        words.clean_result(&mut value);
        assert_eq!(value, json!({"err": ["see rpc.example.org"], "data": "AA/v2/AAAA=="}));
    }

    #[test]
    fn hosts_of_many_forms() {
        for (url, host) in [
            ("http://127.0.0.1:8545", "127.0.0.1"),
            ("http://[::1]:8545/x", "[::1]"),
            ("https://RPC.Example.org", "rpc.example.org"),
        ] {
            assert_eq!(Words::of(url).host(), host);
        }
    }
}
