//! Answer bodies that know when they have been delivered.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::{HttpResponse, rt};
use bytes::Bytes;
use quittance_facilitator::{Connection, DraftReader, StoredAnswerReader, Taken};
use tokio::sync::oneshot;

/// How much of an answer is handed to the connection at a time: enough to keep
/// it busy, little enough that the end is not reported while most of the answer
/// still waits in our memory.
const PIECE_BYTES: usize = 32 * 1024;

/// Called once, when the last byte has been handed to the connection.
pub(crate) type OnSent = Box<dyn FnOnce()>;

/// The answer did not go on to its end. The connection is cut, so that the
/// client does not take a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokenOff;

/// How a body goes on after its last piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Complete as soon as the connection has taken what was sent before; one
    /// that was reset meanwhile has not, and drops the body instead.
    Ending,
    /// To be cut as soon as what was sent before has left the connection's
    /// buffer: on an error actix throws away what it has not written yet, the
    /// receipt in the head included.
    Breaking,
    Over,
}

/// The end of a body: seen by the connection before it is reported.
struct Ending {
    stage: Stage,
    on_sent: Option<OnSent>,
}

type Polled = Poll<Option<Result<Bytes, BrokenOff>>>;

impl Ending {
    fn new(on_sent: Option<OnSent>) -> Self {
        Self { stage: Stage::Open, on_sent }
    }

    /// What there is to say once the pieces are over; `None` before that.
    fn poll(&mut self) -> Option<Polled> {
        match self.stage {
            Stage::Open => None,
            Stage::Ending => {
                self.stage = Stage::Over;
                if let Some(on_sent) = self.on_sent.take() {
                    on_sent();
                }
                Some(Poll::Ready(None))
            }
            Stage::Breaking => {
                self.stage = Stage::Over;
                Some(Poll::Ready(Some(Err(BrokenOff))))
            }
            Stage::Over => Some(Poll::Ready(None)),
        }
    }

    /// Pending once lets the connection write first.
    fn enter(&mut self, stage: Stage, cx: &Context<'_>) -> Polled {
        self.stage = stage;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The live client's end of a run.
pub(crate) struct Live {
    reader: DraftReader,
    size: BodySize,
    ending: Ending,
    /// Dropped with the body, so that nobody waits for this reader.
    _alive: oneshot::Sender<()>,
}

impl Live {
    pub(crate) fn new(
        reader: DraftReader,
        size: BodySize,
        on_sent: OnSent,
        alive: oneshot::Sender<()>,
    ) -> Self {
        Self { reader, size, ending: Ending::new(Some(on_sent)), _alive: alive }
    }
}

impl MessageBody for Live {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if let Some(said) = self.ending.poll() {
            return said;
        }
        match std::task::ready!(self.reader.poll_next(cx, PIECE_BYTES)) {
            Taken::Piece(piece) => Poll::Ready(Some(Ok(piece))),
            Taken::End => self.ending.enter(Stage::Ending, cx),
            Taken::Broken => self.ending.enter(Stage::Breaking, cx),
        }
    }
}

/// What a replay is read from.
pub(crate) enum Source {
    /// All of it is here.
    Memory(Bytes),
    /// It comes from the answer store, a few frames at a time.
    Store(Box<StoredAnswerReader>),
}

/// A kept answer, or a part of it, on its way to whoever may replay it.
pub(crate) struct Replay {
    /// Taken away when the reader's time is up: a connection that takes nothing
    /// never asks its body again, and must not keep it for ever.
    source: Rc<RefCell<Option<Source>>>,
    size: BodySize,
    ending: Ending,
    _alive: oneshot::Sender<()>,
}

impl Replay {
    /// `bytes` of a kept answer, for at most `reader_max`; `on_sent` where they
    /// are all of it.
    pub(crate) fn new(source: Source, bytes: u64, on_sent: Option<OnSent>, reader_max: Duration) -> Self {
        let source = Rc::new(RefCell::new(Some(source)));
        let (alive, over) = oneshot::channel();
        let held = Rc::downgrade(&source);
        until(over, reader_max, move || {
            if let Some(source) = held.upgrade() {
                source.borrow_mut().take();
            }
        });
        Self { source, size: BodySize::Sized(bytes), ending: Ending::new(on_sent), _alive: alive }
    }
}

/// Calls `give_up` after a time, unless the reader is through before.
pub(crate) fn until(over: oneshot::Receiver<()>, reader_max: Duration, give_up: impl FnOnce() + 'static) {
    rt::spawn(async move {
        if tokio::time::timeout(reader_max, over).await.is_err() {
            give_up();
        }
    });
}

impl MessageBody for Replay {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if let Some(said) = self.ending.poll() {
            return said;
        }
        let next = match &mut *self.source.borrow_mut() {
            None => Some(Err(BrokenOff)),
            Some(Source::Memory(rest)) => {
                let piece = rest.len().min(PIECE_BYTES);
                (piece > 0).then(|| Ok(rest.split_to(piece)))
            }
            Some(Source::Store(reader)) => {
                std::task::ready!(reader.poll_next(cx, PIECE_BYTES)).map(|piece| {
                    piece.map_err(|error| {
                        tracing::error!(%error, "a replay breaks off");
                        BrokenOff
                    })
                })
            }
        };
        match next {
            Some(Ok(piece)) => Poll::Ready(Some(Ok(piece))),
            Some(Err(BrokenOff)) => self.ending.enter(Stage::Breaking, cx),
            None => self.ending.enter(Stage::Ending, cx),
        }
    }
}

/// A body that says of its connection whether the answer was taken whole.
struct Attended {
    body: BoxBody,
    connection: Option<Connection>,
}

/// Lets the connection's end with the answer, whichever comes first, be known.
pub(crate) fn attend(response: HttpResponse<BoxBody>, connection: Connection) -> HttpResponse<BoxBody> {
    match response.body().size() {
        // An empty body is never asked for its end.
        BodySize::None | BodySize::Sized(0) => {
            connection.answered();
            response
        }
        _ => response.map_body(|_, body| BoxBody::new(Attended { body, connection: Some(connection) })),
    }
}

impl MessageBody for Attended {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = std::task::ready!(Pin::new(&mut self.body).poll_next(cx));
        if next.is_none()
            && let Some(connection) = self.connection.take()
        {
            connection.answered();
        }
        Poll::Ready(next)
    }
}
