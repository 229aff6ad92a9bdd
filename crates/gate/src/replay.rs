//! A kept answer again: byte for byte, whole or the part that was asked for.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use quittance_facilitator::StoredAnswer;
use quittance_protocol::{PaymentId, SettleResponse};

use crate::body::{Body, OnSent, Replay, Source};
use crate::range::{Wanted, wanted};
use crate::shared::Shared;
use crate::{answers, receipt, signing};

/// What whoever may replay an answer gets.
pub(crate) async fn replay(
    shared: &Arc<Shared>,
    request: &HeaderMap,
    payment: PaymentId,
    answer: StoredAnswer,
    receipt: &SettleResponse,
) -> Response<Body> {
    if answer.truncated {
        return answers::not_kept(&answer, receipt);
    }
    let receipt = &*signing::with_signed(receipt, &answer);
    let state = if answer.refundable { "refundable" } else { "delivered" };
    let headers = headers(&answer);
    let (status, bytes) =
        (StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK), answer.body_bytes());
    // A refusal, or an answer that is itself a part, has no parts of ours.
    let part = if status == StatusCode::OK { wanted(request, &headers, bytes) } else { Wanted::Whole };
    let (status, range) = match part {
        Wanted::Nothing => {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            content_range(response.headers_mut(), &format!("bytes */{bytes}"));
            receipt::stamp(response.status(), response.headers_mut(), receipt, state);
            return response;
        }
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Whole => (status, 0..bytes),
    };
    let whole = range == (0..bytes);
    let sent = whole.then(|| on_sent(shared, payment));
    let mut response = match body(shared, answer, range.clone(), sent).await {
        Ok(body) => Response::new(body),
        // Never 410: the ledger says that it is kept, and another process may reach it.
        Err(()) => return answers::unreachable(receipt, shared.limits.retry_after_seconds),
    };
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if status == StatusCode::PARTIAL_CONTENT && part_of(&response) {
        let last = range.end.saturating_sub(1);
        content_range(response.headers_mut(), &format!("bytes {}-{last}/{bytes}", range.start));
    }
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    receipt::stamp(response.status(), response.headers_mut(), receipt, state);
    response
}

/// A handler's own 206 says itself what it is a part of.
fn part_of(response: &Response<Body>) -> bool {
    !response.headers().contains_key(CONTENT_RANGE)
}

fn content_range(headers: &mut HeaderMap, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(CONTENT_RANGE, value);
    }
}

async fn body(
    shared: &Arc<Shared>,
    answer: StoredAnswer,
    range: Range<u64>,
    sent: Option<OnSent>,
) -> Result<Body, ()> {
    let bytes = range.end.saturating_sub(range.start);
    if bytes == 0 {
        // An empty body is never asked for its end.
        sent.into_iter().for_each(|sent| sent());
        return Ok(Body::default());
    }
    let source = match &answer.object {
        Some(object) => {
            let reader = shared.facilitator.read_answer(object, range).await.map_err(drop)?;
            Source::Store(Box::new(reader))
        }
        None => {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(answer.body.len());
            let (start, end) = (place(range.start), place(range.end));
            Source::Memory(Bytes::from(answer.body).slice(start..end))
        }
    };
    Ok(Replay::new(source, bytes, sent, shared.facilitator.reader_max()).into())
}

fn on_sent(shared: &Arc<Shared>, payment: PaymentId) -> OnSent {
    let facilitator = Arc::clone(&shared.facilitator);
    Box::new(move || facilitator.answer_sent(&payment))
}

/// What is stored of the headers; older versions stored more than is given again.
fn headers(answer: &StoredAnswer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value))
            && receipt::is_stored(&name)
        {
            headers.append(name, value);
        }
    }
    headers
}
