//! Streamed answers: passed on at once, kept up to a limit, booked at the end.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::reply::{Chunks, PANIC, Reply};
use super::{App, app, open, paid, read, saying};
use crate::testing::{Double, Entry, gate, limits};
use crate::{Body, BrokenOff, GateBuilder, Limits};

type Events = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A handler whose chunks the test sends one by one.
fn live(gate: GateBuilder) -> (Events, App) {
    let (chunks, receiver) = mpsc::unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    let app = app(gate, move |_| {
        let mut receiver = receiver.lock().unwrap().take().unwrap();
        let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let reply = Reply::ok().header("content-type", "text/event-stream").stream(stream);
        std::future::ready(reply)
    });
    (chunks, app)
}

async fn next(body: &mut Body) -> Option<Result<Bytes, BrokenOff>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

fn text(chunk: &'static str) -> Result<Bytes, std::io::Error> {
    Ok(Bytes::from_static(chunk.as_bytes()))
}

/// The body of one paid call to a handler with this body, as the client sees it.
async fn read_of(
    gate: GateBuilder,
    body: impl Fn() -> Chunks + Send + Sync + 'static,
) -> Result<Bytes, BrokenOff> {
    let app = saying(gate, move || Reply::ok().chunks(body()));
    let response = open(&app, paid("/gen")).await;
    assert_eq!(response.headers().get("payment-state").unwrap(), "running");
    assert!(response.headers().contains_key("payment-response"));
    read(response.into_body()).await
}

#[tokio::test]
async fn events_reach_the_client_as_they_come_and_the_end_after_the_ledger() {
    let double = Arc::new(Double::default());
    let (chunks, app) = live(gate(&double));
    let response = open(&app, paid("/gen")).await;
    assert_eq!(response.headers().get("cache-control").unwrap(), "private");
    assert!(response.headers().contains_key("payment-response"));
    let mut body = response.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        chunks.send(text(event)).unwrap();
        assert_eq!(next(&mut body).await, Some(Ok(Bytes::from_static(event.as_bytes()))));
        assert!(double.finished().is_none());
    }
    drop(chunks);
    assert_eq!(next(&mut body).await, None);
    let log = double.log();
    assert!(matches!(&log[..], [Entry::Pay(_), Entry::Finish(_), Entry::Sent(_)]), "{log:?}");
    let stored = double.finished().unwrap();
    assert_eq!(&stored.body[..], b"data: 1\n\ndata: 2\n\n");
    assert!(stored.headers.contains(&("content-type".to_owned(), b"text/event-stream".to_vec())));
}

/// hyper asks a body of HTTP/1 for no more bytes than were announced, and drops it then.
#[tokio::test]
async fn a_body_that_is_asked_for_its_length_only_is_delivered() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double), || Reply::ok().chunks(Chunks::new(Some(9), [Ok("the "), Ok("goods")])));
    for what in ["the run's own", "a replay"] {
        let before = double.sent();
        let mut body = open(&app, paid("/gen")).await.into_body();
        let mut read = Vec::new();
        while read.len() < 9 {
            assert_eq!(double.sent(), before, "{what}: its end is not there yet");
            read.extend(next(&mut body).await.unwrap().unwrap());
        }
        drop(body);
        assert_eq!((&read[..], double.sent()), (&b"the goods"[..], before + 1), "{what}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_finds_all_of_it_later() {
    let double = Arc::new(Double::default());
    let (chunks, app) = live(gate(&double));
    let response = open(&app, paid("/gen")).await;
    chunks.send(text("before ")).unwrap();
    drop(response);
    chunks.send(text("after")).unwrap();
    drop(chunks);
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    assert_eq!(double.sent(), 0);
    let again = super::call(&app, paid("/gen")).await;
    assert_eq!(&again.body[..], b"before after");
}

#[tokio::test]
async fn a_stream_that_breaks_is_cut_and_credited() {
    for failure in ["upstream reset", PANIC] {
        let double = Arc::new(Double::default());
        let body = move || Chunks::new(None, [Ok("a part"), Err(failure)]);
        assert_eq!(read_of(gate(&double), body).await, Err(BrokenOff), "{failure}");
        assert_eq!(double.credited().as_deref(), Some("handler_failed"), "{failure}");
        assert!(double.finished().is_none());
        assert_eq!(double.sent(), 0);
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_booked_does_not_end_well() {
    let double = Arc::new(Double::default());
    double.ledger_down.store(true, Ordering::SeqCst);
    let body = || Chunks::new(None, [Ok("all of it")]);
    assert_eq!(read_of(gate(&double), body).await, Err(BrokenOff));
    assert_eq!(double.sent(), 0);
}

#[tokio::test]
async fn a_long_answer_is_delivered_whole_and_kept_in_the_store() {
    let half: &'static str = "h".repeat(600).leak();
    for size in [None, Some(1_200)] {
        let double = Arc::new(Double::default());
        let body = move || Chunks::new(size, [Ok(half), Ok(half)]);
        assert_eq!(read_of(gate(&double), body).await.unwrap().len(), 1_200, "{size:?}");
        let stored = double.finished().unwrap();
        assert!(!stored.truncated && stored.body.is_empty());
        assert_eq!(stored.object.unwrap().bytes, 1_200);
        assert_eq!(stored.status, 200);
        assert_eq!(double.sent(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_falls_short_of_its_length_is_cut_and_credited() {
    let half: &'static str = "h".repeat(600).leak();
    let double = Arc::new(Double::default());
    let body = move || Chunks::new(Some(1_200), [Ok(half)]);
    assert_eq!(read_of(gate(&double), body).await, Err(BrokenOff));
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
}

#[tokio::test]
async fn an_answer_of_exactly_the_limit_is_kept() {
    let all: &'static str = "h".repeat(1_000).leak();
    let double = Arc::new(Double::default());
    let body = move || Chunks::new(None, [Ok(all)]);
    assert_eq!(read_of(gate(&double), body).await.unwrap().len(), 1_000);
    let stored = double.finished().unwrap();
    assert!(!stored.truncated);
    assert_eq!(stored.body.len(), 1_000);
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_the_run() {
    let double = Arc::new(Double::default());
    let app =
        saying(gate(&double), || Reply::ok().chunks(Chunks::new(None, [Ok("1"), Ok("2"), Ok("3"), Ok("4")])));
    let response = open(&app, paid("/gen")).await;
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    assert_eq!(&double.finished().unwrap().body[..], b"1234");
    assert_eq!(double.sent(), 0, "nobody has got it yet");
    assert_eq!(&read(response.into_body()).await.unwrap()[..], b"1234", "late, and whole");
    assert_eq!(double.sent(), 1);
}

#[tokio::test]
async fn a_stream_without_end_is_stopped_at_the_deadline() {
    let double = Arc::new(Double::default());
    let (chunks, app) = live(gate(&double).limits(Limits { run_seconds_max: 0, ..limits() }));
    let response = open(&app, paid("/gen")).await;
    assert_eq!(response.status(), 200);
    assert!(read(response.into_body()).await.is_err());
    assert_eq!(double.credited().as_deref(), Some("handler_too_slow"));
    drop(chunks);
}

/// P1: this process may no longer act, and another may start the run at any moment.
#[tokio::test]
async fn p1_a_stream_without_a_lease_breaks_off() {
    let double = Arc::new(Double::default());
    let (chunks, app) = live(gate(&double));
    let response = open(&app, paid("/gen")).await;
    let mut body = response.into_body();
    chunks.send(text("data: 1\n\n")).unwrap();
    assert_eq!(next(&mut body).await, Some(Ok(Bytes::from_static(b"data: 1\n\n"))));
    double.revoked.cancel();
    assert!(matches!(next(&mut body).await, Some(Err(_))), "cut, not ended");
    double.until(|entry| matches!(entry, Entry::Credit(reason) if reason == "run_revoked")).await;
    assert!(double.finished().is_none(), "nothing is released");
}
