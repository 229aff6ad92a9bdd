//! `POST /v1/chat/completions`: plain and streamed.

pub(crate) mod question;
mod stream;
mod text;
mod usage;

use std::sync::Arc;

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use quittance_gate::Paid;
use quittance_protocol::Amount;
use quittance_quote::Body;
use quittance_quote::TextReserve;
use serde_json::{Value, json};

pub use question::{Message, Question};
pub use text::{Reply, reply, tokens};
pub use usage::{Usage, is_private, privacy};

use crate::answer;
use crate::body;
use crate::buyer::Buyer;
use crate::call::{Answered, Call};
use crate::error::ApiError;
use crate::host::Host;

/// What every part of one answer says about itself.
#[derive(Clone, Debug)]
struct Envelope {
    id: String,
    created: u64,
    model: String,
}

/// Answers a chat, as one JSON document or as server-sent events.
pub(crate) async fn complete(host: Arc<Host>, call: Call) -> Answered {
    let buyer = Buyer::of(call.paid.as_ref(), &call.headers, &host.keys)?;
    // The catalogue's rules once more: a way around the gate is not a way around them.
    let body = Body::new(&call.body);
    let price = host.price(&call, &body)?;
    let service = price.service;
    let reserve = price.reserve.ok_or_else(|| ApiError::internal("no_reserve"))?;
    let question = Question::read(body::read(&body)?)?;
    host.runs.count(&buyer);
    let cap = question.output_tokens_max.unwrap_or(u64::MAX).min(reserve.output_tokens_max);
    let reply = reply(&question.messages, &question.model, cap);
    let bill = Bill {
        prompt_tokens: prompt_tokens(&question.messages).min(reserve.prompt_tokens),
        completion_tokens: reply.tokens(),
        service,
        billing_source: buyer.billing_source(),
        reserve,
        paid: call.paid.clone(),
    };
    let envelope = Envelope {
        id: format!("chatcmpl-{}", buyer.request_id(crate::host::random()?)),
        created: crate::host::unix_seconds(),
        model: question.model,
    };
    if question.stream {
        let mut answer = answer::pieces("text/event-stream", stream::events(&envelope, reply, bill));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        return Ok(answer);
    }
    let usage = bill.settle().ok_or_else(|| ApiError::internal("usage_out_of_range"))?;
    Ok(answer::json(StatusCode::OK, &whole(&envelope, &reply, usage)))
}

/// What the model's own count of the question would be.
fn prompt_tokens(messages: &[Message]) -> u64 {
    messages.iter().fold(0, |sum: u64, message| sum.saturating_add(tokens(&message.text)))
}

/// What is known about a call's price before and after the work.
struct Bill {
    prompt_tokens: u64,
    completion_tokens: u64,
    service: Amount,
    billing_source: &'static str,
    reserve: TextReserve,
    /// `None`: an account's own billing serves it.
    paid: Option<Paid>,
}

impl Bill {
    /// Reports what was used to the gate, which books it with the answer, and
    /// words `usage`. `None` when the numbers are out of range.
    fn settle(self) -> Option<Value> {
        let (prompt, completion) = (self.prompt_tokens, self.completion_tokens);
        let metered = match &self.paid {
            Some(paid) => paid.report_tokens(prompt, completion).ok()?,
            None => self.reserve.meter(prompt, completion).ok()?,
        };
        let usage = Usage {
            prompt_tokens: prompt,
            completion_tokens: completion,
            credits_reserved: self.reserve.units,
            credits_metered: metered.units,
            service: self.service,
            model: self.reserve.model,
            billing_source: self.billing_source,
        };
        usage.json()
    }
}

fn whole(envelope: &Envelope, reply: &Reply, usage: Value) -> Value {
    json!({
        "id": envelope.id,
        "object": "chat.completion",
        "created": envelope.created,
        "model": envelope.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": reply.text() },
            "finish_reason": reply.finish_reason(),
        }],
        "usage": usage,
    })
}
