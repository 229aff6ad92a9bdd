//! Properties that no table can show.

#![allow(clippy::unwrap_used, clippy::result_large_err)] // helpers of tests, too

use proptest::prelude::*;
use quittance_quote::{Catalogue, Price, PriceRequest, Refusal};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static IMGNAI: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::from_toml(include_str!("../../../catalogs/imgnai.toml")).unwrap());
static NFT: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::from_toml(include_str!("../../../catalogs/chaingpt-nft.toml")).unwrap());
static NANOGPT: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::from_toml(include_str!("../../../catalogs/nanogpt-images.toml")).unwrap());

fn post(catalogue: &Catalogue, path: &str, body: &[u8]) -> Result<Price, Refusal> {
    catalogue.price(&PriceRequest { method: "POST", path, query: "", content_type: None, body })
}

fn service(catalogue: &Catalogue, path: &str, body: &Value) -> u64 {
    post(catalogue, path, &serde_json::to_vec(body).unwrap()).unwrap().service.atomic()
}

/// The same value with its keys in reverse order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

/// JSON that is often nearly a request.
#[allow(clippy::too_many_lines, reason = "one strategy")]
fn json_value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "image",
        "video",
        "gen",
        "seedance-2-0",
        "gpt-image-2",
        "grok-4-3",
        "velogen",
        "hidream",
        "auto",
        "1:1",
        "16:9",
        "5s",
        "2x",
        "user",
        "text",
        "https://example.com/a",
        "data:image/png;base64,iVBORw0KGgo",
        "data:,",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0i64..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "requests",
        "type",
        "model",
        "prompt",
        "aspect_ratio",
        "duration_seconds",
        "seconds",
        "duration",
        "num_frames",
        "image_urls",
        "image_url",
        "video_image_data",
        "first_frame_image_url",
        "reference_assets",
        "kind",
        "url",
        "is_uhd",
        "messages",
        "role",
        "content",
        "text",
        "image_url",
        "max_tokens",
        "n",
        "tools",
        "width",
        "height",
        "enhance",
        "steps",
        "size",
        "imageDataUrl",
        "question",
        "x",
    ]);
    leaf.prop_recursive(5, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_json_never_panics_and_reads_the_same_in_any_order(value in json_value()) {
        for (catalogue, path) in [
            (&*IMGNAI, "/v1/generation-requests"), (&*IMGNAI, "/v1/chat/completions"),
            (&*NFT, "/nft/generate-image"), (&*NANOGPT, "/v1/images/generations"),
        ] {
            let one = post(catalogue, path, &serde_json::to_vec(&value).unwrap());
            let other = post(catalogue, path, &serde_json::to_vec_pretty(&reversed(&value)).unwrap());
            prop_assert_eq!(one.ok(), other.ok());
        }
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), path in "[/a-z0-9.%-]{0,40}") {
        let _ = post(&IMGNAI, "/v1/generation-requests", &body);
        let _ = post(&IMGNAI, &path, &body);
        let _ = Catalogue::from_toml(&String::from_utf8_lossy(&body));
    }

    #[test]
    fn a_valid_request_costs_the_same_after_reserialisation(
        prompt in "[a-z ]{1,40}[a-z]", content in ".{1,80}", tokens in 1u64..60_000, cap in prop::option::of(1u64..60_000),
    ) {
        let image = json!({"requests": [{"type": "image", "model": "gen", "prompt": prompt, "aspect_ratio": "1:1"}]});
        let chat = json!({
            "model": "claude-haiku-4-5", "max_tokens": tokens, "max_completion_tokens": cap,
            "messages": [{"role": "system", "content": prompt}, {"role": "user", "content": content}],
            "tools": [{"type": "function", "function": {"name": "f", "description": content, "parameters": {"a": 1.0, "b": [true, null]}}}],
        });
        for (path, body) in [("/v1/generation-requests", &image), ("/v1/chat/completions", &chat)] {
            let compact = post(&IMGNAI, path, &serde_json::to_vec(body).unwrap()).unwrap();
            let pretty = post(&IMGNAI, path, &serde_json::to_vec_pretty(&reversed(body)).unwrap()).unwrap();
            prop_assert_eq!(compact, pretty);
        }
    }
}

proptest! {
    // Each case tokenizes three prompts.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn more_never_costs_less(tokens in 1u64..63_999, count in 1u64..10, words in 0usize..600) {
        let chat = |tokens: u64, words: usize| service(&IMGNAI, "/v1/chat/completions", &json!({
            "model": "claude-haiku-4-5", "max_tokens": tokens, "messages": [{"role": "user", "content": "word ".repeat(words + 1)}],
        }));
        prop_assert!(chat(tokens, words) <= chat(tokens + 1, words));
        prop_assert!(chat(tokens, words) <= chat(tokens, words + 100));
        let images = |n: u64| service(&NANOGPT, "/v1/images/generations", &json!({"prompt": "a", "n": n}));
        prop_assert_eq!(images(count), images(1) * count);
    }
}

#[test]
fn a_price_goes_on_where_counting_ends() {
    let ask = |bytes: usize| {
        service(
            &IMGNAI,
            "/v1/chat/completions",
            &json!({
                "model": "gpt-5-5", "max_tokens": 1, "messages": [{"role": "user", "content": "word ".repeat(bytes / 5)}],
            }),
        )
    };
    let limit = quittance_quote::TOKENIZED_BYTES_MAX;
    assert!(ask(limit) < ask(limit + 100));
    // No cliff: two words more are not priced as if the whole text were of single bytes.
    assert!(ask(limit + 10) - ask(limit) <= ask(limit) / 100);
    assert!(ask(limit + 100) <= ask(4 * limit));
    // A prompt above the model's context is refused by the model, so it reserves no more than that.
    assert_eq!(ask(30 * limit), ask(40 * limit));
}

#[test]
fn longer_videos_cost_more() {
    let ask = |seconds: u64| {
        service(
            &IMGNAI,
            "/v1/generation-requests",
            &json!({"requests": [
                {"type": "video", "model": "ltx-2-3", "prompt": "a", "aspect_ratio": "1:1", "duration_seconds": seconds},
            ]}),
        )
    };
    assert!([5, 10, 15, 20].windows(2).all(|pair| ask(pair[0]) < ask(pair[1])));
}
