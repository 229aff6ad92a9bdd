//! Answer bodies that know when they have been delivered.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::sync::mpsc;

/// How much of a complete answer is handed to the connection at a time: enough
/// to keep it busy, little enough that the end is not reported while most of
/// the answer still waits in our memory.
const PIECE_BYTES: usize = 32 * 1024;

/// Called once, when the last byte has been handed to the connection.
pub(crate) type OnSent = Box<dyn FnOnce()>;

/// A complete answer.
pub(crate) struct Whole {
    rest: Bytes,
    size: BodySize,
    on_sent: Option<OnSent>,
}

impl Whole {
    pub(crate) fn new(bytes: Bytes, on_sent: OnSent) -> Self {
        Self { size: BodySize::Sized(bytes.len() as u64), rest: bytes, on_sent: Some(on_sent) }
    }
}

impl MessageBody for Whole {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.rest.is_empty() {
            if let Some(on_sent) = self.on_sent.take() {
                on_sent();
            }
            return Poll::Ready(None);
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

/// What a streamed run tells its client.
pub(crate) enum Piece {
    Chunk(Bytes),
    /// The answer is complete and recorded.
    End,
    /// The run failed; the payment is a credit.
    Broken,
}

/// The run behind a streamed answer ended without completing it. The
/// connection is cut, so that the client does not take a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokenOff;

/// The client's end of a streamed run.
pub(crate) struct Relay {
    pieces: mpsc::Receiver<Piece>,
    size: BodySize,
    on_sent: Option<OnSent>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// To be cut as soon as what was sent before has left the connection's buffer.
    Breaking,
    Over,
}

impl Relay {
    pub(crate) fn new(pieces: mpsc::Receiver<Piece>, size: BodySize, on_sent: OnSent) -> Self {
        Self { pieces, size, on_sent: Some(on_sent), state: State::Open }
    }
}

impl MessageBody for Relay {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        match self.state {
            State::Over => return Poll::Ready(None),
            State::Breaking => {
                self.state = State::Over;
                return Poll::Ready(Some(Err(BrokenOff)));
            }
            State::Open => {}
        }
        match std::task::ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Chunk(chunk)) => Poll::Ready(Some(Ok(chunk))),
            Some(Piece::End) => {
                self.state = State::Over;
                if let Some(on_sent) = self.on_sent.take() {
                    on_sent();
                }
                Poll::Ready(None)
            }
            // A channel that closes without an end is a run that went on
            // without this client, or a task that died. On an error actix
            // throws away what it has not written yet, the receipt in the head
            // included; pending once lets it write first.
            Some(Piece::Broken) | None => {
                self.state = State::Breaking;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
