//! Answers in a file or object store, and what is dropped: as `ops::objects`.

use std::sync::Arc;

use quittance_protocol::PaymentId;
use serde_json::json;

use super::deliveries::delivery_error;
use super::rows::{Answer, Database, Object};
use crate::LIST_MAX;
use crate::conn::plain;
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::ops::objects::DELETED_AGAIN_MS;
use crate::ops::retention::ANSWERS_PER_STEP;
use crate::types::{AnswerObject, DeliveryState, LeftoverObject};

impl Database {
    pub(super) fn begin_object(
        &mut self,
        me: &Me,
        id: &PaymentId,
        run: u32,
        name: &str,
        key: [u8; 32],
    ) -> Result<(), LedgerError> {
        plain(name, "object")?;
        let at = self.at(id)?;
        let row = &self.payments[at];
        let ours = row.payment.delivery == DeliveryState::Running
            && row.payment.runs == run
            && row.payment.delivery_owner.as_deref() == Some(&*me.instance)
            && row.delivery_epoch == Some(me.epoch);
        if !ours {
            return Err(delivery_error(&row.payment, DeliveryState::Running));
        }
        if name.chars().count() != 32 || self.objects.contains_key(name) {
            return Err(LedgerError::Database("a constraint on answer_objects".into()));
        }
        let object = Object {
            payment: at,
            run,
            key: Some(key),
            bytes: 0,
            kept: false,
            instance: Arc::clone(&me.instance),
            dropped_at_ms: None,
            deleted: false,
        };
        self.objects.insert(name.to_owned(), object);
        Ok(())
    }

    fn run_is_over(&self, object: &Object) -> bool {
        let payment = &self.payments[object.payment].payment;
        !(payment.delivery == DeliveryState::Running && payment.runs == object.run)
    }

    pub(super) fn is_writing(&self, id: &PaymentId, run: u32, name: &str) -> bool {
        let (at, object) = (self.by_id.get(id), self.objects.get(name));
        object.is_some_and(|object| {
            Some(&object.payment) == at && object.run == run && object.key.is_some() && !object.kept
        })
    }

    pub(super) fn keep_object(&mut self, answer: &AnswerObject) {
        if let Some(object) = self.objects.get_mut(&answer.name) {
            (object.kept, object.bytes) = (true, answer.bytes);
        }
    }

    pub(super) fn leftover_objects(&self, me: &Me, lease_now_ms: i64, now_ms: i64) -> Vec<LeftoverObject> {
        let dead = |object: &Object| {
            object.instance == me.instance
                || self.instances.get(&object.instance).is_none_or(|one| one.lease_until_ms < lease_now_ms)
        };
        let wanted = |object: &Object| match object.dropped_at_ms {
            Some(at_ms) => !object.deleted || at_ms < now_ms.saturating_sub(DELETED_AGAIN_MS),
            None => !object.kept && self.run_is_over(object) && dead(object),
        };
        self.objects
            .iter()
            .filter(|(_, object)| wanted(object))
            .take(LIST_MAX as usize)
            .map(|(name, object)| LeftoverObject { name: name.clone(), has_key: object.key.is_some() })
            .collect()
    }

    pub(super) fn drop_object(&mut self, name: &str, now_ms: i64) -> bool {
        let over = self.objects.get(name).is_some_and(|object| self.run_is_over(object));
        match self.objects.get_mut(name) {
            Some(object) if over && !object.kept && object.key.is_some() => {
                (object.key, object.dropped_at_ms) = (None, Some(now_ms));
                true
            }
            _ => false,
        }
    }

    pub(super) fn note_object_deleted(&mut self, name: &str, now_ms: i64) {
        let Some(object) = self.objects.get_mut(name) else { return };
        let Some(dropped_at_ms) = object.dropped_at_ms else { return };
        object.deleted = true;
        if dropped_at_ms < now_ms.saturating_sub(DELETED_AGAIN_MS) {
            self.objects.remove(name);
        }
    }

    pub(super) fn kept_object_bytes(&self) -> u64 {
        self.objects.values().filter(|object| object.kept).fold(0, |sum, one| sum.saturating_add(one.bytes))
    }

    /// As [`Ledger::prune`](crate::Ledger::prune).
    pub(super) fn prune(&mut self, instance: Arc<str>, before_ms: i64, now_ms: i64) -> u64 {
        let old = |(_, answer): &(&usize, &Answer)| answer.kept.is_some() && answer.at_ms < before_ms;
        let mut old: Vec<_> =
            self.answers.iter().filter(old).map(|(at, answer)| (answer.at_ms, *at)).collect();
        old.sort_unstable();
        old.truncate(usize::try_from(ANSWERS_PER_STEP).unwrap_or(usize::MAX));
        let dropped = old.iter().map(|(_, at)| u64::from(self.forget(*at, now_ms))).sum();
        if dropped > 0 {
            let detail = json!({"answers": dropped, "before_ms": before_ms});
            self.line(&Me { instance, epoch: 0 }, now_ms, None, "pruned", detail);
        }
        dropped
    }

    pub(super) fn erase_answer(&mut self, me: &Me, id: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        let at = self.at(id)?;
        let erased = self.forget(at, now_ms);
        if erased {
            self.line(me, now_ms, Some(id), "answer_erased", json!({}));
        }
        Ok(erased)
    }

    fn forget(&mut self, at: usize, now_ms: i64) -> bool {
        let Some(kept) = self.answers.get_mut(&at).and_then(|answer| answer.kept.take()) else {
            return false;
        };
        let payment = &mut self.payments[at].payment;
        if payment.delivery == DeliveryState::Delivered && payment.first_answer_at_ms.is_none() {
            payment.delivery = DeliveryState::DeliveredInPart;
        }
        if let Some(object) = kept.object.and_then(|object| self.objects.get_mut(&object.name)) {
            (object.key, object.kept, object.dropped_at_ms) = (None, false, Some(now_ms));
        }
        true
    }
}
