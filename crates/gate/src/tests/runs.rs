//! P1 and P6: one run per grant, booked before it is released.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use http::Response;
use serde_json::json;

use super::reply::{Chunks, PANIC, Reply};
use super::{Answer, Ask, Piped, Runs, app, call, counting, open, paid, saying};
use crate::testing::{Double, Entry, another, gate, limits, signed};
use crate::{Limits, Paid};

/// One paid call to a handler that answers `response`.
async fn answer_of(
    double: &Arc<Double>,
    reply: impl Fn() -> Response<Piped> + Send + Sync + 'static,
) -> Answer {
    call(&saying(gate(double), reply), paid("/gen")).await
}

#[tokio::test]
async fn a_grant_runs_the_handler_once_with_the_facts() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |request| async move {
        let paid = request.extensions().get::<Paid>().unwrap();
        Reply::of(201).header("x-model", "m").json(&json!({
                "payment_id": paid.payment_id, "request_id": paid.request_id, "payer": paid.payer,
                "amount": paid.amount, "service": paid.service, "network": paid.network,
                "transaction": paid.transaction, "run": paid.run,
                "price": paid.price().service,
                "sees_payment": request.headers().contains_key("payment-signature"),
        }))
    });
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

#[tokio::test]
async fn fifty_copies_of_one_payment_run_one_handler() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let counted = runs.clone();
    let app = app(gate(&double), move |_| {
        let counted = counted.clone();
        async move {
            counted.count();
            tokio::task::yield_now().await;
            Reply::ok().body("the one answer")
        }
    });
    for answer in join_all((0..50).map(|_| call(&app, paid("/gen")))).await {
        assert_eq!((answer.status, &answer.body[..]), (200, &b"the one answer"[..]));
        assert_eq!(answer.decoded("payment-response")["success"], true);
    }
    assert_eq!(runs.get(), 1);
}

#[tokio::test]
async fn an_answer_is_released_only_after_it_is_booked() {
    let double = Arc::new(Double::default());
    double.ledger_down.store(true, Ordering::SeqCst);
    let answer = answer_of(&double, || Reply::ok().body("the goods")).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.body.windows(5).any(|word| word == b"goods"));
    assert_eq!(answer.json()["error"], "not_recorded");
    assert_eq!(answer.json()["retry_action"], "retry_same_payment");
    assert_eq!(answer.header("payment-state"), Some("running"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
    assert_eq!(double.sent(), 0);
}

#[tokio::test]
async fn a_4xx_of_the_handler_is_final_and_refundable() {
    let double = Arc::new(Double::default());
    let answer = answer_of(&double, || Reply::of(422).body("unreadable image")).await;
    assert_eq!((answer.status, &answer.body[..]), (422, &b"unreadable image"[..]));
    assert_eq!(answer.header("payment-state"), Some("refundable"));
    assert_eq!(answer.decoded("payment-response")["success"], true);
    let stored = double.finished().unwrap();
    assert!(stored.refundable);
    assert_eq!(double.credited(), None);
}

#[tokio::test]
async fn a_run_that_its_handler_calls_unbegun_is_credited_as_one() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |request| {
        request.extensions().get::<Paid>().unwrap().note_unbegun();
        std::future::ready(Reply::of(502).body("nobody there"))
    });
    let failed = call(&app, paid("/gen")).await;
    assert_eq!((failed.status, failed.header("payment-state")), (502, Some("credited")));
    let log = double.log();
    assert!(matches!(&log[..], [Entry::Pay(_), Entry::Unbegun(_)]), "{log:?}");
}

#[tokio::test]
async fn a_5xx_leaves_a_credit_and_the_retry_runs_again_unpaid() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let counted = runs.clone();
    let app = app(gate(&double), move |request| {
        counted.count();
        let run = request.extensions().get::<Paid>().unwrap().run;
        let status = if run == 1 { 502 } else { 200 };
        std::future::ready(Reply::of(status).body(format!("run {run}")))
    });
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
#[tokio::test]
async fn every_way_to_fail_leaves_a_credit() {
    type Make = fn() -> Response<Piped>;
    let panics: Make = || panic!("a handler's bug");
    let breaks: Make = || Reply::ok().chunks(Chunks::new(Some(10), [Ok("five!"), Err("reset")]));
    let short: Make = || Reply::ok().chunks(Chunks::new(Some(10), [Ok("five!"), Err(PANIC)]));
    let lies: Make = || {
        let long: &'static str = "0123456789".repeat(101).leak();
        Reply::ok().chunks(Chunks::new(Some(10), [Ok(long), Ok("more")]))
    };
    let error: Make = || Reply::of(500).body("oops");
    for (name, make, reason) in [
        ("panic", panics, "handler_failed"),
        ("broken body", breaks, "handler_failed"),
        ("panic in the body", short, "handler_failed"),
        ("body longer than it said", lies, "handler_failed"),
        ("error", error, "handler answered 500"),
    ] {
        let double = Arc::new(Double::default());
        let answer = answer_of(&double, make).await;
        assert_eq!(answer.status, 500, "{name}");
        assert_eq!(answer.header("payment-state"), Some("credited"), "{name}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{name}: each call of an SDK's pays");
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("X-Should-Retry"), "{name}: pages may read it");
        assert!(answer.header("payment-response").is_some(), "{name}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{name}");
        assert_eq!(double.credited().as_deref(), Some(reason), "{name}");
        assert!(double.finished().is_none(), "{name}");
        assert_eq!(double.sent(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_credit_that_cannot_be_booked_is_not_promised() {
    let double = Arc::new(Double::default());
    double.ledger_down.store(true, Ordering::SeqCst);
    let answer = answer_of(&double, || Reply::of(500).empty()).await;
    assert_eq!((answer.status, answer.header("payment-state")), (500, Some("running")));
    assert_eq!(answer.decoded("payment-response")["payment_state"], "running");
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_credited() {
    let double = Arc::new(Double::default());
    let gate = gate(&double).limits(Limits { run_seconds_max: 0, ..limits() });
    let app = app(gate, |_| std::future::pending());
    let answer = call(&app, paid("/gen")).await;
    assert_eq!((answer.status, answer.header("payment-state")), (504, Some("credited")));
    assert_eq!(double.credited().as_deref(), Some("handler_too_slow"));
}

#[tokio::test]
async fn handlers_cannot_speak_for_the_gate() {
    let double = Arc::new(Double::default());
    let answer = answer_of(&double, || {
        Reply::ok()
            .header("payment-response", "forged")
            .header("payment-response", "forged twice")
            .header("payment-required", "pay me again")
            .header("x-payment-response", "forged")
            .header("payment-state", "refundable")
            .empty()
    })
    .await;
    assert_eq!(answer.headers.get_all("payment-response").iter().count(), 1);
    assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
    assert!(answer.header("payment-required").is_none());
    assert!(answer.header("x-payment-response").is_none());
    assert_eq!(answer.header("payment-state"), Some("delivered"));
    let stored = double.finished().unwrap().headers;
    assert!(stored.iter().all(|(name, _)| !name.contains("payment")), "{stored:?}");
}

#[tokio::test]
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
            let reply = Reply::ok();
            match said {
                Some(said) => reply.header("cache-control", said).empty(),
                None => reply.empty(),
            }
        })
        .await;
        assert_eq!(answer.header("cache-control"), Some(sent), "{said:?}");
    }
}

#[tokio::test]
async fn headers_of_one_connection_and_cookies_are_not_stored() {
    let double = Arc::new(Double::default());
    answer_of(&double, || {
        Reply::ok()
            .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .header("connection", "close, X-Hop")
            .header("x-hop", "of this connection")
            .header("keep-alive", "timeout=5")
            .header("set-cookie", "a=b")
            .header("content-type", "text/plain")
            .body("x")
    })
    .await;
    let mut names: Vec<_> = double.finished().unwrap().headers.into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["content-type", "etag"]);
}

#[tokio::test]
async fn the_replay_window_starts_with_the_last_byte() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double), || Reply::ok().body("x".repeat(900)));
    let response = open(&app, paid("/gen")).await;
    assert!(double.finished().is_some());
    assert_eq!(double.sent(), 0, "not a byte has been taken yet");
    drop(response);
    assert_eq!(double.sent(), 0, "a client that went away has not received it");
}

#[tokio::test]
async fn an_empty_answer_counts_as_sent() {
    let double = Arc::new(Double::default());
    let answer = answer_of(&double, || Reply::of(204).empty()).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(double.sent(), 1);
}

#[tokio::test]
async fn paid_requests_in_flight_are_limited() {
    let double = Double::waiting();
    let gate = gate(&double).limits(Limits { concurrency_max: 1, ..limits() });
    let app = counting(gate, &Runs::default());
    let second = async {
        double.until(|entry| matches!(entry, Entry::Pay(_))).await;
        let other = Ask::post("/gen").header(signed(&another(1)));
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

/// P1: this process may no longer act, and another may start the run at any moment.
#[tokio::test]
async fn p1_a_run_without_a_lease_is_dropped_before_it_ends() {
    let (double, runs, ended) = (Arc::new(Double::default()), Runs::default(), Runs::default());
    let (counted, over, revoked) = (runs.clone(), ended.clone(), double.revoked.clone());
    let app = app(gate(&double), move |_| {
        let (counted, over, revoked) = (counted.clone(), over.clone(), revoked.clone());
        async move {
            counted.count();
            revoked.cancel();
            // Whatever the handler waits for goes on without it.
            std::future::pending::<()>().await;
            over.count();
            Reply::ok().body("the goods")
        }
    });
    let answer = call(&app, paid("/gen")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "run_revoked");
    assert_eq!(answer.json()["retry_action"], "retry_same_payment");
    assert_eq!((runs.get(), ended.get()), (1, 0));
    assert_eq!(double.credited().as_deref(), Some("run_revoked"));
    assert!(double.finished().is_none(), "nothing is released");
}
