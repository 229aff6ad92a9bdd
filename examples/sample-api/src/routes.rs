//! The routes, which all mounts share.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::json;

use crate::call::{Answer, Answered, Call, json};
use crate::error::ApiError;
use crate::host::Host;
use crate::paths::{CHAT_PATH, GENERATION_PATH};
use crate::{attestation, chat, generation, hooks};

/// What answers a route.
pub(crate) type Handler = fn(Arc<Host>, Call) -> BoxFuture<'static, Answered>;

/// One route; `{name}` in its path stands for a whole segment, as in actix and in axum.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) handler: Handler,
}

impl Route {
    pub(crate) const fn get(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::GET, path, handler }
    }

    pub(crate) const fn post(path: &'static str, handler: Handler) -> Self {
        Self { method: Method::POST, path, handler }
    }
}

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
