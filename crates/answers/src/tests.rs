//! Drafts and kept answers over stores that are full, slow, down or another's.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;

use super::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A store in memory that is as unkind as it is told.
#[derive(Debug, Default)]
struct Unkind {
    objects: Mutex<BTreeMap<String, Bytes>>,
    puts: AtomicUsize,
    /// `put` fails from this one on; zero: never.
    full_after: AtomicUsize,
    stands_still: AtomicBool,
}

#[async_trait]
impl Objects for Unkind {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        if self.stands_still.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let puts = self.puts.fetch_add(1, Ordering::SeqCst) + 1;
        let full_after = self.full_after.load(Ordering::SeqCst);
        if full_after > 0 && puts > full_after {
            return Err(StoreError::Unavailable("No space left on device".to_owned()));
        }
        self.objects.lock().unwrap().insert(path.to_owned(), bytes);
        Ok(())
    }

    async fn get(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let objects = self.objects.lock().unwrap();
        let object = objects.get(path).ok_or(StoreError::NotFound)?;
        let end = (range.end as usize).min(object.len());
        Ok(object.slice(range.start as usize..end))
    }

    async fn delete_all(&self, folder: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().retain(|path, _| !path.starts_with(folder));
        Ok(())
    }
}

fn limits() -> Limits {
    Limits { inline_bytes_max: 100 * KIB as u64, answer_bytes_max: 4 * MIB as u64, ..Limits::default() }
}

fn store(limits: Limits) -> (Arc<Unkind>, AnswerStore) {
    let objects = Arc::new(Unkind::default());
    (Arc::clone(&objects), AnswerStore::new(objects, limits))
}

fn registered() -> Register {
    Box::new(|_| std::future::ready(true).boxed())
}

fn begin(store: &AnswerStore) -> (Draft, DraftReader) {
    store.draft([7; 16], AnswerKey::new([9; 32]), registered())
}

/// Bytes that differ from place to place.
fn noise(from: usize, bytes: usize) -> Bytes {
    (from..from + bytes).map(|at| (at * 31 + at / 251) as u8).collect()
}

async fn read_on(reader: &mut DraftReader, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes {
        match poll_fn(|cx| reader.poll_next(cx, (bytes - read.len()).min(32 * KIB))).await {
            Taken::Piece(piece) => read.extend_from_slice(&piece),
            other => panic!("{other:?} after {}", read.len()),
        }
    }
    read
}

async fn ends(reader: &mut DraftReader) -> Taken {
    poll_fn(|cx| reader.poll_next(cx, 32 * KIB)).await
}

async fn read_all(
    store: &AnswerStore,
    object: StoredObject,
    range: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    let mut reader = store.read(object, range).await?;
    let mut read = Vec::new();
    while let Some(piece) = poll_fn(|cx| reader.poll_next(cx, 10_000)).await {
        read.extend_from_slice(&piece?);
    }
    Ok(read)
}

/// Writes `bytes` in chunks nobody reads, and seals them.
async fn written(store: &AnswerStore, bytes: usize) -> (Sealed, Draft, DraftReader) {
    let (mut draft, reader) = begin(store);
    for at in (0..bytes).step_by(70_001) {
        draft.push(noise(at, 70_001.min(bytes - at))).await;
    }
    (draft.seal().await, draft, reader)
}

#[tokio::test]
async fn an_answer_is_kept_whole_although_nobody_reads_it() {
    for bytes in [0, 1, 100 * KIB, 100 * KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5, 4 * MIB] {
        let (objects, store) = store(limits());
        let (sealed, draft, mut reader) = written(&store, bytes).await;
        match sealed {
            Sealed::Inline(body) => {
                assert!(bytes <= 100 * KIB);
                assert_eq!(body, noise(0, bytes), "{bytes}");
                assert_eq!(objects.puts.load(Ordering::SeqCst), 0);
            }
            Sealed::Stored(object) => {
                assert!(bytes > 100 * KIB);
                let all = read_all(&store, object.clone(), 0..bytes as u64).await.unwrap();
                assert_eq!(all, noise(0, bytes), "{bytes}");
                let part = read_all(&store, object, 65_530..65_541).await.unwrap();
                assert_eq!(part, noise(65_530, 11));
            }
            Sealed::NotKept { loss, .. } => panic!("{bytes}: {loss:?}"),
        }
        // The client that slept through all of it gets it now.
        draft.complete();
        assert_eq!(read_on(&mut reader, bytes).await, noise(0, bytes), "{bytes}");
        assert_eq!(ends(&mut reader).await, Taken::End);
    }
}

#[tokio::test]
async fn a_live_reader_gets_each_chunk_at_once_and_the_end_last() {
    let (_, store) = store(limits());
    let (mut draft, mut reader) = begin(&store);
    for at in 0..50 {
        draft.push(noise(at * 50_000, 50_000)).await;
        assert_eq!(read_on(&mut reader, 50_000).await, noise(at * 50_000, 50_000));
    }
    assert!(ends(&mut reader).now_or_never().is_none());
    draft.seal().await;
    assert!(ends(&mut reader).now_or_never().is_none(), "not before the ledger has it");
    draft.complete();
    assert_eq!(ends(&mut reader).await, Taken::End);
}

#[tokio::test]
async fn a_run_that_fails_cuts_its_reader_off() {
    let (_, store) = store(limits());
    let (mut draft, mut reader) = begin(&store);
    draft.push(noise(0, 10)).await;
    drop(draft);
    assert_eq!(read_on(&mut reader, 10).await, noise(0, 10), "what there was, and then a cut");
    assert_eq!(ends(&mut reader).await, Taken::Broken);
}

/// Too long, store full, store down: one kind. The reader gets all of it.
#[tokio::test(start_paused = true)]
async fn what_is_not_kept_still_reaches_its_reader_whole() {
    for (loss, bytes) in
        [(Loss::TooLong, 6 * MIB), (Loss::StoreUnavailable, 3 * MIB), (Loss::StoreFull, 3 * MIB)]
    {
        let (objects, store) = match loss {
            Loss::StoreFull => store(Limits { total_bytes_max: 1_100 * KIB as u64, ..limits() }),
            _ => store(limits()),
        };
        if loss == Loss::StoreUnavailable {
            objects.full_after.store(1, Ordering::SeqCst);
        }
        let (mut draft, mut reader) = begin(&store);
        let reading = tokio::spawn(async move {
            let read = read_on(&mut reader, bytes).await;
            (read, ends(&mut reader).await)
        });
        let mut lost = Vec::new();
        for at in (0..bytes).step_by(64 * KIB) {
            if let Step::Lost(loss) = draft.push(noise(at, 64 * KIB)).await {
                lost.push(loss);
            }
        }
        assert_eq!(lost, [loss]);
        let sealed = draft.seal().await;
        assert!(
            matches!(sealed, Sealed::NotKept { loss: why, bytes: all } if why == loss && all == bytes as u64)
        );
        draft.complete();
        let (read, end) = reading.await.unwrap();
        assert!(read == noise(0, bytes), "{loss:?}");
        assert_eq!(end, Taken::End);
    }
}

/// Who has read all there was when the answer stopped being kept has nothing to
/// take until the next chunk: the writer must not wait for that.
#[tokio::test(start_paused = true)]
async fn a_reader_that_kept_up_is_not_waited_for_in_vain() {
    let (_, store) = store(Limits { answer_bytes_max: MIB as u64, ..limits() });
    let (mut draft, mut reader) = begin(&store);
    let begun = tokio::time::Instant::now();
    for at in 0..40 {
        draft.push(noise(at * 64 * KIB, 64 * KIB)).await;
        assert_eq!(read_on(&mut reader, 64 * KIB).await, noise(at * 64 * KIB, 64 * KIB));
    }
    draft.seal().await;
    draft.complete();
    assert_eq!(ends(&mut reader).await, Taken::End);
    assert!(begun.elapsed() < store.limits().reader_stall);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_of_what_is_not_kept_is_given_up() {
    let (_, store) = store(Limits { reader_stall: Duration::from_secs(5), ..limits() });
    let (mut draft, mut reader) = begin(&store);
    for at in 0..200 {
        draft.push(noise(at * 64 * KIB, 64 * KIB)).await;
    }
    assert_eq!(ends(&mut reader).await, Taken::Broken);
    assert!(matches!(draft.seal().await, Sealed::NotKept { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stands_still_holds_nobody_for_long() {
    let (objects, store) = store(limits());
    objects.stands_still.store(true, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    let (sealed, ..) = written(&store, 2 * MIB).await;
    assert!(matches!(sealed, Sealed::NotKept { loss: Loss::StoreUnavailable, .. }));
    let waited = begun.elapsed();
    assert!(waited <= store.limits().store_timeout + store.limits().reader_stall * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_over_all_drafts() {
    let (_, store) = store(Limits { memory_bytes_max: 2 * MIB as u64, ..limits() });
    let (mut first, _reader) = begin(&store);
    assert_eq!(first.push(noise(0, 200 * KIB)).await, Step::Kept);
    let (mut second, _other) = begin(&store);
    assert_eq!(second.push(noise(0, 90 * KIB)).await, Step::Kept, "short ones need no place");
    assert_eq!(second.push(noise(0, 90 * KIB)).await, Step::Lost(Loss::NoMemory));
    first.seal().await;
    let (mut third, _third) = begin(&store);
    assert_eq!(third.push(noise(0, 200 * KIB)).await, Step::Kept, "a sealed one has given its place back");
}

#[tokio::test]
async fn nothing_is_written_that_the_ledger_does_not_know() {
    let (objects, store) = store(limits());
    let register: Register = Box::new(|_| std::future::ready(false).boxed());
    let (mut draft, _reader) = store.draft([1; 16], AnswerKey::new([2; 32]), register);
    let step = draft.push(noise(0, 2 * MIB)).await;
    assert_eq!(step, Step::Lost(Loss::StoreUnavailable));
    assert!(objects.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_cut_moved_or_exchanged_does_not_open() {
    let (objects, store) = store(limits());
    let (Sealed::Stored(object), ..) = written(&store, 2 * MIB + 70_000).await else { panic!() };
    let whole = 0..object.bytes;
    let shorter = StoredObject { bytes: MIB as u64, ..object.clone() };
    assert_eq!(read_all(&store, shorter, 0..MIB as u64).await, Err(StoreError::Damaged), "cut at a segment");
    let other = StoredObject { key: AnswerKey::new([8; 32]), ..object.clone() };
    assert_eq!(read_all(&store, other, whole.clone()).await, Err(StoreError::Damaged), "another key");
    let paths: Vec<String> = objects.objects.lock().unwrap().keys().cloned().collect();
    {
        let mut map = objects.objects.lock().unwrap();
        let (first, second) = (map[&paths[0]].clone(), map[&paths[1]].clone());
        map.insert(paths[0].clone(), second);
        map.insert(paths[1].clone(), first);
    }
    assert_eq!(read_all(&store, object.clone(), whole.clone()).await, Err(StoreError::Damaged), "moved");
    objects.objects.lock().unwrap().remove(&paths[0]);
    assert_eq!(read_all(&store, object, whole).await, Err(StoreError::NotFound), "another machine's");
}

#[tokio::test]
async fn a_folder_holds_no_plain_text_and_forgets_what_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let objects = folder(&Folder(dir.path().join("answers"))).unwrap();
    let store = AnswerStore::new(objects, limits());
    let (mut draft, reader) = begin(&store);
    for _ in 0..30 {
        draft.push(Bytes::from("the goods, in plain words ".repeat(3_000))).await;
    }
    let Sealed::Stored(object) = draft.seal().await else { panic!() };
    draft.complete();
    let files = |dir: &std::path::Path| {
        let mut found = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    };
    let found = files(dir.path());
    assert_eq!(found.len(), 3, "{found:?}");
    for path in found {
        assert!(!std::fs::read(path).unwrap().windows(9).any(|word| word == b"the goods"));
    }
    assert!(store.is_open(&object.name), "its reader is still here");
    drop(reader);
    assert!(!store.is_open(&object.name));
    assert_eq!(read_all(&store, object.clone(), 4..9).await.unwrap(), b"goods");
    store.delete(&object.name).await.unwrap();
    store.delete(&object.name).await.unwrap();
    assert!(files(dir.path()).is_empty());
    assert_eq!(read_all(&store, object, 0..4).await, Err(StoreError::NotFound));
    assert_eq!(store.delete("").await, Err(StoreError::Damaged), "not the whole store");
}
