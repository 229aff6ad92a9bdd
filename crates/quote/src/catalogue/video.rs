//! Videos: duration under four names, frames, references, audio and the
//! rules between them.

use bigdecimal::BigDecimal;
use quittance_protocol::{Json, JsonObject};

use super::body::{present, refuse_unknown, whole};
use super::file::{Frame, MediaRule, VideoModel};
use super::media::{self, IMAGE_SINGLES, Kind, check_aspect};
use super::refusal::Fault;

/// Frames a second, and the one that closes the last: `num_frames` = 16 × seconds + 1.
const FRAMES_PER_SECOND: i64 = 16;
/// Most audio references of any model.
const AUDIO_MAX: usize = 4;

/// The duration's names, in the order of preference.
const DURATIONS: [&str; 4] = ["duration_seconds", "seconds", "duration", "num_frames"];

pub(super) const FIELDS: [&str; 10] = [
    "duration_seconds",
    "seconds",
    "duration",
    "num_frames",
    "video_image_data",
    "reference_image_urls",
    "image_url",
    "input_image_url",
    "input_image",
    "input_image_b64",
];
const MEDIA_FIELDS: [&str; 5] = [
    "first_frame_image_url",
    "mid_frame_image_url",
    "last_frame_image_url",
    "reference_image_urls",
    "audio_input_urls",
];
const REFERENCE_ASSETS: [&str; 3] = ["reference_image", "style_reference", "image"];
const AUDIO_ASSETS: [&str; 4] = ["audio", "source_audio", "reference_audio", "audio_reference"];

/// Seconds and price.
pub(super) fn price<'a>(
    item: &JsonObject<'_>,
    model: &'a VideoModel,
) -> Result<(i64, &'a BigDecimal), Fault> {
    let (field, seconds) = duration(item, model)?;
    let inputs = Inputs::read(item)?;
    inputs.check_support(model)?;
    inputs.check_rules(model)?;
    check_aspect(item, &model.aspects, inputs.first || inputs.references > 0)?;
    let priced = model.durations.iter().find(|known| i64::try_from(known.seconds) == Ok(seconds));
    match priced {
        Some(known) => Ok((seconds, &known.units.0)),
        None => {
            let message = format!("this model does not make videos of {seconds} seconds");
            Err(Fault::new("unsupported_duration", field, message).choices(lengths(model)))
        }
    }
}

fn lengths(model: &VideoModel) -> impl Iterator<Item = u64> {
    model.durations.iter().map(|known| known.seconds)
}

/// The duration in seconds. Every name that is present must say the same:
/// the host may read another one than we do.
fn duration(item: &JsonObject<'_>, model: &VideoModel) -> Result<(&'static str, i64), Fault> {
    let mut found: Option<(&'static str, i64)> = None;
    for name in DURATIONS {
        let Some(value) = present(item, name) else { continue };
        let seconds = match name {
            "num_frames" => frames_to_seconds(value),
            _ => seconds(value),
        };
        let Some(seconds) = seconds else {
            let message = format!("`{name}` is not a duration this model makes");
            return Err(Fault::new("unsupported_duration", name, message).choices(lengths(model)));
        };
        match found {
            Some((first, known)) if known != seconds => return Err(media::disagree(first, name)),
            Some(_) => {}
            None => found = Some((name, seconds)),
        }
    }
    found.ok_or_else(|| Fault::missing("duration_seconds").choices(lengths(model)))
}

/// `5`, `"5"` or `"5s"`.
fn seconds(value: &Json<'_>) -> Option<i64> {
    let Json::String(text) = value else { return whole(value) };
    let digits = text.strip_suffix('s').unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn frames_to_seconds(value: &Json<'_>) -> Option<i64> {
    let between = whole(value)?.checked_sub(1)?;
    (between > 0 && between % FRAMES_PER_SECOND == 0).then_some(between / FRAMES_PER_SECOND)
}

/// What a video is conditioned on.
struct Inputs {
    first: bool,
    mid: bool,
    last: bool,
    references: usize,
    audio: usize,
}

impl Inputs {
    fn read(item: &JsonObject<'_>) -> Result<Self, Fault> {
        let empty = JsonObject::default();
        let slots = match present(item, "video_image_data") {
            None => &empty,
            Some(Json::Object(slots)) => slots,
            Some(_) => {
                let message = "`video_image_data` must be an object";
                return Err(Fault::new("invalid_type", "video_image_data", message));
            }
        };
        let inside = |fault: Fault| fault.within("video_image_data");
        refuse_unknown(slots, &[&MEDIA_FIELDS], &[]).map_err(inside)?;
        let frame = |name: &str| media::single(slots, &[name]).map_err(inside);
        let first = frame("first_frame_image_url")?;
        let compatible = media::single(item, &IMAGE_SINGLES)?;
        if let (Some(a), Some(b)) = (first, compatible)
            && a != b
        {
            let name =
                IMAGE_SINGLES.into_iter().find(|name| present(item, name).is_some()).unwrap_or("image_url");
            return Err(media::disagree("video_image_data.first_frame_image_url", name));
        }
        let references = media::list(slots, &["reference_image_urls"], Kind::Image).map_err(inside)?;
        let top = media::list(item, &["reference_image_urls"], Kind::Image)?;
        if !top.is_empty() && !references.is_empty() && top != references {
            return Err(media::disagree("video_image_data.reference_image_urls", "reference_image_urls"));
        }
        let audio = media::list(slots, &["audio_input_urls"], Kind::Audio).map_err(inside)?;
        let assets = media::assets(item, &REFERENCE_ASSETS, &AUDIO_ASSETS)?;
        let (reference_assets, audio_assets): (Vec<_>, Vec<_>) =
            assets.into_iter().partition(|asset| REFERENCE_ASSETS.contains(&asset.kind));
        // The same file named in both places is one file.
        let added = |known: &[&Json<'_>], assets: &[media::Asset<'_>]| {
            assets.iter().filter(|asset| !known.contains(&asset.value)).count()
        };
        let images = if references.is_empty() { top } else { references };
        Ok(Self {
            first: first.is_some() || compatible.is_some(),
            mid: frame("mid_frame_image_url")?.is_some(),
            last: frame("last_frame_image_url")?.is_some(),
            references: images.len() + added(&images, &reference_assets),
            audio: audio.len() + added(&audio, &audio_assets),
        })
    }

    fn check_support(&self, model: &VideoModel) -> Result<(), Fault> {
        let frames = [
            (self.first, Frame::First, "video_image_data.first_frame_image_url", "first"),
            (self.mid, Frame::Mid, "video_image_data.mid_frame_image_url", "mid"),
            (self.last, Frame::Last, "video_image_data.last_frame_image_url", "last"),
        ];
        for (sent, frame, field, word) in frames {
            if sent && !model.frames.contains(&frame) {
                let message = format!("this model takes no {word} frame");
                return Err(Fault::new("unsupported_frame", field, message));
            }
        }
        if self.references > model.references_max {
            let max = model.references_max;
            let message =
                format!("this model takes at most {max} reference images; {} were sent", self.references);
            return Err(Fault::new("too_many_images", "video_image_data.reference_image_urls", message));
        }
        let audio_max = model.audio_max.min(AUDIO_MAX);
        if self.audio > audio_max {
            let (code, message) = if audio_max == 0 {
                ("unsupported_audio", "this model takes no audio input".to_owned())
            } else {
                ("too_many_audio", format!("this model takes at most {audio_max} audio files"))
            };
            return Err(Fault::new(code, "video_image_data.audio_input_urls", message));
        }
        if model.first_frame_required && !self.first {
            let message = "this model needs a first frame image";
            return Err(Fault::new("image_required", "video_image_data.first_frame_image_url", message));
        }
        Ok(())
    }

    fn check_rules(&self, model: &VideoModel) -> Result<(), Fault> {
        let (references, audio) = (self.references > 0, self.audio > 0);
        for rule in &model.rules {
            let (broken, field, name, message) = match rule {
                // How long audio is cannot be known without fetching it; the host refuses after payment.
                MediaRule::Audio15sMax
                | MediaRule::AudioDrivesDuration
                | MediaRule::ReferenceIsVoiceTimbre => continue,
                MediaRule::AudioFfOnly => (
                    audio && (!self.first || self.mid || self.last || references),
                    "audio_input_urls",
                    "audio_ff_only",
                    "audio can only be combined with a first frame, and needs one",
                ),
                MediaRule::AudioNeedsReferenceImage => (
                    audio && !references,
                    "audio_input_urls",
                    "audio_needs_reference_image",
                    "audio needs at least one reference image",
                ),
                MediaRule::AudioOrFflfExclusive => (
                    audio && (self.first || self.last),
                    "audio_input_urls",
                    "audio_or_fflf_exclusive",
                    "audio cannot be combined with a first or last frame",
                ),
                MediaRule::LfNeedsFf => (
                    self.last && !self.first,
                    "last_frame_image_url",
                    "lf_needs_ff",
                    "a last frame needs a first frame",
                ),
                MediaRule::ReferenceFfOnly => (
                    references && self.last,
                    "reference_image_urls",
                    "reference_ff_only",
                    "reference images cannot be combined with a last frame",
                ),
                MediaRule::ReferenceNoFfOrLf => (
                    references && (self.first || self.last),
                    "reference_image_urls",
                    "reference_no_ff_or_lf",
                    "reference images cannot be combined with a first or last frame",
                ),
            };
            if broken {
                let message = format!("{message} (rule {name})");
                return Err(Fault::new("media_rule", format!("video_image_data.{field}"), message));
            }
        }
        Ok(())
    }
}
