//! Real usage: reported by the handler, booked with the answer, streamed or not.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures::StreamExt as _;
use quittance_facilitator::Usage;
use quittance_protocol::Amount;
use quittance_quote::Catalogue;

use super::{app, call, signed};
use crate::GateBuilder;
use crate::{Paid, UsageError};
use quittance_gate::testing::{Double, Entry};

/// Text at a tenth of a dollar for a thousand tokens of either kind, and a flat call.
const CATALOGUE: &str = r#"
    [catalogue]
    name = "words"
    unit = "usd"
    usd_per_unit = "1"

    [models.words]
    type = "text"
    input_units_per_million = "100"
    output_units_per_million = "100"
    context_tokens = 100000
    inputs = ["text"]

    [[endpoints]]
    method = "POST"
    path = "/chat"
    description = "Talks"
    price = { kind = "text", reserve_units_min = "0.5", charge_units_min = "0.1" }

    [[endpoints]]
    method = "POST"
    path = "/flat"
    description = "Does one thing"
    price = { kind = "call", units = "1" }
"#;

fn gate(double: &Arc<Double>) -> GateBuilder {
    quittance_gate::testing::gate_of(double, Arc::new(Catalogue::from_toml(CATALOGUE).unwrap()))
}

fn request(path: &str) -> actix_web::test::TestRequest {
    actix_web::test::TestRequest::post()
        .uri(path)
        .insert_header(signed(&super::payment()))
        .set_payload(r#"{"model": "words", "prompt": "hello world", "max_tokens": 9000}"#)
}

fn expected(prompt_tokens: u64, completion_tokens: u64, metered: u64) -> Usage {
    Usage {
        product: "words".to_owned(),
        // Two words and the frames of one message.
        prompt_tokens_reserved: 9,
        prompt_tokens,
        completion_tokens_reserved: 9_000,
        completion_tokens,
        reserved: Amount::new(1_000_000),
        metered: Amount::new(metered),
        charged: Amount::new(1_000_000),
    }
}

#[actix_web::test]
async fn the_last_report_is_booked_with_the_answer() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.route(
            "/chat",
            web::post().to(async |paid: Paid| {
                assert_eq!(paid.report_tokens(1, 1).unwrap().units, "0.1", "the least there is");
                let metered = paid.report_tokens(7, 2_000).unwrap();
                HttpResponse::Ok().json(serde_json::json!({ "metered": metered.usdc }))
            }),
        );
    })
    .await;
    let answer = call(&app, request("/chat")).await;
    // 2,007 tokens at 0.0001 USD are 0.2007, rounded up to a tenth.
    assert_eq!(answer.json()["metered"], "300000");
    assert_eq!(double.finished().unwrap().usage, Some(expected(7, 2_000, 300_000)));
}

#[actix_web::test]
async fn a_stream_reports_before_its_last_chunk() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.route(
            "/chat",
            web::post().to(async |paid: Paid| {
                let words = futures::stream::iter([Bytes::from_static(b"data: hi\n\n")]);
                let bill = futures::stream::once(async move {
                    let metered = paid.report_tokens(9, 12_000).unwrap();
                    Bytes::from(format!("data: {}\n\n", metered.units))
                });
                let events = words.chain(bill).map(Ok::<_, std::io::Error>);
                HttpResponse::Ok().content_type("text/event-stream").streaming(events)
            }),
        );
    })
    .await;
    let answer = call(&app, request("/chat")).await;
    assert_eq!(&answer.body[..], b"data: hi\n\ndata: 1.3\n\n");
    // More than was reserved is booked as it is: that is what operators must see.
    assert_eq!(double.finished().unwrap().usage, Some(expected(9, 12_000, 1_300_000)));
}

#[actix_web::test]
async fn nothing_is_booked_without_a_reserve_or_for_a_failed_run() {
    let double = Arc::new(Double::default());
    let app = app(gate(&double), |config| {
        config.route(
            "/flat",
            web::post().to(async |paid: Paid| {
                assert_eq!(paid.report_tokens(1, 1), Err(UsageError::NoReserve));
                HttpResponse::Ok().finish()
            }),
        );
    })
    .await;
    assert_eq!(call(&app, request("/flat")).await.status, 200);
    assert_eq!(double.finished().unwrap().usage, None);
    let failing = Arc::new(Double::default());
    let app = super::app(gate(&failing), |config| {
        config.route(
            "/chat",
            web::post().to(async |paid: Paid| {
                assert_eq!(paid.report_tokens(u64::MAX, u64::MAX), Err(UsageError::OutOfRange));
                assert_eq!(paid.report_tokens(u64::MAX >> 4, 0), Err(UsageError::OutOfRange));
                paid.report_tokens(1, 1).unwrap();
                HttpResponse::InternalServerError().finish()
            }),
        );
    })
    .await;
    assert_eq!(call(&app, request("/chat")).await.status, 500);
    assert!(matches!(&failing.log()[..], [Entry::Pay(_), Entry::Credit(_)]));
}
