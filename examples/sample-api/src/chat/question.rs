//! What a chat request asks for, read as this host understands it.

use quittance_protocol::{Json, JsonObject};

use crate::error::ApiError;

/// A chat request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Public model name.
    pub model: String,
    /// What was said, in order.
    pub messages: Vec<Message>,
    /// Whether to answer with server-sent events.
    pub stream: bool,
    /// The smallest output cap that was sent, under either name.
    pub output_tokens_max: Option<u64>,
}

/// One message; only its text is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, …
    pub role: String,
    /// All its text parts.
    pub text: String,
}

impl Question {
    /// Reads a request that the catalogue has a price for, and refuses what this
    /// host cannot do.
    ///
    /// # Errors
    /// 400, naming the field.
    pub fn read(body: &Json<'_>) -> Result<Self, ApiError> {
        let Draft { model, messages, stream, output_tokens_max } = Draft::read(body)?;
        let messages = match messages {
            Messages::List(list) => list.iter().map(message).collect(),
            Messages::Prompt(text) => vec![Message { role: "user".to_owned(), text: text.to_owned() }],
        };
        Ok(Self { model: model.to_owned(), messages, stream, output_tokens_max })
    }

    /// Whether [`Self::read`] would succeed, without a copy of anything.
    ///
    /// # Errors
    /// The same.
    pub fn check(body: &Json<'_>) -> Result<(), ApiError> {
        Draft::read(body).map(|_| ())
    }
}

/// A [`Question`] that still stands in the body.
struct Draft<'a> {
    model: &'a str,
    messages: Messages<'a>,
    stream: bool,
    output_tokens_max: Option<u64>,
}

enum Messages<'a> {
    List(&'a [Json<'a>]),
    /// A lone `prompt`: one message of the user's.
    Prompt(&'a str),
}

impl<'a> Draft<'a> {
    fn read(body: &'a Json<'a>) -> Result<Self, ApiError> {
        let body = body
            .as_object()
            .ok_or_else(|| ApiError::bad_request("invalid_body", "the body is a JSON object"))?;
        let model = body
            .get("model")
            .and_then(Json::as_str)
            .ok_or_else(|| ApiError::bad_request("missing_field", "model is missing").at("model"))?;
        if body.get("n").is_some_and(|n| !n.is_null() && n.as_f64() != Some(1.0)) {
            return Err(ApiError::bad_request("unsupported_field", "this host gives one answer per request")
                .at("n")
                .choices(&["1"]));
        }
        let stream = match body.get("stream") {
            None | Some(Json::Null) => false,
            Some(Json::Bool(stream)) => *stream,
            Some(_) => {
                return Err(ApiError::bad_request("invalid_type", "stream is true or false")
                    .at("stream")
                    .choices(&["true", "false"]));
            }
        };
        let caps = ["max_tokens", "max_completion_tokens"];
        let output_tokens_max = caps.iter().filter_map(|name| body.get(name).and_then(Json::as_u64)).min();
        Ok(Self { model, messages: messages(body)?, stream, output_tokens_max })
    }
}

fn messages<'a>(body: &'a JsonObject<'a>) -> Result<Messages<'a>, ApiError> {
    match (body.get("messages"), body.get("prompt")) {
        (Some(Json::Array(messages)), _) if !messages.is_empty() => Ok(Messages::List(messages)),
        (None | Some(Json::Null), Some(Json::String(prompt))) => Ok(Messages::Prompt(prompt)),
        _ => Err(ApiError::bad_request("missing_field", "messages is a list of messages").at("messages")),
    }
}

fn message(message: &Json<'_>) -> Message {
    let text = match message.get("content") {
        Some(Json::String(text)) => text.clone().into_owned(),
        Some(Json::Array(parts)) => {
            let texts: Vec<&str> =
                parts.iter().filter_map(|part| part.get("text").and_then(Json::as_str)).collect();
            texts.join("\n")
        }
        _ => String::new(),
    };
    let role = message.get("role").and_then(Json::as_str).unwrap_or("user");
    Message { role: role.to_owned(), text }
}
