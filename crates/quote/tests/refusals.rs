//! What imgnAI would refuse gets 400 and no price; what it takes gets one.

#![allow(clippy::unwrap_used, clippy::result_large_err)] // helpers of tests, too

use quittance_quote::{Catalogue, ITEMS_MAX, PriceRequest};
use serde_json::{Value, json};

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const LINK: &str = "https://example.com/a.png";

fn catalogue() -> Catalogue {
    Catalogue::from_toml(include_str!("../../../catalogs/imgnai.toml")).unwrap()
}

/// `Ok(usdc)` or `Err((code, field))`.
fn raw(
    catalogue: &Catalogue,
    path: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<String, (String, String)> {
    match catalogue.price(&PriceRequest { method: "POST", path, query: "", content_type, body }) {
        Ok(price) => Ok(price.service.to_usdc()),
        Err(refusal) => {
            assert_eq!(refusal.status, 400, "{refusal:?}");
            assert_eq!(refusal.body["error"]["code"], refusal.code.as_str());
            assert_eq!(refusal.body["error"]["choices"], json!(refusal.choices));
            Err((refusal.code, refusal.field.unwrap_or_default()))
        }
    }
}

/// What is changed in a good request, and its price or refusal.
type Row<'a> = (Value, Result<&'a str, (&'a str, &'a str)>);

fn check(path: &str, base: &Value, wrap: fn(Value) -> Value, rows: &[Row<'_>]) {
    let catalogue = catalogue();
    for (change, expected) in rows {
        let mut body = base.as_object().unwrap().clone();
        for (key, value) in change.as_object().unwrap() {
            match value {
                Value::String(word) if word == "REMOVE" => drop(body.remove(key)),
                value => drop(body.insert(key.clone(), value.clone())),
            }
        }
        let body = serde_json::to_vec(&wrap(Value::Object(body))).unwrap();
        let got = raw(&catalogue, path, Some("application/json; charset=utf-8"), &body);
        let expected =
            expected.map(str::to_owned).map_err(|(code, field)| (code.to_owned(), field.to_owned()));
        assert_eq!(got, expected, "{change}");
    }
}

fn item(item: Value) -> Value {
    json!({"client_request_id": "c", "requests": [item]})
}

fn whole(body: Value) -> Value {
    body
}

const GENERATE: &str = "/v1/generation-requests";
const CHAT: &str = "/v1/chat/completions";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn images() {
    let base = json!({"type": "image", "model": "gpt-image-2", "prompt": "a mug", "aspect_ratio": "1:1"});
    let price = Ok("0.065800");
    let images = |count: usize| json!(vec![LINK; count]);
    check(
        GENERATE,
        &base,
        item,
        &[
            (
                json!({"id": "i", "output_format": "jpg", "seed": 7, "negative_prompt": "blur", "metadata": {"a": 1}}),
                price,
            ),
            (json!({"width": null, "height": null}), price),
            (json!({"width": 4096}), Err(("unknown_field", "requests[0].width"))),
            (json!({"n": 4}), Err(("unknown_field", "requests[0].n"))),
            (json!({"type": "REMOVE"}), Err(("missing_field", "requests[0].type"))),
            (json!({"type": "audio"}), Err(("unknown_type", "requests[0].type"))),
            (json!({"model": "REMOVE"}), Err(("missing_field", "requests[0].model"))),
            (json!({"model": "Gen"}), Err(("unknown_model", "requests[0].model"))),
            (json!({"model": "seedance-2-0"}), Err(("wrong_model_type", "requests[0].model"))),
            (json!({"model": "grok-4-3"}), Err(("wrong_model_type", "requests[0].model"))),
            (json!({"prompt": "REMOVE"}), Err(("missing_field", "requests[0].prompt"))),
            (json!({"prompt": "  "}), Err(("missing_field", "requests[0].prompt"))),
            (json!({"prompt": 7}), Err(("invalid_type", "requests[0].prompt"))),
            (json!({"prompt": "x".repeat(70_000)}), Err(("prompt_too_long", "requests[0].prompt"))),
            (json!({"aspect_ratio": "REMOVE"}), Err(("missing_field", "requests[0].aspect_ratio"))),
            (json!({"aspect_ratio": "7:4"}), Err(("unsupported_aspect_ratio", "requests[0].aspect_ratio"))),
            (json!({"aspect_ratio": "auto"}), price),
            (json!({"aspect_ratio": "auto", "image_url": LINK}), price),
            (
                json!({"output_format": "gif"}),
                Err(("unsupported_output_format", "requests[0].output_format")),
            ),
            (json!({"seed": "x"}), Err(("invalid_type", "requests[0].seed"))),
            (json!({"image_urls": images(16)}), price),
            (json!({"image_urls": images(17)}), Err(("too_many_images", "requests[0].image_urls"))),
            (json!({"image_urls": images(2), "input_images": images(2), "image_url": LINK}), price),
            (
                json!({"image_urls": images(2), "input_images": images(3)}),
                Err(("conflicting_fields", "requests[0].input_images")),
            ),
            (
                json!({"image_url": LINK, "input_image": PNG}),
                Err(("conflicting_fields", "requests[0].input_image")),
            ),
            (
                json!({"image_urls": images(16), "reference_assets": [{"kind": "mask", "url": LINK}]}),
                Err(("too_many_images", "requests[0].image_urls")),
            ),
            (json!({"reference_assets": [{"kind": "mask", "base64_data": PNG}]}), price),
            (
                json!({"reference_assets": [{"kind": "audio", "url": LINK}]}),
                Err(("unsupported_asset", "requests[0].reference_assets[0].kind")),
            ),
            (
                json!({"reference_assets": [{"kind": "mask"}]}),
                Err(("missing_field", "requests[0].reference_assets[0].url")),
            ),
            (json!({"image_url": PNG}), price),
            (json!({"image_url": format!("data:image/png;base64,{PNG}")}), price),
            (
                json!({"image_url": "http://example.com/a.png"}),
                Err(("invalid_media", "requests[0].image_url")),
            ),
            (json!({"image_url": "file:///etc/passwd"}), Err(("invalid_media", "requests[0].image_url"))),
            (json!({"image_url": "data:image/png;base64,"}), Err(("invalid_media", "requests[0].image_url"))),
            (
                json!({"image_url": "data:text/html;base64,PGI+"}),
                Err(("invalid_media", "requests[0].image_url")),
            ),
            (json!({"image_url": "data:image/png,raw"}), Err(("invalid_media", "requests[0].image_url"))),
            (
                json!({"image_url": "bm90IGFuIGltYWdlIGF0IGFsbA=="}),
                Err(("invalid_media", "requests[0].image_url")),
            ),
            (json!({"image_url": 5}), Err(("invalid_type", "requests[0].image_url"))),
            (json!({"is_fast": false, "uhd_mode": false}), price),
            (json!({"is_fast": true}), Err(("unsupported_mode", "requests[0].is_fast"))),
        ],
    );
}

#[test]
fn hosted_models_have_modes() {
    let base = json!({"type": "image", "model": "gen", "prompt": "a mug", "aspect_ratio": "1:1"});
    let price = Ok("0.014100");
    let mut rows = vec![
        (json!({"is_fast": true}), price),
        (json!({"fast_mode": true, "is_fast": true, "use_assistant": true}), price),
        (json!({"fast_mode": true, "is_fast": false}), Err(("conflicting_fields", "requests[0].fast_mode"))),
        (json!({"is_uhd": true, "is_fast": true}), Err(("unsupported_mode", "requests[0].is_uhd"))),
        (json!({"is_uhd": {}}), Err(("invalid_type", "requests[0].is_uhd"))),
    ];
    for truthy in [json!(true), json!(1), json!("true"), json!("yes"), json!("ON"), json!("1"), json!(0.5)] {
        rows.push((json!({"uhd_mode": truthy}), Err(("unsupported_mode", "requests[0].uhd_mode"))));
    }
    for falsy in [
        json!(false),
        json!(0),
        json!("False"),
        json!("off"),
        json!("no"),
        json!("0"),
        json!(""),
        json!(null),
    ] {
        rows.push((json!({"uhd_mode": falsy}), price));
    }
    // One host takes these for set, another does not: no price is right for both.
    for unclear in ["none", "never", "disabled", "null", "n", " off", "2", "y"] {
        rows.push((json!({"uhd_mode": unclear}), Err(("invalid_type", "requests[0].uhd_mode"))));
    }
    check(GENERATE, &base, item, &rows);
}

#[test]
fn durations_under_every_name() {
    let base = json!({"type": "video", "model": "seedance-2-0", "prompt": "a mug", "aspect_ratio": "16:9"});
    let (five, ten) = (Ok("0.940000"), Ok("1.762500"));
    let unsupported = |field: &'static str| Err(("unsupported_duration", field));
    check(
        GENERATE,
        &base,
        item,
        &[
            (json!({"duration_seconds": 5}), five),
            (json!({"duration_seconds": 5.0}), five),
            (json!({"seconds": 10}), ten),
            (json!({"duration": "5s"}), five),
            (json!({"duration": "10"}), ten),
            (json!({"num_frames": 81}), five),
            (json!({"num_frames": 161}), ten),
            (json!({"duration_seconds": 5, "seconds": 5, "duration": "5s", "num_frames": 81}), five),
            (
                json!({"duration_seconds": 5, "seconds": 10}),
                Err(("conflicting_fields", "requests[0].seconds")),
            ),
            (
                json!({"duration_seconds": 5, "num_frames": 161}),
                Err(("conflicting_fields", "requests[0].num_frames")),
            ),
            (json!({}), Err(("missing_field", "requests[0].duration_seconds"))),
            (json!({"duration_seconds": 6}), unsupported("requests[0].duration_seconds")),
            (json!({"duration_seconds": -5}), unsupported("requests[0].duration_seconds")),
            (json!({"duration": "5 s"}), unsupported("requests[0].duration")),
            (json!({"duration": "5000ms"}), unsupported("requests[0].duration")),
            (json!({"num_frames": 80}), unsupported("requests[0].num_frames")),
            (json!({"num_frames": 1}), unsupported("requests[0].num_frames")),
            (json!({"seconds": 1e300}), unsupported("requests[0].seconds")),
            (json!({"seconds": true}), unsupported("requests[0].seconds")),
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn video_inputs_and_their_rules() {
    const DATA: &str = "requests[0].video_image_data";
    let base = json!({"type": "video", "model": "seedance-2-0", "prompt": "a mug", "aspect_ratio": "16:9", "duration_seconds": 5});
    let five = Ok("0.940000");
    let slots = |slots: Value| json!({"video_image_data": slots});
    let on = |model: &str, slots: Value| json!({"model": model, "video_image_data": slots});
    let (first, last) = ("first_frame_image_url", "last_frame_image_url");
    let references = "requests[0].video_image_data.reference_image_urls";
    let audio = "requests[0].video_image_data.audio_input_urls";
    check(
        GENERATE,
        &base,
        item,
        &[
            (slots(json!({first: LINK, last: PNG, "mid_frame_image_url": null})), five),
            (json!({"image_url": LINK, "video_image_data": {first: LINK}}), five),
            (
                json!({"image_url": LINK, "video_image_data": {first: PNG}}),
                Err(("conflicting_fields", "requests[0].image_url")),
            ),
            (
                slots(json!({"mid_frame_image_url": LINK})),
                Err(("unsupported_frame", "requests[0].video_image_data.mid_frame_image_url")),
            ),
            (
                slots(json!({"surprise": LINK})),
                Err(("unknown_field", "requests[0].video_image_data.surprise")),
            ),
            (json!({"video_image_data": []}), Err(("invalid_type", DATA))),
            (
                slots(json!({last: LINK})),
                Err(("media_rule", "requests[0].video_image_data.last_frame_image_url")),
            ),
            (slots(json!({"reference_image_urls": vec![LINK; 7]})), five),
            (json!({"reference_image_urls": vec![LINK; 8]}), Err(("too_many_images", references))),
            (slots(json!({"reference_image_urls": [LINK], first: LINK})), Err(("media_rule", references))),
            (
                json!({"reference_assets": [{"kind": "style_reference", "url": LINK}], "image_url": LINK}),
                Err(("media_rule", references)),
            ),
            (slots(json!({"audio_input_urls": ["https://example.com/a.mp3"]})), five),
            (
                slots(json!({"audio_input_urls": vec!["https://example.com/a.mp3"; 4]})),
                Err(("too_many_audio", audio)),
            ),
            (
                slots(json!({"audio_input_urls": ["https://example.com/a.mp3"], first: LINK})),
                Err(("media_rule", audio)),
            ),
            (slots(json!({"audio_input_urls": ["ftp://example.com/a.mp3"]})), Err(("invalid_media", audio))),
            (
                on("kling-o3-4k", json!({"audio_input_urls": ["https://example.com/a.mp3"]})),
                Err(("unsupported_audio", audio)),
            ),
            (
                on("kling-o3-4k", json!({"reference_image_urls": [LINK], first: LINK, last: LINK})),
                Ok("2.115000"),
            ),
            (
                on("ltx-2-3", json!({"audio_input_urls": ["https://example.com/a.mp3"], first: LINK})),
                Ok("0.094000"),
            ),
            (
                on(
                    "ltx-2-3",
                    json!({"audio_input_urls": ["https://example.com/a.mp3"], first: LINK, last: LINK}),
                ),
                Err(("media_rule", audio)),
            ),
            (
                on("ltx-2-3", json!({"audio_input_urls": ["https://example.com/a.mp3"]})),
                Err(("media_rule", audio)),
            ),
            (
                on("seedance-pro", json!({"reference_image_urls": [LINK], first: LINK})),
                Err(("too_many_images", references)),
            ),
            (json!({"aspect_ratio": "21:9"}), Err(("unsupported_aspect_ratio", "requests[0].aspect_ratio"))),
            (json!({"aspect_ratio": "auto"}), five),
            (
                json!({"model": "veo3-1-lite", "duration_seconds": 8, "aspect_ratio": "auto"}),
                Err(("unsupported_aspect_ratio", "requests[0].aspect_ratio")),
            ),
            (
                json!({"model": "veo3-1-lite", "duration_seconds": 8, "aspect_ratio": "auto", "image_url": LINK}),
                Ok("0.658000"),
            ),
            (json!({"is_fast": true}), Err(("unknown_field", "requests[0].is_fast"))),
        ],
    );
}

#[test]
fn chats() {
    let base = json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hi"}]});
    let (least, image) =
        (Ok("0.047000"), |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]));
    let said = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    check(
        CHAT,
        &base,
        whole,
        &[
            (json!({}), least),
            (json!({"stream": true, "stream_options": {"include_usage": true}, "temperature": 0.4}), least),
            // 8 × 234.1 / 10^6 + 64,000 × 1,170.3 / 10^6 = 74.9010728, so 75 credits.
            (json!({"max_tokens": 64_000}), Ok("0.352500")),
            (json!({"max_tokens": 16, "max_completion_tokens": 64_000}), Ok("0.352500")),
            (json!({"max_tokens": 32_000, "n": 2}), Ok("0.352500")),
            // What a model thinks is output.
            (json!({"max_tokens": 16, "reasoning": {"max_tokens": 64_000}}), Ok("0.352500")),
            (json!({"reasoning": {"max_tokens": 64_001}}), Err(("out_of_range", "reasoning.max_tokens"))),
            (json!({"reasoning": {"effort": "high"}, "logit_bias": {"1": 5}, "verbosity": "high"}), least),
            (json!({"max_tokens": 64_001}), Err(("out_of_range", "max_tokens"))),
            (json!({"max_tokens": 0}), Err(("out_of_range", "max_tokens"))),
            (json!({"max_completion_tokens": -1}), Err(("out_of_range", "max_completion_tokens"))),
            (json!({"max_tokens": "16"}), Err(("out_of_range", "max_tokens"))),
            (json!({"n": 9}), Err(("out_of_range", "n"))),
            (json!({"n": 0}), Err(("out_of_range", "n"))),
            (json!({"best_of": 4}), Err(("unknown_field", "best_of"))),
            (json!({"service_tier": "priority"}), Err(("unknown_field", "service_tier"))),
            (json!({"model": "gen"}), Err(("wrong_model_type", "model"))),
            (json!({"model": "gpt-9"}), Err(("unknown_model", "model"))),
            (json!({"model": "REMOVE"}), Err(("missing_field", "model"))),
            (json!({"messages": "REMOVE"}), Err(("missing_field", "messages"))),
            (json!({"messages": "REMOVE", "prompt": "hi"}), least),
            (json!({"messages": "REMOVE", "prompt": " "}), Err(("missing_field", "prompt"))),
            (json!({"prompt": "hi"}), least),
            (json!({"prompt": "something else"}), Err(("conflicting_fields", "prompt"))),
            (json!({"messages": []}), Err(("out_of_range", "messages"))),
            (json!({"messages": "hi "}), Err(("invalid_type", "messages"))),
            (json!({"messages": ["hi"]}), Err(("invalid_type", "messages[0]"))),
            (json!({"messages": [{"content": "hi"}]}), Err(("missing_field", "messages[0].role"))),
            (
                json!({"messages": [{"role": "root", "content": "hi"}]}),
                Err(("unsupported_value", "messages[0].role")),
            ),
            (json!({"messages": [{"role": "user"}]}), Err(("missing_field", "messages[0].content"))),
            (said(json!(7)), Err(("invalid_type", "messages[0].content"))),
            (said(image(LINK)), least),
            (said(image("nonsense")), Err(("invalid_media", "messages[0].content[0].image_url.url"))),
            (
                said(json!([{"type": "input_audio", "input_audio": {}}])),
                Err(("unsupported_content", "messages[0].content[0].type")),
            ),
            (
                said(json!([{"type": "hologram"}])),
                Err(("unsupported_content", "messages[0].content[0].type")),
            ),
            (
                json!({"model": "glm-5", "messages": [{"role": "user", "content": image(LINK)}]}),
                Err(("unsupported_content", "messages[0].content[0].type")),
            ),
            (json!({"stream": "yes"}), Err(("invalid_type", "stream"))),
        ],
    );
}

#[test]
fn media_whose_length_is_unknown_reserve_the_whole_context() {
    // 1,000,000 × 58.6 / 10^6 + 16 × 351.1 / 10^6 credits: 58.7 of them.
    let base = json!({"model": "qwen3-6-flash", "max_tokens": 16, "messages": []});
    let whole_context = Ok("0.275890");
    let said = |part: Value| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "See:"}, part]}]});
    check(
        CHAT,
        &base,
        whole,
        &[
            (
                said(json!({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}})),
                whole_context,
            ),
            (
                said(json!({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}})),
                whole_context,
            ),
            (
                said(json!({"type": "video_url", "video_url": {"url": "ftp://example.com/a.mp4"}})),
                Err(("invalid_media", "messages[0].content[1].video_url.url")),
            ),
            (said(json!({"type": "video_url"})), Err(("missing_field", "messages[0].content[1].video_url"))),
            (
                said(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}})),
                Err(("unsupported_content", "messages[0].content[1].type")),
            ),
        ],
    );
    // 1,050,000 × 1,170.3 / 10^6 + 16 × 7,021.3 / 10^6 = 1,228.93 credits.
    let base = json!({"model": "gpt-5-5", "max_tokens": 16, "messages": []});
    check(
        CHAT,
        &base,
        whole,
        &[
            (
                said(
                    json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}),
                ),
                Ok("5.776300"),
            ),
            (
                said(json!({"type": "file", "file": {"file_id": "file-1"}})),
                Err(("missing_field", "messages[0].content[1].file.file_data")),
            ),
            (
                said(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,"}})),
                Err(("invalid_media", "messages[0].content[1].file.file_data")),
            ),
        ],
    );
}

#[test]
fn bodies_that_two_readers_could_read_differently() {
    let catalogue = catalogue();
    let ask = |content_type, body: &[u8]| raw(&catalogue, GENERATE, content_type, body).unwrap_err().0;
    let json = Some("application/json");
    assert_eq!(ask(json, br#"{"requests":[],"requests":[]}"#), "invalid_json");
    assert_eq!(ask(json, br#"{"requests":[{"model":"gen","m\u006fdel":"ani"}]}"#), "invalid_json");
    assert_eq!(ask(json, b""), "invalid_json");
    assert_eq!(ask(json, b"[]"), "invalid_json");
    assert_eq!(ask(json, b"{\"requests\":[]} x"), "invalid_json");
    assert_eq!(ask(json, "[".repeat(1_000_000).as_bytes()), "invalid_json");
    assert_eq!(ask(json, b"\xef\xbb\xbf{}"), "invalid_json");
    assert_eq!(ask(Some("text/plain"), b"{}"), "unsupported_content_type");
    assert_eq!(ask(Some("application/x-www-form-urlencoded"), b"{}"), "unsupported_content_type");
    assert_eq!(ask(json, b"{}"), "missing_field");
    assert_eq!(ask(json, br#"{"requests":[]}"#), "empty_requests");
    assert_eq!(ask(json, br#"{"requests":{}}"#), "invalid_type");
    assert_eq!(ask(json, br#"{"requests":[1]}"#), "invalid_type");
    assert_eq!(ask(json, br#"{"requests":[1],"output":{}}"#), "unknown_field");
    let image = json!({"type": "image", "model": "gen", "prompt": "a", "aspect_ratio": "1:1"});
    let many = |count| serde_json::to_vec(&json!({"requests": vec![image.clone(); count]})).unwrap();
    assert_eq!(ask(json, &many(ITEMS_MAX + 1)), "too_many_items");
    assert_eq!(raw(&catalogue, GENERATE, json, &many(ITEMS_MAX)), Ok("0.225600".into()));
    let second = json!({"requests": [image, {"type": "image", "model": "gen", "prompt": "a"}]});
    let refusal = raw(&catalogue, GENERATE, json, &serde_json::to_vec(&second).unwrap()).unwrap_err();
    assert_eq!(refusal.1, "requests[1].aspect_ratio");
}

#[test]
fn a_finished_text_call_is_charged_by_its_tokens() {
    let catalogue = catalogue();
    let body = br#"{"model": "claude-haiku-4-5", "prompt": "hi", "max_tokens": 16, "n": 2}"#;
    let request = PriceRequest { method: "POST", path: CHAT, query: "", content_type: None, body };
    let reserve = catalogue.price(&request).unwrap().reserve.unwrap();
    assert_eq!(
        (reserve.model.as_str(), reserve.output_tokens_max, reserve.output_tokens),
        ("claude-haiku-4-5", 16, 32)
    );
    let metered = |input, output| {
        let metered = reserve.meter(input, output).unwrap();
        (metered.units, metered.usdc.to_usdc())
    };
    let exact = |units: &str, usdc: &str| (units.to_owned(), usdc.to_owned());
    assert_eq!(metered(0, 0), exact("0.1", "0.000470"));
    assert_eq!(metered(12, 8), exact("0.1", "0.000470"));
    // 1,000 × 234.1 + 1,000 × 1,170.3 = 1.4044 credits.
    assert_eq!(metered(1_000, 1_000), exact("1.5", "0.007050"));
    assert!(reserve.meter(u64::MAX, u64::MAX).is_err());
    assert!(catalogue.is_text_model("claude-haiku-4-5"));
    assert!(!catalogue.is_text_model("gen") && !catalogue.is_text_model("nobody"));
}
