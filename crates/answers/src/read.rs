//! Reading a kept answer: a window at a time, however long it is.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::AnswerKey;
use crate::cipher::Cipher;
use crate::objects::StoreError;
use crate::shared::Inner;

/// Where a kept answer lies, as the ledger has it.
#[derive(Clone, Debug)]
pub struct StoredObject {
    /// Its name, 32 hexadecimal digits.
    pub name: String,
    /// Its key.
    pub key: AnswerKey,
    /// Its length.
    pub bytes: u64,
}

type Fetch = BoxFuture<'static, Result<Bytes, StoreError>>;

/// What fetches windows of one answer's stored bytes.
pub(crate) struct Source {
    inner: Arc<Inner>,
    name: String,
    cipher: Arc<Cipher>,
}

impl Source {
    pub(crate) fn new(inner: Arc<Inner>, name: String, key: &AnswerKey) -> Self {
        Self { inner, name, cipher: Arc::new(Cipher::new(key)) }
    }

    pub(crate) fn fetch(&self, from: u64, stored: u64, complete: bool) -> Fetch {
        let (inner, name, cipher) = (Arc::clone(&self.inner), self.name.clone(), Arc::clone(&self.cipher));
        async move { inner.window(&name, &cipher, from, stored, complete).await }.boxed()
    }
}

/// A range of a kept answer, on its way to a client.
pub struct StoredAnswerReader {
    source: Source,
    /// What is in memory of it.
    window: Bytes,
    fetch: Option<Fetch>,
    /// Behind the window.
    position: u64,
    end: u64,
    bytes: u64,
}

impl StoredAnswerReader {
    pub(crate) async fn open(
        inner: Arc<Inner>,
        object: StoredObject,
        range: Range<u64>,
    ) -> Result<Self, StoreError> {
        let source = Source::new(inner, object.name, &object.key);
        let end = range.end.min(object.bytes);
        let mut reader = Self {
            source,
            window: Bytes::new(),
            fetch: None,
            position: range.start,
            end,
            bytes: object.bytes,
        };
        if range.start < end {
            let window = reader.source.fetch(range.start, object.bytes, true).await?;
            reader.take(window);
        }
        Ok(reader)
    }

    fn take(&mut self, mut window: Bytes) {
        let wanted = self.end.saturating_sub(self.position);
        window.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        self.position = self.position.saturating_add(window.len() as u64);
        self.window = window;
    }

    /// The next bytes, at most `piece_bytes` of them; `None` at the end.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        piece_bytes: usize,
    ) -> Poll<Option<Result<Bytes, StoreError>>> {
        loop {
            if !self.window.is_empty() {
                let piece = self.window.len().min(piece_bytes.max(1));
                return Poll::Ready(Some(Ok(self.window.split_to(piece))));
            }
            if self.position >= self.end {
                return Poll::Ready(None);
            }
            let (source, position, bytes) = (&self.source, self.position, self.bytes);
            let fetch = self.fetch.get_or_insert_with(|| source.fetch(position, bytes, true));
            let window = std::task::ready!(fetch.poll_unpin(cx));
            self.fetch = None;
            match window {
                Ok(window) => self.take(window),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
