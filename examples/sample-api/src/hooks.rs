//! Endpoints for tests of the promises; served only with `--test-hooks`.

use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use quittance_actix::Paid;
use serde::Deserialize;
use serde_json::json;

use crate::buyer::Buyer;
use crate::error::ApiError;
use crate::host::Host;

/// How long `/test/slow` works.
const SLOW_MS: u64 = 1_500;
/// Longest answer of `/test/big`, and the length of its chunks.
const BIG_BYTES_MAX: usize = 256 * 1_048_576;
const BIG_CHUNK_BYTES: usize = 65_536;
/// What `/test/big` says again and again; no length divides it.
const BIG_TEXT: &str = "The goods, in plain words, as they were paid for. ";

/// Mounts the hooks.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/test/handler-runs", web::get().to(handler_runs))
        .route("/test/slow", web::post().to(slow))
        .route("/test/fail", web::post().to(fail))
        .route("/test/fail-once", web::post().to(fail_once))
        .route("/test/big", web::post().to(big));
}

#[derive(Deserialize)]
struct RunsQuery {
    request_id: Option<String>,
    payment_id: Option<String>,
}

async fn handler_runs(host: web::Data<Host>, query: web::Query<RunsQuery>) -> HttpResponse {
    let answer = match query.payment_id.as_ref().or(query.request_id.as_ref()) {
        Some(id) => json!({ "runs": host.runs.of(id) }),
        None => json!({ "runs": host.runs.total(), "by_payment": host.runs.by_payment() }),
    };
    HttpResponse::Ok().content_type(ContentType::json()).body(answer.to_string())
}

async fn slow(host: web::Data<Host>, req: HttpRequest, paid: Option<Paid>) -> Result<HttpResponse, ApiError> {
    let buyer = Buyer::of(paid.as_ref(), req.headers(), &host.keys)?;
    host.runs.count(&buyer);
    tokio::time::sleep(Duration::from_millis(SLOW_MS)).await;
    let answer = json!({ "request_id": buyer.request_id(crate::host::random()?), "worked_ms": SLOW_MS });
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(answer.to_string()))
}

async fn fail(host: web::Data<Host>, req: HttpRequest, paid: Option<Paid>) -> Result<HttpResponse, ApiError> {
    let buyer = Buyer::of(paid.as_ref(), req.headers(), &host.keys)?;
    host.runs.count(&buyer);
    Err(ApiError::internal("failed_on_purpose"))
}

async fn fail_once(
    host: web::Data<Host>,
    req: HttpRequest,
    paid: Option<Paid>,
) -> Result<HttpResponse, ApiError> {
    let buyer = Buyer::of(paid.as_ref(), req.headers(), &host.keys)?;
    host.runs.count(&buyer);
    if paid.is_some_and(|paid| paid.run == 1) {
        return Err(ApiError::internal("failed_on_purpose"));
    }
    let answer = json!({ "request_id": buyer.request_id(crate::host::random()?) });
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(answer.to_string()))
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
async fn big(
    host: web::Data<Host>,
    req: HttpRequest,
    paid: Option<Paid>,
    body: web::Json<Big>,
) -> Result<HttpResponse, ApiError> {
    let buyer = Buyer::of(paid.as_ref(), req.headers(), &host.keys)?;
    host.runs.count(&buyer);
    let Big { bytes, pause_ms } = body.into_inner();
    let bytes = bytes.min(BIG_BYTES_MAX);
    let text = web::Bytes::from(BIG_TEXT.repeat(BIG_CHUNK_BYTES.div_ceil(BIG_TEXT.len()).saturating_add(1)));
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
            Some((Ok::<_, std::io::Error>(chunk), sent.saturating_add(length)))
        }
    });
    let mut answer = HttpResponse::Ok();
    answer.content_type(ContentType::octet_stream()).insert_header(("Set-Cookie", "session=the-first-one"));
    Ok(answer.streaming(chunks))
}
