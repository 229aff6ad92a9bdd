//! `quittance serve`: the facilitator API over HTTP.

use std::path::Path;
use std::process::ExitCode;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ContentType, RETRY_AFTER};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use prometheus::{Encoder as _, TextEncoder};
use quittance_facilitator::Facilitator;
use quittance_facilitator::config::Config;
use quittance_protocol::{VerifyRequest, parse_json_strict};
use serde_json::json;

use crate::CommandError;
use crate::success::{Success, watchful};

/// Longest `/verify` or `/settle` body: two payments' worth of the longest header.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of such a body.
const BODY_JSON_DEPTH_MAX: usize = 44;

/// The merchant's name in the books while merchants have no keys of their own.
const MERCHANT: &str = "default";

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(path: &Path) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    actix_web::rt::System::new().block_on(async move {
        let facilitator = Facilitator::start(&config).await?;
        let shared = facilitator.clone();
        let server = watchful!(HttpServer::new(move || app(shared.clone())))
            .workers(config.server.workers.max(1))
            .shutdown_timeout(config.server.shutdown_seconds)
            .bind(&config.server.listen)
            .map_err(|e| format!("cannot listen on server.listen: {e}"))?;
        for address in server.addrs() {
            tracing::info!("listening on http://{address}");
        }
        server.run().await?;
        facilitator.shutdown().await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

fn app(
    facilitator: Facilitator,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(Data::new(facilitator))
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .route("/verify", web::post().to(verify))
        .route("/settle", web::post().to(settle))
        .route("/supported", web::get().to(supported))
        .route("/supported", web::head().to(supported))
        .route("/metrics", web::get().to(metrics))
        .route("/metrics", web::head().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/healthz", web::head().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/readyz", web::head().to(readyz))
        .default_service(web::to(|| async {
            HttpResponse::NotFound().json(json!({ "error": "not found; see GET /supported" }))
        }))
}

/// 400 is only for bodies that are not the API's shape; everything about the
/// payment itself is answered with 200 and a code.
fn read(body: &[u8]) -> Result<VerifyRequest, Box<HttpResponse>> {
    let bad = |message: String| {
        Box::new(HttpResponse::BadRequest().json(json!({ "error": "invalid_payload", "message": message })))
    };
    let value = parse_json_strict(body, BODY_JSON_DEPTH_MAX).map_err(bad)?;
    serde_json::from_value(value).map_err(|error| bad(error.to_string()))
}

async fn verify(facilitator: Data<Facilitator>, body: Bytes) -> HttpResponse {
    match read(&body) {
        Ok(request) => no_store().json(facilitator.verify(request, MERCHANT).await),
        Err(answer) => *answer,
    }
}

async fn settle(facilitator: Data<Facilitator>, body: Bytes) -> HttpResponse {
    let request = match read(&body) {
        Ok(request) => request,
        Err(answer) => return *answer,
    };
    let answer = facilitator.settle(request, MERCHANT).await;
    let Some(telling) = answer.telling else { return no_store().json(answer.response) };
    match serde_json::to_vec(&answer.response) {
        Ok(bytes) => no_store().content_type(ContentType::json()).body(Success::new(bytes.into(), telling)),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

fn no_store() -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "no-store"));
    answer
}

async fn supported(facilitator: Data<Facilitator>) -> HttpResponse {
    HttpResponse::Ok().json(facilitator.supported())
}

async fn metrics(facilitator: Data<Facilitator>) -> HttpResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&facilitator.registry().gather(), &mut text) {
        Ok(()) => HttpResponse::Ok().insert_header((CONTENT_TYPE, encoder.format_type())).body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// The process answers.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Payments can be taken.
async fn readyz(facilitator: Data<Facilitator>) -> HttpResponse {
    // Which networks are not offered, and why: the others may still sell.
    let closed: serde_json::Map<_, _> = facilitator
        .closed()
        .into_iter()
        .map(|(network, reason)| (network.to_string(), json!(reason)))
        .collect();
    match facilitator.ready().await {
        Ok(()) => HttpResponse::Ok().json(json!({ "status": "ready", "closed": closed })),
        Err(reason) => HttpResponse::ServiceUnavailable()
            .insert_header((RETRY_AFTER, "5"))
            .json(json!({ "status": "not ready", "reason": reason, "closed": closed })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shape_is_a_400() {
        for bad in [
            &b""[..],
            b"{",
            b"[]",
            b"{}",
            br#"{"x402Version":2}"#,
            br#"{"x402Version":2,"x402Version":2,"paymentPayload":{},"paymentRequirements":{}}"#,
            br#"{"x402Version":2,"paymentPayload":[],"paymentRequirements":{}}"#,
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let terms = r#"{"scheme":"exact","network":"nowhere:1","asset":"a","payTo":"b","amount":"x","maxTimeoutSeconds":1}"#;
        let odd = format!(
            r#"{{"x402Version":7,"paymentPayload":{{"x402Version":7,"accepted":{terms},"payload":null}},"paymentRequirements":{terms}}}"#
        );
        assert!(read(odd.as_bytes()).is_ok(), "odd values are answered with a code");
    }
}
