//! The ChainGPT and NanoGPT catalogues against their figures and limits, the
//! language's own errors, and its schema.

#![allow(clippy::unwrap_used, clippy::result_large_err)] // helpers of tests, too

use quittance_quote::{Catalogue, CatalogueError, PriceRequest, Pricing, Route, catalogue_schema};
use serde_json::{Value, json};

const NFT: &str = include_str!("../../../catalogs/chaingpt-nft.toml");
const CONTRACTS: &str = include_str!("../../../catalogs/chaingpt-contracts.toml");
const NANOGPT: &str = include_str!("../../../catalogs/nanogpt-images.toml");
const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// `Ok(usdc)` or `Err(field)`.
fn ask(catalogue: &Catalogue, method: &str, path: &str, query: &str, body: &Value) -> Result<String, String> {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    let request = PriceRequest { method, path, query, content_type: None, body: &body };
    match catalogue.price(&request) {
        Ok(price) => Ok(price.service.to_usdc()),
        Err(refusal) => {
            assert_eq!(refusal.status, 400, "{refusal:?}");
            Err(refusal.field.unwrap_or(refusal.code))
        }
    }
}

/// Rails, Laravel and PHP lay the query over the body, ASP.NET ignores letter case, others split at
/// `;` or take `limit[]` for a list.
#[test]
fn a_gateway_refuses_query_names_that_are_not_declared() {
    let of = |text| Catalogue::from_toml(text).unwrap();
    let good = json!({"requests": [{"type": "image", "model": "gen", "prompt": "a", "aspect_ratio": "1:1"}]});
    let chat = json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "a"}]});
    let (generate, chat_path) = ("/v1/generation-requests", "/v1/chat/completions");
    let imgnai = include_str!("../../../catalogs/imgnai.toml");
    for (text, method, path, body, query, named) in [
        (imgnai, "POST", generate, &good, "", None),
        (imgnai, "POST", generate, &good, "wait=true&wait_timeout_seconds=9", None),
        (imgnai, "POST", generate, &good, "Wait=true", Some("Wait")),
        (imgnai, "POST", generate, &good, "requests[0][model]=ani", Some("requests[0][model]")),
        (imgnai, "POST", generate, &good, "wait=true&size=large", Some("size")),
        (imgnai, "POST", chat_path, &chat, "max_tokens=9999", Some("max_tokens")),
        (imgnai, "POST", chat_path, &chat, "", None),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "limit=5&sortOrder=DESC", None),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "l%69mit=5", None),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "Limit=9999", Some("Limit")),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "limit[]=9999", Some("limit[]")),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "limit%5B%5D=9999", Some("limit[]")),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "offset=1;limit=9999", Some("offset")),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "sortOrder=ASC&%20limit=9999", Some(" limit")),
        (CONTRACTS, "GET", "/chat/chatHistory", &Value::Null, "limit%00=9999", Some("limit\0")),
    ] {
        let asked = ask(&of(text).declared_queries_only(), method, path, query, body);
        assert_eq!(asked.as_ref().err().map(String::as_str), named, "{query}");
    }
    let split = json!({"question": "a"});
    let contracts = of(CONTRACTS).declared_queries_only();
    assert_eq!(
        ask(&contracts, "GET", "/chat/chatHistory", "x=1;limit=9999", &split),
        Err("limit".to_owned())
    );
    // A host that prices its own paths knows what they read.
    assert!(ask(&of(imgnai), "POST", generate, "wait=true&utm_source=a", &good).is_ok());
    assert_eq!(ask(&of(imgnai), "POST", generate, "wait=maybe", &good), Err("wait".to_owned()));
}

/// What a host hands on is said to be JSON where JSON was priced, and only there.
#[test]
fn a_price_says_whether_the_body_was_read() {
    let catalogue = Catalogue::from_toml(CONTRACTS).unwrap();
    let price = |method, path, body: &[u8]| {
        let request = PriceRequest { method, path, query: "", content_type: None, body };
        catalogue.price(&request).unwrap().reads_json
    };
    assert!(!price("GET", "/chat/chatHistory", b""));
    let endpoints = catalogue.endpoints();
    let sold = endpoints.iter().find(|one| one.method == "POST" && one.example.is_some()).unwrap();
    assert!(price("POST", &sold.path, sold.example.as_ref().unwrap().as_bytes()));
}

fn merged(base: &Value, changes: &Value) -> Value {
    let mut body = base.as_object().unwrap().clone();
    for (key, value) in changes.as_object().unwrap() {
        body.insert(key.clone(), value.clone());
    }
    Value::Object(body)
}

#[test]
fn chaingpt_images_by_model_size_and_enhancement() {
    let catalogue = Catalogue::from_toml(NFT).unwrap();
    let rows = [
        (json!({"model": "velogen", "width": 512, "height": 768}), Ok("0.010000")),
        (json!({"model": "velogen", "width": 512, "height": 512, "enhance": "original"}), Ok("0.010000")),
        (json!({"model": "velogen", "width": 512, "height": 512, "enhance": "1x"}), Ok("0.020000")),
        (json!({"model": "velogen", "width": 1920, "height": 1920, "enhance": "2x"}), Ok("0.020000")),
        (json!({"model": "velogen", "width": 512, "height": 512, "steps": 4}), Ok("0.010000")),
        (json!({"model": "velogen", "width": 512, "height": 512, "steps": 5}), Err("steps")),
        (json!({"model": "velogen", "width": 512, "height": 512, "steps": 0}), Err("steps")),
        (json!({"model": "velogen", "width": 1024, "height": 512}), Err("width")),
        (json!({"model": "velogen", "width": 512, "height": 511}), Err("height")),
        (json!({"model": "velogen", "width": 1921, "height": 512, "enhance": "2x"}), Err("width")),
        (json!({"model": "nebula_forge_xl", "width": 1024, "height": 768}), Ok("0.010000")),
        (
            json!({"model": "nebula_forge_xl", "width": 1024, "height": 1024, "enhance": "2x", "steps": 50}),
            Ok("0.020000"),
        ),
        (json!({"model": "nebula_forge_xl", "width": 1024, "height": 1024, "steps": 51}), Err("steps")),
        (json!({"model": "nebula_forge_xl", "width": 512, "height": 768}), Err("width")),
        (json!({"model": "VisionaryForge", "width": 768, "height": 768}), Ok("0.010000")),
        (json!({"model": "VisionaryForge", "width": 768, "height": 768, "enhance": "1x"}), Ok("0.020000")),
        (json!({"model": "VisionaryForge", "width": 768, "height": 1025}), Err("height")),
        (json!({"model": "Dale3", "width": 1024, "height": 1024}), Ok("0.047500")),
        (json!({"model": "Dale3", "width": 1024, "height": 1024, "enhance": "2x"}), Ok("0.095000")),
        (json!({"model": "Dale3", "width": 1024, "height": 1024, "enhance": "1x"}), Err("enhance")),
        (json!({"model": "Dale3", "width": 1792, "height": 1024}), Ok("0.095000")),
        (json!({"model": "Dale3", "width": 1792, "height": 1024, "enhance": "2x"}), Ok("0.142500")),
        (json!({"model": "Dale3", "width": 4096, "height": 1024}), Err("width")),
        (json!({"model": "dale3", "width": 1024, "height": 1024}), Err("model")),
        (json!({"model": null, "width": 1024, "height": 1024}), Err("model")),
        (json!({"model": "velogen", "height": 512}), Err("width")),
        (json!({"model": "velogen", "width": 512}), Err("height")),
        (json!({"model": "velogen", "width": "512", "height": 512}), Err("width")),
        (json!({"model": "velogen", "width": 512, "height": 512, "enhance": "4x"}), Err("enhance")),
        (json!({"model": "velogen", "width": 512, "height": 512, "prompt": " "}), Err("prompt")),
        (json!({"model": "velogen", "width": 512, "height": 512, "prompt": null}), Err("prompt")),
        (json!({"model": "velogen", "width": 512, "height": 512, "amount": 5}), Err("amount")),
        (
            json!({"model": "velogen", "width": 512, "height": 512, "style": "cinematic", "traits": []}),
            Ok("0.010000"),
        ),
    ];
    let queue = json!({"prompt": "a dragon", "walletAddress": "0xABC", "chainId": 56});
    for (body, expected) in &rows {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        let direct = merged(&json!({"prompt": "a dragon"}), body);
        assert_eq!(ask(&catalogue, "POST", "/nft/generate-image", "", &direct), expected, "{body}");
        let queued = merged(&queue, body);
        assert_eq!(ask(&catalogue, "POST", "/nft/generate-nft-queue", "", &queued), expected, "{body}");
    }
    let missing =
        json!({"model": "velogen", "width": 512, "height": 512, "prompt": "a dragon", "chainId": 56});
    assert_eq!(ask(&catalogue, "POST", "/nft/generate-nft-queue", "", &missing), Err("walletAddress".into()));
}

#[test]
fn chaingpt_prompt_and_free_endpoints() {
    let catalogue = Catalogue::from_toml(NFT).unwrap();
    let enhance = |body: Value| ask(&catalogue, "POST", "/nft/enhancePrompt", "", &body);
    assert_eq!(enhance(json!({"prompt": "a city"})), Ok("0.005000".into()));
    assert_eq!(enhance(json!({})), Err("prompt".into()));
    for (method, path) in [
        ("GET", "/nft/progress/b8f86f05"),
        ("POST", "/nft/mint-nft"),
        ("GET", "/nft/get-chains"),
        ("GET", "/nft/abi"),
    ] {
        assert_eq!(catalogue.route(method, path), Route::Free, "{path}");
    }
}

#[test]
fn chaingpt_contracts_by_history() {
    let catalogue = Catalogue::from_toml(CONTRACTS).unwrap();
    let base = json!({"model": "smart_contract_generator", "question": "an ERC-20"});
    for (change, expected) in [
        (json!({}), Ok("0.010000")),
        (json!({"chatHistory": "off"}), Ok("0.010000")),
        (json!({"chatHistory": "on", "sdkUniqueId": "u1"}), Ok("0.020000")),
        (json!({"chatHistory": "ON"}), Err("chatHistory")),
        (json!({"chatHistory": true}), Err("chatHistory")),
        (json!({"model": "general_assistant"}), Err("model")),
        (json!({"question": null}), Err("question")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(
            ask(&catalogue, "POST", "/chat/stream", "", &merged(&base, &change)),
            expected,
            "{change}"
        );
    }
    for (query, expected) in [
        ("", Ok("0.010000")),
        ("limit=5&offset=0&sortBy=createdAt&sortOrder=DESC", Ok("0.010000")),
        ("limit=many", Err("limit")),
        ("limit=0", Err("limit")),
        ("limit=1&limit=900", Err("limit")),
        ("sortOrder=UP", Err("sortOrder")),
        // A host decodes what it reads.
        ("l%69mit=900000", Err("limit")),
        ("limit=1&%6Cimit=900", Err("limit")),
        ("limit=%35", Ok("0.010000")),
        ("limit=%2B5", Ok("0.010000")),
        ("sortOrder=%41SC", Ok("0.010000")),
        ("sort%4Frder=UP", Err("sortOrder")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(ask(&catalogue, "GET", "/chat/chatHistory", query, &Value::Null), expected, "{query}");
    }
}

#[test]
fn nanogpt_images_by_model_size_and_count() {
    let catalogue = Catalogue::from_toml(NANOGPT).unwrap();
    let long = format!("data:image/png;base64,{}", "A".repeat(4_194_304));
    for (change, expected) in [
        (json!({}), Ok("0.020000")),
        (json!({"n": 3}), Ok("0.060000")),
        (json!({"n": 10, "response_format": "url", "size": "auto"}), Ok("0.200000")),
        (json!({"n": 0}), Err("n")),
        (json!({"n": 11}), Err("n")),
        (json!({"n": 1.5}), Err("n")),
        (json!({"n": "2"}), Err("n")),
        (json!({"size": "9999x9999"}), Err("size")),
        (json!({"model": "gpt-image-1", "n": 2}), Ok("0.100000")),
        (json!({"model": "gpt-image-1", "size": "1536x1024"}), Ok("0.075000")),
        (json!({"model": "flux-kontext", "kontext_max_mode": true}), Ok("0.080000")),
        (json!({"model": "nope"}), Err("model")),
        (json!({"imageDataUrl": PNG}), Ok("0.020000")),
        (json!({"imageDataUrl": "https://example.com/a.png"}), Err("imageDataUrl")),
        (json!({"imageDataUrl": "data:image/png;base64,AAAA"}), Err("imageDataUrl")),
        (json!({"imageDataUrl": long}), Err("imageDataUrl")),
        (json!({"imageDataUrls": [PNG, PNG]}), Err("too_many_images")),
        (json!({"model": "flux-kontext", "imageDataUrls": [PNG, PNG, PNG, PNG]}), Ok("0.040000")),
        (json!({"strength": 0.5, "guidance_scale": 20, "num_inference_steps": 100}), Ok("0.020000")),
        (json!({"strength": 1.01}), Err("strength")),
        (json!({"num_inference_steps": 101}), Err("num_inference_steps")),
        (json!({"response_format": "raw"}), Err("response_format")),
        (json!({"quality": "hd"}), Err("quality")),
        (json!({"prompt": null}), Err("prompt")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        let body = merged(&json!({"prompt": "a mug"}), &change);
        assert_eq!(ask(&catalogue, "POST", "/v1/images/generations", "", &body), expected, "{change}");
    }
}

/// Method, path, and whether it is sold.
type Row = (&'static str, &'static str, Pricing);

/// Every method and path that the four systems' documents name, and no other.
#[test]
fn every_endpoint_of_the_documents_is_paid_or_free() {
    let expected: [(&str, &[Row]); 4] = [
        (
            include_str!("../../../catalogs/imgnai.toml"),
            &[
                ("POST", "/v1/generation-requests", Pricing::Paid),
                ("POST", "/v1/chat/completions", Pricing::Paid),
                ("GET", "/v1/generation-requests/{request_id}", Pricing::Free),
                ("GET", "/v1/text/attestation", Pricing::Free),
                ("GET", "/v1/x402", Pricing::Free),
            ],
        ),
        (
            NFT,
            &[
                ("POST", "/nft/generate-image", Pricing::Paid),
                ("POST", "/nft/generate-nft-queue", Pricing::Paid),
                ("POST", "/nft/enhancePrompt", Pricing::Paid),
                ("GET", "/nft/progress/{collectionId}", Pricing::Free),
                ("POST", "/nft/mint-nft", Pricing::Free),
                ("GET", "/nft/get-chains", Pricing::Free),
                ("GET", "/nft/abi", Pricing::Free),
            ],
        ),
        (CONTRACTS, &[("POST", "/chat/stream", Pricing::Paid), ("GET", "/chat/chatHistory", Pricing::Paid)]),
        (
            NANOGPT,
            &[
                ("POST", "/v1/images/generations", Pricing::Paid),
                ("GET", "/api/v1/image-models", Pricing::Free),
            ],
        ),
    ];
    for (text, endpoints) in expected {
        let listed = Catalogue::from_toml(text).unwrap().endpoints();
        let listed: Vec<_> = listed.iter().map(|e| (e.method.as_str(), e.path.as_str(), e.pricing)).collect();
        assert_eq!(listed, endpoints);
    }
}

/// The requests that the documents show, in their own shape.
#[test]
fn the_documents_samples_have_their_price() {
    let nft = Catalogue::from_toml(NFT).unwrap();
    let trait_of =
        |kind: &str, value: &str| json!({"trait_type": kind, "value": [{"value": value, "ratio": 20}]});
    let image = json!({
        "prompt": "dragon", "model": "velogen", "enhance": "original", "steps": 3, "height": 512, "width": 512,
        "style": "cinematic", "traits": [trait_of("Background", "Heaven"), trait_of("contrast", "dark")],
    });
    assert_eq!(ask(&nft, "POST", "/nft/generate-image", "", &image), Ok("0.010000".into()));
    let queued = json!({
        "walletAddress": "0xABC123", "prompt": "a city at night", "model": "nebula_forge_xl", "steps": 25,
        "height": 1024, "width": 1024, "enhance": "2x", "chainId": 56, "style": "cinematic",
        "traits": [trait_of("Background", "Heaven")],
    });
    assert_eq!(ask(&nft, "POST", "/nft/generate-nft-queue", "", &queued), Ok("0.020000".into()));
    assert_eq!(
        ask(&nft, "POST", "/nft/enhancePrompt", "", &json!({"prompt": "a futuristic city"})),
        Ok("0.005000".into())
    );
    let contracts = Catalogue::from_toml(CONTRACTS).unwrap();
    let question = json!({
        "model": "smart_contract_generator", "question": "an ERC-20 with a burn function", "chatHistory": "on",
        "sdkUniqueId": "0f3f5a4e",
    });
    assert_eq!(ask(&contracts, "POST", "/chat/stream", "", &question), Ok("0.020000".into()));
    let history = "limit=5&offset=0&sortBy=createdAt&sortOrder=DESC&sdkUniqueId=0f3f5a4e";
    assert_eq!(ask(&contracts, "GET", "/chat/chatHistory", history, &Value::Null), Ok("0.010000".into()));
    let nano = Catalogue::from_toml(NANOGPT).unwrap();
    let jpeg = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQEASABIAAD/";
    let inpaint = json!({
        "prompt": "a mug", "imageDataUrl": jpeg, "size": "1376x768", "response_format": "url", "user": "u",
        "strength": 0, "guidance_scale": 7.5, "num_inference_steps": 1, "seed": 42, "kontext_max_mode": false,
    });
    assert_eq!(ask(&nano, "POST", "/v1/images/generations", "", &inpaint), Ok("0.020000".into()));
}

#[test]
fn refusals_have_the_hosts_shape() {
    let catalogue = Catalogue::from_toml(NFT).unwrap();
    let body = br#"{"prompt":"{choices}","model":"{code}","width":512,"height":512}"#;
    let request =
        PriceRequest { method: "POST", path: "/nft/generate-image", query: "", content_type: None, body };
    let refusal = catalogue.price(&request).unwrap_err();
    assert_eq!(
        refusal.body,
        json!({
            "statusCode": 400, "error": "unknown_model", "message": "model `{code}` does not exist", "field": "model",
            "choices": ["Dale3", "VisionaryForge", "nebula_forge_xl", "velogen"],
        })
    );
    let nowhere = PriceRequest { path: "/nft/none", ..request };
    assert_eq!(catalogue.price(&nowhere).unwrap_err().status, 404);
}

const HEAD: &str = "[catalogue]\nname = \"t\"\nunit = \"credit\"\nusd_per_unit = \"1\"\n";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn broken_catalogues_are_refused_with_advice() {
    let endpoint = |price: &str| {
        format!(
            "{HEAD}[[endpoints]]\nmethod = \"POST\"\npath = \"/a\"\ndescription = \"d\"\nprice = {price}\n"
        )
    };
    assert!(Catalogue::from_toml(&endpoint(r#"{ kind = "call", units = "1" }"#)).is_ok());
    for (text, word) in [
        (endpoint(r#"{ kind = "call", units = "1", unitz = "2" }"#), "unitz"),
        (endpoint(r#"{ kind = "call", units = 1.5 }"#), "as strings"),
        (endpoint(r#"{ kind = "call", units = "1e3" }"#), "exact decimal"),
        (endpoint(r#"{ kind = "call", units = "-1" }"#), "exact decimal"),
        (endpoint(r#"{ kind = "call", units = "0" }"#), "above zero"),
        (endpoint(r#"{ kind = "call" }"#), "units or model_field"),
        (endpoint(r#"{ kind = "call", model_field = "model" }"#), "no plain model"),
        (endpoint(r#"{ kind = "call", units = "1", count_field = "n" }"#), "count_field"),
        (endpoint(r#"{ kind = "text", reserve_units_min = "1", charge_units_min = "1" }"#), "text model"),
        (endpoint(r#"{ kind = "generation" }"#), "image or video"),
        (
            endpoint(
                r#"{ kind = "call", units = "1", surcharges = [{ label = "x", when = { a = 1 }, units = "1" }] }"#,
            ),
            "undeclared",
        ),
        (endpoint(r#"{ kind = "gift" }"#), "gift"),
        (endpoint("{ kind = \"call\", units = \"1\" }\nexample = '{'"), "example is not JSON"),
        (
            endpoint(
                "{ kind = \"call\", units = \"1\", fields = { a = { type = \"string\" } } }\nexample = '{\"a\": 1}'",
            ),
            "example has no price",
        ),
        (endpoint("{ kind = \"free\" }\nexample = '{}'"), "example has no price"),
        (format!("endpoints = []\n{HEAD}"), "at least one"),
        (format!("endpoints = []\n{HEAD}surprise = 1\n"), "surprise"),
        (endpoint(r#"{ kind = "free" }"#).replace("/a", "/a/../b"), "canonical"),
        (endpoint(r#"{ kind = "free" }"#).replace("POST", "post"), "method"),
        (
            endpoint(r#"{ kind = "free" }"#).replace("usd_per_unit = \"1\"", "usd_per_unit = \"0\""),
            "above zero",
        ),
        (
            format!(
                "{0}[[endpoints]]\nmethod = \"POST\"\npath = \"/{{x}}\"\ndescription = \"d\"\nprice = {{ kind = \"free\" }}\n",
                endpoint(r#"{ kind = "free" }"#)
            ),
            "same paths",
        ),
    ] {
        let error = Catalogue::from_toml(&text).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let model = |text: &str| format!("{}[models.m]\n{text}\n", endpoint(r#"{ kind = "call", units = "1" }"#));
    for (text, place, word) in [
        (model("type = \"image\"\nunits = \"1\"\naspects = \"1:1\""), "[models.m]", "`aspects`"),
        (
            model("type = \"image\"\nunits = \"1\"\naspects = [\"1:1\"]\nimage_max = 2"),
            "[models.m]",
            "images_max",
        ),
        (model("type = \"image\"\naspects = [\"1:1\"]"), "[models.m]", "`units`"),
        (model("type = \"plain\"\nunits = 5"), "[models.m]", "write prices as strings"),
        (model("units = \"5\""), "[models.m]", "text, image, video or plain"),
        (model("type = \"picture\"\nunits = \"5\""), "line", "`image`"),
        (
            endpoint(r#"{ kind = "call", units = "1", fields = { n = { type = "int" } } }"#),
            "number 1, POST /a",
            "`integer`",
        ),
        (endpoint(r#"{ units = "1" }"#), "number 1, POST /a", "free, call, generation or text"),
        (endpoint(r#"{ kind = "free", units = "1" }"#), "number 1, POST /a", "units"),
    ] {
        let error = Catalogue::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(place) && error.contains(word), "{word}: {error}");
    }
    let long = " ".repeat(quittance_quote::CATALOGUE_BYTES_MAX + 1);
    assert_eq!(Catalogue::from_toml(&long).unwrap_err(), CatalogueError::TooLong);
}

#[test]
fn every_paid_endpoint_with_a_body_shows_a_priced_example() {
    for text in [
        include_str!("../../../catalogs/imgnai.toml"),
        include_str!("../../../catalogs/chaingpt-nft.toml"),
        include_str!("../../../catalogs/chaingpt-contracts.toml"),
        include_str!("../../../catalogs/nanogpt-images.toml"),
    ] {
        let catalogue = Catalogue::from_toml(text).unwrap();
        for endpoint in catalogue.endpoints() {
            let shown = endpoint.pricing == Pricing::Paid && endpoint.method != "GET";
            assert_eq!(endpoint.example.is_some(), shown, "{} {}", catalogue.name(), endpoint.path);
            let Some(example) = endpoint.example else { continue };
            let body = serde_json::from_str(&example).unwrap();
            assert!(ask(&catalogue, &endpoint.method, &endpoint.path, "", &body).is_ok(), "{example}");
        }
    }
}

#[test]
fn the_schema_file_is_the_generated_one() {
    let file: Value = serde_json::from_str(include_str!("../../../catalogs/catalogue.schema.json")).unwrap();
    assert_eq!(
        file,
        catalogue_schema(),
        "run: cargo run -p quittance-quote --example catalogue-schema > catalogs/catalogue.schema.json"
    );
}
