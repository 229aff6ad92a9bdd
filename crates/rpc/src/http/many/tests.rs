use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::HttpLimits;

const LIMITS: HttpLimits = HttpLimits { timeout_ms: 2_000, answer_bytes_max: 4_096 };

/// Asks three things in one request; what was sent, and what came back.
async fn ask(status: &'static str, body: &str) -> (Value, HttpEndpoint, Replies) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/secret-api-key", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        let request = String::from_utf8(request[..read].to_vec()).unwrap();
        serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    });
    let endpoint = HttpEndpoint::new(&url, LIMITS).unwrap();
    let params: Vec<_> =
        ["a", "b", "c"].map(|one| serde_json::value::to_raw_value(&json!([one])).unwrap()).into();
    let replies = endpoint.call_many("some_method", &params).await.unwrap();
    (heard.await.unwrap(), endpoint, replies)
}

fn results(replies: &Replies) -> Vec<Option<String>> {
    let Replies::Each(each) = replies else { panic!("{replies:?}") };
    each.iter()
        .map(|reply| match &reply.as_ref()?.said {
            Said::Result { result, answers_this: true } => Some(result.get().to_owned()),
            Said::Error(error) => Some(error.to_string()),
            Said::Limited { words } => Some(format!("limited {words}")),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn several_requests_are_one_and_each_finds_its_answer_by_its_number() {
    let body = r#"[{"id":3,"result":"c"},{"id":"1","result":null},{"id":9,"result":"x"},
        {"id":2,"error":{"code":-32000,"message":"no"}},{"id":1,"result":"again"},5]"#;
    let (sent, _, replies) = ask("200 OK", body).await;
    let method = |request: &Value| (request["id"].clone(), request["params"].clone());
    let requests: Vec<_> = sent.as_array().unwrap().iter().map(method).collect();
    assert_eq!(requests, [(json!(1), json!(["a"])), (json!(2), json!(["b"])), (json!(3), json!(["c"]))]);
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(results(&replies), [own("null"), own("-32000: no"), own(r#""c""#)]);
}

#[tokio::test]
async fn what_is_not_answered_is_nobodys_answer() {
    let (_, _, replies) = ask("200 OK", r#"[{"id":2,"result":1},{"id":null,"result":2}]"#).await;
    assert_eq!(results(&replies), [None, Some("1".to_owned()), None]);
    assert_eq!(results(&ask("200 OK", "[]").await.2), [None, None, None]);
}

#[tokio::test]
async fn a_refusal_of_all_of_them_is_one_answer() {
    for (status, body, wanted) in [
        ("200 OK", r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#, "batch too large"),
        ("400 Bad Request", r#"{"error":{"code":-32600,"message":"no batches"}}"#, "no batches"),
    ] {
        let (_, _, replies) = ask(status, body).await;
        let Replies::One(Reply { said: Said::Error(error), .. }) = &replies else { panic!("{replies:?}") };
        assert_eq!(error.message, wanted);
    }
    let (_, _, replies) = ask("404 Not Found", "<html>").await;
    assert!(matches!(replies, Replies::One(Reply { status: 404, said: Said::NotJson })), "{replies:?}");
    let (_, _, replies) = ask("200 OK", &format!("[{}]", "1,".repeat(5_000))).await;
    assert!(matches!(replies, Replies::One(Reply { said: Said::TooLong, .. })), "{replies:?}");
}

#[tokio::test]
async fn one_that_was_too_much_asks_to_be_left_alone() {
    let slow = r#"{"code":-32005,"message":"project ID request rate exceeded"}"#;
    let body = format!(r#"[{{"id":1,"result":1}},{{"id":2,"error":{slow}}},{{"id":3,"result":3}}]"#);
    let (_, endpoint, replies) = ask("200 OK", &body).await;
    assert!(endpoint.pause().is_silent());
    assert_eq!(results(&replies)[1].as_deref(), Some("limited -32005: project ID request rate exceeded"));
    let (_, endpoint, replies) = ask("429 Too Many Requests", "slow down").await;
    assert!(endpoint.pause().is_silent());
    assert!(matches!(replies, Replies::One(Reply { said: Said::Limited { .. }, .. })), "{replies:?}");
}
