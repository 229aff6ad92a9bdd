use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::host::{app, host, send, send_json};

const PATH: &str = "/v1/chat/completions";

fn question() -> Value {
    json!({
        "model": "words",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "Describe a launch checklist for payments" }] },
        ],
        "max_tokens": 256,
    })
}

#[actix_web::test]
async fn the_same_question_gets_the_same_words_and_a_bill() {
    let host = host(false);
    let app = app(&host).await;
    let (status, first) = send_json(&app, "POST", PATH, Some(&question())).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let (_, second) = send_json(&app, "POST", PATH, Some(&question())).await;
    let text = first["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(first["choices"], second["choices"]);
    assert!(text.contains("checklist"), "{text}");
    assert_eq!(first["object"], "chat.completion");
    assert_eq!(first["choices"][0]["finish_reason"], "stop");
    assert_ne!(first["id"], second["id"]);
    let usage = &first["usage"];
    let (prompt, completion) =
        (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert!(prompt > 5 && completion > 5);
    assert_eq!(usage["total_tokens"], prompt + completion);
    assert_eq!(
        usage["imgnai"],
        json!({
            "credits_reserved": "10.0", "credits_charged": "0.1", "credits_refunded": "9.9",
            "credits_metered": "0.1", "billed_usd_estimate": "0.000470", "privacy_mode": "Anonymized",
            "model": "words", "billing_source": "credits",
        })
    );
}

#[actix_web::test]
async fn a_reply_never_has_more_tokens_than_were_paid_for() {
    let host = host(false);
    let app = app(&host).await;
    for (caps, most) in [
        (json!({ "max_tokens": 1 }), 1),
        (json!({ "max_tokens": 9 }), 9),
        (json!({ "max_completion_tokens": 12 }), 12),
        (json!({ "max_tokens": 20, "max_completion_tokens": 6 }), 6),
    ] {
        let mut body = json!({ "model": "words", "prompt": "Tell me about settlement" });
        body.as_object_mut().unwrap().extend(caps.as_object().unwrap().clone());
        let (status, answer) = send_json(&app, "POST", PATH, Some(&body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
        assert!(tokens <= most, "{tokens} of {most}");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(text.len() as u64 <= 4 * tokens);
    }
}

#[actix_web::test]
async fn what_is_asked_for_word_for_word_comes_back() {
    let host = host(false);
    let app = app(&host).await;
    let body = json!({
        "model": "words-private", "max_tokens": 16,
        "messages": [{ "role": "user", "content": "Reply with exactly: text x402 ok" }],
    });
    let (_, answer) = send_json(&app, "POST", PATH, Some(&body)).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "text x402 ok");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["imgnai"]["privacy_mode"], "E2EE Private");
}

#[actix_web::test]
async fn a_stream_has_the_same_words_then_usage_then_done() {
    let host = host(false);
    let app = app(&host).await;
    let (_, whole) = send_json(&app, "POST", PATH, Some(&question())).await;
    let mut body = question();
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let (status, text) = send(&app, "POST", PATH, Some(&body)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.ends_with("data: [DONE]\n\n"));
    let events: Vec<&str> =
        text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(
        chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["model"] == "words")
    );
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let words: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(words, whole["choices"][0]["message"]["content"].as_str().unwrap());
    let [.., finish, usage] = chunks.as_slice() else { panic!("too few chunks") };
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], whole["usage"]);
    assert!(chunks.iter().filter(|chunk| chunk["usage"].is_object()).count() == 1);
}

#[actix_web::test]
async fn the_handler_refuses_what_the_price_refuses() {
    let host = host(false);
    let app = app(&host).await;
    for (body, code) in [
        (json!({ "model": "gen", "prompt": "x" }), "wrong_model_type"),
        (json!({ "model": "words" }), "messages"),
        (json!({ "model": "words", "prompt": "x", "n": 2 }), "unsupported_field"),
        (json!({ "model": "words", "prompt": "x", "stream": "yes" }), "stream"),
        (json!({ "model": "words", "prompt": "x", "max_tokens": 0 }), "max_tokens"),
    ] {
        let (status, text) = send(&app, "POST", PATH, Some(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(text.contains(code), "{code} not in {text}");
    }
    assert_eq!(host.runs.total(), 0);
}

#[actix_web::test]
async fn attestation_admits_that_no_hardware_vouches() {
    let host = host(false);
    let app = app(&host).await;
    let path = "/v1/text/attestation";
    let nonce = "ab".repeat(32);
    let (status, answer) =
        send_json(&app, "GET", &format!("{path}?model=words-private&nonce={nonce}"), None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&answer["nonce"], &answer["quote"]), (&json!(nonce), &Value::Null));
    for query in ["", "?model=words", "?model=gen", "?model=words-private&nonce=12"] {
        let (status, _) = send_json(&app, "GET", &format!("{path}{query}"), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query:?}");
    }
}
