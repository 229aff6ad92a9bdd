//! What becomes of a landing after the verdict: as `ops::finality`.

use std::ops::RangeInclusive;

use quittance_protocol::{Evidence, Landing, Network, PaymentId};
use serde_json::json;

use super::payments::stored;
use super::rows::Database;
use crate::conn::unsigned;
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::types::{Finality, Payment, PaymentState};

const LIST_MAX: usize = crate::LIST_MAX as usize;

impl Database {
    pub(super) fn unfinal(&self, me: &Me, network: &Network, blocks: &RangeInclusive<u64>) -> Vec<Payment> {
        let block = |payment: &Payment| payment.landing.as_ref().map(|landing| landing.block);
        let mine = |payment: &&Payment| {
            payment.state == PaymentState::Settled
                && payment.finality.is_none()
                && me.owns(payment)
                && payment.network == *network
                && block(payment).is_some_and(|block| blocks.contains(&block))
        };
        let mut found: Vec<Payment> = self.payments().filter(mine).cloned().collect();
        found.sort_by(|a, b| (block(a), &a.id).cmp(&(block(b), &b.id)));
        found.truncate(LIST_MAX);
        found
    }

    pub(super) fn has_unfinal(&self, me: &Me, network: &Network) -> bool {
        !self.unfinal(me, network, &(0..=u64::MAX)).is_empty()
    }

    pub(super) fn finalize(
        &mut self,
        me: &Me,
        landings: &[(PaymentId, Landing)],
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        for (_, landing) in landings {
            unsigned(landing.block, "block")?;
        }
        let mut finalized = 0_u64;
        for (id, landing) in landings {
            let Some(payment) = self.unfinal_one(id) else { continue };
            payment.finality = Some(Finality::Finalized);
            payment.finality_at_ms = Some(now_ms);
            put(payment, landing);
            finalized = finalized.saturating_add(1);
            let detail = json!({"transaction": landing.transaction, "block": landing.block});
            self.line(me, now_ms, Some(id), "finalized", detail);
        }
        Ok(finalized)
    }

    pub(super) fn move_landing(
        &mut self,
        me: &Me,
        id: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        unsigned(landing.block, "block")?;
        match self.unfinal_one(id) {
            Some(payment) if payment.landing.as_ref() != Some(landing) => put(payment, landing),
            _ => return Ok(false),
        }
        let detail = json!({"transaction": landing.transaction, "block": landing.block});
        self.line(me, now_ms, Some(id), "moved", detail);
        Ok(true)
    }

    pub(super) fn book_reorged_loss(
        &mut self,
        me: &Me,
        id: &PaymentId,
        evidence: &Evidence,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let evidence = stored(evidence)?;
        let Some(payment) = self.unfinal_one(id) else { return Ok(false) };
        payment.finality = Some(Finality::ReorgedLoss);
        payment.finality_at_ms = Some(now_ms);
        let unpaid = payment.clone();
        self.unpaid(&unpaid, now_ms);
        self.line(me, now_ms, Some(id), "reorged_loss", json!({"evidence": evidence}));
        Ok(true)
    }

    fn unfinal_one(&mut self, id: &PaymentId) -> Option<&mut Payment> {
        let payment = &mut self.get_mut(id).ok()?.payment;
        (payment.state == PaymentState::Settled && payment.finality.is_none()).then_some(payment)
    }
}

fn put(payment: &mut Payment, landing: &Landing) {
    payment.transaction = Some(landing.transaction.clone());
    payment.landing = Some(landing.clone());
}
