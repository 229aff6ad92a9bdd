//! Between actix's types and http's: heads, headers and bodies, both ways.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures::Stream as _;
use http_body::Frame;
use quittance_gate::{Body, BrokenOff};

/// A request's head; `None` where http does not take it for one.
pub(crate) fn head(req: &ServiceRequest) -> Option<http::request::Parts> {
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::from_bytes(req.method().as_str().as_bytes()).ok()?;
    let uri = req.uri();
    *request.uri_mut() = match uri.path_and_query() {
        Some(target) if uri.scheme().is_none() && uri.authority().is_none() => {
            http::Uri::try_from(target.as_str()).ok()?
        }
        _ => http::Uri::try_from(uri.to_string()).ok()?,
    };
    *request.headers_mut() = headers(req.headers());
    Some(request.into_parts().0)
}

/// Headers as the gate and its hooks have them, for a host that also authenticates in
/// handlers of its own. Several values of one name keep their order.
pub fn headers(native: &HeaderMap) -> http::HeaderMap {
    let mut headers = http::HeaderMap::with_capacity(native.len());
    for (name, value) in native {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name.as_str().as_bytes()),
            http::HeaderValue::from_bytes(value.as_bytes()),
        ) {
            headers.append(name, value);
        }
    }
    headers
}

/// Headers as actix has them.
pub(crate) fn headers_out(headers: &http::HeaderMap) -> HeaderMap {
    let mut native = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        append(&mut native, name, value);
    }
    native
}

/// One line more.
pub(crate) fn append(native: &mut HeaderMap, name: &http::HeaderName, value: &http::HeaderValue) {
    if let (Ok(name), Ok(value)) =
        (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
    {
        native.append(name, value);
    }
}

/// An answer of the gate's, for a host that gives one by itself.
pub fn response(answer: http::Response<Body>) -> HttpResponse<BoxBody> {
    let (head, answer) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut native = HttpResponse::with_body(status, body(answer));
    *native.headers_mut() = headers_out(&head.headers);
    native
}

/// Its body; one that is in memory goes on as it is.
pub(crate) fn body(body: Body) -> BoxBody {
    match body.into_whole() {
        Ok(whole) => BoxBody::new(whole),
        Err(pieces) => BoxBody::new(Outgoing(pieces)),
    }
}

/// A body on its way out.
struct Outgoing(Body);

impl MessageBody for Outgoing {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        self.0.size().map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.0.poll_next(cx)
    }
}

/// A body on its way in.
pub(crate) struct Incoming(pub(crate) Payload);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = PayloadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PayloadError>>> {
        Pin::new(&mut self.0).poll_next(cx).map(|next| next.map(|piece| piece.map(Frame::data)))
    }
}
