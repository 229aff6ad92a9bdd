//! `eth_getLogs` in ranges that the endpoint allows.

use alloy::primitives::Address;
use quittance_rpc::Refusal;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::classify;
use crate::failure::RpcError;
use crate::node::Node;
use crate::text;

pub(crate) const METHOD: &str = "eth_getLogs";

/// Whether a question for logs names more than one block.
pub(crate) fn is_divisible(params: &RawValue) -> bool {
    let Ok(params) = serde_json::from_str::<Value>(params.get()) else { return false };
    let bound = |field: &str| params.pointer(&format!("/0/{field}")).and_then(|of| text::quantity64(of).ok());
    bound("fromBlock").zip(bound("toBlock")).is_some_and(|(first, last)| first < last)
}

/// Logs of `first..=last` that match the filter's address and topics, oldest blocks first, in as many
/// calls as the endpoint wants and as `answers_max` allows; with the last block that was searched.
pub(crate) async fn read_logs(
    rpc: &Node,
    filter: &Value,
    (first, last): (u64, u64),
    answers_max: usize,
) -> Result<(Vec<Value>, u64), RpcError> {
    let ask = |first, last| read_range(rpc, filter, first, last);
    rpc.log_range().read((first, last), answers_max, ask, refusal).await
}

fn refusal(error: &RpcError) -> Refusal {
    match error {
        RpcError::Timeout => Refusal::Time,
        error if classify::may_be_a_range(error) => Refusal::Width,
        _ => Refusal::Other,
    }
}

/// The same in one call, whatever the endpoint allows.
pub(crate) async fn read_range(
    rpc: &Node,
    filter: &Value,
    first: u64,
    last: u64,
) -> Result<Vec<Value>, RpcError> {
    let mut filter = filter.clone();
    filter["fromBlock"] = json!(text::to_quantity(first));
    filter["toBlock"] = json!(text::to_quantity(last));
    list(rpc.ask(METHOD, [filter]).await?)
}

/// All logs of one contract in one block, in their order.
pub(crate) async fn read_block_logs(
    rpc: &Node,
    contract: Address,
    block_hash: impl Serialize,
) -> Result<Vec<Value>, RpcError> {
    let filter = json!({"address": contract, "blockHash": block_hash});
    let mut logs = list(rpc.ask(METHOD, [filter]).await?)?;
    logs.sort_by_key(|log| text::quantity64(&log["logIndex"]).unwrap_or(u64::MAX));
    Ok(logs)
}

/// The list of logs that a node answered with.
pub(crate) fn list(answer: Value) -> Result<Vec<Value>, RpcError> {
    match answer {
        Value::Array(logs) => Ok(logs),
        _ => Err(RpcError::BadAnswer("list of logs")),
    }
}

#[cfg(test)]
mod tests;
