//! What all clones of a store, its drafts and its readers share, with their limits.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quittance_protocol::Episode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::cipher::{Cipher, FRAME_BYTES, SEALED_BYTES, SEGMENT_FRAMES};
use crate::objects::{Objects, StoreError};

/// Frames that a reader fetches at a time.
const WINDOW_FRAMES: usize = 4;

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

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) limits: Limits,
    /// Places for drafts beyond `inline_bytes_max`.
    pub(crate) memory: Arc<Semaphore>,
    /// Bytes of answers that the ledger says are kept.
    pub(crate) kept: AtomicU64,
    /// Bytes that drafts of this process have written and that are not kept yet.
    pub(crate) writing: AtomicU64,
    /// Drafts that have a writer or a reader here.
    pub(crate) open: Mutex<BTreeSet<String>>,
    /// The store takes nothing: when that began.
    pub(crate) refusing: Mutex<Option<Episode>>,
    pub(crate) since: Instant,
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

impl Inner {
    pub(crate) fn used(&self) -> u64 {
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

pub(crate) fn path_of(name: &str, segment: u64) -> String {
    format!("{}/{segment:06}", folder_of(name))
}

/// Objects of one answer lie in one folder; 256 folders above them, because a
/// file system is slow with a folder of a million entries.
pub(crate) fn folder_of(name: &str) -> String {
    format!("{}/{name}", name.get(..2).unwrap_or("00"))
}
