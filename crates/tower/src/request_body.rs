//! Bodies on their way to a handler, and what is left of one when its answer is there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use quittance_gate::HandlerError;

use crate::failed::BodyError;

/// The body of a request behind the gate: as it came where nothing was sold, else all of
/// it as the gate read it.
pub struct RequestBody<B>(Kind<B>);

enum Kind<B> {
    Whole(Full<Bytes>),
    AsItCame(UnreadBody<B>),
}

impl<B> RequestBody<B> {
    /// What was paid for.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(Full::new(bytes)))
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes, Error: Into<HandlerError>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Whole(whole) => Pin::new(whole).poll_frame(cx).map_err(|never| match never {}),
            Kind::AsItCame(body) => body.poll(cx).map_err(BodyError::of),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(whole) => whole.is_end_stream(),
            Kind::AsItCame(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(whole) => whole.size_hint(),
            Kind::AsItCame(body) => body.source().body.size_hint(),
        }
    }
}

/// A body that is read by whoever has it, and behind its answer by who reads on once nobody has it.
pub(crate) struct UnreadBody<B>(Arc<Mutex<Source<B>>>);

struct Source<B> {
    body: Pin<Box<B>>,
    is_over: bool,
    /// Whether anybody asked for any of it.
    is_begun: bool,
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// What may be left of a request's body behind its answer.
pub(crate) struct Rest<B> {
    body: UnreadBody<B>,
    /// Whether its sender waits to be asked for it.
    waits: bool,
}

/// The request with a body that is watched, where its server closes the connection behind an
/// answer that came before the body's end. A stream of HTTP/2 ends by itself.
pub(crate) fn watch<B: Body>(request: Request<B>) -> (Request<RequestBody<B>>, Option<Rest<B>>) {
    let (head, body) = request.into_parts();
    let is_over = body.is_end_stream();
    let source = Source { body: Box::pin(body), is_over, is_begun: false };
    let body = UnreadBody(Arc::new(Mutex::new(source)));
    let rest = (!is_over && head.version < Version::HTTP_2)
        .then(|| Rest { body: body.clone(), waits: head.headers.contains_key(EXPECT) });
    (Request::from_parts(head, RequestBody(Kind::AsItCame(body))), rest)
}

impl<B> Clone for UnreadBody<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> UnreadBody<B> {
    fn source(&self) -> MutexGuard<'_, Source<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.source().is_over
    }
}

impl<B: Body> UnreadBody<B> {
    fn poll(&self, cx: &mut Context<'_>) -> Polled<B> {
        let mut source = self.source();
        if source.is_over {
            return Poll::Ready(None);
        }
        source.is_begun = true;
        let next = ready!(source.body.as_mut().poll_frame(cx));
        source.is_over = !matches!(next, Some(Ok(_))) || source.body.is_end_stream();
        Poll::Ready(next)
    }
}

impl<B: Body<Data = Bytes>> Rest<B> {
    /// Whether there is something to read on for: neither where all of it came, nor where its
    /// sender never began.
    pub(crate) fn is_left(&self) -> bool {
        let source = self.body.source();
        !source.is_over && (source.is_begun || !self.waits)
    }

    /// Bytes to come, as far as that was said.
    pub(crate) fn left(&self) -> usize {
        let hint = self.body.source().body.size_hint();
        hint.exact().map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Whether somebody may still read it: a handler's own task, or the answer itself.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.body.0) > 1
    }

    /// How much came; nothing where it is over, or broken. What somebody else may still read is
    /// his: a piece that was taken from the middle would leave him other bytes than were sent.
    pub(crate) fn poll_bytes(&self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if self.is_held() {
            // Looked at again when the silence is over.
            return Poll::Pending;
        }
        let bytes = |frame: Frame<Bytes>| frame.data_ref().map_or(0, Bytes::len);
        self.body.poll(cx).map(|next| next?.ok().map(bytes))
    }
}
