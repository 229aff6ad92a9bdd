//! Over real connections: clients that hang up, crawl, or send odd bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Service as _;
use actix_web::{App, HttpResponse, HttpServer, rt, web};
use quittance_protocol::encode_header;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::{gate, limits, payment};
use crate::Limits;
use crate::{GateBuilder, Mount as _};
use quittance_gate::testing::{Double, Entry, STUCK, another};

/// What a test and its server's threads share.
#[derive(Clone)]
struct Stage {
    /// The handler waits for one of these before each chunk.
    go: Arc<Semaphore>,
    started: Arc<watch::Sender<usize>>,
    /// Requests that actix dropped before they were answered.
    dropped: Arc<watch::Sender<usize>>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            go: Arc::new(Semaphore::new(0)),
            started: Arc::new(watch::Sender::new(0)),
            dropped: Arc::new(watch::Sender::new(0)),
        }
    }
}

struct OnDrop(Option<Arc<watch::Sender<usize>>>);

impl OnDrop {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.send_modify(|n| *n += 1);
        }
    }
}

async fn generate(stage: web::Data<Stage>) -> HttpResponse {
    stage.started.send_modify(|n| *n += 1);
    stage.go.acquire().await.unwrap().forget();
    HttpResponse::Ok().body("the goods")
}

/// Two events, then a broken stream if the path says so.
async fn events(stage: web::Data<Stage>, id: web::Path<String>) -> HttpResponse {
    let breaks = *id == "breaks";
    let stream = futures::stream::unfold(0, move |n| {
        let go = Arc::clone(&stage.go);
        async move {
            go.acquire().await.unwrap().forget();
            match n {
                2 if breaks => Some((Err(std::io::Error::other("reset")), 3)),
                0 | 1 => Some((Ok(bytes::Bytes::from(format!("data: {n}\n\n"))), n + 1)),
                _ => None,
            }
        }
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(stream)
}

/// Starts a server on a free port; it ends with the test's runtime.
fn serve(gate: GateBuilder, stage: &Stage) -> SocketAddr {
    let (gate, stage) = (gate.build(), stage.clone());
    let server = crate::notice_hang_ups!(HttpServer::new(move || {
        let dropped = Arc::clone(&stage.dropped);
        App::new()
            .app_data(web::Data::new(stage.clone()))
            .wrap_fn(move |req, service| {
                let mut guard = OnDrop(Some(Arc::clone(&dropped)));
                let answer = service.call(req);
                async move {
                    let answer = answer.await;
                    guard.disarm();
                    answer
                }
            })
            .service(
                web::scope("")
                    .wrap(gate.middleware())
                    .route("/gen", web::post().to(generate))
                    .route("/items/{id}", web::post().to(events)),
            )
    }))
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    rt::spawn(server.run());
    address
}

fn request(path: &str, extra: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{extra}\r\n{body}"
    )
}

fn paid_request(path: &str) -> String {
    let header = encode_header(&payment()).unwrap();
    request(path, &format!("payment-signature: {header}\r\n"), "{}")
}

async fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Everything the server says until it closes.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address, request).await;
    let mut answer = Vec::new();
    // A reset after the answer is a close, too.
    let _ = timeout(STUCK, stream.read_to_end(&mut answer)).await.expect("never closed");
    String::from_utf8(answer).unwrap()
}

async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let mut chunk = [0; 1_024];
        let n = timeout(STUCK, stream.read(&mut chunk)).await.expect("never said").unwrap();
        assert!(n > 0, "closed before {wanted:?}: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8(seen).unwrap()
}

async fn reaches(counter: &watch::Sender<usize>, n: usize) {
    let mut counter = counter.subscribe();
    let reached = counter.wait_for(|count| *count >= n);
    timeout(STUCK, reached).await.expect("never reached").unwrap();
}

/// Resets the connection.
fn hang_up(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[actix_web::test]
async fn a_client_that_hangs_up_mid_handler_finds_its_answer() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = serve(gate(&double), &stage);
    let stream = connect(address, &paid_request("/gen")).await;
    reaches(&stage.started, 1).await;
    hang_up(stream);
    reaches(&stage.dropped, 1).await;
    stage.go.add_permits(1);
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    assert_eq!(double.sent(), 0);
    let again = exchange(address, &paid_request("/gen")).await;
    assert!(again.starts_with("HTTP/1.1 200") && again.ends_with("the goods"), "{again}");
    assert_eq!(*stage.started.borrow(), 1, "one run");
}

#[actix_web::test]
async fn a_client_that_hangs_up_mid_settlement_finds_its_answer() {
    let (double, stage) = (Double::waiting(), Stage::default());
    stage.go.add_permits(1);
    let address = serve(gate(&double), &stage);
    let stream = connect(address, &paid_request("/gen")).await;
    double.until(|entry| matches!(entry, Entry::Pay(_))).await;
    hang_up(stream);
    reaches(&stage.dropped, 1).await;
    assert_eq!(*stage.started.borrow(), 0);
    double.settlements.add_permits(2);
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    let again = exchange(address, &paid_request("/gen")).await;
    assert!(again.starts_with("HTTP/1.1 200") && again.ends_with("the goods"), "{again}");
    assert_eq!(*stage.started.borrow(), 1, "one run");
}

/// Waits until the gate knows how the connection of the last caller ended.
async fn left(double: &Double) -> bool {
    let ended = async {
        loop {
            let left = double.callers.lock().unwrap().last().and_then(quittance_facilitator::Waiting::left);
            match left {
                Some(left) => return left,
                None => rt::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    };
    timeout(STUCK, ended).await.expect("the connection never ended")
}

/// A reset, and a mere close, which the host has to pass on.
const HANGING_UP: [fn(TcpStream); 2] = [hang_up, drop];

#[actix_web::test]
async fn who_hangs_up_before_the_answer_has_left() {
    for hang_up in HANGING_UP {
        for (double, permits) in [(Arc::new(Double::default()), 0), (Double::waiting(), 2)] {
            let stage = Stage::default();
            let address = serve(gate(&double), &stage);
            let stream = connect(address, &paid_request("/gen")).await;
            // In the handler, or while the payment is checked.
            double.until(|entry| matches!(entry, Entry::Pay(_))).await;
            hang_up(stream);
            assert!(left(&double).await, "nobody waits for the answer any more");
            double.settlements.add_permits(permits);
            stage.go.add_permits(1);
            double.until(|entry| matches!(entry, Entry::Finish(_))).await;
            assert_eq!(double.sent(), 0);
            exchange(address, &paid_request("/gen")).await;
            assert!(!left(&double).await, "this one took its answer");
        }
    }
}

#[actix_web::test]
async fn who_hangs_up_in_the_middle_of_a_stream_has_left() {
    for hang_up in HANGING_UP {
        let (double, stage) = (Arc::new(Double::default()), Stage::default());
        let address = serve(gate(&double), &stage);
        let mut stream = connect(address, &paid_request("/items/1")).await;
        stage.go.add_permits(1);
        read_until(&mut stream, "data: 0").await;
        assert_eq!(double.callers.lock().unwrap()[0].left(), None, "it is still reading");
        hang_up(stream);
        assert!(left(&double).await);
        stage.go.add_permits(2);
        double.until(|entry| matches!(entry, Entry::Finish(_))).await;
        assert_eq!(double.sent(), 0, "and has no complete answer");
    }
}

#[actix_web::test]
async fn events_cross_the_wire_one_by_one() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = serve(gate(&double), &stage);
    let mut stream = connect(address, &paid_request("/items/1")).await;
    stage.go.add_permits(1);
    let head = read_until(&mut stream, "data: 0").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.to_ascii_lowercase().contains("payment-response: "));
    stage.go.add_permits(2);
    read_until(&mut stream, "\r\n0\r\n\r\n").await;
    assert_eq!(&double.finished().unwrap().body[..], b"data: 0\n\ndata: 1\n\n");
}

#[actix_web::test]
async fn a_broken_stream_ends_without_its_last_chunk() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.add_permits(3);
    let address = serve(gate(&double), &stage);
    let answer = exchange(address, &paid_request("/items/breaks")).await;
    assert!(answer.contains("data: 1"), "{answer}");
    assert!(!answer.contains("\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
}

#[actix_web::test]
async fn a_body_that_does_not_arrive_is_408() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = serve(gate(&double).limits(Limits { body_read_ms: 1, ..limits() }), &stage);
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

#[actix_web::test]
async fn a_body_without_a_length_is_counted() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = serve(gate(&double), &stage);
    let head = "POST /gen HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let mut stream = connect(address, &format!("{head}{}", chunk.repeat(3))).await;
    let answer = read_until(&mut stream, "body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(double.log().is_empty());
}

#[actix_web::test]
async fn a_client_that_hangs_up_mid_body_costs_nothing() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = serve(gate(&double), &stage);
    let half = paid_request("/gen").replace("content-length: 2", "content-length: 9");
    let mut stream = connect(address, &half).await;
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(double.log().is_empty(), "an incomplete request was sold");
    assert_eq!(*stage.started.borrow(), 0);
}

/// A proxy that appends on a retry, in both ways that servers see it.
#[actix_web::test]
async fn a_payment_header_that_came_twice_is_one_and_a_different_one_is_none() {
    let header = encode_header(&payment()).unwrap();
    let other = encode_header(&another(1)).unwrap();
    for (first, second, status) in [(&header, &header, "200"), (&header, &other, "402")] {
        for lines in [
            format!("payment-signature: {first}\r\nPayment-Signature: {second}\r\n"),
            format!("payment-signature: {first}, {second}\r\n"),
        ] {
            let (double, stage) = (Arc::new(Double::default()), Stage::default());
            stage.go.add_permits(1);
            let address = serve(gate(&double), &stage);
            let answer = exchange(address, &request("/gen", &lines, "{}")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert_eq!(*stage.started.borrow(), usize::from(status == "200"));
        }
    }
}

#[actix_web::test]
async fn a_panic_is_answered_over_the_wire() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.close();
    let address = serve(gate(&double), &stage);
    let answer = exchange(address, &paid_request("/gen")).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("payment-state: credited"), "{answer}");
    assert!(answer.contains("\"retry_action\":\"retry_same_payment\""), "{answer}");
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
}
