//! A provider's limits, and the words that it puts them in.
//!
//! The named ones follow what providers document or answer publicly: a range of blocks
//! for `eth_getLogs`, a rate, and methods that a plan does not include.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::call::Call;
use super::http::Response;

/// How a refusal looks on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// HTTP status.
    #[serde(default = "ok")]
    pub status: u16,
    /// JSON-RPC error object; `{max}` in its message becomes the range.
    #[serde(default)]
    pub error: Option<Value>,
    /// Instead of an error: the whole body, whatever it is.
    #[serde(default)]
    pub body: Option<String>,
    /// Instead of an error: a `null` result.
    #[serde(default)]
    pub null: bool,
    /// Seconds in `Retry-After`.
    #[serde(default)]
    pub retry_after: Option<u32>,
    /// How late it comes.
    #[serde(default)]
    pub delay_ms: u64,
    /// Whether only calls with this text in their parameters are refused.
    #[serde(default)]
    pub containing: Option<String>,
}

fn ok() -> u16 {
    200
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Most blocks of one `eth_getLogs`.
    #[serde(default)]
    pub log_blocks_max: Option<u64>,
    /// What is said to more of them.
    #[serde(default)]
    pub log_refusal: Option<Refusal>,
    /// Methods that are refused.
    #[serde(default)]
    pub refused: BTreeMap<String, Refusal>,
    /// Calls in one second.
    #[serde(default)]
    pub calls_per_second: Option<u32>,
    /// What is said to more of them.
    #[serde(default)]
    pub rate_refusal: Option<Refusal>,
}

/// A profile at work.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) profile: Profile,
    second: Option<(Instant, u32)>,
}

/// An answer of the provider's own.
pub(crate) struct Refused {
    pub(crate) response: Response,
    pub(crate) delay: Duration,
}

impl Provider {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { profile, second: None }
    }

    /// What the provider answers itself; `None`: the node is asked.
    pub(crate) fn answer(&mut self, call: &Call<'_>, now: Instant) -> Option<Refused> {
        let is_over = self.is_over_its_rate(now);
        let Profile { log_blocks_max, log_refusal, refused, rate_refusal, .. } = &self.profile;
        let params = call.params.map_or("", |params| params.get());
        let applies =
            |refusal: &&Refusal| refusal.containing.as_ref().is_none_or(|text| params.contains(text));
        let max = log_blocks_max.filter(|max| call.method == "eth_getLogs" && range(params) > *max);
        let refusal = match refused.get(call.method.as_ref()).filter(applies) {
            Some(refusal) => Some(refusal.clone()),
            None if max.is_some() => log_refusal.clone(),
            None if is_over => rate_refusal.clone(),
            None => None,
        };
        refusal.map(|refusal| refusal.of(call, max.unwrap_or(0)))
    }

    fn is_over_its_rate(&mut self, now: Instant) -> bool {
        let Some(max) = self.profile.calls_per_second else { return false };
        let (since, count) = match self.second {
            Some((since, count)) if now.duration_since(since) < Duration::from_secs(1) => (since, count),
            _ => (now, 0),
        };
        self.second = Some((since, count.saturating_add(1)));
        count >= max
    }
}

impl Refusal {
    fn of(self, call: &Call<'_>, max: u64) -> Refused {
        let id = call.id.map_or("null", |id| id.get());
        let body = match (self.body, self.error, self.null) {
            (Some(body), _, _) => body,
            (None, Some(error), _) => {
                let error = error.to_string().replace("{max}", &max.to_string());
                format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
            }
            (None, None, true) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":null}}"#),
            (None, None, false) => String::new(),
        };
        let response = Response { retry_after: self.retry_after, ..Response::json(self.status, body) };
        Refused { response, delay: Duration::from_millis(self.delay_ms) }
    }
}

/// Blocks that a question for logs names.
fn range(params: &str) -> u64 {
    let params: Value = serde_json::from_str(params).unwrap_or_default();
    let bound = |field: &str| {
        let text = params.pointer(&format!("/0/{field}"))?.as_str()?.strip_prefix("0x")?;
        u64::from_str_radix(text, 16).ok()
    };
    match bound("fromBlock").zip(bound("toBlock")) {
        Some((first, last)) => last.saturating_sub(first).saturating_add(1),
        None => 1,
    }
}

fn error(status: u16, code: i64, message: &str) -> Refusal {
    Refusal { status, error: Some(json!({"code": code, "message": message})), ..Refusal::default() }
}

fn with_data(mut refusal: Refusal, data: Value) -> Refusal {
    if let Some(error) = refusal.error.as_mut() {
        error["data"] = data;
    }
    refusal
}

impl Default for Refusal {
    fn default() -> Self {
        Self {
            status: 200,
            error: None,
            body: None,
            null: false,
            retry_after: None,
            delay_ms: 0,
            containing: None,
        }
    }
}

fn limits(blocks: u64, refusal: Refusal, calls: u32, rate: Refusal) -> Profile {
    Profile {
        log_blocks_max: Some(blocks),
        log_refusal: Some(refusal),
        calls_per_second: Some(calls),
        rate_refusal: Some(rate),
        refused: BTreeMap::new(),
    }
}

fn forbidden(method: &str) -> (String, Refusal) {
    (method.to_owned(), error(403, -32600, "this method is not in your plan"))
}

/// Alchemy: the limit of the rate is HTTP 429, its free tier shows logs of ten blocks.
fn alchemy(blocks: u64, words: &str, calls: u32, retry_after: Option<u32>) -> Profile {
    let busy = error(429, 429, "Your app has exceeded its compute units per second capacity.");
    limits(blocks, error(400, -32600, words), calls, Refusal { retry_after, ..busy })
}

/// A public endpoint over QuickNode: the limit of the rate comes in an ordinary answer.
fn public() -> Profile {
    let words = "50/second request limit reached - reduce calls per second or upgrade your account";
    let range = error(200, -32005, "block range is limited to {max}");
    Profile {
        refused: [forbidden("eth_getTransactionReceipt"), forbidden("getTransaction")].into(),
        ..limits(50, range, 50, error(200, -32007, words))
    }
}

/// In the words of Chainstack, which says for how long in the body; and without a history of addresses.
fn pruned() -> Profile {
    let busy = error(200, -32005, "You've exceeded the RPS limit available on the current plan.");
    let busy = with_data(busy, json!({"try_again_in": "700ms"}));
    Profile {
        refused: [forbidden("getSignaturesForAddress")].into(),
        ..limits(2_000, error(200, -32000, "Block range limit exceeded."), 25, busy)
    }
}

/// In the words of Infura, which says for how long in the body of a 429; and forgets transactions.
fn infura() -> Profile {
    let rate = json!({"rate": {"allowed_rps": 50, "backoff_seconds": 1.5, "current_rps": 51.3}});
    let busy = with_data(error(429, -32005, "project ID request rate exceeded"), rate);
    Profile {
        refused: [("getTransaction".to_owned(), Refusal { null: true, ..Refusal::default() })].into(),
        ..limits(10_000, error(200, -32602, "range exceeds limit of {max}"), 50, busy)
    }
}

/// The profiles by name.
pub fn named() -> BTreeMap<&'static str, Profile> {
    let free = "Under the Free tier plan, you can make eth_getLogs requests with up to a {max} block range.";
    let paid = "You can make eth_getLogs requests with up to a {max} block range.";
    let list = [
        ("ten_blocks", alchemy(10, free, 25, Some(1))),
        ("fifty_blocks", public()),
        ("five_hundred_blocks", alchemy(500, paid, 50, None)),
        ("two_thousand_blocks", pruned()),
        ("ten_thousand_blocks", infura()),
    ];
    list.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(provider: &mut Provider, text: &str) -> Option<Refused> {
        provider.answer(&serde_json::from_str(text).unwrap(), Instant::now())
    }

    #[tokio::test]
    async fn a_profile_limits_ranges_in_its_own_words() {
        let mut provider = Provider::new(named().remove("ten_blocks").unwrap());
        let logs = |last: &str| {
            format!(
                r#"{{"id":7,"method":"eth_getLogs","params":[{{"fromBlock":"0x1","toBlock":"{last}"}}]}}"#
            )
        };
        assert!(ask(&mut provider, &logs("0xa")).is_none());
        let refused = ask(&mut provider, &logs("0xb")).unwrap();
        assert_eq!(refused.response.status, 400);
        let body: Value = serde_json::from_slice(&refused.response.body).unwrap();
        assert_eq!((body["id"].as_u64(), body["error"]["code"].as_i64()), (Some(7), Some(-32600)));
        assert!(body["error"]["message"].as_str().unwrap().contains("up to a 10 block range"));
    }

    #[tokio::test]
    async fn more_calls_than_the_rate_hear_when_to_come_again() {
        let mut provider = Provider::new(named().remove("two_thousand_blocks").unwrap());
        let refused = (0..30).filter_map(|_| ask(&mut provider, r#"{"id":1,"method":"getSlot"}"#));
        let refused: Vec<_> = refused.collect();
        assert_eq!(refused.len(), 5);
        let said: Value = serde_json::from_slice(&refused[0].response.body).unwrap();
        assert_eq!(
            (refused[0].response.status, &said["error"]["data"]["try_again_in"]),
            (200, &json!("700ms"))
        );
        assert!(ask(&mut provider, r#"{"id":1,"method":"getSignaturesForAddress"}"#).is_some());
    }
}
