//! A Solana node that remembers less than its upstream.
//!
//! The devnet's node knows the status of every transaction for ever. A validator's
//! `getSignatureStatuses` knows some 300 slots without a history search, and many nodes
//! keep no history to search, with or without saying so.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::Call;

/// What is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgetting {
    /// Slots after which a status is known only to a history search.
    pub after_slots: u64,
    /// Whether there is nothing to search: what is older is unknown to
    /// `getSignatureStatuses`, `getTransaction` and `getSignaturesForAddress` alike,
    /// and no error says why.
    #[serde(default)]
    pub no_history: bool,
}

/// The methods whose answers are read for what time it is.
const SLOTS: [&str; 3] = ["/result/context/slot", "/result/absoluteSlot", "/result/slot"];

impl Forgetting {
    /// Takes out of an answer what this node would not know. `newest` is the newest
    /// slot that any answer has named so far.
    pub(crate) fn apply(self, call: &Call<'_>, answer: &mut Value, newest: &mut u64) {
        let named = SLOTS.iter().filter_map(|place| answer.pointer(place)?.as_u64()).max();
        *newest = (*newest).max(named.unwrap_or(0));
        let old = |of: &Value| {
            of.get("slot")
                .and_then(Value::as_u64)
                .is_some_and(|slot| newest.saturating_sub(slot) > self.after_slots)
        };
        match call.method.as_ref() {
            "getSignatureStatuses" if self.no_history || !searches_history(call) => {
                let statuses = answer.pointer_mut("/result/value").and_then(Value::as_array_mut);
                for status in statuses.into_iter().flatten().filter(|status| old(status)) {
                    *status = Value::Null;
                }
            }
            "getTransaction" if self.no_history && answer.get("result").is_some_and(old) => {
                answer["result"] = Value::Null;
            }
            "getSignaturesForAddress" if self.no_history => {
                let entries = answer.pointer_mut("/result").and_then(Value::as_array_mut);
                if let Some(entries) = entries {
                    entries.retain(|entry| !old(entry));
                }
            }
            _ => {}
        }
    }
}

fn searches_history(call: &Call<'_>) -> bool {
    let params = call.params.and_then(|params| serde_json::from_str::<Value>(params.get()).ok());
    params.is_some_and(|params| params.pointer("/1/searchTransactionHistory") == Some(&json!(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(forgetting: Forgetting, request: &str, mut answer: Value) -> Value {
        let call: Call<'_> = serde_json::from_str(request).unwrap();
        forgetting.apply(&call, &mut answer, &mut 1_000);
        answer
    }

    fn statuses(history: bool) -> String {
        let params = json!([["a", "b", "c"], {"searchTransactionHistory": history}]);
        json!({"method": "getSignatureStatuses", "params": params}).to_string()
    }

    #[test]
    fn old_statuses_are_known_to_a_history_search_alone() {
        let answer =
            json!({"result": {"context": {"slot": 1_000}, "value": [{"slot": 700}, {"slot": 699}, null]}});
        let cache = Forgetting { after_slots: 300, no_history: false };
        let forgot = json!({"context": {"slot": 1_000}, "value": [{"slot": 700}, null, null]});
        assert_eq!(after(cache, &statuses(false), answer.clone())["result"], forgot);
        assert_eq!(after(cache, &statuses(true), answer.clone()), answer);
        let nothing = Forgetting { no_history: true, ..cache };
        assert_eq!(after(nothing, &statuses(true), answer)["result"], forgot);
    }

    #[test]
    fn without_a_history_old_transactions_are_unknown() {
        let cache = Forgetting { after_slots: 300, no_history: false };
        let nothing = Forgetting { no_history: true, ..cache };
        let transaction = r#"{"method": "getTransaction", "params": ["a"]}"#;
        let (old, young) = (json!({"result": {"slot": 699}}), json!({"result": {"slot": 700}}));
        assert_eq!(after(nothing, transaction, old.clone())["result"], Value::Null);
        assert_eq!(after(nothing, transaction, young.clone()), young);
        assert_eq!(after(cache, transaction, old.clone()), old);
        let listed = r#"{"method": "getSignaturesForAddress", "params": ["a"]}"#;
        let list = json!({"result": [{"slot": 990}, {"slot": 1}]});
        assert_eq!(after(nothing, listed, list.clone())["result"], json!([{"slot": 990}]));
        assert_eq!(after(cache, listed, list.clone()), list);
    }
}
