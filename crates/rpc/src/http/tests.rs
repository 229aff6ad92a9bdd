use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LIMITS: HttpLimits = HttpLimits { timeout_ms: 2_000, answer_bytes_max: 4_096 };

/// Answers each HTTP request with `status` and `body` and counts them; an empty status closes the connection.
async fn serve(status: &'static str, body: String) -> (String, std::sync::Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/secret-api-key", listener.local_addr().unwrap());
    let count = std::sync::Arc::new(AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            if status.is_empty() {
                continue;
            }
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nlocation: /again\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
        }
    });
    (url, count)
}

async fn ask(status: &'static str, body: &str) -> Result<Reply, HttpFailure> {
    let (url, count) = serve(status, body.to_owned()).await;
    let params = serde_json::value::to_raw_value(&json!(["a\"}", 1])).unwrap();
    let reply = HttpEndpoint::new(&url, LIMITS).unwrap().call("some_method", &params).await;
    assert_eq!(count.load(Ordering::Relaxed), 1, "one call is one request, whatever is answered");
    reply
}

fn shown(said: &Said) -> String {
    match said {
        Said::Result { result, answers_this } => format!("result {} {answers_this}", result.get()),
        Said::Error(NodeError { code, message, data }) => format!("error {code:?} {message:?} {data:?}"),
        Said::Limited { words } => format!("limited {words:?}"),
        Said::Neither { answers_this } => format!("neither {answers_this}"),
        Said::NotJson => "not JSON".to_owned(),
        Said::TooLong => "too long".to_owned(),
    }
}

/// A provider's own limits come as any status with any body: 403, 413 and 429 are told apart from an
/// answer of the node by what calls, so neither part may be lost.
#[tokio::test]
async fn an_answer_is_its_status_and_what_its_body_says() {
    let rows = [
        ("200 OK", r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#, r#"result "0x1" true"#),
        ("200 OK", r#"{"id":1,"result":null,"error":null}"#, "result null true"),
        ("200 OK", r#"{"id":"1","result":[1]}"#, "result [1] true"),
        ("200 OK", r#"{"id":9,"result":[1]}"#, "result [1] false"),
        ("200 OK", r#"{"id":"9","result":[1]}"#, "result [1] false"),
        ("200 OK", r#"{"id":null,"result":[1]}"#, "result [1] false"),
        ("200 OK", r#"{"id":1}"#, "neither true"),
        ("200 OK", "[]", "neither false"),
        ("200 OK", "5", "neither false"),
        ("403 Forbidden", "<html>", "not JSON"),
        ("403 Forbidden", "", "not JSON"),
        ("413 Payload Too Large", r#"{"oops":1}"#, "neither false"),
        (
            "429 Too Many",
            r#"{"id":null,"error":{"code":-32005,"message":"slow"}}"#,
            r#"limited "-32005: slow""#,
        ),
        ("429 Too Many", "<html>", r#"limited "HTTP status 429""#),
        ("429 Too Many", r#"{"id":1,"result":"0x1"}"#, r#"limited "HTTP status 429""#),
        (
            "200 OK",
            r#"{"id":1,"error":{"code":-32005,"message":"project ID request rate exceeded"}}"#,
            r#"limited "-32005: project ID request rate exceeded""#,
        ),
        ("403 Forbidden", r#"{"error":"API rate limit exceeded"}"#, r#"limited "API rate limit exceeded""#),
        (
            "200 OK",
            r#"{"id":1,"error":{"code":-32005,"message":"query returned more than 10000 results"}}"#,
            r#"error Some(-32005) "query returned more than 10000 results" None"#,
        ),
        (
            "500 Server Error",
            r#"{"error":{"code":1,"message":"m","data":"0x"}}"#,
            r#"error Some(1) "m" Some(String("0x"))"#,
        ),
        ("502 Bad Gateway", r#"{"error":"overloaded"}"#, r#"error None "overloaded" None"#),
        ("302 Found", "", "not JSON"),
        ("308 Permanent Redirect", r#"{"id":1,"result":1}"#, "result 1 true"),
    ];
    for (status, body, expected) in rows {
        let reply = ask(status, body).await.unwrap();
        assert!(status.starts_with(&reply.status.to_string()), "{status}");
        assert_eq!(shown(&reply.said), expected, "{status} {body}");
    }
}

/// The path of the URL is the key.
#[tokio::test]
async fn a_node_that_repeats_its_url_gives_away_no_key() {
    for body in [
        r#"{"id":1,"error":{"code":-32000,"message":"no quota at /v1/secret-api-key\r\nERROR x"}}"#,
        r#"{"id":1,"error":{"code":-32000,"message":"secret-api-key is over its limit"}}"#,
        r#"{"id":1,"error":"secret-api-key is blocked"}"#,
        r#"{"id":1,"result":{"note":"see /v1/secret-api-key"}}"#,
        r#"{"id":1,"result":{"note":"see \/v1\/secret-api-key"}}"#,
        r#"{"id":1,"result":{"note":"see /v1/secret-\u0061pi-key"}}"#,
    ] {
        let said = ask("200 OK", body).await.unwrap().said;
        let shown = shown(&said);
        assert!(!shown.contains("secret-api-key") && shown.contains("127.0.0.1"), "{shown}");
        assert!(!shown.contains(['\r', '\n']), "{shown}");
        assert!(!format!("{said:?}").contains("secret-api-key"));
    }
}

#[tokio::test]
async fn no_answer_is_a_failure_that_keeps_the_url_to_itself() {
    let failure = ask("", "").await.unwrap_err();
    assert!(matches!(&failure, HttpFailure::Transport(words) if !words.contains("secret")), "{failure:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-api-key", listener.local_addr().unwrap());
    let silent = HttpEndpoint::new(&url, HttpLimits { timeout_ms: 50, ..LIMITS }).unwrap();
    let params = serde_json::value::to_raw_value(&json!([])).unwrap();
    assert_eq!(silent.call("m", &params).await.unwrap_err(), HttpFailure::Timeout);
    assert!(!format!("{silent:?}").contains("secret"));
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_read() {
    let reply = ask("200 OK", &"x".repeat(LIMITS.answer_bytes_max + 1)).await.unwrap();
    assert_eq!(shown(&reply.said), "too long");
}

#[test]
fn only_http_urls() {
    for url in ["", "localhost", "ws://127.0.0.1:1", "file:///etc/passwd"] {
        assert!(HttpEndpoint::new(url, LIMITS).is_none(), "{url}");
    }
    for (url, here) in
        [("http://127.0.0.1:1/x", true), ("http://[::1]:1", true), ("https://rpc.example.org", false)]
    {
        assert_eq!(HttpEndpoint::new(url, LIMITS).unwrap().is_loopback(), here, "{url}");
    }
}

/// What a provider says under 429 or 503 is heard whatever its body says.
#[tokio::test]
async fn an_answer_says_how_long_its_endpoint_wants_to_be_left_alone() {
    for (status, seconds) in [
        ("429 Too Many Requests\r\nRetry-After: 20", 20),
        ("429 Too Many Requests\r\nretry-after: 86400", 30),
        ("429 Too Many Requests", 2),
        ("503 Service Unavailable\r\nretry-after: 7", 7),
        ("503 Service Unavailable", 0),
        ("200 OK\r\nretry-after: 7", 0),
    ] {
        let (url, _) = serve(status, r#"{"id":1,"error":{"code":1,"message":"slow"}}"#.to_owned()).await;
        let endpoint = HttpEndpoint::new(&url, LIMITS).unwrap();
        assert_eq!(endpoint.pause().left(), None);
        let params = serde_json::value::to_raw_value(&json!([])).unwrap();
        let asked = tokio::time::Instant::now();
        endpoint.call("some_method", &params).await.unwrap();
        let left = endpoint.pause().left().unwrap_or_default();
        let said = std::time::Duration::from_secs(seconds);
        assert!(left <= said && left + asked.elapsed() >= said, "{status}: {left:?}");
    }
}

/// Providers that answer 200 and say in the body what others say in the status; with half an answer
/// nothing is heard but the status.
#[tokio::test]
async fn a_limit_under_any_status_is_obeyed_like_a_429() {
    let limited = |data: &str| {
        format!(r#"{{"id":1,"error":{{"code":-32005,"message":"request rate limited","data":{data}}}}}"#)
    };
    for (status, body, seconds) in [
        ("200 OK", limited("null"), 2),
        ("200 OK", limited(r#"{"rate":{"backoff_seconds":12}}"#), 12),
        ("200 OK", limited(r#"{"try_again_in":"700ms"}"#), 1),
        ("200 OK\r\nretry-after: 4", limited(r#"{"backoff_seconds":12}"#), 4),
        ("403 Forbidden", limited("null"), 2),
        ("200 OK", r#"{"id":1,"error":{"code":-32005,"message":"limit exceeded"}}"#.to_owned(), 0),
        ("200 OK", r#"{"id":1,"error":{"code":3,"message":"execution reverted: rate limit"}}"#.to_owned(), 0),
        ("200 OK", r#"{"id":1,"result":"rate limit"}"#.to_owned(), 0),
        ("200 OK", limited("null").replace("}}", ""), 0),
    ] {
        let (url, _) = serve(status, body.clone()).await;
        let endpoint = HttpEndpoint::new(&url, LIMITS).unwrap();
        let params = serde_json::value::to_raw_value(&json!([])).unwrap();
        endpoint.call("some_method", &params).await.unwrap();
        let left = endpoint.pause().left().unwrap_or_default().as_millis();
        let most = u128::from(if body.contains("700ms") { 1_400 } else { seconds * 1_000_u64 });
        assert!(left <= most && left + 1_000 >= most, "{status} {body}: {left} ms");
        assert_eq!(endpoint.pause().is_silent(), seconds > 0, "{status} {body}");
    }
}

/// A gateway that dies while it passes an answer on; with the end missing nothing of it is believed.
#[tokio::test]
async fn half_an_answer_is_none() {
    let whole = r#"{"jsonrpc":"2.0","id":1,"result":["0x1","0x2"]}"#;
    for cut in [1, 10, 40, whole.len() - 1] {
        let reply = ask("200 OK", &whole[..cut]).await.unwrap();
        assert!(matches!(reply.said, Said::NotJson), "{cut}: {:?}", reply.said);
    }
    for head in ["200 OK\r\ntransfer-encoding: chunked", "200 OK\r\nx-cut: 1"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let length = if head.contains("chunked") { "" } else { "\r\ncontent-length: 500" };
        let (chunked, text) = (head.contains("chunked"), &whole[..30]);
        let body = if chunked { format!("1e\r\n{text}\r\n") } else { text.to_owned() };
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(format!("HTTP/1.1 {head}{length}\r\n\r\n{body}").as_bytes()).await;
        });
        let params = serde_json::value::to_raw_value(&json!([])).unwrap();
        let said = HttpEndpoint::new(&url, LIMITS).unwrap().call("some_method", &params).await;
        assert!(matches!(said, Err(HttpFailure::Transport(_))), "{head}: {said:?}");
    }
}
