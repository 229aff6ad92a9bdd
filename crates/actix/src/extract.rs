//! What handlers take from a request.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};
use quittance_gate::GateError;

use crate::convert;

/// Extractor: the payment that started this handler run.
///
/// Dereferences to the gate's [`Paid`](quittance_gate::Paid), and so to
/// [`PaidFacts`](quittance_gate::PaidFacts): `payment_id`, `request_id`, `payer`, `amount`,
/// `service`, `network`, `transaction` and `run`. Only the gate can make one; no header
/// can. Take `Option<Paid>` in handlers that also serve requests a hook let through.
#[derive(Clone, Debug)]
pub struct Paid(quittance_gate::Paid);

impl Paid {
    pub(crate) fn new(paid: quittance_gate::Paid) -> Self {
        Self(paid)
    }
}

impl Deref for Paid {
    type Target = quittance_gate::Paid;

    fn deref(&self) -> &quittance_gate::Paid {
        &self.0
    }
}

/// Whom an authenticating hook recognised; also the extractor for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);

impl From<Identity> for quittance_gate::Identity {
    fn from(Identity(name): Identity) -> Self {
        Self(name)
    }
}

/// What the gate leaves in the request's extensions. The type is private to the
/// crate, so nothing else can put it there.
pub(crate) struct Bypassed(Identity);

impl Bypassed {
    pub(crate) fn new(quittance_gate::Identity(name): quittance_gate::Identity) -> Self {
        Self(Identity(name))
    }
}

/// A handler asked for what its request does not have.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotServed(#[from] GateError);

impl FromRequest for Paid {
    type Error = NotServed;
    type Future = Ready<Result<Self, NotServed>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(req.extensions().get::<Paid>().cloned().ok_or(NotServed(GateError::NotPaid)))
    }
}

impl FromRequest for Identity {
    type Error = NotServed;
    type Future = Ready<Result<Self, NotServed>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identity = req.extensions().get::<Bypassed>().map(|bypassed| bypassed.0.clone());
        ready(identity.ok_or(NotServed(GateError::NotAuthenticated)))
    }
}

impl ResponseError for NotServed {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        convert::response((&self.0).into())
    }
}
