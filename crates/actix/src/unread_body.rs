//! What is left of a request's body when its answer is there.
//!
//! A server that closes a connection on which bytes are still unread resets it, and a
//! client that writes its whole body first may then never read why it was refused (RFC
//! 9112, section 9.6). But whoever is refused at once sends the next megabytes at once, and
//! a crowd of those would have us read and throw away gigabytes a second, ahead of everybody
//! who pays. So the rest is read, at a bounded rate and for a bounded time: the answer goes
//! out first, and whoever has read it can close.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{Error, HttpMessage as _, rt};
use bytes::Bytes;
use futures::Stream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Bytes that one worker reads and throws away in a second.
const BYTES_PER_SECOND: u64 = 16 * 1024 * 1024;

/// What has not been read in quiet times may be read at once, for so long.
const BURST: Duration = Duration::from_secs(1);

/// An answer that leaves more than this unread waits for its turn, and counts as so much.
const SHORT_BYTES: usize = 256 * 1024;

/// How long it waits at most.
const TURN_MAX: Duration = Duration::from_secs(2);

/// How long the rest of a body is read …
const READ_MAX: Duration = Duration::from_secs(5);

/// … and how long nothing of it may come.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Connections of one worker on which a rest is waited for; one more is closed behind its
/// answer. Each holds what the server has read ahead.
const CONNECTIONS_MAX: usize = 128;

/// What one worker spends on rests.
#[derive(Default)]
pub(crate) struct DrainBudget {
    /// When all that was read is paid for.
    even: Cell<Option<Instant>>,
    connections: Cell<usize>,
}

impl DrainBudget {
    /// Counts bytes; how long they are in debt.
    fn spend(&self, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let nanos = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / BYTES_PER_SECOND;
        let quiet = now.checked_sub(BURST).unwrap_or(now);
        let even = self.even.get().unwrap_or(quiet).max(quiet) + Duration::from_nanos(nanos);
        self.even.set(Some(even));
        (even > now).then_some(even)
    }

    fn connection(self: &Rc<Self>) -> Option<Counted> {
        let count = self.connections.get();
        (count < CONNECTIONS_MAX).then(|| {
            self.connections.set(count.saturating_add(1));
            Counted(Rc::clone(self))
        })
    }
}

/// A connection on which a rest is waited for.
struct Counted(Rc<DrainBudget>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
    }
}

/// The body of a request, whoever reads it.
#[derive(Clone)]
pub(crate) struct UnreadBody(Rc<RefCell<Source>>);

struct Source {
    payload: Payload,
    /// `None` where its end is not known before it comes.
    announced: Option<usize>,
    arrived: usize,
    is_over: bool,
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
        let source = Source { payload, announced, arrived: 0, is_over: false };
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
}

/// The answer, with what is left of its request's body behind it.
pub(crate) async fn drain_behind(
    unread: Option<UnreadBody>,
    answer: Result<ServiceResponse<BoxBody>, Error>,
    budget: &Rc<DrainBudget>,
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
    budget: &Rc<DrainBudget>,
) -> ServiceResponse<BoxBody> {
    let Some(counted) = budget.connection() else {
        close_behind(unread);
        return answer;
    };
    if unread.left() > SHORT_BYTES
        && let Some(even) = budget.spend(SHORT_BYTES)
    {
        sleep_until(even.min(Instant::now() + TURN_MAX)).await;
    }
    // The server asks no such body for its end.
    if matches!(answer.response().body().size(), BodySize::None | BodySize::Sized(0)) {
        let mut reading = Reading::begin();
        poll_fn(|cx| reading.poll(&unread, budget, cx)).await;
        if !unread.0.borrow().is_over {
            close_behind(unread);
        }
        return answer;
    }
    answer
        .map_body(|_, answer| BoxBody::new(Answered { answer: Some(answer), unread, counted, reading: None }))
}

/// The body as its handler has it.
struct Shared(UnreadBody);

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
    counted: Counted,
    reading: Option<Reading>,
}

struct Reading {
    ends: Pin<Box<Sleep>>,
    silence: Pin<Box<Sleep>>,
    /// Until what was read is paid for.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Reading {
    fn begin() -> Self {
        let now = Instant::now();
        let until = |after| Box::pin(sleep_until(now + after));
        Self { ends: until(READ_MAX), silence: until(SILENCE_MAX), pause: None }
    }

    /// Ready when nothing more is read.
    fn poll(&mut self, unread: &UnreadBody, budget: &DrainBudget, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.ends.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
            }
            match unread.poll(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
                    self.pause = budget.spend(piece.len()).map(|even| Box::pin(sleep_until(even)));
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return self.silence.as_mut().poll(cx),
            }
        }
    }
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
        let reading = this.reading.get_or_insert_with(Reading::begin);
        reading.poll(&this.unread, &this.counted.0, cx).map(|()| None)
    }
}

#[cfg(test)]
mod tests;
