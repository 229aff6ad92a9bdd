//! What monitors ask: the process, the ledger, the metrics.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use quittance_facilitator::Facilitator;
use quittance_protocol::Network;
use serde_json::json;

use crate::polled::Polled;
use crate::status;

/// Answers of a program that takes payments.
pub(crate) struct Monitor {
    facilitator: Facilitator,
    polled: Polled,
}

impl Monitor {
    pub(crate) fn new(facilitator: Facilitator) -> Self {
        Self { facilitator, polled: Polled::default() }
    }

    /// The process answers.
    pub(crate) fn healthz(&self) -> HttpResponse {
        HttpResponse::Ok().json(json!({ "status": "ok" }))
    }

    /// Payments can be taken.
    pub(crate) async fn readyz(&self) -> HttpResponse {
        // Which networks are not offered, and why: the others may still sell.
        let by_network = |named: Vec<(Network, &'static str)>| -> serde_json::Map<_, _> {
            named.into_iter().map(|(network, reason)| (network.to_string(), json!(reason))).collect()
        };
        let closed = by_network(self.facilitator.closed());
        let warnings = by_network(self.facilitator.warnings());
        match self.polled.ready(&self.facilitator).await {
            Ok(()) => {
                HttpResponse::Ok().json(json!({ "status": "ready", "closed": closed, "warnings": warnings }))
            }
            Err(reason) => HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "5")).json(json!({
                "status": "not ready", "reason": reason, "closed": closed, "warnings": warnings,
            })),
        }
    }

    pub(crate) fn metrics(&self) -> HttpResponse {
        match self.polled.metrics(&self.facilitator) {
            Ok((format, text)) => HttpResponse::Ok().insert_header((CONTENT_TYPE, format)).body(text),
            Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
        }
    }

    /// How the background work goes; for this host only.
    pub(crate) fn status(&self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(status::of_program(&self.facilitator))
    }
}
