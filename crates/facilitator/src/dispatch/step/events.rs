//! What happens to a wallet's attempts, and what is done about it.

use quittance_ledger::{AttemptId, Balance, Slot};
use quittance_protocol::{PaymentId, SendOutcome};

use super::attempt::{Attempt, OpenSlot};
use crate::chain::{CostAllowed, SignRefused, Successor};

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
    /// Whether it may share a transaction: its payer's own key signed it, its deadline is far
    /// enough, and the chain has such transactions.
    pub(crate) company: Option<Company>,
}

/// With whom a payment may share a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Company {
    /// Whose it is: one item of each payer's in a transaction.
    pub(crate) payer: String,
    /// The most that one transaction may hold.
    pub(crate) items_max: usize,
    /// The longest that it waits for others.
    pub(crate) wait_ms: u64,
}

/// One payment of a transaction for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchPart {
    pub(crate) payment: PaymentId,
    /// What it was charged, in wei.
    pub(crate) charged: u128,
}

/// What is to be one transaction for several payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// In their order in the transaction.
    pub(crate) parts: Vec<BatchPart>,
    /// What is reserved for all of them together: the most that it may cost (P3).
    pub(crate) reserved: u128,
}

impl Batch {
    pub(crate) fn payments(&self) -> Vec<PaymentId> {
        self.parts.iter().map(|part| part.payment.clone()).collect()
    }
}

impl Fees {
    /// Of a payment that nothing is known of.
    pub(crate) fn unknown() -> Self {
        let bound = Err(SignRefused::never("no such payment"));
        Self { ready: true, charged: None, bound, company: None }
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
    /// What the payments of a batch would do in it. Who neither moves nor is left out goes alone
    /// now: nothing is known of it.
    Rehearsed {
        payments: Vec<PaymentId>,
        /// Together.
        moves: Vec<PaymentId>,
        /// They would move nothing, or have code.
        left_out: Vec<PaymentId>,
    },
    /// Nothing was written for any of them, for one's sake or for all of them: each goes on alone,
    /// and finds out for itself.
    Apart {
        payments: Vec<PaymentId>,
    },
    /// The commit for all of them may have worked although its answer was lost.
    Unsure {
        payments: Vec<PaymentId>,
        reason: String,
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
    /// See what each of them would do in one transaction; report [`Event::Rehearsed`].
    Rehearse(Batch),
    /// Sign one transaction for all of them, first attempts at a fresh nonce: slot, bytes and hash
    /// in one commit (I2), within what is reserved for them together.
    RecordBatch(Batch),
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
