//! One payment in its wallet's lane: reserved, signed, recorded, sent, sent again.

mod found;
mod send;

use std::collections::BTreeSet;

use quittance_ledger::Slot;
use quittance_protocol::{PaymentId, SendOutcome};

use super::{
    ATTEMPTS_MAX, Attempt, Effect, Fees, RECORDINGS_MAX, Reply, Returned, SENDS_MAX, Seen, Start, State,
};
use crate::chain::{CostAllowed, SignRefused};

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

    /// The bytes cost nothing that is not reserved: it is, or nothing more can be burnt.
    /// Bytes that take a nonce give it back only once they failed: a node may keep them.
    fn is_covered(&self, takes_nonce: bool) -> bool {
        self.may_send || (takes_nonce && self.holds_cost) || !self.failed.is_empty()
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
        job.failed.insert(transaction);
        job.reserved = 0;
    }

    /// Nothing more is signed or sent for it; bytes at an open nonce are the look's.
    pub(super) fn over(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        (job.is_over, job.asks) = (true, false);
        if matches!(job.phase, Phase::Idle | Phase::Queued | Phase::Leaving) {
            self.forget(payment);
        }
    }

    fn forget(&mut self, payment: &PaymentId) {
        if let Some(at) = self.jobs.remove(payment).and_then(|job| job.due) {
            self.due.remove(&(at, payment.clone()));
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

    pub(super) fn fees(&mut self, payment: &PaymentId, fees: Fees) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        let is_send = job.phase == Phase::PricingSend;
        if !is_send && job.phase != Phase::Pricing {
            return;
        }
        if !is_send && !fees.ready {
            return self.answer(payment, SignRefused::later("the wallet's nonce is not known yet"));
        }
        let rated = fees.charged.ok_or_else(|| SignRefused::later("no fresh exchange rate"));
        match rated.and_then(|charged| Ok((charged, fees.bound?))) {
            Err(_) if is_send => self.not_sent(payment),
            Err(refusal) => self.give_back(payment, refusal),
            Ok((_, bound)) if bound <= job.reserved && is_send => {
                job.may_send = true;
                self.send(payment);
            }
            Ok((charged, bound)) if bound <= job.reserved => self.sign(payment, charged),
            Ok((charged, bound)) => {
                job.phase = match is_send {
                    true => Phase::ReservingSend { bound },
                    // Whatever is heard of it, something may be reserved from now on.
                    false => Phase::Reserving { charged, bound },
                };
                job.holds_cost |= !is_send;
                let (payment, seen) = (payment.clone(), job.seen);
                self.effects.push(Effect::Reserve { payment, bound, seen });
            }
        }
    }

    /// A bound that rose since the claim is raised, or what is reserved has to do.
    pub(super) fn reserved(&mut self, payment: &PaymentId, result: Result<(), String>) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        let (charged, bound) = match job.phase {
            Phase::Reserving { charged, bound } => (Some(charged), bound),
            Phase::ReservingSend { bound } => (None, bound),
            _ => return,
        };
        let has_some = job.reserved > 0;
        match (result, charged) {
            (Err(reason), Some(_)) if !has_some => self.give_back(payment, SignRefused::later(reason)),
            (Err(_), None) if !has_some => self.not_sent(payment),
            (result, charged) => {
                if result.is_ok() {
                    job.hold(bound);
                }
                job.may_send |= charged.is_none();
                match charged {
                    Some(charged) => self.sign(payment, charged),
                    None => self.send(payment),
                }
            }
        }
    }

    fn sign(&mut self, payment: &PaymentId, charged: u128) {
        let takes_nonce = self.wallet.takes_nonce;
        let Some(job) = self.jobs.get_mut(payment) else { return };
        if job.is_over {
            return self.answer(payment, SignRefused::never("it is over"));
        }
        let signed = job.slots();
        // I10: one signature at a time may still burn, and what may be burned on one
        // payment is bounded; P3: by what is reserved for it.
        let broken = [
            (job.is_alive(), "two attempts alive for one payment"),
            (signed >= ATTEMPTS_MAX, "one attempt more than a payment may cost"),
            (!job.holds_cost && job.reserved > 0, "what was given back is not reserved"),
        ];
        if let Some((_, rule)) = broken.into_iter().find(|(is_broken, _)| *is_broken) {
            self.recording = self.recording.saturating_sub(1);
            return self.break_off(payment, rule);
        }
        job.phase = Phase::Signing;
        let slot = match takes_nonce {
            true => Slot::Fresh { wallet: self.wallet.address.clone() },
            false => Slot::Unnumbered,
        };
        let (payments, newest) = (vec![payment.clone()], job.attempts.last().map(|newest| newest.id));
        let allowed = CostAllowed { charged_native: charged, reserved_native: job.reserved };
        self.effects.push(Effect::Record { payments, slot, newest, allowed });
    }

    /// A rule of ours does not hold for this payment, which is a defect: nothing is signed or
    /// sent, its driver ends, and the others of the wallet go on.
    fn break_off(&mut self, payment: &PaymentId, rule: &'static str) {
        self.effects.push(Effect::Broken { payment: payment.clone(), rule });
        self.reply(payment, Reply::Refused(rule.to_owned()));
        self.forget(payment);
    }

    /// All payments of the slot hear it; their bytes go out once.
    pub(super) fn recorded(&mut self, attempt: &Attempt) {
        for payment in &attempt.payments {
            let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else {
                continue;
            };
            job.attempts.push(attempt.clone());
            self.signed(payment);
        }
    }

    fn signed(&mut self, payment: &PaymentId) {
        self.recording = self.recording.saturating_sub(1);
        if let Some(job) = self.jobs.get_mut(payment) {
            (job.phase, job.sends, job.is_taken) = (Phase::Idle, 0, false);
        }
        match self.jobs.get(payment).is_some_and(|job| job.is_over) {
            true => self.forget(payment),
            false => {
                self.tell(payment);
                self.leave(payment);
            }
        }
    }

    pub(super) fn not_signed(&mut self, payment: &PaymentId, refusal: SignRefused) {
        if self.jobs.get(payment).is_some_and(|job| job.phase == Phase::Signing) {
            self.give_back(payment, refusal);
        }
    }

    pub(super) fn not_recorded(&mut self, payment: &PaymentId, reason: String) {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else { return };
        job.phase = Phase::Reading { why: Some(SignRefused::later(reason)) };
        self.effects.push(Effect::Read { payment: payment.clone() });
    }

    /// What this lane knew of its reservation is not true any more: it is made again before the
    /// next signature, after its driver has looked at the chain again.
    pub(super) fn not_reserved(&mut self, payment: &PaymentId, reason: String) {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else { return };
        (job.reserved, job.may_send) = (0, false);
        self.answer(payment, SignRefused::later(reason));
    }

    /// Trying again would go on for ever, and whoever owns it now sends what is recorded.
    pub(super) fn lost(&mut self, payment: &PaymentId, reason: String) {
        match self.jobs.get(payment).map(|job| &job.phase) {
            Some(Phase::Signing | Phase::Reserving { .. }) => {
                self.recording = self.recording.saturating_sub(1)
            }
            Some(Phase::ReservingSend { .. }) => self.sending = self.sending.saturating_sub(1),
            _ => return,
        }
        self.reply(payment, Reply::Refused(reason));
        self.forget(payment);
    }

    fn give_back(&mut self, payment: &PaymentId, refusal: SignRefused) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        if !job.holds_cost || job.is_alive() {
            return self.answer(payment, refusal);
        }
        job.phase = Phase::GivingBack { then: Some(refusal) };
        let known = job.attempts.len();
        self.effects.push(Effect::GiveBack { payment: payment.clone(), known });
    }

    /// Nothing was written; its place is free for the next one.
    fn answer(&mut self, payment: &PaymentId, refusal: SignRefused) {
        self.recording = self.recording.saturating_sub(1);
        self.reply(payment, Reply::Waiting(refusal));
        self.rest(payment);
    }

    fn reply(&mut self, payment: &PaymentId, reply: Reply) {
        if self.jobs.get_mut(payment).is_some_and(|job| std::mem::take(&mut job.asks)) {
            self.effects.push(Effect::Reply { payment: payment.clone(), reply });
        }
    }

    pub(super) fn returned(&mut self, payment: &PaymentId, returned: Returned) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        match returned {
            Returned::Kept => {}
            // What was read before it shows no more than is known, and a commit that comes later is
            // refused for want of a reservation.
            Returned::Freed => {
                (job.reserved, job.holds_cost, job.may_send, job.is_unsure) = (0, false, false, false);
            }
            // It may be freed all the same.
            Returned::Unsure => (job.reserved, job.may_send) = (0, false),
        }
        match job.phase.clone() {
            Phase::GivingBack { then: Some(refusal) } => self.answer(payment, refusal),
            Phase::GivingBack { then: None } => self.rest(payment),
            Phase::Returning => self.went_out(payment),
            _ => {}
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
            Phase::Idle | Phase::Queued | Phase::Pricing | Phase::Leaving | Phase::PricingSend => {}
        }
    }

    /// For tests: nothing is under way.
    #[cfg(test)]
    pub(super) fn is_quiet(&self) -> bool {
        let idle = self.jobs.values().all(|job| job.phase == Phase::Idle);
        idle && self.recording == 0 && self.sending == 0
    }
}
