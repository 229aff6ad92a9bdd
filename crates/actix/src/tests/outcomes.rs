//! Every outcome of a payment and its answer (table in the crate's README).

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use quittance_facilitator::{PayOutcome, Rejection, StoredAnswer};
use quittance_protocol::{ErrorCode, Fingerprint, IdentifierHash, PaymentId};
use serde_json::json;

use super::{Answer, Runs, app, call, gate, paid};
use quittance_gate::testing::{Double, Entry, receipt};

/// The answer to one paid call with a scripted outcome; no handler may run.
async fn answer_to(outcome: PayOutcome) -> Answer {
    let (double, runs) = (Double::scripted(outcome), Runs::default());
    let counted = runs.clone();
    let app = app(gate(&double), |config| {
        config.default_service(web::to(move || {
            counted.count();
            std::future::ready(HttpResponse::Ok())
        }));
    })
    .await;
    let answer = call(&app, paid("/gen")).await;
    assert_eq!(runs.get(), 0, "a handler ran without a grant");
    answer
}

#[actix_web::test]
async fn the_payment_is_bound_to_method_path_query_and_body() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.default_service(web::to(HttpResponse::Ok));
    })
    .await;
    call(&app, paid("/gen?b=2&a=1").set_payload("{\"x\": 1}")).await;
    let Some(Entry::Pay(sale)) = double.log().into_iter().next() else { panic!("no payment") };
    assert_eq!(sale.fingerprint, Fingerprint::of_request("POST", "/gen", "b=2&a=1", b"{\"x\": 1}"));
    assert_eq!(sale.service.atomic(), 10_000);
    assert_eq!(sale.resource, "POST /gen");
    assert_eq!(sale.identifier, Some(IdentifierHash::of("pay_0123456789abcdef")));
}

/// The ledger comes before the catalogue: what it sold once is replayed although it
/// has no price any more, and nothing runs for it.
#[actix_web::test]
async fn a_request_without_a_price_any_more_is_answered_from_the_ledger() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let counted = runs.clone();
    let app = app(gate(&double), |config| {
        config.default_service(web::to(move || {
            counted.count();
            std::future::ready(HttpResponse::Ok().body("made"))
        }));
    })
    .await;
    let first = call(&app, paid("/gen").set_payload("{}")).await;
    assert_eq!((first.status, runs.get()), (200, 1));
    let unpriced = || paid("/gen").set_payload(r#"{"model": "bad"}"#);
    let unknown = call(&app, unpriced()).await;
    assert_eq!((unknown.status, runs.get()), (400, 1), "not on record: the host's own refusal");
    double.recalls.store(true, std::sync::atomic::Ordering::SeqCst);
    let again = call(&app, unpriced()).await;
    assert_eq!((again.status, &again.body[..]), (200, &b"made"[..]));
    assert!(again.header("payment-response").is_some());
    assert_eq!(runs.get(), 1);
}

#[actix_web::test]
async fn refused_is_402_with_a_fresh_offer_and_the_reason() {
    let answer = answer_to(PayOutcome::Refused(Rejection::new(
        ErrorCode::InvalidExactEvmNonceAlreadyUsed,
        "sign a new authorization",
    )))
    .await;
    assert_eq!(answer.status, 402);
    let offer = answer.decoded("payment-required");
    assert_eq!(offer["error"], "invalid_exact_evm_nonce_already_used");
    assert_eq!(offer["accepts"][0]["amount"], "12000");
    let body = answer.json();
    assert_eq!(body["error"], "invalid_exact_evm_nonce_already_used");
    assert_eq!(body["message"], "sign a new authorization");
    assert_eq!(body["retry_action"], "pay");
}

#[actix_web::test]
async fn pending_is_503_with_the_hash_and_no_offer() {
    let mut pending = receipt();
    pending.success = false;
    pending.error_reason = Some(ErrorCode::SettlementPending);
    pending.payment_state = Some("pending".to_owned());
    let answer = answer_to(PayOutcome::Pending { receipt: pending, retry_after_seconds: 5 }).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.header("x-should-retry"), Some("false"), "P7: an SDK would call again and sign anew");
    assert!(answer.header("payment-required").is_none(), "P5: no second offer while one may land");
    let receipt = answer.decoded("payment-response");
    assert_eq!(receipt["success"], false);
    assert_eq!(receipt["errorReason"], "settlement_pending");
    assert_eq!(receipt["transaction"], "0xhash");
    let expected = json!({"error": "settlement_pending", "payment_state": "pending",
        "retry_action": "retry_same_payment", "retry_after_seconds": 5, "transaction": "0xhash"});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&answer.json()[field], value, "{field}");
    }
}

#[actix_web::test]
async fn conflict_is_409_with_the_receipt() {
    let answer = answer_to(PayOutcome::Conflict {
        code: ErrorCode::RequestMismatch,
        message: "this payment bought another request".to_owned(),
        receipt: Some(receipt()),
    })
    .await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (409, Some("false")));
    assert_eq!(answer.json()["error"], "request_mismatch");
    assert_eq!(answer.json()["retry_action"], "do_not_retry");
    assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
}

#[actix_web::test]
async fn unavailable_is_503_with_retry_after() {
    let answer = answer_to(PayOutcome::Unavailable { retry_after_seconds: 9, reason: "chain" }).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("9")));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(answer.json()["error"], "network_unavailable");
    assert_eq!(answer.json()["reason"], "chain");
    assert_eq!(answer.json()["retry_action"], "retry_same_payment");
}

fn stored(status: u16) -> StoredAnswer {
    StoredAnswer {
        status,
        headers: vec![
            ("content-type".to_owned(), b"image/png".to_vec()),
            ("x-two".to_owned(), b"a".to_vec()),
            ("x-two".to_owned(), b"b\xff".to_vec()),
            ("bad name".to_owned(), b"dropped".to_vec()),
        ],
        body: b"the picture".to_vec(),
        object: None,
        truncated: false,
        refundable: false,
        usage: None,
    }
}

#[actix_web::test]
async fn answered_is_the_same_answer_again() {
    let answer = answer_to(PayOutcome::Answered {
        payment: PaymentId::from_stored("pay_1"),
        answer: stored(201),
        receipt: receipt(),
    })
    .await;
    assert_eq!((answer.status, &answer.body[..]), (201, &b"the picture"[..]));
    assert_eq!(answer.header("content-type"), Some("image/png"));
    let two: Vec<_> = answer.headers.get_all("x-two").map(|value| value.as_bytes().to_vec()).collect();
    assert_eq!(two, [b"a".to_vec(), b"b\xff".to_vec()]);
    assert_eq!(answer.decoded("payment-response")["success"], true);
    assert_eq!(answer.header("payment-state"), Some("delivered"));
    assert_eq!(answer.header("cache-control"), Some("private"));
}

#[actix_web::test]
async fn answered_with_a_refundable_answer_says_so_again() {
    let mut stored = stored(422);
    stored.refundable = true;
    let answer = answer_to(PayOutcome::Answered {
        payment: PaymentId::from_stored("pay_1"),
        answer: stored,
        receipt: receipt(),
    })
    .await;
    assert_eq!((answer.status, answer.header("payment-state")), (422, Some("refundable")));
}

#[actix_web::test]
async fn a_stored_answer_that_sdks_would_repeat_says_that_they_must_not() {
    for (status, said) in [(408, true), (409, true), (429, true), (200, false), (404, false), (425, false)] {
        let mut stored = stored(status);
        stored.headers.push(("x-should-retry".to_owned(), b"true".to_vec()));
        let answer = answer_to(PayOutcome::Answered {
            payment: PaymentId::from_stored("pay_1"),
            answer: stored,
            receipt: receipt(),
        })
        .await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (status, said.then_some("false")));
    }
}

/// The sale that a call with these headers brings to the double.
async fn sale_of(request: actix_web::test::TestRequest) -> quittance_facilitator::Sale {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.default_service(web::to(HttpResponse::Ok));
    })
    .await;
    call(&app, request).await;
    let Some(Entry::Pay(sale)) = double.log().into_iter().next() else { panic!("no payment") };
    sale
}

#[actix_web::test]
async fn an_idempotency_key_names_a_purchase_and_a_malformed_one_is_no_name() {
    let sale = sale_of(paid("/gen").insert_header(("Idempotency-Key", "call 1"))).await;
    assert_eq!(
        (sale.idempotency, sale.malformed),
        (Some(IdentifierHash::of_idempotency_key("call 1")), None)
    );
    assert_eq!(sale_of(paid("/gen")).await.idempotency, None);
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    assert!(sale_of(paid("/gen").insert_header(("Idempotency-Key", longest))).await.malformed.is_none());
    for bad in [
        paid("/gen").insert_header(("Idempotency-Key", "")),
        paid("/gen").insert_header(("Idempotency-Key", too_long)),
        paid("/gen").append_header(("Idempotency-Key", "a")).append_header(("Idempotency-Key", "a")),
    ] {
        let sale = sale_of(bad).await;
        assert!(sale.idempotency.is_none() && sale.malformed.is_some());
    }
}

#[actix_web::test]
async fn an_answer_that_was_not_kept_is_410_with_the_receipt() {
    let mut stored = stored(200);
    stored.truncated = true;
    stored.body.clear();
    let answer = answer_to(PayOutcome::Answered {
        payment: PaymentId::from_stored("pay_1"),
        answer: stored,
        receipt: receipt(),
    })
    .await;
    assert_eq!(answer.status, 410);
    assert_eq!(answer.json()["error"], "answer_not_kept");
    assert_eq!(answer.json()["transaction"], "0xhash");
    assert_eq!(answer.decoded("payment-response")["success"], true);
}
