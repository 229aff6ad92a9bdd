//! What goes of payments that ended long ago: as `ops::pruning`.

use serde_json::json;

use super::rows::{Attempt, Database, Defect};
use crate::ledger::Me;
use crate::pruning::{
    ATTEMPTS_MAX, Ended, FinishedPolicy, LINES_PER_STEP, LOOKED_AT_PER_STEP, PRUNED_PER_STEP, PruneCursor,
    Pruned, TARIFFS_PER_STEP, is_over, tariffs_before_ms,
};
use crate::types::Payment;

impl Database {
    /// As [`Ledger::prune_finished`](crate::Ledger::prune_finished).
    pub(super) fn prune_finished(
        &mut self,
        me: &Me,
        policy: FinishedPolicy,
        after: Option<PruneCursor>,
        (lease_now_ms, now_ms): (i64, i64),
    ) -> Pruned {
        let (owner, until_ms) = &self.pruner;
        if **owner != *me.instance && *until_ms >= lease_now_ms {
            return Pruned::Busy;
        }
        self.pruner = (me.instance.to_string(), lease_now_ms.saturating_add(policy.lease_ms));
        let before_ms = policy.before_ms(now_ms);
        let found = self.finished(before_ms, after.as_ref());
        let mut is_last = found.len() < usize::from(LOOKED_AT_PER_STEP);
        let (mut next, mut payments, mut lines_left) = (after, 0_u64, LINES_PER_STEP);
        for cursor in found {
            if payments == PRUNED_PER_STEP || lines_left == 0 {
                is_last = false;
                break;
            }
            let Ok(at) = self.at(&cursor.payment) else { continue };
            if self.may_go(at, before_ms) {
                if !self.all_of_journal(at, &mut lines_left) {
                    is_last = false;
                    break;
                }
                self.prune_payment(at, now_ms);
                payments = payments.saturating_add(1);
            }
            next = Some(cursor);
        }
        let tariffs = self.old_tariffs(tariffs_before_ms(before_ms, now_ms));
        is_last &= tariffs < TARIFFS_PER_STEP;
        if payments > 0 || tariffs > 0 {
            let detail = json!({"payments": payments, "tariffs": tariffs, "before_ms": before_ms});
            self.line(me, now_ms, None, "finished_pruned", detail);
        }
        Pruned::Step { payments, tariffs, next: next.filter(|_| !is_last) }
    }

    fn finished(&self, before_ms: i64, after: Option<&PruneCursor>) -> Vec<PruneCursor> {
        let ended = |payment: &&Payment| {
            payment.pruned_at_ms.is_none() && payment.verdict_at_ms.is_some_and(|at| at < before_ms)
        };
        let place = |cursor: &PruneCursor| (cursor.verdict_at_ms, cursor.payment.clone());
        let mut found: Vec<_> = self.payments().filter(ended).map(PruneCursor::of).collect();
        found.retain(|cursor| after.is_none_or(|after| place(cursor) > place(after)));
        found.sort_by_key(place);
        found.truncate(usize::from(LOOKED_AT_PER_STEP));
        found
    }

    fn may_go(&self, at: usize, before_ms: i64) -> bool {
        let payment = &self.payments[at].payment;
        if self.has(Defect::PrunedOpen) || self.has(Defect::KeyPruned) {
            return true;
        }
        let answer = self.answers.get(&at);
        let ended = Ended {
            refundable: answer.is_some_and(|answer| answer.refundable),
            kept: answer.is_some_and(|answer| answer.kept.is_some()),
            reserved: self.reservations.contains_key(&payment.id),
        };
        let mine: Vec<&Attempt> =
            self.kept_attempts().filter(|attempt| attempt.payments.contains(&payment.id)).collect();
        is_over(payment, before_ms)
            && ended.may_go()
            && mine.len() <= usize::from(ATTEMPTS_MAX)
            && mine.iter().all(|attempt| self.is_nonce_used(attempt) && !self.has_open_share(attempt))
    }

    fn has_open_share(&self, attempt: &Attempt) -> bool {
        self.is_booked(&attempt.network, &attempt.signed.transaction)
            && attempt.nonce.is_some()
            && !attempt.payments.iter().all(|id| self.is_share_booked(attempt, id))
    }

    fn is_nonce_used(&self, attempt: &Attempt) -> bool {
        let place = |one: &Attempt| (one.network.clone(), one.wallet.clone());
        attempt.nonce.is_none()
            || self.kept_attempts().any(|other| {
                place(other) == place(attempt)
                    && other.nonce >= attempt.nonce
                    && self.is_booked(&other.network, &other.signed.transaction)
            })
    }

    fn all_of_journal(&mut self, at: usize, lines_left: &mut u64) -> bool {
        let id = self.payments[at].payment.id.clone();
        self.journal.retain(|(of, _)| {
            let goes = of.as_ref() == Some(&id) && *lines_left > 0;
            *lines_left = lines_left.saturating_sub(u64::from(goes));
            !goes
        });
        *lines_left > 0
    }

    fn prune_payment(&mut self, at: usize, now_ms: i64) {
        let payment = &mut self.payments[at].payment;
        payment.pruned_at_ms = Some(now_ms);
        payment.payload = json!({});
        let (id, key) = (payment.id.clone(), payment.key);
        self.aliases.retain(|_, alias| alias.payment != id);
        self.merchants.remove(&at);
        if self.has(Defect::KeyPruned) {
            self.by_key.remove(&key);
        }
        let pruned: Vec<_> = self
            .payments()
            .filter(|payment| payment.pruned_at_ms.is_some())
            .map(|one| one.id.clone())
            .collect();
        let needed = |one: &Attempt| one.payments.iter().any(|of| !pruned.contains(of));
        let slot = |one: &Attempt| one.nonce.map(|nonce| (one.network.clone(), one.wallet.clone(), nonce));
        let mine: Vec<Attempt> =
            self.kept_attempts().filter(|attempt| attempt.payments.contains(&id)).cloned().collect();
        for attempt in mine {
            let place = slot(&attempt);
            let same = |one: &Attempt| match &place {
                Some(_) => slot(one) == place,
                None => one.id == attempt.id,
            };
            let is_needed = self.kept_attempts().any(|one| same(one) && needed(one));
            for one in self.attempts.iter_mut().filter(|one| same(one)) {
                one.pruned |= !is_needed;
                if is_needed && one.id == attempt.id {
                    one.payments.retain(|payment| *payment != id);
                }
            }
        }
    }

    fn old_tariffs(&mut self, before_ms: i64) -> u64 {
        let old = |replaced_at_ms: Option<i64>| replaced_at_ms.is_some_and(|at| at < before_ms);
        let mut deleted = 0;
        for tariffs in self.tariffs.values_mut() {
            tariffs.retain(|tariff| {
                let goes = old(tariff.replaced_at_ms) && deleted < TARIFFS_PER_STEP;
                deleted = deleted.saturating_add(u64::from(goes));
                !goes
            });
        }
        deleted
    }
}
