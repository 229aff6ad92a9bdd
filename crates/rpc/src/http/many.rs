//! Several requests of one method in one HTTP request (JSON-RPC 2.0, section 6).

use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Answer, HttpEndpoint, HttpFailure, Reply, Said, read, request};
use crate::limited;
use crate::pause::TOO_MANY_REQUESTS;

/// What came back for several requests.
#[derive(Debug)]
pub enum Replies {
    /// A list, put into the order of the requests: one for each, `None` where it holds none.
    Each(Vec<Option<Reply>>),
    /// No list: the endpoint does not take several at once, or says something of all of them.
    One(Reply),
}

impl HttpEndpoint {
    /// One HTTP request that asks `method` once with each of these `params`. The time limit and the
    /// longest answer are those of one request.
    pub async fn call_many(&self, method: &str, params: &[Box<RawValue>]) -> Result<Replies, HttpFailure> {
        let count = u64::try_from(params.len()).unwrap_or(u64::MAX);
        let first = self.next_id.fetch_add(count.max(1), Ordering::Relaxed);
        let requests = (first..).zip(params).map(|(id, params)| request(id, method, params));
        let requests = format!("[{}]", requests.collect::<Vec<_>>().join(","));
        let Answer { status, retry_after, body } = self.post(requests).await?;
        let body = body.inspect_err(|_| self.pause.hear(status, retry_after.as_deref()))?;
        let Some(body) = body else {
            self.pause.hear(status, retry_after.as_deref());
            return Ok(Replies::One(Reply { status, said: Said::TooLong }));
        };
        let mut replies = match self.list(&body, first, params.len()) {
            Some(said) => {
                Replies::Each(said.into_iter().map(|said| said.map(|said| Reply { status, said })).collect())
            }
            // Of an answer to all of them no number is asked.
            None => Replies::One(Reply { status, said: read(&body, first, &self.words) }),
        };
        let limit = replies.iter_mut().find_map(|reply| match &reply.said {
            Said::Error(error) if limited::is_limit(error) => Some(limited::said_for(error)),
            _ => None,
        });
        self.pause.hear_answer(status, retry_after.as_deref(), limit);
        replies.iter_mut().for_each(mark_limit);
        Ok(replies)
    }

    /// What an answer that is a list says to each request.
    fn list(&self, body: &[u8], first: u64, count: usize) -> Option<Vec<Option<Said>>> {
        let answers: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
        let mut said: Vec<Option<Said>> = std::iter::repeat_with(|| None).take(count).collect();
        for answer in answers {
            let Some(id) = id_of(answer) else { continue };
            let at = id.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            // One that nobody asked for, or a second one, says nothing.
            if let Some(place @ None) = at.and_then(|at| said.get_mut(at)) {
                *place = Some(read(answer.get().as_bytes(), id, &self.words));
            }
        }
        Some(said)
    }
}

impl Replies {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reply> {
        let (each, one) = match self {
            Self::Each(each) => (each.as_mut_slice(), None),
            Self::One(one) => (Default::default(), Some(one)),
        };
        each.iter_mut().flatten().chain(one)
    }
}

fn mark_limit(Reply { status, said }: &mut Reply) {
    let words = match said {
        Said::Error(error) if *status == TOO_MANY_REQUESTS || limited::is_limit(error) => error.to_string(),
        Said::Error(_) => return,
        _ if *status == TOO_MANY_REQUESTS => format!("HTTP status {status}"),
        _ => return,
    };
    *said = Said::Limited { words };
}

/// The number of the request that an answer is to.
fn id_of(answer: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        #[serde(default)]
        id: Value,
    }
    let Numbered { id } = serde_json::from_str(answer.get()).ok()?;
    match id {
        // Some gateways make a text of the number.
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    }
}

#[cfg(test)]
mod tests;
