//! Streamed answers: passed on at once, kept up to a limit, booked at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::body::{BodySize, BoxBody, MessageBody, to_bytes};
use actix_web::test::call_service;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::runs::{Chunks, PANIC};
use super::{app, gate, limits, paid};
use crate::GateBuilder;
use crate::Limits;
use quittance_gate::testing::{Double, Entry};

type Events = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A handler whose chunks the test sends one by one.
fn live() -> (Events, impl FnOnce(&mut web::ServiceConfig)) {
    let (chunks, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let handlers = move |config: &mut web::ServiceConfig| {
        config.default_service(web::to(move || {
            let receiver = Arc::clone(&receiver);
            async move {
                let mut receiver = receiver.lock().await.take().unwrap();
                let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
                HttpResponse::Ok().content_type("text/event-stream").streaming(stream)
            }
        }));
    };
    (chunks, handlers)
}

async fn next(body: &mut std::pin::Pin<Box<BoxBody>>) -> Option<Result<Bytes, ()>> {
    std::future::poll_fn(|cx| body.as_mut().poll_next(cx)).await.map(|chunk| chunk.map_err(|_| ()))
}

fn text(chunk: &'static str) -> Result<Bytes, std::io::Error> {
    Ok(Bytes::from_static(chunk.as_bytes()))
}

/// The body of one paid call to a handler with this body, as the client sees it.
async fn read(gate: GateBuilder, body: impl Fn() -> Chunks + Clone + 'static) -> Result<Bytes, ()> {
    let app = app(gate, |config| {
        config.default_service(web::to(move || std::future::ready(HttpResponse::Ok().body(body()))));
    })
    .await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    assert_eq!(response.headers().get("payment-state").unwrap(), "running");
    assert!(response.headers().contains_key("payment-response"));
    to_bytes(response.into_body()).await.map_err(|_| ())
}

#[actix_web::test]
async fn events_reach_the_client_as_they_come_and_the_end_after_the_ledger() {
    let double = Arc::new(Double::default());
    let (chunks, handlers) = live();
    let app = app(gate(&double), handlers).await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    assert_eq!(response.headers().get("cache-control").unwrap(), "private");
    assert!(response.headers().contains_key("payment-response"));
    let mut body = Box::pin(response.into_body());
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

#[actix_web::test]
async fn a_client_that_leaves_a_stream_finds_all_of_it_later() {
    let double = Arc::new(Double::default());
    let (chunks, handlers) = live();
    let app = app(gate(&double), handlers).await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    chunks.send(text("before ")).unwrap();
    drop(response);
    chunks.send(text("after")).unwrap();
    drop(chunks);
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    assert_eq!(double.sent(), 0);
    let again = super::call(&app, paid("/gen")).await;
    assert_eq!(&again.body[..], b"before after");
}

#[actix_web::test]
async fn a_stream_that_breaks_is_cut_and_credited() {
    for failure in ["upstream reset", PANIC] {
        let double = Arc::new(Double::default());
        let body = move || Chunks::new(BodySize::Stream, [Ok("a part"), Err(failure)]);
        assert_eq!(read(gate(&double), body).await, Err(()), "{failure}");
        assert_eq!(double.credited().as_deref(), Some("handler_failed"), "{failure}");
        assert!(double.finished().is_none());
        assert_eq!(double.sent(), 0);
    }
}

#[actix_web::test]
async fn a_stream_that_cannot_be_booked_does_not_end_well() {
    let double = Arc::new(Double::default());
    double.ledger_down.store(true, Ordering::SeqCst);
    let body = || Chunks::new(BodySize::Stream, [Ok("all of it")]);
    assert_eq!(read(gate(&double), body).await, Err(()));
    assert_eq!(double.sent(), 0);
}

#[actix_web::test]
async fn a_long_answer_is_delivered_whole_and_kept_in_the_store() {
    let half: &'static str = "h".repeat(600).leak();
    for size in [BodySize::Stream, BodySize::Sized(1_200)] {
        let double = Arc::new(Double::default());
        let body = move || Chunks::new(size, [Ok(half), Ok(half)]);
        assert_eq!(read(gate(&double), body).await.unwrap().len(), 1_200, "{size:?}");
        let stored = double.finished().unwrap();
        assert!(!stored.truncated && stored.body.is_empty());
        assert_eq!(stored.object.unwrap().bytes, 1_200);
        assert_eq!(stored.status, 200);
        assert_eq!(double.sent(), 1);
    }
}

#[actix_web::test]
async fn a_stream_that_falls_short_of_its_length_is_cut_and_credited() {
    let half: &'static str = "h".repeat(600).leak();
    let double = Arc::new(Double::default());
    let body = move || Chunks::new(BodySize::Sized(1_200), [Ok(half)]);
    assert_eq!(read(gate(&double), body).await, Err(()));
    assert_eq!(double.credited().as_deref(), Some("handler_failed"));
}

#[actix_web::test]
async fn an_answer_of_exactly_the_limit_is_kept() {
    let all: &'static str = "h".repeat(1_000).leak();
    let double = Arc::new(Double::default());
    let body = move || Chunks::new(BodySize::Stream, [Ok(all)]);
    assert_eq!(read(gate(&double), body).await.unwrap().len(), 1_000);
    let stored = double.finished().unwrap();
    assert!(!stored.truncated);
    assert_eq!(stored.body.len(), 1_000);
}

#[actix_web::test]
async fn a_client_that_reads_nothing_does_not_hold_the_run() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.default_service(web::to(|| {
            let body = Chunks::new(BodySize::Stream, [Ok("1"), Ok("2"), Ok("3"), Ok("4")]);
            std::future::ready(HttpResponse::Ok().body(body))
        }));
    })
    .await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    double.until(|entry| matches!(entry, Entry::Finish(_))).await;
    assert_eq!(&double.finished().unwrap().body[..], b"1234");
    assert_eq!(double.sent(), 0, "nobody has got it yet");
    assert_eq!(&to_bytes(response.into_body()).await.unwrap()[..], b"1234", "late, and whole");
    assert_eq!(double.sent(), 1);
}

#[actix_web::test]
async fn a_stream_without_end_is_stopped_at_the_deadline() {
    let double = Arc::new(Double::default());
    let (chunks, handlers) = live();
    let gate = gate(&double).limits(Limits { run_seconds_max: 1, ..limits() });
    let app = app(gate, handlers).await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    assert_eq!(response.status(), 200);
    assert!(to_bytes(response.into_body()).await.is_err());
    assert_eq!(double.credited().as_deref(), Some("handler_too_slow"));
    drop(chunks);
}

/// P1: this process may no longer act, and another may start the run at any moment.
#[actix_web::test]
async fn p1_a_stream_without_a_lease_breaks_off() {
    let double = Arc::new(Double::default());
    let (chunks, handlers) = live();
    let app = app(gate(&double), handlers).await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    let mut body = Box::pin(response.into_body());
    chunks.send(text("data: 1\n\n")).unwrap();
    assert_eq!(next(&mut body).await, Some(Ok(Bytes::from_static(b"data: 1\n\n"))));
    double.revoked.cancel();
    assert!(matches!(next(&mut body).await, Some(Err(_))), "cut, not ended");
    double.until(|entry| matches!(entry, Entry::Credit(reason) if reason == "run_revoked")).await;
    assert!(double.finished().is_none(), "nothing is released");
}
