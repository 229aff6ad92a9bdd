//! Clients that hang up, and answers that are cut or taken.

use std::sync::Arc;

use quittance_gate::testing::{Double, Entry, gate};
use tokio::net::TcpStream;

use super::{Stage, connect, exchange, left, paid_request, reaches, read_until, request, sell};

/// Resets the connection.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// A reset, and a mere close.
const HANGING_UP: [fn(TcpStream); 2] = [reset, drop];

#[tokio::test]
async fn a_client_that_hangs_up_mid_handler_finds_its_answer() {
    for hang_up in HANGING_UP {
        let (double, stage) = (Arc::new(Double::default()), Stage::default());
        let address = sell(gate(&double), &stage).await;
        let stream = connect(address, &paid_request("/gen")).await;
        reaches(&stage.started, 1).await;
        hang_up(stream);
        assert!(left(&double).await, "nobody waits for the answer any more");
        stage.go.add_permits(1);
        double.until(|entry| matches!(entry, Entry::Finish(_))).await;
        assert_eq!(double.sent(), 0);
        let again = exchange(address, &paid_request("/gen")).await;
        assert!(again.starts_with("HTTP/1.1 200") && again.ends_with("the goods"), "{again}");
        assert_eq!(stage.runs(), 1, "one run");
        assert!(!left(&double).await, "this one took its answer");
    }
}

/// hyper reads no further while it has bytes in hand: a line too many, or the next request.
#[tokio::test]
async fn a_hang_up_behind_bytes_that_nobody_reads_is_seen() {
    let next = request("/gen", "", "{}");
    for hang_up in HANGING_UP {
        for behind in ["\r\n", &next, &"x".repeat(20_000)] {
            let (double, stage) = (Arc::new(Double::default()), Stage::default());
            let address = sell(gate(&double), &stage).await;
            let paid = paid_request("/gen").replace("connection: close", "connection: keep-alive");
            let stream = connect(address, &format!("{paid}{behind}")).await;
            reaches(&stage.started, 1).await;
            hang_up(stream);
            assert!(left(&double).await, "nobody waits for the answer any more");
            stage.go.add_permits(1);
            double.until(|entry| matches!(entry, Entry::Finish(_))).await;
            assert_eq!(double.sent(), 0);
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_mid_settlement_finds_its_answer() {
    for hang_up in HANGING_UP {
        let (double, stage) = (Double::waiting(), Stage::default());
        stage.go.add_permits(1);
        let address = sell(gate(&double), &stage).await;
        let stream = connect(address, &paid_request("/gen")).await;
        double.until(|entry| matches!(entry, Entry::Pay(_))).await;
        hang_up(stream);
        assert!(left(&double).await);
        assert_eq!(stage.runs(), 0);
        double.settlements.add_permits(2);
        double.until(|entry| matches!(entry, Entry::Finish(_))).await;
        let again = exchange(address, &paid_request("/gen")).await;
        assert!(again.starts_with("HTTP/1.1 200") && again.ends_with("the goods"), "{again}");
        assert_eq!(stage.runs(), 1, "one run");
    }
}

/// hyper asks a body of a known length for no more than that, so its end would never be seen.
#[tokio::test]
async fn an_answer_of_known_length_that_was_taken_is_delivered() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.add_permits(1);
    let address = sell(gate(&double), &stage).await;
    for what in ["the run's own", "a replay"] {
        let answer = exchange(address, &paid_request("/gen")).await;
        let head = answer.to_ascii_lowercase();
        assert!(head.contains("content-length: 9\r\n") && answer.ends_with("the goods"), "{what}: {answer}");
        assert!(head.contains("payment-state: delivered"), "{what}: {answer}");
        assert!(!left(&double).await, "{what}");
    }
    double.until(|entry| matches!(entry, Entry::Sent(_))).await;
    assert_eq!(stage.runs(), 1);
}

#[tokio::test]
async fn who_hangs_up_in_the_middle_of_a_stream_has_left() {
    for hang_up in HANGING_UP {
        let (double, stage) = (Arc::new(Double::default()), Stage::default());
        let address = sell(gate(&double), &stage).await;
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

#[tokio::test]
async fn events_cross_the_wire_one_by_one() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    let address = sell(gate(&double), &stage).await;
    let mut stream = connect(address, &paid_request("/items/1")).await;
    stage.go.add_permits(1);
    let head = read_until(&mut stream, "data: 0").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.to_ascii_lowercase().contains("payment-response: "));
    stage.go.add_permits(2);
    read_until(&mut stream, "\r\n0\r\n\r\n").await;
    assert_eq!(&double.finished().unwrap().body[..], b"data: 0\n\ndata: 1\n\n");
    assert!(!left(&double).await);
}

#[tokio::test]
async fn a_broken_stream_ends_without_its_last_chunk() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.add_permits(3);
    let address = sell(gate(&double), &stage).await;
    let answer = exchange(address, &paid_request("/items/breaks")).await;
    assert!(answer.contains("data: 1"), "{answer}");
    assert!(!answer.contains("\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
}

#[tokio::test]
async fn a_panic_is_answered_over_the_wire() {
    let (double, stage) = (Arc::new(Double::default()), Stage::default());
    stage.go.close();
    let address = sell(gate(&double), &stage).await;
    let answer = exchange(address, &paid_request("/gen")).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("payment-state: credited"), "{answer}");
    assert!(answer.contains("\"retry_action\":\"retry_same_payment\""), "{answer}");
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
}
