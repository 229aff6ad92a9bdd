//! The catalogue file as it is written: TOML tables, one struct each.
//!
//! `catalogs/README.md` explains the language; `catalogue_schema` derives the
//! editor schema from these types. Unknown keys are errors everywhere.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::decimal::parse_decimal;

/// A catalogue of prices.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Catalogue")]
pub(crate) struct File {
    /// Name, unit and error shape.
    pub(crate) catalogue: Header,
    /// Models by the name customers send.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, Model>,
    /// Every path of the API, paid and free. What is not listed is 404.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Name, unit and error shape.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Shown in discovery and logs.
    pub(crate) name: String,
    /// What prices are written in, e.g. `credit`.
    pub(crate) unit: String,
    /// US dollars for one unit, exact.
    pub(crate) usd_per_unit: Decimal,
    /// The API's own error body. Strings `{status}`, `{code}`, `{field}`, `{message}` and
    /// `{choices}` are replaced; a string that is nothing but one of them takes its JSON type.
    pub(crate) error: Option<Map<String, Value>>,
}

/// An exact decimal, written as a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal(pub(crate) BigDecimal);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)
            .map_err(|e| D::Error::custom(format!("{e}; write prices as strings, such as \"4.75\"")))?;
        parse_decimal("price", &text).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Decimal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An exact decimal, written as a string.",
            "type": "string",
            "pattern": r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,18})?$",
        })
    }
}

/// A model, by its kind of product.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Model {
    /// Sold by tokens.
    Text(TextModel),
    /// Sold by the image, with media rules.
    Image(ImageModel),
    /// Sold by duration, with media rules.
    Video(VideoModel),
    /// Sold by the call.
    Plain(PlainModel),
}

/// Sold by tokens, prepaid from a reserve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextModel {
    /// Units for a million prompt tokens.
    pub(crate) input_units_per_million: Decimal,
    /// Units for a million output tokens.
    pub(crate) output_units_per_million: Decimal,
    /// Most tokens of prompt and output together.
    pub(crate) context_tokens: u64,
    /// Most output tokens; the context when the model lists none.
    pub(crate) output_tokens_max: Option<u64>,
    /// What messages may hold: `text`, `image`, `file`, `audio`, `video`.
    pub(crate) inputs: Vec<String>,
    /// How many tokens the model's own vocabulary makes of one that is counted here, at most:
    /// from 1 to 10, 1 without it.
    pub(crate) prompt_tokens_factor: Option<Decimal>,
}

/// Sold by the image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageModel {
    /// Units for one image.
    pub(crate) units: Decimal,
    /// Units for one image in fast mode; without it the mode is refused.
    pub(crate) fast_units: Option<Decimal>,
    /// Units for one image in UHD mode; without it the mode is refused.
    pub(crate) uhd_units: Option<Decimal>,
    /// Aspect ratios it can make, e.g. `16:9`.
    pub(crate) aspects: Vec<String>,
    /// Most input images.
    #[serde(default)]
    pub(crate) images_max: usize,
    /// Whether it takes a single source image (`image_url` and its other names) although
    /// `images_max` is 0.
    #[serde(default)]
    pub(crate) source_image: bool,
    /// Whether it needs at least one input image.
    #[serde(default)]
    pub(crate) image_required: bool,
}

/// Sold by duration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VideoModel {
    /// Durations it can make and what each costs.
    pub(crate) durations: Vec<Duration>,
    /// Aspect ratios it can make.
    pub(crate) aspects: Vec<String>,
    /// Most reference images; 0 when it takes none.
    #[serde(default)]
    pub(crate) references_max: usize,
    /// Most audio references; 0 when it takes none.
    #[serde(default)]
    pub(crate) audio_max: usize,
    /// Which frames it takes.
    #[serde(default)]
    pub(crate) frames: Vec<Frame>,
    /// Whether it needs a first frame.
    #[serde(default)]
    pub(crate) first_frame_required: bool,
    /// Which inputs exclude or need each other.
    #[serde(default)]
    pub(crate) rules: Vec<MediaRule>,
}

/// One duration and its price.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Duration {
    /// Length of the video.
    pub(crate) seconds: u64,
    /// Units for one video of that length.
    pub(crate) units: Decimal,
}

/// A frame a video can be conditioned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Frame {
    /// The source frame.
    First,
    /// A frame in between.
    Mid,
    /// The end frame.
    Last,
}

/// A compatibility rule of a video model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MediaRule {
    /// At most 15 seconds of audio in all. Known only after a fetch: not checked here.
    #[serde(rename = "audio_15s_max")]
    #[schemars(rename = "audio_15s_max")]
    Audio15sMax,
    /// The video is as long as the audio. Known only after a fetch: not checked here.
    AudioDrivesDuration,
    /// Audio needs a first frame and excludes every other image input.
    AudioFfOnly,
    /// Audio needs a reference image.
    AudioNeedsReferenceImage,
    /// Audio excludes first and last frame.
    AudioOrFflfExclusive,
    /// A last frame needs a first frame.
    LfNeedsFf,
    /// Reference images exclude a last frame.
    ReferenceFfOnly,
    /// With reference images, audio is a voice timbre. Nothing to check.
    ReferenceIsVoiceTimbre,
    /// Reference images exclude first and last frame.
    ReferenceNoFfOrLf,
}

/// Sold by the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainModel {
    /// Units for one, when no entry of `prices` matches; without it such a request is refused.
    pub(crate) units: Option<Decimal>,
    /// Prices for special cases; the first that matches counts.
    #[serde(default)]
    pub(crate) prices: Vec<PriceCase>,
    /// Narrower limits on the endpoint's fields; per field the first that matches counts.
    #[serde(default)]
    pub(crate) limits: Vec<FieldLimit>,
    /// Most input images, over all fields of type `data_url` and `data_urls`; no limit without it.
    pub(crate) images_max: Option<usize>,
}

/// What a field must equal: one value or any of several.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOf {
    /// Any of these.
    Many(Vec<Scalar>),
    /// This.
    One(Scalar),
}

impl OneOf {
    pub(crate) fn as_slice(&self) -> &[Scalar] {
        match self {
            Self::Many(values) => values,
            Self::One(value) => std::slice::from_ref(value),
        }
    }
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string.
    Text(String),
}

/// Field name to accepted values; all must hold.
pub(crate) type When = BTreeMap<String, OneOf>;

/// A price for a special case, or its refusal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceCase {
    /// When it counts.
    pub(crate) when: When,
    /// Units for one.
    pub(crate) units: Option<Decimal>,
    /// Instead of a price: why this is not sold.
    pub(crate) refuse: Option<String>,
    /// With `refuse`: the field to change.
    pub(crate) field: Option<String>,
    /// With `refuse`: values that are sold.
    #[serde(default)]
    pub(crate) choices: Vec<String>,
}

/// A model's limit on a field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldLimit {
    /// The field.
    pub(crate) field: String,
    /// When it counts; always without it.
    #[serde(default)]
    pub(crate) when: When,
    /// Smallest value.
    pub(crate) min: Option<i64>,
    /// Largest value.
    pub(crate) max: Option<i64>,
    /// The only values.
    pub(crate) choices: Option<Vec<Scalar>>,
}

/// One method and path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub(crate) method: String,
    /// Canonical path; `{name}` stands for one segment.
    pub(crate) path: String,
    /// What it does, for discovery.
    pub(crate) description: String,
    /// Media type of its answer.
    #[serde(default = "json_type")]
    pub(crate) mime_type: String,
    /// A request body for the documentation, JSON as text. It must have a price.
    pub(crate) example: Option<String>,
    /// How it is priced.
    pub(crate) price: Rule,
}

impl Endpoint {
    /// A path that the template matches: each `{name}` stands for itself.
    pub(crate) fn example_path(&self) -> String {
        self.path.replace(['{', '}'], "")
    }
}

fn json_type() -> String {
    "application/json".to_owned()
}

/// How an endpoint is priced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Rule {
    /// Served without payment.
    Free(FreeRule),
    /// A flat price, or a model's, with surcharges, factors and a count.
    Call(CallRule),
    /// A `requests` array of images and videos that add up.
    Generation(GenerationRule),
    /// Chat completions, prepaid from a reserve.
    Text(TextRule),
}

/// Served without payment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreeRule {}

/// A flat price, or a model's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallRule {
    /// Units for one call; not together with `model_field`.
    pub(crate) units: Option<Decimal>,
    /// Body field that names the model.
    pub(crate) model_field: Option<String>,
    /// Models sold here; all plain ones without it.
    pub(crate) models: Option<Vec<String>>,
    /// Model when the field is absent; without it the field is required.
    pub(crate) default_model: Option<String>,
    /// Integer field that multiplies the price; must be declared with `max` and `default`.
    pub(crate) count_field: Option<String>,
    /// Added to the price of one.
    #[serde(default)]
    pub(crate) surcharges: Vec<Surcharge>,
    /// Multiplied with the price of one, after the surcharges.
    #[serde(default)]
    pub(crate) factors: Vec<Factor>,
    /// Body fields. Others are refused.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, Field>,
    /// Query parameters. Others pass in a host of its own, and are refused by a gateway.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Field>,
    /// Body fields that are neither read nor priced.
    #[serde(default)]
    pub(crate) passthrough: Vec<String>,
}

/// Units added when a condition holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Surcharge {
    /// Name of the line.
    pub(crate) label: String,
    /// When it counts.
    pub(crate) when: When,
    /// Units for one.
    pub(crate) units: Decimal,
}

/// A factor that applies when a condition holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factor {
    /// When it counts.
    pub(crate) when: When,
    /// What the price of one is multiplied with.
    pub(crate) by: Decimal,
}

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of anything.
    Array,
    /// A table of anything.
    Object,
    /// An inline image, `data:image/png;base64,…`.
    DataUrl,
    /// A list of inline images.
    DataUrls,
}

/// A body field or query parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: FieldType,
    /// Whether a request without it is refused.
    #[serde(default)]
    pub(crate) required: bool,
    /// Its value when it is absent.
    pub(crate) default: Option<Scalar>,
    /// Other names of the same quantity; all that are present must agree.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    /// Smallest number.
    pub(crate) min: Option<i64>,
    /// Largest number.
    pub(crate) max: Option<i64>,
    /// The only values.
    pub(crate) choices: Option<Vec<Scalar>>,
    /// Longest string, or inline image as it is sent.
    pub(crate) bytes_max: Option<usize>,
    /// Most elements of a list.
    pub(crate) items_max: Option<usize>,
}

/// A `requests` array of images and videos.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerationRule {
    /// Most items in one request.
    pub(crate) items_max: Option<usize>,
    /// Top-level fields that are neither read nor priced.
    #[serde(default)]
    pub(crate) passthrough: Vec<String>,
    /// Item fields that are neither read nor priced.
    #[serde(default)]
    pub(crate) item_passthrough: Vec<String>,
    /// Query parameters. Others pass in a host of its own, and are refused by a gateway.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Field>,
}

/// Chat completions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextRule {
    /// Smallest reserve in units.
    pub(crate) reserve_units_min: Decimal,
    /// Smallest final charge in units.
    pub(crate) charge_units_min: Decimal,
    /// Output cap when the request names none.
    pub(crate) output_tokens_default: Option<u64>,
    /// Upper bound of the prompt tokens of one image.
    pub(crate) image_tokens: Option<u64>,
    /// Upper bounds of the prompt tokens of one `file`, `audio` or `video`; the model's whole
    /// context for what is not listed.
    #[serde(default)]
    pub(crate) media_tokens: BTreeMap<String, u64>,
    /// Most choices (`n`) of one request.
    pub(crate) choices_max: Option<u64>,
    /// Fields that are neither read nor priced.
    #[serde(default)]
    pub(crate) passthrough: Vec<String>,
    /// Query parameters. Others pass in a host of its own, and are refused by a gateway.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Field>,
}
