//! `requests: [...]` of images and videos: media rules first, then the price.

use bigdecimal::BigDecimal;
use quittance_protocol::{Json, JsonObject};

use super::bill::Bill;
use super::body::{self, present, refuse_unknown, text, truthy};
use super::file::{GenerationRule, ImageModel, Model};
use super::media::{self, IMAGE_SINGLES, Kind, check_aspect};
use super::refusal::{Fault, echo};
use super::{Catalogue, video};
use crate::{Body, Price, PriceRequest};

/// Most items of one request, unless the catalogue says less.
pub const ITEMS_MAX: usize = 16;

/// Longest prompt.
pub const PROMPT_BYTES_MAX: usize = 64 * 1024;

const TOP_FIELDS: [&str; 3] = ["client_request_id", "requests", "output_format"];
pub(super) const ITEM_FIELDS: [&str; 11] = [
    "id",
    "type",
    "model",
    "prompt",
    "negative_prompt",
    "aspect_ratio",
    "output_format",
    "seed",
    "metadata",
    "reference_assets",
    "client_request_id",
];
pub(super) const IMAGE_FIELDS: [&str; 14] = [
    "image_urls",
    "input_images",
    "input_image_urls",
    "image_url",
    "input_image_url",
    "input_image",
    "input_image_b64",
    "is_fast",
    "fast_mode",
    "is_uhd",
    "uhd_mode",
    "use_assistant",
    "prompt_assist",
    "use_prompt_assist",
];
/// One list of source images under three names.
const IMAGE_LISTS: [&str; 3] = ["image_urls", "input_images", "input_image_urls"];
const IMAGE_ASSETS: [&str; 5] = ["source_image", "image", "mask", "style_reference", "start_frame"];
pub(super) const OUTPUT_FORMATS: [&str; 4] = ["png", "jpeg", "jpg", "webp"];

impl Catalogue {
    pub(super) fn price_generation(
        &self,
        rule: &GenerationRule,
        request: &PriceRequest<'_>,
        body: &Body<'_>,
        mut bill: Bill<'_>,
    ) -> Result<Price, Fault> {
        let body = body::object(request, body)?;
        refuse_unknown(body, &[&TOP_FIELDS], &rule.passthrough)?;
        text(body, "client_request_id")?;
        check_output_format(body)?;
        let items_max = rule.items_max.unwrap_or(ITEMS_MAX);
        let items = match present(body, "requests") {
            None => return Err(Fault::missing("requests")),
            Some(Json::Array(items)) if items.is_empty() => {
                return Err(Fault::new(
                    "empty_requests",
                    "requests",
                    "`requests` must hold at least one item",
                ));
            }
            Some(Json::Array(items)) if items.len() > items_max => {
                let message =
                    format!("`requests` holds {} items; at most {items_max} are allowed", items.len());
                return Err(Fault::new("too_many_items", "requests", message));
            }
            Some(Json::Array(items)) => items,
            Some(_) => return Err(Fault::new("invalid_type", "requests", "`requests` must be an array")),
        };
        for (index, item) in items.iter().enumerate() {
            self.add_item(rule, item, &mut bill)
                .map_err(|fault| fault.within(&format!("requests[{index}]")))?;
        }
        bill.total(None)
    }

    fn add_item(&self, rule: &GenerationRule, item: &Json<'_>, bill: &mut Bill<'_>) -> Result<(), Fault> {
        let Json::Object(item) = item else {
            return Err(Fault::whole("invalid_type", "an item must be an object"));
        };
        let kind = text(item, "type")?.ok_or_else(|| Fault::missing("type").choices(["image", "video"]))?;
        if kind != "image" && kind != "video" {
            let message = format!("type `{}` is not sold here", echo(kind));
            return Err(Fault::new("unknown_type", "type", message).choices(["image", "video"]));
        }
        let name =
            text(item, "model")?.ok_or_else(|| Fault::missing("model").choices(self.model_names(kind)))?;
        match (self.models.get(name), kind) {
            (Some(Model::Image(model)), "image") => {
                refuse_unknown(item, &[&ITEM_FIELDS, &IMAGE_FIELDS], &rule.item_passthrough)?;
                check_common(item)?;
                let (mode, units) = price_image(item, name, model)?;
                let label = || mode.map_or_else(|| name.to_owned(), |mode| format!("{name} ({mode})"));
                bill.add(label, 1, units);
            }
            (Some(Model::Video(model)), "video") => {
                refuse_unknown(item, &[&ITEM_FIELDS, &video::FIELDS], &rule.item_passthrough)?;
                check_common(item)?;
                let (seconds, units) = video::price(item, model)?;
                bill.add(|| format!("{name}, {seconds} s"), 1, units);
            }
            (known, _) => return Err(self.wrong_model(name, kind, known.is_some(), "model")),
        }
        Ok(())
    }

    /// Unknown, or of another type than this place sells.
    pub(super) fn wrong_model(&self, name: &str, kind: &str, known: bool, field: &str) -> Fault {
        let (code, message) = if known {
            ("wrong_model_type", format!("`{}` is not a {kind} model", echo(name)))
        } else {
            ("unknown_model", format!("there is no model `{}`", echo(name)))
        };
        Fault::new(code, field, message).choices(self.model_names(kind))
    }

    /// Names of the models of one type, in alphabetical order.
    pub(super) fn model_names(&self, kind: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .models
            .iter()
            .filter(|(_, model)| model.kind() == kind)
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names
    }
}

impl Model {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Plain(_) => "plain",
        }
    }
}

fn check_common(item: &JsonObject<'_>) -> Result<(), Fault> {
    let prompt = text(item, "prompt")?.unwrap_or("");
    if prompt.trim().is_empty() {
        return Err(Fault::missing("prompt"));
    }
    for name in ["prompt", "negative_prompt"] {
        if text(item, name)?.is_some_and(|prompt| prompt.len() > PROMPT_BYTES_MAX) {
            let message = format!("`{name}` is longer than {PROMPT_BYTES_MAX} bytes");
            return Err(Fault::new("prompt_too_long", name, message));
        }
    }
    if present(item, "seed").is_some_and(|seed| body::whole(seed).is_none()) {
        return Err(Fault::new("invalid_type", "seed", "`seed` must be an integer"));
    }
    check_output_format(item)
}

fn check_output_format(map: &JsonObject<'_>) -> Result<(), Fault> {
    match text(map, "output_format")? {
        Some(format) if !OUTPUT_FORMATS.contains(&format) => {
            let message = format!("output format `{}` is not supported", echo(format));
            Err(Fault::new("unsupported_output_format", "output_format", message).choices(OUTPUT_FORMATS))
        }
        _ => Ok(()),
    }
}

/// The mode, if it is not the normal one, and the price.
fn price_image<'a>(
    item: &JsonObject<'_>,
    name: &str,
    model: &'a ImageModel,
) -> Result<(Option<&'static str>, &'a BigDecimal), Fault> {
    let images = count_images(item, model)?;
    check_aspect(item, &model.aspects, images > 0)?;
    let uhd = mode(item, "is_uhd", "uhd_mode")?;
    let fast = mode(item, "is_fast", "fast_mode")?;
    for assist in ["use_assistant", "prompt_assist", "use_prompt_assist"] {
        flag(item, assist)?;
    }
    // UHD takes precedence when both modes are asked for.
    match (uhd, fast) {
        (Some(field), _) => priced_mode(name, "uhd", field, model.uhd_units.as_ref().map(|d| &d.0)),
        (None, Some(field)) => priced_mode(name, "fast", field, model.fast_units.as_ref().map(|d| &d.0)),
        (None, None) => Ok((None, &model.units.0)),
    }
}

fn priced_mode<'a>(
    name: &str,
    mode: &'static str,
    field: &'static str,
    units: Option<&'a BigDecimal>,
) -> Result<(Option<&'static str>, &'a BigDecimal), Fault> {
    match units {
        Some(units) => Ok((Some(mode), units)),
        None => {
            let message = format!("{mode} mode is not sold for `{name}`; leave `{field}` out");
            Err(Fault::new("unsupported_mode", field, message).choices(["false"]))
        }
    }
}

fn flag(item: &JsonObject<'_>, name: &'static str) -> Result<Option<bool>, Fault> {
    match present(item, name) {
        None => Ok(None),
        Some(value) => truthy(value)
            .map(Some)
            .ok_or_else(|| Fault::new("invalid_type", name, format!("`{name}` must be true or false"))),
    }
}

/// Which of two names switches a mode on, if any; both must agree.
fn mode(
    item: &JsonObject<'_>,
    first: &'static str,
    second: &'static str,
) -> Result<Option<&'static str>, Fault> {
    match (flag(item, first)?, flag(item, second)?) {
        (Some(a), Some(b)) if a != b => Err(media::disagree(first, second)),
        (Some(true), _) => Ok(Some(first)),
        (_, Some(true)) => Ok(Some(second)),
        _ => Ok(None),
    }
}

fn count_images(item: &JsonObject<'_>, model: &ImageModel) -> Result<usize, Fault> {
    let list = media::list(item, &IMAGE_LISTS, Kind::Image)?;
    let single = media::single(item, &IMAGE_SINGLES)?;
    let assets = media::assets(item, &IMAGE_ASSETS, &[])?;
    // A single image that is also in the list is the same image.
    let extra = single.is_some_and(|image| !list.contains(&image));
    let count = list.len() + usize::from(extra) + assets.len();
    let field = if !list.is_empty() {
        IMAGE_LISTS.iter().find(|name| present(item, name).is_some())
    } else if extra {
        IMAGE_SINGLES.iter().find(|name| present(item, name).is_some())
    } else {
        None
    };
    let field = field.copied().unwrap_or("reference_assets");
    // One picture to start from is not a reference.
    let source = model.source_image && extra && count == 1;
    if count > model.images_max && !source {
        let message =
            format!("this model takes at most {} input images; {count} were sent", model.images_max);
        return Err(Fault::new("too_many_images", field, message));
    }
    if model.image_required && count == 0 {
        return Err(Fault::new("image_required", "image_urls", "this model needs at least one input image"));
    }
    Ok(count)
}
