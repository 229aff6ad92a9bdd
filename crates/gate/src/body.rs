//! Answer bodies that know when they have been delivered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use quittance_facilitator::{Connection, DraftReader, StoredAnswerReader, Taken, Trouble, note_trouble};
use tokio::sync::oneshot;

/// How much of an answer is handed to the connection at a time: enough to keep
/// it busy, little enough that the end is not reported while most of the answer
/// still waits in our memory.
const PIECE_BYTES: usize = 32 * 1024;

/// Called once, when the last byte has been handed to the connection.
pub(crate) type OnSent = Box<dyn FnOnce() + Send>;

/// What a handler's body, or a handler itself, fails with; only ever logged.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// A handler's body.
pub(crate) type HandlerBody = UnsyncBoxBody<Bytes, HandlerError>;

/// The answer did not go on to its end. The connection is cut, so that the
/// client does not take a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

/// The body of every answer of the gate's.
///
/// Ask it for its end: one that is dropped before has not been taken whole, and its
/// client counts as gone.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// Told when the answer was taken whole, or that it was not.
    connection: Option<Connection>,
    announced: Announced,
}

/// What is left of the length that was announced, for servers that take a body as
/// [`HttpBody`] and ask for no more than that: hyper drops one of HTTP/1 unasked as soon as it
/// has all its bytes. So the last of them is given when the end is there, behind all others.
#[derive(Default)]
enum Announced {
    /// Nothing was asked for.
    #[default]
    Untouched,
    /// Nothing was announced, or nobody waits to hear of the end.
    Nothing,
    /// So many bytes, the last one included.
    Left(u64),
    /// All but this one were given.
    Last(Bytes),
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Live(Box<Live>),
    Replay(Box<Replay>),
    Handler(HandlerBody),
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::of(if whole.is_empty() { Kind::Empty } else { Kind::Whole(whole) })
    }
}

impl From<Vec<u8>> for Body {
    fn from(whole: Vec<u8>) -> Self {
        Bytes::from(whole).into()
    }
}

impl From<Live> for Body {
    fn from(live: Live) -> Self {
        Self::of(Kind::Live(Box::new(live)))
    }
}

impl From<Replay> for Body {
    fn from(replay: Replay) -> Self {
        Self::of(Kind::Replay(Box::new(replay)))
    }
}

impl From<HandlerBody> for Body {
    fn from(body: HandlerBody) -> Self {
        Self::of(Kind::Handler(body))
    }
}

impl Body {
    fn of(kind: Kind) -> Self {
        Self { kind, connection: None, announced: Announced::Untouched }
    }

    /// Lets it be known whether the connection took the answer whole.
    pub(crate) fn attended(mut self, connection: Connection) -> Self {
        if self.size() == Some(0) {
            // An empty body is never asked for its end.
            connection.answered();
        } else {
            self.connection = Some(connection);
        }
        self
    }

    /// All of it, where it is in memory and nobody waits to hear of its end: most
    /// answers, which a server sends without asking for pieces.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self {
            Self { kind: Kind::Empty, connection: None, .. } => Ok(Bytes::new()),
            Self { kind: Kind::Whole(whole), connection: None, .. } => Ok(whole),
            other => Err(other),
        }
    }

    /// Its length, where that is known before its end.
    pub fn size(&self) -> Option<u64> {
        match &self.kind {
            Kind::Empty => Some(0),
            Kind::Whole(whole) => Some(whole.len() as u64),
            Kind::Live(live) => live.size,
            Kind::Replay(replay) => Some(replay.bytes),
            Kind::Handler(body) => body.size_hint().exact(),
        }
    }

    /// The next piece; `None` once the connection has taken what went before.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let next = match &mut self.kind {
            Kind::Empty => None,
            Kind::Whole(whole) => {
                let whole = std::mem::take(whole);
                self.kind = Kind::Empty;
                Some(Ok(whole))
            }
            Kind::Live(live) => std::task::ready!(live.poll_next(cx)),
            Kind::Replay(replay) => std::task::ready!(replay.poll_next(cx)),
            Kind::Handler(body) => std::task::ready!(poll_handler(body, cx)),
        };
        if next.is_none()
            && let Some(connection) = self.connection.take()
        {
            connection.answered();
        }
        Poll::Ready(next)
    }
}

impl Announced {
    /// Of a body of which nothing was asked for.
    fn of(body: &Body) -> Self {
        match (&body.kind, body.size()) {
            (Kind::Empty | Kind::Whole(_), _) if body.connection.is_none() => Self::Nothing,
            (_, Some(bytes)) if bytes > 0 => Self::Left(bytes),
            _ => Self::Nothing,
        }
    }

    /// What of a piece may be given now; nothing where it is only the last byte.
    fn keep_last(&mut self, mut piece: Bytes) -> Bytes {
        let bytes = piece.len() as u64;
        match self {
            Self::Untouched | Self::Nothing => piece,
            Self::Left(left) if bytes < *left => {
                *left -= bytes;
                piece
            }
            Self::Left(left) => {
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                let last = piece.split_off(piece.len().saturating_sub(1));
                *self = Self::Last(last);
                piece
            }
            // More than was announced: no server gives it to anybody.
            Self::Last(_) => Bytes::new(),
        }
    }
}

fn poll_handler(body: &mut HandlerBody, cx: &mut Context<'_>) -> Polled {
    loop {
        let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
        match frame.map(|frame| frame.map(Frame::into_data)) {
            None => return Poll::Ready(None),
            Some(Ok(Ok(piece))) => return Poll::Ready(Some(Ok(piece))),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(error)) => {
                note_trouble(Trouble::HandlerBrokeOff, "", &error);
                return Poll::Ready(Some(Err(BrokenOff)));
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if matches!(self.announced, Announced::Untouched) {
            self.announced = Announced::of(&self);
        }
        loop {
            match std::task::ready!(self.poll_next(cx)) {
                Some(Ok(piece)) => {
                    let piece = self.announced.keep_last(piece);
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None => {
                    let last = std::mem::replace(&mut self.announced, Announced::Nothing);
                    return Poll::Ready(match last {
                        Announced::Last(last) => Some(Ok(Frame::data(last))),
                        _ => None,
                    });
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_over = matches!(self.kind, Kind::Empty) && self.connection.is_none();
        is_over && !matches!(self.announced, Announced::Last(_))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.announced {
            Announced::Left(bytes) => SizeHint::with_exact(*bytes),
            Announced::Last(last) => SizeHint::with_exact(last.len() as u64),
            Announced::Untouched => self.size().map(SizeHint::with_exact).unwrap_or_default(),
            Announced::Nothing if matches!(self.kind, Kind::Live(_) | Kind::Replay(_)) => SizeHint::default(),
            Announced::Nothing => self.size().map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

/// How a body goes on after its last piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Complete as soon as the connection has taken what was sent before; one
    /// that was reset meanwhile has not, and drops the body instead.
    Ending,
    /// To be cut as soon as what was sent before has left the connection's
    /// buffer: on an error servers throw away what they have not written yet, the
    /// receipt in the head included.
    Breaking,
    Over,
}

/// The end of a body: seen by the connection before it is reported.
struct Ending {
    stage: Stage,
    on_sent: Option<OnSent>,
}

/// What a body says when it is asked.
pub type Polled = Poll<Option<Result<Bytes, BrokenOff>>>;

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
    size: Option<u64>,
    ending: Ending,
    /// Dropped with the body, so that nobody waits for this reader.
    _alive: oneshot::Sender<()>,
}

impl Live {
    pub(crate) fn new(
        reader: DraftReader,
        size: Option<u64>,
        on_sent: OnSent,
        alive: oneshot::Sender<()>,
    ) -> Self {
        Self { reader, size, ending: Ending::new(Some(on_sent)), _alive: alive }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
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
    source: Arc<Mutex<Option<Source>>>,
    bytes: u64,
    ending: Ending,
    _alive: oneshot::Sender<()>,
}

impl Replay {
    /// `bytes` of a kept answer, for at most `reader_max`; `on_sent` where they
    /// are all of it.
    pub(crate) fn new(source: Source, bytes: u64, on_sent: Option<OnSent>, reader_max: Duration) -> Self {
        let source = Arc::new(Mutex::new(Some(source)));
        let (alive, over) = oneshot::channel();
        let held = Arc::downgrade(&source);
        until(over, reader_max, move || {
            if let Some(source) = held.upgrade() {
                source.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
        Self { source, bytes, ending: Ending::new(on_sent), _alive: alive }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(said) = self.ending.poll() {
            return said;
        }
        let next = match &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Some(Err(BrokenOff)),
            Some(Source::Memory(rest)) => {
                let piece = rest.len().min(PIECE_BYTES);
                (piece > 0).then(|| Ok(rest.split_to(piece)))
            }
            Some(Source::Store(reader)) => {
                std::task::ready!(reader.poll_next(cx, PIECE_BYTES)).map(|piece| {
                    piece.map_err(|error| {
                        note_trouble(Trouble::ReplayBrokeOff, "", &error);
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

/// Calls `give_up` after a time, unless the reader is through before.
pub(crate) fn until(
    over: oneshot::Receiver<()>,
    reader_max: Duration,
    give_up: impl FnOnce() + Send + 'static,
) {
    tokio::spawn(async move {
        if tokio::time::timeout(reader_max, over).await.is_err() {
            give_up();
        }
    });
}
