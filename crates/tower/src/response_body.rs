//! Bodies on their way to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use quittance_gate::HandlerError;
use tokio::runtime::Handle;

use crate::failed::BodyError;

/// The body of every answer: the gate's, or that of a handler that nobody paid for.
pub struct ResponseBody {
    kind: Kind,
    _behind: Option<Behind>,
}

enum Kind {
    Gate(quittance_gate::Body),
    Host(UnsyncBoxBody<Bytes, BodyError>),
}

/// What is done when the server has no more use for an answer: it took all of it, or its
/// client is gone.
struct Behind(Option<BoxFuture<'static, ()>>);

impl ResponseBody {
    pub(crate) fn gate(body: quittance_gate::Body) -> Self {
        Self { kind: Kind::Gate(body), _behind: None }
    }

    pub(crate) fn host<R>(body: R) -> Self
    where
        R: Body<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
    {
        Self { kind: Kind::Host(body.map_err(BodyError::of).boxed_unsync()), _behind: None }
    }

    /// Has something done behind the answer.
    pub(crate) fn then(self, behind: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { kind: self.kind, _behind: Some(Behind(Some(Box::pin(behind)))) }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Outside of a runtime the server itself is going.
        if let (Some(behind), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(behind);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Gate(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::of),
            Kind::Host(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Gate(body) => body.is_end_stream(),
            Kind::Host(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Gate(body) => body.size_hint(),
            Kind::Host(body) => body.size_hint(),
        }
    }
}
