//! The extractors of axum's handlers.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use quittance_gate::GateError;

use crate::extract::{Identity, Paid};

/// A handler asked for what its request does not have.
#[derive(Debug)]
pub struct NotServed(GateError);

impl IntoResponse for NotServed {
    fn into_response(self) -> Response {
        http::Response::<quittance_gate::Body>::from(&self.0).map(Body::new)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Paid {
    type Rejection = NotServed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotServed> {
        Self::of(&parts.extensions).ok_or(NotServed(GateError::NotPaid))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Paid {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = NotServed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotServed> {
        Self::of(&parts.extensions).ok_or(NotServed(GateError::NotAuthenticated))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Identity {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}
