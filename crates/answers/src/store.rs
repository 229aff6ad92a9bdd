//! The store of kept answers, with its limits.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quittance_protocol::Episode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::AnswerKey;
use crate::cipher::{Cipher, FRAME_BYTES, SEALED_BYTES, SEGMENT_BYTES, SEGMENT_FRAMES};
use crate::draft::{Draft, DraftReader, Register};
use crate::objects::{Objects, StoreError};
use crate::read::{StoredAnswerReader, StoredObject};

/// Frames that a reader fetches at a time.
const WINDOW_FRAMES: usize = 4;

/// Segments of memory that a draft beyond `inline_bytes_max` may fill: one with
/// the answer's newest bytes, one with the sealed bytes on their way to the store.
const SEGMENTS_PER_DRAFT: u64 = 2;

/// Every number that bounds what answers may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest answer that needs no object: it goes into the ledger.
    pub inline_bytes_max: u64,
    /// Longest answer that is kept.
    pub answer_bytes_max: u64,
    /// What all kept answers may take in the store.
    pub total_bytes_max: u64,
    /// What drafts may hold in memory beyond `inline_bytes_max` each.
    pub memory_bytes_max: u64,
    /// How long one operation of the store, or the wait for memory, may take.
    pub store_timeout: Duration,
    /// How long an answer that is not kept waits for a reader who takes nothing.
    pub reader_stall: Duration,
    /// How long a reader may take in all after the answer is complete; also how
    /// long a run may wait for a reader in all.
    pub reader_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inline_bytes_max: 256 * 1024,
            answer_bytes_max: 64 * 1024 * 1024,
            total_bytes_max: 10 * 1024 * 1024 * 1024,
            memory_bytes_max: 256 * 1024 * 1024,
            store_timeout: Duration::from_secs(30),
            reader_stall: Duration::from_secs(120),
            reader_max: Duration::from_secs(3_600),
        }
    }
}

/// Kept answers. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct AnswerStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) limits: Limits,
    /// Places for drafts beyond `inline_bytes_max`.
    memory: Arc<Semaphore>,
    /// Bytes of answers that the ledger says are kept.
    kept: AtomicU64,
    /// Bytes that drafts of this process have written and that are not kept yet.
    writing: AtomicU64,
    /// Drafts that have a writer or a reader here.
    open: Mutex<BTreeSet<String>>,
    /// The store takes nothing: when that began.
    refusing: Mutex<Option<Episode>>,
    since: Instant,
}

impl Inner {
    /// A store that is full or away says so to every answer: it is told of at the start,
    /// and every five minutes with a count.
    pub(crate) fn note_refused(&self, error: &StoreError) {
        let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = {
            let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
            match refusing.as_mut().filter(|episode| !episode.is_over(now_ms)) {
                Some(episode) => episode.again(now_ms),
                None => Some(refusing.insert(Episode::new(now_ms)).times()),
            }
        };
        match told {
            Some(times) => tracing::error!(%error, times, "an answer cannot be kept"),
            None => tracing::debug!(%error, "an answer cannot be kept"),
        }
    }
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

/// Objects of one answer lie in one folder; 256 folders above them, because a
/// file system is slow with a folder of a million entries.
fn folder_of(name: &str) -> String {
    format!("{}/{name}", name.get(..2).unwrap_or("00"))
}

fn path_of(name: &str, segment: u64) -> String {
    format!("{}/{segment:06}", folder_of(name))
}

impl Inner {
    fn used(&self) -> u64 {
        self.kept.load(Ordering::Relaxed).saturating_add(self.writing.load(Ordering::Relaxed))
    }

    /// Room for so many bytes more, or not.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        // Two drafts may both take the last room; the bound is one segment wide.
        if self.used().saturating_add(bytes) > self.limits.total_bytes_max {
            return false;
        }
        self.writing.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// A draft's bytes are gone, or kept.
    pub(crate) fn release(&self, bytes: u64, kept: bool) {
        self.writing.fetch_sub(bytes, Ordering::Relaxed);
        if kept {
            self.kept.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_open(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    pub(crate) fn note_closed(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A place for a draft's segments; waits its turn.
    pub(crate) async fn memory(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.memory).acquire_owned();
        timeout(self.limits.store_timeout, place).await.ok()?.ok()
    }

    pub(crate) async fn put(&self, name: &str, segment: u64, bytes: Vec<u8>) -> Result<(), StoreError> {
        let path = path_of(name, segment);
        let put = self.objects.put(&path, Bytes::from(bytes));
        timeout(self.limits.store_timeout, put).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// The plain bytes from `from` on: a few frames of one object. `stored` is
    /// how much of the answer lies in the store, all of it if `complete`.
    pub(crate) async fn window(
        &self,
        name: &str,
        cipher: &Cipher,
        from: u64,
        stored: u64,
        complete: bool,
    ) -> Result<Bytes, StoreError> {
        let (frame_bytes, sealed_bytes) = (FRAME_BYTES as u64, SEALED_BYTES as u64);
        if from >= stored {
            return Err(StoreError::Damaged);
        }
        let first = from / frame_bytes;
        let in_segment = first % SEGMENT_FRAMES as u64;
        let last_stored = stored.saturating_sub(1) / frame_bytes;
        let in_window = (SEGMENT_FRAMES as u64).saturating_sub(in_segment).min(WINDOW_FRAMES as u64);
        let last = first.saturating_add(in_window).saturating_sub(1).min(last_stored);
        let plain_end = last.saturating_add(1).saturating_mul(frame_bytes).min(stored);
        let plain_bytes = plain_end.saturating_sub(first.saturating_mul(frame_bytes));
        let frames = last.saturating_sub(first).saturating_add(1);
        let tags = frames.saturating_mul(sealed_bytes.saturating_sub(frame_bytes));
        let begin = in_segment.saturating_mul(sealed_bytes);
        let end = begin.saturating_add(plain_bytes).saturating_add(tags);
        let path = path_of(name, first / SEGMENT_FRAMES as u64);
        let get = self.objects.get(&path, begin..end);
        let sealed = timeout(self.limits.store_timeout, get).await.unwrap_or(Err(StoreError::TimedOut))?;
        if sealed.len() as u64 != end.saturating_sub(begin) {
            return Err(StoreError::Damaged);
        }
        let mut plain = Vec::with_capacity(usize::try_from(plain_bytes).unwrap_or(0));
        for (number, frame) in (first..).zip(sealed.chunks(SEALED_BYTES)) {
            let ends = complete && number == last_stored;
            let position = u32::try_from(number).map_err(|_| StoreError::Damaged)?;
            let opened = cipher.open(position, frame, ends).map_err(|_| StoreError::Damaged)?;
            plain.extend_from_slice(&opened);
        }
        let skip = usize::try_from(from % frame_bytes).unwrap_or(0);
        Ok(Bytes::from(plain).slice(skip..))
    }
}
