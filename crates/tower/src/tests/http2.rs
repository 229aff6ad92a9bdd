//! HTTP/2: streams that are reset, one by one and by the thousand, and many on one connection.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::Request;
use quittance_gate::testing::{Double, Entry, STUCK, gate, payment};
use quittance_protocol::{PAYMENT_SIGNATURE, encode_header};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Stage, exchange, left, paid_request, reaches, request, sell};

async fn connection(address: std::net::SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    timeout(STUCK, sender.ready()).await.unwrap().unwrap()
}

/// `POST path` on a stream of its own; its body, if one is to follow.
fn post(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    paid: bool,
    body: Option<&'static str>,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::post(format!("http://api.test{path}"));
    if paid {
        request = request.header(PAYMENT_SIGNATURE, encode_header(&payment()).unwrap());
    }
    let (answer, mut sent) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    if let Some(body) = body {
        sent.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
    (answer, sent)
}

/// Status, one header, and all of the body.
async fn whole(answer: ResponseFuture, header: &str) -> (u16, Option<String>, String) {
    let read = async {
        let (head, mut body) = answer.await.unwrap().into_parts();
        let mut all = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            all.extend_from_slice(&piece);
        }
        let header = head.headers.get(header).map(|value| value.to_str().unwrap().to_owned());
        (head.status.as_u16(), header, String::from_utf8(all).unwrap())
    };
    timeout(STUCK, read).await.expect("no answer")
}

#[tokio::test]
async fn a_call_is_sold_and_its_answer_delivered() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.add_permits(1);
    let address = sell(gate(&double), &stage).await;
    let mut sender = connection(address).await;
    let (answer, _) = post(&mut sender, "/gen", false, Some("{}"));
    let (status, offer, _) = whole(answer, "payment-required").await;
    assert!(status == 402 && offer.is_some());
    let (answer, _) = post(&mut sender, "/gen", true, Some("{}"));
    let (status, receipt, body) = whole(answer, "payment-response").await;
    assert!(status == 200 && receipt.is_some() && body == "the goods", "{status}: {body}");
    assert!(!left(&double).await);
    double.until(|entry| matches!(entry, Entry::Sent(_))).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_has_hung_up_and_its_connection_goes_on() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    let mut sender = connection(address).await;
    let (_answer, mut sent) = post(&mut sender, "/gen", true, Some("{}"));
    reaches(&stage.started, 1).await;
    sent.send_reset(Reason::CANCEL);
    assert!(left(&double).await, "nobody waits for the answer any more");
    stage.go.add_permits(1);
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    assert_eq!(double.sent(), 0);
    let (answer, _) = post(&mut sender, "/gen", true, Some("{}"));
    assert_eq!(whole(answer, "payment-state").await.2, "the goods");
    assert_eq!(stage.runs(), 1, "one run");
}

/// Streams that are opened to be reset at once: nothing is sold or kept of them, and others are served.
#[tokio::test]
async fn resets_by_the_thousand_cost_others_nothing() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.add_permits(1);
    let address = sell(gate(&double), &stage).await;
    let mut opened = 0;
    'connections: for _ in 0..50 {
        let mut sender = connection(address).await;
        for _ in 0..200 {
            match timeout(STUCK, sender.clone().ready()).await.unwrap() {
                Ok(ready) => sender = ready,
                // The server has had enough of it.
                Err(_) => continue 'connections,
            }
            let mut request = Request::post("http://api.test/gen");
            request = request.header(PAYMENT_SIGNATURE, encode_header(&payment()).unwrap());
            let Ok((_, mut sent)) = sender.send_request(request.body(()).unwrap(), false) else {
                continue 'connections;
            };
            sent.send_reset(Reason::CANCEL);
            opened += 1;
        }
    }
    assert!(opened > 1_000, "{opened}");
    let unpaid = exchange(address, &request("/gen", "", "{}")).await;
    assert!(unpaid.starts_with("HTTP/1.1 402"), "{unpaid}");
    assert!(double.log().is_empty(), "a request without its body was sold");
    let answer = exchange(address, &paid_request("/gen")).await;
    assert!(answer.ends_with("the goods"), "{answer}");
    assert_eq!(stage.runs(), 1);
}

/// One that takes its time leaves the others on its connection alone.
#[tokio::test]
async fn a_body_that_stalls_holds_up_no_other_stream() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    let mut sender = connection(address).await;
    let (_answer, _stalled) = post(&mut sender, "/gen", true, None);
    let (answer, _) = post(&mut sender, "/gen", false, Some("{}"));
    assert_eq!(whole(answer, "payment-required").await.0, 402);
    assert!(double.log().is_empty());
}
