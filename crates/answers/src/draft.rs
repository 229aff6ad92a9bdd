//! An answer while it is made: one writer, at most one live reader, and between
//! them what is in memory and what is in the store already.

mod reader;
mod state;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub use self::reader::{DraftReader, ReaderHandle, Taken};
use self::state::{End, Shared, State};
use crate::AnswerKey;
use crate::cipher::{Cipher, FRAME_BYTES, SEALED_BYTES, SEGMENT_BYTES, SEGMENT_FRAMES};
use crate::read::{Source, StoredObject};
use crate::shared::Inner;

/// What an answer that is not kept may hold in memory before its reader takes some.
const PASS_BYTES: usize = 256 * 1024;

/// Tells the ledger of a name and its key before the first object is written;
/// `false` means that it does not have them, and nothing is written.
pub type Register = Box<dyn FnOnce(StoredObject) -> BoxFuture<'static, bool> + Send>;

/// Why an answer is not kept. The reader gets it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Longer than `answer_bytes_max`.
    TooLong,
    /// All kept answers take `total_bytes_max`.
    StoreFull,
    /// The store refused or did not answer, or the ledger did not take the name.
    StoreUnavailable,
    /// Too many long answers are being made at once.
    NoMemory,
}

impl Loss {
    /// The word in journals and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::StoreFull => "store_full",
            Self::StoreUnavailable => "store_unavailable",
            Self::NoMemory => "no_memory",
        }
    }
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is on its way to being kept.
    Kept,
    /// With this chunk the answer stopped being kept: from the next one on the
    /// writer waits for the reader.
    Lost(Loss),
    /// It goes on to the reader, if there is one.
    PassedOn,
}

/// What became of a whole answer.
#[derive(Debug)]
pub enum Sealed {
    /// Short enough for the ledger; not in the store.
    Inline(Bytes),
    /// Written and flushed.
    Stored(StoredObject),
    /// The reader may still get all of it.
    NotKept {
        /// Why.
        loss: Loss,
        /// How long it was.
        bytes: u64,
    },
}

/// The writer of an answer.
pub struct Draft {
    shared: Arc<Shared>,
    key: AnswerKey,
    cipher: Cipher,
    register: Option<Register>,
    total: u64,
    segments: u64,
    /// Sealed bytes in the store.
    written: u64,
    loss: Option<Loss>,
    waited_since: Instant,
    kept: bool,
}

impl Draft {
    pub(crate) fn begin(
        inner: Arc<Inner>,
        name: String,
        key: AnswerKey,
        register: Register,
    ) -> (Self, DraftReader) {
        inner.note_open(&name);
        let state = State {
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_start: 0,
            stored: 0,
            sealed: false,
            kept: true,
            end: None,
            position: 0,
            reader_gone: false,
            waker: None,
            memory: None,
        };
        let source = Source::new(Arc::clone(&inner), name.clone(), &key);
        let shared = Arc::new(Shared { inner, name, state: Mutex::new(state), moved: Notify::new() });
        let reader = DraftReader::new(Arc::clone(&shared), source);
        let draft = Self {
            shared,
            cipher: Cipher::new(&key),
            key,
            register: Some(register),
            total: 0,
            segments: 0,
            written: 0,
            loss: None,
            waited_since: Instant::now(),
            kept: false,
        };
        (draft, reader)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.total
    }

    /// Takes the handler's next chunk. While the answer is kept this waits for
    /// nobody but the store; afterwards, for the reader.
    pub async fn push(&mut self, chunk: Bytes) -> Step {
        if self.loss.is_some() {
            self.wait_for_room().await;
        }
        self.total = self.total.saturating_add(chunk.len() as u64);
        let waker = {
            let mut state = self.shared.state();
            if state.kept || !state.reader_gone {
                state.append(chunk);
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if self.loss.is_some() {
            return Step::PassedOn;
        }
        match self.keep().await {
            Ok(()) => Step::Kept,
            Err(loss) => self.lose(loss),
        }
    }

    /// Writes what is too much for memory.
    async fn keep(&mut self) -> Result<(), Loss> {
        let limits = &self.shared.inner.limits;
        if self.total > limits.answer_bytes_max {
            return Err(Loss::TooLong);
        }
        if self.total <= limits.inline_bytes_max {
            return Ok(());
        }
        self.hold_memory().await?;
        // Never the last byte: only its frame is sealed as the last one.
        while self.shared.state().tail_bytes > SEGMENT_BYTES {
            self.write(SEGMENT_BYTES, false).await?;
        }
        Ok(())
    }

    async fn hold_memory(&mut self) -> Result<(), Loss> {
        if self.shared.state().memory.is_none() {
            let place = self.shared.inner.memory().await.ok_or(Loss::NoMemory)?;
            self.shared.state().memory = Some(place);
        }
        Ok(())
    }

    /// Seals and stores the tail's first bytes as one object.
    async fn write(&mut self, bytes: usize, last: bool) -> Result<(), Loss> {
        if let Some(register) = self.register.take() {
            let object =
                StoredObject { name: self.shared.name.clone(), key: self.key.clone(), bytes: self.total };
            if !register(object).await {
                return Err(Loss::StoreUnavailable);
            }
        }
        let plain = self.shared.state().beginning(bytes);
        let frames = plain.len().div_ceil(FRAME_BYTES);
        let mut sealed = Vec::with_capacity(frames.saturating_mul(SEALED_BYTES));
        let first = self.segments.saturating_mul(SEGMENT_FRAMES as u64);
        let first = u32::try_from(first).map_err(|_| Loss::TooLong)?;
        self.cipher.seal(first, &plain, last, &mut sealed).map_err(|_| Loss::StoreUnavailable)?;
        let sealed_bytes = sealed.len() as u64;
        if !self.shared.inner.reserve(sealed_bytes) {
            return Err(Loss::StoreFull);
        }
        self.written = self.written.saturating_add(sealed_bytes);
        if let Err(error) = self.shared.inner.put(&self.shared.name, self.segments, sealed).await {
            self.shared.inner.note_refused(&error);
            return Err(Loss::StoreUnavailable);
        }
        self.segments = self.segments.saturating_add(1);
        {
            let mut state = self.shared.state();
            state.stored = state.stored.saturating_add(plain.len() as u64);
            // At once: a reader that took the last frame for another one would not open it.
            state.sealed = last;
            let stored = state.stored;
            state.forget(stored);
        }
        // A handler whose chunks are all there already must not keep the thread
        // from everybody else for longer than one segment takes.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// From now on the answer is the live reader's only.
    fn lose(&mut self, loss: Loss) -> Step {
        self.loss = Some(loss);
        self.waited_since = Instant::now();
        let mut state = self.shared.state();
        state.kept = false;
        // What the reader has taken already is nobody's any more: waiting until it
        // takes that would be waiting for ever.
        let position = state.position;
        state.forget(position);
        if state.reader_gone {
            state.drop_tail();
        }
        Step::Lost(loss)
    }

    /// Waits until the reader has taken enough, or gives it up.
    async fn wait_for_room(&mut self) {
        let limits = self.shared.inner.limits.clone();
        loop {
            let position = {
                let state = self.shared.state();
                if state.reader_gone || state.tail_bytes <= PASS_BYTES {
                    return;
                }
                state.position
            };
            let moved = timeout(limits.reader_stall, self.shared.moved.notified()).await;
            let stalled = moved.is_err() && self.shared.state().position == position;
            if stalled || self.waited_since.elapsed() > limits.reader_max {
                return self.shared.give_up();
            }
        }
    }

    /// The handler is done: stores the rest. The reader learns of the end only
    /// from [`Self::complete`].
    pub async fn seal(&mut self) -> Sealed {
        if self.loss.is_none() {
            match self.seal_kept().await {
                Ok(sealed) => return sealed,
                Err(loss) => drop(self.lose(loss)),
            }
        }
        Sealed::NotKept { loss: self.loss.unwrap_or(Loss::StoreUnavailable), bytes: self.total }
    }

    async fn seal_kept(&mut self) -> Result<Sealed, Loss> {
        if self.total <= self.shared.inner.limits.inline_bytes_max {
            let state = self.shared.state();
            return Ok(Sealed::Inline(state.beginning(state.tail_bytes)));
        }
        self.hold_memory().await?;
        while self.shared.state().tail_bytes > SEGMENT_BYTES {
            self.write(SEGMENT_BYTES, false).await?;
        }
        self.write(SEGMENT_BYTES, true).await?;
        // The reader finds the rest in the store: a slow one holds no memory.
        self.shared.state().drop_tail();
        let (name, key) = (self.shared.name.clone(), self.key.clone());
        Ok(Sealed::Stored(StoredObject { name, key, bytes: self.total }))
    }

    /// The ledger has the answer: lets the reader see its end.
    pub fn complete(mut self) {
        self.kept = self.loss.is_none();
        self.end(End::Complete);
    }

    fn end(&mut self, end: End) {
        let waker = {
            let mut state = self.shared.state();
            if state.end.is_some() {
                return;
            }
            state.end = Some(end);
            // What a failed run had made still goes to its reader, who is cut then.
            if state.reader_gone {
                state.drop_tail();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Without [`Draft::complete`] the run failed: its reader is cut off.
impl Drop for Draft {
    fn drop(&mut self) {
        self.end(End::Broken);
        self.shared.inner.release(self.written, self.kept);
    }
}
