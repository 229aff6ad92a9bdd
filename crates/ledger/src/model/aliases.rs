//! Calls that clients repeat, and the names of purchases: as `ops::aliases`.

use quittance_protocol::{IdentifierHash, PaymentId, PaymentKey};
use serde_json::json;

use super::rows::{Database, Row};
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::ops::aliases::Before;
use crate::ops::rows::check;
use crate::repeats::{Alias, Known, ended_unpaid};
use crate::token::ClaimOutcome;
use crate::types::{DeliveryState, NewClaim, Origin, Payment, PaymentState, RepeatPolicy};

impl Database {
    /// What stands under a key.
    pub fn known(&self, key: &PaymentKey) -> Option<Known> {
        if let Some(at) = self.by_key.get(key) {
            return Some(Known { payment: self.payments[*at].payment.clone(), alias: None });
        }
        let alias = self.aliases.get(key)?.clone();
        let payment = self.get(&alias.payment).ok()?.payment.clone();
        Some(Known { payment, alias: Some(alias) })
    }

    pub(super) fn aliases_of(&self, payment: &PaymentId) -> Vec<Alias> {
        let mut found: Vec<Alias> =
            self.aliases.values().filter(|alias| alias.payment == *payment).cloned().collect();
        found.sort_by_key(|alias| (alias.at_ms, alias.key));
        found.truncate(usize::try_from(crate::LIST_MAX).unwrap_or(usize::MAX));
        found
    }

    pub(super) fn claim_alias(
        &mut self,
        me: &Me,
        new: &NewClaim,
        now_ms: i64,
    ) -> Result<Option<ClaimOutcome>, LedgerError> {
        check(new)?;
        if let Some(known) = self.known(&new.key) {
            return Ok((!known.is_free()).then(|| ClaimOutcome::Exists(Box::new(known))));
        }
        Ok(self.left_for(new).map(|payment| self.answer_from(me, new, payment, now_ms)))
    }

    pub(super) fn left_for(&self, new: &NewClaim) -> Option<Payment> {
        let names = new.names();
        if names.is_empty() {
            return self.earlier(new);
        }
        let named: Vec<Payment> = names.iter().filter_map(|name| self.payment_named(new, name)).collect();
        self.answerable(new, names.len(), &named)
    }

    pub(super) fn before_claim(&mut self, me: &Me, new: &NewClaim, now_ms: i64) -> Before {
        let names = new.names();
        let known = self.known(&new.key);
        if names.is_empty() {
            return match self.earlier(new).filter(|_| known.is_none()) {
                Some(payment) => Before::Ends(self.answer_from(me, new, payment, now_ms)),
                None => Before::Goes(names),
            };
        }
        let named: Vec<Payment> = names.iter().filter_map(|name| self.payment_named(new, name)).collect();
        if let Some(mine) = named.iter().find(|payment| payment.key == new.key) {
            let mine = Known { payment: mine.clone(), alias: None };
            return Before::Ends(ClaimOutcome::Exists(Box::new(mine)));
        }
        let Some(other) = named.iter().find(|payment| !ended_unpaid(payment)) else {
            for name in &names {
                self.identifiers.insert((new.scope(), new.payer.clone(), *name), new.id.clone());
            }
            return Before::Goes(names);
        };
        match known {
            Some(known) if known.is_free() => Before::Goes(Vec::new()),
            Some(known) => Before::Ends(ClaimOutcome::Exists(Box::new(known))),
            None => Before::Ends(match self.answerable(new, names.len(), &named) {
                Some(payment) => self.answer_from(me, new, payment, now_ms),
                None => ClaimOutcome::Named(Box::new(other.clone())),
            }),
        }
    }

    pub(super) fn release(&mut self, me: &Me, key: &PaymentKey, payment: &PaymentId, now_ms: i64) {
        if self.aliases.remove(key).is_some() {
            self.line(me, now_ms, Some(payment), "alias_released", json!({"key": key.to_string()}));
        }
    }

    pub(super) fn drop_names(&mut self, new: &NewClaim, names: &[IdentifierHash]) {
        for name in names {
            self.identifiers.remove(&(new.scope(), new.payer.clone(), *name));
        }
    }

    fn payment_named(&self, new: &NewClaim, name: &IdentifierHash) -> Option<Payment> {
        let id = self.identifiers.get(&(new.scope(), new.payer.clone(), *name))?;
        self.get(id).ok().map(|row| row.payment.clone())
    }

    /// The payment that an unnamed claim is answered from.
    fn earlier(&self, new: &NewClaim) -> Option<Payment> {
        let policy = new.repeats?;
        let left = |row: &&Row| {
            let payment = &row.payment;
            let left_alone = self.is_over(row)
                || payment.pending_answer_at_ms.is_some()
                || payment.credited_at_ms.is_some()
                || (payment.delivery == DeliveryState::None
                    && payment.created_at_ms <= policy.waiting_since_ms);
            payment.payer == new.payer
                && payment.fingerprint == new.fingerprint
                && payment.network == new.network
                && payment.key != new.key
                && left_alone
                && self.is_unanswered(payment, policy)
                && !self.identifiers.values().any(|named| *named == payment.id)
        };
        // Many parallel purchases that lost their process at once come back as many calls.
        let order = |payment: &&Payment| {
            let aliases = self.aliases.values().filter(|alias| alias.payment == payment.id).count();
            (aliases, payment.state != PaymentState::Settled, payment.created_at_ms, payment.id.clone())
        };
        self.payments.iter().filter(left).map(|row| &row.payment).min_by_key(order).cloned()
    }

    /// Whether the life of the process that its caller was connected to is over.
    fn is_over(&self, row: &Row) -> bool {
        let payment = &row.payment;
        let name = payment.delivery_owner.as_deref().unwrap_or(&payment.owner);
        let epoch = row.delivery_epoch.unwrap_or(payment.owner_epoch);
        self.instances.get(name).is_none_or(|instance| instance.epoch != epoch)
    }

    fn answerable(&self, new: &NewClaim, names: usize, named: &[Payment]) -> Option<Payment> {
        let (policy, first) = (new.repeats?, named.first()?);
        let one = named.len() == names && named.iter().all(|payment| payment.id == first.id);
        let same = one && first.fingerprint == new.fingerprint && first.network == new.network;
        (same && self.is_unanswered(first, policy)).then(|| first.clone())
    }

    /// Whether something is left of the payment for its payer.
    fn is_unanswered(&self, payment: &Payment, policy: RepeatPolicy) -> bool {
        let kept = || {
            let answer = self.at(&payment.id).ok().and_then(|at| self.answers.get(&at));
            answer.is_some_and(|answer| answer.kept.is_some() && !answer.truncated)
        };
        payment.origin == Origin::Gate
            && payment.first_answer_at_ms.is_none()
            && !ended_unpaid(payment)
            && match payment.delivery {
                DeliveryState::Running => true,
                DeliveryState::None | DeliveryState::Credited => payment.has_runs_left(policy.runs),
                DeliveryState::Delivered | DeliveryState::DeliveredInPart => kept(),
                DeliveryState::Owed => false,
            }
    }

    fn answer_from(&mut self, me: &Me, new: &NewClaim, payment: Payment, now_ms: i64) -> ClaimOutcome {
        let most = new.repeats.map_or(0, |policy| policy.aliases_max);
        let count = self.aliases.values().filter(|alias| alias.payment == payment.id).count();
        if count >= usize::try_from(most).unwrap_or(usize::MAX) {
            return ClaimOutcome::Crowded(Box::new(payment));
        }
        let alias = Alias {
            key: new.key,
            payment: payment.id.clone(),
            signature_digest: new.signature_digest,
            identifier: new.identifier,
            amount: new.amount,
            at_ms: now_ms,
        };
        self.aliases.insert(new.key, alias.clone());
        let detail = json!({"key": new.key.to_string(), "amount": new.amount});
        self.line(me, now_ms, Some(&payment.id), "aliased", detail);
        ClaimOutcome::Aliased(Box::new(Known { payment, alias: Some(alias) }))
    }
}
