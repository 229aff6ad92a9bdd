//! From the question for fees to a durable signature, or to why there is none.

use quittance_ledger::Slot;
use quittance_protocol::PaymentId;

use super::Phase;
use crate::chain::{CostAllowed, SignRefused};
use crate::dispatch::step::{Attempt, Effect, Fees, Reply, Returned, State};

impl State {
    pub(in crate::dispatch::step) fn fees(&mut self, payment: &PaymentId, fees: Fees) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        job.company = fees.company;
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
    pub(in crate::dispatch::step) fn reserved(&mut self, payment: &PaymentId, result: Result<(), String>) {
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

    /// At once where its wallet is idle; behind what a busy one has under way it waits for company.
    pub(super) fn sign(&mut self, payment: &PaymentId, charged: u128) {
        match self.company_of(payment) {
            Some(company) if self.is_busy(1) => self.join(payment, charged, company),
            _ => self.sign_alone(payment, charged),
        }
    }

    pub(super) fn sign_alone(&mut self, payment: &PaymentId, charged: u128) {
        let takes_nonce = self.wallet.takes_nonce;
        let Some(job) = self.jobs.get_mut(payment) else { return };
        if job.is_over {
            return self.answer(payment, SignRefused::never("it is over"));
        }
        if let Some(rule) = job.breaks() {
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
    pub(super) fn break_off(&mut self, payment: &PaymentId, rule: &'static str) {
        self.effects.push(Effect::Broken { payment: payment.clone(), rule });
        self.reply(payment, Reply::Refused(rule.to_owned()));
        self.forget(payment);
    }

    /// All payments of the slot hear it; their bytes go out once, under one of them.
    pub(in crate::dispatch::step) fn recorded(&mut self, attempt: &Attempt) {
        for payment in &attempt.payments {
            let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else {
                continue;
            };
            job.attempts.push(attempt.clone());
            self.signed(payment);
        }
    }

    pub(super) fn signed(&mut self, payment: &PaymentId) {
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

    pub(in crate::dispatch::step) fn not_signed(&mut self, payment: &PaymentId, refusal: SignRefused) {
        if self.jobs.get(payment).is_some_and(|job| job.phase == Phase::Signing) {
            self.give_back(payment, refusal);
        }
    }

    pub(in crate::dispatch::step) fn not_recorded(&mut self, payment: &PaymentId, reason: String) {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else { return };
        job.phase = Phase::Reading { why: Some(SignRefused::later(reason)) };
        self.effects.push(Effect::Read { payment: payment.clone() });
    }

    /// What this lane knew of its reservation is not true any more: it is made again before the
    /// next signature, after its driver has looked at the chain again.
    pub(in crate::dispatch::step) fn not_reserved(&mut self, payment: &PaymentId, reason: String) {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else { return };
        (job.reserved, job.may_send) = (0, false);
        self.answer(payment, SignRefused::later(reason));
    }

    /// Trying again would go on for ever, and whoever owns it now sends what is recorded.
    pub(in crate::dispatch::step) fn lost(&mut self, payment: &PaymentId, reason: String) {
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

    pub(super) fn give_back(&mut self, payment: &PaymentId, refusal: SignRefused) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        if !job.holds_cost || job.is_alive() {
            return self.answer(payment, refusal);
        }
        job.phase = Phase::GivingBack { then: Some(refusal) };
        let known = job.attempts.len();
        self.effects.push(Effect::GiveBack { payment: payment.clone(), known });
    }

    /// Nothing was written; its place is free for the next one.
    pub(super) fn answer(&mut self, payment: &PaymentId, refusal: SignRefused) {
        self.recording = self.recording.saturating_sub(1);
        self.reply(payment, Reply::Waiting(refusal));
        self.rest(payment);
    }

    pub(in crate::dispatch::step) fn returned(&mut self, payment: &PaymentId, returned: Returned) {
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
}
