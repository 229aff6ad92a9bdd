//! What is left of a request's body when its answer is there: watched, and read behind the
//! answer as [`quittance_gate::drain`] says.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{Error, HttpMessage as _, rt};
use bytes::Bytes;
use futures::Stream;
use quittance_gate::drain::{Drain, DrainBudget, DrainPlace, SILENCE_MAX};
use tokio::time::sleep;

/// The body of a request, whoever reads it.
#[derive(Clone)]
pub(crate) struct UnreadBody(Rc<RefCell<Source>>);

struct Source {
    payload: Payload,
    /// `None` where its end is not known before it comes.
    announced: Option<usize>,
    arrived: usize,
    is_over: bool,
    /// Whether somebody may still read it: the handler, or a task of its own.
    is_held: bool,
}

impl UnreadBody {
    /// Of a request that has a body.
    pub(crate) fn watch(req: &mut ServiceRequest) -> Option<Self> {
        let payload = match req.take_payload() {
            Payload::None => return None,
            payload => payload,
        };
        let length = req.headers().get(CONTENT_LENGTH);
        let announced = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let source = Source { payload, announced, arrived: 0, is_over: false, is_held: true };
        let unread = Self(Rc::new(RefCell::new(source)));
        req.set_payload(Payload::Stream { payload: Box::pin(Shared(unread.clone())) });
        Some(unread)
    }

    fn left(&self) -> usize {
        let source = self.0.borrow();
        source.announced.map_or(usize::MAX, |length| length.saturating_sub(source.arrived))
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let mut source = self.0.borrow_mut();
        if source.is_over {
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut source.payload).poll_next(cx));
        match &next {
            Some(Ok(piece)) => source.arrived = source.arrived.saturating_add(piece.len()),
            Some(Err(_)) | None => source.is_over = true,
        }
        Poll::Ready(next)
    }

    /// How much came; nothing where it is over, or broken. What somebody else may still read is
    /// his: a piece that was taken from the middle would leave him other bytes than were sent.
    fn poll_bytes(&self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if self.0.borrow().is_held {
            // Looked at again when the silence is over.
            return Poll::Pending;
        }
        self.poll(cx).map(|next| next?.ok().map(|piece| piece.len()))
    }
}

/// The answer, with what is left of its request's body behind it.
pub(crate) async fn drain_behind(
    unread: Option<UnreadBody>,
    answer: Result<ServiceResponse<BoxBody>, Error>,
    budget: &Arc<DrainBudget>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(unread) = unread.filter(|unread| !unread.0.borrow().is_over) else { return answer };
    match answer {
        Ok(answer) => Ok(read_on(unread, answer, budget).await),
        Err(error) => {
            close_behind(unread);
            Err(error)
        }
    }
}

/// The server closes the connection behind an answer whose request was not read to its end,
/// unless the body came in chunks and its reader is gone: those it then reads for ever, however
/// fast they come (actix-http 3.20, `should_close_for_unread_payload`). So the reader stays
/// until the answer has begun.
fn close_behind(unread: UnreadBody) {
    rt::spawn(async move {
        sleep(SILENCE_MAX).await;
        drop(unread);
    });
}

async fn read_on(
    unread: UnreadBody,
    answer: ServiceResponse<BoxBody>,
    budget: &Arc<DrainBudget>,
) -> ServiceResponse<BoxBody> {
    let Some(place) = budget.place() else {
        close_behind(unread);
        return answer;
    };
    place.turn(unread.left()).await;
    // The server asks no such body for its end.
    if matches!(answer.response().body().size(), BodySize::None | BodySize::Sized(0)) {
        let mut reading = Drain::begin();
        poll_fn(|cx| reading.poll(&place, cx, |cx| unread.poll_bytes(cx))).await;
        if !unread.0.borrow().is_over {
            close_behind(unread);
        }
        return answer;
    }
    answer.map_body(|_, answer| BoxBody::new(Answered { answer: Some(answer), unread, place, reading: None }))
}

/// The body as its handler has it.
struct Shared(UnreadBody);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.0.borrow_mut().is_held = false;
    }
}

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll(cx)
    }
}

/// An answer that ends with its request's body.
struct Answered {
    /// `None` once all of it was given.
    answer: Option<BoxBody>,
    unread: UnreadBody,
    place: DrainPlace,
    reading: Option<Drain>,
}

impl MessageBody for Answered {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.as_ref().map_or(BodySize::None, MessageBody::size)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if let Some(answer) = &mut this.answer {
            if let Some(piece) = ready!(Pin::new(answer).poll_next(cx)) {
                return Poll::Ready(Some(piece));
            }
            this.answer = None;
        }
        let reading = this.reading.get_or_insert_with(Drain::begin);
        reading.poll(&this.place, cx, |cx| this.unread.poll_bytes(cx)).map(|()| None)
    }
}

#[cfg(test)]
mod tests;
