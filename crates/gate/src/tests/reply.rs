//! Answers of handlers under test.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::Value;

use super::{Piped, whole};
use crate::HandlerError;

/// An answer in the making.
pub(super) struct Reply(Response<()>);

impl Reply {
    pub(super) fn ok() -> Self {
        Self(Response::new(()))
    }

    pub(super) fn of(status: u16) -> Self {
        let mut reply = Self::ok();
        *reply.0.status_mut() = StatusCode::from_u16(status).unwrap();
        reply
    }

    /// One line more.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.0.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(super) fn body(self, bytes: impl Into<Bytes>) -> Response<Piped> {
        self.0.map(|()| whole(bytes))
    }

    pub(super) fn json(self, value: &Value) -> Response<Piped> {
        self.header("content-type", "application/json").body(value.to_string())
    }

    pub(super) fn empty(self) -> Response<Piped> {
        self.body("")
    }

    pub(super) fn chunks(self, chunks: Chunks) -> Response<Piped> {
        self.0.map(|()| chunks.boxed_unsync())
    }

    pub(super) fn stream(
        self,
        stream: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    ) -> Response<Piped> {
        let frames = stream.map(|piece| piece.map(Frame::data).map_err(HandlerError::from));
        self.0.map(|()| StreamBody::new(frames).boxed_unsync())
    }
}

/// A body that panics when it gets to this error.
pub(super) const PANIC: &str = "panic";

/// A body of scripted chunks and failures, of a length that it says or does not.
pub(super) struct Chunks {
    size: Option<u64>,
    rest: VecDeque<Result<&'static str, &'static str>>,
}

impl Chunks {
    pub(super) fn new<const N: usize>(
        size: Option<u64>,
        chunks: [Result<&'static str, &'static str>; N],
    ) -> Self {
        Self { size, rest: chunks.into() }
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = HandlerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandlerError>>> {
        Poll::Ready(match self.rest.pop_front() {
            Some(Ok(text)) => Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))),
            Some(Err(PANIC)) => panic!("a body's bug"),
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map(SizeHint::with_exact).unwrap_or_default()
    }
}
