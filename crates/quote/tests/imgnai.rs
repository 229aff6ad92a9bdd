//! The imgnAI catalogue against the published figures: every model, every price.

#![allow(clippy::unwrap_used, clippy::result_large_err)] // helpers of tests, too

use quittance_protocol::Amount;
use quittance_quote::{Catalogue, Price, PriceRequest, Pricing, Refusal, Route};
use serde_json::{Value, json};

const CATALOGUE: &str = include_str!("../../../catalogs/imgnai.toml");
const FIGURES: &str = include_str!("../../../catalogs/imgnai-figures.json");

fn catalogue() -> Catalogue {
    Catalogue::from_toml(CATALOGUE).unwrap()
}

fn figures(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(FIGURES).unwrap();
    assert_eq!(all["usd_per_credit"], "0.0047");
    all["models"].as_array().unwrap().iter().filter(|model| model["type"] == kind).cloned().collect()
}

fn post(catalogue: &Catalogue, path: &str, body: &Value) -> Result<Price, Refusal> {
    let body = serde_json::to_vec(body).unwrap();
    let content_type = Some("application/json");
    catalogue.price(&PriceRequest { method: "POST", path, query: "wait=true", content_type, body: &body })
}

fn generate(catalogue: &Catalogue, items: &[Value]) -> Result<Price, Refusal> {
    post(catalogue, "/v1/generation-requests", &json!({"requests": items}))
}

fn chat(catalogue: &Catalogue, body: &Value) -> Result<Price, Refusal> {
    post(catalogue, "/v1/chat/completions", body)
}

/// Tenths of a credit times 470 millionths of a dollar, with integers only.
fn atomic(credits: &str) -> u64 {
    let (whole, tenth) = credits.split_once('.').unwrap_or((credits, "0"));
    assert_eq!(tenth.len(), 1, "{credits}");
    (whole.parse::<u64>().unwrap() * 10 + tenth.parse::<u64>().unwrap()) * 470
}

fn image(model: &str, aspect: &Value) -> Value {
    json!({"type": "image", "model": model, "prompt": "a mug", "aspect_ratio": aspect})
}

const LINK: &str = "https://example.com/a.png";

/// Adds the one image that a model cannot work without.
fn with_required_image(model: &Value, mut item: Value) -> Value {
    if model["image_required"] == json!(true) {
        item["image_url"] = json!(LINK);
    }
    item
}

/// How many images the catalogue lets the model take: its published limit,
/// but never less than it needs.
fn images_max(model: &Value) -> usize {
    let published = usize::try_from(model["max_reference_images"].as_u64().unwrap()).unwrap();
    published.max(usize::from(model["image_required"] == json!(true)))
}

fn video(model: &str, seconds: &Value, aspect: &Value) -> Value {
    json!({"type": "video", "model": model, "prompt": "a mug", "duration_seconds": seconds, "aspect_ratio": aspect})
}

#[test]
fn all_models_are_there() {
    let counts = ["text", "image", "video"].map(|kind| figures(kind).len());
    assert_eq!(counts, [39, 49, 23]);
}

#[test]
fn every_image_costs_its_figure_at_every_aspect() {
    let catalogue = catalogue();
    for model in figures("image") {
        let name = model["model"].as_str().unwrap();
        let expected = Amount::new(atomic(model["credits_per_image"].as_str().unwrap()));
        for aspect in model["aspects"].as_array().unwrap() {
            let item = with_required_image(&model, image(name, aspect));
            let price = generate(&catalogue, &[item]).unwrap();
            assert_eq!(price.service, expected, "{name} {aspect}");
        }
        let item = with_required_image(&model, image(name, &json!("17:3")));
        let refused = generate(&catalogue, &[item]).unwrap_err();
        assert_eq!(refused.choices.len(), model["aspects"].as_array().unwrap().len(), "{name}");
    }
}

#[test]
fn images_up_to_the_models_limit_and_no_more() {
    let catalogue = catalogue();
    for model in figures("image") {
        let name = model["model"].as_str().unwrap();
        let max = images_max(&model);
        let mut item = image(name, &model["aspects"][0]);
        let urls = |count| (0..count).map(|i| format!("https://example.com/{i}.png")).collect::<Vec<_>>();
        item["image_urls"] = json!(urls(max));
        assert!(generate(&catalogue, std::slice::from_ref(&item)).is_ok(), "{name}");
        item["image_urls"] = json!(urls(max + 1));
        let refusal = generate(&catalogue, &[item]).unwrap_err();
        assert_eq!(refusal.code, "too_many_images", "{name}");
        assert_eq!(refusal.field.as_deref(), Some("requests[0].image_urls"), "{name}");
    }
}

#[test]
fn every_video_costs_its_figure_at_every_duration() {
    let catalogue = catalogue();
    for model in figures("video") {
        let name = model["model"].as_str().unwrap();
        let aspect = &model["aspects"][0];
        for duration in model["durations"].as_array().unwrap() {
            let expected = Amount::new(atomic(duration[1].as_str().unwrap()));
            let item = with_required_image(&model, video(name, &duration[0], aspect));
            let price = generate(&catalogue, &[item]).unwrap();
            assert_eq!(price.service, expected, "{name} {duration}");
        }
        let item = with_required_image(&model, video(name, &json!(7), aspect));
        let refusal = generate(&catalogue, &[item]).unwrap_err();
        assert_eq!(refusal.code, "unsupported_duration", "{name}");
        assert_eq!(refusal.choices.len(), model["durations"].as_array().unwrap().len(), "{name}");
    }
}

#[test]
fn models_that_need_an_image_are_not_sold_without_one() {
    let catalogue = catalogue();
    let mut needing = [0, 0];
    for (count, kind) in needing.iter_mut().zip(["image", "video"]) {
        for model in figures(kind) {
            let name = model["model"].as_str().unwrap();
            let aspect = &model["aspects"][0];
            let item = match kind {
                "image" => image(name, aspect),
                _ => video(name, &model["durations"][0][0], aspect),
            };
            let bare = generate(&catalogue, std::slice::from_ref(&item));
            if model["image_required"] != json!(true) {
                assert!(bare.is_ok(), "{name}");
                continue;
            }
            *count += 1;
            let refusal = bare.unwrap_err();
            assert_eq!((refusal.status, refusal.code.as_str()), (400, "image_required"), "{name}");
            assert!(generate(&catalogue, &[with_required_image(&model, item)]).is_ok(), "{name}");
        }
    }
    assert_eq!(needing, [4, 8]);
}

#[test]
fn every_text_model_reserves_by_its_figures() {
    let catalogue = catalogue();
    for model in figures("text") {
        let name = model["model"].as_str().unwrap();
        let limit = model["max_output_tokens"].as_u64().or(model["context_tokens"].as_u64()).unwrap();
        let ask = |cap: u64| {
            chat(
                &catalogue,
                &json!({"model": name, "messages": [{"role": "user", "content": "hi"}], "max_tokens": cap}),
            )
        };
        let tenths = |key: &str| atomic(model[key].as_str().unwrap()) / 470;
        let price = ask(limit).unwrap();
        let reserve = price.reserve.unwrap();
        assert_eq!(reserve.output_tokens_max, limit, "{name}");
        let (input, output) = (tenths("input_credits_per_1m_tokens"), tenths("output_credits_per_1m_tokens"));
        let cost = (reserve.prompt_tokens * input + limit * output).div_ceil(1_000_000).max(100);
        assert_eq!(price.service, Amount::new(cost * 470), "{name}");
        assert_eq!(ask(1).unwrap().service, Amount::new(47_000), "{name}: at least ten credits");
        assert_eq!(ask(limit + 1).unwrap_err().field.as_deref(), Some("max_tokens"), "{name}");
    }
}

#[test]
fn endpoints_are_paid_free_or_unknown() {
    let catalogue = catalogue();
    for (method, path, route) in [
        ("POST", "/v1/generation-requests", Route::Paid(0)),
        ("POST", "/v1/chat/completions", Route::Paid(1)),
        ("GET", "/v1/generation-requests/9f0c", Route::Free),
        ("GET", "/v1/text/attestation", Route::Free),
        ("GET", "/v1/x402", Route::Free),
        ("GET", "/v1/generation-requests", Route::Unknown),
        ("post", "/v1/generation-requests", Route::Unknown),
        ("POST", "/V1/generation-requests", Route::Unknown),
        ("POST", "/v1/generation-requests/", Route::Unknown),
        ("POST", "//v1/generation-requests", Route::Unknown),
        ("POST", "/v1//generation-requests", Route::Unknown),
        ("POST", "/v1/./generation-requests", Route::Unknown),
        ("POST", "/v1/x/../generation-requests", Route::Unknown),
        ("POST", "/v1/%67eneration-requests", Route::Unknown),
        ("GET", "/v1/generation-requests/%2e%2e", Route::Unknown),
        ("GET", "/v1/generation-requests/a%2Fb", Route::Unknown),
        ("GET", "/v1/generation-requests/..", Route::Unknown),
        ("GET", "/v1/generation-requests/a;b", Route::Unknown),
        ("GET", "/v1/generation-requests/a\\b", Route::Unknown),
        ("GET", "/v1/generation-requests/a/b", Route::Unknown),
        ("GET", "v1/x402", Route::Unknown),
        ("GET", "", Route::Unknown),
        ("GET", "/", Route::Unknown),
    ] {
        assert_eq!(catalogue.route(method, path), route, "{method} {path}");
    }
    let listed = catalogue.endpoints();
    assert_eq!(listed.iter().filter(|endpoint| endpoint.pricing == Pricing::Paid).count(), 2);
    assert_eq!(listed.len(), 5);
}

#[test]
fn several_items_add_up_and_are_rounded_once() {
    let catalogue = catalogue();
    let items = [
        image("gen", &json!("1:1")),
        image("gen", &json!("16:9")),
        video("seedance-2-0-fast", &json!(5), &json!("16:9")),
    ];
    let price = generate(&catalogue, &items).unwrap();
    assert_eq!(price.service, Amount::new(atomic("126")));
    assert_eq!(price.lines.len(), 2);
    assert_eq!((price.lines[0].quantity.as_str(), price.lines[0].usdc.as_str()), ("2", "0.0282"));
}

/// A model without references takes a single picture to start from, under any of its names.
#[test]
fn a_single_source_image_is_not_a_reference() {
    let catalogue = catalogue();
    let mut without = 0;
    for model in figures("image").iter().filter(|model| images_max(model) == 0) {
        without += 1;
        let name = model["model"].as_str().unwrap();
        let plain = image(name, &model["aspects"][0]);
        let price = generate(&catalogue, std::slice::from_ref(&plain)).unwrap();
        let with = |fields: Value| {
            let mut item = plain.clone();
            item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            generate(&catalogue, &[item]).map_err(|refusal| refusal.code)
        };
        for field in ["image_url", "input_image_url", "input_image", "input_image_b64"] {
            assert_eq!(with(json!({field: LINK})).unwrap().service, price.service, "{name} {field}");
        }
        for more in [
            json!({"image_urls": [LINK]}),
            json!({"image_url": LINK, "image_urls": ["https://example.com/b.png"]}),
            json!({"image_url": LINK, "reference_assets": [{"kind": "style_reference", "url": LINK}]}),
            json!({"reference_assets": [{"kind": "source_image", "url": LINK}]}),
        ] {
            assert_eq!(with(more.clone()), Err("too_many_images".to_owned()), "{name} {more}");
        }
    }
    assert_eq!(without, 32);
}

/// Each model's page shows every field an integration may send, null placeholders and all names of
/// one quantity together.
#[test]
fn every_models_full_sample_has_the_models_price() {
    let catalogue = catalogue();
    for model in figures("image") {
        let name = model["model"].as_str().unwrap();
        let mut item = image(name, &model["aspects"][0]);
        let more = json!({
            "id": "a", "negative_prompt": "blurry", "output_format": "png", "width": null, "height": null,
            "seed": 123_456, "metadata": {"source": "test"}, "is_fast": false, "fast_mode": false,
            "is_uhd": false, "uhd_mode": false,
        });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let most = images_max(&model);
        if most > 0 {
            item["image_urls"] = json!([LINK]);
        }
        if most > 1 {
            item["reference_assets"] =
                json!([{"kind": "style_reference", "url": "https://example.com/b.png"}]);
        }
        let price = generate(&catalogue, &[item]).unwrap();
        assert_eq!(
            price.service,
            Amount::new(atomic(model["credits_per_image"].as_str().unwrap())),
            "{name}"
        );
    }
    for model in figures("video") {
        let name = model["model"].as_str().unwrap();
        for duration in model["durations"].as_array().unwrap() {
            let seconds = duration[0].as_u64().unwrap();
            let mut item = video(name, &duration[0], &model["aspects"][0]);
            let more = json!({
                "id": "a", "negative_prompt": "", "seconds": seconds, "duration": format!("{seconds}s"),
                "num_frames": 16 * seconds + 1, "width": null, "height": null, "seed": 123_456,
                "metadata": {"source": "test"}, "input_image_url": LINK, "reference_assets": [],
                "video_image_data": {
                    "first_frame_image_url": LINK, "mid_frame_image_url": null, "last_frame_image_url": null,
                    "reference_image_urls": [], "audio_input_urls": [],
                },
            });
            item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let price = generate(&catalogue, &[item]).unwrap();
            assert_eq!(price.service, Amount::new(atomic(duration[1].as_str().unwrap())), "{name} {seconds}");
        }
    }
}

/// The parameters that the text models' pages list, whichever model lists them.
#[test]
fn every_listed_text_parameter_is_taken() {
    let catalogue = catalogue();
    let body = json!({
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write a plan."}],
        "max_tokens": 256, "max_completion_tokens": null, "temperature": 0.4, "top_p": 1, "top_k": 40, "min_p": 0.1,
        "stream": false, "stop": ["x"], "seed": 7, "response_format": {"type": "json_object"},
        "frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1, "logit_bias": {}, "logprobs": true,
        "top_logprobs": 2, "reasoning": {"effort": "low"}, "reasoning_effort": "low", "include_reasoning": true,
        "structured_outputs": true, "verbosity": "low", "parallel_tool_calls": false, "tool_choice": "auto",
        "tools": [{"type": "function", "function": {
            "name": "record_plan", "description": "Records it.",
            "parameters": {"type": "object", "properties": {"summary": {"type": "string"}}},
        }}],
    });
    for model in figures("text") {
        let mut body = body.clone();
        body["model"] = model["model"].clone();
        let price = chat(&catalogue, &body).unwrap();
        // Within the least reserve, unless the model is dear.
        assert!(price.service >= Amount::new(47_000), "{}", model["model"]);
        assert!(price.reserve.unwrap().counted);
    }
}
