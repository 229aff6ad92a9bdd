//! Whether anything happens on a connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How often it is looked whether a client is still there that waits for an answer.
const LOOK: Duration = Duration::from_millis(500);

/// What a connection is doing.
pub(super) struct Activity {
    state: Mutex<State>,
    head_max: Duration,
    idle_max: Duration,
}

struct State {
    /// Requests that are not answered whole.
    busy: usize,
    /// Until when the next request has to be there.
    until: Instant,
    /// Whether it has begun to come, or is the first one.
    is_coming: bool,
}

impl Activity {
    /// Of a new connection: its first request begins now.
    pub(super) fn new(head_max: Duration, idle_max: Duration) -> Self {
        let state = State { busy: 0, until: Instant::now() + head_max, is_coming: true };
        Self { state: Mutex::new(state), head_max, idle_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came.
    fn came(&self) {
        let mut state = self.state();
        if state.busy == 0 && !state.is_coming {
            state.is_coming = true;
            // Its head has so long from here, whatever was left of the silence.
            state.until = Instant::now() + self.head_max;
        }
    }

    fn is_idle_until(&self) -> Option<Instant> {
        let state = self.state();
        (state.busy == 0).then_some(state.until)
    }

    /// Whether a request is not answered whole.
    pub(super) fn is_busy(&self) -> bool {
        self.state().busy > 0
    }

    /// Ready when nothing happened for as long as may be.
    pub(super) async fn idle(&self) {
        loop {
            let now = Instant::now();
            let look = match self.is_idle_until() {
                Some(until) if until <= now => return,
                Some(until) => until,
                None => now + self.head_max.min(self.idle_max),
            };
            tokio::time::sleep_until(look).await;
        }
    }
}

/// A request that is not answered whole.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        let mut state = activity.state();
        state.busy = state.busy.saturating_add(1);
        state.is_coming = false;
        drop(state);
        Self(Arc::clone(activity))
    }

    /// For as long as its answer is not taken.
    pub(super) fn until_over<B>(self, body: B) -> Attended<B> {
        Attended { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy = state.busy.saturating_sub(1);
        state.until = Instant::now() + self.0.idle_max;
    }
}

pin_project! {
    /// A body whose request counts until it is over.
    pub(super) struct Attended<B> {
        #[pin]
        body: B,
        _busy: Busy,
    }
}

impl<B: Body> Body for Attended<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream of a connection, which says when bytes come and is asked whether its client is gone.
#[derive(Clone)]
pub(super) struct Noticed {
    stream: Arc<Mutex<TcpStream>>,
    activity: Arc<Activity>,
}

impl Noticed {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), activity }
    }

    fn stream(&self) -> MutexGuard<'_, TcpStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has closed its side, even behind bytes that nobody has read.
    fn is_closed(&self) -> bool {
        let stream = self.stream();
        match stream.ready(Interest::READABLE).now_or_never() {
            Some(Ok(ready)) => ready.is_read_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// Ready when the client has left a request that is being answered. hyper sees the end of a
    /// connection of HTTP/1 only where it reads, and with bytes in hand that belong to no request
    /// in work it reads no further.
    pub(super) async fn left(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.activity.is_busy() && self.is_closed() {
                return;
            }
        }
    }
}

impl AsyncRead for Noticed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut *self.stream()).poll_read(cx, into);
        if into.filled().len() > before {
            self.activity.came();
        }
        read
    }
}

impl AsyncWrite for Noticed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream().is_write_vectored()
    }
}
