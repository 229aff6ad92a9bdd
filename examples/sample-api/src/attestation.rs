//! `GET /v1/text/attestation`: what this host can say about private models.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::answer;
use crate::call::{Answered, Call};
use crate::chat::{is_private, privacy};
use crate::error::ApiError;
use crate::host::Host;

/// A nonce is 32 bytes in hex.
const NONCE_HEX_CHARS: usize = 64;

/// The privacy of a text model. There is no enclave behind the sample, and the
/// answer says so: `quote` is always null.
pub(crate) async fn show(host: Arc<Host>, call: Call) -> Answered {
    let model = call.query_value("model");
    let model = model
        .as_deref()
        .ok_or_else(|| ApiError::bad_request("missing_field", "model is missing").at("model"))?;
    if !host.catalogue.is_text_model(model) {
        return Err(ApiError::bad_request("unknown_model", "there is no such text model").at("model"));
    }
    if !is_private(model) {
        return Err(
            ApiError::bad_request("not_private", "only private models have a privacy proof").at("model")
        );
    }
    let nonce = call.query_value("nonce");
    let nonce = nonce.as_deref();
    if nonce.is_some_and(|n| n.len() != NONCE_HEX_CHARS || !n.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(ApiError::bad_request("invalid_nonce", "a nonce is 64 hex digits").at("nonce"));
    }
    let shown = json!({
        "model": model,
        "privacy_mode": privacy(model),
        "nonce": nonce,
        "quote": null,
        "statement": "this sample runs in an ordinary process; no hardware vouches for it",
    });
    Ok(answer::json(StatusCode::OK, &shown))
}
