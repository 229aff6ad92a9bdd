//! One wallet's lane: a task that performs what [`super::step`] decides.
//!
//! It waits for nobody: what asks a ledger or a node runs beside it and reports back, so a node
//! that takes its time holds up its own bytes only, and a panic in one payment's signing ends
//! that payment's work only. A panic of the lane itself ends its life: drivers hear it, and the
//! next life begins with nothing but what is durable. `upkeep` runs it turn by turn, as all
//! background work: one that hangs, fails or panics is seen there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use quittance_ledger::{AttemptId, Recorded};
use quittance_protocol::{Network, PaymentId};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::defect::Defects;
use super::perform::{self, Done, LaneFault, Shared};
use super::step::{Batch, BatchPart, Effect, Event, Fees, Reply, State, Wallet, step};
use super::{Heard, Paid, Request, batch, replace, start_of};
use crate::context::failpoint;
use crate::context::look::panic_words;
use crate::network::pool::LaneSeen;
use crate::network::tariffs;

/// How long a turn of a lane is; a lane that broke begins anew after as long.
pub(crate) const TURN: Duration = Duration::from_secs(2);

/// A payment's driver, and the payment's bytes.
struct Known {
    paid: Arc<Paid>,
    replies: mpsc::Sender<Heard>,
    /// Oldest first.
    recorded: Vec<Arc<Recorded>>,
    since: Instant,
}

/// What each life of a wallet's lane is made of.
#[derive(Clone)]
pub(crate) struct LaneParts {
    pub(super) shared: Shared,
    pub(super) wallet: Wallet,
    /// What is asked of it, whichever life answers.
    pub(super) requests: Arc<Mutex<mpsc::Receiver<Request>>>,
    pub(super) defects: Defects,
}

impl LaneParts {
    pub(crate) fn network(&self) -> &Network {
        self.shared.net.chain.network()
    }

    /// Others take what is new for a while.
    pub(crate) fn note_broken(&self) {
        self.shared.wallet.note_broken();
    }

    /// Whether its wallet takes new payments; a retired one finishes its own.
    pub(crate) fn signs(&self) -> bool {
        self.wallet.signs
    }

    /// A life that begins with nothing.
    pub(crate) fn lane(&self) -> Lane {
        Lane {
            shared: self.shared.clone(),
            requests: Arc::clone(&self.requests),
            has_requests: true,
            state: State::of(self.wallet.clone()),
            defects: self.defects.clone(),
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            vanished: BTreeMap::new(),
            tasks: JoinSet::new(),
            began: Instant::now(),
            rejoined: self.shared.context.rejoined.load(Ordering::SeqCst),
            fault: None,
        }
    }
}

/// One life of a lane.
pub(crate) struct Lane {
    shared: Shared,
    requests: Arc<Mutex<mpsc::Receiver<Request>>>,
    has_requests: bool,
    state: State,
    defects: Defects,
    known: BTreeMap<PaymentId, Known>,
    /// Bytes at open nonces, as they were read last.
    open: BTreeMap<AttemptId, Arc<Recorded>>,
    /// Bytes whose landings are gone.
    vanished: BTreeMap<AttemptId, Arc<Recorded>>,
    tasks: JoinSet<Done>,
    began: Instant,
    /// How often the process had lost its lease when this was looked at last.
    rejoined: u64,
    /// What went wrong in this turn first.
    fault: Option<LaneFault>,
}

impl Lane {
    /// One turn, of [`TURN`]; when the process stops, until what was under way has ended.
    pub(crate) async fn turn(&mut self) -> Result<(), LaneFault> {
        let requests = Arc::clone(&self.requests);
        let mut requests = requests.lock().await;
        let ends_at = Instant::now() + TURN;
        let stop = self.shared.context.stop.clone();
        self.look_for_left().await;
        loop {
            let is_stopping = self.state.is_stopping();
            if is_stopping && self.tasks.is_empty() {
                break;
            }
            let wakes_at = self.wakes_at();
            let event = tokio::select! {
                biased;
                () = stop.cancelled(), if !is_stopping => Some(Event::Stop),
                Some(done) = self.tasks.join_next() => done.ok().map(|done| self.take_in(done)),
                request = requests.recv(), if self.has_requests && !is_stopping => match request {
                    Some(request) => Some(self.accept(request)),
                    None => {
                        self.has_requests = false;
                        None
                    }
                },
                () = sleep_until(wakes_at) => Some(Event::Tick),
                () = tokio::time::sleep_until(ends_at), if !is_stopping => None,
            };
            if let Some(event) = event {
                self.advance(event).await;
            }
            // However much is asked, what is due is done.
            if wakes_at.is_some_and(|at| at <= Instant::now()) {
                self.advance(Event::Tick).await;
            }
            if Instant::now() >= ends_at && !self.state.is_stopping() {
                break;
            }
        }
        let Shared { context, net, wallet } = &self.shared;
        context.metrics.lane_payments(net.chain.network(), &wallet.address, wallet.load().payments);
        self.show();
        self.fault.take().map_or(Ok(()), Err)
    }

    /// How it goes, for operators.
    fn show(&self) {
        let head = self.state.head();
        let nonces: BTreeSet<u64> = self.open.values().filter_map(|one| one.nonce()).collect();
        let is_open = |nonce: &&u64| head.is_some_and(|(first, _)| **nonce >= first);
        let oldest = self.known.values().map(|known| known.since.elapsed()).max();
        self.shared.wallet.note_lane(LaneSeen {
            open_slots: nonces.iter().filter(is_open).count(),
            head: head.map(|(nonce, since)| (nonce, self.now_ms().saturating_sub(since))),
            oldest_payment_ms: oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wakes_at(&self) -> Option<Instant> {
        self.began.checked_add(Duration::from_millis(self.state.wakes_at()?))
    }

    /// A driver that is gone without a verdict (the process stops, its payment is somebody
    /// else's, or it ended in a panic) drops what its payment would be told.
    async fn look_for_left(&mut self) {
        let is_gone = |(id, known): (&PaymentId, &Known)| known.replies.is_closed().then(|| id.clone());
        let gone: Vec<_> = self.known.iter().filter_map(is_gone).collect();
        for payment in gone {
            self.advance(Event::Left { payment }).await;
        }
    }

    fn accept(&mut self, request: Request) -> Event {
        match request {
            Request::Take { paid, reserved, found, replies } => {
                let (payment, start) = (paid.id.clone(), start_of(reserved, found.as_deref()));
                self.know(paid, replies, found.unwrap_or_default());
                Event::Taken { payment, start }
            }
            Request::Want(payment, seen) => Event::Wanted { payment, seen },
            Request::Resume(payment) => Event::Resumed { payment },
            Request::Unwell(payment) => Event::Unwell { payment },
            Request::Failed(payment, transaction) => Event::Failed { payment, transaction },
            Request::Over(payment) => Event::Over { payment },
            Request::Again(recorded) => {
                let attempt = recorded.attempt();
                self.vanished.insert(attempt, recorded);
                Event::Vanished(attempt)
            }
        }
    }

    fn know(&mut self, paid: Arc<Paid>, replies: mpsc::Sender<Heard>, found: Vec<Arc<Recorded>>) {
        let id = paid.id.clone();
        let before = self.known.remove(&id).map(|known| known.recorded).unwrap_or_default();
        let known =
            self.known.entry(id).or_insert(Known { paid, replies, recorded: before, since: Instant::now() });
        known.add(found);
    }

    /// Bytes first: what happened to them is decided with their number alone.
    fn take_in(&mut self, done: Done) -> Event {
        let Done { event, recorded, fault } = done;
        if let Some(fault) = fault {
            self.fault.get_or_insert(fault);
        }
        match &event {
            Event::SlotsRead { .. } => {
                self.keep(&recorded);
                self.open = recorded.into_iter().map(|one| (one.attempt(), one)).collect();
            }
            Event::SentAgain(attempt) => drop(self.vanished.remove(attempt)),
            Event::Replaced { .. } => {
                self.keep(&recorded);
                self.open.extend(recorded.into_iter().map(|one| (one.attempt(), one)));
            }
            _ => self.keep(&recorded),
        }
        event
    }

    /// With what is known of their payments.
    fn keep(&mut self, recorded: &[Arc<Recorded>]) {
        for one in recorded {
            for payment in one.payments() {
                if let Some(known) = self.known.get_mut(payment) {
                    known.add(vec![Arc::clone(one)]);
                }
            }
        }
    }

    async fn advance(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let rejoined = self.shared.context.rejoined.load(Ordering::SeqCst);
        if std::mem::replace(&mut self.rejoined, rejoined) != rejoined {
            events.push_front(Event::Rejoined);
        }
        while let Some(event) = events.pop_front() {
            tracing::trace!(wallet = %self.shared.wallet.address, ?event, "step");
            let now_ms = self.now_ms();
            let effects = step(&mut self.state, event, now_ms);
            for effect in self.defects.spoil(effects) {
                events.extend(self.perform(effect).await);
            }
        }
    }

    /// What is known at once comes back at once.
    async fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Price { payment } => {
                failpoint::hit("before_record").await;
                let known = self.known.get(&payment);
                let fees = known.map_or_else(Fees::unknown, |known| perform::fees(&self.shared, &known.paid));
                return Some(Event::Fees { payment, fees });
            }
            Effect::Reply { payment, reply } => self.reply(&payment, reply),
            Effect::Tell { payment } => self.reply(&payment, Reply::Recorded),
            Effect::Alert { payment, reason } => self.alert(&payment, "send_refused", &reason),
            Effect::Broken { payment, rule } => {
                self.alert(&payment, "lane_broke", rule);
                self.fault.get_or_insert(LaneFault::Rule(rule));
            }
            Effect::Forget { payment } => drop(self.known.remove(&payment)),
            Effect::SetStuck(is_stuck) => self.set_stuck(is_stuck),
            Effect::AskUsed => self.look(perform::used(self.shared.clone())),
            Effect::ReadSlots { from } => self.look(perform::slots(self.shared.clone(), from)),
            Effect::LookAtHead { attempt } => {
                let Some(head) = self.open.get(&attempt).cloned() else { return Some(Event::LookFailed) };
                self.look(perform::head(self.shared.clone(), head));
            }
            Effect::Judge { attempts } => {
                let open: Vec<_> = attempts.iter().filter_map(|one| self.open.get(one).cloned()).collect();
                self.look(perform::judged(self.shared.clone(), open));
            }
            Effect::Weigh { attempt } => {
                let Some(head) = self.open.get(&attempt).cloned() else { return Some(replace::NOT_NOW) };
                self.beside(replace::NOT_NOW, replace::weigh(self.shared.clone(), head));
            }
            Effect::Replace { attempt, by, payments } => {
                let Some(old) = self.open.get(&attempt).cloned() else { return Some(replace::NOT_NOW) };
                let work = replace::replace(self.shared.clone(), old, by, payments);
                self.beside(replace::NOT_NOW, work);
            }
            Effect::Fill { attempt } => {
                let bytes = self.open.get(&attempt).cloned();
                self.broadcast(Event::Filled(attempt), bytes, "using up a slot");
            }
            Effect::Again { attempt } => {
                let bytes = self.vanished.get(&attempt).cloned();
                self.broadcast(Event::SentAgain(attempt), bytes, "broadcasting what had landed");
            }
            Effect::Rehearse(batch) => {
                let (parts, work) = (self.parts(&batch), batch.payments());
                let broke = Event::Rehearsed { payments: work, moves: Vec::new(), left_out: Vec::new() };
                self.beside(broke, batch::rehearse(self.shared.clone(), parts, batch));
            }
            Effect::RecordBatch(batch) => {
                let (parts, payments) = (self.parts(&batch), batch.payments());
                let reason = "signing them ended in a panic".to_owned();
                let broke = Event::Unsure { payments, reason };
                self.beside(broke, batch::record(self.shared.clone(), parts, batch));
            }
            for_a_payment => self.perform_for(for_a_payment),
        }
        None
    }

    fn perform_for(&mut self, effect: Effect) {
        let payment = match &effect {
            Effect::Record { payments, .. } => payments.first().cloned(),
            Effect::Reserve { payment, .. }
            | Effect::Read { payment }
            | Effect::GiveBack { payment, .. }
            | Effect::Return { payment }
            | Effect::Send { payment, .. } => Some(payment.clone()),
            _ => None,
        };
        let Some(payment) = payment else { return };
        let broke = Event::Broke { payment: payment.clone() };
        let Some(known) = self.known.get(&payment) else {
            // Nothing is known of it and something is to be done: as if that had failed.
            return self.beside(broke.clone(), async move { Done::of(broke) });
        };
        let (shared, paid) = (self.shared.clone(), Arc::clone(&known.paid));
        match effect {
            Effect::Reserve { bound, seen, .. } => {
                self.beside(broke, perform::reserve(shared, paid, bound, seen))
            }
            Effect::Record { payments, slot, newest, allowed } => {
                self.beside(broke, perform::record(shared, paid, payments, (slot, newest), allowed));
            }
            Effect::Read { .. } => self.beside(broke, perform::read(shared, paid)),
            Effect::GiveBack { known, .. } => self.beside(broke, perform::give_back(shared, paid, known)),
            Effect::Return { .. } => self.beside(broke, perform::return_cost(shared, paid)),
            Effect::Send { attempt, .. } => {
                let bytes = known.recorded.iter().find(|one| one.attempt() == attempt).cloned();
                // I2: there is no number without its bytes.
                let Some(bytes) = bytes else {
                    return self.beside(broke.clone(), async move { Done::of(broke) });
                };
                self.beside(broke, perform::send(shared, paid, bytes));
            }
            _ => {}
        }
    }

    /// What is known of a batch's payments, in its order.
    fn parts(&self, batch: &Batch) -> Vec<Arc<Paid>> {
        let paid = |part: &BatchPart| Some(Arc::clone(&self.known.get(&part.payment)?.paid));
        batch.parts.iter().filter_map(paid).collect()
    }

    /// Beside the lane; a panic is an event like any other, and the turn's fault.
    fn beside(&mut self, broke: Event, work: impl Future<Output = Done> + Send + 'static) {
        let guarded = AssertUnwindSafe(work).catch_unwind();
        let (network, wallet) = (self.shared.net.chain.network().clone(), Arc::clone(&self.shared.wallet));
        self.tasks.spawn(async move {
            guarded.await.unwrap_or_else(|panic| {
                let words = panic_words(&*panic);
                tracing::error!(%network, wallet = wallet.address, words, "work of a lane panicked");
                Done { fault: Some(LaneFault::Panicked(words)), ..Done::of(broke) }
            })
        });
    }

    fn look(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.beside(Event::LookFailed, work);
    }

    /// Bytes whose payments are over; `ended` is reported however it goes.
    fn broadcast(&mut self, ended: Event, bytes: Option<Arc<Recorded>>, why: &'static str) {
        let (shared, done) = (self.shared.clone(), Done::of(ended.clone()));
        self.beside(ended, async move {
            if let Some(bytes) = bytes {
                perform::broadcast_again(&shared, &bytes, why).await;
            }
            done
        });
    }

    fn reply(&self, payment: &PaymentId, reply: Reply) {
        let Some(known) = self.known.get(payment) else { return };
        let heard = match reply {
            Reply::Recorded => Heard::Recorded(self.defects.known(&known.recorded)),
            Reply::Waiting(refusal) => Heard::Waiting { retry: refusal.retry, reason: refusal.reason },
            Reply::Refused(_) => Heard::Refused,
        };
        // A driver that is gone needs none; one that asked once hears once, and of what was found.
        let _ = known.replies.try_send(heard);
    }

    fn alert(&self, payment: &PaymentId, kind: &'static str, reason: &str) {
        self.shared.context.metrics.alert(self.shared.net.chain.network(), kind);
        tracing::warn!(%payment, kind, reason, "needs attention");
    }

    fn set_stuck(&self, is_stuck: bool) {
        let Shared { context, net, wallet } = &self.shared;
        if wallet.stuck.swap(is_stuck, Ordering::AcqRel) != is_stuck {
            tariffs::tell(net, &context.metrics, net.open(context.clock.now_ms()).err());
        }
    }
}

impl Known {
    fn add(&mut self, recorded: Vec<Arc<Recorded>>) {
        for one in recorded {
            if !self.recorded.iter().any(|known| known.attempt() == one.attempt()) {
                self.recorded.push(one);
            }
        }
        self.recorded.sort_by_key(|one| one.attempt());
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
