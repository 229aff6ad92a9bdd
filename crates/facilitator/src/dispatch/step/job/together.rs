//! Payments that share a transaction: gathered, rehearsed, signed in one commit.
//!
//! Whatever goes wrong with several goes on with each alone: no payment waits for another one's
//! fault to pass, and who is at fault finds out on its own ordinary way.

use quittance_protocol::PaymentId;

use super::{Goes, Job, Phase};
use crate::chain::SignRefused;
use crate::dispatch::step::batch::FLYING_ALONE_MAX;
use crate::dispatch::step::{Batch, BatchPart, Company, Effect, State};

impl Job {
    /// What it was charged, if it waits for company or for what a rehearsal says.
    fn charged(&self) -> Option<u128> {
        match self.phase {
            Phase::Gathering { charged } | Phase::Rehearsing { charged } => Some(charged),
            _ => None,
        }
    }
}

impl State {
    /// Whether and how it may share a transaction: first attempts only, of payers without code.
    pub(super) fn company_of(&mut self, payment: &PaymentId) -> Option<Company> {
        let takes_nonce = self.wallet.takes_nonce;
        let job = self.jobs.get_mut(payment)?;
        let goes = job.goes;
        if goes == Goes::AloneOnce {
            job.goes = Goes::InCompany;
        }
        let is_plain = job.attempts.is_empty() && !job.seen.by_code && !job.is_over && takes_nonce;
        let company = job.company.take().filter(|company| company.items_max > 1);
        company.filter(|_| is_plain && goes == Goes::InCompany)
    }

    /// Whether something is being recorded beside so many that are about to be, or much is in flight.
    pub(super) fn is_busy(&self, besides: usize) -> bool {
        let recording = self.recording.saturating_sub(self.gathering.len()).saturating_sub(besides);
        recording > 0 || self.carriers.len() > FLYING_ALONE_MAX
    }

    pub(super) fn join(&mut self, payment: &PaymentId, charged: u128, company: Company) {
        let Some(job) = self.jobs.get_mut(payment).filter(|_| !self.stopping) else {
            return self.answer(payment, SignRefused::later("the process stops"));
        };
        job.phase = Phase::Gathering { charged };
        self.gathering.add(payment.clone(), company, self.now_ms);
    }

    /// Sends on their way who waited long enough, or are enough.
    pub(in crate::dispatch::step) fn gather(&mut self) {
        loop {
            let (now_ms, is_busy) = (self.now_ms, self.is_busy(0));
            let Some(leaving) = self.gathering.leaves(now_ms, is_busy) else { break };
            let charged = |payment: PaymentId| {
                let charged = self.jobs.get(&payment)?.charged()?;
                Some((payment, charged))
            };
            let parts: Vec<_> = leaving.into_iter().filter_map(charged).collect();
            if parts.is_empty() {
                continue;
            }
            if let [(payment, charged)] = &parts[..] {
                self.sign_alone(payment, *charged);
                continue;
            }
            for (payment, charged) in &parts {
                if let Some(job) = self.jobs.get_mut(payment) {
                    job.phase = Phase::Rehearsing { charged: *charged };
                }
            }
            let batch = self.batch_of(parts);
            self.effects.push(Effect::Rehearse(batch));
        }
    }

    fn batch_of(&self, parts: Vec<(PaymentId, u128)>) -> Batch {
        let reserved =
            |(payment, _): &(PaymentId, u128)| self.jobs.get(payment).map_or(0, |job| job.reserved);
        let reserved = parts.iter().map(reserved).fold(0, u128::saturating_add);
        let part = |(payment, charged)| BatchPart { payment, charged };
        Batch { parts: parts.into_iter().map(part).collect(), reserved }
    }

    /// Who moves goes together with who else does; who would not is looked at again by its driver;
    /// who is neither, because nothing was heard, goes alone.
    pub(in crate::dispatch::step) fn rehearsed(
        &mut self,
        payments: &[PaymentId],
        moves: &[PaymentId],
        left_out: &[PaymentId],
    ) {
        let mut together = Vec::new();
        for payment in payments {
            let Some(job) = self.jobs.get_mut(payment) else { continue };
            let Phase::Rehearsing { charged } = job.phase else { continue };
            if job.is_over || self.stopping {
                self.recording = self.recording.saturating_sub(1);
                self.rest(payment);
            } else if left_out.contains(payment) {
                job.goes = Goes::Alone;
                self.give_back(payment, SignRefused::later("beside others it would move nothing"));
            } else if !moves.contains(payment) {
                self.sign_alone(payment, charged);
            } else if let Some(rule) = job.breaks() {
                self.recording = self.recording.saturating_sub(1);
                self.break_off(payment, rule);
            } else {
                together.push((payment.clone(), charged));
            }
        }
        if let [(payment, charged)] = &together[..] {
            return self.sign_alone(payment, *charged);
        }
        if together.is_empty() {
            return;
        }
        for (payment, _) in &together {
            if let Some(job) = self.jobs.get_mut(payment) {
                job.phase = Phase::Signing;
            }
        }
        let batch = self.batch_of(together);
        self.effects.push(Effect::RecordBatch(batch));
    }

    /// One of them became somebody else's, or their transaction would cost too much: nobody waits
    /// for the others.
    pub(in crate::dispatch::step) fn apart(&mut self, payments: &[PaymentId]) {
        for payment in payments {
            let Some(job) = self.jobs.get_mut(payment).filter(|job| job.phase == Phase::Signing) else {
                continue;
            };
            self.recording = self.recording.saturating_sub(1);
            job.goes = Goes::AloneOnce;
            match job.is_over || self.stopping {
                true => self.rest(payment),
                false => {
                    job.phase = Phase::Queued;
                    self.wanting.push_back(payment.clone());
                }
            }
        }
    }

    /// Each is read before anything else is signed for it, and then goes alone.
    pub(in crate::dispatch::step) fn unsure(&mut self, payments: &[PaymentId], reason: &str) {
        for payment in payments {
            if let Some(job) = self.jobs.get_mut(payment) {
                job.goes = Goes::Alone;
            }
            self.not_recorded(payment, reason.to_owned());
        }
    }

    /// Nobody waits any more: the process stops.
    pub(in crate::dispatch::step) fn disperse(&mut self) {
        for payment in self.gathering.take_all() {
            self.recording = self.recording.saturating_sub(1);
            if let Some(job) = self.jobs.get_mut(&payment) {
                job.phase = Phase::Idle;
            }
        }
    }
}
