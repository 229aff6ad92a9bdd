//! The routes.

use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};

use crate::error::ApiError;
use crate::host::Host;
use crate::paths::{CHAT_PATH, GENERATION_PATH};
use crate::{attestation, chat, generation, hooks};

impl Host {
    /// Mounts every route on an application.
    pub fn configure(self: &Arc<Self>, config: &mut web::ServiceConfig) {
        config
            .app_data(web::Data::from(self.clone()))
            .app_data(web::PayloadConfig::new(self.body_bytes_max))
            .route(GENERATION_PATH, web::post().to(generation::submit))
            .route("/v1/generation-requests/{request_id}", web::get().to(generation::poll))
            .route(CHAT_PATH, web::post().to(chat::complete))
            .route("/v1/text/attestation", web::get().to(attestation::show))
            .route("/healthz", web::get().to(healthz))
            .route("/healthz", web::head().to(healthz));
        if self.test_hooks {
            config.configure(hooks::configure);
        }
        config.default_service(web::to(unknown));
    }
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"status":"ok"}"#)
}

async fn unknown() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("no such endpoint; GET /v1/x402 lists them"))
}
