//! What serves an endpoint is down: said before anybody pays, and after the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Answer, Ask, Runs, call, counting, paid};
use crate::testing::{Double, gate};

fn assert_down(answer: &Answer, action: Option<&str>) {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("payment-required"), None, "nothing is offered");
    assert_eq!(answer.json()["error"], "service_down");
    assert_eq!(answer.json()["retry_action"].as_str(), action);
    assert_eq!(answer.header("x-should-retry"), action.map(|_| "false"));
}

#[tokio::test]
async fn nothing_is_sold_while_what_serves_it_is_down() {
    let (double, runs, down) =
        (Arc::new(Double::default()), Runs::default(), Arc::new(AtomicBool::new(true)));
    let is_down = Arc::clone(&down);
    let closed = move |method: &str, path: &str| {
        (method == "POST" && path == "/gen" && is_down.load(Ordering::SeqCst)).then_some(7)
    };
    let app = counting(gate(&double).closed_for(closed), &runs);
    assert_down(&call(&app, Ask::post("/gen").body("{}")).await, None);
    assert_down(&call(&app, Ask::post("/gen").header(("payment-signature", "junk")).body("{}")).await, None);
    let both = || paid("/gen").header(("payment-signature", "YWJj"));
    assert_down(&call(&app, both()).await, None);
    assert_down(&call(&app, paid("/gen")).await, Some("retry_same_payment"));
    assert!(double.log().is_empty() && runs.get() == 0, "nothing was claimed, and nothing ran");
    // A request that would be refused hears that, and other endpoints sell.
    assert_eq!(call(&app, Ask::post("/gen").body("bad")).await.status, 400);
    assert_eq!(call(&app, Ask::post("/items/7").body("{}")).await.status, 402);
    down.store(false, Ordering::SeqCst);
    assert_eq!(call(&app, Ask::post("/gen").body("{}")).await.status, 402);
    assert_eq!(call(&app, paid("/gen")).await.status, 200);
    assert_eq!(runs.get(), 1);
}

/// The ledger comes first: what was bought is replayed by a service that is down.
#[tokio::test]
async fn what_was_bought_is_replayed_while_what_serves_it_is_down() {
    let (double, runs, down) =
        (Arc::new(Double::default()), Runs::default(), Arc::new(AtomicBool::new(false)));
    let is_down = Arc::clone(&down);
    let app =
        counting(gate(&double).closed_for(move |_, _| is_down.load(Ordering::SeqCst).then_some(7)), &runs);
    assert_eq!(call(&app, paid("/gen")).await.status, 200);
    down.store(true, Ordering::SeqCst);
    double.recalls.store(true, Ordering::SeqCst);
    let again = call(&app, paid("/gen")).await;
    assert_eq!((again.status, &again.body[..]), (200, &b"served"[..]));
    assert_eq!(runs.get(), 1);
}
