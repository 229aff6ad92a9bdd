//! The engine: one payment's life as a pure function.
//!
//! `step(state, event) -> effects` decides; the drivers in [`crate::settle`]
//! act and report back. Nothing here reads a clock, a socket or a database, so
//! a seeded simulator can run the very code that moves money.
//!
//! Owns the order of a payment's life.
//! May touch: `network`, `dispatch`.
//! Nothing gets stuck here: a state waits for the event that its driver brings.

#[cfg(test)]
mod tests;

use quittance_protocol::{ErrorCode, Evidence, Landing, Standing};

pub use crate::dispatch::step::{ATTEMPTS_MAX, REBROADCAST_MS_MAX, REBROADCAST_MS_MIN};
use crate::network::used;

/// Pause before a claim that cannot be signed now is looked at again.
pub const WAIT_MS: u64 = 1_000;

/// The same where waiting cannot help.
pub const WAIT_IN_VAIN_MS: u64 = 16_000;

/// Pause before the chain is asked again about a claim it did not like.
pub const RECHECK_MS: u64 = 2_000;

/// Longest pause before a payment whose attempt failed is asked for again: each pause is twice
/// the one before.
pub const AGAIN_MS_MAX: u64 = 16_000;

/// Where a payment stands, as far as settlement is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Durable phase.
    pub phase: Phase,
    /// Nonces with signed bytes in the ledger, or attempts where those take none: what is replaced at
    /// its nonce can be included once.
    pub attempts: u32,
    /// Our transactions that were included and failed, each counted once
    /// however often a poller reports it.
    pub reverted: Vec<String>,
    /// How often a further attempt was looked for in vain.
    pub looks: u32,
    /// A verdict whose commit is under way; nothing else may be decided meanwhile.
    pub committing: Option<Verdict>,
}

/// The durable phase; the same words as in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Claimed, nothing signed.
    Claimed,
    /// Signed bytes and hash are durable; possibly sent.
    Recorded,
    /// Final.
    Done(Verdict),
}

/// The end of a payment. Final for the grant (I6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The money moved.
    Settled(Landing),
    /// It never will, and why.
    Refused {
        /// For the payer.
        code: ErrorCode,
        /// For the journal.
        reason: String,
        /// What proved it, when it was the chain.
        evidence: Option<Evidence>,
    },
    /// The deadline passed at a finalized block (I5).
    Expired(Evidence),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The claim was won just now.
    Started,
    /// The payment was found unfinished: at boot, or left behind by another process.
    Found,
    /// Signed bytes are durable, and are sent.
    Recorded {
        /// How many attempts there are.
        attempts: u32,
    },
    /// Nothing was signed: fees are above the cap (I8) or what was charged (I10), there is
    /// no room for what it may cost (P3), a wallet has no funds.
    Waiting {
        /// Whether waiting can help (fees may fall); if not the claim ends.
        retry: bool,
        /// For the journal.
        reason: String,
    },
    /// The pause before the next look at a claim is over.
    Due,
    /// The chain was seen to say something.
    Seen(Evidence),
    /// The chain was asked again whether the payment could still land.
    Rechecked {
        /// It could.
        still_good: bool,
    },
    /// The verdict is durable.
    Committed,
    /// The commit failed; it is tried again.
    CommitFailed,
}

/// What to do next. Drivers perform effects in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have it signed, recorded and sent ([`crate::dispatch`]), and sent again until it is
    /// over; report [`Event::Recorded`] or [`Event::Waiting`].
    Dispatch,
    /// What is recorded goes on being sent.
    Resume,
    /// Ask the shared poller to report evidence about this payment.
    Watch,
    /// Report [`Event::Due`] after this many milliseconds.
    Wake(u64),
    /// Ask the chain whether the payment could still land, then report.
    Recheck,
    /// Make the verdict durable.
    Commit(Verdict),
    /// Enter what a transaction cost into the ledger.
    BookCost {
        /// Where it landed and what it cost.
        landing: Landing,
        /// Whether a payment earned it back.
        earned: bool,
    },
    /// Tell whoever waits.
    Announce,
    /// Something an operator must see.
    Alert(Alert),
}

/// Things that must not stay silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    /// Fees are above the cap, or the wallet is empty; the payment waits.
    Waiting(String),
    /// The chain contradicts a final verdict (I6).
    Contradiction(Evidence),
    /// Another wallet landed a payment that was claimed here, in this transaction:
    /// a stranger, or another ledger that settles to the same address.
    ForeignLanding(String),
}

impl State {
    /// A payment that was just claimed.
    pub fn claimed() -> Self {
        Self { phase: Phase::Claimed, attempts: 0, reverted: Vec::new(), looks: 0, committing: None }
    }

    /// A payment found in the ledger with `attempts` recorded attempts.
    pub fn recorded(attempts: u32) -> Self {
        Self { phase: Phase::Recorded, attempts, ..Self::claimed() }
    }

    /// Whether its transactions failed and another one may be signed (I10).
    fn wants_another(&self) -> bool {
        let failed = u32::try_from(self.reverted.len()).unwrap_or(u32::MAX);
        self.phase == Phase::Recorded && failed >= self.attempts && self.attempts < ATTEMPTS_MAX
    }

    /// When a further attempt is looked for again. Never not at all: a commit whose answer was
    /// lost may have worked, and a refusal may pass.
    fn look_again(&mut self, first_ms: u64) -> Vec<Effect> {
        if !self.wants_another() {
            return Vec::new();
        }
        let pause = first_ms.saturating_mul(1_u64.checked_shl(self.looks).unwrap_or(u64::MAX));
        self.looks = self.looks.saturating_add(1);
        vec![Effect::Wake(pause.min(AGAIN_MS_MAX))]
    }

    /// Whether nothing more can happen.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }
}

/// Whether a landing gives no grant: another ledger that settles to the same
/// address made it, and may have served the payment. `ours` are the transactions
/// of this ledger's attempts.
pub fn is_owed(shared_pay_to: bool, landing: &Landing, ours: &[String]) -> bool {
    shared_pay_to && !ours.contains(&landing.transaction)
}

/// What to do about a settled payment whose landing is looked at again. Never
/// anything about the grant: it is never revoked (I6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// It is final: nothing is left to watch.
    Finalize(Landing),
    /// It stands elsewhere now.
    Move(Landing),
    /// It stands where it stood.
    Keep,
    /// It vanished and may land again: the same bytes once more.
    Rebroadcast,
    /// It vanished for good: a loss for the ledger and an alert.
    BookLoss(Evidence),
}

/// Judges where a settled payment's landing stands (I6).
pub fn after_settlement(known: &Landing, standing: Standing) -> Aftermath {
    match standing {
        Standing::Finalized(landing) => Aftermath::Finalize(landing),
        Standing::Landed(landing) if landing == *known => Aftermath::Keep,
        Standing::Landed(landing) => Aftermath::Move(landing),
        Standing::Missing => Aftermath::Rebroadcast,
        // Only what can never land again is a loss; a revert or a new landing is not.
        Standing::Lost(evidence @ (Evidence::Canceled(_) | Evidence::Expired { .. })) => {
            Aftermath::BookLoss(evidence)
        }
        // Where the claim's check stood matters before the grant, not after it.
        Standing::Lost(Evidence::Settled(landing) | Evidence::Earlier(landing)) => Aftermath::Move(landing),
        Standing::Lost(Evidence::Reverted(_)) => Aftermath::Rebroadcast,
    }
}

/// Advances one payment.
pub fn step(state: &mut State, event: Event) -> Vec<Effect> {
    match (&state.phase, event) {
        (Phase::Done(verdict), event) => after_the_end(verdict, &event),
        (_, Event::Committed) => committed(state),
        (_, Event::CommitFailed) => match state.committing.clone() {
            Some(verdict) => vec![Effect::Commit(verdict)],
            None => Vec::new(),
        },
        // A verdict is on its way into the ledger: evidence that comes
        // meanwhile is judged after it (a contradiction shows then).
        (_, _) if state.committing.is_some() => Vec::new(),
        (_, Event::Seen(evidence)) => seen(state, evidence),
        (Phase::Claimed, Event::Started) => vec![Effect::Watch, Effect::Dispatch],
        // Time has passed: the authorization may be used, cancelled or too late
        // by now, and signing it then would only burn gas (I10).
        (Phase::Claimed, Event::Found) => vec![Effect::Watch, Effect::Recheck],
        (Phase::Recorded, Event::Started | Event::Found) => vec![Effect::Watch, Effect::Resume],
        (_, Event::Recorded { attempts }) => recorded(state, attempts),
        (_, Event::Waiting { retry, reason }) => waiting(state, retry, reason),
        (Phase::Claimed, Event::Due) => vec![Effect::Recheck],
        (Phase::Recorded, Event::Due) => match state.wants_another() {
            true => vec![Effect::Recheck],
            false => Vec::new(),
        },
        (Phase::Claimed, Event::Rechecked { still_good: true }) => vec![Effect::Dispatch],
        // Or no node answered. Evidence ends it (I5); until then it is asked again.
        (Phase::Claimed, Event::Rechecked { still_good: false }) => vec![Effect::Wake(RECHECK_MS)],
        (Phase::Recorded, Event::Rechecked { still_good: true }) => vec![Effect::Dispatch],
        // It can no longer land now, or no node answered; only its deadline ends it (I5).
        (Phase::Recorded, Event::Rechecked { still_good: false }) => state.look_again(RECHECK_MS),
    }
}

/// Also of what is known already, and of what was found: it says how many there are.
fn recorded(state: &mut State, attempts: u32) -> Vec<Effect> {
    state.phase = Phase::Recorded;
    (state.attempts, state.looks) = (state.attempts.max(attempts), 0);
    vec![Effect::Announce]
}

fn waiting(state: &mut State, retry: bool, reason: String) -> Vec<Effect> {
    let pause = if retry { WAIT_MS } else { WAIT_IN_VAIN_MS };
    let alert = Effect::Alert(Alert::Waiting(reason));
    // Not a refusal, even when waiting cannot help: a third party may submit the
    // authorization until its deadline, and then it is paid (I5). Evidence ends it.
    let again = match state.phase {
        Phase::Recorded => state.look_again(pause),
        _ => vec![Effect::Wake(pause)],
    };
    std::iter::once(alert).chain(again).collect()
}

fn seen(state: &mut State, evidence: Evidence) -> Vec<Effect> {
    match evidence {
        Evidence::Settled(landing) => {
            let mut effects = Vec::new();
            if landing.paid_by_us {
                effects.push(Effect::BookCost { landing: landing.clone(), earned: true });
            } else {
                effects.push(Effect::Alert(Alert::ForeignLanding(landing.transaction.clone())));
            }
            // The verdict first: somebody waits for it; the ledger can follow.
            let mut decided = decide(state, Verdict::Settled(landing));
            decided.append(&mut effects);
            decided
        }
        Evidence::Reverted(landing) => {
            if state.reverted.contains(&landing.transaction) {
                return Vec::new();
            }
            state.reverted.push(landing.transaction.clone());
            let mut effects = vec![Effect::BookCost { landing, earned: false }];
            if state.wants_another() {
                effects.push(Effect::Recheck);
            }
            effects
        }
        evidence @ Evidence::Canceled(_) => decide(
            state,
            Verdict::Refused {
                code: ErrorCode::InvalidTransactionState,
                reason: "the payer cancelled the authorization".to_owned(),
                evidence: Some(evidence),
            },
        ),
        // I4: it bought something before it was claimed here; a grant would be a gift.
        Evidence::Earlier(landing) => decide(
            state,
            Verdict::Refused {
                code: ErrorCode::DuplicateSettlement,
                reason: used::before_its_claim(&landing),
                evidence: Some(Evidence::Earlier(landing)),
            },
        ),
        evidence @ Evidence::Expired { .. } => decide(state, Verdict::Expired(evidence)),
    }
}

fn decide(state: &mut State, verdict: Verdict) -> Vec<Effect> {
    state.committing = Some(verdict.clone());
    vec![Effect::Commit(verdict)]
}

fn committed(state: &mut State) -> Vec<Effect> {
    match state.committing.take() {
        Some(verdict) => {
            state.phase = Phase::Done(verdict);
            vec![Effect::Announce]
        }
        None => Vec::new(),
    }
}

fn after_the_end(verdict: &Verdict, event: &Event) -> Vec<Effect> {
    match (verdict, event) {
        (Verdict::Settled(_), Event::Seen(Evidence::Settled(_) | Evidence::Reverted(_))) => Vec::new(),
        (
            _,
            Event::Seen(evidence @ (Evidence::Settled(_) | Evidence::Canceled(_) | Evidence::Earlier(_))),
        ) => {
            vec![Effect::Alert(Alert::Contradiction(evidence.clone()))]
        }
        _ => Vec::new(),
    }
}
