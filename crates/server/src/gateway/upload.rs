//! A request's body on its way to the upstream.
//!
//! What was paid for is in memory. Anything else goes on piece by piece, as fast as the upstream
//! takes it: actix's payload cannot leave its worker, so a task there reads it and hands it over
//! through a channel with room for one.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt;
use actix_web::web::{Bytes, Payload};
use futures::StreamExt as _;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::gateway::words::Trouble;

/// Pieces that wait for the upstream.
const PIECES_MAX: usize = 1;

/// What a body may be.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes_max: usize,
    /// Between two pieces.
    pub(crate) silence_max: Duration,
}

/// A body that can be sent between threads.
pub(crate) enum Upload {
    Whole(Option<Bytes>),
    Pieces { pieces: mpsc::Receiver<Piece>, left: Option<u64>, is_over: bool },
}

/// That a body ended is said: a channel that merely closes also does so with its worker.
pub(crate) enum Piece {
    Data(Bytes),
    End,
}

/// The body did not come to its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client's body broke off")]
pub(crate) struct Broken;

/// Why it did not, for the answer; ends the reading when dropped.
pub(crate) struct Reading {
    fault: Rc<Cell<Option<Trouble>>>,
    task: JoinHandle<()>,
}

impl Reading {
    pub(crate) fn fault(&self) -> Option<Trouble> {
        self.fault.get()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upload {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// A body of a request that nobody paid for; `length` is what its head announces. It has to
    /// come whole within `total_max`: a byte now and then would hold a place for good.
    pub(crate) fn begin(
        payload: Payload,
        length: Option<u64>,
        limits: Limits,
        total_max: Duration,
    ) -> (Self, Reading) {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let fault = Rc::new(Cell::new(None));
        let found = Rc::clone(&fault);
        let task = rt::spawn(async move {
            let read = timeout(total_max, read(payload, &sender, limits)).await;
            if let Err(trouble) = read.unwrap_or(Err(Trouble::BodyTooSlow)) {
                found.set(Some(trouble));
            }
        });
        (Self::Pieces { pieces, left: length, is_over: false }, Reading { fault, task })
    }
}

async fn read(mut payload: Payload, sender: &mpsc::Sender<Piece>, limits: Limits) -> Result<(), Trouble> {
    let mut arrived = 0_usize;
    loop {
        let next = timeout(limits.silence_max, payload.next()).await.map_err(|_| Trouble::BodyTooSlow)?;
        let piece = match next {
            None => Piece::End,
            Some(piece) => {
                let piece = piece.map_err(|_| Trouble::BodyBroken)?;
                arrived = arrived.saturating_add(piece.len());
                if arrived > limits.bytes_max {
                    return Err(Trouble::BodyTooLarge);
                }
                Piece::Data(piece)
            }
        };
        let is_over = matches!(piece, Piece::End);
        // An upstream that takes no more has answered, or is gone.
        if sender.send(piece).await.is_err() || is_over {
            return Ok(());
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces { is_over: true, .. } => Poll::Ready(None),
            Self::Pieces { pieces, left, is_over } => {
                let next = ready!(pieces.poll_recv(cx));
                Poll::Ready(match next {
                    Some(Piece::Data(data)) => {
                        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                        *left = left.map(|left| left.saturating_sub(bytes));
                        Some(Ok(Frame::data(data)))
                    }
                    Some(Piece::End) => {
                        *is_over = true;
                        None
                    }
                    None => {
                        *is_over = true;
                        Some(Err(Broken))
                    }
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Pieces { is_over, .. } => *is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match self {
            Self::Whole(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces { left, .. } => *left,
        };
        left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
