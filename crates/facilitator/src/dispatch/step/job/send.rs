//! A payment's bytes on their way.

use quittance_protocol::{PaymentId, SendOutcome};

use super::{Job, Phase};
use crate::dispatch::step::{
    Attempt, Effect, REBROADCAST_MS_MAX, REBROADCAST_MS_MIN, REBROADCAST_UNKNOWN_MS_MAX,
    REBROADCASTS_UNKNOWN_MAX, State,
};

impl State {
    /// Bytes go out in the order in which they were recorded or fell due.
    pub(super) fn leave(&mut self, payment: &PaymentId) {
        let Some(job) = self.jobs.get(payment).filter(|job| job.phase == Phase::Idle) else { return };
        if job.attempts.is_empty() || !self.carries(payment) {
            return;
        }
        if let Some(job) = self.jobs.get_mut(payment) {
            job.phase = Phase::Leaving;
            self.leaving.push_back(payment.clone());
        }
    }

    /// Whether the bytes of its newest attempt go out under this payment: they do under one of
    /// those that share them.
    fn carries(&mut self, payment: &PaymentId) -> bool {
        let Some(job) = self.jobs.get(payment) else { return false };
        let Some(newest) = job.attempts.last() else { return false };
        let attempt = newest.id;
        // An item that failed is in a block, or was: what is left of its transaction is the others'.
        if !job.flies(attempt) {
            return newest.payments.len() < 2;
        }
        let carrier = self.carriers.get(&attempt).filter(|carrier| *carrier != payment);
        if carrier.and_then(|carrier| self.jobs.get(carrier)).is_some_and(|job| job.flies(attempt)) {
            return false;
        }
        self.carriers.insert(attempt, payment.clone());
        true
    }

    /// It stands for these bytes no more: another payment that shares them does from now on.
    pub(super) fn hand_on(&mut self, payment: &PaymentId, attempt: &Attempt) {
        let Some(job) = self.jobs.get(payment) else { return };
        let how = (job.due, job.sends, job.is_taken, job.is_nowhere, job.passed_on);
        self.hand_over(payment, attempt, how);
    }

    /// The same of a job that is gone.
    pub(super) fn hand_on_from(&mut self, payment: &PaymentId, job: &Job, attempt: &Attempt) {
        let how = (job.due, job.sends, job.is_taken, job.is_nowhere, job.passed_on);
        self.hand_over(payment, attempt, how);
    }

    fn hand_over(
        &mut self,
        payment: &PaymentId,
        attempt: &Attempt,
        (due, sends, is_taken, is_nowhere, passed_on): (Option<u64>, u32, bool, bool, bool),
    ) {
        if self.carriers.get(&attempt.id) != Some(payment) {
            return;
        }
        self.carriers.remove(&attempt.id);
        let flies = |other: &&PaymentId| self.jobs.get(*other).is_some_and(|job| job.flies(attempt.id));
        let heir = attempt.payments.iter().filter(|other| *other != payment).find(flies).cloned();
        let Some(heir) = heir else { return };
        if let Some(job) = self.jobs.get_mut(&heir) {
            (job.sends, job.is_taken, job.is_nowhere) = (sends, is_taken, is_nowhere);
            job.passed_on |= passed_on;
        }
        self.carriers.insert(attempt.id, heir.clone());
        // Bytes that were about to leave do so at once.
        self.set_due(&heir, due.map_or(0, |due| due.saturating_sub(self.now_ms)));
    }

    pub(super) fn send(&mut self, payment: &PaymentId) {
        let takes_nonce = self.wallet.takes_nonce;
        let Some(job) = self.jobs.get_mut(payment) else { return };
        let newest = job.attempts.last().filter(|_| !job.is_over);
        let Some(newest) = newest else { return self.went_out(payment) };
        // P3; I2: only this payment's own durable bytes.
        let broken = [
            (!job.is_covered(takes_nonce), "bytes whose cost is not reserved"),
            (!newest.payments.contains(payment), "an attempt of another payment"),
        ];
        if let Some((_, rule)) = broken.into_iter().find(|(is_broken, _)| *is_broken) {
            self.sending = self.sending.saturating_sub(1);
            return self.break_off(payment, rule);
        }
        job.phase = Phase::Sending;
        self.effects.push(Effect::Send { payment: payment.clone(), attempt: newest.id });
    }

    /// I3: whatever a node says, the slot keeps its bytes and they go out again; no
    /// driver hears it.
    pub(in crate::dispatch::step) fn sent(
        &mut self,
        payment: &PaymentId,
        outcome: SendOutcome,
        withheld: bool,
    ) {
        let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Sending) else { return };
        job.passed_on |= !withheld;
        job.is_taken |= outcome == SendOutcome::Accepted;
        job.is_nowhere = !job.is_taken && matches!(outcome, SendOutcome::Unknown { .. });
        let all_withheld = !job.passed_on;
        if all_withheld {
            job.phase = Phase::Returning;
        }
        if let SendOutcome::Refused { reason } = outcome {
            self.effects.push(Effect::Alert { payment: payment.clone(), reason });
        }
        // Every node that ever got the bytes ran them, found that they fail, and passed them
        // to nobody: a hold that costs nothing would let strangers fill the limits for
        // nothing. What cannot be given back now stays until the deadline.
        match all_withheld {
            true => self.effects.push(Effect::Return { payment: payment.clone() }),
            false => self.went_out(payment),
        }
    }

    /// No room for what it may cost (P3): nothing was sent.
    pub(super) fn not_sent(&mut self, payment: &PaymentId) {
        self.went_out(payment);
    }

    pub(super) fn went_out(&mut self, payment: &PaymentId) {
        self.sending = self.sending.saturating_sub(1);
        if let Some(job) = self.jobs.get_mut(payment) {
            job.sends = job.sends.saturating_add(1);
            let hurries = job.is_nowhere && job.sends <= REBROADCASTS_UNKNOWN_MAX;
            let pause = REBROADCAST_MS_MIN
                .saturating_mul(1_u64.checked_shl(job.sends.min(8)).unwrap_or(u64::MAX))
                .min(if hurries { REBROADCAST_UNKNOWN_MS_MAX } else { REBROADCAST_MS_MAX });
            self.set_due(payment, pause);
        }
        self.rest(payment);
    }

    fn set_due(&mut self, payment: &PaymentId, pause_ms: u64) {
        let Some(job) = self.jobs.get_mut(payment).filter(|_| !self.stopping) else { return };
        let at = self.now_ms.saturating_add(pause_ms);
        if let Some(before) = job.due.replace(at) {
            self.due.remove(&(before, payment.clone()));
        }
        self.due.insert((at, payment.clone()));
    }

    pub(in crate::dispatch::step) fn send_due(&mut self) {
        while self.due.first().is_some_and(|(at, _)| *at <= self.now_ms) {
            let Some((_, payment)) = self.due.pop_first() else { break };
            let Some(job) = self.jobs.get_mut(&payment) else { continue };
            job.due = None;
            match job.phase {
                Phase::Idle => self.leave(&payment),
                // It is being signed afresh: the old bytes may wait for that.
                _ => self.set_due(&payment, REBROADCAST_MS_MIN),
            }
        }
    }
}
