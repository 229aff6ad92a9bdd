//! Clients of x402 version 1, and those that send both.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quittance_protocol::{HEADER_BYTES_MAX, encode_header};
use serde_json::{Value, json};

use super::reply::Reply;
use super::{Answer, App, Ask, Runs, app, call, counting, paid};
use crate::testing::{Double, Entry, another, gate, payment, signed};

/// The same payment as a client of version 1 writes it.
fn first(payment: &Value) -> Value {
    json!({"x402Version": 1, "scheme": "exact", "network": "base", "payload": payment["payload"]})
}

fn encoded(value: &Value) -> String {
    encode_header(value).unwrap()
}

/// `POST /gen` with these lines.
fn ask(lines: &[(&'static str, String)]) -> Ask {
    lines.iter().fold(Ask::post("/gen").body("{}"), |ask, (name, value)| ask.header((*name, value)))
}

fn in_version_1(payment: &Value) -> Ask {
    ask(&[("x-payment", encoded(&first(payment)))])
}

fn mounted(double: &Arc<Double>) -> (App, Runs) {
    let runs = Runs::default();
    (counting(gate(double), &runs), runs)
}

fn says(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{:?}", answer.body);
    let body = answer.json();
    assert_eq!(body.get("code").unwrap_or(&body["error"]), code);
}

#[tokio::test]
async fn a_payment_of_version_1_is_served_and_its_receipt_is_in_version_1() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |request| async move {
        assert!(request.headers().get("x-payment").is_none(), "nobody behind the gate needs it");
        Reply::ok().header("x-payment-response", "forged").body("served")
    });
    let answer = call(&app, in_version_1(&payment())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"served"[..]));
    let receipt = answer.decoded("x-payment-response");
    for (name, value) in [
        ("success", json!(true)),
        ("transaction", json!("0xhash")),
        ("network", json!("base")),
        ("payer", json!("0xpayer")),
    ] {
        assert_eq!(receipt[name], value, "{name}");
    }
    assert_eq!(answer.decoded("payment-response")["network"], "eip155:8453");
    let [Entry::Pay(sale), ..] = &double.log()[..] else { panic!("{:?}", double.log()) };
    assert_eq!((sale.identifier, sale.malformed), (None, None), "version 1 names no purchase");
}

#[tokio::test]
async fn who_pays_in_version_2_reads_no_other_header() {
    let (app, _) = mounted(&Arc::new(Double::default()));
    let answer = call(&app, paid("/gen")).await;
    assert_eq!((answer.status, answer.header("x-payment-response")), (200, None));
}

/// P1: in whichever version it is sent, it is the payment that was brought before.
#[tokio::test]
async fn one_authorization_in_both_versions_runs_once() {
    let double = Arc::new(Double::default());
    let (app, runs) = mounted(&double);
    let (one, other) = futures::join!(call(&app, in_version_1(&payment())), call(&app, paid("/gen")));
    assert_eq!((one.status, other.status, runs.get()), (200, 200, 1));
    assert_eq!(one.body, other.body);
}

#[tokio::test]
async fn one_payment_in_both_headers_is_one() {
    let (old, new) = (encoded(&first(&payment())), signed(&payment()).1);
    for (signature, x_payment) in [(&new, &old), (&new, &new), (&old, &old)] {
        let double = Arc::new(Double::default());
        let (app, runs) = mounted(&double);
        let both = ask(&[("payment-signature", signature.clone()), ("x-payment", x_payment.clone())]);
        let answer = call(&app, both).await;
        assert_eq!((answer.status, runs.get()), (200, 1), "{:?}", answer.body);
        assert_eq!(answer.decoded("x-payment-response")["network"], "base");
        assert_eq!(answer.decoded("payment-response")["success"], true);
    }
}

/// What cannot be read in the old header does not spoil what can be in the new one.
#[tokio::test]
async fn junk_in_version_1s_header_says_nothing() {
    for junk in ["", "token", "a b, c", "e30=", &encoded(&json!({"x402Version": 1}))] {
        let double = Arc::new(Double::default());
        let (app, runs) = mounted(&double);
        let both = ask(&[("payment-signature", signed(&payment()).1), ("x-payment", junk.to_owned())]);
        assert_eq!((call(&app, both).await.status, runs.get()), (200, 1), "{junk:?}");
    }
}

/// A proxy, or a server behind another gate, could each read another one.
#[tokio::test]
async fn different_payments_in_both_headers_are_none() {
    let double = Arc::new(Double::default());
    let (app, runs) = mounted(&double);
    let cases = [
        [("payment-signature", signed(&payment()).1), ("x-payment", encoded(&first(&another(1))))],
        [("payment-signature", signed(&payment()).1), ("x-payment", signed(&another(1)).1)],
        [("payment-signature", "e30=".to_owned()), ("x-payment", encoded(&first(&payment())))],
    ];
    for lines in &cases {
        says(&call(&app, ask(lines)).await, 402, "invalid_payload");
        assert!(double.log().is_empty() && runs.get() == 0, "nothing is taken");
    }
    // P5: one of them is on record, and is settled.
    assert_eq!(call(&app, paid("/gen")).await.status, 200);
    for lines in &cases {
        let answer = call(&app, ask(lines)).await;
        says(&answer, 400, "invalid_payload");
        assert_eq!(answer.json()["retry_action"], "retry_same_payment");
        assert_eq!(answer.decoded("x-payment-response")["transaction"], "0xhash");
    }
    assert_eq!(runs.get(), 1);
}

/// In the other version's header it is not taken, and nobody who may have paid is asked to
/// pay again.
#[tokio::test]
async fn p5_a_payment_in_the_other_versions_header_is_refused_unless_it_is_on_record() {
    let misplaced = || {
        [
            ask(&[("payment-signature", encoded(&first(&payment())))]),
            ask(&[("x-payment", signed(&payment()).1)]),
        ]
    };
    let double = Double::waiting();
    let (app, runs) = mounted(&double);
    for request in misplaced() {
        says(&call(&app, request).await, 402, "invalid_x402_version");
    }
    let buying = call(&app, in_version_1(&payment()));
    let repeating = async {
        double.until(|entry| matches!(entry, Entry::Pay(_))).await;
        for request in misplaced() {
            says(&call(&app, request).await, 503, "settlement_pending");
        }
        double.settlements.add_permits(1);
    };
    let (bought, ()) = futures::join!(buying, repeating);
    assert_eq!((bought.status, runs.get()), (200, 1));
}

#[tokio::test]
async fn what_is_no_payment_of_version_1_gets_a_fresh_offer() {
    let with = |name: &str, value: Value| {
        let mut changed = first(&payment());
        changed[name] = value;
        encoded(&changed)
    };
    for (header, code) in [
        (with("network", json!("eip155:8453")), "invalid_network"),
        (with("network", json!("nowhere")), "invalid_network"),
        (with("network", json!(7)), "invalid_payload"),
        (with("x402Version", json!(3)), "invalid_x402_version"),
        (with("accepted", json!({})), "invalid_x402_version"),
        ("A".repeat(HEADER_BYTES_MAX + 4), "invalid_payload"),
        ("not base64!".to_owned(), "invalid_payload"),
    ] {
        let double = Arc::new(Double::default());
        let (app, _) = mounted(&double);
        let answer = call(&app, ask(&[("x-payment", header)])).await;
        says(&answer, 402, code);
        let body = answer.json();
        assert_eq!((&body["x402Version"], &body["error"]), (&json!(1), &json!(code)));
        assert_eq!(answer.decoded("payment-required")["accepts"][0]["amount"], "12000");
        assert!(double.log().is_empty());
    }
}

/// P5, as version 1 reads it.
#[tokio::test]
async fn who_paid_in_version_1_hears_in_it_that_the_outcome_is_open() {
    let double = Double::waiting();
    let (app, _) = mounted(&double);
    let buying = call(&app, in_version_1(&payment()));
    let repeating = async {
        double.until(|entry| matches!(entry, Entry::Pay(_))).await;
        let large = ask(&[("x-payment", encoded(&first(&payment())))]).body("x".repeat(2_000));
        let answer = call(&app, large).await;
        says(&answer, 503, "settlement_pending");
        let receipt = answer.decoded("x-payment-response");
        assert_eq!(
            (&receipt["success"], &receipt["errorReason"]),
            (&json!(false), &json!("settlement_pending"))
        );
        assert_eq!(receipt["transaction"], "0xfeed");
        assert!(answer.header("payment-required").is_none());
        double.settlements.add_permits(2);
    };
    futures::join!(buying, repeating);
    double.recalls.store(true, Ordering::SeqCst);
    let again = call(&app, in_version_1(&payment())).await;
    assert_eq!((again.status, &again.body[..]), (200, &b"served"[..]));
}
