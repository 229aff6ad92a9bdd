//! P1 and P6: one run per grant, booked before it is released.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures::future::join_all;
use serde_json::json;

use super::{Answer, Runs, app, call, gate, limits, paid, signed};
use crate::{Limits, Paid};
use quittance_gate::testing::{Double, Entry, another};

/// One paid call to a handler that answers `response`.
async fn answer_of(double: &Arc<Double>, response: impl Fn() -> HttpResponse + Clone + 'static) -> Answer {
    let app = app(gate(double), |config| {
        config.default_service(web::to(move || std::future::ready(response())));
    })
    .await;
    call(&app, paid("/gen")).await
}

#[actix_web::test]
async fn a_grant_runs_the_handler_once_with_the_facts() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.default_service(web::to(|paid: Paid, req: HttpRequest| async move {
            HttpResponse::Created().insert_header(("x-model", "m")).json(json!({
                "payment_id": paid.payment_id, "request_id": paid.request_id, "payer": paid.payer,
                "amount": paid.amount, "service": paid.service, "network": paid.network,
                "transaction": paid.transaction, "run": paid.run,
                "price": paid.price().service,
                "sees_payment": req.headers().contains_key("payment-signature"),
            }))
        }));
    })
    .await;
    let answer = call(&app, paid("/gen")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.json(),
        json!({"payment_id": "pay_1", "request_id": "req_1", "payer": "0xpayer", "amount": "12000",
            "service": "10000", "network": "eip155:8453", "transaction": "0xhash", "run": 1,
            "price": "10000", "sees_payment": false})
    );
    assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
    assert_eq!(answer.header("payment-state"), Some("delivered"));
    assert_eq!(answer.header("cache-control"), Some("private"));
    let log = double.log();
    assert!(
        matches!(&log[..], [Entry::Pay(_), Entry::Finish(_), Entry::Sent(id)] if id == "pay_1"),
        "{log:?}"
    );
    let stored = double.finished().unwrap();
    assert_eq!((stored.status, &stored.body[..]), (201, &answer.body[..]));
    assert!(!stored.truncated && !stored.refundable);
    assert!(stored.headers.contains(&("x-model".to_owned(), b"m".to_vec())));

    let again = call(&app, paid("/gen")).await;
    assert_eq!((again.status, &again.body), (201, &answer.body));
    assert_eq!(again.header("x-model"), Some("m"));
}

#[actix_web::test]
async fn fifty_copies_of_one_payment_run_one_handler() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let counted = runs.clone();
    let app = app(gate(&double), |config| {
        config.default_service(web::to(move || {
            let counted = counted.clone();
            async move {
                counted.count();
                tokio::task::yield_now().await;
                "the one answer"
            }
        }));
    })
    .await;
    for answer in join_all((0..50).map(|_| call(&app, paid("/gen")))).await {
        assert_eq!((answer.status, &answer.body[..]), (200, &b"the one answer"[..]));
        assert_eq!(answer.decoded("payment-response")["success"], true);
    }
    assert_eq!(runs.get(), 1);
}

#[actix_web::test]
async fn an_answer_is_released_only_after_it_is_booked() {
    let double = Arc::new(Double::default());
    double.ledger_down.store(true, Ordering::SeqCst);
    let answer = answer_of(&double, || HttpResponse::Ok().body("the goods")).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.body.windows(5).any(|word| word == b"goods"));
    assert_eq!(answer.json()["error"], "not_recorded");
    assert_eq!(answer.json()["retry_action"], "retry_same_payment");
    assert_eq!(answer.header("payment-state"), Some("running"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
    assert_eq!(double.sent(), 0);
}

#[actix_web::test]
async fn a_4xx_of_the_handler_is_final_and_refundable() {
    let double = Arc::new(Double::default());
    let answer = answer_of(&double, || HttpResponse::UnprocessableEntity().body("unreadable image")).await;
    assert_eq!((answer.status, &answer.body[..]), (422, &b"unreadable image"[..]));
    assert_eq!(answer.header("payment-state"), Some("refundable"));
    assert_eq!(answer.decoded("payment-response")["success"], true);
    let stored = double.finished().unwrap();
    assert!(stored.refundable);
    assert_eq!(double.credited(), None);
}

#[actix_web::test]
async fn a_5xx_leaves_a_credit_and_the_retry_runs_again_unpaid() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let counted = runs.clone();
    let app = app(gate(&double), |config| {
        config.default_service(web::to(move |paid: Paid| {
            counted.count();
            let status = if paid.run == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            std::future::ready(HttpResponse::build(status).body(format!("run {}", paid.run)))
        }));
    })
    .await;
    let failed = call(&app, paid("/gen")).await;
    assert_eq!((failed.status, &failed.body[..]), (502, &b"run 1"[..]));
    assert_eq!(failed.header("payment-state"), Some("credited"));
    let receipt = failed.decoded("payment-response");
    assert_eq!(receipt["success"], true);
    assert_eq!(receipt["payment_state"], "credited");
    assert_eq!(receipt["retry_action"], "retry_same_payment");
    assert_eq!(double.credited().unwrap(), "handler answered 502");
    assert!(double.finished().is_none());

    let again = call(&app, paid("/gen")).await;
    assert_eq!((again.status, &again.body[..]), (200, &b"run 2"[..]));
    assert_eq!(runs.get(), 2);
}

/// Errors, panics and broken bodies: the status, and the reason in the ledger.
#[actix_web::test]
async fn every_way_to_fail_leaves_a_credit() {
    type Make = fn() -> HttpResponse;
    let panics: Make = || panic!("a handler's bug");
    let breaks: Make = || HttpResponse::Ok().body(Chunks::sized(10, [Ok("five!"), Err("reset")]));
    let short: Make = || HttpResponse::Ok().body(Chunks::sized(10, [Ok("five!"), Err(PANIC)]));
    let lies: Make = || {
        let long: &'static str = "0123456789".repeat(101).leak();
        HttpResponse::Ok().body(Chunks::sized(10, [Ok(long), Ok("more")]))
    };
    let error: Make = || HttpResponse::from_error(actix_web::error::ErrorInternalServerError("oops"));
    for (name, make, status, reason) in [
        ("panic", panics, 500, "handler_failed"),
        ("broken body", breaks, 500, "handler_failed"),
        ("panic in the body", short, 500, "handler_failed"),
        ("body longer than it said", lies, 500, "handler_failed"),
        ("error", error, 500, "handler answered 500"),
    ] {
        let double = Arc::new(Double::default());
        let app = app(gate(&double), |config| {
            config.default_service(web::to(move || std::future::ready(make())));
        })
        .await;
        // A lost request surfaces as an error with the answer in it.
        let (status_got, headers) = match app_call(&app).await {
            Ok(response) => (response.status(), response.headers().clone()),
            Err(error) => {
                let response = error.error_response();
                (response.status(), response.headers().clone())
            }
        };
        assert_eq!(status_got.as_u16(), status, "{name}");
        assert_eq!(headers.get("payment-state").unwrap(), "credited", "{name}");
        assert_eq!(headers.get("x-should-retry").unwrap(), "false", "{name}: each call of an SDK's pays");
        let exposed = headers.get("access-control-expose-headers").unwrap().to_str().unwrap();
        assert!(exposed.contains("X-Should-Retry"), "{name}: pages may read it");
        assert!(headers.contains_key("payment-response"), "{name}");
        assert_eq!(headers.get("access-control-allow-origin").unwrap(), "*", "{name}");
        assert_eq!(double.credited().as_deref(), Some(reason), "{name}");
        assert!(double.finished().is_none(), "{name}");
        assert_eq!(double.sent(), 0, "{name}");
    }
}

async fn app_call<S>(app: &S) -> Result<actix_web::dev::ServiceResponse<BoxBody>, actix_web::Error>
where
    S: actix_web::dev::Service<
            actix_http::Request,
            Response = actix_web::dev::ServiceResponse<BoxBody>,
            Error = actix_web::Error,
        >,
{
    app.call(paid("/gen").to_request()).await
}

#[actix_web::test]
async fn a_credit_that_cannot_be_booked_is_not_promised() {
    let double = Arc::new(Double::default());
    double.ledger_down.store(true, Ordering::SeqCst);
    let answer = answer_of(&double, || HttpResponse::InternalServerError().finish()).await;
    assert_eq!((answer.status, answer.header("payment-state")), (500, Some("running")));
    assert_eq!(answer.decoded("payment-response")["payment_state"], "running");
}

#[actix_web::test]
async fn a_run_that_takes_too_long_is_stopped_and_credited() {
    let double = Arc::new(Double::default());
    let gate = gate(&double).limits(Limits { run_seconds_max: 0, ..limits() });
    let app = app(gate, |config| {
        config.default_service(web::to(std::future::pending::<HttpResponse>));
    })
    .await;
    let response = app_call(&app).await.unwrap_err().error_response();
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers().get("payment-state").unwrap(), "credited");
    assert_eq!(double.credited().as_deref(), Some("handler_too_slow"));
}

#[actix_web::test]
async fn handlers_cannot_speak_for_the_gate() {
    let double = Arc::new(Double::default());
    let answer = answer_of(&double, || {
        HttpResponse::Ok()
            .insert_header(("payment-response", "forged"))
            .append_header(("payment-response", "forged twice"))
            .insert_header(("payment-required", "pay me again"))
            .insert_header(("x-payment-response", "forged"))
            .insert_header(("payment-state", "refundable"))
            .finish()
    })
    .await;
    assert_eq!(answer.headers.get_all("payment-response").count(), 1);
    assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
    assert!(answer.header("payment-required").is_none());
    assert!(answer.header("x-payment-response").is_none());
    assert_eq!(answer.header("payment-state"), Some("delivered"));
    let stored = double.finished().unwrap().headers;
    assert!(stored.iter().all(|(name, _)| !name.contains("payment")), "{stored:?}");
}

#[actix_web::test]
async fn paid_answers_stay_out_of_shared_caches() {
    for (said, sent) in [
        (None, "private"),
        (Some("max-age=60"), "max-age=60, private"),
        (Some("public, max-age=60, s-maxage=90"), "max-age=60, private"),
        (Some("no-store"), "no-store"),
        (Some("Private, max-age=1"), "private, max-age=1"),
    ] {
        let double = Arc::new(Double::default());
        let answer = answer_of(&double, move || {
            let mut answer = HttpResponse::Ok();
            if let Some(said) = said {
                answer.insert_header(("cache-control", said));
            }
            answer.finish()
        })
        .await;
        assert_eq!(answer.header("cache-control"), Some(sent), "{said:?}");
    }
}

#[actix_web::test]
async fn headers_of_one_connection_and_cookies_are_not_stored() {
    let double = Arc::new(Double::default());
    answer_of(&double, || {
        HttpResponse::Ok()
            .insert_header(("date", "Thu, 01 Jan 1970 00:00:00 GMT"))
            .insert_header(("connection", "close, X-Hop"))
            .insert_header(("x-hop", "of this connection"))
            .insert_header(("keep-alive", "timeout=5"))
            .insert_header(("set-cookie", "a=b"))
            .insert_header(("content-type", "text/plain"))
            .body("x")
    })
    .await;
    let mut names: Vec<_> = double.finished().unwrap().headers.into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["content-type", "etag"]);
}

#[actix_web::test]
async fn the_replay_window_starts_with_the_last_byte() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.default_service(web::to(|| std::future::ready(HttpResponse::Ok().body("x".repeat(900)))));
    })
    .await;
    let response = call_service(&app, paid("/gen").to_request()).await;
    assert!(double.finished().is_some());
    assert_eq!(double.sent(), 0, "not a byte has been taken yet");
    drop(response);
    assert_eq!(double.sent(), 0, "a client that went away has not received it");
}

#[actix_web::test]
async fn an_empty_answer_counts_as_sent() {
    let double = Arc::new(Double::default());
    let answer = answer_of(&double, || HttpResponse::NoContent().finish()).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(double.sent(), 1);
}

#[actix_web::test]
async fn paid_requests_in_flight_are_limited() {
    let double = Double::waiting();
    let gate = gate(&double).limits(Limits { concurrency_max: 1, ..limits() });
    let app = app(gate, |config| {
        config.default_service(web::to(HttpResponse::Ok));
    })
    .await;
    let second = async {
        double.until(|entry| matches!(entry, Entry::Pay(_))).await;
        let other = TestRequest::post().uri("/gen").insert_header(signed(&another(1)));
        let refused = call(&app, other).await;
        double.settlements.add_permits(2);
        refused
    };
    let (first, second) = futures::join!(call(&app, paid("/gen")), second);
    assert_eq!(first.status, 200);
    assert_eq!((second.status, second.json()["error"].as_str()), (503, Some("too_many_in_flight")));
    assert!(second.header("retry-after").is_some());
    assert_eq!(call(&app, paid("/gen")).await.status, 200, "the place is free again");
}

/// A body that panics when it gets to this error.
pub(super) const PANIC: &str = "panic";

/// A body of scripted chunks and failures.
pub(super) struct Chunks {
    size: BodySize,
    rest: Rc<RefCell<Vec<Result<&'static str, &'static str>>>>,
}

impl Chunks {
    pub(super) fn sized<const N: usize>(size: u64, chunks: [Result<&'static str, &'static str>; N]) -> Self {
        Self::new(BodySize::Sized(size), chunks)
    }

    pub(super) fn new<const N: usize>(
        size: BodySize,
        chunks: [Result<&'static str, &'static str>; N],
    ) -> Self {
        Self { size, rest: Rc::new(RefCell::new(chunks.into_iter().rev().collect())) }
    }
}

impl MessageBody for Chunks {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = self.rest.borrow_mut().pop();
        Poll::Ready(match next {
            Some(Ok(text)) => Some(Ok(Bytes::from_static(text.as_bytes()))),
            Some(Err(PANIC)) => panic!("a body's bug"),
            Some(Err(error)) => Some(Err(std::io::Error::other(error))),
            None => None,
        })
    }
}

/// P1: this process may no longer act, and another may start the run at any moment.
#[actix_web::test]
async fn p1_a_run_without_a_lease_is_dropped_before_it_ends() {
    let (double, runs, ended) = (Arc::new(Double::default()), Runs::default(), Runs::default());
    let (counted, over, revoked) = (runs.clone(), ended.clone(), double.revoked.clone());
    let app = app(gate(&double), |config| {
        config.default_service(web::to(move || {
            let (counted, over, revoked) = (counted.clone(), over.clone(), revoked.clone());
            async move {
                counted.count();
                revoked.cancel();
                // Whatever the handler waits for goes on without it.
                std::future::pending::<()>().await;
                over.count();
                "the goods"
            }
        }));
    })
    .await;
    let response = app_call(&app).await.unwrap_err().error_response();
    assert_eq!(response.status(), 503);
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_default();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&answer["error"], &answer["retry_action"]),
        (&json!("run_revoked"), &json!("retry_same_payment"))
    );
    assert_eq!((runs.get(), ended.get()), (1, 0));
    assert_eq!(double.credited().as_deref(), Some("run_revoked"));
    assert!(double.finished().is_none(), "nothing is released");
}
