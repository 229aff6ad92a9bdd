//! What is left of a request's body when its answer is there: how much of it a mount reads
//! and throws away, how fast and for how long.
//!
//! A server that closes a connection on which bytes are still unread resets it, and a
//! client that writes its whole body first may then never read why it was refused (RFC
//! 9112, section 9.6). But whoever is refused at once sends the next megabytes at once, and
//! a crowd of those would have us read and throw away gigabytes a second, ahead of everybody
//! who pays. So the rest is read, at a bounded rate and for a bounded time: the answer goes
//! out first, and whoever has read it can close.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that one budget has read and thrown away in a second.
pub const BYTES_PER_SECOND: u64 = 16 * 1024 * 1024;

/// What has not been read in quiet times may be read at once, for so long.
pub const BURST: Duration = Duration::from_secs(1);

/// An answer that leaves more than this unread waits for its turn, and counts as so much.
pub const SHORT_BYTES: usize = 256 * 1024;

/// How long it waits at most.
pub const TURN_MAX: Duration = Duration::from_secs(2);

/// How long the rest of a body is read …
pub const READ_MAX: Duration = Duration::from_secs(5);

/// … and how long nothing of it may come.
pub const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Connections of one budget on which a rest is waited for; one more is closed behind its
/// answer. Each holds what the server has read ahead.
pub const CONNECTIONS_MAX: usize = 128;

/// What a server, or one worker of it, spends on rests.
#[derive(Debug, Default)]
pub struct DrainBudget {
    /// When all that was read is paid for.
    even: Mutex<Option<Instant>>,
    connections: AtomicUsize,
}

/// A connection on which a rest is waited for.
#[derive(Debug)]
pub struct DrainPlace(Arc<DrainBudget>);

impl DrainBudget {
    /// A place for one connection more; none where too many are waited for.
    pub fn place(self: &Arc<Self>) -> Option<DrainPlace> {
        let one_more = |count| (count < CONNECTIONS_MAX).then_some(count + 1);
        let taken = self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok().then(|| DrainPlace(Arc::clone(self)))
    }

    /// How many places are taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Counts bytes; how long they are in debt.
    fn spend(&self, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let nanos = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / BYTES_PER_SECOND;
        let quiet = now.checked_sub(BURST).unwrap_or(now);
        let mut paid_for = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let even = paid_for.unwrap_or(quiet).max(quiet) + Duration::from_nanos(nanos);
        *paid_for = Some(even);
        (even > now).then_some(even)
    }
}

impl DrainPlace {
    /// To be waited for before an answer that leaves so many bytes unread; in quiet times it
    /// is over at once.
    pub async fn turn(&self, left: usize) {
        if left > SHORT_BYTES
            && let Some(even) = self.0.spend(SHORT_BYTES)
        {
            sleep_until(even.min(Instant::now() + TURN_MAX)).await;
        }
    }
}

impl Drop for DrainPlace {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The reading of one rest.
#[derive(Debug)]
pub struct Drain {
    ends: Pin<Box<Sleep>>,
    silence: Pin<Box<Sleep>>,
    /// Until what was read is paid for.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Drain {
    /// From now on; to be called on the runtime that polls it.
    pub fn begin() -> Self {
        let now = Instant::now();
        let until = |after| Box::pin(sleep_until(now + after));
        Self { ends: until(READ_MAX), silence: until(SILENCE_MAX), pause: None }
    }

    /// Ready when nothing more is read. `next` reads a piece and says how long it is, or
    /// that the body is over.
    pub fn poll(
        &mut self,
        place: &DrainPlace,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<usize>>,
    ) -> Poll<()> {
        loop {
            if self.ends.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
            }
            match next(cx) {
                Poll::Ready(Some(bytes)) => {
                    self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
                    self.pause = place.0.spend(bytes).map(|even| Box::pin(sleep_until(even)));
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return self.silence.as_mut().poll(cx),
            }
        }
    }
}
