//! Many who ask at once: copies of one payment, and long bodies.

use std::sync::Arc;

use actix_web::test::{TestRequest, call_service};
use actix_web::{HttpResponse, web};
use futures::future::join_all;
use quittance_facilitator::config::ServerConfig;
use quittance_protocol::encode_header;
use serde_json::Value;

use super::{Answer, app, call, gate, limits, paid, payment, signed};
use crate::{Callers, Limits};
use quittance_gate::testing::{Double, Entry, another};

fn serve(config: &mut web::ServiceConfig) {
    config.default_service(web::to(async || HttpResponse::Ok().body("served")));
}

#[actix_web::test]
async fn copies_of_a_pending_payment_take_one_place() {
    let double = Double::waiting();
    let few = Limits { concurrency_max: 3, copies_max: 5, ..limits() };
    let app = app(gate(&double).limits(few), serve).await;
    let copies = async {
        let copies = join_all((0..200).map(|_| call(&app, paid("/gen")))).await;
        let told = |answer: &Answer| (answer.status, String::from_utf8_lossy(&answer.body).into_owned());
        copies.iter().map(told).collect::<Vec<_>>()
    };
    let others = async {
        double.until(|entry| matches!(entry, Entry::Pay(_))).await;
        let crowd = call(&app, paid("/gen")).await;
        double.settlements.add_permits(8);
        (crowd, call(&app, TestRequest::post().uri("/gen").insert_header(signed(&another(1)))).await)
    };
    let (copies, (crowd, other)) = futures::join!(copies, others);
    assert_eq!(other.status, 200, "another customer buys");
    let served = copies.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(served, 5, "as many as may wait");
    let told: Vec<_> = copies.iter().filter(|(status, _)| *status == 503).collect();
    assert_eq!(told.len(), 195);
    assert!(told.iter().all(|(_, body)| body.contains("\"settlement_pending\"")), "never 402: {told:?}");
    assert_eq!(crowd.status, 503);
    assert_eq!(crowd.header("retry-after"), Some("2"));
    assert_eq!(crowd.header("x-should-retry"), Some("false"));
    assert_eq!(crowd.decoded("payment-response")["errorReason"], "settlement_pending");
}

#[actix_web::test]
async fn places_are_for_payments_and_no_stranger_has_the_last() {
    let double = Double::waiting();
    let few = Limits { concurrency_max: 4, ..limits() };
    let app = app(gate(&double).limits(few), serve).await;
    let pay = |number| call(&app, TestRequest::post().uri("/gen").insert_header(signed(&another(number))));
    let held = join_all((0..3).map(pay));
    let rest = async {
        double.until_paid(3).await;
        let one_more = pay(3).await;
        double.settlements.add_permits(9);
        one_more
    };
    let (_, one_more): (Vec<Answer>, _) = futures::join!(held, rest);
    assert_eq!((one_more.status, one_more.header("retry-after")), (503, Some("2")));
    assert_eq!(one_more.json()["error"], "too_many_in_flight");
    assert_eq!(pay(3).await.status, 200, "places are given back");
}

#[actix_web::test]
async fn long_bodies_without_a_payment_find_no_room_and_short_ones_do() {
    const MIB: usize = 1024 * 1024;
    let double = Arc::new(Double::default());
    let narrow = Limits { body_bytes_max: 8 * MIB, unpaid_bytes_max: MIB, ..limits() };
    let app = app(gate(&double).limits(narrow), serve).await;
    // Bodies of which the end does not come: what arrived stays.
    let (sender, held) = futures::channel::mpsc::unbounded::<Result<bytes::Bytes, _>>();
    sender.unbounded_send(Ok(bytes::Bytes::from(vec![b' '; 8 * MIB]))).unwrap();
    let mut endless = TestRequest::post().uri("/gen").to_request();
    *endless.payload() = actix_http::Payload::Stream { payload: Box::pin(held) };
    let endless = call_service(&app, endless);
    let others = async {
        tokio::task::yield_now().await;
        let long = call(&app, TestRequest::post().uri("/gen").set_payload(vec![b' '; 2 * MIB])).await;
        assert_eq!((long.status, long.header("retry-after")), (503, Some("2")));
        assert_eq!(long.json()["error"], "too_many_bytes_in_flight");
        assert_eq!(long.json()["retry_action"], Value::Null, "nothing was paid");
        let short = call(&app, TestRequest::post().uri("/gen").set_payload(vec![b' '; 60_000])).await;
        assert_eq!(short.status, 402);
        let paying = paid("/gen").set_payload(vec![b' '; 2 * MIB]);
        assert_eq!(call(&app, paying).await.status, 200, "who pays has a share of its own");
        drop(sender);
    };
    let (first, ()) = futures::join!(endless, others);
    assert_eq!(first.status(), 402);
    let again = call(&app, TestRequest::post().uri("/gen").set_payload(vec![b' '; 2 * MIB])).await;
    assert_eq!(again.status, 402, "what was read is given back once it is priced");
}

#[actix_web::test]
async fn the_till_hears_who_is_calling() {
    let proxied =
        ServerConfig { trusted_proxies: vec!["192.0.2.0/24".to_owned()], ..ServerConfig::default() };
    for (peer, forwarded, expected) in [
        ("198.51.100.7:1", "203.0.113.9", "198.51.100.7"),
        ("192.0.2.1:1", "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("192.0.2.1:1", "", "192.0.2.1"),
    ] {
        let double = Arc::new(Double::default());
        let app = app(gate(&double).callers(Callers::new(&proxied).unwrap()), serve).await;
        let request = TestRequest::post().uri("/gen").peer_addr(peer.parse().unwrap());
        let header = encode_header(&payment()).unwrap();
        let request = request
            .insert_header(("payment-signature", header))
            .insert_header(("x-forwarded-for", forwarded));
        assert_eq!(call(&app, request).await.status, 200);
        let callers: Vec<_> = double
            .log()
            .iter()
            .filter_map(|entry| match entry {
                Entry::Pay(sale) => Some(sale.caller.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(callers, [expected]);
    }
}
