//! Chat completions: a reserve that covers the largest answer asked for.

use std::sync::Arc;

use bigdecimal::rounding::RoundingMode;
use bigdecimal::{BigDecimal, ToPrimitive as _};
use quittance_protocol::{Json, JsonObject};

use super::Catalogue;
use super::bill::Bill;
use super::body::{self, present, refuse_unknown, text, whole};
use super::file::{Model, TextModel, TextRule};
use super::media::{self, Kind};
use super::refusal::{Fault, echo};
use super::tokens::Texts;
use crate::decimal::plain;
use crate::reserve::{TextRates, tenth_up};
use crate::{Body, Price, PriceRequest, TextReserve};

/// Most messages of one request.
pub const MESSAGES_MAX: usize = 1_024;
/// Most content parts of one message.
const PARTS_MAX: usize = 256;
/// Most choices (`n`) of one request, unless the catalogue says less.
pub const COUNT_MAX: u64 = 8;
/// Output cap when a request names none.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;
/// Upper bound of one image's prompt tokens, unless the catalogue says otherwise.
pub const IMAGE_TOKENS_DEFAULT: u64 = 4_096;
/// Tokens that frame one message.
const MESSAGE_TOKENS: u64 = 4;
/// Tokens that frame the whole prompt.
const PROMPT_TOKENS: u64 = 3;
/// Tokens of brackets, quotes and commas around one JSON value.
const VALUE_TOKENS: u64 = 3;
/// Upper bound of a JSON number's tokens; spellings of one number differ.
const NUMBER_TOKENS: u64 = 24;

pub(super) const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
pub(super) const FIELDS: [&str; 13] = [
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
];
/// Fields that become part of the prompt.
const PROMPT_FIELDS: [&str; 5] = ["tools", "tool_choice", "functions", "function_call", "response_format"];

impl Catalogue {
    pub(super) fn price_text(
        &self,
        rule: &TextRule,
        request: &PriceRequest<'_>,
        body: &Body<'_>,
        mut bill: Bill<'_>,
    ) -> Result<Price, Fault> {
        let body = body::object(request, body)?;
        refuse_unknown(body, &[&FIELDS], &rule.passthrough)?;
        let name =
            text(body, "model")?.ok_or_else(|| Fault::missing("model").choices(self.model_names("text")))?;
        let model = match self.models.get(name) {
            Some(Model::Text(model)) => model,
            known => return Err(self.wrong_model(name, "text", known.is_some(), "model")),
        };
        check_stream(body)?;
        let output_tokens_max = output_cap(rule, model, body)?;
        let count = choice_count(rule, body)?;
        let prompt = Prompt::read(rule, model, body)?;
        let (prompt_tokens, counted) = prompt.tokens(model);
        let output_tokens = output_tokens_max.saturating_mul(count);
        let rates = rates(&self.usd_per_unit, rule, model);
        let cost = rates.cost(prompt_tokens, output_tokens);
        let units = tenth_up(&cost).max(tenth_up(&rule.reserve_units_min.0));
        let reserve = TextReserve {
            model: name.to_owned(),
            units: plain(&units),
            output_tokens_max,
            output_tokens,
            prompt_tokens,
            counted,
            rates: Arc::new(rates),
        };
        let label =
            || format!("{name}: reserve for {prompt_tokens} prompt and {output_tokens} output tokens");
        bill.add(label, 1, &units);
        bill.total(Some(reserve))
    }
}

fn rates(usd_per_unit: &BigDecimal, rule: &TextRule, model: &TextModel) -> TextRates {
    TextRates {
        usd_per_unit: usd_per_unit.clone(),
        input_units_per_million: model.input_units_per_million.0.clone(),
        output_units_per_million: model.output_units_per_million.0.clone(),
        charge_units_min: rule.charge_units_min.0.clone(),
    }
}

/// `tokens` times `factor`, rounded up.
fn times_up(tokens: u64, factor: &BigDecimal) -> u64 {
    let scaled = (BigDecimal::from(tokens) * factor).with_scale_round(0, RoundingMode::Ceiling);
    scaled.to_u64().unwrap_or(u64::MAX)
}

fn check_stream(body: &JsonObject<'_>) -> Result<(), Fault> {
    if present(body, "stream").is_some_and(|value| !matches!(value, Json::Bool(_))) {
        return Err(Fault::new("invalid_type", "stream", "`stream` must be true or false"));
    }
    if present(body, "stream_options").is_some_and(|value| !matches!(value, Json::Object(_))) {
        return Err(Fault::new("invalid_type", "stream_options", "`stream_options` must be an object"));
    }
    Ok(())
}

/// The largest of the caps: the host may read any of them. What a model thinks is output
/// too, so a budget for it is a cap like the others.
fn output_cap(rule: &TextRule, model: &TextModel, body: &JsonObject<'_>) -> Result<u64, Fault> {
    let limit = model.output_tokens_max.unwrap_or(model.context_tokens);
    let mut cap = None;
    for name in ["max_tokens", "max_completion_tokens", "reasoning.max_tokens"] {
        let value = match name.split_once('.') {
            None => present(body, name),
            Some((outer, inner)) => {
                present(body, outer).and_then(Json::as_object).and_then(|map| present(map, inner))
            }
        };
        let Some(value) = value else { continue };
        let tokens = whole(value).and_then(|tokens| u64::try_from(tokens).ok());
        match tokens {
            Some(tokens) if (1..=limit).contains(&tokens) => cap = cap.max(Some(tokens)),
            _ => {
                let message = format!("`{name}` must be an integer from 1 to {limit} with this model");
                return Err(Fault::new("out_of_range", name, message).choices([format!("from 1 to {limit}")]));
            }
        }
    }
    Ok(cap.unwrap_or_else(|| rule.output_tokens_default.unwrap_or(OUTPUT_TOKENS_DEFAULT).min(limit)))
}

/// Each choice is an answer of its own.
fn choice_count(rule: &TextRule, body: &JsonObject<'_>) -> Result<u64, Fault> {
    let Some(value) = present(body, "n") else { return Ok(1) };
    let max = rule.choices_max.unwrap_or(COUNT_MAX);
    match whole(value).and_then(|count| u64::try_from(count).ok()) {
        Some(count) if (1..=max).contains(&count) => Ok(count),
        _ => {
            let message = format!("`n` must be an integer from 1 to {max}");
            Err(Fault::new("out_of_range", "n", message).choices([format!("from 1 to {max}")]))
        }
    }
}

/// Everything that reaches the model before it answers.
struct Prompt<'a> {
    rule: &'a TextRule,
    model: &'a TextModel,
    texts: Texts<'a>,
    /// Tokens that no text shows: message frames, JSON punctuation, images.
    framing: u64,
    image_tokens: u64,
    takes_images: bool,
}

impl<'a> Prompt<'a> {
    fn read(rule: &'a TextRule, model: &'a TextModel, body: &'a JsonObject<'a>) -> Result<Self, Fault> {
        let mut prompt = Self {
            rule,
            model,
            texts: Texts::default(),
            framing: PROMPT_TOKENS,
            image_tokens: rule.image_tokens.unwrap_or(IMAGE_TOKENS_DEFAULT),
            takes_images: model_takes(model, "image"),
        };
        let messages = present(body, "messages");
        match (messages, text(body, "prompt")?) {
            (None, None) => return Err(Fault::missing("messages").choices(["messages", "prompt"])),
            (None, Some(text)) => prompt.single(text)?,
            (Some(messages), sent) => {
                if sent.is_some_and(|text| !says_only(messages, text)) {
                    return Err(media::disagree("messages", "prompt"));
                }
                prompt.messages(messages)?;
            }
        }
        for name in PROMPT_FIELDS {
            if let Some(value) = present(body, name) {
                prompt.value(value);
            }
        }
        Ok(prompt)
    }

    /// Prompt tokens, and whether they were counted (and not bounded).
    fn tokens(&self, model: &TextModel) -> (u64, bool) {
        let count = self.texts.count();
        let tokenized = match &model.prompt_tokens_factor {
            // One token per byte bounds every vocabulary, also one that cuts finer than ours.
            Some(factor) => times_up(count.tokens, &factor.0).min(count.tokenized_bytes),
            None => count.tokens,
        };
        let text_tokens = tokenized.saturating_add(count.bounded_bytes);
        let counted = count.bounded_bytes == 0;
        // A prompt above the context is refused by the model: it cannot cost more.
        (text_tokens.saturating_add(self.framing).min(model.context_tokens), counted)
    }

    fn single(&mut self, text: &'a str) -> Result<(), Fault> {
        if text.trim().is_empty() {
            return Err(Fault::missing("prompt"));
        }
        self.frame(MESSAGE_TOKENS);
        self.texts.push(text);
        Ok(())
    }

    fn frame(&mut self, tokens: u64) {
        self.framing = self.framing.saturating_add(tokens);
    }

    fn messages(&mut self, messages: &'a Json<'a>) -> Result<(), Fault> {
        const FIELD: &str = "messages";
        let Json::Array(messages) = messages else {
            return Err(Fault::new("invalid_type", FIELD, "`messages` must be an array"));
        };
        if messages.is_empty() || messages.len() > MESSAGES_MAX {
            let message = format!("`messages` must hold 1 to {MESSAGES_MAX} messages");
            return Err(Fault::new("out_of_range", FIELD, message));
        }
        for (index, message) in messages.iter().enumerate() {
            self.message(message).map_err(|fault| fault.within(&format!("{FIELD}[{index}]")))?;
        }
        Ok(())
    }

    fn message(&mut self, message: &'a Json<'a>) -> Result<(), Fault> {
        let Json::Object(message) = message else {
            return Err(Fault::whole("invalid_type", "a message must be an object"));
        };
        let role = text(message, "role")?.ok_or_else(|| Fault::missing("role").choices(ROLES))?;
        if !ROLES.contains(&role) {
            let words = format!("there is no role `{}`", echo(role));
            return Err(Fault::new("unsupported_value", "role", words).choices(ROLES));
        }
        self.frame(MESSAGE_TOKENS);
        for (name, value) in message.iter() {
            match name {
                "role" | "content" => {}
                _ => {
                    self.texts.push(name);
                    self.value(value);
                }
            }
        }
        match present(message, "content") {
            Some(Json::String(content)) => {
                self.texts.push(content);
                Ok(())
            }
            Some(Json::Array(parts)) if parts.len() <= PARTS_MAX => {
                for (index, part) in parts.iter().enumerate() {
                    self.part(part).map_err(|fault| fault.within(&format!("content[{index}]")))?;
                }
                Ok(())
            }
            Some(Json::Array(_)) => Err(Fault::new(
                "too_many_items",
                "content",
                format!("a message holds more than {PARTS_MAX} parts"),
            )),
            // An assistant's turn may consist of calls alone.
            None if role == "assistant" => Ok(()),
            None => Err(Fault::missing("content")),
            Some(_) => {
                Err(Fault::new("invalid_type", "content", "`content` must be a string or an array of parts"))
            }
        }
    }

    fn part(&mut self, part: &'a Json<'a>) -> Result<(), Fault> {
        let Json::Object(part) = part else {
            return Err(Fault::whole("invalid_type", "a content part must be an object"));
        };
        self.frame(VALUE_TOKENS);
        let kind =
            text(part, "type")?.ok_or_else(|| Fault::missing("type").choices(["text", "image_url"]))?;
        match kind {
            "text" => {
                self.texts.push(text(part, "text")?.ok_or_else(|| Fault::missing("text"))?);
                Ok(())
            }
            "image_url" if self.takes_images => {
                let image = present(part, "image_url").ok_or_else(|| Fault::missing("image_url"))?;
                let (url, field) = match image {
                    Json::Object(map) => {
                        (present(map, "url").ok_or_else(|| Fault::missing("image_url.url"))?, "image_url.url")
                    }
                    url => (url, "image_url"),
                };
                media::check(url, Kind::Image, field)?;
                self.frame(self.image_tokens);
                Ok(())
            }
            "image_url" => Err(Fault::new("unsupported_content", "type", "this model does not take images")
                .choices(self.content_types())),
            _ => match Media::of(kind) {
                Some(media) if model_takes(self.model, media.input) => {
                    media.check(part)?;
                    self.frame(media.tokens(self.rule, self.model));
                    Ok(())
                }
                Some(media) => {
                    let words = format!("this model does not take content of type `{}`", media.part);
                    Err(Fault::new("unsupported_content", "type", words).choices(self.content_types()))
                }
                None => {
                    let words = format!("there is no content of type `{}`", echo(kind));
                    Err(Fault::new("unsupported_content", "type", words).choices(self.content_types()))
                }
            },
        }
    }

    /// Content types that this model takes.
    fn content_types(&self) -> Vec<&'static str> {
        let mut types = vec!["text"];
        types.extend(self.takes_images.then_some("image_url"));
        types.extend(Media::ALL.iter().filter(|m| model_takes(self.model, m.input)).map(|m| m.part));
        types
    }

    /// Counts any JSON value, leaf by leaf, so that key order and spacing do
    /// not matter. The body's depth is bounded, so the recursion is too.
    fn value(&mut self, value: &'a Json<'a>) {
        self.frame(VALUE_TOKENS);
        match value {
            Json::Null | Json::Bool(_) => {}
            Json::Number(_) => self.frame(NUMBER_TOKENS),
            Json::String(text) => self.texts.push(text),
            Json::Array(items) => items.iter().for_each(|item| self.value(item)),
            Json::Object(map) => {
                for (key, item) in map.iter() {
                    self.texts.push(key);
                    self.value(item);
                }
            }
        }
    }
}

fn model_takes(model: &TextModel, input: &str) -> bool {
    model.inputs.iter().any(|known| known == input)
}

/// Content whose tokens are known only once it is read.
struct Media {
    /// Its name among a model's `inputs`.
    input: &'static str,
    /// The content part's type, which is also its only other field.
    part: &'static str,
}

impl Media {
    const ALL: [Self; 3] = [
        Self { input: "file", part: "file" },
        Self { input: "audio", part: "input_audio" },
        Self { input: "video", part: "video_url" },
    ];

    fn of(part: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|media| media.part == part)
    }

    /// What is reserved for one: the operator's bound, or the whole context.
    fn tokens(&self, rule: &TextRule, model: &TextModel) -> u64 {
        rule.media_tokens.get(self.input).copied().unwrap_or(model.context_tokens)
    }

    /// Only its shape: nothing is fetched.
    fn check(&self, part: &JsonObject<'_>) -> Result<(), Fault> {
        let Some(Json::Object(inner)) = present(part, self.part) else {
            return Err(Fault::missing(self.part));
        };
        self.check_inner(inner).map_err(|fault| fault.within(self.part))
    }

    fn check_inner(&self, inner: &JsonObject<'_>) -> Result<(), Fault> {
        match self.input {
            "audio" => match text(inner, "data")? {
                Some(data) if !data.is_empty() => Ok(()),
                _ => Err(Fault::missing("data")),
            },
            "video" => {
                let url = present(inner, "url").ok_or_else(|| Fault::missing("url"))?;
                media::check(url, Kind::Video, "url")
            }
            // A stored file's id says nothing here, so the file itself must be there.
            _ => {
                let data = present(inner, "file_data").ok_or_else(|| Fault::missing("file_data"))?;
                media::check(data, Kind::File, "file_data")
            }
        }
    }
}

/// Whether `messages` is exactly one user message with this text, which is
/// what `prompt` stands for.
fn says_only(messages: &Json<'_>, prompt: &str) -> bool {
    let Some([message]) = messages.as_array() else { return false };
    message.get("role").and_then(Json::as_str) == Some("user")
        && message.get("content").and_then(Json::as_str) == Some(prompt)
}
