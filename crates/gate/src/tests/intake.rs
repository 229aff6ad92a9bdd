//! Routes, bodies, payment headers, and the 402 itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderValue;
use http_body::Frame;
use http_body_util::StreamBody;
use quittance_facilitator::{PayOutcome, Rejection};
use quittance_protocol::{ErrorCode, Fingerprint, HEADER_BYTES_MAX};
use serde_json::{Value, json};

use super::reply::Reply;
use super::{Answer, Ask, Runs, app, call, counting, paid};
use crate::intake::read_body;
use crate::testing::{Double, TestPricer, gate, gate_of, limits, payment, signed};
use crate::{HandlerError, Limits};

async fn unpaid_answer(request: Ask) -> Answer {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = counting(gate(&double), &runs);
    let answer = call(&app, request).await;
    assert_eq!(runs.get(), 0, "an unpaid request reached the handler");
    assert!(double.log().is_empty(), "an unpaid request was taken to the double");
    answer
}

#[tokio::test]
async fn a_402_carries_the_offer_in_header_and_body_and_pays_nothing() {
    let request = Ask::post("/gen?wait=true").body("{}");
    let answer = unpaid_answer(request.header(("host", "evil.test"))).await;
    assert_eq!(answer.status, 402);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let offer = answer.decoded("payment-required");
    assert_eq!(offer["x402Version"], 2);
    assert_eq!(offer["error"], "Payment required");
    assert_eq!(offer["resource"]["url"], "https://api.test/gen?wait=true");
    assert_eq!(offer["resource"]["description"], "Makes things");
    assert_eq!(offer["resource"]["mimeType"], "application/json");
    assert_eq!(offer["accepts"][0]["amount"], "12000");
    let body = answer.json();
    assert_eq!(body["x402Version"], 1, "clients of version 1 read the body");
    let extra = &offer["accepts"][0]["extra"];
    let in_version_1 = json!([{"scheme": "exact", "network": "base", "maxAmountRequired": "12000", "asset": "0xa",
        "payTo": "0xb", "maxTimeoutSeconds": 120, "extra": extra, "mimeType": "application/json",
        "resource": "https://api.test/gen?wait=true", "description": "Makes things"}]);
    assert_eq!((&body["error"], &body["accepts"]), (&offer["error"], &in_version_1));
    assert_eq!(body["code"], "payment_required");
    assert_eq!(body["retry_action"], "pay");
    assert_eq!(body["payment_state"], "none");
}

/// Proxies with their default settings answer 502 for a head above 4 KiB, and the offer
/// repeats the URL, times 4/3.
#[tokio::test]
async fn the_offer_in_the_header_leaves_out_a_query_that_a_proxy_would_choke_on() {
    for (length, whole) in [(200, true), (1_000, true), (2_500, false), (4_000, false)] {
        let uri = format!("/gen?note={}", "a".repeat(length));
        let answer = unpaid_answer(Ask::post(&uri).body("{}")).await;
        assert_eq!(answer.status, 402, "{length}");
        let header = answer.header("payment-required").unwrap().len();
        assert!(header < 3_500, "{length}: {header} bytes");
        let url = if whole { format!("https://api.test{uri}") } else { "https://api.test/gen".to_owned() };
        assert_eq!(answer.decoded("payment-required")["resource"]["url"], url, "{length}");
        let body = answer.json();
        assert_eq!(
            body["accepts"][0]["resource"],
            format!("https://api.test{uri}"),
            "{length}: bodies have room"
        );
    }
}

/// What stands before the query is never cut, for it would name another resource.
#[tokio::test]
async fn a_url_that_no_offer_has_room_for_is_414() {
    let paid_for = |answer: &Answer| {
        let error = answer.json()["error"].clone();
        match answer.status {
            402 => assert!(answer.header("payment-required").unwrap().len() < 3_500),
            status => assert_eq!((status, error.as_str()), (414, Some("url_too_long"))),
        }
        answer.status == 402
    };
    let gate = gate_of(&Arc::new(Double::default()), Arc::new(TestPricer));
    let app = counting(gate, &Runs::default());
    for (length, offered) in [(10, true), (255, true), (1_500, true), (2_500, false), (4_000, false)] {
        let path = format!("/items/{}", "a".repeat(length));
        let answer = unpaid_answer(Ask::post(&path)).await;
        assert_eq!(paid_for(&answer), offered, "a path of {length}");
        let host = format!("{}.test", "a".repeat(length));
        for name in ["host", "x-forwarded-host"] {
            let answer = call(&app, Ask::post("/gen?wait=true").header((name, &host)).body("{}")).await;
            assert_eq!(paid_for(&answer), offered, "{name} of {length}");
        }
    }
}

#[tokio::test]
async fn without_a_public_url_the_connection_names_the_resource() {
    let double = Arc::new(Double::default());
    let gate = gate_of(&double, Arc::new(TestPricer));
    let app = counting(gate, &Runs::default());
    let request = Ask::post("/gen").header(("host", "here.test"));
    let answer = call(&app, request).await;
    assert_eq!(answer.decoded("payment-required")["resource"]["url"], "http://here.test/gen");
}

#[tokio::test]
async fn a_body_in_pieces_is_the_same_body() {
    let pieces = ["", "{\"n\"", "", ":1", "}"];
    for count in 0..=pieces.len() {
        let whole = pieces[..count].concat();
        let sent =
            pieces.into_iter().take(count).map(|piece| Ok::<_, HandlerError>(Frame::data(piece.into())));
        let body = StreamBody::new(futures::stream::iter(sent));
        let read = read_body(body, &limits(), |_| Ok(())).await.unwrap();
        assert_eq!(read, whole.as_bytes());
    }
}

#[tokio::test]
async fn nothing_to_offer_is_503_with_retry_after() {
    let double = Arc::new(Double::default());
    double.nothing_to_offer.store(true, Ordering::SeqCst);
    let app = counting(gate(&double), &Runs::default());
    let answer = call(&app, Ask::post("/gen")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    assert_eq!(answer.json()["error"], "network_unavailable");
    assert_eq!(answer.header("x-should-retry"), None, "nothing was signed: calling again costs nothing");
    assert_eq!(answer.json()["closed"]["eip155:8453"], "wallet_empty", "and says why");
    assert!(answer.json()["message"].as_str().unwrap().contains("wallet_empty"));
    assert!(double.log().is_empty());
}

#[tokio::test]
async fn a_refused_payment_is_kept_while_there_is_nothing_to_offer() {
    let refusal = Rejection::new(ErrorCode::InvalidPayload, "no");
    let double = Double::scripted(PayOutcome::Refused(refusal));
    double.nothing_to_offer.store(true, Ordering::SeqCst);
    let app = counting(gate(&double), &Runs::default());
    let answer = call(&app, paid("/gen")).await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (503, Some("false")));
    assert_eq!(answer.json()["error"], "network_unavailable");
    assert_eq!(answer.json()["retry_action"], "retry_same_payment");
}

#[tokio::test]
async fn a_free_route_goes_straight_through() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = counting(gate(&double), &runs);
    let answer = call(&app, Ask::get("/free").header(signed(&payment()))).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"served"[..]));
    assert_eq!(runs.get(), 1);
    assert!(double.log().is_empty(), "a free route takes no payment");
    assert!(answer.header("payment-response").is_none());
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_before_anything_else() {
    let long = "x".repeat(1_001);
    let announced = |body| paid("/gen").body(body).header(("content-length", "1001"));
    for request in [paid("/gen").body(long), announced("{}"), announced("bad")] {
        let answer = unpaid_answer(request).await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.json()["error"], "body_too_large");
        assert!(answer.header("payment-required").is_none(), "no price for a body nobody read");
    }
    let fits = Ask::post("/gen").body("x".repeat(1_000));
    assert_eq!(unpaid_answer(fits).await.status, 402);
}

#[tokio::test]
async fn a_type_that_could_be_two_is_refused_before_any_price() {
    let double = Arc::new(Double::default());
    let runs = Runs::default();
    let app = counting(gate(&double), &runs);
    let obscure = HeaderValue::from_bytes(b"application/x-www-form-urlencoded; x=\xff").unwrap();
    let json = HeaderValue::from_static("application/json");
    for lines in [vec![obscure.clone()], vec![json.clone(), obscure], vec![json.clone(), json]] {
        for mut ask in [Ask::post("/gen").body("{}"), paid("/gen")] {
            for line in &lines {
                ask.request.headers_mut().append("content-type", line.clone());
            }
            let answer = call(&app, ask).await;
            assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("unclear_content_type")));
        }
    }
    assert_eq!(runs.get(), 0);
    assert!(double.log().is_empty());
}

#[tokio::test]
async fn an_encoded_body_and_a_long_url_are_refused() {
    let encoded = paid("/gen").header(("content-encoding", "gzip"));
    assert_eq!(unpaid_answer(encoded).await.status, 415);
    let long = format!("/gen?{}", "x".repeat(limits().url_bytes_max));
    assert_eq!(unpaid_answer(paid(&long)).await.status, 414);
}

#[tokio::test]
async fn a_bad_body_is_the_hosts_400_with_or_without_a_payment() {
    for request in [Ask::post("/gen"), paid("/gen")] {
        let answer = unpaid_answer(request.body("a bad one")).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), json!({"detail": "the host's own words"}));
        assert!(answer.header("payment-required").is_none());
    }
}

#[tokio::test]
async fn unreadable_payments_get_a_fresh_offer_and_write_nothing() {
    let with = |version: Value| {
        let mut value = payment();
        value["x402Version"] = version;
        signed(&value).1
    };
    let long = "A".repeat(HEADER_BYTES_MAX + 4);
    let version_1 = signed(&json!({"x402Version": 1, "scheme": "exact", "network": "base", "payload": {}})).1;
    for (header, code) in [
        ("".to_owned(), "invalid_payload"),
        ("not base64!".to_owned(), "invalid_payload"),
        ("bm90IGpzb24=".to_owned(), "invalid_payload"),
        (long, "invalid_payload"),
        (signed(&json!({"x402Version": 2})).1, "invalid_payload"),
        (signed(&json!([])).1, "invalid_payload"),
        (signed(&json!({})).1, "invalid_payload"),
        (with(json!(3)), "invalid_x402_version"),
        (with(json!("2")), "invalid_x402_version"),
        (with(json!(-2)), "invalid_x402_version"),
        (version_1, "invalid_x402_version"),
    ] {
        let request = Ask::post("/gen").header(("payment-signature", header.clone()));
        let answer = unpaid_answer(request).await;
        assert_eq!(answer.status, 402, "{header}");
        assert_eq!(answer.decoded("payment-required")["error"], code, "{header}");
        assert_eq!(answer.json()["code"], code);
        assert_eq!(answer.decoded("payment-required")["accepts"][0]["amount"], "12000");
    }
}

#[tokio::test]
async fn a_version_2_payment_in_version_1s_header_is_told_the_version() {
    let answer = unpaid_answer(Ask::post("/gen").header(("x-payment", signed(&payment()).1))).await;
    assert_eq!(answer.decoded("payment-required")["error"], "invalid_x402_version");
}

#[tokio::test]
async fn handlers_behind_the_gate_read_the_body_the_price_was_made_from() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |request| async move {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap());
        Reply::ok().body(format!("{path} {query} {}", String::from_utf8_lossy(request.body())))
    });
    let answer = call(&app, paid("/items/7?a=b").body("{\"n\":1}")).await;
    assert_eq!(&answer.body[..], b"/items/7 a=b {\"n\":1}");
}

#[test]
fn limits_come_from_the_configuration() {
    let config = quittance_facilitator::config::GateConfig {
        body_bytes_max: 1,
        answer_body_bytes_max: 2,
        concurrency_max: 3,
        ..Default::default()
    };
    let limits = Limits::from(&config);
    assert_eq!((limits.body_bytes_max, limits.answer_body_bytes_max, limits.concurrency_max), (1, 2, 3));
}

fn big(bytes: usize) -> String {
    format!("{{\"padding\": \"{}\"}}", "x".repeat(bytes))
}

/// A limit that is lowered says nothing about what was paid before: told "too large",
/// whoever holds the payment would make the request smaller and pay again.
#[tokio::test]
async fn p5_a_paid_request_above_a_lowered_limit_is_answered_from_the_ledger() {
    let double = Arc::new(Double::default());
    let wide = Limits { body_bytes_max: 10_000, ..limits() };
    let before = counting(gate(&double).limits(wide), &Runs::default());
    let body = big(5_000);
    let bought = call(&before, paid("/gen").body(body.clone())).await;
    assert_eq!(bought.status, 200);
    let runs = Runs::default();
    let after = counting(gate(&double), &runs);
    double.recalls.store(true, Ordering::SeqCst);
    let again = call(&after, paid("/gen").body(body.clone())).await;
    assert_eq!((again.status, &again.body), (200, &bought.body), "its own answer");
    let asked = *double.recalled.lock().unwrap();
    assert_eq!(
        asked,
        Some(Fingerprint::of_request("POST", "/gen", "", body.as_bytes())),
        "for this very body"
    );
    let query = format!("/gen?note={}", "y".repeat(5_000));
    let long = call(&after, paid(&query)).await;
    assert_eq!(long.status, 200, "and the same for a URL");
    // Where the ledger cannot tell that it is this request, nothing invites a second payment.
    double.recalls.store(false, Ordering::SeqCst);
    let other = call(&after, paid("/gen").body(body.clone())).await;
    assert_eq!((other.status, other.header("x-should-retry")), (413, Some("false")));
    assert_eq!(other.json()["retry_action"], "do_not_retry");
    assert_eq!(other.json()["payment_state"], "settled");
    assert_eq!(other.decoded("payment-response")["transaction"], "0xhash");
    assert_eq!(runs.get(), 0);
    let fresh = Arc::new(Double::default());
    let unknown = counting(gate(&fresh), &Runs::default());
    let unknown = call(&unknown, paid("/gen").body(body)).await;
    assert_eq!((unknown.status, unknown.json()["retry_action"].is_null()), (413, true), "not on record");
    assert!(fresh.recalled.lock().unwrap().is_none(), "and its body was not looked through");
}

/// A path that is sold no more was sold: told "unknown", its buyer would lose what was paid for.
#[tokio::test]
async fn what_left_the_catalogue_is_answered_from_the_ledger() {
    let double = Arc::new(Double::default());
    let app = counting(gate(&double), &Runs::default());
    let unknown = call(&app, paid("/gone").body("{}")).await;
    assert_eq!((unknown.status, unknown.json()["error"].as_str()), (404, Some("unknown_endpoint")));
    let bought = call(&app, paid("/gen").body("{}")).await;
    double.recalls.store(true, Ordering::SeqCst);
    let again = call(&app, paid("/gone").body("{}")).await;
    assert_eq!((again.status, &again.body), (200, &bought.body), "its own answer");
    double.recalls.store(false, Ordering::SeqCst);
    let credit = call(&app, paid("/gone").body("{}")).await;
    assert_eq!((credit.status, credit.header("x-should-retry")), (404, Some("false")));
    assert_eq!(credit.json()["retry_action"], "do_not_retry");
    assert_eq!(credit.decoded("payment-response")["transaction"], "0xhash");
    let refused = call(&app, paid("/gen").body(r#"{"word": "bad"}"#)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.decoded("payment-response")["transaction"], "0xhash", "whoever has paid hears so");
}
