use serde_json::json;

use super::*;

const METHOD: &str = "getSlot";

fn said(status: u16, body: Said) -> Result<Value, RpcFailure> {
    read_reply(
        METHOD,
        Reply { status, said: body },
        &Words::of("https://rpc.example.org/v1/5f0c9b7a3e21d864"),
    )
}

fn error(code: Option<i64>, message: &str, data: Value) -> Said {
    Said::Error(NodeError { code, message: message.into(), data: Some(data).filter(|data| !data.is_null()) })
}

fn result(value: &Value) -> Said {
    Said::Result { result: to_raw_value(value).unwrap(), answers_this: false }
}

/// Limits of providers come as an HTTP status with any body, or as the node's own words under 200.
#[test]
fn answers_are_results_errors_or_malformed() {
    let node = |code, message: &str| Err(RpcFailure::Node { code, message: message.into() });
    let malformed = || Err(RpcFailure::Malformed { method: METHOD });
    for (status, body, expected) in [
        (200, result(&json!(5)), Ok(json!(5))),
        (200, result(&Value::Null), Ok(Value::Null)),
        (500, result(&json!(5)), Ok(json!(5))),
        (
            200,
            error(Some(-32005), "Node is behind by 42 slots", Value::Null),
            node(-32005, "Node is behind by 42 slots"),
        ),
        (
            200,
            Said::Limited { words: "429: Too many requests".into() },
            Err(RpcFailure::Limited { words: "429: Too many requests".into() }),
        ),
        (503, error(Some(-32005), "Node is unhealthy", Value::Null), node(-32005, "Node is unhealthy")),
        (200, error(None, "no code", Value::Null), malformed()),
        (403, error(None, "forbidden", Value::Null), Err(RpcFailure::Http { status: 403 })),
        (403, Said::NotJson, Err(RpcFailure::Http { status: 403 })),
        (413, Said::NotJson, Err(RpcFailure::Http { status: 413 })),
        (302, Said::NotJson, Err(RpcFailure::Http { status: 302 })),
        (200, Said::NotJson, malformed()),
        (200, Said::Neither { answers_this: true }, malformed()),
        (200, Said::TooLong, malformed()),
        (500, Said::TooLong, malformed()),
    ] {
        let shown = format!("{status} {body:?}");
        assert_eq!(said(status, body), expected, "{shown}");
    }
}

/// P3: what a node found by running the bytes is a word, or an object with the word as its only key.
#[test]
fn a_failed_preflight_is_named() {
    let failed = |data| said(200, error(Some(-32002), "simulation failed", data));
    let named = |failed: &str| {
        Err(RpcFailure::Preflight { message: "simulation failed".into(), failed: failed.to_owned() })
    };
    assert_eq!(failed(json!({"err": "BlockhashNotFound"})), named("BlockhashNotFound"));
    assert_eq!(failed(json!({"err": {"InstructionError": [2, {"Custom": 1}]}})), named("InstructionError"));
    assert_eq!(
        failed(json!({"err": {"/v1/5f0c9b7a3e21d864": 1}})),
        named("rpc.example.org"),
        "never the URL"
    );
    for unnamed in [json!({}), json!({"err": null}), json!({"err": 5}), Value::Null] {
        let words = RpcFailure::Node { code: -32002, message: "simulation failed".into() };
        assert_eq!(failed(unnamed), Err(words));
    }
    let other = said(200, error(Some(-32000), "m", json!({"err": "BlockhashNotFound"})));
    assert_eq!(other, Err(RpcFailure::Node { code: -32000, message: "m".into() }));
}

#[test]
fn only_http_urls_are_endpoints() {
    assert!(HttpRpc::new("http://127.0.0.1:8899", 1_000).is_some());
    for bad in ["", "127.0.0.1:8899", "ws://127.0.0.1:8900", "file:///etc/passwd"] {
        assert!(HttpRpc::new(bad, 1_000).is_none(), "{bad}");
    }
}
