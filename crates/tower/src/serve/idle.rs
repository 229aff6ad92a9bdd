//! Whether anything happens on a connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

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
            // Its head has so long from here, and no longer than the silence would have had.
            state.until = Instant::now() + self.head_max;
        }
    }

    fn is_idle_until(&self) -> Option<Instant> {
        let state = self.state();
        (state.busy == 0).then_some(state.until)
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

/// A stream that says when bytes come.
pub(super) struct Noticed<T> {
    stream: T,
    activity: Arc<Activity>,
}

impl<T> Noticed<T> {
    pub(super) fn new(stream: T, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Noticed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            self.activity.came();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noticed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
