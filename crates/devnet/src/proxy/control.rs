//! The proxy's own calls, under `/__proxy/`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Proxy;
use super::faults::Fault;
use super::forgetting::Forgetting;
use super::frozen::{Frozen, Head};
use super::http::Response;
use super::profile::{self, Profile, Provider};

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Fault>),
    One(Fault),
}

impl From<OneOrMany> for Vec<Fault> {
    fn from(faults: OneOrMany) -> Self {
        match faults {
            OneOrMany::One(fault) => vec![fault],
            OneOrMany::Many(faults) => faults,
        }
    }
}

/// `{"name": "ten_blocks"}`, or a profile as `GET /__proxy/profiles` shows them.
fn read_profile(body: &[u8]) -> Result<Profile, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match value.get("name").and_then(Value::as_str) {
        Some(name) => profile::named().remove(name).ok_or_else(|| format!("no profile {name}")),
        None => serde_json::from_value(value).map_err(|error| error.to_string()),
    }
}

impl Proxy {
    /// Lets the node stand still at the upstream's present head.
    pub(super) async fn freeze(&self) -> Response {
        let block = self.result("eth_blockNumber", json!([])).await;
        let block = block.as_ref().and_then(Value::as_str).and_then(|text| text.strip_prefix("0x"));
        let head = match block.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(number) => Some(Head::Block(number)),
            None => {
                let slot = self.result("getSlot", json!([{"commitment": "confirmed"}])).await;
                slot.as_ref().and_then(Value::as_u64).map(Head::Slot)
            }
        };
        let Some(head) = head else { return Response::json(502, r#"{"error":"no head"}"#) };
        let mut state = self.state();
        // What stands still already stands where it is.
        let frozen = state.frozen.get_or_insert_with(|| Frozen::at(head));
        let (Head::Block(number) | Head::Slot(number)) = frozen.head();
        Response::json(200, json!({"head": number}).to_string())
    }

    async fn result(&self, method: &str, params: Value) -> Option<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.send(request.to_string().into_bytes()).await;
        serde_json::from_slice::<Value>(&response.body).ok()?.get_mut("result").map(Value::take)
    }

    pub(super) fn control(&self, method: &str, command: &str, body: &[u8]) -> Response {
        let ok = |value: Value| Response::json(200, value.to_string());
        let mut state = self.state();
        match (method, command) {
            ("GET", "counts") => ok(json!(state.counts())),
            ("GET", "sent") => ok(json!(state.sent())),
            ("GET", "faults") => ok(json!(state.waiting())),
            ("POST", "faults") => match serde_json::from_slice::<OneOrMany>(body) {
                Ok(faults) => match state.add(faults.into()) {
                    Ok(()) => ok(json!(state.waiting())),
                    Err(problem) => Response::json(400, json!({"error": problem}).to_string()),
                },
                Err(error) => Response::json(400, json!({"error": error.to_string()}).to_string()),
            },
            ("DELETE", "faults") => {
                state.clear_faults();
                ok(json!([]))
            }
            ("POST", "forgetting") => match serde_json::from_slice::<Forgetting>(body) {
                Ok(forgetting) => {
                    state.forgetting = Some(forgetting);
                    ok(json!(state.forgetting))
                }
                Err(error) => Response::json(400, json!({"error": error.to_string()}).to_string()),
            },
            ("DELETE", "forgetting") => {
                state.forgetting = None;
                ok(json!(null))
            }
            ("POST", "reset") => {
                state.reset();
                ok(json!(state.counts()))
            }
            ("DELETE", "frozen") => {
                state.frozen = None;
                ok(json!(null))
            }
            ("GET", "profiles") => ok(json!(profile::named())),
            ("POST", "profile") => match read_profile(body) {
                Ok(profile) => {
                    state.provider = Some(Provider::new(profile.clone()));
                    ok(json!(profile))
                }
                Err(problem) => Response::json(400, json!({"error": problem}).to_string()),
            },
            ("DELETE", "profile") => {
                state.provider = None;
                ok(json!(null))
            }
            _ => Response::json(
                404,
                r#"{"error":"counts, sent, faults, forgetting, frozen, profile or reset"}"#,
            ),
        }
    }
}
