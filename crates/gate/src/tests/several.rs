//! A payment header that came twice, or joined with another.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{Answer, App, Ask, Runs, call, counting, paid};
use crate::testing::{Double, Entry, another, gate, payment, signed};

fn header(payment: &Value) -> String {
    signed(payment).1
}

/// Each of these values in a line of its own, and all of them in one.
fn both_ways(values: &[String]) -> [Ask; 2] {
    let lines = values
        .iter()
        .fold(Ask::post("/gen").body("{}"), |ask, value| ask.header(("payment-signature", value)));
    [lines, Ask::post("/gen").body("{}").header(("payment-signature", values.join(", ")))]
}

fn mounted(double: &Arc<Double>) -> (App, Runs) {
    let runs = Runs::default();
    (counting(gate(double), &runs), runs)
}

fn says(answer: &Answer, status: u16, code: &str, action: &str) {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    let body = answer.json();
    let said = body.get("code").unwrap_or(&body["error"]);
    assert_eq!((said, &body["retry_action"]), (&json!(code), &json!(action)));
}

/// A proxy or a client's middleware that appends on a retry shows one payment, twice.
#[tokio::test]
async fn equal_values_are_one_payment() {
    let mine = header(&payment());
    for values in [vec![mine.clone(), mine.clone()], vec![mine.clone(), mine.clone(), mine]] {
        for ask in both_ways(&values) {
            let double = Arc::new(Double::default());
            let (app, runs) = mounted(&double);
            let answer = call(&app, ask).await;
            assert_eq!((answer.status, answer.header("payment-state")), (200, Some("delivered")));
            assert_eq!(runs.get(), 1);
        }
    }
}

#[tokio::test]
async fn different_ones_that_nobody_knows_are_none() {
    let junk = "bm90IGpzb24=".to_owned();
    // An empty one and JSON as it is count as different, and hide nothing.
    let (none, plain) = (String::new(), payment().to_string());
    for values in [
        vec![header(&payment()), header(&another(1))],
        vec![header(&payment()), junk],
        vec![header(&payment()), none],
        vec![header(&payment()), plain.clone()],
        vec![plain],
    ] {
        for ask in both_ways(&values) {
            let double = Arc::new(Double::default());
            let (app, runs) = mounted(&double);
            says(&call(&app, ask).await, 402, "invalid_payload", "pay");
            assert_eq!(runs.get(), 0);
            assert!(double.log().is_empty(), "nothing is taken");
        }
    }
}

/// P5: whoever holds a payment that may land is not asked for another one.
#[tokio::test]
async fn p5_a_pending_one_among_different_ones_is_pending() {
    let junk = "bm90IGpzb24=".to_owned();
    for others in
        [vec![header(&another(1))], vec![junk.clone()], vec![header(&another(1)), header(&another(2)), junk]]
    {
        let double = Double::waiting();
        let (app, runs) = mounted(&double);
        let buying = call(&app, paid("/gen"));
        let repeating = async {
            double.until(|entry| matches!(entry, Entry::Pay(_))).await;
            for first in [true, false] {
                let mut values = others.clone();
                values.insert(if first { 0 } else { values.len() }, header(&payment()));
                for ask in both_ways(&values) {
                    let answer = call(&app, ask).await;
                    says(&answer, 503, "settlement_pending", "retry_same_payment");
                    assert!(answer.header("payment-required").is_none());
                    assert_eq!(answer.header("x-should-retry"), Some("false"));
                }
            }
            double.settlements.add_permits(1);
        };
        let (bought, ()) = futures::join!(buying, repeating);
        assert_eq!((bought.status, runs.get()), (200, 1));
    }
}

#[tokio::test]
async fn a_settled_one_among_different_ones_is_answered_or_to_be_sent_alone() {
    let double = Arc::new(Double::default());
    let (app, runs) = mounted(&double);
    assert_eq!(call(&app, paid("/gen")).await.status, 200);
    let values = [header(&another(1)), header(&payment())];
    for ask in both_ways(&values) {
        let answer = call(&app, ask).await;
        says(&answer, 400, "invalid_payload", "retry_same_payment");
        assert_eq!(answer.json()["transaction"], "0xhash");
        assert_eq!(answer.decoded("payment-response")["transaction"], "0xhash");
    }
    double.recalls.store(true, Ordering::SeqCst);
    for ask in both_ways(&values) {
        let answer = call(&app, ask).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"served"[..]), "it bought this request");
    }
    assert_eq!(runs.get(), 1);
    // Where it is sold no more, or refused by the host, nobody is asked to pay again, either.
    double.recalls.store(false, Ordering::SeqCst);
    let gone = Ask::post("/gone").header(("payment-signature", values.join(",")));
    says(&call(&app, gone).await, 400, "invalid_payload", "retry_same_payment");
    let bad = Ask::post("/gen").body("a bad one").header(("payment-signature", values.join(",")));
    says(&call(&app, bad).await, 400, "invalid_payload", "retry_same_payment");
}

/// Each is a read of the ledger, so not all of many are looked at; and then nobody is
/// asked to pay for what may be paid.
#[tokio::test]
async fn too_many_different_ones_invite_no_payment() {
    let double = Arc::new(Double::default());
    let (app, _) = mounted(&double);
    let values: Vec<_> = (0..9).map(|number| header(&another(number))).collect();
    for ask in both_ways(&values) {
        says(&call(&app, ask).await, 400, "invalid_payload", "retry_same_payment");
    }
}
