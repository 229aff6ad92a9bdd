//! A node that answers and stands still: its head is where it was when it froze, and it
//! passes on nothing that it is given.
//!
//! Requests of several calls go through as they are: nobody here sends any.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::call::Call;

/// More answers than this are not kept; what is asked later goes through.
const KEPT_MAX: usize = 1_024;

/// Where the head stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Block(u64),
    Slot(u64),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Frozen {
    head: Head,
    /// Answers that move with the head, as they were when first asked for.
    kept: HashMap<String, Value>,
}

/// What becomes of a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Way {
    /// The node answers this; the upstream sees nothing.
    Answer(Value),
    /// The upstream is asked with these parameters, and its answer trimmed.
    Ask(Value),
}

/// Solana methods whose answers move with the head.
const MOVING: [&str; 9] = [
    "getBlockHeight",
    "getEpochInfo",
    "getLatestBlockhash",
    "getAccountInfo",
    "getMultipleAccounts",
    "getBalance",
    "getTokenAccountBalance",
    "getTokenAccountsByOwner",
    "getSlot",
];

impl Frozen {
    pub(crate) fn at(head: Head) -> Self {
        Self { head, kept: HashMap::new() }
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// What the call becomes before the upstream sees it.
    pub(crate) fn before(&self, call: &Call<'_>) -> Way {
        let params = call.params.and_then(|params| serde_json::from_str(params.get()).ok());
        let params: Value = params.unwrap_or_else(|| json!([]));
        if let Some(kept) = self.kept.get(&key(call)) {
            return Way::Answer(kept.clone());
        }
        match self.head {
            Head::Block(number) => before_on_evm(number, &call.method, params),
            Head::Slot(slot) => before_on_solana(slot, &call.method, params),
        }
    }

    /// Takes out of an answer what this node has not seen.
    pub(crate) fn after(&mut self, call: &Call<'_>, answer: &mut Value) {
        match self.head {
            Head::Block(number) => after_on_evm(number, call, answer),
            Head::Slot(slot) => after_on_solana(slot, &call.method, answer),
        }
        let moves = MOVING.contains(&call.method.as_ref()) || is_finalized(call);
        if moves && answer.get("result").is_some() && self.kept.len() < KEPT_MAX {
            let kept = json!({"result": answer["result"]});
            self.kept.insert(key(call), kept);
        }
    }
}

fn key(call: &Call<'_>) -> String {
    format!("{} {}", call.method, call.params.map_or("", |params| params.get()))
}

fn is_finalized(call: &Call<'_>) -> bool {
    call.method == "eth_getBlockByNumber" && call.params.is_some_and(|p| p.get().contains("finalized"))
}

fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn before_on_evm(head: u64, method: &str, mut params: Value) -> Way {
    let tag_at = match method {
        "eth_blockNumber" => return Way::Answer(json!({"result": format!("{head:#x}")})),
        "eth_sendRawTransaction" | "eth_sendRawTransactionSync" => return swallowed(&params),
        "eth_getBlockByNumber" => 0,
        "eth_call" | "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" | "eth_estimateGas" => 1,
        "eth_getStorageAt" => 2,
        _ => return Way::Ask(params),
    };
    if quantity(&params[tag_at]).is_some_and(|number| number > head) {
        return Way::Answer(json!({"result": null}));
    }
    if let Some(list) = params.as_array_mut() {
        if list.len() == tag_at {
            list.push(json!("latest"));
        }
        if let Some(tag) = list.get_mut(tag_at)
            && matches!(tag.as_str(), Some("latest" | "pending"))
        {
            *tag = json!(format!("{head:#x}"));
        }
    }
    Way::Ask(params)
}

/// Taken into a pool from which nothing goes anywhere.
#[cfg(feature = "base")]
fn swallowed(params: &Value) -> Way {
    let raw = params[0].as_str().and_then(|text| alloy::primitives::hex::decode(text).ok());
    let hash = alloy::primitives::keccak256(raw.unwrap_or_default());
    Way::Answer(json!({"result": hash}))
}

#[cfg(not(feature = "base"))]
fn swallowed(_params: &Value) -> Way {
    Way::Answer(json!({"error": {"code": -32000, "message": "not synced"}}))
}

fn after_on_evm(head: u64, call: &Call<'_>, answer: &mut Value) {
    let is_unseen = |of: &Value| quantity(of).is_some_and(|number| number > head);
    match call.method.as_ref() {
        "eth_getTransactionReceipt" | "eth_getTransactionByHash"
            if is_unseen(&answer["result"]["blockNumber"]) =>
        {
            answer["result"] = Value::Null;
        }
        "eth_getBlockByHash" | "eth_getBlockByNumber" if is_unseen(&answer["result"]["number"]) => {
            answer["result"] = Value::Null;
        }
        "eth_getLogs" => {
            if let Some(logs) = answer["result"].as_array_mut() {
                logs.retain(|log| !is_unseen(&log["blockNumber"]));
            }
        }
        _ => {}
    }
}

/// A blockhash that is younger than its head is unknown to it.
fn before_on_solana(slot: u64, method: &str, params: Value) -> Way {
    match method {
        "simulateTransaction" => Way::Answer(json!({"result": {
            "context": {"slot": slot},
            "value": {"err": "BlockhashNotFound", "logs": [], "accounts": null, "unitsConsumed": 0},
        }})),
        "sendTransaction" => Way::Answer(json!({"error": {
            "code": -32002, "message": "Transaction simulation failed: Blockhash not found",
            "data": {"err": "BlockhashNotFound"},
        }})),
        _ => Way::Ask(params),
    }
}

fn after_on_solana(head: u64, method: &str, answer: &mut Value) {
    let is_unseen = |of: &Value| of.get("slot").and_then(Value::as_u64).is_some_and(|slot| slot > head);
    if let Some(context) = answer.pointer_mut("/result/context/slot") {
        *context = json!(head);
    }
    match method {
        "getSlot" => answer["result"] = json!(head),
        "getSignatureStatuses" => {
            let statuses = answer.pointer_mut("/result/value").and_then(Value::as_array_mut);
            for status in statuses.into_iter().flatten().filter(|status| is_unseen(status)) {
                *status = Value::Null;
            }
        }
        "getTransaction" if answer.get("result").is_some_and(is_unseen) => answer["result"] = Value::Null,
        "getSignaturesForAddress" => {
            if let Some(entries) = answer["result"].as_array_mut() {
                entries.retain(|entry| !is_unseen(entry));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_evm_node_that_stands_still_hides_what_came_later() {
        let mut node = Frozen::at(Head::Block(16));
        let latest = call(r#"{"method":"eth_getBlockByNumber","params":["latest",false]}"#);
        assert_eq!(node.before(&latest), Way::Ask(json!(["0x10", false])));
        let later = call(r#"{"method":"eth_getBlockByNumber","params":["0x11",false]}"#);
        assert_eq!(node.before(&later), Way::Answer(json!({"result": null})));
        let count = call(r#"{"method":"eth_getTransactionCount","params":["0xaa"]}"#);
        assert_eq!(node.before(&count), Way::Ask(json!(["0xaa", "0x10"])));
        let receipt = call(r#"{"method":"eth_getTransactionReceipt","params":["0x01"]}"#);
        for (block, expected) in [("0x10", true), ("0x11", false)] {
            let mut answer = json!({"result": {"blockNumber": block}});
            node.after(&receipt, &mut answer);
            assert_eq!(answer["result"].is_object(), expected);
        }
        let logs = call(r#"{"method":"eth_getLogs","params":[{}]}"#);
        let mut answer = json!({"result": [{"blockNumber": "0x10"}, {"blockNumber": "0x11"}]});
        node.after(&logs, &mut answer);
        assert_eq!(answer["result"], json!([{"blockNumber": "0x10"}]));
        let send = call(r#"{"method":"eth_sendRawTransaction","params":["0x"]}"#);
        let empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(node.before(&send), Way::Answer(json!({"result": empty})));
    }

    #[test]
    fn a_solana_node_that_stands_still_says_the_same_again() {
        let mut node = Frozen::at(Head::Slot(70));
        let blockhash = call(r#"{"method":"getLatestBlockhash","params":[]}"#);
        let mut first = json!({"id": 1, "result": {"context": {"slot": 71}, "value": "a"}});
        assert!(matches!(node.before(&blockhash), Way::Ask(_)));
        node.after(&blockhash, &mut first);
        let said = json!({"result": {"context": {"slot": 70}, "value": "a"}});
        assert_eq!(node.before(&blockhash), Way::Answer(said));
        let statuses = call(r#"{"method":"getSignatureStatuses","params":[["x","y"]]}"#);
        let mut answer = json!({"result": {"context": {"slot": 90}, "value": [{"slot": 70}, {"slot": 71}]}});
        node.after(&statuses, &mut answer);
        assert_eq!(answer["result"]["value"], json!([{"slot": 70}, null]));
    }
}
