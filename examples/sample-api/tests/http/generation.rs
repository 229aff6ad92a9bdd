use std::io::Cursor;

use actix_web::http::StatusCode;
use actix_web::test;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::host::{app, host, send, send_json};

const PATH: &str = "/v1/generation-requests";

fn image() -> Value {
    json!({ "id": "image-1", "type": "image", "model": "gen", "prompt": "a red mug", "aspect_ratio": "16:9" })
}

fn film() -> Value {
    json!({ "type": "video", "model": "clip", "prompt": "a slow dolly shot", "aspect_ratio": "16:9", "duration": "4s" })
}

fn bytes(output: &Value, prefix: &str) -> Vec<u8> {
    STANDARD.decode(output["url"].as_str().unwrap().strip_prefix(prefix).unwrap()).unwrap()
}

#[actix_web::test]
async fn waiting_brings_an_image_and_a_film() {
    let host = host(false);
    let app = app(&host).await;
    let body = json!({ "client_request_id": "mine", "requests": [image(), film()] });
    let (status, answer) = send_json(&app, "POST", &format!("{PATH}?wait=true"), Some(&body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["status"], "completed");
    assert_eq!(answer["client_request_id"], "mine");
    assert_eq!(answer["billing_source"], "credits");
    let outputs = answer["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 2);

    assert_eq!(outputs[0]["id"], "image-1");
    let png = bytes(&outputs[0], "data:image/png;base64,");
    let info = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    assert_eq!((info.info().width, info.info().height), (512, 288));

    assert_eq!((&outputs[1]["id"], &outputs[1]["duration_seconds"]), (&json!("item-1"), &json!(4)));
    let gif = bytes(&outputs[1], "data:image/gif;base64,");
    let mut frames = gif::DecodeOptions::new().read_info(Cursor::new(gif)).unwrap();
    let mut ticks = 0;
    while let Some(frame) = frames.read_next_frame().unwrap() {
        ticks += u32::from(frame.delay);
    }
    assert_eq!(ticks, 400);
    assert_eq!(host.runs.total(), 1);
}

#[actix_web::test]
async fn without_waiting_the_unguessable_id_is_the_only_credential() {
    let host = host(false);
    let app = app(&host).await;
    let (status, answer) = send_json(&app, "POST", PATH, Some(&json!({ "requests": [image()] }))).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(answer["status"], "failed");
    let id = answer["request_id"].as_str().unwrap();
    assert!(id.starts_with("req_") && id.len() == 36, "{id}");

    host.jobs.get(id).unwrap().finished().await;
    let poll = test::TestRequest::get().uri(&format!("{PATH}/{id}")).to_request();
    let polled: Value = test::call_and_read_body_json(&app, poll).await;
    assert_eq!(polled["status"], "completed");
    assert_eq!(polled["request_id"], id);

    let (status, _) = send_json(&app, "GET", &format!("{PATH}/req_{}", "0".repeat(32)), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn nobody_is_served_without_payment_or_key() {
    let host = host(true);
    let app = app(&host).await;
    let body = json!({ "requests": [image()] }).to_string();
    for path in [PATH, "/v1/chat/completions", "/test/slow", "/test/fail"] {
        for header in [("X-Nothing", "x"), ("Authorization", "Bearer key:guess"), ("X-API-Key", "key")] {
            let request = test::TestRequest::post()
                .uri(path)
                .insert_header(header)
                .insert_header(("Content-Type", "application/json"))
                .set_payload(body.clone());
            let answer = test::call_service(&app, request.to_request()).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path} {header:?}");
        }
    }
    assert_eq!(host.runs.total(), 0);
}

#[actix_web::test]
async fn the_handler_refuses_what_the_price_refuses() {
    let host = host(false);
    let app = app(&host).await;
    let with = |name: &str, value: Value| {
        let mut item = image();
        item[name] = value;
        json!({ "requests": [item] })
    };
    for (query, body, code) in [
        ("", with("model", json!("nothing")), "unknown_model"),
        ("", with("aspect_ratio", json!("4:7")), "unsupported_aspect_ratio"),
        ("", with("output_format", json!("webp")), "unsupported_output_format"),
        ("", json!({ "requests": [image()], "output_format": "jpeg" }), "unsupported_output_format"),
        ("", with("width", json!(64)), "unsupported_field"),
        ("", json!({ "requests": vec![image(); 9] }), "too_many_items"),
        ("", json!({ "requests": [] }), "empty_requests"),
        ("?wait=maybe", json!({ "requests": [image()] }), "invalid_wait"),
        ("?wait=true&wait_timeout_seconds=9999", json!({ "requests": [image()] }), "invalid_wait"),
    ] {
        let (status, text) = send(&app, "POST", &format!("{PATH}{query}"), Some(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(text.contains(code), "{code} not in {text}");
    }
    let mut film = film();
    film["duration"] = json!(7);
    let (status, text) = send(&app, "POST", PATH, Some(&json!({ "requests": [film] }))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("unsupported_duration"), "{text}");
    assert_eq!(host.runs.total(), 0);
}

#[actix_web::test]
async fn an_unknown_path_is_404_and_hooks_are_off_by_default() {
    let host = host(false);
    let app = app(&host).await;
    for (method, path) in
        [("GET", "/test/handler-runs"), ("POST", "/test/slow"), ("POST", "/test/fail"), ("GET", "/x")]
    {
        let (status, answer) = send_json(&app, method, path, None).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found")),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn the_hooks_work_fail_and_count() {
    let host = host(true);
    let app = app(&host).await;
    let (status, answer) = send_json(&app, "POST", "/test/slow", Some(&json!({}))).await;
    assert_eq!((status, &answer["worked_ms"]), (StatusCode::OK, &json!(1500)));
    let (status, answer) = send_json(&app, "POST", "/test/fail", Some(&json!({}))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer["error"]["code"], "failed_on_purpose");
    let (_, answer) = send_json(&app, "GET", "/test/handler-runs", None).await;
    assert_eq!(answer["runs"], 2);
    let (_, answer) = send_json(&app, "GET", "/test/handler-runs?payment_id=pay_x", None).await;
    assert_eq!(answer, json!({ "runs": 0 }));
}
