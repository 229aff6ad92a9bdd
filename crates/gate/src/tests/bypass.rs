//! Customers of the host, by their own credentials.

use std::sync::Arc;

use serde_json::json;

use super::reply::Reply;
use super::{App, Ask, app, call, paid};
use crate::GateBuilder;
use crate::testing::{Double, gate};
use crate::{Identity, Paid};

/// Says how the request got in.
fn who(gate: GateBuilder) -> App {
    app(gate, |request| async move {
        let paid = request.extensions().get::<Paid>().map(|paid| paid.payment_id.to_string());
        let identity = request.extensions().get::<Identity>().map(|Identity(name)| name.clone());
        Reply::ok().json(&json!({ "paid": paid, "identity": identity }))
    })
}

fn hooked(double: &Arc<Double>) -> GateBuilder {
    gate(double).authenticate("post", "/gen", |headers| async move {
        let key = headers.get("x-api-key")?.to_str().ok()?.to_owned();
        (key == "good").then_some(Identity(key))
    })
}

#[tokio::test]
async fn a_hooked_route_serves_who_the_hook_recognises() {
    let double = Arc::new(Double::default());
    let app = who(hooked(&double));
    let answer = call(&app, Ask::post("/gen").header(("x-api-key", "good"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"paid": null, "identity": "good"}));
    assert!(answer.header("payment-response").is_none());
    assert!(double.log().is_empty());
}

#[tokio::test]
async fn junk_credentials_buy_nothing() {
    let double = Arc::new(Double::default());
    let app = who(hooked(&double));
    for (path, name, value) in [
        ("/gen", "x-api-key", "junk"),
        ("/gen", "authorization", "Bearer good:secret"),
        // The hook is for one route only.
        ("/items/1", "x-api-key", "good"),
    ] {
        let answer = call(&app, Ask::post(path).header((name, value))).await;
        assert_eq!(answer.status, 402, "{path} {name}");
        assert!(answer.header("payment-required").is_some());
    }
}

#[tokio::test]
async fn without_a_hook_no_credentials_count() {
    let double = Arc::new(Double::default());
    let app = who(gate(&double));
    for header in [("x-api-key", "good"), ("authorization", "Bearer good:secret"), ("payment-response", "x")]
    {
        let answer = call(&app, Ask::post("/gen").header(header)).await;
        assert_eq!(answer.status, 402, "{header:?}");
    }
}

#[tokio::test]
async fn a_payment_goes_before_credentials() {
    let double = Arc::new(Double::default());
    let app = who(hooked(&double));
    let answer = call(&app, paid("/gen").header(("x-api-key", "good"))).await;
    assert_eq!(answer.json(), json!({"paid": "pay_1", "identity": null}));
    let broken = Ask::post("/gen").header(("payment-signature", "junk"));
    let answer = call(&app, broken.header(("x-api-key", "good"))).await;
    assert_eq!(answer.status, 402, "a broken payment is not forgiven for credentials beside it");
}
