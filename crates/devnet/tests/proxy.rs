//! The proxy against an upstream that echoes and counts.
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quittance_devnet::proxy::{Proxy, ProxyOptions};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

struct Bench {
    url: String,
    client: reqwest::Client,
    /// Calls the upstream has executed.
    executed: Arc<AtomicU64>,
}

/// An upstream that answers every call with its method.
async fn upstream(executed: Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let executed = Arc::clone(&executed);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    let body = loop {
                        if let Some(body) = whole_body(&bytes) {
                            break body;
                        }
                        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                    };
                    bytes.clear();
                    let answer = |call: &Value| {
                        executed.fetch_add(1, Ordering::SeqCst);
                        json!({"jsonrpc": "2.0", "result": call["method"], "id": call["id"]})
                    };
                    let answer = match &body {
                        Value::Array(calls) => calls.iter().map(answer).collect(),
                        call => answer(call),
                    };
                    let answer = answer.to_string();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
                    stream.write_all((head + &answer).as_bytes()).await.unwrap();
                }
            });
        }
    });
    url
}

fn whole_body(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

impl Bench {
    async fn start(delay_ms: u64) -> Self {
        let executed = Arc::<AtomicU64>::default();
        let options = ProxyOptions {
            upstream: upstream(Arc::clone(&executed)).await,
            delay: Duration::from_millis(delay_ms),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(Proxy::new(options).unwrap().serve(listener));
        Self { url, client: reqwest::Client::builder().no_proxy().build().unwrap(), executed }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), reqwest::Error> {
        let response = self.client.post(format!("{}{path}", self.url)).json(body).send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    async fn call(&self, method: &str) -> Result<(u16, Value), reqwest::Error> {
        self.post("/", &json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": []})).await
    }

    async fn fault(&self, fault: Value) {
        let (status, answer) = self.post("/__proxy/faults", &fault).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    async fn counts(&self) -> Value {
        self.client.get(format!("{}/__proxy/counts", self.url)).send().await.unwrap().json().await.unwrap()
    }

    fn executed(&self) -> u64 {
        self.executed.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn counts_calls_and_http_requests_apart() {
    let bench = Bench::start(0).await;
    assert_eq!(bench.call("a").await.unwrap(), (200, json!({"jsonrpc": "2.0", "result": "a", "id": 7})));
    let batch = json!([{"id": 1, "method": "a"}, {"id": "two", "method": "b"}]);
    let (_, answers) = bench.post("/", &batch).await.unwrap();
    assert_eq!(answers[1], json!({"jsonrpc": "2.0", "result": "b", "id": "two"}));
    assert_eq!(
        bench.counts().await,
        json!({"http_requests": 2, "calls": 3, "methods": {"a": 2, "b": 1}, "faults": {}})
    );
    bench.post("/__proxy/reset", &Value::Null).await.unwrap();
    assert_eq!(bench.counts().await["calls"], 0);
}

#[tokio::test]
async fn a_dropped_request_never_reaches_the_upstream() {
    let bench = Bench::start(0).await;
    bench.fault(json!({"method": "send", "action": "drop_request"})).await;
    assert!(bench.call("send").await.is_err());
    assert_eq!(bench.executed(), 0);
    assert_eq!(bench.call("send").await.unwrap().0, 200);
    assert_eq!(bench.executed(), 1);
    assert_eq!(bench.counts().await["faults"], json!({"send": 1}));
}

#[tokio::test]
async fn a_dropped_response_was_executed() {
    let bench = Bench::start(0).await;
    bench.fault(json!({"method": "send", "action": "drop_response", "times": 2})).await;
    assert!(bench.call("send").await.is_err());
    assert!(bench.call("send").await.is_err());
    assert_eq!(bench.executed(), 2);
    assert_eq!(bench.call("send").await.unwrap().0, 200);
}

#[tokio::test]
async fn errors_replace_the_call_or_only_its_answer() {
    let bench = Bench::start(0).await;
    let error = json!({"code": -32000, "message": "nonce too low"});
    bench.fault(json!({"method": "send", "action": "error", "error": error})).await;
    let refused = (200, json!({"jsonrpc": "2.0", "error": error, "id": 7}));
    assert_eq!(bench.call("send").await.unwrap(), refused);
    assert_eq!(bench.executed(), 0);
    bench.fault(json!({"method": "send", "action": "error_after", "error": error})).await;
    assert_eq!(bench.call("send").await.unwrap(), refused);
    assert_eq!(bench.executed(), 1);
    bench.fault(json!({"method": "*", "action": "http_status", "status": 429})).await;
    assert_eq!(bench.call("send").await.unwrap().0, 429);
    assert_eq!(bench.executed(), 1);
}

#[tokio::test]
async fn a_fault_meets_only_its_call_of_a_batch() {
    let bench = Bench::start(0).await;
    let error = json!({"code": -32005, "message": "limit"});
    bench.fault(json!({"method": "b", "action": "error", "error": error})).await;
    let batch = json!([{"id": 1, "method": "a"}, {"id": 2, "method": "b"}, {"id": 3, "method": "c"}]);
    let (_, answers) = bench.post("/", &batch).await.unwrap();
    let mut ids: Vec<(u64, bool)> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| (answer["id"].as_u64().unwrap(), answer["error"].is_object()))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [(1, false), (2, true), (3, false)]);
    assert_eq!(bench.executed(), 2);
}

#[tokio::test]
async fn broadcasts_are_told_apart_by_their_bytes() {
    let bench = Bench::start(0).await;
    let send = |id: u64, method: &str, bytes: &str| json!({"id": id, "method": method, "params": [bytes, {"encoding": "base64"}]});
    bench.post("/", &send(1, "eth_sendRawTransaction", "0x02aa")).await.unwrap();
    bench.post("/", &send(2, "eth_call", "0x02ff")).await.unwrap();
    bench.fault(json!({"method": "sendTransaction", "action": "drop_request"})).await;
    assert!(bench.post("/", &send(3, "sendTransaction", "AQAB")).await.is_err());
    let batch =
        json!([send(4, "eth_sendRawTransaction", "0x02aa"), send(5, "eth_sendRawTransaction", "0x02bb")]);
    bench.post("/", &batch).await.unwrap();
    let sent: Value =
        bench.client.get(format!("{}/__proxy/sent", bench.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(sent, json!({"0x02aa": 2, "0x02bb": 1, "AQAB": 1}));
}

#[tokio::test]
async fn skip_lets_the_first_calls_pass() {
    let bench = Bench::start(0).await;
    bench.fault(json!([{"method": "send", "action": "drop_request", "skip": 1}])).await;
    assert!(bench.call("send").await.is_ok());
    assert!(bench.call("send").await.is_err());
    assert!(bench.call("send").await.is_ok());
}

#[tokio::test]
async fn delays_add_up() {
    let bench = Bench::start(20).await;
    let start = Instant::now();
    bench.call("a").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    bench.fault(json!({"method": "a", "action": "delay_ms", "ms": 100})).await;
    let start = Instant::now();
    bench.call("a").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn bad_control_calls_and_bodies_are_refused() {
    let bench = Bench::start(0).await;
    for fault in [
        json!({"method": "a", "action": "explode"}),
        json!({"method": "", "action": "drop_request"}),
        json!({"method": "a", "action": "delay_ms", "ms": 10_000_000}),
    ] {
        assert_eq!(bench.post("/__proxy/faults", &fault).await.unwrap().0, 400, "{fault}");
    }
    assert_eq!(bench.post("/", &json!({"no": "method"})).await.unwrap().0, 400);
    assert_eq!(bench.executed(), 0);
}
