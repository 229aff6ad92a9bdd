//! Inline and linked media, judged by their header: nothing is fetched and
//! nothing is decoded beyond the first bytes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use quittance_protocol::{Json, JsonObject};

use super::body::{present, text};
use super::refusal::{Fault, echo};

/// One source image under four names.
pub(super) const IMAGE_SINGLES: [&str; 4] =
    ["image_url", "input_image_url", "input_image", "input_image_b64"];
pub(super) const AUTO_ASPECT: &str = "auto";
const AUTO_DEFAULT: &str = "1:1";

/// Longest URL of a linked file.
const URL_BYTES_MAX: usize = 4_096;
/// Characters of base64 that are decoded to see what an image is: 48 bytes.
const HEADER_CHARS: usize = 64;
/// Fewest bytes any image has.
const IMAGE_BYTES_MIN: usize = 12;
/// Most elements of a media list; above any model's limit.
const MEDIA_ITEMS_MAX: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a media string may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Audio,
    Video,
    /// Any type.
    File,
}

/// Checks one media value: an HTTPS URL, a data URL, or (images) raw base64.
pub(super) fn check(value: &Json<'_>, kind: Kind, field: &str) -> Result<(), Fault> {
    let Json::String(text) = value else {
        return Err(Fault::new("invalid_type", field, format!("`{field}` must be a string")));
    };
    if is_scheme(text, "https:") {
        return check_url(text, field);
    }
    if is_scheme(text, "data:") {
        return check_data_url(text, kind, field);
    }
    if text.contains("://") || kind != Kind::Image {
        let message = format!("`{field}` must be an HTTPS URL or a base64 data URL");
        return Err(Fault::new("invalid_media", field, message).choices(["https://…", "data:…;base64,…"]));
    }
    check_image_header(text, field)
}

fn is_scheme(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
}

fn check_url(url: &str, field: &str) -> Result<(), Fault> {
    let host = url.get("https:".len()..).and_then(|rest| rest.strip_prefix("//")).unwrap_or("");
    let plain = url.len() <= URL_BYTES_MAX && url.bytes().all(|b| b.is_ascii_graphic());
    if plain && host.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[') {
        return Ok(());
    }
    Err(Fault::new("invalid_media", field, format!("`{field}` is not a usable HTTPS URL")))
}

/// Checks `data:image/…;base64,…` by its header.
pub(super) fn check_data_url(url: &str, kind: Kind, field: &str) -> Result<(), Fault> {
    let bad = |message: &str| Fault::new("invalid_media", field, format!("`{field}`: {message}"));
    let (head, data) = url.split_once(',').ok_or_else(|| bad("a data URL needs a comma before its data"))?;
    let media_type = head.get("data:".len()..).unwrap_or("");
    let media_type =
        match media_type.len().checked_sub(";base64".len()).map(|at| media_type.split_at_checked(at)) {
            Some(Some((media_type, tail))) if tail.eq_ignore_ascii_case(";base64") => media_type,
            _ => return Err(bad("a data URL must be base64, such as data:image/png;base64,…")),
        };
    let wanted = match kind {
        Kind::Image => "image/",
        Kind::Audio => "audio/",
        Kind::Video => "video/",
        Kind::File => "",
    };
    if !is_scheme(media_type, wanted) {
        return Err(bad(&format!("a data URL of type {wanted}… is needed here")));
    }
    match kind {
        Kind::Image => check_image_header(data, field),
        _ if data.is_empty() => Err(bad("the data is empty")),
        _ => Ok(()),
    }
}

/// Decodes the first bytes and looks for an image format's signature.
fn check_image_header(data: &str, field: &str) -> Result<(), Fault> {
    let corrupt = || {
        let message = format!("`{field}` is neither an HTTPS URL nor a readable base64 image");
        Fault::new("invalid_media", field, message).choices(["png", "jpeg", "webp", "gif"])
    };
    let bytes = data.as_bytes();
    let head = bytes.get(..HEADER_CHARS).unwrap_or(bytes);
    let header = BASE64.decode(head).map_err(|_| corrupt())?;
    if header.len() >= IMAGE_BYTES_MIN && is_image(&header) { Ok(()) } else { Err(corrupt()) }
}

fn is_image(header: &[u8]) -> bool {
    let nonzero = |range: std::ops::Range<usize>| {
        header.get(range).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    };
    if header.starts_with(b"\x89PNG\r\n\x1a\n") {
        return header.get(12..16) == Some(b"IHDR") && nonzero(16..20) && nonzero(20..24);
    }
    if header.starts_with(b"GIF87a") || header.starts_with(b"GIF89a") {
        return nonzero(6..8) && nonzero(8..10);
    }
    if header.starts_with(b"RIFF") {
        return header.get(8..12) == Some(b"WEBP");
    }
    header.starts_with(&[0xff, 0xd8, 0xff])
}

/// The elements of one list under several names, all of which must agree.
/// A single string counts as a list of one.
pub(super) fn list<'a>(
    map: &'a JsonObject<'a>,
    names: &[&str],
    kind: Kind,
) -> Result<Vec<&'a Json<'a>>, Fault> {
    let mut found: Option<(&str, Vec<&Json<'_>>)> = None;
    for name in names {
        let Some(value) = present(map, name) else { continue };
        let items = match value {
            Json::Array(items) if items.len() > MEDIA_ITEMS_MAX => {
                let message = format!("`{name}` holds more than {MEDIA_ITEMS_MAX} elements");
                return Err(Fault::new("too_many_media", *name, message));
            }
            Json::Array(items) => items.iter().collect(),
            single => vec![single],
        };
        for item in &items {
            check(item, kind, name)?;
        }
        match &found {
            Some((first, known)) if *known != items => return Err(disagree(first, name)),
            Some(_) => {}
            None => found = Some((name, items)),
        }
    }
    Ok(found.map(|(_, items)| items).unwrap_or_default())
}

/// One image under several names, all of which must agree.
pub(super) fn single<'a>(map: &'a JsonObject<'a>, names: &[&str]) -> Result<Option<&'a Json<'a>>, Fault> {
    let mut found: Option<(&str, &Json<'_>)> = None;
    for name in names {
        let Some(value) = present(map, name) else { continue };
        check(value, Kind::Image, name)?;
        match found {
            Some((first, known)) if known != value => return Err(disagree(first, name)),
            Some(_) => {}
            None => found = Some((name, value)),
        }
    }
    Ok(found.map(|(_, value)| value))
}

pub(super) fn disagree(first: &str, second: &str) -> Fault {
    let message = format!("`{first}` and `{second}` mean the same and must agree; send one of them");
    Fault::new("conflicting_fields", second, message)
}

/// One element of `reference_assets`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asset<'a> {
    pub(super) kind: &'a str,
    pub(super) value: &'a Json<'a>,
}

const ASSET_FIELDS: [&str; 6] = ["kind", "url", "base64_data", "id", "label", "mime_type"];

/// The elements of `reference_assets`, whose kind must be in `images` or `audio`.
pub(super) fn assets<'a>(
    map: &'a JsonObject<'a>,
    images: &[&str],
    audio: &[&str],
) -> Result<Vec<Asset<'a>>, Fault> {
    const FIELD: &str = "reference_assets";
    let items = match present(map, FIELD) {
        None => return Ok(Vec::new()),
        Some(Json::Array(items)) if items.len() <= MEDIA_ITEMS_MAX => items,
        Some(Json::Array(_)) => {
            let message = format!("`{FIELD}` holds more than {MEDIA_ITEMS_MAX} elements");
            return Err(Fault::new("too_many_media", FIELD, message));
        }
        Some(_) => return Err(Fault::new("invalid_type", FIELD, format!("`{FIELD}` must be an array"))),
    };
    let mut assets = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        assets.push(asset(item, images, audio).map_err(|fault| fault.within(&format!("{FIELD}[{index}]")))?);
    }
    Ok(assets)
}

fn asset<'a>(item: &'a Json<'a>, images: &[&str], audio: &[&str]) -> Result<Asset<'a>, Fault> {
    let Json::Object(map) = item else {
        return Err(Fault::whole("invalid_type", "an asset must be an object"));
    };
    super::body::refuse_unknown(map, &[&ASSET_FIELDS], &[])?;
    let kind = text(map, "kind")?.ok_or_else(|| Fault::missing("kind"))?;
    let media = if images.contains(&kind) {
        Kind::Image
    } else if audio.contains(&kind) {
        Kind::Audio
    } else {
        let message = format!("asset kind `{}` is not usable here", echo(kind));
        return Err(Fault::new("unsupported_asset", "kind", message).choices(images.iter().chain(audio)));
    };
    let (field, value) = match (present(map, "url"), present(map, "base64_data")) {
        (Some(url), None) => ("url", url),
        (None, Some(data)) => ("base64_data", data),
        (None, None) => return Err(Fault::missing("url")),
        (Some(_), Some(_)) => {
            return Err(Fault::new(
                "conflicting_fields",
                "base64_data",
                "send `url` or `base64_data`, not both",
            ));
        }
    };
    let raw_audio =
        media == Kind::Audio && field == "base64_data" && value.as_str().is_some_and(|s| !s.is_empty());
    if !raw_audio {
        check(value, media, field)?;
    }
    Ok(Asset { kind, value })
}

/// `auto` picks a supported ratio from the first image input; with none it is 1:1.
pub(super) fn check_aspect(item: &JsonObject<'_>, aspects: &[String], has_image: bool) -> Result<(), Fault> {
    const FIELD: &str = "aspect_ratio";
    let aspect = text(item, FIELD)?.ok_or_else(|| Fault::missing(FIELD).choices(aspects))?;
    let supported = if aspect.eq_ignore_ascii_case(AUTO_ASPECT) {
        has_image || aspects.iter().any(|known| known == AUTO_DEFAULT)
    } else {
        aspects.iter().any(|known| known == aspect)
    };
    if supported {
        return Ok(());
    }
    let message = format!("this model does not support aspect ratio `{}`", echo(aspect));
    Err(Fault::new("unsupported_aspect_ratio", FIELD, message).choices(aspects))
}
