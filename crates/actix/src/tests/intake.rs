//! Routes, bodies, payment headers, and the 402 itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::test::TestRequest;
use actix_web::{HttpRequest, HttpResponse, web};
use quittance_facilitator::config::ServerConfig;
use quittance_facilitator::{Callers, PayOutcome, Rejection};
use quittance_protocol::{ErrorCode, Fingerprint, HEADER_BYTES_MAX};
use serde_json::{Value, json};

use super::{Answer, Runs, app, call, gate, limits, paid, payment, signed};
use crate::{Limits, Mount as _};
use quittance_gate::testing::Double;

/// Every path of the application counts its runs.
fn count_all(runs: &Runs) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let runs = runs.clone();
    move |config| {
        config.default_service(web::to(move || {
            runs.count();
            std::future::ready(HttpResponse::Ok().body("served"))
        }));
    }
}

async fn unpaid_answer(request: TestRequest) -> Answer {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = app(gate(&double), count_all(&runs)).await;
    let answer = call(&app, request).await;
    assert_eq!(runs.get(), 0, "an unpaid request reached the handler");
    assert!(double.log().is_empty(), "an unpaid request was taken to the double");
    answer
}

#[actix_web::test]
async fn a_402_carries_the_offer_in_header_and_body_and_pays_nothing() {
    let request = TestRequest::post().uri("/gen?wait=true").set_payload("{}");
    let answer = unpaid_answer(request.insert_header(("host", "evil.test"))).await;
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
    assert_eq!((&body["x402Version"], &body["error"]), (&json!(1), &offer["error"]));
    assert_eq!(body["accepts"][0]["network"], "base");
    assert_eq!(body["accepts"][0]["maxAmountRequired"], "12000");
    assert_eq!(body["accepts"][0]["resource"], offer["resource"]["url"]);
    assert_eq!(body["code"], "payment_required");
    assert_eq!(body["retry_action"], "pay");
    assert_eq!(body["payment_state"], "none");
}

#[actix_web::test]
async fn without_a_public_url_the_connection_names_the_resource() {
    let double = Arc::new(Double::default());
    let gate = quittance_gate::testing::gate_of(&double, Arc::new(quittance_gate::testing::TestPricer));
    let app = app(gate, count_all(&Runs::default())).await;
    let request = TestRequest::post().uri("/gen").insert_header(("host", "here.test"));
    let answer = call(&app, request).await;
    assert_eq!(answer.decoded("payment-required")["resource"]["url"], "http://here.test/gen");
}

/// The URL in an offer must not name another host or scheme than actix does, which takes any
/// proxy's word: of one that is trusted.
#[actix_web::test]
async fn the_url_behind_a_trusted_proxy_is_the_one_that_the_connection_info_gives() {
    let double = Arc::new(Double::default());
    let behind = ServerConfig { trusted_proxies: vec!["192.0.2.0/24".to_owned()], ..ServerConfig::default() };
    let gate = quittance_gate::testing::gate_of(&double, Arc::new(quittance_gate::testing::TestPricer))
        .callers(Callers::new(&behind).unwrap())
        .build();
    let expected = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
    let seen = std::rc::Rc::clone(&expected);
    let app =
        actix_web::App::new().service(web::scope("").wrap(gate.middleware())).wrap_fn(move |req, service| {
            let connection = req.connection_info().clone();
            let target = req.uri().path_and_query().map_or("/", |target| target.as_str());
            *seen.borrow_mut() = format!("{}://{}{target}", connection.scheme(), connection.host());
            actix_web::dev::Service::call(service, req)
        });
    let app = actix_web::test::init_service(app).await;
    for headers in [
        &[][..],
        &[("host", "a.test")],
        &[("host", "a.test:8080"), ("forwarded", "for=1.1.1.1;proto=https;host=b.test")],
        &[("host", "a.test"), ("forwarded", "for=1.1.1.1")],
        &[("host", "a.test"), ("forwarded", "for=1.1.1.1, for=2.2.2.2; Proto=\"https\" , host=\"e.test\"")],
        &[("host", "a.test"), ("x-forwarded-host", "c.test, d.test")],
        &[("host", "a.test"), ("x-forwarded-proto", "https")],
        &[("host", "a.test"), ("x-forwarded-for", "1.1.1.1")],
        &[("host", "")],
    ] {
        for uri in ["/gen", "/gen?a=b&c=%20", "http://d.test/gen", "https://d.test/gen"] {
            let mut request = TestRequest::post().uri(uri).peer_addr("192.0.2.1:1".parse().unwrap());
            for header in headers {
                request = request.append_header(*header);
            }
            let answer = actix_web::test::call_service(&app, request.to_request()).await;
            let offer = answer.headers().get("payment-required").unwrap().to_str().unwrap().to_owned();
            let offer: Value = quittance_protocol::decode_header(&offer).unwrap();
            assert_eq!(offer["resource"]["url"], *expected.borrow(), "{uri} {headers:?}");
        }
    }
}

#[actix_web::test]
async fn nothing_to_offer_is_503_with_retry_after() {
    let double = Arc::new(Double::default());
    double.nothing_to_offer.store(true, Ordering::SeqCst);
    let app = app(gate(&double), count_all(&Runs::default())).await;
    let answer = call(&app, TestRequest::post().uri("/gen")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    assert_eq!(answer.json()["error"], "network_unavailable");
    assert_eq!(answer.header("x-should-retry"), None, "nothing was signed: calling again costs nothing");
    assert_eq!(answer.json()["closed"]["eip155:8453"], "wallet_empty", "and says why");
    assert!(answer.json()["message"].as_str().unwrap().contains("wallet_empty"));
    assert!(double.log().is_empty());
}

#[actix_web::test]
async fn a_refused_payment_is_kept_while_there_is_nothing_to_offer() {
    let refusal = Rejection::new(ErrorCode::InvalidPayload, "no");
    let double = Double::scripted(PayOutcome::Refused(refusal));
    double.nothing_to_offer.store(true, Ordering::SeqCst);
    let app = app(gate(&double), count_all(&Runs::default())).await;
    let answer = call(&app, paid("/gen")).await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (503, Some("false")));
    assert_eq!(answer.json()["error"], "network_unavailable");
    assert_eq!(answer.json()["retry_action"], "retry_same_payment");
}

#[actix_web::test]
async fn what_is_listed_by_another_method_is_405_and_names_it() {
    for method in ["GET", "PUT", "OPTIONS", "HEAD"] {
        let request = TestRequest::default().method(method.parse().unwrap()).uri("/gen");
        let answer = unpaid_answer(request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
}

#[actix_web::test]
async fn routes_not_listed_are_404_whatever_is_mounted_behind() {
    for (method, path) in [
        ("POST", "/other"),
        ("POST", "/"),
        ("POST", "//gen"),
        ("POST", "/gen/"),
        ("POST", "/./gen"),
        ("POST", "/x/../gen"),
        ("POST", "/free/../gen"),
        ("GET", "/free/%2e%2e/gen"),
        ("POST", "/items/a%2Fb"),
        ("POST", "/items/a%5Cb"),
        ("POST", "/items/%00"),
        ("POST", "/GEN"),
    ] {
        let request = TestRequest::default().method(method.parse().unwrap()).uri(path);
        let answer = unpaid_answer(request).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.json()["error"], "unknown_endpoint", "{method} {path}");
        }
    }
}

#[actix_web::test]
async fn an_escaped_letter_is_the_same_route() {
    let answer = unpaid_answer(TestRequest::post().uri("/%67en")).await;
    assert_eq!(answer.status, 402);
}

#[actix_web::test]
async fn a_free_route_goes_straight_through() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = app(gate(&double), count_all(&runs)).await;
    let answer = call(&app, TestRequest::get().uri("/free").insert_header(signed(&payment()))).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"served"[..]));
    assert_eq!(runs.get(), 1);
    assert!(double.log().is_empty(), "a free route takes no payment");
    assert!(answer.header("payment-response").is_none());
}

#[actix_web::test]
async fn a_body_above_the_limit_is_413_before_anything_else() {
    let long = "x".repeat(1_001);
    let announced = |body| paid("/gen").set_payload(body).insert_header(("content-length", "1001"));
    for request in [paid("/gen").set_payload(long), announced("{}"), announced("bad")] {
        let answer = unpaid_answer(request).await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.json()["error"], "body_too_large");
        assert!(answer.header("payment-required").is_none(), "no price for a body nobody read");
    }
    let fits = TestRequest::post().uri("/gen").set_payload("x".repeat(1_000));
    assert_eq!(unpaid_answer(fits).await.status, 402);
}

#[actix_web::test]
async fn an_encoded_body_and_a_long_url_are_refused() {
    let encoded = paid("/gen").insert_header(("content-encoding", "gzip"));
    assert_eq!(unpaid_answer(encoded).await.status, 415);
    let long = format!("/gen?{}", "x".repeat(limits().url_bytes_max));
    assert_eq!(unpaid_answer(paid(&long)).await.status, 414);
}

#[actix_web::test]
async fn a_bad_body_is_the_hosts_400_with_or_without_a_payment() {
    for request in [TestRequest::post().uri("/gen"), paid("/gen")] {
        let answer = unpaid_answer(request.set_payload("a bad one")).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), json!({"detail": "the host's own words"}));
        assert!(answer.header("payment-required").is_none());
    }
}

#[actix_web::test]
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
        let request = TestRequest::post().uri("/gen").insert_header(("payment-signature", header.clone()));
        let answer = unpaid_answer(request).await;
        assert_eq!(answer.status, 402, "{header}");
        assert_eq!(answer.decoded("payment-required")["error"], code, "{header}");
        assert_eq!(answer.json()["code"], code);
        assert_eq!(answer.decoded("payment-required")["accepts"][0]["amount"], "12000");
    }
}

#[actix_web::test]
async fn a_version_2_payment_in_version_1s_header_is_told_the_version() {
    let header = ("x-payment", signed(&payment()).1);
    let answer = unpaid_answer(TestRequest::post().uri("/gen").insert_header(header)).await;
    assert_eq!(answer.decoded("payment-required")["error"], "invalid_x402_version");
}

#[actix_web::test]
async fn discovery_lists_networks_and_endpoints_on_both_paths() {
    let double = Arc::new(Double::default());
    let built = gate(&double).build();
    let nested = actix_web::App::new()
        .service(web::scope("/api").wrap(built.middleware()))
        .configure(built.discovery());
    let nested = actix_web::test::init_service(nested).await;
    let whole = app(gate(&double), |_| {}).await;
    let mut documents = Vec::new();
    for path in ["/v1/x402", "/.well-known/x402"] {
        documents.push(call(&nested, TestRequest::get().uri(path)).await);
        documents.push(call(&whole, TestRequest::get().uri(path)).await);
    }
    for document in documents {
        assert_eq!(document.status, 200);
        assert_eq!(document.header("access-control-allow-origin"), Some("*"));
        let json = document.json();
        assert_eq!(json["x402Version"], 2);
        assert_eq!(json["networks"][0]["network"], "eip155:8453");
        assert_eq!(json["networks"][0]["payTo"], "0xb");
        assert_eq!(json["endpoints"][1]["method"], "POST");
        assert_eq!(json["endpoints"][1]["path"], "/items/{id}");
        assert_eq!(json["endpoints"][1]["pricing"], "paid");
        assert_eq!(json["endpoints"][2]["pricing"], "free");
    }
}

#[actix_web::test]
async fn handlers_behind_the_gate_read_the_body_the_price_was_made_from() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.route(
            "/items/{id}",
            web::post().to(|id: web::Path<String>, body: web::Bytes, req: HttpRequest| async move {
                let query = req.query_string().to_owned();
                format!("{id} {query} {}", String::from_utf8_lossy(&body))
            }),
        );
    })
    .await;
    let answer = call(&app, paid("/items/7?a=b").set_payload("{\"n\":1}")).await;
    assert_eq!(&answer.body[..], b"7 a=b {\"n\":1}");
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
#[actix_web::test]
async fn p5_a_paid_request_above_a_lowered_limit_is_answered_from_the_ledger() {
    let double = Arc::new(Double::default());
    let wide = Limits { body_bytes_max: 10_000, ..limits() };
    let before = app(gate(&double).limits(wide), count_all(&Runs::default())).await;
    let body = big(5_000);
    let bought = call(&before, paid("/gen").set_payload(body.clone())).await;
    assert_eq!(bought.status, 200);
    let runs = Runs::default();
    let after = app(gate(&double), count_all(&runs)).await;
    double.recalls.store(true, Ordering::SeqCst);
    let again = call(&after, paid("/gen").set_payload(body.clone())).await;
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
    let other = call(&after, paid("/gen").set_payload(body.clone())).await;
    assert_eq!((other.status, other.header("x-should-retry")), (413, Some("false")));
    assert_eq!(other.json()["retry_action"], "do_not_retry");
    assert_eq!(other.json()["payment_state"], "settled");
    assert_eq!(other.decoded("payment-response")["transaction"], "0xhash");
    assert_eq!(runs.get(), 0);
    let fresh = Arc::new(Double::default());
    let unknown = app(gate(&fresh), count_all(&Runs::default())).await;
    let unknown = call(&unknown, paid("/gen").set_payload(body)).await;
    assert_eq!((unknown.status, unknown.json()["retry_action"].is_null()), (413, true), "not on record");
    assert!(fresh.recalled.lock().unwrap().is_none(), "and its body was not looked through");
}

/// A path that is sold no more was sold: told "unknown", its buyer would lose what was paid for.
#[actix_web::test]
async fn what_left_the_catalogue_is_answered_from_the_ledger() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), count_all(&Runs::default())).await;
    let unknown = call(&app, paid("/gone").set_payload("{}")).await;
    assert_eq!((unknown.status, unknown.json()["error"].as_str()), (404, Some("unknown_endpoint")));
    let bought = call(&app, paid("/gen").set_payload("{}")).await;
    double.recalls.store(true, Ordering::SeqCst);
    let again = call(&app, paid("/gone").set_payload("{}")).await;
    assert_eq!((again.status, &again.body), (200, &bought.body), "its own answer");
    double.recalls.store(false, Ordering::SeqCst);
    let credit = call(&app, paid("/gone").set_payload("{}")).await;
    assert_eq!((credit.status, credit.header("x-should-retry")), (404, Some("false")));
    assert_eq!(credit.json()["retry_action"], "do_not_retry");
    assert_eq!(credit.decoded("payment-response")["transaction"], "0xhash");
    let refused = call(&app, paid("/gen").set_payload(r#"{"word": "bad"}"#)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.decoded("payment-response")["transaction"], "0xhash", "whoever has paid hears so");
}
