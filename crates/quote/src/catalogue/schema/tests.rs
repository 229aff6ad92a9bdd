use serde_json::{Value, json};

use super::super::file::FieldType;
use crate::{Catalogue, EndpointInfo, PriceRequest, Pricing};

const CATALOGUES: [&str; 4] = [
    include_str!("../../../../../catalogs/imgnai.toml"),
    include_str!("../../../../../catalogs/chaingpt-nft.toml"),
    include_str!("../../../../../catalogs/chaingpt-contracts.toml"),
    include_str!("../../../../../catalogs/nanogpt-images.toml"),
];

/// The least body that a directory builds from a schema: the required properties, each by
/// its example, default, constant, first choice or type.
fn least(schema: &Value, whole: bool) -> Value {
    let first = |name: &str| schema.get(name).and_then(Value::as_array).and_then(|values| values.first());
    if let Some(example) = first("examples").filter(|_| whole) {
        return example.clone();
    }
    if let Some(value) = schema.get("default").or(schema.get("const")).or(first("enum")) {
        return value.clone();
    }
    if let Some(one) = first("anyOf").or(first("oneOf")) {
        return least(one, whole);
    }
    match schema["type"].as_str() {
        Some("array") => {
            let items = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            (0..items).map(|_| least(&schema["items"], whole)).collect()
        }
        Some("object") => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let properties = required.iter().map(|name| {
                let name = name.as_str().unwrap();
                (name.to_owned(), least(&schema["properties"][name], true))
            });
            Value::Object(properties.collect())
        }
        Some("string") => json!("sample"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        other => panic!("{other:?} in {schema}"),
    }
}

fn price(catalogue: &Catalogue, endpoint: &EndpointInfo, body: Option<&Value>) -> Result<u64, String> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let request = PriceRequest {
        method: &endpoint.method,
        path: &endpoint.example_path(),
        query: "",
        content_type: body.map(|_| "application/json"),
        body: text.as_bytes(),
    };
    let priced = catalogue.price(&request).map(|price| price.service.atomic());
    priced.map_err(|refusal| format!("{} {}: {} for {text}", endpoint.method, endpoint.path, refusal.message))
}

/// Directories send the least body and list the operation only if the answer is an offer.
#[test]
fn the_least_body_of_every_schema_has_a_price() {
    for text in CATALOGUES {
        // Also where nobody wrote an example.
        let bare: String = text.lines().filter(|line| !line.starts_with("example = ")).fold(
            String::new(),
            |mut all, line| {
                all.push_str(line);
                all.push('\n');
                all
            },
        );
        for text in [text, &bare] {
            let catalogue = Catalogue::from_toml(text).unwrap();
            for endpoint in catalogue.endpoints().iter().filter(|e| e.pricing == Pricing::Paid) {
                let Some(schema) = &endpoint.body_schema else {
                    assert_eq!(endpoint.method, "GET", "{}", endpoint.path);
                    price(&catalogue, endpoint, None).unwrap();
                    continue;
                };
                for whole in [true, false] {
                    price(&catalogue, endpoint, Some(&least(schema, whole))).unwrap();
                }
                let example: Value = serde_json::from_str(endpoint.example.as_ref().unwrap()).unwrap();
                let paid = price(&catalogue, endpoint, Some(&example)).unwrap();
                let least = endpoint.service_min.unwrap().atomic();
                assert!(least > 0 && least <= paid, "{}: {least} and {paid}", endpoint.path);
            }
        }
    }
}

#[test]
fn a_schema_names_models_ranges_choices_and_defaults() {
    let nft = Catalogue::from_toml(CATALOGUES[1]).unwrap().endpoints();
    let schema = nft[0].body_schema.as_ref().unwrap();
    assert_eq!(schema["required"], json!(["model", "height", "prompt", "width"]));
    assert_eq!(schema["additionalProperties"], false);
    let properties = &schema["properties"];
    assert_eq!(properties["model"]["enum"], json!(["Dale3", "VisionaryForge", "nebula_forge_xl", "velogen"]));
    assert_eq!(properties["steps"], json!({"type": "integer", "minimum": 1, "maximum": 50, "examples": [2]}));
    assert_eq!(properties["enhance"]["default"], "original");
    assert_eq!(properties["enhance"]["enum"], json!(["original", "1x", "2x"]));
    assert_eq!(properties["style"], json!({}), "what is passed on may be anything");

    let imgnai = Catalogue::from_toml(CATALOGUES[0]).unwrap().endpoints();
    let items = &imgnai[0].body_schema.as_ref().unwrap()["properties"]["requests"]["items"]["oneOf"];
    let [image, video] =
        [&items[0], &items[1]].map(|item| item["properties"]["model"]["enum"].as_array().unwrap());
    assert!(image.contains(&json!("gen")) && !video.contains(&json!("gen")));
    assert_eq!(items[1]["required"], json!(["type", "model", "prompt", "aspect_ratio", "duration_seconds"]));

    let contracts = Catalogue::from_toml(CATALOGUES[2]).unwrap().endpoints();
    let limit = contracts[1].query.iter().find(|parameter| parameter.name == "limit").unwrap();
    assert_eq!(limit.schema, json!({"type": "integer", "minimum": 1, "maximum": 1000}));
    assert!(!limit.required && contracts[1].body_schema.is_none());
}

/// A field whose type a schema cannot show would make an operation that nobody can call.
#[test]
fn every_type_of_field_has_a_schema() {
    for (kind, name) in [
        (FieldType::String, "string"),
        (FieldType::Integer, "integer"),
        (FieldType::Number, "number"),
        (FieldType::Boolean, "boolean"),
        (FieldType::Array, "array"),
        (FieldType::Object, "object"),
        (FieldType::DataUrl, "string"),
        (FieldType::DataUrls, "array"),
    ] {
        let word = serde_json::to_value(name_of(kind)).unwrap();
        let text = format!(
            "[catalogue]\nname = \"x\"\nunit = \"usd\"\nusd_per_unit = \"1\"\n[[endpoints]]\nmethod = \"POST\"\n\
             path = \"/x\"\ndescription = \"x\"\nprice = {{ kind = \"call\", units = \"1\", fields = \
             {{ it = {{ type = {word}, required = true }} }} }}\n"
        );
        let catalogue = Catalogue::from_toml(&text).unwrap();
        let endpoint = &catalogue.endpoints()[0];
        assert_eq!(endpoint.body_schema.as_ref().unwrap()["properties"]["it"]["type"], name, "{kind:?}");
        assert!(endpoint.example.is_some(), "{kind:?}");
    }
}

fn name_of(kind: FieldType) -> &'static str {
    match kind {
        FieldType::String => "string",
        FieldType::Integer => "integer",
        FieldType::Number => "number",
        FieldType::Boolean => "boolean",
        FieldType::Array => "array",
        FieldType::Object => "object",
        FieldType::DataUrl => "data_url",
        FieldType::DataUrls => "data_urls",
    }
}
