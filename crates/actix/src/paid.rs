//! What a handler learns about the payment, or the credentials, behind a request.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};
use quittance_facilitator::PaidFacts;
use quittance_quote::Price;

use crate::GateError;
use crate::answers;

/// Extractor: the payment that started this handler run.
///
/// Dereferences to [`PaidFacts`]: `payment_id`, `request_id`, `payer`,
/// `amount`, `service`, `network`, `transaction` and `run`. Only the gate can
/// make one; no header can. Take `Option<Paid>` in handlers that also serve
/// requests a hook let through.
///
/// `run` is above 1 when an earlier run of the same payment failed: a handler
/// with side effects of its own should key them by `payment_id`.
#[derive(Clone, Debug)]
pub struct Paid(pub(crate) Arc<Ticket>);

/// What the gate leaves in the request's extensions. The type is private to
/// the crate, so nothing else can put it there.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) facts: PaidFacts,
    pub(crate) price: Price,
}

impl Paid {
    /// How the service price adds up, and what it reserves for text.
    pub fn price(&self) -> &Price {
        &self.0.price
    }
}

impl Deref for Paid {
    type Target = PaidFacts;

    fn deref(&self) -> &PaidFacts {
        &self.0.facts
    }
}

/// Whom an authenticating hook recognised; also the extractor for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);

/// Private wrapper, for the same reason as [`Ticket`].
pub(crate) struct Bypassed(pub(crate) Identity);

impl FromRequest for Paid {
    type Error = GateError;
    type Future = Ready<Result<Self, GateError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(req.extensions().get::<Paid>().cloned().ok_or(GateError::NotPaid))
    }
}

impl FromRequest for Identity {
    type Error = GateError;
    type Future = Ready<Result<Self, GateError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identity = req.extensions().get::<Bypassed>().map(|bypassed| bypassed.0.clone());
        ready(identity.ok_or(GateError::NotAuthenticated))
    }
}

impl ResponseError for GateError {
    fn status_code(&self) -> actix_web::http::StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        answers::trouble(self)
    }
}
