//! The one client that is there while its answer is made.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::state::{End, Shared};
use crate::objects::StoreError;
use crate::read::Source;

/// What a live reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next bytes.
    Piece(Bytes),
    /// The answer is complete, and in the ledger.
    End,
    /// It broke off, or the reader was given up.
    Broken,
}

/// The live client of a draft.
pub struct DraftReader {
    shared: Arc<Shared>,
    source: Source,
    window: Bytes,
    fetch: Option<BoxFuture<'static, Result<Bytes, StoreError>>>,
    over: bool,
}

/// Takes a reader's bytes away when its time is up.
#[derive(Clone)]
pub struct ReaderHandle {
    shared: std::sync::Weak<Shared>,
}

impl ReaderHandle {
    /// The reader gets no more; what it held is free.
    pub fn give_up(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.give_up();
        }
    }
}

impl DraftReader {
    pub(super) fn new(shared: Arc<Shared>, source: Source) -> Self {
        Self { shared, source, window: Bytes::new(), fetch: None, over: false }
    }

    /// To give this reader up from outside.
    pub fn handle(&self) -> ReaderHandle {
        ReaderHandle { shared: Arc::downgrade(&self.shared) }
    }

    /// The next bytes, at most `piece_bytes` of them.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, piece_bytes: usize) -> Poll<Taken> {
        loop {
            if !self.window.is_empty() {
                let piece = self.window.len().min(piece_bytes.max(1));
                let piece = self.window.split_to(piece);
                self.advance(piece.len());
                return Poll::Ready(Taken::Piece(piece));
            }
            if let Some(fetch) = &mut self.fetch {
                let window = std::task::ready!(fetch.poll_unpin(cx));
                self.fetch = None;
                match window {
                    Ok(window) => self.window = window,
                    Err(error) => {
                        tracing::warn!(%error, "a live reader cannot be given what the store holds");
                        return Poll::Ready(Taken::Broken);
                    }
                }
                continue;
            }
            let piece = {
                let mut state = self.shared.state();
                if state.reader_gone {
                    return Poll::Ready(Taken::Broken);
                }
                if state.position < state.stored {
                    self.fetch = Some(self.source.fetch(state.position, state.stored, state.sealed));
                    continue;
                }
                match (state.piece(piece_bytes), state.end) {
                    (Some(piece), _) => piece,
                    (None, Some(End::Complete)) => {
                        self.over = true;
                        return Poll::Ready(Taken::End);
                    }
                    (None, Some(End::Broken)) => return Poll::Ready(Taken::Broken),
                    (None, None) => {
                        state.waker = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
            };
            self.advance(piece.len());
            return Poll::Ready(Taken::Piece(piece));
        }
    }

    fn advance(&mut self, bytes: usize) {
        {
            let mut state = self.shared.state();
            state.position = state.position.saturating_add(bytes as u64);
            if !state.kept {
                let position = state.position;
                state.forget(position);
            }
        }
        self.shared.moved.notify_one();
    }
}

impl Drop for DraftReader {
    fn drop(&mut self) {
        self.shared.give_up();
    }
}
