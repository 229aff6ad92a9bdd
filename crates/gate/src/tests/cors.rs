//! Pages in browsers.

use std::sync::Arc;

use super::reply::Reply;
use super::{Ask, call, paid, saying};
use crate::Cors;
use crate::testing::{Double, gate};

fn preflight(path: &str, origin: &str) -> Ask {
    Ask::new("OPTIONS", path)
        .header(("origin", origin))
        .header(("access-control-request-method", "POST"))
        .header((
            "access-control-request-headers",
            "payment-signature,access-control-expose-headers,content-type,x-stainless-os,x-stainless-retry-count,no name",
        ))
}

#[tokio::test]
async fn a_preflight_allows_what_payers_send() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double), || Reply::ok().body("free"));
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

#[tokio::test]
async fn every_answer_shows_pages_its_payment_headers() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double), || Reply::ok().body("free"));
    for (request, status) in
        [(Ask::post("/gen"), 402), (paid("/gen"), 200), (Ask::get("/free"), 200), (Ask::get("/nowhere"), 404)]
    {
        let answer = call(&app, request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.starts_with("PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE"), "{exposed}");
    }
    let stored = double.finished().unwrap().headers;
    assert!(stored.iter().all(|(name, _)| !name.starts_with("access-control")), "{stored:?}");
}

#[tokio::test]
async fn only_listed_origins_are_named() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double).cors(Cors::origins(["https://page.test"])), || Reply::ok().empty());
    let listed = call(&app, preflight("/gen", "https://page.test")).await;
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://page.test"));
    assert_eq!(listed.header("vary"), Some("Origin"));
    for origin in ["https://evil.test", "https://page.test.evil.test", "null"] {
        let other = call(&app, preflight("/gen", origin)).await;
        assert!(other.header("access-control-allow-origin").is_none(), "{origin}");
    }
}

#[tokio::test]
async fn a_host_with_rules_of_its_own_switches_ours_off() {
    let double = Arc::new(Double::default());
    let app = saying(gate(&double).cors(Cors::off()), || Reply::ok().empty());
    assert_eq!(call(&app, preflight("/gen", "https://page.test")).await.status, 405);
    let answer = call(&app, Ask::post("/gen")).await;
    assert!(answer.header("access-control-allow-origin").is_none());
}
