//! Deliveries: as `ops::delivery`.

use quittance_protocol::PaymentId;
use serde_json::json;

use super::rows::{Answer, Database, Defect};
use crate::conn::{plain, reason, unsigned};
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::ops::delivery::{EXHAUSTED, credited};
use crate::ops::usages::storable;
use crate::types::{
    AnswerMeta, DeliveryStart, DeliveryState, Origin, Payment, PaymentState, RunEnd, RunLimits, StoredAnswer,
};

impl Database {
    pub(super) fn start_delivery(
        &mut self,
        me: &Me,
        id: &PaymentId,
        limits: RunLimits,
        now_ms: i64,
    ) -> Result<DeliveryStart, LedgerError> {
        let reckless = self.has(Defect::DoubleRun);
        let row = self.get_mut(id)?;
        let payment = &mut row.payment;
        let free = match payment.delivery {
            DeliveryState::None | DeliveryState::Credited => true,
            DeliveryState::Running => reckless,
            DeliveryState::Delivered | DeliveryState::DeliveredInPart | DeliveryState::Owed => false,
        };
        if payment.state != PaymentState::Settled
            || payment.origin != Origin::Gate
            || !free
            || !payment.has_runs_left(limits)
        {
            return self.not_started(me, id, now_ms);
        }
        let run = payment.runs.saturating_add(1);
        payment.runs = run;
        payment.delivery = DeliveryState::Running;
        payment.delivery_owner = Some(me.instance.to_string());
        payment.delivery_since_ms = Some(now_ms);
        row.delivery_epoch = Some(me.epoch);
        self.line(me, now_ms, Some(id), "running", json!({"run": run}));
        Ok(DeliveryStart::Run { run })
    }

    /// Why a run was not granted.
    fn not_started(&mut self, me: &Me, id: &PaymentId, now_ms: i64) -> Result<DeliveryStart, LedgerError> {
        let at = self.at(id)?;
        let payment = &self.payments[at].payment;
        if payment.origin != Origin::Gate {
            return Err(LedgerError::WrongOrigin { payment: Box::new(payment.clone()) });
        }
        if payment.state != PaymentState::Settled {
            return Err(not_settled(payment));
        }
        match payment.delivery {
            DeliveryState::Running => Ok(DeliveryStart::Running {
                owner: payment.delivery_owner.clone().unwrap_or_default(),
                since_ms: payment.delivery_since_ms.unwrap_or(payment.created_at_ms),
            }),
            DeliveryState::Delivered | DeliveryState::DeliveredInPart => {
                let in_part = payment.delivery == DeliveryState::DeliveredInPart;
                let answer = self.answers.get(&at).ok_or(LedgerError::Corrupt { field: "answers" })?;
                Ok(DeliveryStart::Delivered(AnswerMeta {
                    status: answer.status,
                    body_bytes: answer.body_bytes,
                    truncated: answer.truncated,
                    refundable: answer.refundable || in_part,
                    kept: answer.kept.is_some(),
                }))
            }
            DeliveryState::Owed => Ok(DeliveryStart::Owed),
            DeliveryState::None | DeliveryState::Credited => {
                let (failed, crashed) = (payment.failed_runs(), payment.runs_crashed);
                let first =
                    !self.journal.iter().any(|(of, line)| of.as_ref() == Some(id) && line.event == EXHAUSTED);
                if first {
                    self.line(me, now_ms, Some(id), EXHAUSTED, json!({"failed": failed, "crashed": crashed}));
                }
                Ok(DeliveryStart::Exhausted { failed, crashed, first })
            }
        }
    }

    pub(super) fn finish_delivery(
        &mut self,
        me: &Me,
        id: &PaymentId,
        run: u32,
        answer: &StoredAnswer,
        body_bytes_max: usize,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let body_bytes = answer.body_bytes();
        unsigned(body_bytes, "body")?;
        for (name, _) in &answer.headers {
            plain(name, "headers")?;
        }
        let usage = answer.usage.as_ref().map(storable).transpose()?;
        let truncated = answer.truncated || answer.body.len() > body_bytes_max;
        let object = answer.object.clone().filter(|_| !truncated);
        if let Some(object) = &object
            && !self.is_writing(id, run, &object.name)
        {
            self.current_run(me, id, run, DeliveryState::Delivered)?;
            return Err(LedgerError::Corrupt { field: "answer_objects" });
        }
        let to = if truncated { DeliveryState::DeliveredInPart } else { DeliveryState::Delivered };
        let at = self.end_run(me, id, run, to)?;
        let body = if truncated { Vec::new() } else { answer.body.clone() };
        let (status, refundable) = (answer.status, answer.refundable);
        let mut detail = json!({"run": run, "status": status, "body_bytes": body_bytes,
            "truncated": truncated, "refundable": refundable || truncated});
        if let Some(object) = &object {
            detail["object"] = json!(object.name);
            self.keep_object(object);
        }
        if let Some(usage) = &usage {
            detail["usage"] = json!(usage);
            self.usages.insert(at, (usage.clone(), now_ms));
        }
        let kept = StoredAnswer { body, object, truncated, usage, ..answer.clone() };
        let kept = Answer { kept: Some(kept), status, body_bytes, truncated, refundable, at_ms: now_ms };
        self.answers.insert(at, kept);
        self.line(me, now_ms, Some(id), to.as_str(), detail);
        Ok(())
    }

    pub(super) fn credit_delivery(
        &mut self,
        me: &Me,
        id: &PaymentId,
        run: u32,
        (end, why): (RunEnd, &str),
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let at = self.end_run(me, id, run, DeliveryState::Credited)?;
        credit(&mut self.payments[at].payment, end, now_ms);
        self.line(me, now_ms, Some(id), "credited", credited(run, &reason(why), end));
        Ok(())
    }

    /// This run and no other: its number, its instance and that instance's epoch.
    fn end_run(
        &mut self,
        me: &Me,
        id: &PaymentId,
        run: u32,
        to: DeliveryState,
    ) -> Result<usize, LedgerError> {
        let at = self.current_run(me, id, run, to)?;
        self.payments[at].payment.delivery = to;
        Ok(at)
    }

    fn current_run(
        &self,
        me: &Me,
        id: &PaymentId,
        run: u32,
        to: DeliveryState,
    ) -> Result<usize, LedgerError> {
        let careless = self.has(Defect::AnyRunMayFinish);
        let at = self.at(id)?;
        let row = &self.payments[at];
        let payment = &row.payment;
        let current = payment.delivery == DeliveryState::Running
            && payment.runs == run
            && payment.delivery_owner.as_deref() == Some(&*me.instance)
            && row.delivery_epoch == Some(me.epoch);
        if !current && !careless {
            return Err(delivery_error(payment, to));
        }
        Ok(at)
    }

    pub(super) fn mark_answer_sent(
        &mut self,
        me: &Me,
        id: &PaymentId,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let payment = &mut self.get_mut(id)?.payment;
        if payment.first_answer_at_ms.is_some() {
            return Ok(());
        }
        if !payment.delivery.is_completed() {
            return Err(delivery_error(payment, DeliveryState::Delivered));
        }
        payment.first_answer_at_ms = Some(now_ms);
        payment.delivery = DeliveryState::Delivered;
        self.line(me, now_ms, Some(id), "answer_sent", json!({}));
        Ok(())
    }

    pub(super) fn answer_of(&self, id: &PaymentId) -> Option<StoredAnswer> {
        let at = self.by_id.get(id)?;
        let mut answer = self.answers.get(at)?.kept.clone()?;
        answer.refundable |= self.payments[*at].payment.delivery == DeliveryState::DeliveredInPart;
        Some(answer)
    }

    pub(super) fn note_pending(&mut self, me: &Me, id: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
        let payment = &mut self.get_mut(id)?.payment;
        let before = payment.pending_answer_at_ms;
        payment.pending_answer_at_ms = Some(now_ms.max(before.unwrap_or(now_ms)));
        if before.is_none() {
            self.line(me, now_ms, Some(id), "pending_answered", json!({}));
        }
        Ok(())
    }
}

/// What a run that left no answer leaves in the row.
pub(super) fn credit(payment: &mut Payment, end: RunEnd, now_ms: i64) {
    payment.credited_at_ms = Some(now_ms);
    let (interrupted, crashed) = (u32::from(end != RunEnd::Failed), u32::from(end == RunEnd::Crashed));
    payment.runs_interrupted = payment.runs_interrupted.saturating_add(interrupted);
    payment.runs_crashed = payment.runs_crashed.saturating_add(crashed);
}

fn not_settled(payment: &Payment) -> LedgerError {
    let (from, to) = (payment.state, PaymentState::Settled);
    LedgerError::Transition { from, to, payment: Box::new(payment.clone()) }
}

pub(super) fn delivery_error(payment: &Payment, to: DeliveryState) -> LedgerError {
    LedgerError::DeliveryTransition { from: payment.delivery, to, payment: Box::new(payment.clone()) }
}
