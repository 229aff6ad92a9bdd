//! Customers of the host, by their own credentials.

use std::sync::Arc;

use actix_web::test::TestRequest;
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::{app, call, gate, paid};
use crate::GateBuilder;
use crate::{Identity, Paid};
use quittance_gate::testing::Double;

/// Says how the request got in.
async fn who(paid: Option<Paid>, identity: Option<Identity>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "paid": paid.map(|paid| paid.payment_id.to_string()),
        "identity": identity.map(|identity| identity.0),
    }))
}

fn routes(config: &mut web::ServiceConfig) {
    config.route("/gen", web::post().to(who)).route("/items/{id}", web::post().to(who));
}

fn hooked(double: &Arc<Double>) -> GateBuilder {
    gate(double).authenticate("post", "/gen", |headers| async move {
        let key = headers.get("x-api-key")?.to_str().ok()?.to_owned();
        (key == "good").then_some(Identity(key))
    })
}

#[actix_web::test]
async fn a_hooked_route_serves_who_the_hook_recognises() {
    let double = Arc::new(Double::default());
    let app = app(hooked(&double), routes).await;
    let answer = call(&app, TestRequest::post().uri("/gen").insert_header(("x-api-key", "good"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"paid": null, "identity": "good"}));
    assert!(answer.header("payment-response").is_none());
    assert!(double.log().is_empty());
}

#[actix_web::test]
async fn junk_credentials_buy_nothing() {
    let double = Arc::new(Double::default());
    let app = app(hooked(&double), routes).await;
    for (path, name, value) in [
        ("/gen", "x-api-key", "junk"),
        ("/gen", "authorization", "Bearer good:secret"),
        // The hook is for one route only.
        ("/items/1", "x-api-key", "good"),
    ] {
        let answer = call(&app, TestRequest::post().uri(path).insert_header((name, value))).await;
        assert_eq!(answer.status, 402, "{path} {name}");
        assert!(answer.header("payment-required").is_some());
    }
}

#[actix_web::test]
async fn without_a_hook_no_credentials_count() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), routes).await;
    for header in [("x-api-key", "good"), ("authorization", "Bearer good:secret"), ("payment-response", "x")]
    {
        let answer = call(&app, TestRequest::post().uri("/gen").insert_header(header)).await;
        assert_eq!(answer.status, 402, "{header:?}");
    }
}

#[actix_web::test]
async fn a_payment_goes_before_credentials() {
    let double = Arc::new(Double::default());
    let app = app(hooked(&double), routes).await;
    let answer = call(&app, paid("/gen").insert_header(("x-api-key", "good"))).await;
    assert_eq!(answer.json(), json!({"paid": "pay_1", "identity": null}));
    let broken = TestRequest::post().uri("/gen").insert_header(("payment-signature", "junk"));
    let answer = call(&app, broken.insert_header(("x-api-key", "good"))).await;
    assert_eq!(answer.status, 402, "a broken payment is not forgiven for credentials beside it");
}

#[actix_web::test]
async fn no_header_makes_a_request_paid() {
    let double = Arc::new(Double::default());
    let open = actix_web::App::new()
        .route("/open", web::post().to(|paid: Paid| async move { paid.payer.clone() }))
        .route("/known", web::post().to(|identity: Identity| async move { identity.0 }));
    let open = actix_web::test::init_service(open).await;
    for name in ["paid", "payment-id", "x-payment", "payment-response", "payment-signature", "payment-state"]
    {
        let request = paid("/open").insert_header((name, "pay_1"));
        assert_eq!(call(&open, request).await.status, 500, "{name}");
    }
    assert_eq!(call(&open, paid("/known")).await.status, 401);
    assert!(double.log().is_empty());
}
