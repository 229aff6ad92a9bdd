use std::time::Duration;

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::test::TestRequest;
use actix_web::{App, HttpResponse, HttpServer, rt, web};
use futures::{StreamExt as _, stream};
use quittance_gate::drain::{BURST, BYTES_PER_SECOND, CONNECTIONS_MAX, READ_MAX, SHORT_BYTES, TURN_MAX};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;
use crate::ReadOn;

const PIECE: usize = 32 * 1024;
const STUCK: Duration = Duration::from_secs(30);

/// A request with a body of which nothing was read yet, and the answer that is there already.
async fn early(
    length: Option<usize>,
    body: Payload,
    budget: &Arc<DrainBudget>,
) -> (ServiceResponse<BoxBody>, UnreadBody) {
    let mut req = TestRequest::post();
    if let Some(length) = length {
        req = req.insert_header((CONTENT_LENGTH, length));
    }
    let mut req = req.to_srv_request();
    req.set_payload(body);
    let unread = UnreadBody::watch(&mut req).unwrap();
    let answer = req.into_response(HttpResponse::PayloadTooLarge().body("no"));
    (drain_behind(Some(unread.clone()), Ok(answer), budget).await.unwrap(), unread)
}

fn endless() -> Payload {
    let pieces = stream::repeat_with(|| Ok(Bytes::from(vec![0; PIECE])));
    Payload::Stream { payload: Box::pin(pieces) }
}

fn silent() -> Payload {
    Payload::Stream { payload: Box::pin(stream::pending()) }
}

/// Reads the whole answer; how long that took.
async fn ended(answer: ServiceResponse<BoxBody>) -> Duration {
    let begun = Instant::now();
    assert_eq!(actix_web::body::to_bytes(answer.into_body()).await.unwrap(), "no");
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_read_at_the_pace_and_no_longer_than_may_be() {
    let budget = Arc::default();
    let mut answers = Vec::new();
    let mut unread_bodies = Vec::new();
    for _ in 0..50 {
        let (answer, unread) = early(None, endless(), &budget).await;
        answers.push(ended(answer));
        unread_bodies.push(unread);
    }
    let took = futures::future::join_all(answers).await;
    let read: usize = unread_bodies.iter().map(|unread| unread.0.borrow().arrived).sum();
    let seconds = READ_MAX + BURST + TURN_MAX;
    let most = usize::try_from(BYTES_PER_SECOND * seconds.as_secs()).unwrap() + 50 * PIECE;
    assert!(read <= most, "{read} bytes of {most}");
    assert!(took.iter().all(|took| *took <= READ_MAX + Duration::from_millis(10)), "{took:?}");
    assert_eq!(budget.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_waited_for_a_second() {
    let (answer, _) = early(Some(100), silent(), &Arc::default()).await;
    let took = ended(answer).await;
    assert!(took >= SILENCE_MAX && took < SILENCE_MAX * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_before_the_rest_is_read() {
    let (answer, unread) = early(Some(8 << 20), endless(), &Arc::default()).await;
    assert_eq!(answer.response().body().size(), BodySize::Sized(2), "its length is the answer's own");
    let mut body = answer.into_body();
    let piece = std::future::poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await;
    assert_eq!(piece.unwrap().unwrap(), "no");
    assert_eq!(unread.0.borrow().arrived, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_waits_for_the_rest() {
    let mut req = TestRequest::post().insert_header((CONTENT_LENGTH, 10)).to_srv_request();
    let (sender, body) = futures::channel::mpsc::unbounded();
    req.set_payload(Payload::Stream { payload: Box::pin(body) });
    let unread = UnreadBody::watch(&mut req).unwrap();
    let (budget, begun) = (Arc::<DrainBudget>::default(), Instant::now());
    let answered =
        drain_behind(Some(unread), Ok(req.into_response(HttpResponse::NoContent().finish())), &budget);
    let sends = async {
        tokio::time::sleep(SILENCE_MAX / 2).await;
        sender.unbounded_send(Ok(Bytes::from_static(b"0123456789"))).unwrap();
        drop(sender);
    };
    futures::join!(answered, sends).0.unwrap();
    assert_eq!(begun.elapsed(), SILENCE_MAX / 2);
    assert_eq!(budget.connections(), 0);
}

/// A handler's own task reads on behind the answer, when it likes: all of the body is its own.
#[tokio::test(start_paused = true)]
async fn no_piece_is_taken_from_a_body_that_a_handler_still_holds() {
    for has_body in [true, false] {
        let mut req = TestRequest::post().insert_header((CONTENT_LENGTH, 9)).to_srv_request();
        let pieces = ["the ", "who", "le"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        req.set_payload(Payload::Stream { payload: Box::pin(stream::iter(pieces)) });
        let unread = UnreadBody::watch(&mut req).unwrap();
        let held = req.take_payload();
        let answer = match has_body {
            true => HttpResponse::Ok().body("no"),
            false => HttpResponse::NoContent().finish(),
        };
        let budget = Arc::<DrainBudget>::default();
        let answered = drain_behind(Some(unread), Ok(req.into_response(answer)), &budget);
        let answer = tokio::task::LocalSet::new().run_until(answered).await.unwrap();
        let sent = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        assert_eq!(sent.is_empty(), !has_body);
        let read: Vec<_> = held.map(|piece| piece.unwrap()).collect().await;
        assert_eq!(read.concat(), b"the whole", "with a body: {has_body}");
        assert_eq!(budget.connections(), 0);
    }
}

/// A crowd that is refused at once sends its next megabytes at once.
#[tokio::test(start_paused = true)]
async fn refusals_of_long_bodies_wait_for_their_turn_and_others_do_not() {
    let budget = Arc::default();
    let begun = Instant::now();
    let turns = usize::try_from(BYTES_PER_SECOND).unwrap() / SHORT_BYTES;
    for _ in 0..turns {
        early(Some(8 << 20), silent(), &budget).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "a few are answered at once");
    for _ in 0..turns {
        early(Some(8 << 20), silent(), &budget).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    let begun = Instant::now();
    early(Some(SHORT_BYTES), silent(), &budget).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn so_many_are_waited_for_and_one_more_is_not() {
    let budget = Arc::default();
    let mut waiting = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        waiting.push(early(Some(10), silent(), &budget).await);
    }
    let one_more = async {
        let (answer, _) = early(Some(10), silent(), &budget).await;
        assert_eq!(ended(answer).await, Duration::ZERO);
    };
    tokio::task::LocalSet::new().run_until(one_more).await;
    drop(waiting);
    let (answer, _) = early(Some(10), silent(), &budget).await;
    assert!(ended(answer).await >= SILENCE_MAX, "places are given back");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_read_leaves_its_answer_as_it_is() {
    let mut req = TestRequest::post().set_payload("all of it").to_srv_request();
    let unread = UnreadBody::watch(&mut req).unwrap();
    let body: Vec<_> = req.take_payload().map(Result::unwrap).collect().await;
    assert_eq!(body.concat(), b"all of it");
    let (budget, begun) = (Arc::<DrainBudget>::default(), Instant::now());
    let answer = drain_behind(Some(unread), Ok(req.into_response(HttpResponse::Ok().body("no"))), &budget)
        .await
        .unwrap();
    assert_eq!(budget.connections(), 0);
    assert_eq!((ended(answer).await, begun.elapsed()), (Duration::ZERO, Duration::ZERO));
    let mut bare = TestRequest::get().to_srv_request();
    bare.set_payload(Payload::None);
    assert!(UnreadBody::watch(&mut bare).is_none());
}

/// Refuses whatever comes without reading it; `/empty` says nothing, and `/fails` fails.
fn refusing() -> std::net::SocketAddr {
    let server = HttpServer::new(|| {
        let refuse = web::to(async || HttpResponse::PayloadTooLarge().body("no: too large"));
        let empty = web::to(async || HttpResponse::NoContent().finish());
        let fails = App::new().wrap(actix_web::middleware::from_fn(fail)).wrap(ReadOn);
        fails.route("/empty", empty).default_service(refuse)
    });
    let server = server.client_disconnect_timeout(Duration::ZERO).workers(1).disable_signals();
    let server = server.bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    rt::spawn(server.run());
    address
}

async fn all_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(STUCK, stream.read_to_end(&mut answer)).await.expect("never closed");
    read.expect("it was reset");
    String::from_utf8(answer).unwrap()
}

/// Clients that write all before they read: a reset would take the answer from them.
#[actix_web::test]
async fn who_writes_all_before_reading_reads_why_it_was_refused() {
    let address = refusing();
    let chunked = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000)).repeat(64) + "0\r\n\r\n";
    for bytes in [1, 100, 100_000, 250_000, 300_000, 1 << 20, 8 << 20] {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {bytes}\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; bytes]).await.unwrap();
        let answer = all_of(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("no: too large"), "{bytes}: {answer}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let answer = all_of(&mut stream).await;
    assert!(answer.ends_with("no: too large"), "{answer}");
}

/// Whoever announces a body and sends none hears at once, and has to close by itself.
#[actix_web::test]
async fn who_reads_first_is_answered_before_its_body() {
    let address = refusing();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8388608\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut seen = Vec::new();
    while !seen.ends_with(b"no: too large") {
        let n = timeout(STUCK, stream.read_buf(&mut seen)).await.expect("no answer").unwrap();
        assert!(n > 0, "closed before its answer");
    }
    assert!(begun.elapsed() < SILENCE_MAX, "{:?}", begun.elapsed());
    assert!(String::from_utf8(seen).unwrap().to_ascii_lowercase().contains("connection: close"));
    assert!(all_of(&mut stream).await.is_empty());
}

/// A service of a host's that fails instead of answering.
async fn fail(
    req: ServiceRequest,
    next: actix_web::middleware::Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match req.path() {
        "/fails" => Err(actix_web::error::ErrorBadRequest("no")),
        _ => next.call(req).await,
    }
}

/// Sends chunks until the connection is closed; how long that took.
async fn endless_chunks(address: std::net::SocketAddr, path: &str) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let begun = Instant::now();
    let sent = async { while stream.write_all(chunk.as_bytes()).await.is_ok() {} };
    timeout(STUCK, sent).await.unwrap_or_else(|_| panic!("{path}: read for ever"));
    begun.elapsed()
}

/// Chunks whose reader is gone would be read for as long as they come.
#[actix_web::test]
async fn chunks_without_an_end_are_not_read_for_ever_whatever_the_answer_is() {
    let address = refusing();
    for path in ["/", "/empty", "/fails"] {
        let took = endless_chunks(address, path).await;
        assert!(took < READ_MAX + BURST + TURN_MAX + SILENCE_MAX, "{path}: {took:?}");
    }
}

#[actix_web::test]
async fn chunks_without_an_end_are_not_read_where_too_many_are_waited_for() {
    let address = refusing();
    let all = (0..=CONNECTIONS_MAX).map(|_| endless_chunks(address, "/"));
    futures::future::join_all(all).await;
}
