//! What a generation request asks for, read as this host understands it.

use quittance_protocol::{Json, JsonObject};

use crate::error::ApiError;
use crate::media::{self, Detail, FILM_SECONDS_MAX};

/// Most items in one request, so that its answer can be kept for replay.
pub const ITEMS_MAX: usize = 8;
/// How long `wait=true` waits when no time is given.
const WAIT_SECONDS: u64 = 60;
/// Longest wait.
const WAIT_SECONDS_MAX: u64 = 120;
/// What `num_frames` counts in, as the catalogue reads it.
const FRAMES_PER_SECOND: u64 = 16;

/// Whether the answer waits for the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// At once, with status `accepted`.
    No,
    /// For at most so long.
    Seconds(u64),
}

impl Wait {
    /// Reads `wait` and `wait_timeout_seconds` from a query; other parameters are ignored.
    ///
    /// # Errors
    /// 400 for values that are neither.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let (mut wait, mut seconds) = (false, WAIT_SECONDS);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (name, value) {
                ("wait", "true" | "1") => wait = true,
                ("wait", "false" | "0") => wait = false,
                ("wait", _) => {
                    return Err(ApiError::bad_request("invalid_wait", "wait is true or false")
                        .at("wait")
                        .choices(&["true", "false"]));
                }
                ("wait_timeout_seconds", _) => {
                    seconds = value
                        .parse()
                        .ok()
                        .filter(|s| *s <= WAIT_SECONDS_MAX)
                        .ok_or_else(|| too_long().at("wait_timeout_seconds"))?;
                }
                _ => {}
            }
        }
        Ok(if wait { Self::Seconds(seconds) } else { Self::No })
    }
}

fn too_long() -> ApiError {
    ApiError::bad_request("invalid_wait", format!("wait_timeout_seconds is 0 to {WAIT_SECONDS_MAX}"))
}

/// A whole generation request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The caller's own label.
    pub client_request_id: Option<String>,
    /// What to make, in order.
    pub items: Vec<Item>,
}

/// One thing to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The caller's own label.
    pub id: Option<String>,
    /// Public model name.
    pub model: String,
    /// What to draw.
    pub prompt: String,
    /// Everything else that varies the drawing: seed, negative prompt, references.
    pub seed: String,
    /// `W:H`.
    pub aspect: String,
    /// Image or film.
    pub make: Make,
}

/// The kind of a thing to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A PNG.
    Image {
        /// How finely.
        detail: Detail,
    },
    /// A GIF.
    Video {
        /// How long.
        seconds: u32,
    },
}

impl Order {
    /// Reads a request that the catalogue has a price for, and refuses what this
    /// host cannot make of it.
    ///
    /// # Errors
    /// 400, naming the field.
    pub fn read(body: &Json<'_>) -> Result<Self, ApiError> {
        let (top, requests) = parts(body)?;
        let client_request_id = top.get("client_request_id").and_then(Json::as_str).map(str::to_owned);
        let items = requests.iter().enumerate().map(|(nth, item)| Draft::read(nth, item).map(Item::from));
        Ok(Self { client_request_id, items: items.collect::<Result<_, _>>()? })
    }

    /// Whether [`Self::read`] would succeed, without a copy of anything.
    ///
    /// # Errors
    /// The same.
    pub fn check(body: &Json<'_>) -> Result<(), ApiError> {
        let (_, requests) = parts(body)?;
        requests.iter().enumerate().try_for_each(|(nth, item)| Draft::read(nth, item).map(|_| ()))
    }
}

/// The members of a request, and its items.
fn parts<'a>(body: &'a Json<'a>) -> Result<(&'a JsonObject<'a>, &'a [Json<'a>]), ApiError> {
    let top = object(body, || "the body".to_owned())?;
    format(top, || "output_format".to_owned())?;
    let requests = top.get("requests").and_then(Json::as_array);
    let requests = requests.filter(|items| !items.is_empty()).ok_or_else(|| {
        ApiError::bad_request("missing_field", "requests is a list of items").at("requests")
    })?;
    if requests.len() > ITEMS_MAX {
        let message = format!("at most {ITEMS_MAX} items in one request; send several requests");
        return Err(ApiError::bad_request("too_many_items", message).at("requests"));
    }
    Ok((top, requests))
}

/// An [`Item`] that still stands in the body.
struct Draft<'a> {
    item: &'a JsonObject<'a>,
    model: &'a str,
    prompt: &'a str,
    aspect: &'a str,
    make: Make,
}

impl From<Draft<'_>> for Item {
    fn from(draft: Draft<'_>) -> Self {
        Self {
            id: draft.item.get("id").and_then(Json::as_str).map(str::to_owned),
            model: draft.model.to_owned(),
            prompt: draft.prompt.to_owned(),
            seed: variation(draft.item),
            aspect: draft.aspect.to_owned(),
            make: draft.make,
        }
    }
}

impl<'a> Draft<'a> {
    fn read(nth: usize, item: &'a Json<'a>) -> Result<Self, ApiError> {
        let place = |name: &str| format!("requests[{nth}].{name}");
        let item = object(item, || format!("requests[{nth}]"))?;
        let text = |name: &str| {
            item.get(name).and_then(Json::as_str).ok_or_else(|| {
                ApiError::bad_request("missing_field", format!("{name} is missing or not text"))
                    .at(place(name))
            })
        };
        for size in ["width", "height"] {
            if item.get(size).is_some_and(|value| !value.is_null()) {
                let message = "sizes follow from aspect_ratio and the resolution mode; leave this field out";
                return Err(ApiError::bad_request("unsupported_field", message).at(place(size)));
            }
        }
        let kind = text("type")?;
        let make = match kind {
            "image" => {
                format(item, || place("output_format"))?;
                Make::Image { detail: detail(item) }
            }
            "video" => Make::Video { seconds: seconds(item, nth)? },
            _ => {
                return Err(ApiError::bad_request("invalid_type", "type is image or video")
                    .at(place("type"))
                    .choices(&["image", "video"]));
            }
        };
        let aspect = aspect(item);
        media::size(aspect, Detail::Normal.side()).map_err(|error| {
            ApiError::bad_request("invalid_aspect_ratio", error.to_string()).at(place("aspect_ratio"))
        })?;
        Ok(Self { item, model: text("model")?, prompt: text("prompt")?, aspect, make })
    }
}

fn object<'a>(value: &'a Json<'a>, what: impl Fn() -> String) -> Result<&'a JsonObject<'a>, ApiError> {
    value.as_object().ok_or_else(|| {
        let what = what();
        ApiError::bad_request("invalid_body", format!("{what} is a JSON object")).at(what)
    })
}

/// This host writes PNG only; a caller who needs another format must not pay for one.
fn format(fields: &JsonObject<'_>, place: impl Fn() -> String) -> Result<(), ApiError> {
    match fields.get("output_format") {
        None | Some(Json::Null) => Ok(()),
        Some(Json::String(format)) if format.eq_ignore_ascii_case("png") => Ok(()),
        Some(_) => Err(ApiError::bad_request("unsupported_output_format", "this host makes PNG images only")
            .at(place())
            .choices(&["png"])),
    }
}

/// Nothing is fetched or decoded here, so `auto` is what it is without an image.
fn aspect<'a>(item: &'a JsonObject<'a>) -> &'a str {
    match item.get("aspect_ratio").and_then(Json::as_str) {
        None => "1:1",
        Some(text) if text.trim().eq_ignore_ascii_case("auto") => "1:1",
        Some(text) => text.trim(),
    }
}

fn detail(item: &JsonObject<'_>) -> Detail {
    let set = |names: [&str; 2]| names.iter().any(|name| item.get(name).is_some_and(truthy));
    if set(["is_uhd", "uhd_mode"]) {
        Detail::Uhd
    } else if set(["is_fast", "fast_mode"]) {
        Detail::Fast
    } else {
        Detail::Normal
    }
}

/// `true` in all the spellings that switch a mode on for the catalogue, which refuses
/// what is neither yes nor no.
fn truthy(value: &Json<'_>) -> bool {
    match value {
        Json::Bool(set) => *set,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !["", "0", "false", "no", "off"].iter().any(|no| text.eq_ignore_ascii_case(no)),
        _ => false,
    }
}

/// The duration under any of its names. The catalogue has already refused
/// names that disagree and durations the model does not sell.
fn seconds(item: &JsonObject<'_>, nth: usize) -> Result<u32, ApiError> {
    let field = ["duration_seconds", "seconds", "duration", "num_frames"]
        .into_iter()
        .find_map(|name| item.get(name).filter(|value| !value.is_null()).map(|value| (name, value)));
    let Some((name, value)) = field else {
        return Err(ApiError::bad_request("missing_field", "a film needs its length in seconds")
            .at(format!("requests[{nth}].duration_seconds")));
    };
    let seconds = match value {
        Json::Number(number) => number.as_u64(),
        Json::String(text) => {
            let digits = text.strip_suffix('s').unwrap_or(text);
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        }
        _ => None,
    };
    let seconds = if name == "num_frames" {
        // One frame more than the catalogue's frames a second times the length.
        seconds.and_then(|frames| frames.checked_sub(1)).map(|frames| frames / FRAMES_PER_SECOND)
    } else {
        seconds
    };
    seconds.and_then(|s| u32::try_from(s).ok()).filter(|s| (1..=FILM_SECONDS_MAX).contains(s)).ok_or_else(
        || {
            let message = format!("a film lasts 1 to {FILM_SECONDS_MAX} whole seconds");
            ApiError::bad_request("invalid_duration", message).at(format!("requests[{nth}].{name}"))
        },
    )
}

/// Everything else in the item varies the drawing. References do so as text:
/// nothing is fetched.
fn variation(item: &JsonObject<'_>) -> String {
    const READ_ELSEWHERE: [&str; 17] = [
        "id",
        "type",
        "model",
        "prompt",
        "aspect_ratio",
        "output_format",
        "metadata",
        "width",
        "height",
        "duration_seconds",
        "seconds",
        "duration",
        "num_frames",
        "is_fast",
        "fast_mode",
        "is_uhd",
        "uhd_mode",
    ];
    let mut rest: Vec<(&str, &Json<'_>)> =
        item.iter().filter(|(name, value)| !value.is_null() && !READ_ELSEWHERE.contains(name)).collect();
    rest.sort_by_key(|(name, _)| *name);
    rest.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}
