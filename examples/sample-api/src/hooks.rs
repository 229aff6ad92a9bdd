//! Endpoints for tests of the promises; served only with `--test-hooks`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::StatusCode;
use http::header::{HeaderValue, SET_COOKIE};
use serde::Deserialize;
use serde_json::json;

use crate::answer;
use crate::buyer::Buyer;
use crate::call::{Answered, Call};
use crate::error::ApiError;
use crate::host::Host;
use crate::route::Route;

/// How long `/test/slow` works.
const SLOW_MS: u64 = 1_500;
/// Longest answer of `/test/big`, and the length of its chunks.
const BIG_BYTES_MAX: usize = 256 * 1_048_576;
const BIG_CHUNK_BYTES: usize = 65_536;
/// What `/test/big` says again and again; no length divides it.
const BIG_TEXT: &str = "The goods, in plain words, as they were paid for. ";

/// The hooks.
pub(crate) fn routes() -> [Route; 5] {
    [
        Route::get("/test/handler-runs", |host, call| handler_runs(host, call).boxed()),
        Route::post("/test/slow", |host, call| slow(host, call).boxed()),
        Route::post("/test/fail", |host, call| fail(host, call).boxed()),
        Route::post("/test/fail-once", |host, call| fail_once(host, call).boxed()),
        Route::post("/test/big", |host, call| big(host, call).boxed()),
    ]
}

async fn handler_runs(host: Arc<Host>, call: Call) -> Answered {
    let made = match call.query_value("payment_id").or_else(|| call.query_value("request_id")) {
        Some(id) => json!({ "runs": host.runs.of(&id) }),
        None => json!({ "runs": host.runs.total(), "by_payment": host.runs.by_payment() }),
    };
    Ok(answer::json(StatusCode::OK, &made))
}

fn count(host: &Host, call: &Call) -> Result<Buyer, ApiError> {
    let buyer = Buyer::of(call.paid.as_ref(), &call.headers, &host.keys)?;
    host.runs.count(&buyer);
    Ok(buyer)
}

async fn slow(host: Arc<Host>, call: Call) -> Answered {
    let buyer = count(&host, &call)?;
    tokio::time::sleep(Duration::from_millis(SLOW_MS)).await;
    let made = json!({ "request_id": buyer.request_id(crate::host::random()?), "worked_ms": SLOW_MS });
    Ok(answer::json(StatusCode::OK, &made))
}

async fn fail(host: Arc<Host>, call: Call) -> Answered {
    count(&host, &call)?;
    Err(ApiError::internal("failed_on_purpose"))
}

async fn fail_once(host: Arc<Host>, call: Call) -> Answered {
    let buyer = count(&host, &call)?;
    if call.paid.is_some_and(|paid| paid.run == 1) {
        return Err(ApiError::internal("failed_on_purpose"));
    }
    let made = json!({ "request_id": buyer.request_id(crate::host::random()?) });
    Ok(answer::json(StatusCode::OK, &made))
}

/// What `/test/big` makes.
#[derive(Deserialize)]
struct Big {
    /// Length of the answer, at most [`BIG_BYTES_MAX`].
    bytes: usize,
    /// Pause before each chunk.
    #[serde(default)]
    pause_ms: u64,
}

/// A known text over and over, in chunks; and a cookie, as careless frameworks send one.
async fn big(host: Arc<Host>, call: Call) -> Answered {
    let Big { bytes, pause_ms } = serde_json::from_slice(&call.body)
        .map_err(|problem| ApiError::bad_request("invalid_json", problem.to_string()))?;
    count(&host, &call)?;
    let bytes = bytes.min(BIG_BYTES_MAX);
    let text = Bytes::from(BIG_TEXT.repeat(BIG_CHUNK_BYTES.div_ceil(BIG_TEXT.len()).saturating_add(1)));
    let chunks = futures::stream::unfold(0_usize, move |sent| {
        let text = text.clone();
        async move {
            if sent >= bytes {
                return None;
            }
            if pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            let (from, length) = (sent % BIG_TEXT.len(), BIG_CHUNK_BYTES.min(bytes.saturating_sub(sent)));
            let chunk = text.slice(from..from.saturating_add(length));
            Some((Ok(chunk), sent.saturating_add(length)))
        }
    });
    let mut answer = answer::pieces("application/octet-stream", chunks);
    answer.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("session=the-first-one"));
    Ok(answer)
}
