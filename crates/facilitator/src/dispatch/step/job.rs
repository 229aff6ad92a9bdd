//! One payment in its wallet's lane: reserved, signed, recorded, sent, sent again.

mod found;
mod send;
mod sign;
mod together;

use std::collections::BTreeSet;

use quittance_ledger::AttemptId;
use quittance_protocol::{PaymentId, SendOutcome};

use super::{
    ATTEMPTS_MAX, Attempt, Company, Effect, RECORDINGS_MAX, Reply, Returned, SENDS_MAX, Seen, Start, State,
};
use crate::chain::SignRefused;

/// What is being done for a payment; one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Waits for a signature's turn.
    Queued,
    /// Its fees are asked for, to sign it.
    Pricing,
    Reserving {
        charged: u128,
        bound: u128,
    },
    Signing,
    /// Waits for others to share a transaction with.
    Gathering {
        charged: u128,
    },
    /// What it would do in a transaction with them is being looked at.
    Rehearsing {
        charged: u128,
    },
    /// Whether a commit without an answer worked is being read; then it is signed, or who
    /// asked hears why it is not.
    Reading {
        why: Option<SignRefused>,
    },
    /// What it holds is freed, unless more of it is signed than is known here; who asked hears why
    /// afterwards.
    GivingBack {
        then: Option<SignRefused>,
    },
    /// Waits for its bytes' turn.
    Leaving,
    /// Its fees are asked for, to send it.
    PricingSend,
    ReservingSend {
        bound: u128,
    },
    Sending,
    Returning,
}

/// Whether it may share a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    InCompany,
    /// The next time it goes alone.
    AloneOnce,
    /// It would have failed in company, or nobody knows what it does there.
    Alone,
}

/// One payment.
#[derive(Debug)]
pub(super) struct Job {
    phase: Phase,
    /// Oldest first.
    attempts: Vec<Attempt>,
    /// Transactions of it that were included and failed.
    failed: BTreeSet<String>,
    /// What the ledger has reserved for the next signature, in wei or lamports.
    reserved: u128,
    /// The ledger may have something reserved for it.
    holds_cost: bool,
    /// The bytes may be sent without reserving their cost anew.
    may_send: bool,
    /// Somebody who got the newest bytes may have passed them on.
    passed_on: bool,
    seen: Seen,
    goes: Goes,
    /// With whom, as it was asked last.
    company: Option<Company>,
    /// A commit's answer was lost, and the ledger could not be read since.
    is_unsure: bool,
    /// Its driver waits for a reply.
    asks: bool,
    /// It has its verdict, or no driver.
    is_over: bool,
    /// Broadcasts of the newest attempt.
    sends: u32,
    /// A node has said that it took the newest attempt.
    is_taken: bool,
    /// The newest broadcast may have reached nobody, and neither may any before it.
    is_nowhere: bool,
    /// As in [`State::due`].
    due: Option<u64>,
}

impl Job {
    fn of(start: Start) -> Self {
        Self {
            phase: Phase::Idle,
            attempts: start.attempts,
            failed: BTreeSet::new(),
            reserved: start.reserved,
            holds_cost: true,
            may_send: !start.found,
            passed_on: start.found,
            seen: Seen::default(),
            goes: Goes::InCompany,
            company: None,
            is_unsure: false,
            asks: false,
            is_over: false,
            sends: 0,
            is_taken: false,
            is_nowhere: false,
            due: None,
        }
    }

    /// Bytes of it that may still land: nothing else may be signed beside them (I10).
    fn is_alive(&self) -> bool {
        let has_failed = |newest: &Attempt| {
            let there = self.attempts.iter().filter(|one| one.shares_slot(newest));
            there.into_iter().any(|one| self.failed.contains(&one.transaction))
        };
        self.attempts.last().is_some_and(|newest| !has_failed(newest))
    }

    /// At how many nonces it is signed.
    fn slots(&self) -> u32 {
        let is_first = |(at, one): &(usize, &Attempt)| {
            !self.attempts.iter().take(*at).any(|before| before.shares_slot(one))
        };
        u32::try_from(self.attempts.iter().enumerate().filter(is_first).count()).unwrap_or(u32::MAX)
    }

    /// Whether these bytes are its newest and may still land.
    fn flies(&self, attempt: AttemptId) -> bool {
        !self.is_over && self.is_alive() && self.attempts.last().is_some_and(|newest| newest.id == attempt)
    }

    /// The bytes cost nothing that is not reserved: it is, or nothing more can be burnt.
    /// Bytes that take a nonce give it back only once they failed: a node may keep them.
    fn is_covered(&self, takes_nonce: bool) -> bool {
        self.may_send || (takes_nonce && self.holds_cost) || !self.failed.is_empty()
    }

    /// I10: one signature at a time may still burn, and what may be burned on one payment is
    /// bounded; P3: by what is reserved for it. The rule that another signature would break.
    fn breaks(&self) -> Option<&'static str> {
        let broken = [
            (self.is_alive(), "two attempts alive for one payment"),
            (self.slots() >= ATTEMPTS_MAX, "one attempt more than a payment may cost"),
            (!self.holds_cost && self.reserved > 0, "what was given back is not reserved"),
        ];
        broken.into_iter().find_map(|(is_broken, rule)| is_broken.then_some(rule))
    }

    fn hold(&mut self, bound: u128) {
        (self.reserved, self.holds_cost) = (bound, true);
    }
}

impl State {
    /// A driver that comes after another one, whose work may still be under way, adds
    /// what it read to what is known.
    pub(super) fn taken(&mut self, payment: PaymentId, start: Start) {
        let Some(job) = self.jobs.get_mut(&payment) else {
            self.jobs.insert(payment, Job::of(start));
            return;
        };
        for attempt in start.attempts {
            if !job.attempts.iter().any(|known| known.id == attempt.id) {
                job.attempts.push(attempt);
            }
        }
        job.attempts.sort_by_key(|attempt| attempt.id);
        (job.asks, job.is_over) = (false, false);
        if job.phase == Phase::Idle {
            (job.reserved, job.holds_cost, job.may_send, job.passed_on) = (0, true, false, true);
        }
        for earlier in job.attempts.clone().iter().rev().skip(1) {
            self.hand_on(&payment, earlier);
        }
    }

    pub(super) fn wanted(&mut self, payment: &PaymentId, seen: Seen) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        (job.seen, job.asks) = (seen, true);
        if job.phase == Phase::Idle {
            self.ask(payment);
        }
    }

    /// What is signed already is said and sent; else it queues for its signature.
    fn ask(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        if job.is_alive() {
            self.reply(payment, Reply::Recorded);
            self.leave(payment);
            return;
        }
        if self.stopping {
            return;
        }
        job.phase = Phase::Queued;
        self.wanting.push_back(payment.clone());
    }

    pub(super) fn resumed(&mut self, payment: &PaymentId) {
        let idle = self.jobs.get(payment).is_some_and(|job| job.phase == Phase::Idle);
        if idle {
            self.leave(payment);
        }
    }

    /// Its reservation went into the ledger with what it burnt.
    pub(super) fn failed(&mut self, payment: &PaymentId, transaction: String) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        let failed = job.attempts.iter().find(|attempt| attempt.transaction == transaction).cloned();
        job.failed.insert(transaction);
        (job.reserved, job.goes) = (0, Goes::Alone);
        if let Some(failed) = failed {
            self.hand_on(payment, &failed);
        }
    }

    /// Nothing more is signed or sent for it; bytes at an open nonce are the look's.
    pub(super) fn over(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        (job.is_over, job.asks) = (true, false);
        match job.phase {
            Phase::Idle | Phase::Queued | Phase::Leaving => self.forget(payment),
            Phase::Gathering { .. } => {
                self.gathering.remove(payment);
                self.recording = self.recording.saturating_sub(1);
                self.forget(payment);
            }
            _ => {}
        }
    }

    fn forget(&mut self, payment: &PaymentId) {
        if let Some(job) = self.jobs.remove(payment) {
            if let Some(at) = job.due {
                self.due.remove(&(at, payment.clone()));
            }
            for attempt in &job.attempts {
                self.hand_on_from(payment, &job, attempt);
            }
        }
        self.effects.push(Effect::Forget { payment: payment.clone() });
    }

    /// Begins what there is room for.
    pub(super) fn fill_places(&mut self) {
        while self.recording < RECORDINGS_MAX {
            let Some(payment) = self.wanting.pop_front() else { break };
            // It may be over since, or have queued twice.
            let Some(job) = self.jobs.get_mut(&payment).filter(|job| job.phase == Phase::Queued) else {
                continue;
            };
            self.recording = self.recording.saturating_add(1);
            if job.is_unsure {
                job.phase = Phase::Reading { why: None };
                self.effects.push(Effect::Read { payment });
            } else {
                job.phase = Phase::Pricing;
                self.effects.push(Effect::Price { payment });
            }
        }
        while self.sending < SENDS_MAX {
            let Some(payment) = self.leaving.pop_front() else { break };
            let takes_nonce = self.wallet.takes_nonce;
            let Some(job) = self.jobs.get_mut(&payment).filter(|job| job.phase == Phase::Leaving) else {
                continue;
            };
            self.sending = self.sending.saturating_add(1);
            if job.is_covered(takes_nonce) {
                self.send(&payment);
            } else {
                job.phase = Phase::PricingSend;
                self.effects.push(Effect::Price { payment });
            }
        }
    }

    fn reply(&mut self, payment: &PaymentId, reply: Reply) {
        if self.jobs.get_mut(payment).is_some_and(|job| std::mem::take(&mut job.asks)) {
            self.effects.push(Effect::Reply { payment: payment.clone(), reply });
        }
    }

    /// What was under way for it has ended.
    fn rest(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        job.phase = Phase::Idle;
        if job.is_over {
            self.forget(payment);
        } else if job.asks {
            self.ask(payment);
        }
    }

    /// The worst is taken for true: what was signed may be durable, and what was sent is out.
    pub(super) fn broke(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        let reason = "signing or sending it ended in a panic".to_owned();
        match job.phase.clone() {
            Phase::Signing => self.not_recorded(payment, reason),
            Phase::Reading { .. } => self.read(payment, None),
            Phase::Reserving { .. } | Phase::ReservingSend { .. } => self.reserved(payment, Err(reason)),
            Phase::GivingBack { .. } | Phase::Returning => self.returned(payment, Returned::Unsure),
            Phase::Sending => self.sent(payment, SendOutcome::Unknown { reason }, false),
            // What waits for company is asked nothing about, and a rehearsal says for itself that it broke.
            Phase::Gathering { .. } | Phase::Rehearsing { .. } => {}
            Phase::Idle | Phase::Queued | Phase::Pricing | Phase::Leaving | Phase::PricingSend => {}
        }
    }

    /// For tests: nothing is under way.
    #[cfg(test)]
    pub(super) fn is_quiet(&self) -> bool {
        let idle = self.jobs.values().all(|job| job.phase == Phase::Idle);
        idle && self.recording == 0 && self.sending == 0 && self.gathering.len() == 0
    }
}
