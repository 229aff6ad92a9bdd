use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::EndpointState;
use serde_json::json;

use super::CLOCK;
use crate::rpc::RpcFailure;
use crate::testing::{FakeRpc, chain};

const NOW_MS: i64 = 1_800_000_000_000;

/// The node's newest slot, and how many seconds before the clock it was made.
fn stands_at(node: &Arc<FakeRpc>, slot: u64, age_seconds: i64) {
    let mut data = vec![0; 40];
    data[..8].copy_from_slice(&slot.to_le_bytes());
    data[32..].copy_from_slice(&(NOW_MS / 1_000 - age_seconds).to_le_bytes());
    let account = json!({"value": {"owner": "Sysvar1111111111111111111111111111111111111",
        "data": [STANDARD.encode(data), "base64"], "lamports": 1}});
    node.put(&CLOCK.parse().unwrap(), Some(account));
}

#[tokio::test]
async fn an_endpoint_that_stands_still_is_not_asked_while_another_moves() {
    let (still, moving) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&still, &moving]).await;
    let blockhash = |byte: u8| {
        let text = bs58::encode([byte; 32]).into_string();
        Ok(json!({"context": {"slot": 1}, "value": {"blockhash": text, "lastValidBlockHeight": byte}}))
    };
    still.set("getLatestBlockhash", blockhash(1));
    moving.set("getLatestBlockhash", blockhash(2));
    stands_at(&still, 100, 60);
    stands_at(&moving, 400, 0);
    let reports = chain.look_at_endpoints(NOW_MS).await;
    assert_eq!([reports[0].state, reports[1].state], [EndpointState::Behind, EndpointState::Healthy]);
    assert_eq!([reports[0].head, reports[1].head], [Some(100), Some(400)]);
    assert!(reports[0].head_age_ms >= Some(60_000));
    assert_eq!(chain.latest_blockhash().await.unwrap().1, 2);
    stands_at(&still, 401, 0);
    chain.look_at_endpoints(NOW_MS).await;
    assert_eq!(chain.latest_blockhash().await.unwrap().1, 1, "who recovers is used again");
    still.set("getAccountInfo", Err(RpcFailure::Timeout));
    chain.look_at_endpoints(NOW_MS).await;
    assert_eq!(chain.latest_blockhash().await.unwrap().1, 2, "who says nothing is not");
}

#[tokio::test]
async fn a_stopped_cluster_calls_nobody_behind() {
    let (one, other) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&one, &other]).await;
    for node in [&one, &other] {
        stands_at(node, 100, 7_200);
    }
    let reports = chain.look_at_endpoints(NOW_MS).await;
    assert!(reports.iter().all(|report| report.state == EndpointState::Healthy));
}
