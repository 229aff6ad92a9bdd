//! The operations over the tables, as the port's list names them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quittance_protocol::{Amount, ErrorCode, Evidence, Landing, Network, PaymentId, PaymentKey, SendOutcome};
use serde_json::Value as Json;

use super::ModelLedger;
use crate::attempt::NewAttempt;
use crate::error::LedgerError;
use crate::exposure::{ExposureSums, Reserve};
use crate::merchant::{
    CheckTerms, MerchantAnswer, MerchantAnswerEnd, MerchantCheck, NewCheck, NewCheckLease,
};
use crate::pruning::{FinishedPolicy, PruneCursor, Pruned};
use crate::repeats::{Alias, Known};
use crate::token::{ClaimOutcome, Recorded};
use crate::types::{
    AttemptId, CostEntry, CostShare, DeliveryStart, LeftoverObject, NewClaim, OpenWork, Payment,
    ReplacedSlot, Retention, RunEnd, RunLimits, StoredAnswer, TariffRow,
};

impl ModelLedger {
    pub(crate) fn claim(&self, new: NewClaim, now_ms: i64) -> Result<ClaimOutcome, LedgerError> {
        self.write(now_ms, |rows, me| rows.claim(me, new, now_ms))
    }

    pub(crate) fn claim_within(
        &self,
        new: NewClaim,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<ClaimOutcome, LedgerError> {
        let times = (self.database.lease_now(now_ms), now_ms);
        self.write(now_ms, |rows, me| rows.claim_within(me, new, wanted, times))
    }

    pub(crate) fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.get(id).ok().map(|row| row.payment.clone())))
    }

    pub(crate) fn payment_by_key(&self, key: &PaymentKey) -> Result<Option<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.by_key.get(key).map(|at| rows.payments[*at].payment.clone())))
    }

    pub(crate) fn known(&self, key: &PaymentKey) -> Result<Option<Known>, LedgerError> {
        self.read(|rows| Ok(rows.known(key)))
    }

    pub(crate) fn claim_alias(
        &self,
        new: NewClaim,
        now_ms: i64,
    ) -> Result<Option<ClaimOutcome>, LedgerError> {
        self.write(now_ms, |rows, me| rows.claim_alias(me, &new, now_ms))
    }

    pub(crate) fn earlier(&self, new: &NewClaim) -> Result<Option<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.left_for(new)))
    }

    pub(crate) fn aliases(&self, payment: &PaymentId) -> Result<Vec<Alias>, LedgerError> {
        self.read(|rows| Ok(rows.aliases_of(payment)))
    }

    pub(crate) fn ensure_wallet(
        &self,
        network: &Network,
        wallet: &str,
        chain_nonce: u64,
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        self.write(now_ms, |rows, me| rows.ensure_wallet(me, network, wallet, chain_nonce, now_ms))
    }

    pub(crate) fn record(&self, attempt: NewAttempt, now_ms: i64) -> Result<Recorded, LedgerError> {
        attempt.check()?;
        self.write(now_ms, |rows, me| rows.record(me, attempt, now_ms))
    }

    pub(crate) fn journal_send(
        &self,
        attempt: AttemptId,
        outcome: &SendOutcome,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, me| rows.journal_send(me, attempt, outcome, now_ms))
    }

    pub(crate) fn recorded_attempts(&self, payment: &PaymentId) -> Result<Vec<Recorded>, LedgerError> {
        self.read(|rows| Ok(rows.attempts_of(payment)))
    }

    pub(crate) fn attempts_from_nonce(
        &self,
        network: &Network,
        wallet: &str,
        nonce: u64,
    ) -> Result<Vec<Recorded>, LedgerError> {
        self.read(|rows| Ok(rows.attempts_from(network, wallet, nonce)))
    }

    pub(crate) fn settle(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        self.write(now_ms, |rows, me| rows.settle(me, payment, landing, false, now_ms))
    }

    pub(crate) fn settle_owed(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        self.write(now_ms, |rows, me| rows.settle(me, payment, landing, true, now_ms))
    }

    pub(crate) fn refuse(
        &self,
        payment: &PaymentId,
        code: ErrorCode,
        why: &str,
        evidence: Option<&Evidence>,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        self.write(now_ms, |rows, me| rows.refuse(me, payment, (code, why), evidence, now_ms))
    }

    pub(crate) fn expire(
        &self,
        payment: &PaymentId,
        evidence: &Evidence,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        self.write(now_ms, |rows, me| rows.expire(me, payment, evidence, now_ms))
    }

    pub(crate) fn unfinal(
        &self,
        network: &Network,
        blocks: RangeInclusive<u64>,
    ) -> Result<Vec<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.unfinal(&self.me(), network, &blocks)))
    }

    pub(crate) fn has_unfinal(&self, network: &Network) -> Result<bool, LedgerError> {
        self.read(|rows| Ok(rows.has_unfinal(&self.me(), network)))
    }

    pub(crate) fn finalize(
        &self,
        landings: Vec<(PaymentId, Landing)>,
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        self.write(now_ms, |rows, me| rows.finalize(me, &landings, now_ms))
    }

    pub(crate) fn move_landing(
        &self,
        payment: &PaymentId,
        landing: &Landing,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| rows.move_landing(me, payment, landing, now_ms))
    }

    pub(crate) fn book_reorged_loss(
        &self,
        payment: &PaymentId,
        evidence: &Evidence,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| rows.book_reorged_loss(me, payment, evidence, now_ms))
    }

    pub(crate) fn start_delivery(
        &self,
        payment: &PaymentId,
        limits: RunLimits,
        now_ms: i64,
    ) -> Result<DeliveryStart, LedgerError> {
        self.write(now_ms, |rows, me| rows.start_delivery(me, payment, limits, now_ms))
    }

    pub(crate) fn finish_delivery(
        &self,
        payment: &PaymentId,
        run: u32,
        answer: &StoredAnswer,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let kept_max = self.answer_body_bytes_max;
        self.write(now_ms, |rows, me| rows.finish_delivery(me, payment, run, answer, kept_max, now_ms))
    }

    pub(crate) fn credit_delivery(
        &self,
        payment: &PaymentId,
        run: u32,
        end: RunEnd,
        why: &str,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, me| rows.credit_delivery(me, payment, run, (end, why), now_ms))
    }

    pub(crate) fn mark_answer_sent(&self, payment: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, me| rows.mark_answer_sent(me, payment, now_ms))
    }

    pub(crate) fn answer(&self, payment: &PaymentId) -> Result<Option<StoredAnswer>, LedgerError> {
        self.read(|rows| Ok(rows.answer_of(payment)))
    }

    pub(crate) fn begin_answer_object(
        &self,
        payment: &PaymentId,
        run: u32,
        name: &str,
        key: [u8; 32],
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, me| rows.begin_object(me, payment, run, name, key))
    }

    pub(crate) fn leftover_objects(&self, now_ms: i64) -> Result<Vec<LeftoverObject>, LedgerError> {
        let lease_now_ms = self.database.lease_now(now_ms);
        self.read(|rows| Ok(rows.leftover_objects(&self.me(), lease_now_ms, now_ms)))
    }

    pub(crate) fn drop_answer_object(&self, name: &str, now_ms: i64) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, _| Ok(rows.drop_object(name, now_ms)))
    }

    pub(crate) fn note_object_deleted(&self, name: &str, now_ms: i64) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, _| {
            rows.note_object_deleted(name, now_ms);
            Ok(())
        })
    }

    pub(crate) fn kept_object_bytes(&self) -> Result<u64, LedgerError> {
        self.read(|rows| Ok(rows.kept_object_bytes()))
    }

    pub(crate) fn erase_answer(&self, payment: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| rows.erase_answer(me, payment, now_ms))
    }

    pub(crate) fn begin_merchant_answer(
        &self,
        payment: &PaymentId,
        holder: &str,
        tellings_max: u32,
        now_ms: i64,
    ) -> Result<MerchantAnswer, LedgerError> {
        self.write(now_ms, |rows, me| rows.begin_merchant_answer(me, payment, holder, tellings_max, now_ms))
    }

    pub(crate) fn end_merchant_answer(
        &self,
        payment: &PaymentId,
        holder: &str,
        end: MerchantAnswerEnd,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| rows.end_merchant_answer(me, payment, holder, end, now_ms))
    }

    pub(crate) fn lease_merchant_check(
        &self,
        payment: &PaymentId,
        tellings_max: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<MerchantCheck, LedgerError> {
        let lease = (lease_ms, self.database.lease_now(now_ms));
        self.write(now_ms, |rows, me| rows.lease_merchant_check(me, payment, tellings_max, lease, now_ms))
    }

    pub(crate) fn merchant_answers_begun(&self) -> Result<Vec<(PaymentId, String)>, LedgerError> {
        self.read(|rows| Ok(rows.merchant_answers_begun(&self.me())))
    }

    pub(crate) fn lease_new_check(
        &self,
        check: NewCheck,
        wanted: Reserve,
        terms: CheckTerms,
        now_ms: i64,
    ) -> Result<NewCheckLease, LedgerError> {
        let times = (self.database.lease_now(now_ms), now_ms);
        self.write(now_ms, |rows, _| rows.lease_new_check(check, &wanted, terms, times))
    }

    pub(crate) fn note_pending_answer(&self, payment: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, me| rows.note_pending(me, payment, now_ms))
    }

    pub(crate) fn book_cost(&self, entry: CostEntry, now_ms: i64) -> Result<Option<CostShare>, LedgerError> {
        self.write(now_ms, |rows, me| rows.book_cost(me, entry, now_ms))
    }

    pub(crate) fn room(
        &self,
        network: &Network,
        payer: &str,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        self.read(|rows| rows.room(network, payer, wanted, now_ms))
    }

    pub(crate) fn reserve(
        &self,
        payment: &PaymentId,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        self.write(now_ms, |rows, me| rows.reserve_again(me, payment, &wanted, now_ms))
    }

    pub(crate) fn release(&self, payment: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| Ok(rows.release_reservation(me, payment, now_ms)))
    }

    pub(crate) fn return_cost(&self, payment: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| rows.return_cost(me, payment, now_ms))
    }

    pub(crate) fn unaccounted(&self, network: &Network) -> Result<Vec<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.unaccounted(network)))
    }

    pub(crate) fn exposure(&self, network: &Network, now_ms: i64) -> Result<ExposureSums, LedgerError> {
        self.read(|rows| Ok(rows.exposure(network, now_ms)))
    }

    pub(crate) fn burnt_until(
        &self,
        network: &Network,
        payer: &str,
        now_ms: i64,
    ) -> Result<Option<i64>, LedgerError> {
        self.read(|rows| Ok(rows.burnt_until(network, payer, now_ms)))
    }

    pub(crate) fn open_work(&self, now_ms: i64) -> Result<OpenWork, LedgerError> {
        self.read(|rows| Ok(rows.open_work(now_ms)))
    }

    pub(crate) fn unexplained(
        &self,
        network: &Network,
        transactions: &[String],
    ) -> Result<Vec<String>, LedgerError> {
        self.read(|rows| Ok(rows.unexplained(network, transactions)))
    }

    pub(crate) fn put_tariff(
        &self,
        network: &Network,
        gas: Amount,
        detail: Json,
        now_ms: i64,
    ) -> Result<i64, LedgerError> {
        self.write(now_ms, |rows, _| rows.put_tariff(network, gas, detail, now_ms))
    }

    pub(crate) fn replaced_slots(&self, network: &Network) -> Result<Vec<ReplacedSlot>, LedgerError> {
        self.read(|rows| Ok(rows.replaced_slots(network)))
    }

    pub(crate) fn close_replaced(
        &self,
        network: &Network,
        wallet: &str,
        nonce: u64,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let slot = (network.clone(), wallet.to_owned(), nonce);
        self.write(now_ms, |rows, me| rows.close_replaced(me, &slot, now_ms))
    }

    pub(crate) fn unwedged(&self, network: &Network, now_ms: i64) -> Result<u64, LedgerError> {
        self.read(|rows| Ok(rows.unwedged(network, None, now_ms)))
    }

    pub(crate) fn tariffs_since(
        &self,
        network: &Network,
        replaced_after_ms: i64,
    ) -> Result<Vec<TariffRow>, LedgerError> {
        self.read(|rows| Ok(rows.tariffs_since(network, replaced_after_ms)))
    }

    pub(crate) fn unfinished(&self) -> Result<Vec<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.unfinished(&self.me())))
    }

    pub(crate) fn running(&self) -> Result<Vec<(PaymentId, u32)>, LedgerError> {
        self.read(|rows| Ok(rows.running(&self.me())))
    }

    pub(crate) fn adopt_orphans(&self, now_ms: i64) -> Result<Vec<Payment>, LedgerError> {
        let lease_now_ms = self.database.lease_now(now_ms);
        self.write(now_ms, |rows, me| Ok(rows.adopt_orphans(me, lease_now_ms, now_ms)))
    }

    pub(crate) fn ping(&self) -> Result<(), LedgerError> {
        self.read(|_| Ok(()))
    }

    pub(crate) fn heartbeat(&self, now_ms: i64) -> Result<(), LedgerError> {
        let (me, until_ms) = (self.me(), self.database.lease_now(now_ms).saturating_add(self.lease_ms));
        self.read(|rows| rows.heartbeat(&me, until_ms))?;
        self.renewed_until(now_ms.saturating_add(self.lease_ms));
        Ok(())
    }

    pub(crate) fn rejoin(&self, now_ms: i64) -> Result<(), LedgerError> {
        let until_ms = self.database.lease_now(now_ms).saturating_add(self.lease_ms);
        let epoch = self.read(|rows| {
            rows.enter(Arc::clone(&self.instance), until_ms, true, RunEnd::Interrupted, now_ms)
        })?;
        self.epoch.store(epoch, Ordering::Relaxed);
        self.renewed_until(now_ms.saturating_add(self.lease_ms));
        Ok(())
    }

    pub(crate) fn prune(&self, policy: Retention, now_ms: i64) -> Result<u64, LedgerError> {
        let before_ms = now_ms.saturating_sub(policy.answers_ms);
        self.write(now_ms, |rows, me| Ok(rows.prune(Arc::clone(&me.instance), before_ms, now_ms)))
    }

    pub(crate) fn prune_finished(
        &self,
        policy: FinishedPolicy,
        after: Option<PruneCursor>,
        now_ms: i64,
    ) -> Result<Pruned, LedgerError> {
        let lease_now_ms = self.database.lease_now(now_ms);
        self.write(now_ms, |rows, me| Ok(rows.prune_finished(me, policy, after, (lease_now_ms, now_ms))))
    }

    pub(crate) fn lease_ms(&self) -> Option<i64> {
        self.database.shared.then_some(self.lease_ms)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}
