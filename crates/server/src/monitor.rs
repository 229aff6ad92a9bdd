//! What monitors ask: the process, the ledger, the metrics, as the gate answers it, and how the
//! background work goes.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use quittance_facilitator::Facilitator;

use crate::status;

/// Answers of a program that takes payments.
pub(crate) struct Monitor {
    facilitator: Facilitator,
    asked: quittance_actix::Monitor,
}

impl Monitor {
    pub(crate) fn new(facilitator: Facilitator) -> Self {
        Self { asked: quittance_actix::Monitor::new(facilitator.clone()), facilitator }
    }

    /// The process answers.
    pub(crate) fn healthz(&self) -> HttpResponse {
        quittance_actix::response(self.asked.healthz())
    }

    /// Payments can be taken.
    pub(crate) async fn readyz(&self) -> HttpResponse {
        quittance_actix::response(self.asked.readyz().await)
    }

    pub(crate) fn metrics(&self) -> HttpResponse {
        quittance_actix::response(self.asked.metrics())
    }

    /// How the background work goes; for this host only.
    pub(crate) fn status(&self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(status::of_program(&self.facilitator))
    }
}
