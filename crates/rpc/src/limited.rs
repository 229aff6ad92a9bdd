//! An error by which a provider says that it was asked too much, under whatever HTTP status.
//!
//! Some providers answer 429, and some put the same into an ordinary answer: a code of their own and a
//! sentence. The codes mean something else at the next provider, and to nodes of another chain (-32005 is
//! also "node is behind" and "too many results"), so it is the sentence that is read, and only the codes
//! that are 429 in another guise count alone. These are the words of providers, which serve several chains
//! with one gateway; the words of nodes are read by the chain crates.
//!
//! Two sentences look alike and mean another thing. One is about the *size* of a question (blocks, results):
//! that question is to be made smaller, and the endpoint may be asked on. The other was written by
//! a contract that ran: whoever deploys one would have a switch that silences our endpoints.

use std::time::Duration;

use serde_json::Value;

use crate::node_error::NodeError;

/// 429, as Alchemy and the public endpoints of Solana write it, and as Helius does.
const CODES: [i64; 2] = [429, -32_429];

/// What a provider says who was asked too often, in small letters. In brackets who says so, from their
/// documentation or public answers.
const TOO_OFTEN: [&str; 20] = [
    // Infura ("request rate limited"), Ankr ("call rate limit exhausted"), Base's public endpoint ("over
    // rate limit"), Tenderly, Helius ("rate limited"), dRPC.
    "rate limit",
    "rate-limit",
    "ratelimit",
    // Infura ("project ID request rate exceeded").
    "rate exceeded",
    // Infura ("daily request count exceeded").
    "request count exceeded",
    // QuickNode ("25/second request limit reached", "daily request limit reached").
    "request limit reached",
    "request limit exceeded",
    // QuickNode, Solana's public endpoints ("too many requests for a specific RPC call"), Ankr; dRPC
    // ("too many request, try again later").
    "too many request",
    "requests per second",
    "requests per minute",
    "calls per second",
    // Chainstack ("you've exceeded the RPS limit available on the current plan").
    "rps limit",
    // Alchemy ("exceeded its compute units per second capacity", "monthly capacity limit exceeded").
    "compute units per second",
    "capacity limit exceeded",
    // QuickNode ("credits limited to 6000/sec").
    "credits limited",
    "concurrent requests",
    "compute unit quota",
    "exceeded the quota",
    "reached the quota",
    "quota exceeded",
];

/// Words about the size of a question.
const TOO_MUCH: [&str; 6] =
    ["range", "blocks", "results", "returned more than", "response size", "size exceeded"];

/// Fields of `data`, or of `data.rate`, in which a provider says for how long: Infura (seconds), Chainstack
/// (`"8.5ms"`), and what HTTP calls it.
const FOR_HOW_LONG: [&str; 6] = [
    "backoff_seconds",
    "try_again_in",
    "retry_after",
    "retryAfter",
    "retry_after_seconds",
    "retryAfterSeconds",
];

/// What stands before the time where it is in the sentence: Ankr ("retry in 10s", "retry in 10m0s").
const BEFORE_THE_TIME: [&str; 4] = ["retry in ", "try again in ", "retry after ", "try_again_in "];

/// Whether the endpoint wants to be asked less.
pub(crate) fn is_limit(error: &NodeError) -> bool {
    let words = error.message.to_ascii_lowercase();
    let says = |list: &[&str]| list.iter().any(|phrase| words.contains(phrase));
    if was_run(error, &words) {
        return false;
    }
    error.code.is_some_and(|code| CODES.contains(&code)) || (says(&TOO_OFTEN) && !says(&TOO_MUCH))
}

/// Whether the words may be a contract's: a call that was run and failed.
fn was_run(error: &NodeError, words: &str) -> bool {
    let is_bytes = |data: &Value| data.as_str().is_some_and(|text| text.starts_with("0x"));
    error.code == Some(3)
        || ["revert", "execution", "simulation"].iter().any(|phrase| words.contains(phrase))
        || error.data.as_ref().is_some_and(is_bytes)
}

/// For how long, as far as it says.
pub(crate) fn said_for(error: &NodeError) -> Option<Duration> {
    let data = error.data.as_ref();
    let places = [data, data.and_then(|data| data.get("rate"))];
    let field = |place: &Value| FOR_HOW_LONG.iter().find_map(|name| time(place.get(name)?));
    places.into_iter().flatten().find_map(field).or_else(|| {
        let words = error.message.to_ascii_lowercase();
        let rest = |phrase: &&str| words.split_once(phrase).map(|(_, rest)| rest.to_owned());
        let rest = BEFORE_THE_TIME.iter().find_map(rest)?;
        duration(rest.split([' ', ',', ';', ')', '"']).next()?.trim_end_matches('.'))
    })
}

/// A number of seconds, or a text.
fn time(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(seconds) => duration(&seconds.to_string()),
        Value::String(text) => duration(text.trim()),
        _ => None,
    }
}

/// `10`, `2.5s`, `10m0s`, `8.5ms`: numbers with units; without one it is seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut nanos: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        nanos = nanos.saturating_add(times(number, nanos_of(unit)?)?);
        rest = after;
    }
    Some(Duration::from_nanos(nanos))
}

fn nanos_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "" | "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal number of units, in nanoseconds; what is below one is cut off.
fn times(number: &str, unit_nanos: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut nanos = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? }.saturating_mul(unit_nanos);
    let mut tenth = unit_nanos;
    for digit in fraction.chars() {
        tenth /= 10;
        nanos = nanos.saturating_add(u64::from(digit.to_digit(10)?).saturating_mul(tenth));
    }
    // A dot alone is no number.
    (!(whole.is_empty() && fraction.is_empty())).then_some(nanos)
}

#[cfg(test)]
mod tests;
