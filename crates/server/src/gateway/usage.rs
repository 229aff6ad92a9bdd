//! Text that is prepaid from a reserve: the upstream is held to what was priced, and what it
//! really used is read from its answer (the `usage` of OpenAI-compatible APIs).

use actix_web::web::Bytes;
use quittance_actix::Paid;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Names of the output cap, any of which bounds the reserve.
const CAPS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// How much of an answer is looked at, from its end: the block stands there in streams, and
/// answers that are longer are streams.
const TAIL_BYTES_MAX: usize = 256 * 1024;

/// The body with the output that was priced as its cap, where it has none: a host's own default
/// may be many times what was paid. `None` where it has one, or is no object.
pub(crate) fn capped(body: &[u8], output_tokens_max: u64) -> Option<Bytes> {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let is_set = |name: &&str| members.get(*name).is_some_and(|value| value.get() != "null");
    if CAPS.iter().any(is_set) {
        return None;
    }
    let cap = RawValue::from_string(output_tokens_max.to_string()).ok()?;
    for name in CAPS {
        members.remove(name);
    }
    members.insert("max_tokens".to_owned(), &cap);
    serde_json::to_vec(&members).ok().map(Bytes::from)
}

/// Watches an answer go by.
pub(crate) struct Meter {
    paid: Paid,
    tail: Vec<u8>,
    is_stream: bool,
}

impl Meter {
    pub(crate) fn new(paid: Paid, content_type: Option<&str>) -> Self {
        let is_stream = content_type.is_some_and(|text| text.trim_start().starts_with("text/event-stream"));
        Self { paid, tail: Vec::new(), is_stream }
    }

    pub(crate) fn see(&mut self, piece: &[u8]) {
        self.tail.extend_from_slice(piece);
        // Cut now and then, not with every piece.
        if self.tail.len() > TAIL_BYTES_MAX.saturating_mul(2) {
            let from = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
            self.tail.drain(..from);
        }
    }

    /// Reports what the answer says, if it says it; before the answer's end is seen.
    pub(crate) fn report(self) {
        let Some((prompt, completion)) = used(&self.tail, self.is_stream) else { return };
        if let Err(error) = self.paid.report_tokens(prompt, completion) {
            tracing::warn!(payment = %self.paid.payment_id, "what was used is not booked: {error}");
        }
    }
}

fn used(text: &[u8], is_stream: bool) -> Option<(u64, u64)> {
    if !is_stream {
        return tokens(&serde_json::from_slice(text).ok()?);
    }
    let lines = text.rsplit(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data:")?.trim_ascii()).ok())
        .find_map(|event: Value| tokens(&event))
}

fn tokens(answer: &Value) -> Option<(u64, u64)> {
    let usage = answer.get("usage")?;
    Some((usage.get("prompt_tokens")?.as_u64()?, usage.get("completion_tokens")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_cap_gets_the_one_that_was_priced() {
        for (body, made) in [
            (r#"{"model":"m"}"#, Some(r#"{"max_tokens":64,"model":"m"}"#)),
            (r#"{"max_tokens":null,"x":1e400}"#, Some(r#"{"max_tokens":64,"x":1e400}"#)),
            (r#"{"max_completion_tokens": null}"#, Some(r#"{"max_tokens":64}"#)),
            (r#"{"max_tokens":5}"#, None),
            (r#"{"max_completion_tokens":5}"#, None),
            ("[1]", None),
        ] {
            let bytes = capped(body.as_bytes(), 64);
            assert_eq!(bytes.as_deref(), made.map(str::as_bytes), "{body}");
        }
    }

    #[test]
    fn what_was_used_is_read_from_answers_and_streams() {
        let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":9}"#;
        assert_eq!(used(format!("{{{usage}}}").as_bytes(), false), Some((7, 9)));
        let stream = format!("data: {{\"usage\":null}}\n\ndata: {{{usage}}}\r\n\ndata: [DONE]\n\n");
        assert_eq!(used(stream.as_bytes(), true), Some((7, 9)));
        assert_eq!(used(b"data: {}\n\n", true), None);
        assert_eq!(used(b"{\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":1}}", false), None);
    }
}
