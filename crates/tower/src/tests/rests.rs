//! Bodies: bounded, stalled, and what is left of one behind its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use quittance_facilitator::config::ServerConfig;
use quittance_gate::drain::{BURST, CONNECTIONS_MAX, READ_MAX, SILENCE_MAX, TURN_MAX};
use quittance_gate::testing::{Double, STUCK, gate, gate_of, limits};
use quittance_quote::{EndpointInfo, Price, PriceRequest, Pricer, Refusal, Route};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Stage, all_of, connect, paid_request, read_until, request, sell, start};
use crate::{Limits, Mount as _};

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double).limits(Limits { body_read_ms: 1, ..limits() }), &stage).await;
    // Half of it, or not a byte after the head.
    for sent in ["{}", ""] {
        let length = format!("content-length: {}", sent.len());
        let part = request("/gen", "", sent).replace(&length, "content-length: 9");
        let mut stream = connect(address, &part).await;
        let answer = read_until(&mut stream, "body_too_slow").await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(double.log().is_empty());
}

#[tokio::test]
async fn a_body_without_a_length_is_counted() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    let head = "POST /gen HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let mut stream = connect(address, &format!("{head}{}", chunk.repeat(3))).await;
    let answer = read_until(&mut stream, "body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(double.log().is_empty());
}

#[tokio::test]
async fn a_client_that_hangs_up_mid_body_costs_nothing() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    let half = paid_request("/gen").replace("content-length: 2", "content-length: 9");
    let mut stream = connect(address, &half).await;
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(double.log().is_empty(), "an incomplete request was sold");
    assert_eq!(stage.runs(), 0);
}

/// Everything is free, so each path goes to its handler, which reads nothing.
struct AllFree;

impl Pricer for AllFree {
    fn route(&self, _: &str, _: &str) -> Route {
        Route::Free
    }

    fn price(&self, _: &PriceRequest<'_>) -> Result<Price, Refusal> {
        unreachable!("nothing is sold")
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        Vec::new()
    }
}

/// Refuses whatever comes without reading it; `/empty` says nothing.
async fn refusing() -> std::net::SocketAddr {
    let double = Arc::new(Double::default());
    let app = Router::new()
        .route("/empty", axum::routing::any(async || StatusCode::NO_CONTENT))
        .fallback(async || (StatusCode::PAYLOAD_TOO_LARGE, "no: too large"));
    let gate = gate_of(&double, Arc::new(AllFree)).build();
    start(app.layer(gate.layer()), ServerConfig::default()).await
}

/// Clients that write all before they read: a reset would take the answer from them.
#[tokio::test(flavor = "multi_thread")]
async fn who_writes_all_before_reading_reads_why_it_was_refused() {
    let address = refusing().await;
    let chunked = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000)).repeat(64) + "0\r\n\r\n";
    for bytes in [1, 100, 100_000, 250_000, 300_000, 1 << 20, 8 << 20] {
        let head =
            format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; bytes]).await.unwrap();
        let answer = unbroken(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("no: too large"), "{bytes}: {answer}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let answer = unbroken(&mut stream).await;
    assert!(answer.ends_with("no: too large"), "{answer}");
}

async fn unbroken(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(STUCK, stream.read_to_end(&mut answer)).await.expect("never closed");
    read.expect("it was reset");
    String::from_utf8(answer).unwrap()
}

/// Whoever announces a body and sends none hears at once, and is not asked for it.
#[tokio::test]
async fn who_reads_first_is_answered_before_its_body() {
    let address = refusing().await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{expect}content-length: 8388608\r\n\r\n");
        let begun = Instant::now();
        let mut stream = connect(address, &head).await;
        let answer = read_until(&mut stream, "no: too large").await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{expect}: {answer}");
        assert!(begun.elapsed() < SILENCE_MAX, "{:?}", begun.elapsed());
        assert!(all_of(&mut stream).await.is_empty(), "{expect}");
    }
}

/// Sends chunks until the connection is closed; how long that took.
async fn endless_chunks(address: std::net::SocketAddr, path: &str) -> Duration {
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut stream = connect(address, &head).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let begun = Instant::now();
    let sent = async { while stream.write_all(chunk.as_bytes()).await.is_ok() {} };
    timeout(STUCK, sent).await.unwrap_or_else(|_| panic!("{path}: read for ever"));
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_without_an_end_are_not_read_for_ever_whatever_the_answer_is() {
    let address = refusing().await;
    for path in ["/", "/empty"] {
        let took = endless_chunks(address, path).await;
        assert!(took < READ_MAX + BURST + TURN_MAX + SILENCE_MAX, "{path}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_without_an_end_are_not_read_where_too_many_are_waited_for() {
    let address = refusing().await;
    let all = (0..=CONNECTIONS_MAX).map(|_| endless_chunks(address, "/"));
    futures::future::join_all(all).await;
}

/// A handler's own task reads on behind the answer, when it likes: all of the body is its own.
#[tokio::test]
async fn no_piece_is_taken_from_a_body_that_a_handler_still_holds() {
    let (go, held) = tokio::sync::oneshot::channel::<()>();
    let (read, whole) = tokio::sync::oneshot::channel();
    let parts = Arc::new(std::sync::Mutex::new(Some((held, read))));
    let app = Router::new().fallback(async move |body: axum::body::Body| {
        let (held, read) = parts.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            held.await.unwrap();
            let _ = read.send(axum::body::to_bytes(body, 1_024).await);
        });
        "begun"
    });
    let gate = gate_of(&Arc::new(Double::default()), Arc::new(AllFree)).build();
    let address = start(app.layer(gate.layer()), ServerConfig::default()).await;
    let mut stream = connect(address, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nthe ").await;
    read_until(&mut stream, "begun").await;
    stream.write_all(b"who").await.unwrap();
    // The rest is waited for here, if it is waited for at all.
    tokio::time::sleep(SILENCE_MAX / 4).await;
    go.send(()).unwrap();
    stream.write_all(b"le").await.unwrap();
    let read = timeout(STUCK, whole).await.expect("never read").unwrap().unwrap();
    assert_eq!(&read[..], b"the whole");
}
