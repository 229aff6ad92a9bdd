use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::LOG_BLOCKS_MAX;
use crate::rpc::{LogRange, Rpc};
use crate::text;

/// A node that answers for at most `max` blocks at once and refuses more in `refusal`'s words.
struct Limited {
    max: AtomicU64,
    refusal: RpcError,
    range: LogRange,
    asked: Mutex<Vec<(u64, u64)>>,
}

impl Limited {
    fn new(max: u64, refusal: RpcError) -> Arc<Self> {
        let max = AtomicU64::new(max);
        Arc::new(Self { max, refusal, range: LogRange::default(), asked: Mutex::default() })
    }

    fn take_asked(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl Rpc for Limited {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        assert_eq!(method, "eth_getLogs");
        let params: Value = serde_json::from_str(params.get()).unwrap();
        let bound = |field: &str| text::quantity64(&params[0][field]).unwrap();
        let (first, last) = (bound("fromBlock"), bound("toBlock"));
        self.asked.lock().unwrap().push((first, last));
        if last - first < self.max.load(Ordering::Relaxed) {
            let logs = (first..=last).map(|block| json!({"blockNumber": text::to_quantity(block)}));
            Ok(serde_json::value::to_raw_value(&logs.collect::<Value>()).unwrap())
        } else {
            Err(self.refusal.clone())
        }
    }

    fn log_range(&self) -> &LogRange {
        &self.range
    }
}

async fn read_all(
    node: &Arc<Limited>,
    filter: &Value,
    first: u64,
    last: u64,
) -> Result<Vec<Value>, RpcError> {
    let node = Node::new(Arc::clone(node) as Arc<dyn Rpc>);
    read_logs(&node, filter, (first, last), usize::MAX).await.map(|(logs, _)| logs)
}

fn says(code: i64, message: &str) -> RpcError {
    RpcError::JsonRpc { code, message: message.to_owned(), data: None }
}

/// The limits of public providers, in words and codes of the kind that they use.
#[tokio::test]
async fn every_limit_in_every_providers_words_ends_in_all_logs() {
    let refusals = [
        (10, says(-32600, "requests with up to a 10 block range are allowed on this plan")),
        (50, says(-32602, "block range is too wide")),
        (500, says(-32005, "query exceeds max block range 500")),
        (500, says(-32000, "exceed maximum block range: 500")),
        (1_000, says(-32614, "limited to a 1000 block range")),
        (2_000, says(35, "ranges over 2000 blocks are not supported")),
        (100, RpcError::Http(400)),
        (100, RpcError::Http(413)),
        (1, says(-32602, "query returned more than 10000 results")),
        (10_000, says(-32005, "never said")),
    ];
    for (max, refusal) in refusals {
        let node = Limited::new(max, refusal);
        let last = 1_000 + (max * 20).min(4_500);
        let logs = read_all(&node, &json!({}), 1_000, last).await.unwrap();
        let blocks: Vec<u64> =
            logs.iter().map(|log| text::quantity64(&log["blockNumber"]).unwrap()).collect();
        assert_eq!(blocks, (1_000..=last).collect::<Vec<_>>(), "each block once, in order, at {max}");
        assert!(node.range.blocks() <= max, "{max} is remembered");
        node.take_asked();
        read_all(&node, &json!({}), 1, node.range.blocks()).await.unwrap();
        assert_eq!(node.take_asked().len(), 1, "no refusal is asked for a second time at {max}");
    }
}

/// A refused method is not a range: few calls, nothing learnt, and the first words are told.
#[tokio::test]
async fn a_node_that_refuses_every_range_is_given_up_soon() {
    let node = Limited::new(0, says(-32000, "logs are not served here"));
    let error = read_all(&node, &json!({}), 1, 10_000).await.unwrap_err();
    assert!(error.to_string().contains("not served"));
    assert!(node.take_asked().len() <= 6);
    assert_eq!(node.range.blocks(), LOG_BLOCKS_MAX);
}

#[tokio::test]
async fn what_no_smaller_range_can_mend_is_not_asked_again() {
    for error in [
        RpcError::Http(403),
        RpcError::Limited("-32007: 25/second request limit reached".into()),
        RpcError::Http(503),
        RpcError::Timeout,
        says(-32601, "the method eth_getLogs does not exist"),
    ] {
        let node = Limited::new(0, error.clone());
        assert_eq!(read_all(&node, &json!({}), 1, 10_000).await.unwrap_err(), error);
        assert_eq!(node.take_asked().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_larger_range_is_tried_again_in_time() {
    let node = Limited::new(10, says(-32000, "too wide"));
    read_all(&node, &json!({}), 1, 2_000).await.unwrap();
    node.max.store(5_000, Ordering::Relaxed);
    for _ in 0..2_000 {
        read_all(&node, &json!({}), 1, 10).await.unwrap();
    }
    assert_eq!(node.range.blocks(), LOG_BLOCKS_MAX);
}
