//! The answer as server-sent events, in OpenAI's shape.

use std::io;

use bytes::Bytes;
use futures::stream::{self, Stream};
use serde_json::{Value, json};

use super::{Bill, Envelope, Reply};

/// The events: role, words, finish reason, usage, `[DONE]`.
///
/// The bill is settled when its event is due, after the last word, as a host
/// must that learns the usage from the model's own last chunk.
pub(super) fn events(
    envelope: &Envelope,
    reply: Reply,
    bill: Bill,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let envelope = envelope.clone();
    let choice = |delta: Value, finish_reason: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]);
    let first = chunk(&envelope, choice(json!({ "role": "assistant", "content": "" }), Value::Null), None);
    let finish = chunk(&envelope, choice(json!({}), json!(reply.finish_reason())), None);
    let billed = envelope.clone();
    let last = std::iter::once_with(move || chunk(&billed, json!([]), bill.settle()));
    let pieces = reply.pieces().to_vec();
    let words = pieces.into_iter().map(move |piece| {
        let delta = json!({ "content": piece });
        chunk(&envelope, json!([{ "index": 0, "delta": delta, "finish_reason": null }]), None)
    });
    let all = std::iter::once(first)
        .chain(words)
        .chain([finish])
        .chain(last)
        .map(|value| event(&value.to_string()))
        .chain([event("[DONE]")]);
    stream::iter(all.map(Ok))
}

fn chunk(envelope: &Envelope, choices: Value, usage: Option<Value>) -> Value {
    let mut chunk = json!({
        "id": envelope.id,
        "object": "chat.completion.chunk",
        "created": envelope.created,
        "model": envelope.model,
        "choices": choices,
    });
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    chunk
}

fn event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}
