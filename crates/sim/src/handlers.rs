//! The handlers that work for a grant, and the readers of their answers: as the
//! gate drains them, whatever the reader does.

use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use quittance_facilitator::{
    AnswerObject, DraftReader, Facilitator, Grant, Objects, Sealed, StoreError, StoredAnswer, StoredObject,
    Taken,
};
use quittance_protocol::PaymentId;

use crate::canary::Canary;
use crate::client::{Client, Said};
use crate::plan::Crash;
use crate::stats::Fault;
use crate::world::link::{Front, Link};
use crate::world::{Handle, World};

/// Byte by byte what a run makes: another run makes another answer.
fn made(run: u32, bytes: usize) -> Vec<u8> {
    run.to_be_bytes().into_iter().cycle().take(bytes).collect()
}

/// The answer store as one process sees it.
pub(crate) struct ObjectStore {
    pub(crate) link: Arc<Link>,
    pub(crate) objects: Arc<dyn Objects>,
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").finish_non_exhaustive()
    }
}

impl ObjectStore {
    /// Full, silent, or well. A dead process's calls go nowhere.
    async fn asked(&self) -> Result<(), StoreError> {
        self.link.alive().await;
        let world = &self.link.world;
        let (fails, silent) = world.with(|w| {
            let fails = w.fault(w.plan.weather.handler_fails, Fault::StoreFailed);
            (fails, w.random.chance(300))
        });
        if fails && silent {
            std::future::pending::<()>().await;
        }
        if fails { Err(StoreError::Unavailable("No space left on device".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Objects for ObjectStore {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.asked().await?;
        self.objects.put(path, bytes).await
    }

    async fn get(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.asked().await?;
        self.objects.get(path, range).await
    }

    async fn delete_all(&self, folder: &str) -> Result<(), StoreError> {
        self.asked().await?;
        self.objects.delete_all(folder).await
    }
}

/// How a client reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    AtOnce,
    /// Nothing for a while, longer than a handler takes.
    Slowly,
    Not,
}

/// How a handler ends.
enum Ending {
    Answer,
    Failure,
    Dropped,
    Panic,
}

impl World {
    fn handler_ends(&mut self) -> Ending {
        if !self.fault(self.plan.weather.handler_fails, Fault::HandlerFailed) {
            return Ending::Answer;
        }
        match self.random.below(3) {
            0 => Ending::Failure,
            1 => Ending::Dropped,
            _ => Ending::Panic,
        }
    }

    /// Length of an answer: in the ledger, in the store, too long for both.
    fn answer_bytes(&mut self) -> usize {
        match self.random.below(4) {
            0 | 1 => 4,
            2 => 200,
            _ if self.calm => 200,
            _ => 500,
        }
    }

    fn reads(&mut self) -> Reads {
        if !self.fault(self.plan.weather.hang_up, Fault::SlowReader) {
            return Reads::AtOnce;
        }
        if self.random.chance(500) { Reads::Slowly } else { Reads::Not }
    }
}

/// Runs the handler, and waits for it unless the process dies.
pub(crate) async fn served(world: &Handle, front: &Front, client: &Client, grant: Grant) -> Said {
    let (link, facilitator) = (Arc::clone(&front.link), front.facilitator.clone());
    // The run is the payment's, whichever of its authorizations asked for it.
    let of = grant.paid().payment_id.clone();
    let (world, key) = (world.clone(), world.with(|w| w.key_of(&of)).unwrap_or(client.key));
    // Detached as in the gate: who hangs up does not stop a paid run.
    let work = tokio::spawn(async move { run(&world, &link, &facilitator, key, grant).await });
    tokio::select! {
        biased;
        () = front.link.died() => Said::Nothing,
        said = work => said.unwrap_or(Said::Failed),
    }
}

async fn run(world: &Handle, link: &Arc<Link>, facilitator: &Facilitator, key: usize, grant: Grant) -> Said {
    let number = grant.paid().run;
    tokio::select! {
        biased;
        // A grant that was on its way while the process stood still.
        () = grant.revoked() => {
            drop(grant);
            return Said::Failed;
        }
        () = std::future::ready(()) => {}
    }
    let run = world.with(|w| w.audit_run_begins(link, key, number));
    let works = world.sleep(50, 3_000);
    tokio::select! {
        biased;
        // As the gate: who may no longer act stops at once.
        () = grant.revoked() => {
            world.with(|w| w.audit.runs.retain(|one| one.number != run));
            drop(grant);
            return Said::Failed;
        }
        () = works => {}
    }
    if link.dies_at(Crash::DuringHandler, Some(key)).await {
        std::future::pending::<()>().await;
    }
    link.alive().await;
    world.with(|w| w.audit.runs.retain(|one| one.number != run));
    match world.with(World::handler_ends) {
        Ending::Panic => {
            // Unwinds through the grant, as a handler's panic does.
            std::panic::resume_unwind(Box::new("handler"));
        }
        Ending::Dropped => {
            drop(grant);
            Said::Failed
        }
        Ending::Failure => {
            let _ = facilitator.credit(grant, "500").await;
            Said::Failed
        }
        Ending::Answer => answered(world, link, facilitator, key, grant).await,
    }
}

/// The handler completed: its answer is drained, booked, and read at its
/// reader's own speed.
async fn answered(
    world: &Handle,
    link: &Arc<Link>,
    facilitator: &Facilitator,
    key: usize,
    grant: Grant,
) -> Said {
    let (run, id) = (grant.paid().run, grant.paid().payment_id.clone());
    let (bytes, reads) = world.with(|w| {
        w.audit_completed(link, key, run);
        (w.answer_bytes(), w.reads())
    });
    if reads == Reads::Slowly && world.with(|w| w.plan.canary == Some(Canary::ReaderCounts)) {
        let _ = facilitator.credit(grant, "the handler took too long").await;
        return Said::Failed;
    }
    let (mut draft, reader) = facilitator.draft(&grant);
    let reading = read(world.clone(), facilitator.clone(), reader, reads, key, id, made(run, bytes));
    let reading = tokio::spawn(reading);
    for chunk in made(run, bytes).chunks(150) {
        tokio::select! {
            biased;
            () = grant.revoked() => {
                world.with(|w| w.audit_not_booked(key));
                return Said::Failed;
            }
            _ = draft.push(Bytes::copy_from_slice(chunk)) => {}
        }
    }
    let sealed = draft.seal().await;
    link.alive().await;
    // Another process may start the run from the moment on at which this one may
    // no longer act, whatever the ledger's answer to `finish` is and when it comes.
    let (revoked, there) = (grant.revoked(), world.clone());
    let excused = tokio::spawn(async move {
        revoked.await;
        there.with(|w| w.audit_not_booked(key));
    });
    let finished = facilitator.finish(grant, stored(sealed)).await;
    excused.abort();
    if finished.is_err() {
        world.with(|w| w.audit_not_booked(key));
        return Said::Failed;
    }
    world.with(|w| w.audit_released(key));
    draft.complete();
    drop(reading);
    Said::Served
}

fn stored(sealed: Sealed) -> StoredAnswer {
    let (body, object, truncated) = match sealed {
        Sealed::Inline(body) => (body.to_vec(), None, false),
        Sealed::Stored(StoredObject { name, key, bytes }) => {
            (Vec::new(), Some(AnswerObject { name, key: *key.expose_bytes(), bytes }), false)
        }
        Sealed::NotKept { .. } => (Vec::new(), None, true),
    };
    StoredAnswer { status: 200, headers: Vec::new(), body, object, truncated, refundable: false, usage: None }
}

/// The live client.
async fn read(
    world: Handle,
    facilitator: Facilitator,
    mut reader: DraftReader,
    reads: Reads,
    key: usize,
    id: PaymentId,
    expected: Vec<u8>,
) {
    match reads {
        Reads::Not => return,
        Reads::Slowly => world.sleep(3_000, 20_000).await,
        Reads::AtOnce => {}
    }
    let mut got = Vec::new();
    loop {
        match poll_fn(|cx| reader.poll_next(cx, 64)).await {
            Taken::Piece(piece) => got.extend_from_slice(&piece),
            Taken::Broken => return,
            Taken::End => break,
        }
    }
    world.with(|w| w.audit_got(key, got == expected));
    // What tells the process can be lost on the way.
    if world.with(|w| w.random.chance(900)) {
        facilitator.answer_sent(&id);
    }
}

/// The stored answer again, read to its end; `None`: not now.
pub(crate) async fn replayed(
    world: &Handle,
    front: &Front,
    key: usize,
    id: &PaymentId,
    answer: &StoredAnswer,
) -> Option<()> {
    let shown = key;
    let key = world.with(|w| w.key_of(id)).unwrap_or(key);
    if answer.truncated {
        world.with(|w| {
            // 410 gives nothing out, so no window begins with it.
            w.audit.replays.remove(&shown);
            w.audit_not_kept(key, answer.refundable);
        });
        return Some(());
    }
    let body = match &answer.object {
        None => answer.body.clone(),
        Some(object) => {
            let mut reader = front.facilitator.read_answer(object, 0..object.bytes).await.ok()?;
            let mut body = Vec::new();
            while let Some(piece) = poll_fn(|cx| reader.poll_next(cx, 64)).await {
                body.extend_from_slice(&piece.ok()?);
            }
            body
        }
    };
    world.with(|w| w.audit_kept(key, &body));
    front.facilitator.answer_sent(id);
    Some(())
}

impl World {
    /// The handler made all of its answer; from here on it is the gate's to keep.
    fn audit_completed(&mut self, link: &Arc<Link>, key: usize, run: u32) {
        self.audit.completed.insert(key, (Arc::clone(link), run));
    }

    /// The ledger did not take it: another run is due.
    fn audit_not_booked(&mut self, key: usize) {
        self.audit.completed.remove(&key);
    }

    /// A new run may follow a completed one only if the process died, or lost its
    /// lease, before the ledger had it.
    pub(crate) fn audit_no_run_completed(&mut self, key: usize, run: u32) {
        let now = self.now();
        let Some((link, completed)) = self.audit.completed.remove(&key) else { return };
        let booked = self.audit.released.contains_key(&key);
        if booked || !link.stands_still(now) {
            self.broken("P6", format!("key {key}: run {run} although run {completed} had completed"));
        }
    }

    fn audit_got(&mut self, key: usize, whole: bool) {
        if !whole {
            self.broken("P6", format!("key {key}: a reader got another answer than was made"));
        }
        self.audit.got.insert(key);
    }

    /// 410: "delivered" is only said of what somebody got.
    fn audit_not_kept(&mut self, key: usize, refundable: bool) {
        if !refundable && !self.audit.got.contains(&key) {
            self.broken("P6", format!("key {key}: delivered, and nobody got it"));
        }
    }

    /// What is kept is what a run made, whole.
    fn audit_kept(&mut self, key: usize, body: &[u8]) {
        let run = body.get(..4).and_then(|run| run.try_into().ok()).map(u32::from_be_bytes);
        if run.is_none_or(|run| made(run, body.len()) != body) || ![4, 200].contains(&body.len()) {
            self.broken("P6", format!("key {key}: the kept answer is not the one that was made"));
        }
    }
}
