//! What is durable of a payment that its job was not told of: a commit whose answer was lost, or
//! that came late, has worked.

use quittance_protocol::PaymentId;

use super::Phase;
use crate::chain::SignRefused;
use crate::dispatch::step::{Attempt, Effect, Reply, State};

impl State {
    /// Nothing of it will be signed for now, and its deadline may be far. If nothing is that may
    /// land, it can cost nothing: what it would cost is reserved again before it is signed. Whether
    /// a commit without an answer worked is read, or its bytes would wait for that deadline.
    pub(in crate::dispatch::step) fn unwell(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Idle) else { return };
        if job.holds_cost && !job.is_alive() {
            job.phase = Phase::GivingBack { then: None };
            let known = job.attempts.len();
            self.effects.push(Effect::GiveBack { payment: payment.clone(), known });
        }
    }

    /// Each job is as one that is found unfinished.
    pub(in crate::dispatch::step) fn rejoined(&mut self) {
        for job in self.jobs.values_mut() {
            (job.reserved, job.holds_cost, job.may_send, job.passed_on) = (0, true, false, true);
        }
    }

    /// Bytes at an open nonce that their payment's job does not know: a commit whose answer was
    /// lost, or that came late, has worked. They are that payment's, and others wait behind them.
    pub(in crate::dispatch::step) fn found(&mut self, attempts: &[Attempt]) {
        for attempt in attempts {
            for payment in &attempt.payments {
                let Some(job) = self.jobs.get_mut(payment).filter(|job| !job.is_over) else { continue };
                // What signs, reads or gives back finds them there, and a send ends before the next look.
                let can_wait = !matches!(job.phase, Phase::Idle | Phase::Queued | Phase::Leaving);
                if can_wait || job.attempts.iter().any(|known| known.id == attempt.id) {
                    continue;
                }
                let all = job.attempts.iter().chain([attempt]).cloned().collect();
                self.adopt(payment, all);
            }
        }
    }

    /// Bytes of it that it did not know: its driver hears of them, and they go out.
    fn adopt(&mut self, payment: &PaymentId, mut attempts: Vec<Attempt>) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        attempts.sort_by_key(|attempt| attempt.id);
        (job.attempts, job.is_unsure) = (attempts.clone(), false);
        // Whoever recorded them may have sent them as well.
        (job.phase, job.sends, job.is_taken, job.passed_on) = (Phase::Idle, 0, false, true);
        for earlier in attempts.iter().rev().skip(1) {
            self.hand_on(payment, earlier);
        }
        match self.jobs.get(payment).is_some_and(|job| job.is_over) {
            true => self.forget(payment),
            false => {
                self.tell(payment);
                self.leave(payment);
            }
        }
    }

    /// What replaces its newest bytes goes out in their place. `false`: nobody sends for it here.
    pub(in crate::dispatch::step) fn takes_replacement(
        &mut self,
        payment: &PaymentId,
        attempt: &Attempt,
    ) -> bool {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| !job.is_over) else { return false };
        if !job.attempts.iter().any(|known| known.id == attempt.id) {
            job.attempts.push(attempt.clone());
            job.attempts.sort_by_key(|attempt| attempt.id);
        }
        // What it may cost is reserved with it.
        (job.sends, job.is_taken, job.holds_cost) = (0, false, true);
        let replaced: Vec<Attempt> =
            job.attempts.iter().filter(|one| one.id != attempt.id).cloned().collect();
        for earlier in &replaced {
            self.hand_on(payment, earlier);
        }
        self.tell(payment);
        self.leave(payment);
        true
    }

    /// Its driver hears of its attempts, whether it asked or not.
    pub(super) fn tell(&mut self, payment: &PaymentId) {
        match self.jobs.get(payment).is_some_and(|job| job.asks) {
            true => self.reply(payment, Reply::Recorded),
            false => self.effects.push(Effect::Tell { payment: payment.clone() }),
        }
    }

    /// While it is not known what is durable, nothing is signed.
    pub(in crate::dispatch::step) fn read(&mut self, payment: &PaymentId, attempts: Option<Vec<Attempt>>) {
        let Some(job) = self.jobs.get_mut(payment) else { return };
        let (why, has_place) = match job.phase.clone() {
            Phase::Reading { why } => (why, true),
            Phase::GivingBack { then } => (then.clone(), then.is_some()),
            _ => return,
        };
        job.is_unsure = attempts.is_none();
        if let Some(attempts) = attempts.filter(|attempts| attempts.len() > job.attempts.len()) {
            self.recording = self.recording.saturating_sub(usize::from(has_place));
            return self.adopt(payment, attempts);
        }
        let unread = job.is_unsure.then(|| SignRefused::later("the ledger cannot be read"));
        match why.or(unread) {
            _ if !has_place => self.rest(payment),
            Some(refusal) => self.answer(payment, refusal),
            None => {
                job.phase = Phase::Pricing;
                self.effects.push(Effect::Price { payment: payment.clone() });
            }
        }
    }
}
