use std::sync::Mutex;

use serde_json::json;

use super::*;

/// A node that answers one thing, and keeps what it was asked.
struct Says(Result<Value, RpcFailure>, Mutex<Vec<(&'static str, Value)>>);

#[async_trait]
impl Rpc for Says {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        self.1.lock().unwrap().push((method, params));
        self.0.clone()
    }
}

fn node(answer: Result<Value, RpcFailure>) -> (Arc<Says>, Node) {
    let says = Arc::new(Says(answer, Mutex::default()));
    (Arc::clone(&says), Node::new(says))
}

/// What is asked of a node, by every way there is; what came of it does not matter here.
async fn ask_everything(node: &Node) -> Vec<Option<RpcFailure>> {
    let sent = json!(["AQ==", {"encoding": "base64", "maxRetries": 0}]);
    vec![
        node.genesis().await.err(),
        node.slot(CommitmentConfig::finalized()).await.err(),
        node.rent(165).await.err(),
        node.first_block().await.err(),
        node.ask::<Value>(RpcRequest::SendTransaction, sent).await.err(),
    ]
}

/// I3: a client that repeats a send, or a question that its answer did not please, makes a guess of
/// `Unknown`. solana-client's own sender repeats what was answered with 429.
#[tokio::test]
async fn one_call_is_one_request_and_every_error_arrives_as_it_was() {
    for error in [
        RpcFailure::Http { status: 403 },
        RpcFailure::Http { status: 413 },
        RpcFailure::Http { status: 429 },
        RpcFailure::Http { status: 503 },
        RpcFailure::Timeout,
        RpcFailure::Transport { reason: "connection reset".into() },
        RpcFailure::WrongCluster { found: "another".into() },
        RpcFailure::Malformed { method: "getSlot" },
        RpcFailure::Node { code: 429, message: "Too many requests".into() },
        RpcFailure::Node { code: -32005, message: "Node is behind by 42 slots".into() },
        RpcFailure::Preflight { message: "failed".into(), failed: "InstructionError".into() },
    ] {
        let (says, node) = node(Err(error.clone()));
        assert_eq!(ask_everything(&node).await, vec![Some(error); 5]);
        assert_eq!(says.1.lock().unwrap().len(), 5);
    }
}

#[tokio::test]
async fn what_is_asked_is_what_every_node_understands() {
    let (says, node) = node(Ok(json!(5)));
    ask_everything(&node).await;
    let expected = [
        ("getGenesisHash", json!([])),
        ("getSlot", json!([{"commitment": "finalized"}])),
        ("getMinimumBalanceForRentExemption", json!([165])),
        ("getFirstAvailableBlock", json!([])),
        ("sendTransaction", json!(["AQ==", {"encoding": "base64", "maxRetries": 0}])),
    ];
    assert_eq!(*says.1.lock().unwrap(), expected);
    assert_eq!(node.client.url(), "", "no part of the URL but its host");
}

#[tokio::test]
async fn an_answer_of_another_shape_proves_nothing() {
    for bad in [Value::Null, json!("5"), json!({}), json!(-1), json!(1.5)] {
        let (_, node) = node(Ok(bad.clone()));
        let malformed = |method| Some(RpcFailure::Malformed { method });
        assert_eq!(node.slot(CommitmentConfig::confirmed()).await.err(), malformed("getSlot"), "{bad}");
        assert_eq!(node.genesis().await.err(), malformed("getGenesisHash"), "{bad}");
        assert!(node.ask::<Shown<u64>>(RpcRequest::GetBalance, json!([])).await.is_err(), "{bad}");
    }
    // A context that solana-client does not read, and none at all.
    for context in [json!({"context": {"slot": 1, "apiVersion": "v4"}, "value": 7}), json!({"value": 7})] {
        let (_, node) = node(Ok(context));
        assert_eq!(node.ask::<Shown<u64>>(RpcRequest::GetBalance, json!([])).await.unwrap().value, 7);
    }
}
