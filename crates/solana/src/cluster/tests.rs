use std::sync::Arc;

use quittance_protocol::Network;
use serde_json::json;

use super::{Identified, PUBLIC_CLUSTERS, StandIn};
use crate::rpc::{Rpc, RpcFailure};
use crate::testing::FakeRpc;

const METHOD: &str = "getSlot";

fn identified(node: &Arc<FakeRpc>, stand_in: Option<&StandIn>) -> Identified {
    node.set(METHOD, Ok(json!(7)));
    Identified::new(Arc::clone(node) as _, Network::SOLANA.parse().unwrap(), stand_in.cloned())
}

fn is(node: &FakeRpc, genesis: &str) {
    node.set("getGenesisHash", Ok(json!(genesis)));
}

/// A genesis that no public cluster has.
fn local(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

#[tokio::test]
async fn an_endpoint_of_another_cluster_is_asked_nothing() {
    let node = FakeRpc::new();
    let endpoint = identified(&node, None);
    for other in [PUBLIC_CLUSTERS[1].to_owned(), PUBLIC_CLUSTERS[2].to_owned(), local(3)] {
        is(&node, &other);
        node.take_calls();
        assert!(endpoint.ask().await.is_err());
        assert_eq!(endpoint.other_cluster(), Some(other.clone()));
        assert_eq!(endpoint.call(METHOD, json!([])).await, Err(RpcFailure::WrongCluster { found: other }));
        assert_eq!(node.take_calls(), ["getGenesisHash"]);
    }
    is(&node, PUBLIC_CLUSTERS[0]);
    assert_eq!(endpoint.ask().await, Ok(()), "until it answers rightly");
    assert_eq!(endpoint.call(METHOD, json!([])).await, Ok(json!(7)));
}

#[tokio::test]
async fn who_comes_back_is_asked_again() {
    let node = FakeRpc::new();
    let endpoint = identified(&node, None);
    is(&node, PUBLIC_CLUSTERS[0]);
    assert_eq!(endpoint.call(METHOD, json!([])).await, Ok(json!(7)));
    for broken in [
        RpcFailure::Timeout,
        RpcFailure::Transport { reason: "reset".into() },
        RpcFailure::Http { status: 503 },
    ] {
        node.set(METHOD, Err(broken.clone()));
        assert_eq!(endpoint.call(METHOD, json!([])).await, Err(broken));
        node.set(METHOD, Ok(json!(7)));
        is(&node, PUBLIC_CLUSTERS[1]);
        assert!(matches!(endpoint.call(METHOD, json!([])).await, Err(RpcFailure::WrongCluster { .. })));
        is(&node, PUBLIC_CLUSTERS[0]);
        assert_eq!(endpoint.ask().await, Ok(()));
        assert_eq!(endpoint.call(METHOD, json!([])).await, Ok(json!(7)));
    }
    // A refusal is an answer of the same node.
    node.set(METHOD, Err(RpcFailure::Node { code: -32005, message: String::new() }));
    let _ = endpoint.call(METHOD, json!([])).await;
    is(&node, PUBLIC_CLUSTERS[1]);
    node.set(METHOD, Ok(json!(7)));
    assert_eq!(endpoint.call(METHOD, json!([])).await, Ok(json!(7)));
}

/// A local validator has a genesis of its own; a public cluster behind a tunnel does not pass for it.
#[tokio::test]
async fn on_this_machine_one_validator_may_stand_in() {
    let stand_in = StandIn::default();
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let (one, two) = (identified(&first, Some(&stand_in)), identified(&second, Some(&stand_in)));
    is(&first, PUBLIC_CLUSTERS[1]);
    assert!(one.ask().await.is_err());
    is(&first, &local(1));
    assert_eq!(one.ask().await, Ok(()));
    is(&second, &local(2));
    assert!(two.ask().await.is_err(), "another validator than the first");
    is(&second, &local(1));
    assert_eq!(two.ask().await, Ok(()));
    is(&second, PUBLIC_CLUSTERS[0]);
    assert_eq!(two.ask().await, Ok(()), "the configured cluster itself");
}

#[tokio::test]
async fn an_answer_that_is_no_genesis_proves_nothing() {
    let node = FakeRpc::new();
    let endpoint = identified(&node, Some(&StandIn::default()));
    for junk in [json!(null), json!("secret words"), json!(5), json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")] {
        node.set("getGenesisHash", Ok(junk));
        assert_eq!(endpoint.ask().await, Err(RpcFailure::Malformed { method: "getGenesisHash" }));
        assert_eq!(endpoint.other_cluster(), None);
    }
}

/// Signed bytes go out all the same; nothing else for a moment, and nothing counts against a method.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_wants_to_be_left_alone_still_takes_signed_bytes() {
    let node = FakeRpc::new();
    let endpoint = identified(&node, None);
    is(&node, PUBLIC_CLUSTERS[0]);
    assert_eq!(endpoint.call(METHOD, json!([])).await, Ok(json!(7)));
    node.take_calls();
    node.pause.hear(429, Some("3600"));
    assert_eq!(endpoint.call(METHOD, json!([])).await, Err(RpcFailure::Paused));
    assert_eq!(endpoint.ask().await, Err(RpcFailure::Paused));
    assert_eq!(node.take_calls(), [""; 0]);
    node.set("sendTransaction", Ok(json!("signature")));
    assert_eq!(endpoint.call("sendTransaction", json!([])).await, Ok(json!("signature")));
    tokio::time::advance(quittance_rpc::SILENCE_MAX).await;
    assert_eq!(endpoint.call(METHOD, json!([])).await, Ok(json!(7)));
    assert_eq!(node.take_calls(), ["sendTransaction", METHOD], "nobody doubted its cluster");
    assert!(endpoint.tally().unwrap().counts().iter().all(|count| count.failed == 0));
}
