//! What the writer of an answer and its live reader share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::shared::Inner;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Broken,
}

pub(super) struct State {
    /// The newest bytes, in the handler's own chunks.
    pub(super) tail: VecDeque<Bytes>,
    pub(super) tail_bytes: usize,
    /// Where the tail begins in the answer.
    pub(super) tail_start: u64,
    /// How much of the beginning lies in the store.
    pub(super) stored: u64,
    /// Whether `stored` is all of it.
    pub(super) sealed: bool,
    pub(super) kept: bool,
    pub(super) end: Option<End>,
    /// What the reader has taken.
    pub(super) position: u64,
    pub(super) reader_gone: bool,
    pub(super) waker: Option<Waker>,
    /// Held while this draft has more than `inline_bytes_max` in memory.
    pub(super) memory: Option<OwnedSemaphorePermit>,
}

pub(super) struct Shared {
    pub(super) inner: Arc<Inner>,
    pub(super) name: String,
    pub(super) state: Mutex<State>,
    /// The reader took something, or left.
    pub(super) moved: Notify,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader takes nothing more.
    pub(super) fn give_up(&self) {
        let waker = {
            let mut state = self.state();
            state.reader_gone = true;
            // While the answer is kept, the writer still needs it.
            if !state.kept || state.end.is_some() {
                state.drop_tail();
            }
            state.waker.take()
        };
        self.moved.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.inner.note_closed(&self.name);
    }
}

impl State {
    pub(super) fn append(&mut self, chunk: Bytes) {
        self.tail_bytes = self.tail_bytes.saturating_add(chunk.len());
        self.tail.push_back(chunk);
    }

    /// Forgets what is before `until`.
    pub(super) fn forget(&mut self, until: u64) {
        while self.tail_start < until {
            let Some(front) = self.tail.front_mut() else { break };
            let surplus = usize::try_from(until.saturating_sub(self.tail_start)).unwrap_or(usize::MAX);
            let cut = front.len().min(surplus);
            drop(front.split_to(cut));
            if front.is_empty() {
                self.tail.pop_front();
            }
            self.tail_bytes = self.tail_bytes.saturating_sub(cut);
            self.tail_start = self.tail_start.saturating_add(cut as u64);
        }
    }

    pub(super) fn drop_tail(&mut self) {
        let end = self.tail_start.saturating_add(self.tail_bytes as u64);
        self.forget(end);
        self.memory = None;
    }

    /// The bytes from the tail's beginning on, in one piece.
    pub(super) fn beginning(&self, bytes: usize) -> Bytes {
        let mut whole = BytesMut::with_capacity(bytes.min(self.tail_bytes));
        for chunk in &self.tail {
            let wanted = bytes.saturating_sub(whole.len()).min(chunk.len());
            whole.extend_from_slice(chunk.get(..wanted).unwrap_or_default());
        }
        whole.freeze()
    }

    /// What the reader gets next from memory.
    pub(super) fn piece(&self, piece_bytes: usize) -> Option<Bytes> {
        let mut skip = usize::try_from(self.position.checked_sub(self.tail_start)?).ok()?;
        for chunk in &self.tail {
            if skip < chunk.len() {
                let end = chunk.len().min(skip.saturating_add(piece_bytes.max(1)));
                return Some(chunk.slice(skip..end));
            }
            skip = skip.saturating_sub(chunk.len());
        }
        None
    }
}
