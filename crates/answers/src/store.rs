//! The store of kept answers, with its limits.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::AnswerKey;
use crate::cipher::SEGMENT_BYTES;
use crate::draft::{Draft, DraftReader, Register};
use crate::objects::{Objects, StoreError};
use crate::read::{StoredAnswerReader, StoredObject};
use crate::shared::{Inner, Limits, folder_of};

/// Segments of memory that a draft beyond `inline_bytes_max` may fill: one with
/// the answer's newest bytes, one with the sealed bytes on their way to the store.
const SEGMENTS_PER_DRAFT: u64 = 2;

/// Kept answers. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct AnswerStore {
    pub(crate) inner: Arc<Inner>,
}

impl AnswerStore {
    /// Over these objects.
    pub fn new(objects: Arc<dyn Objects>, limits: Limits) -> Self {
        let place = SEGMENTS_PER_DRAFT.saturating_mul(SEGMENT_BYTES as u64);
        let places = usize::try_from((limits.memory_bytes_max / place).max(1)).unwrap_or(usize::MAX);
        Self {
            inner: Arc::new(Inner {
                objects,
                limits,
                memory: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
                kept: AtomicU64::new(0),
                writing: AtomicU64::new(0),
                open: Mutex::default(),
                refusing: Mutex::default(),
                since: Instant::now(),
            }),
        }
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// A draft of an answer: its writer, and the reader of the one client that
    /// waits for it. `name` and `key` are fresh randomness; `register` is called
    /// once, before the first object is written.
    pub fn draft(&self, name: [u8; 16], key: AnswerKey, register: Register) -> (Draft, DraftReader) {
        Draft::begin(Arc::clone(&self.inner), hex::encode(name), key, register)
    }

    /// Reads `range` of a kept answer. The first bytes are fetched at once, so
    /// that a store that does not have them is noticed before any is promised.
    pub async fn read(
        &self,
        object: StoredObject,
        range: Range<u64>,
    ) -> Result<StoredAnswerReader, StoreError> {
        StoredAnswerReader::open(Arc::clone(&self.inner), object, range).await
    }

    /// Deletes what is left of an answer; nothing is fine.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        // A name from a damaged row must not delete a whole store.
        if name.len() != 32 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StoreError::Damaged);
        }
        let folder = folder_of(name);
        let limit = self.inner.limits.store_timeout;
        timeout(limit, self.inner.objects.delete_all(&folder)).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Whether a draft of this name has a writer or a reader in this process.
    pub fn is_open(&self, name: &str) -> bool {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// What the ledger says all kept answers take.
    pub fn set_kept_bytes(&self, bytes: u64) {
        self.inner.kept.store(bytes, Ordering::Relaxed);
    }

    /// What kept answers and drafts take, as far as this process knows.
    pub fn used_bytes(&self) -> u64 {
        self.inner.used()
    }
}
