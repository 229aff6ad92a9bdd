//! The gate behind a real server of HTTP/1.1 and HTTP/2, over a facilitator that fails on command.

mod bounds;
mod hang_ups;
mod http2;
mod mount;
mod rests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use quittance_facilitator::Waiting;
use quittance_facilitator::config::ServerConfig;
use quittance_gate::testing::{Double, STUCK, payment};
use quittance_protocol::encode_header;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::{GateBuilder, Mount as _, Paid, serve};

/// What a test and its handlers share.
#[derive(Clone)]
struct Stage {
    /// The handler waits for one of these before each chunk.
    go: Arc<Semaphore>,
    started: Arc<watch::Sender<usize>>,
}

impl Default for Stage {
    fn default() -> Self {
        Self { go: Arc::new(Semaphore::new(0)), started: Arc::new(watch::Sender::new(0)) }
    }
}

impl Stage {
    fn runs(&self) -> usize {
        *self.started.borrow()
    }
}

async fn generate(State(stage): State<Stage>, paid: Paid) -> String {
    assert_eq!(paid.payment_id.to_string(), "pay_1");
    stage.started.send_modify(|n| *n += 1);
    stage.go.acquire().await.unwrap().forget();
    "the goods".to_owned()
}

/// Two events, then a broken stream if the path says so.
async fn events(State(stage): State<Stage>, Path(id): Path<String>) -> Response {
    let breaks = id == "breaks";
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
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

fn routes(stage: &Stage) -> Router {
    Router::new().route("/gen", post(generate)).route("/items/{id}", post(events)).with_state(stage.clone())
}

/// Starts a server on a free port; it ends with the test's runtime.
async fn start(app: Router, config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, app, &config, std::future::pending()).await });
    address
}

async fn sell(gate: GateBuilder, stage: &Stage) -> SocketAddr {
    start(routes(stage).layer(gate.build().layer()), ServerConfig::default()).await
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
    all_of(&mut stream).await
}

async fn all_of(stream: &mut TcpStream) -> String {
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

/// Waits until the gate knows how the connection of the last caller ended.
async fn left(double: &Double) -> bool {
    let ended = async {
        loop {
            let left = double.callers.lock().unwrap().last().and_then(Waiting::left);
            match left {
                Some(left) => return left,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(STUCK, ended).await.expect("the connection never ended")
}
