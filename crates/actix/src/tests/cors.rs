//! Pages in browsers.

use std::sync::Arc;

use actix_web::test::TestRequest;
use actix_web::{HttpResponse, web};

use super::{app, call, gate, paid};
use crate::Cors;
use quittance_gate::testing::Double;

fn preflight(path: &str, origin: &str) -> TestRequest {
    TestRequest::default()
        .method(actix_web::http::Method::OPTIONS)
        .uri(path)
        .insert_header(("origin", origin.to_owned()))
        .insert_header(("access-control-request-method", "POST"))
        .insert_header((
            "access-control-request-headers",
            "payment-signature,access-control-expose-headers,content-type,x-stainless-os,x-stainless-retry-count,no name",
        ))
}

fn routes(config: &mut web::ServiceConfig) {
    config.route("/gen", web::post().to(HttpResponse::Ok)).route("/free", web::get().to(|| async { "free" }));
}

#[actix_web::test]
async fn a_preflight_allows_what_payers_send() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), routes).await;
    let answer = call(&app, preflight("/gen", "https://page.test")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-credentials").is_none());
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in [
        "payment-signature",
        "x-payment",
        "access-control-expose-headers",
        "content-type",
        "authorization",
        "x-api-key",
        "x-api-secret",
        "idempotency-key",
        // An SDK's own headers.
        "x-stainless-os",
        "x-stainless-retry-count",
    ] {
        assert!(allowed.split(", ").any(|allowed| allowed == name), "{name}");
    }
    assert!(!allowed.contains("no name"));
    assert!(double.log().is_empty());
}

#[actix_web::test]
async fn every_answer_shows_pages_its_payment_headers() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), routes).await;
    for (request, status) in [
        (TestRequest::post().uri("/gen"), 402),
        (paid("/gen"), 200),
        (TestRequest::get().uri("/free"), 200),
        (TestRequest::get().uri("/nowhere"), 404),
    ] {
        let answer = call(&app, request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.starts_with("PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE"), "{exposed}");
    }
    let stored = double.finished().unwrap().headers;
    assert!(stored.iter().all(|(name, _)| !name.starts_with("access-control")), "{stored:?}");
}

#[actix_web::test]
async fn only_listed_origins_are_named() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double).cors(Cors::origins(["https://page.test"])), routes).await;
    let listed = call(&app, preflight("/gen", "https://page.test")).await;
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://page.test"));
    assert_eq!(listed.header("vary"), Some("Origin"));
    for origin in ["https://evil.test", "https://page.test.evil.test", "null"] {
        let other = call(&app, preflight("/gen", origin)).await;
        assert!(other.header("access-control-allow-origin").is_none(), "{origin}");
    }
}

#[actix_web::test]
async fn a_host_with_rules_of_its_own_switches_ours_off() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double).cors(Cors::off()), routes).await;
    assert_eq!(call(&app, preflight("/gen", "https://page.test")).await.status, 405);
    let answer = call(&app, TestRequest::post().uri("/gen")).await;
    assert!(answer.header("access-control-allow-origin").is_none());
}
