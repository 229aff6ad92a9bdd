//! What the server bounds: heads, silence, connections, and how long a stop waits.

use std::sync::Arc;
use std::time::Duration;

use quittance_facilitator::config::ServerConfig;
use quittance_gate::testing::{Double, STUCK, gate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Stage, all_of, connect, exchange, paid_request, reaches, read_until, request, routes, start};
use crate::{Mount as _, serve};

fn quick() -> ServerConfig {
    ServerConfig { header_seconds_max: 1, keep_alive_seconds: 1, ..ServerConfig::default() }
}

async fn selling(config: ServerConfig) -> (std::net::SocketAddr, Stage) {
    let stage = Stage::default();
    let gate = gate(&Arc::new(Double::default())).build();
    (start(routes(&stage).layer(gate.layer()), config).await, stage)
}

/// Nothing at all, what may become HTTP/2 or a POST, half a head, and a preface without a request.
#[tokio::test]
async fn who_sends_no_whole_head_is_closed_in_time() {
    let (address, _) = selling(quick()).await;
    let begun = Instant::now();
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    for part in ["", "P", "POST /gen HTTP/1.1\r\nhost: a\r\n", preface] {
        let mut stream = connect(address, part).await;
        let mut answer = Vec::new();
        timeout(STUCK, stream.read_to_end(&mut answer)).await.expect("never closed").unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{part:?}");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(12), "{took:?}");
}

#[tokio::test]
async fn a_second_request_has_to_begin_and_to_come_in_time() {
    let (address, _) = selling(quick()).await;
    for part in ["", "GET /fr"] {
        let unpaid = request("/gen", "", "{}").replace("connection: close", "connection: keep-alive");
        let mut stream = connect(address, &unpaid).await;
        read_until(&mut stream, "retry_action").await;
        stream.write_all(part.as_bytes()).await.unwrap();
        all_of(&mut stream).await;
    }
}

/// A handler may take longer than a connection may be idle.
#[tokio::test]
async fn a_connection_whose_request_is_being_answered_is_not_idle() {
    let (address, stage) = selling(quick()).await;
    let stream = connect(address, &paid_request("/gen")).await;
    reaches(&stage.started, 1).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    stage.go.add_permits(1);
    let mut stream = stream;
    let answer = all_of(&mut stream).await;
    assert!(answer.ends_with("the goods"), "{answer}");
}

/// Its time for a head was over, and then its head was there.
#[tokio::test]
async fn a_request_that_comes_just_when_its_connection_goes_is_answered() {
    let (address, stage) = selling(quick()).await;
    let paid = paid_request("/gen");
    let (first, rest) = paid.split_at(20);
    let mut stream = connect(address, first).await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    reaches(&stage.started, 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stage.go.add_permits(1);
    let answer = all_of(&mut stream).await;
    assert!(answer.ends_with("the goods"), "{answer}");
}

#[tokio::test]
async fn a_giant_head_is_refused_unread() {
    let (address, stage) = selling(ServerConfig::default()).await;
    for extra in [format!("x-long: {}\r\n", "a".repeat(200_000)), "x-many: a\r\n".repeat(10_000)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be closed before all of it is written.
        let _ = stream.write_all(request("/gen", &extra, "{}").as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(STUCK, stream.read_to_end(&mut answer)).await.expect("never closed");
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(stage.runs(), 0);
}

#[tokio::test]
async fn one_address_has_its_number_of_connections() {
    let (address, _) = selling(ServerConfig { connections_address_max: 2, ..ServerConfig::default() }).await;
    let unpaid = request("/gen", "", "{}").replace("connection: close", "connection: keep-alive");
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(address, &unpaid).await;
        read_until(&mut stream, "retry_action").await;
        held.push(stream);
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    let _ = refused.write_all(unpaid.as_bytes()).await;
    assert!(all_of(&mut refused).await.is_empty());
    held.pop();
    let again = async {
        loop {
            let answer = exchange(address, &request("/gen", "", "{}")).await;
            if answer.starts_with("HTTP/1.1 402") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(STUCK, again).await.expect("its place is not given back");
}

/// Idle connections go at once; what is being served is finished, for as long as may be.
#[tokio::test]
async fn a_stop_finishes_what_is_being_served_and_waits_no_longer_than_it_may() {
    for finishes in [true, false] {
        let stage = Stage::default();
        let app = routes(&stage).layer(gate(&Arc::new(Double::default())).build().layer());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = ServerConfig { shutdown_seconds: 2, ..ServerConfig::default() };
        let server = tokio::spawn(async move {
            serve(listener, app, &config, async { drop(stopped.await) }).await.unwrap();
        });
        let mut idle = connect(address, "").await;
        let mut busy = connect(address, &paid_request("/gen")).await;
        reaches(&stage.started, 1).await;
        let begun = Instant::now();
        stop.send(()).unwrap();
        assert!(all_of(&mut idle).await.is_empty());
        assert!(TcpStream::connect(address).await.is_err(), "nobody else is let in");
        if finishes {
            stage.go.add_permits(1);
        }
        let answer = all_of(&mut busy).await;
        assert_eq!(answer.ends_with("the goods"), finishes, "{answer}");
        timeout(STUCK, server).await.expect("it never stopped").unwrap();
        assert_eq!(begun.elapsed() >= Duration::from_secs(2), !finishes, "{:?}", begun.elapsed());
    }
}
