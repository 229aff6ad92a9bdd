//! What monitors ask: the process, the ledger, the metrics, as the gate answers it, and how the
//! background work goes; and the operator's pages.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse};
use quittance_facilitator::Facilitator;
use quittance_facilitator::config::Config;

use crate::page::calls::Calls;
use crate::page::{self, Board};
use crate::{CommandError, status};

/// Answers of a program that takes payments. Clones are one.
#[derive(Clone)]
pub(crate) struct Monitor {
    facilitator: Facilitator,
    asked: quittance_actix::Monitor,
    board: Arc<Board>,
}

impl Monitor {
    /// `calls` where a gateway is watched.
    pub(crate) fn new(
        facilitator: Facilitator,
        config: &Config,
        calls: Option<Calls>,
    ) -> Result<Self, CommandError> {
        let asked = quittance_actix::Monitor::new(facilitator.clone());
        let board = Board::new(facilitator.clone(), config)?;
        let board = Arc::new(match calls {
            Some(calls) => board.showing(calls),
            None => board,
        });
        Ok(Self { facilitator, asked, board })
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

    /// How everything stands, for who may see it: JSON for programs, pages for browsers.
    pub(crate) async fn status(&self, req: &HttpRequest) -> HttpResponse {
        if page::is_page(req.path()) || page::wants_page(req) {
            return page::answer(&self.board, req).await;
        }
        if !page::is_asked_by_address(req) {
            return HttpResponse::NotFound().finish();
        }
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(status::of_program(&self.facilitator))
    }
}
