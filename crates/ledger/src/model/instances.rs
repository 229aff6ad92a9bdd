//! Instances: as `ops::instances`.

use std::sync::Arc;

use quittance_protocol::PaymentId;
use serde_json::json;

use super::deliveries::credit;
use super::rows::{Database, Defect, Instance, Row};
use crate::conn::plain;
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::ops::delivery::{CUT_OFF, credited};
use crate::types::{DeliveryState, Origin, Payment, PaymentState, RunEnd};

/// Whether nobody has to work on it or watch it any more.
fn is_over(payment: &Payment) -> bool {
    payment.state.is_final() && !is_unfinal(payment)
}

fn is_unfinal(payment: &Payment) -> bool {
    payment.state == PaymentState::Settled && payment.finality.is_none()
}

fn runs_here(row: &Row, me: &Me) -> bool {
    row.payment.delivery == DeliveryState::Running
        && row.payment.delivery_owner.as_deref() == Some(&*me.instance)
        && row.delivery_epoch == Some(me.epoch)
}

/// Whose leftovers.
enum Left<'a> {
    By(&'a str),
    ByAnybody,
}

impl Left<'_> {
    fn covers(&self, owner: &str) -> bool {
        match self {
            Self::By(name) => *name == owner,
            Self::ByAnybody => true,
        }
    }
}

impl Database {
    pub(super) fn enter(
        &mut self,
        name: Arc<str>,
        lease_until_ms: i64,
        shared: bool,
        end: RunEnd,
        now_ms: i64,
    ) -> Result<i64, LedgerError> {
        plain(&name, "instance")?;
        let instance =
            self.instances.entry(Arc::clone(&name)).or_insert(Instance { epoch: 0, lease_until_ms });
        instance.epoch = instance.epoch.saturating_add(1);
        instance.lease_until_ms = lease_until_ms;
        let me = Me { instance: Arc::clone(&name), epoch: instance.epoch };
        self.take_over(&me, if shared { Left::By(&name) } else { Left::ByAnybody }, end, now_ms);
        Ok(me.epoch)
    }

    pub(super) fn heartbeat(&mut self, me: &Me, lease_until_ms: i64) -> Result<(), LedgerError> {
        match self.instances.get_mut(&me.instance) {
            Some(instance) if instance.epoch == me.epoch => {
                instance.lease_until_ms = lease_until_ms;
                Ok(())
            }
            _ => Err(LedgerError::LeaseLost),
        }
    }

    pub(super) fn unfinished(&self, me: &Me) -> Vec<Payment> {
        let mine = |payment: &&Payment| me.owns(payment) && !payment.state.is_final();
        let mut found: Vec<Payment> = self.payments().filter(mine).cloned().collect();
        found.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        found
    }

    pub(super) fn running(&self, me: &Me) -> Vec<(PaymentId, u32)> {
        let mut found: Vec<_> = self.payments.iter().filter(|row| runs_here(row, me)).collect();
        found.sort_by(|a, b| a.payment.id.cmp(&b.payment.id));
        found.into_iter().map(|row| (row.payment.id.clone(), row.payment.runs)).collect()
    }

    pub(super) fn adopt_orphans(&mut self, me: &Me, lease_now_ms: i64, now_ms: i64) -> Vec<Payment> {
        // A commit of an earlier life may come after that life was taken over.
        let earlier = Arc::clone(&me.instance);
        let mut adopted = self.take_over(me, Left::By(&earlier), RunEnd::Interrupted, now_ms);
        for name in self.fence_dead(me, lease_now_ms) {
            adopted.extend(self.take_over(me, Left::By(&name), RunEnd::Crashed, now_ms));
        }
        adopted
    }

    /// Instances that left work behind and whose lease has passed; their epoch moves on.
    fn fence_dead(&mut self, me: &Me, now_ms: i64) -> Vec<Arc<str>> {
        let (payments, merchants) = (&self.payments, &self.merchants);
        let left = |name: &str| {
            let telling = merchants.values().any(|row| row.telling && row.owner == name);
            telling
                || payments.iter().any(|row| {
                    let payment = &row.payment;
                    (payment.owner == name && !is_over(payment))
                        || (payment.delivery_owner.as_deref() == Some(name)
                            && payment.delivery == DeliveryState::Running)
                })
        };
        let mut dead = Vec::new();
        for (name, instance) in &mut self.instances {
            if instance.lease_until_ms < now_ms && *name != me.instance && left(name) {
                instance.epoch = instance.epoch.saturating_add(1);
                dead.push(Arc::clone(name));
            }
        }
        dead
    }

    fn take_over(&mut self, me: &Me, left: Left<'_>, end: RunEnd, now_ms: i64) -> Vec<Payment> {
        let forgetful = self.has(Defect::RunningForgotten);
        let (mut adopted, mut cut_off): (Vec<Payment>, Vec<(PaymentId, u32)>) = Default::default();
        for row in &mut self.payments {
            let payment = &mut row.payment;
            let later = payment.owner == *me.instance && payment.owner_epoch >= me.epoch;
            if !is_over(payment) && left.covers(&payment.owner) && !later {
                payment.owner = me.instance.to_string();
                payment.owner_epoch = me.epoch;
                let waited = !payment.state.is_final() || payment.delivery == DeliveryState::None;
                if payment.origin == Origin::Gate && waited {
                    payment.pending_answer_at_ms.get_or_insert(now_ms);
                }
                // Settled ones go on being watched; nobody drives them.
                if !payment.state.is_final() {
                    adopted.push(payment.clone());
                }
            }
            let runner = payment.delivery_owner.as_deref().unwrap_or_default();
            let ours = runner == &*me.instance && row.delivery_epoch >= Some(me.epoch);
            if payment.delivery == DeliveryState::Running && left.covers(runner) && !ours && !forgetful {
                payment.delivery = DeliveryState::Credited;
                credit(payment, end, now_ms);
                cut_off.push((payment.id.clone(), payment.runs));
            }
        }
        adopted.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        for payment in &adopted {
            self.line(me, now_ms, Some(&payment.id), "adopted", json!({"epoch": me.epoch}));
        }
        for (id, run) in cut_off {
            let detail = credited(run, CUT_OFF, end);
            self.line(me, now_ms, Some(&id), "credited", detail);
        }
        self.take_over_tellings(me, |owner| left.covers(owner), now_ms);
        adopted
    }
}
