use std::sync::Mutex;

use alloy::rpc::types::TransactionInput;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;

/// A node that answers one thing, and keeps what it was asked.
struct Says {
    answer: Result<Value, RpcError>,
    asked: Mutex<Vec<(String, Value)>>,
    range: LogRange,
}

#[async_trait::async_trait]
impl Rpc for Says {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let params = serde_json::from_str(params.get()).unwrap();
        self.asked.lock().unwrap().push((method.to_owned(), params));
        self.answer.clone().map(|answer| to_raw_value(&answer).unwrap())
    }

    fn log_range(&self) -> &LogRange {
        &self.range
    }
}

fn node(answer: Result<Value, RpcError>) -> (Arc<Says>, Node) {
    let says = Arc::new(Says { answer, asked: Mutex::default(), range: LogRange::default() });
    (Arc::clone(&says), Node::new(says))
}

/// What is asked of a node, by every way there is; what came of it does not matter here.
async fn ask_everything(node: &Node) -> Vec<Option<RpcError>> {
    let (of, latest) = (Address::repeat_byte(1), BlockNumberOrTag::Latest);
    let transaction = TransactionRequest {
        from: Some(of),
        gas: Some(9),
        input: TransactionInput { input: None, data: Some(vec![1, 2].into()) },
        ..TransactionRequest::default()
    };
    vec![
        node.chain_id().await.err(),
        node.code(of, latest).await.err(),
        node.balance(of, BlockNumberOrTag::Number(9)).await.err(),
        node.nonces(of, BlockNumberOrTag::Pending).await.err(),
        node.call(&transaction, latest).await.err(),
        node.header(BlockNumberOrTag::Finalized).await.err(),
        node.header_of(B256::repeat_byte(2)).await.err(),
        node.ask("eth_sendRawTransaction", ["0x02"]).await.err(),
    ]
}

/// I3: a client that repeats a send, or a question that its answer did not please, makes a guess of
/// `Unknown`. alloy's own layers would for most of these.
#[tokio::test]
async fn one_call_is_one_request_and_every_error_arrives_as_it_was() {
    let says = |code, message: &str| RpcError::JsonRpc { code, message: message.to_owned(), data: None };
    for error in [
        RpcError::Http(403),
        RpcError::Http(413),
        RpcError::Limited("HTTP status 429".into()),
        RpcError::Http(503),
        RpcError::Timeout,
        RpcError::Transport("connection reset".into()),
        RpcError::WrongChain { expected: 1, found: 2 },
        RpcError::BadAnswer("JSON"),
        says(-32005, "too many requests"),
        says(-32000, "header not found"),
        RpcError::JsonRpc { code: 3, message: "execution reverted".into(), data: Some(json!("0x08c379a0")) },
    ] {
        let (says, node) = node(Err(error.clone()));
        let errors = ask_everything(&node).await;
        assert_eq!(errors, vec![Some(error); 8]);
        assert_eq!(says.asked.lock().unwrap().len(), 8);
    }
}

#[tokio::test]
async fn what_is_asked_is_what_every_node_understands() {
    let (says, node) = node(Ok(json!("0x1")));
    ask_everything(&node).await;
    let address = format!("0x{}", "01".repeat(20));
    let asked = says.asked.lock().unwrap().clone();
    let expected = [
        ("eth_chainId", json!([])),
        ("eth_getCode", json!([address, "latest"])),
        ("eth_getBalance", json!([address, "0x9"])),
        ("eth_getTransactionCount", json!([address, "pending"])),
        ("eth_call", json!([{"from": address, "gas": "0x9", "data": "0x0102"}, "latest"])),
        ("eth_getBlockByNumber", json!(["finalized", false])),
        ("eth_getBlockByHash", json!([format!("0x{}", "02".repeat(32)), false])),
        ("eth_sendRawTransaction", json!(["0x02"])),
    ];
    assert_eq!(asked, expected.map(|(method, params)| (method.to_owned(), params)));
}

/// An answer of nothing is no zero: a wallet without used nonces, a balance of nothing.
#[tokio::test]
async fn no_number_and_no_bytes_are_made_of_an_answer_without_any() {
    let latest = BlockNumberOrTag::Latest;
    for bad in
        [json!("0x"), json!(""), json!(null), json!("12"), json!(12), json!("0xg"), json!([]), json!({})]
    {
        let (_, node) = node(Ok(bad.clone()));
        let quantity = Err(RpcError::BadAnswer("quantity"));
        assert_eq!(node.nonces(Address::ZERO, latest).await, quantity, "{bad}");
        assert_eq!(node.balance(Address::ZERO, latest).await, Err(RpcError::BadAnswer("quantity")), "{bad}");
        if bad != json!("0x") {
            assert_eq!(node.code(Address::ZERO, latest).await, Err(RpcError::BadAnswer("data")), "{bad}");
        }
    }
    for bad in [json!("0x"), json!("0x0"), json!(null), json!("chain"), json!([])] {
        let (_, node) = node(Ok(bad.clone()));
        assert_eq!(node.chain_id().await, Err(RpcError::BadAnswer("quantity")), "{bad}");
    }
    let (_, node) = node(Ok(json!(format!("0x1{}", "0".repeat(16)))));
    assert_eq!(node.nonces(Address::ZERO, latest).await, Err(RpcError::BadAnswer("quantity")), "65 bits");
    assert_eq!(node.balance(Address::ZERO, latest).await, Ok(1 << 64));
}

/// Some nodes leave out what nobody here reads, and some write more than they should.
#[tokio::test]
async fn a_header_needs_no_more_than_what_is_read_of_it() {
    let hash = B256::repeat_byte(7);
    let header = json!({
        "number": "0x9", "hash": hash, "parentHash": B256::repeat_byte(6), "timestamp": "0x64",
        "baseFeePerGas": null, "size": 12, "timestampMs": "0x1", "transactions": null,
    });
    let (_, good) = node(Ok(header.clone()));
    let block = good.header(BlockNumberOrTag::Latest).await.unwrap().unwrap();
    assert_eq!((block.number, block.hash, block.timestamp, block.base_fee_wei), (9, hash, 100, 0));
    for field in ["number", "hash", "parentHash", "timestamp"] {
        let mut without = header.clone();
        without.as_object_mut().unwrap().remove(field);
        let (_, bad) = node(Ok(without));
        assert_eq!(bad.header_of(hash).await, Err(RpcError::BadAnswer("block")), "{field}");
    }
    let (_, none) = node(Ok(Value::Null));
    assert_eq!(none.header(BlockNumberOrTag::Finalized).await, Ok(None));
}
