//! The routes, which all mounts share.

use futures::FutureExt as _;
use http::StatusCode;
use serde_json::json;

use crate::answer::{Answer, json};
use crate::error::ApiError;
use crate::paths::{CHAT_PATH, GENERATION_PATH};
use crate::route::Route;
use crate::{attestation, chat, generation, hooks};

/// All of them.
pub(crate) fn routes(test_hooks: bool) -> Vec<Route> {
    let mut all = vec![
        Route::post(GENERATION_PATH, |host, call| generation::submit(host, call).boxed()),
        Route::get("/v1/generation-requests/{request_id}", |host, call| generation::poll(host, call).boxed()),
        Route::post(CHAT_PATH, |host, call| chat::complete(host, call).boxed()),
        Route::get("/v1/text/attestation", |host, call| attestation::show(host, call).boxed()),
        Route::get("/healthz", |_, _| std::future::ready(Ok(healthz())).boxed()),
    ];
    if test_hooks {
        all.extend(hooks::routes());
    }
    all
}

fn healthz() -> Answer {
    json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// Any other path.
pub(crate) fn unknown() -> Answer {
    ApiError::not_found("no such endpoint; GET /v1/x402 lists them").answer()
}
