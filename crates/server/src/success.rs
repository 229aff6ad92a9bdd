//! The body of a `success: true`, which knows whether it was taken.
//!
//! *Taken* means: our kernel has accepted every byte, for a connection that the
//! other side had not closed when we looked at it right before. What becomes of
//! the bytes behind our socket, at a proxy say, nobody here can know.
//!
//! It leans on how actix drives an HTTP/1 connection that is set up by
//! [`watchful`]: one whose end was read shuts down behind the turn of its task
//! in which it was read, and a body is polled again only once everything that
//! stood before has been written.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use quittance_facilitator::Telling;

/// Sets an `HttpServer` up so that its connections tell [`Success`] the truth.
macro_rules! watchful {
    ($server:expr) => {
        $server
            // A client that closed its side has hung up: whoever waits for a
            // verdict behind that connection is not told.
            .h1_allow_half_closed(false)
            // Nothing is taken from a body while anything stands in the buffer.
            .h1_write_buffer_size(1)
            // Head and body are two writes then: neither waits for an acknowledgement.
            .tcp_nodelay(true)
    };
}
pub(crate) use watchful;

/// What is told of the way of the answer.
pub(crate) trait Watched: Unpin {
    /// The answer is about to go out; false if it must not.
    fn give(&mut self) -> bool;

    /// It was taken to the last byte.
    fn taken(self);
}

impl Watched for Telling {
    fn give(&mut self) -> bool {
        Telling::give(self)
    }

    fn taken(self) {
        Telling::taken(self);
    }
}

/// The answer must not be given: another process may be giving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Withdrawn;

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this answer is no longer this process's to give")
    }
}

impl std::error::Error for Withdrawn {}

/// A complete answer. Dropped before it was taken, it drops what watches it.
pub(crate) struct Success<W> {
    bytes: Bytes,
    watched: Option<W>,
    state: State,
}

enum State {
    /// Lets the runtime look at its sockets: a close that has reached our kernel
    /// is read in the next turn.
    Look(Pin<Box<dyn Future<Output = ()>>>),
    /// Polled in the turn after that: an end that was read in it shuts the
    /// connection down before anything is given.
    Looked,
    /// Given in the turn after that.
    Give,
    /// Polled again: all was written. An end that was read in the same turn
    /// shuts the connection down, and this is not polled any more.
    Given,
    Written,
}

impl<W> Success<W> {
    pub(crate) fn new(bytes: Bytes, watched: W) -> Self {
        let look = State::Look(Box::pin(tokio::task::yield_now()));
        Self { bytes, watched: Some(watched), state: look }
    }
}

impl<W: Watched> MessageBody for Success<W> {
    type Error = Withdrawn;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Withdrawn>>> {
        let next = match &mut self.state {
            State::Look(look) => {
                std::task::ready!(look.as_mut().poll(cx));
                State::Looked
            }
            State::Looked => State::Give,
            State::Give => {
                if !self.watched.as_mut().is_some_and(Watched::give) {
                    return Poll::Ready(Some(Err(Withdrawn)));
                }
                self.state = State::Given;
                return Poll::Ready(Some(Ok(self.bytes.clone())));
            }
            State::Given => State::Written,
            State::Written => {
                if let Some(watched) = self.watched.take() {
                    watched.taken();
                }
                return Poll::Ready(None);
            }
        };
        self.state = next;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
