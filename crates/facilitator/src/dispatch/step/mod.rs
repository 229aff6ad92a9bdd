//! What becomes of one wallet's attempts, as a pure function.
//!
//! `step(state, event, now_ms) -> effects` decides who is signed for, sent, sent again and
//! whose slot is used up; [`super::lane`] acts and reports back. Nothing here reads a clock,
//! a socket or a database: `now_ms` is the time since the lane began, and only grows.
//!
//! Owns I2, I3, I8 and I10 of what is signed, above the chain crates; what a claim reserves for I10 is counted by
//! `network`, `admission` and [`super::costs`]. What would
//! break one is not done: the payment's driver ends, and the next one begins from what is durable.
//! May touch: `chain`.
//! What is stuck here is what its lane waits for: each effect is answered by an event, a panic too.

mod attempt;
mod batch;
mod events;
mod job;
mod replace;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quittance_ledger::AttemptId;
use quittance_protocol::PaymentId;

pub(crate) use self::attempt::{Attempt, OpenSlot};
use self::batch::Gathering;
pub(crate) use self::events::{Batch, BatchPart, Company, Effect, Event, Fees, Reply, Returned, Seen, Start};
use self::job::Job;
use self::slots::Slots;

/// At how many nonces a payment is signed in all: at one, and at one more after a transaction of ours
/// was included and failed. Each that fails costs gas that earns nothing (I10).
pub const ATTEMPTS_MAX: u32 = 2;

/// First pause before the same bytes are broadcast again.
pub const REBROADCAST_MS_MIN: u64 = 1_000;

/// Longest pause between broadcasts of the same bytes.
pub const REBROADCAST_MS_MAX: u64 = 16_000;

/// The same while no node has said that it took them: what was away for a moment is not waited for
/// twice as long. A node that has them says that it knows them, and is not to be told so often.
pub(crate) const REBROADCAST_UNKNOWN_MS_MAX: u64 = 4_000;

/// For so many broadcasts: after a restart a node that has the bytes says only that it knows them,
/// which is no word that it took them.
pub(crate) const REBROADCASTS_UNKNOWN_MAX: u32 = 8;

/// Signatures under way at the same time, from the question for fees to the commit. They
/// begin in the order in which they were asked for, and share the ledger's commits: one
/// after the other, each would pay for a flush of its own.
pub(crate) const RECORDINGS_MAX: usize = 1_024;

/// Broadcasts under way at the same time: a node that takes its time must not hold up the
/// others, and as many payments are watched at most.
pub(crate) const SENDS_MAX: usize = 4_096;

/// Slots of finished payments that one look broadcasts at most.
pub(crate) const FILLS_MAX: usize = 32;

/// Landings that are gone and broadcast again at the same time.
pub(crate) const AGAIN_MAX: usize = 32;

/// What is fixed of a wallet.
#[derive(Clone, Debug)]
pub(crate) struct Wallet {
    pub(crate) address: String,
    /// Whether its attempts take a nonce each.
    pub(crate) takes_nonce: bool,
    /// Whether it takes new payments; a retired one finishes its own.
    pub(crate) signs: bool,
    /// Whether a head that does not move is replaced.
    pub(crate) replaces: bool,
}

/// One wallet's attempts.
#[derive(Debug)]
pub(crate) struct State {
    wallet: Wallet,
    jobs: BTreeMap<PaymentId, Job>,
    /// Who wants a signature, in order.
    wanting: VecDeque<PaymentId>,
    /// Who waits for company.
    gathering: Gathering,
    /// Whose bytes go out next, in order.
    leaving: VecDeque<PaymentId>,
    /// Attempts that may still land, each with the payment under which its bytes go out: one of
    /// those that share it, or a transaction would go out once for each of them.
    carriers: BTreeMap<AttemptId, PaymentId>,
    recording: usize,
    sending: usize,
    /// When bytes go out again.
    due: BTreeSet<(u64, PaymentId)>,
    slots: Slots,
    /// Whose landings are gone, in order.
    vanished: VecDeque<AttemptId>,
    /// Those of them whose bytes are on their way.
    again: BTreeSet<AttemptId>,
    stopping: bool,
    now_ms: u64,
    effects: Vec<Effect>,
}

impl State {
    pub(crate) fn of(wallet: Wallet) -> Self {
        Self {
            slots: Slots::of(&wallet),
            wallet,
            jobs: BTreeMap::new(),
            wanting: VecDeque::new(),
            gathering: Gathering::default(),
            leaving: VecDeque::new(),
            carriers: BTreeMap::new(),
            recording: 0,
            sending: 0,
            due: BTreeSet::new(),
            vanished: VecDeque::new(),
            again: BTreeSet::new(),
            stopping: false,
            now_ms: 0,
            effects: Vec::new(),
        }
    }

    /// When [`Event::Tick`] is wanted next.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        if self.stopping {
            return None;
        }
        let due = self.due.first().map(|(at, _)| *at);
        [due, self.slots.wakes_at(), self.gathering.wakes_at()].into_iter().flatten().min()
    }

    /// The next nonce of the wallet that has bytes, and since when it is that; for operators.
    pub(crate) fn head(&self) -> Option<(u64, u64)> {
        self.slots.head()
    }

    /// Nothing new is begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.wanting.clear();
        self.due.clear();
        self.vanished.clear();
        self.disperse();
    }

    /// It is asked for at each look at the chain until it lands again.
    fn vanished(&mut self, attempt: AttemptId) {
        let is_known = self.again.contains(&attempt) || self.vanished.contains(&attempt);
        if !is_known && !self.stopping {
            self.vanished.push_back(attempt);
        }
    }

    fn send_vanished(&mut self) {
        while self.again.len() < AGAIN_MAX {
            let Some(attempt) = self.vanished.pop_front() else { break };
            self.again.insert(attempt);
            self.effects.push(Effect::Again { attempt });
        }
    }
}

/// Advances one wallet.
pub(crate) fn step(state: &mut State, event: Event, now_ms: u64) -> Vec<Effect> {
    state.now_ms = state.now_ms.max(now_ms);
    match event {
        Event::Taken { payment, start } => state.taken(payment, start),
        Event::Wanted { payment, seen } => state.wanted(&payment, seen),
        Event::Resumed { payment } => state.resumed(&payment),
        Event::Unwell { payment } => state.unwell(&payment),
        Event::Failed { payment, transaction } => state.failed(&payment, transaction),
        Event::Over { payment } | Event::Left { payment } => state.over(&payment),
        Event::Fees { payment, fees } => state.fees(&payment, fees),
        Event::Reserved { payment, result } => state.reserved(&payment, result),
        Event::Recorded { attempt } => state.recorded(&attempt),
        Event::Rehearsed { payments, moves, left_out } => state.rehearsed(&payments, &moves, &left_out),
        Event::Apart { payments } => state.apart(&payments),
        Event::Unsure { payments, reason } => state.unsure(&payments, &reason),
        Event::NotSigned { payment, refusal } => state.not_signed(&payment, refusal),
        Event::NotRecorded { payment, reason } => state.not_recorded(&payment, reason),
        Event::NotReserved { payment, reason } => state.not_reserved(&payment, reason),
        Event::Lost { payment, reason } => state.lost(&payment, reason),
        Event::Read { payment, attempts } => state.read(&payment, attempts),
        Event::Returned { payment, returned } => state.returned(&payment, returned),
        Event::Sent { payment, outcome, withheld } => state.sent(&payment, outcome, withheld),
        Event::Rejoined => state.rejoined(),
        Event::Broke { payment } => state.broke(&payment),
        Event::Tick if state.stopping => {}
        Event::Tick => {
            state.send_due();
            state.slots.tick(state.now_ms, &mut state.effects);
        }
        Event::Vanished(attempt) => state.vanished(attempt),
        Event::SentAgain(attempt) => {
            state.again.remove(&attempt);
        }
        Event::Stop => state.stop(),
        // A look that is under way goes no further.
        _ if state.stopping => {}
        Event::SlotsRead { open, attempts } => {
            state.found(&attempts);
            let read = Event::SlotsRead { open, attempts };
            state.slots.step(read, state.now_ms, &mut state.effects);
        }
        Event::Weighed { attempt, open, lives } => state.weighed(attempt, open, lives),
        Event::Replaced { attempt } => state.replaced(&attempt),
        Event::NotReplaced { is_spent } => state.not_replaced(is_spent),
        about_slots => state.slots.step(about_slots, state.now_ms, &mut state.effects),
    }
    state.fill_places();
    state.gather();
    state.send_vanished();
    std::mem::take(&mut state.effects)
}
