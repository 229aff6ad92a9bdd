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
mod job;
mod replace;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quittance_ledger::{AttemptId, Balance, Slot};
use quittance_protocol::{PaymentId, SendOutcome};

pub(crate) use self::attempt::{Attempt, OpenSlot};
use self::job::Job;
use self::slots::Slots;
use crate::chain::{CostAllowed, SignRefused, Successor};

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

/// What a driver knows when it takes a payment on.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// What the claim reserved for the first signature.
    pub(crate) reserved: u128,
    /// Oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// It was found unfinished: what an earlier life sent, and whether it returned the
    /// cost, is not known.
    pub(crate) found: bool,
}

/// What the chain showed of a payer, for the next reservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) balance: Option<Balance>,
    /// Whether it had code: an attempt of such a payer stays counted as one.
    pub(crate) by_code: bool,
}

/// What a signature, or another broadcast, would cost now.
#[derive(Clone, Debug)]
pub(crate) struct Fees {
    /// Whether the wallet's counter is known not to be behind the chain: it would reserve
    /// a nonce that is gone.
    pub(crate) ready: bool,
    /// What the payment was charged, at a fresh rate.
    pub(crate) charged: Option<u128>,
    /// The most that it may cost.
    pub(crate) bound: Result<u128, SignRefused>,
}

impl Fees {
    /// Of a payment that nothing is known of.
    pub(crate) fn unknown() -> Self {
        Self { ready: true, charged: None, bound: Err(SignRefused::never("no such payment")) }
    }
}

/// What became of a reservation that is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// Something is signed: it stays.
    Kept,
    Freed,
    /// The ledger did not say.
    Unsure,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A driver takes a payment on.
    Taken {
        payment: PaymentId,
        start: Start,
    },
    /// It wants it signed and sent, or to be told that it is.
    Wanted {
        payment: PaymentId,
        seen: Seen,
    },
    /// It wants what is signed to be sent on.
    Resumed {
        payment: PaymentId,
    },
    /// The chain would not take it now: nothing will be signed for a while.
    Unwell {
        payment: PaymentId,
    },
    /// An attempt was included and failed, and what it burnt is in the ledger.
    Failed {
        payment: PaymentId,
        transaction: String,
    },
    /// The payment has its verdict.
    Over {
        payment: PaymentId,
    },
    /// Its driver is gone without one.
    Left {
        payment: PaymentId,
    },
    Fees {
        payment: PaymentId,
        fees: Fees,
    },
    Reserved {
        payment: PaymentId,
        result: Result<(), String>,
    },
    /// Slot, bytes and hash are durable, for all payments of the slot.
    Recorded {
        attempt: Attempt,
    },
    /// Nothing was written.
    NotSigned {
        payment: PaymentId,
        refusal: SignRefused,
    },
    /// The ledger said no, or nothing.
    NotRecorded {
        payment: PaymentId,
        reason: String,
    },
    /// What it may cost is not reserved any more: whoever had the payment meanwhile gave it back.
    /// Nothing was recorded.
    NotReserved {
        payment: PaymentId,
        reason: String,
    },
    /// The payment is somebody else's now, or may be while the lease is lost, or has its verdict:
    /// nothing was reserved or recorded.
    Lost {
        payment: PaymentId,
        reason: String,
    },
    /// What is durable of a payment, also where it was to be given back; `None`: it cannot be read.
    Read {
        payment: PaymentId,
        attempts: Option<Vec<Attempt>>,
    },
    Returned {
        payment: PaymentId,
        returned: Returned,
    },
    /// `withheld`: every node that got the bytes proved that it passed them to nobody.
    Sent {
        payment: PaymentId,
        outcome: SendOutcome,
        withheld: bool,
    },
    /// The process lost its lease and joined again: what its payments' reservations have become in
    /// other hands is not known, nor what was sent there.
    Rejoined,
    /// What was done for the payment ended in a panic.
    Broke {
        payment: PaymentId,
    },
    /// Newest bytes last; by nonce. With the attempts that have them.
    SlotsRead {
        open: Vec<OpenSlot>,
        attempts: Vec<Attempt>,
    },
    /// Nonces that the chain has used.
    Used(u64),
    /// Whether the head of the lane offers less than a block asks for.
    HeadSeen {
        is_stuck: bool,
    },
    /// Those of the asked ones whose payments are all over.
    Judged {
        over: Vec<AttemptId>,
    },
    /// Which of an attempt's payments have no verdict, and whether one of them can still land.
    Weighed {
        attempt: AttemptId,
        open: Vec<PaymentId>,
        lives: bool,
    },
    /// What replaces an attempt at its nonce is durable.
    Replaced {
        attempt: Attempt,
    },
    /// Nothing was written, or nobody knows; `is_spent`: the day's budget has no room for it.
    NotReplaced {
        is_spent: bool,
    },
    /// A look at the slots ended early.
    LookFailed,
    Filled(AttemptId),
    /// The landing of these bytes is gone (I6).
    Vanished(AttemptId),
    SentAgain(AttemptId),
    Tick,
    Stop,
}

/// What a driver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Recorded,
    Waiting(SignRefused),
    /// The payment is not this process's to finish.
    Refused(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Report [`Event::Fees`] at once.
    Price {
        payment: PaymentId,
    },
    /// Reserve what the next signature or broadcast may cost (P3).
    Reserve {
        payment: PaymentId,
        bound: u128,
        seen: Seen,
    },
    /// Sign for these payments and make slot, bytes and hash durable in one commit (I2).
    /// One payment each, until several share a slot. The ledger refuses a further attempt beside
    /// one that is not `newest`, and any beyond what is reserved.
    Record {
        payments: Vec<PaymentId>,
        slot: Slot,
        newest: Option<AttemptId>,
        allowed: CostAllowed,
    },
    /// A commit may have worked although its answer was lost: read before anything else,
    /// or a second nonce would be spent on the same payment.
    Read {
        payment: PaymentId,
    },
    /// Free what is reserved if nothing is signed beyond so many attempts; else report
    /// [`Event::Read`].
    GiveBack {
        payment: PaymentId,
        known: usize,
    },
    /// Free what is reserved: nobody has the bytes.
    Return {
        payment: PaymentId,
    },
    /// Broadcast durable bytes.
    Send {
        payment: PaymentId,
        attempt: AttemptId,
    },
    Reply {
        payment: PaymentId,
        reply: Reply,
    },
    /// Its driver did not ask, and must know of all its attempts: one was found.
    Tell {
        payment: PaymentId,
    },
    /// No node takes the bytes.
    Alert {
        payment: PaymentId,
        reason: String,
    },
    /// This rule does not hold for the payment, which nothing is done for.
    Broken {
        payment: PaymentId,
        rule: &'static str,
    },
    /// Nothing more is done for the payment.
    Forget {
        payment: PaymentId,
    },
    /// Report [`Event::Used`].
    AskUsed,
    /// Report [`Event::SlotsRead`] from this nonce on.
    ReadSlots {
        from: u64,
    },
    /// Report [`Event::HeadSeen`].
    LookAtHead {
        attempt: AttemptId,
    },
    /// Whether the wallet's next transaction holds up what is sold.
    SetStuck(bool),
    /// Report [`Event::Weighed`].
    Weigh {
        attempt: AttemptId,
    },
    /// Reserve, sign and make durable what replaces an attempt at its nonce, for these payments of
    /// it; the ledger refuses it beside one that is newer there, and beyond what is reserved or left of
    /// the day's budget (I10). Report [`Event::Replaced`] or [`Event::NotReplaced`].
    Replace {
        attempt: AttemptId,
        by: Successor,
        payments: Vec<PaymentId>,
    },
    /// Report [`Event::Judged`].
    Judge {
        attempts: Vec<AttemptId>,
    },
    /// Broadcast durable bytes of payments that are over, or that hold up all others, so that their
    /// nonce is used.
    Fill {
        attempt: AttemptId,
    },
    /// Broadcast durable bytes whose landing is gone, then report [`Event::SentAgain`].
    Again {
        attempt: AttemptId,
    },
}

/// One wallet's attempts.
#[derive(Debug)]
pub(crate) struct State {
    wallet: Wallet,
    jobs: BTreeMap<PaymentId, Job>,
    /// Who wants a signature, in order.
    wanting: VecDeque<PaymentId>,
    /// Whose bytes go out next, in order.
    leaving: VecDeque<PaymentId>,
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
            leaving: VecDeque::new(),
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
        [due, self.slots.wakes_at()].into_iter().flatten().min()
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
    state.send_vanished();
    std::mem::take(&mut state.effects)
}
