use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use serde_json::json;

use super::*;

/// Answers one HTTP request with `status` and `body`; an empty status closes the connection.
async fn serve(status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/secret-api-key", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        if status.is_empty() {
            return;
        }
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // A reader that has had enough closes on us.
        let _ = stream.write_all(body.as_bytes()).await;
    });
    url
}

async fn ask(status: &'static str, body: &str) -> Result<Value, RpcError> {
    let url = serve(status, body.to_owned()).await;
    HttpRpc::new(&url, 2_000).unwrap().ask("eth_chainId", json!([])).await
}

#[tokio::test]
async fn what_an_http_answer_becomes() {
    let node = |code, message: &str| RpcError::JsonRpc { code, message: message.into(), data: None };
    let rows = [
        ("200 OK", r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#, Ok(json!("0x1"))),
        ("200 OK", r#"{"jsonrpc":"2.0","id":1,"result":null}"#, Ok(Value::Null)),
        (
            "200 OK",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"nonce too low"}}"#,
            Err(node(-32000, "nonce too low")),
        ),
        (
            "429 Too Many Requests",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"slow down"}}"#,
            Err(RpcError::Limited("-32005: slow down".into())),
        ),
        ("429 Too Many Requests", "slow down", Err(RpcError::Limited("HTTP status 429".into()))),
        (
            "200 OK",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32007,"message":"25/second request limit reached"}}"#,
            Err(RpcError::Limited("-32007: 25/second request limit reached".into())),
        ),
        (
            "503 Service Unavailable",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":429,"message":"slow down"}}"#,
            Err(RpcError::Limited("429: slow down".into())),
        ),
        ("400 Bad Request", r#"{"oops":1}"#, Err(RpcError::Http(400))),
        ("502 Bad Gateway", "<html>", Err(RpcError::Http(502))),
        // A gateway's error proves nothing about the node behind it, whatever it says.
        (
            "500 Internal Server Error",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"insufficient funds"}}"#,
            Err(RpcError::Http(500)),
        ),
        ("302 Found", "", Err(RpcError::Http(302))),
        ("200 OK", "<html>", Err(RpcError::BadAnswer("JSON"))),
        (
            "200 OK",
            r#"{"jsonrpc":"2.0","id":9,"result":"0x1"}"#,
            Err(RpcError::BadAnswer("answer to this request")),
        ),
        ("200 OK", r#"{"jsonrpc":"2.0","id":1}"#, Err(RpcError::BadAnswer("JSON-RPC answer"))),
        ("200 OK", "[]", Err(RpcError::BadAnswer("answer to this request"))),
    ];
    for (status, body, expected) in rows {
        assert_eq!(ask(status, body).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_a_transport_failure_that_keeps_the_url_to_itself() {
    let failure = ask("", "").await.unwrap_err();
    assert!(matches!(failure, RpcError::Transport(_)), "{failure:?}");
    assert!(!failure.to_string().contains("secret"), "{failure}");
    let url = serve("", String::new()).await;
    assert!(!format!("{:?}", HttpRpc::new(&url, 1).unwrap()).contains("secret"));
}

/// The path of the URL is the key.
#[tokio::test]
async fn a_node_that_repeats_its_url_gives_away_no_key() {
    let said = |error: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
    for error in [
        r#"{"code":-32000,"message":"no quota at /v1/secret-api-key\r\nERROR x","data":"/v1/secret-api-key"}"#,
        r#"{"code":-32000,"message":"secret-api-key is over its limit"}"#,
        r#""secret-api-key is blocked""#,
    ] {
        let failure = ask("200 OK", &said(error)).await.unwrap_err();
        let shown = format!("{failure} {failure:?}");
        assert!(!shown.contains("secret-api-key") && shown.contains("127.0.0.1"), "{shown}");
        assert!(!failure.to_string().contains(['\r', '\n']), "{failure}");
    }
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"note":"see /v1/secret-api-key"}}"#;
    assert_eq!(ask("200 OK", result).await, Ok(json!({"note": "see 127.0.0.1"})));
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rpc = HttpRpc::new(&url, 50).unwrap();
    assert_eq!(rpc.ask("eth_chainId", json!([])).await, Err(RpcError::Timeout));
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_read() {
    let huge = "x".repeat(RPC_ANSWER_BYTES_MAX + 1);
    assert_eq!(ask("200 OK", &huge).await, Err(RpcError::BadAnswer("answer within the size limit")));
}

#[test]
fn only_http_urls() {
    for url in ["", "localhost", "ws://127.0.0.1:1", "file:///etc/passwd"] {
        assert!(HttpRpc::new(url, 1).is_err(), "{url}");
    }
}
