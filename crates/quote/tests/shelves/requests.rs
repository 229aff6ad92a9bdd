//! Requests that must have a price, made from the catalogues' own models.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use quittance_quote::Catalogue;
use serde_json::{Value, json};
use toml::Table;

const LINK: &str = "https://example.com/a.png";

/// One catalogue and what stands in it.
pub(crate) struct Shelf {
    pub(crate) catalogue: Catalogue,
    pub(crate) models: BTreeMap<String, Model>,
}

/// A failing request is printed, the whole catalogue is not.
impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.catalogue.name())
    }
}

/// A model's table as it is written.
pub(crate) struct Model(Table);

/// imgnAI, both of ChainGPT, NanoGPT.
pub(crate) static SHELVES: LazyLock<[Shelf; 4]> = LazyLock::new(|| {
    [
        include_str!("../../../../catalogs/imgnai.toml"),
        include_str!("../../../../catalogs/chaingpt-nft.toml"),
        include_str!("../../../../catalogs/chaingpt-contracts.toml"),
        include_str!("../../../../catalogs/nanogpt-images.toml"),
    ]
    .map(|text| {
        let file: Table = text.parse().unwrap();
        let models = file["models"].as_table().unwrap();
        let models =
            models.iter().map(|(name, model)| (name.clone(), Model(model.as_table().unwrap().clone())));
        Shelf { catalogue: Catalogue::from_toml(text).unwrap(), models: models.collect() }
    })
});

impl Model {
    fn kind(&self) -> &str {
        self.0["type"].as_str().unwrap()
    }

    fn whole(&self, key: &str) -> Option<u64> {
        self.0.get(key).map(|value| u64::try_from(value.as_integer().unwrap()).unwrap())
    }

    fn flag(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| value.as_bool().unwrap())
    }

    pub(crate) fn aspects(&self) -> Vec<&str> {
        self.0["aspects"].as_array().unwrap().iter().map(|aspect| aspect.as_str().unwrap()).collect()
    }

    /// Seconds, ascending.
    pub(crate) fn durations(&self) -> Vec<u64> {
        let durations = self.0["durations"].as_array().unwrap();
        let mut seconds: Vec<u64> =
            durations.iter().map(|d| u64::try_from(d["seconds"].as_integer().unwrap()).unwrap()).collect();
        seconds.sort_unstable();
        seconds
    }

    pub(crate) fn output_tokens_max(&self) -> u64 {
        self.whole("output_tokens_max").or(self.whole("context_tokens")).unwrap()
    }
}

impl Shelf {
    pub(crate) fn of_type(&self, kind: &str) -> Vec<(&str, &Model)> {
        self.models.iter().filter(|(_, model)| model.kind() == kind).map(|(n, m)| (n.as_str(), m)).collect()
    }

    /// The plainest request for a model: method, path, body.
    pub(crate) fn request_for(&self, name: &str) -> (&'static str, &'static str, Value) {
        let model = &self.models[name];
        let (path, body) = match (self.catalogue.name(), model.kind()) {
            ("imgnai", "text") => ("/v1/chat/completions", chat(name, 16, 1, 3)),
            ("imgnai", "image") => ("/v1/generation-requests", images(name, model, 1)),
            ("imgnai", _) => {
                let item = video(name, model, model.durations()[0]);
                ("/v1/generation-requests", json!({ "requests": [item] }))
            }
            ("chaingpt-nft", _) => ("/nft/generate-image", nft(name, side(name), "original", None)),
            ("chaingpt-contracts", _) => ("/chat/stream", json!({ "model": name, "question": "an ERC-20" })),
            _ => ("/v1/images/generations", json!({ "model": name, "prompt": "a mug" })),
        };
        ("POST", path, body)
    }
}

fn image(name: &str, model: &Model, aspect: &str) -> Value {
    let mut item = json!({ "type": "image", "model": name, "prompt": "a mug", "aspect_ratio": aspect });
    if model.flag("image_required") {
        item["image_urls"] = json!([LINK]);
    }
    item
}

/// `count` images of one model.
pub(crate) fn images(name: &str, model: &Model, count: u64) -> Value {
    let item = image(name, model, model.aspects()[0]);
    json!({ "requests": vec![item; usize::try_from(count).unwrap()] })
}

/// One film.
pub(crate) fn video(name: &str, model: &Model, seconds: u64) -> Value {
    let aspect = model.aspects()[0];
    let mut item = json!({
        "type": "video", "model": name, "prompt": "a mug", "duration_seconds": seconds, "aspect_ratio": aspect,
    });
    if model.flag("first_frame_required") {
        item["video_image_data"] = json!({ "first_frame_image_url": LINK });
    }
    item
}

/// A chat of `words` words.
pub(crate) fn chat(name: &str, cap: u64, choices: u64, words: usize) -> Value {
    let content = "word ".repeat(words);
    json!({ "model": name, "messages": [{ "role": "user", "content": content }], "max_tokens": cap, "n": choices })
}

/// A side that the model makes without enhancement.
fn side(name: &str) -> u64 {
    match name {
        "velogen" => 512,
        _ => 1_024,
    }
}

fn nft(name: &str, side: u64, enhance: &str, steps: Option<u64>) -> Value {
    let mut body =
        json!({ "model": name, "prompt": "a dragon", "width": side, "height": side, "enhance": enhance });
    if let Some(steps) = steps {
        body["steps"] = json!(steps);
    }
    body
}

/// A duration under one of its names.
fn named_duration(item: &mut Value, seconds: u64, name: usize) {
    item.as_object_mut().unwrap().remove("duration_seconds");
    match name {
        0 => item["duration_seconds"] = json!(seconds),
        1 => item["seconds"] = json!(seconds),
        2 => item["duration"] = json!(format!("{seconds}s")),
        _ => item["num_frames"] = json!(16 * seconds + 1),
    }
}

type Request = (&'static Shelf, &'static str, Value);

/// Images and films of random models, up to six in one body.
fn generation() -> impl Strategy<Value = Request> {
    let choice = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0_usize..4,
    );
    prop::collection::vec(choice, 1..6).prop_map(|choices| {
        let shelf = &SHELVES[0];
        let mut models = shelf.of_type("image");
        models.extend(shelf.of_type("video"));
        let items: Vec<Value> = choices
            .into_iter()
            .map(|(model, aspect, duration, name)| {
                let (model_name, model) = models[model.index(models.len())];
                let aspects = model.aspects();
                let aspect = aspects[aspect.index(aspects.len())];
                if model.kind() == "image" {
                    return image(model_name, model, aspect);
                }
                let durations = model.durations();
                let seconds = durations[duration.index(durations.len())];
                let mut item = video(model_name, model, seconds);
                item["aspect_ratio"] = json!(aspect);
                named_duration(&mut item, seconds, name);
                item
            })
            .collect();
        (shelf, "/v1/generation-requests", json!({ "client_request_id": "c", "requests": items }))
    })
}

/// Chats of any text model with odd letters, tools and caps.
fn chats() -> impl Strategy<Value = Request> {
    let tool = prop::option::of(".{0,40}");
    (any::<prop::sample::Index>(), 1_u64..60_000, 1_u64..8, ".{1,120}", tool).prop_map(
        |(pick, cap, choices, content, tool)| {
            let shelf = &SHELVES[0];
            let models = shelf.of_type("text");
            let (name, model) = models[pick.index(models.len())];
            let mut body = chat(name, cap.min(model.output_tokens_max()), choices, 1);
            body["messages"][0]["content"] = json!(format!("x{content}"));
            if let Some(words) = tool {
                body["tools"] = json!([{ "type": "function", "function": {
                    "name": "f", "description": words, "parameters": { "type": "object", "limit": 3, "ok": [true, null] },
                } }]);
            }
            (shelf, "/v1/chat/completions", body)
        },
    )
}

/// ChainGPT's pictures: any model, size and enhancement it takes.
fn nfts() -> impl Strategy<Value = Request> {
    let steps = prop::option::of(1_u64..=50);
    let models = prop::sample::select(vec!["velogen", "nebula_forge_xl", "VisionaryForge", "Dale3"]);
    (models, 0_u64..=1_024, 0_usize..3, steps, any::<bool>()).prop_map(
        |(name, more, enhance, steps, queue)| {
            let (least, most, steps_max) = match (name, enhance) {
                ("velogen", 0) => (512, 768, 4),
                ("velogen", 1) => (512, 1_280, 4),
                ("velogen", _) => (512, 1_920, 4),
                ("Dale3", _) => (256, 1_792, 50),
                (_, 0) => (768, 1_024, 50),
                _ => (768, 1_536, 50),
            };
            let side = least + more % (most - least + 1);
            // Dale3 is not sold at 1024 × 1024 with a single enhancement.
            let enhance = if name == "Dale3" && enhance == 1 { 2 } else { enhance };
            let steps = steps.map(|steps| 1 + steps % steps_max);
            let mut body = nft(name, side, ["original", "1x", "2x"][enhance], steps);
            if queue {
                body["walletAddress"] = json!("0xABC");
                body["chainId"] = json!(56);
            }
            (&SHELVES[1], if queue { "/nft/generate-nft-queue" } else { "/nft/generate-image" }, body)
        },
    )
}

fn contracts() -> impl Strategy<Value = Request> {
    (any::<bool>(), ".{0,80}").prop_map(|(history, question)| {
        let history = if history { "on" } else { "off" };
        let body = json!({ "model": "smart_contract_generator", "question": format!("x{question}"), "chatHistory": history });
        (&SHELVES[2], "/chat/stream", body)
    })
}

fn pictures() -> impl Strategy<Value = Request> {
    let sizes = [
        ("hidream", "auto"),
        ("hidream", "1376x768"),
        ("gpt-image-1", "1024x1024"),
        ("gpt-image-1", "1536x1024"),
        ("flux-kontext", "1024x1024"),
    ];
    (prop::sample::select(sizes.to_vec()), 1_u64..=10, any::<bool>()).prop_map(|((model, size), n, most)| {
        let body =
            json!({ "model": model, "prompt": "a mug", "size": size, "n": n, "kontext_max_mode": most });
        (&SHELVES[3], "/v1/images/generations", body)
    })
}

/// Any request of any of the four APIs that must have a price.
pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![generation(), chats(), nfts(), contracts(), pictures()]
}
