//! The ledger as a process sees it: the model, behind a connection that fails.

use std::ops::RangeInclusive;
use std::sync::PoisonError;

use async_trait::async_trait;
use quittance_ledger::{
    Alias, AttemptId, CheckTerms, ClaimOutcome, CostEntry, DeliveryStart, ExposureSums, FinishedPolicy,
    Known, LeftoverObject, MerchantAnswer, MerchantAnswerEnd, MerchantCheck, NewCheck, NewCheckLease,
    NewClaim, OpenWork, Payment, PruneCursor, Pruned, Recorded, Reserve, Retention, RunEnd, RunLimits,
    SignFn, SignedBytes, Slot, Store, StoredAnswer, TariffRow,
};
use quittance_protocol::{Amount, ErrorCode, Evidence, Landing, Network, PaymentId, PaymentKey, SendOutcome};

use crate::audit::Act;
use crate::canary::Canary;
use crate::connection::{Answer, FaultyStore, unavailable};
use crate::plan::Crash;

/// How long what proved a finished payment is kept here.
const FINISHED_KEPT_MS: i64 = 2_000;

const RECORD: (Crash, Crash) = (Crash::BeforeRecord, Crash::AfterRecord);
const VERDICT: (Crash, Crash) = (Crash::BeforeVerdict, Crash::AfterVerdict);

#[async_trait]
impl Store for FaultyStore {
    async fn claim(&self, new: NewClaim, now_ms: i64) -> Answer<ClaimOutcome> {
        // No facilitator claims without a reservation.
        self.plain(1, None, self.inner.claim(new, now_ms)).await
    }

    async fn claim_within(&self, new: NewClaim, wanted: Reserve, now_ms: i64) -> Answer<ClaimOutcome> {
        let key = self.link.world.with(|w| w.keys.get(&new.key).copied());
        let places = (Crash::BeforeClaim, Crash::AfterClaim);
        let new = match self.has(Canary::AliasesOff) {
            true => NewClaim { repeats: None, ..new },
            false => new,
        };
        let claim = new.clone();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(&new.key).copied();
        let act = Act::Claim(&claim, asked.unwrap_or(0));
        self.link.world.with(|w| w.audit_claims_view(&self.link, &claim, asked.unwrap_or(0)));
        let wanted = self.limited(wanted);
        self.write(1, places, key, act, self.inner.claim_within(new, wanted, now_ms)).await
    }

    async fn payment(&self, id: &PaymentId) -> Answer<Option<Payment>> {
        let found = self.read(2, self.key_of(id), self.inner.payment(id)).await?;
        Ok(found.map(|payment| self.untold(payment)))
    }

    async fn payment_by_key(&self, key: &PaymentKey) -> Answer<Option<Payment>> {
        let number = self.link.world.with(|w| w.keys.get(key).copied());
        self.read(52, number, self.inner.payment_by_key(key)).await
    }

    async fn known(&self, key: &PaymentKey) -> Answer<Option<Known>> {
        let number = self.link.world.with(|w| w.keys.get(key).copied());
        let now = self.link.world.with(|w| w.now());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, now);
        let found = self.read(3, number, self.inner.known(key)).await?;
        // A replica that is behind: what is under way is not there yet.
        let stale = self.has(Canary::StaleReads)
            && found.as_ref().is_some_and(|known| !known.payment.state.is_final());
        Ok(found.filter(|_| !stale).map(|known| Known { payment: self.untold(known.payment), ..known }))
    }

    async fn earlier(&self, new: &NewClaim) -> Answer<Option<Payment>> {
        self.read(53, None, self.inner.earlier(new)).await
    }

    async fn claim_alias(&self, new: NewClaim, now_ms: i64) -> Answer<Option<ClaimOutcome>> {
        let key = self.link.world.with(|w| w.keys.get(&new.key).copied());
        self.plain(50, key, self.inner.claim_alias(new, now_ms)).await
    }

    async fn aliases(&self, payment: &PaymentId) -> Answer<Vec<Alias>> {
        self.read(51, None, self.inner.aliases(payment)).await
    }

    async fn ensure_wallet(&self, network: &Network, wallet: &str, nonce: u64, now_ms: i64) -> Answer<u64> {
        self.plain(5, None, self.inner.ensure_wallet(network, wallet, nonce, now_ms)).await
    }

    async fn record(&self, payment: &PaymentId, signed: SignedBytes, now_ms: i64) -> Answer<Recorded> {
        let effect = self.inner.record(payment, signed, now_ms);
        self.write(6, RECORD, self.key_of(payment), Act::Other, effect).await
    }

    async fn record_with_nonce(
        &self,
        payment: &PaymentId,
        wallet: &str,
        sign: SignFn,
        now_ms: i64,
    ) -> Answer<Recorded> {
        if self.has(Canary::SendBeforeRecord) && self.link.world.with(|w| w.random.chance(300)) {
            // The signer's bytes are out, and the transaction is rolled back.
            let _ = sign(self.link.world.with(|w| w.base.nonces_used(w.base.head())));
            return Err(unavailable());
        }
        let effect = self.inner.record_with_nonce(payment, wallet, sign, now_ms);
        self.write(7, RECORD, self.key_of(payment), Act::Other, effect).await
    }

    async fn record_again(
        &self,
        payments: &[PaymentId],
        slot: Slot,
        sign: SignFn,
        now_ms: i64,
    ) -> Answer<Recorded> {
        let key = payments.first().and_then(|id| self.key_of(id));
        self.write(8, RECORD, key, Act::Other, self.inner.record_again(payments, slot, sign, now_ms)).await
    }

    async fn journal_send(&self, attempt: AttemptId, outcome: &SendOutcome, now_ms: i64) -> Answer<()> {
        self.plain(9, None, self.inner.journal_send(attempt, outcome, now_ms)).await
    }

    async fn recorded_attempts(&self, payment: &PaymentId) -> Answer<Vec<Recorded>> {
        let key = self.key_of(payment);
        if self.link.world.with(|w| w.loses_record(key)) {
            self.link.world.sleep(50, 500).await;
            self.link.alive().await;
            return Err(unavailable());
        }
        self.read(10, key, self.inner.recorded_attempts(payment)).await
    }

    async fn attempts_from_nonce(
        &self,
        network: &Network,
        wallet: &str,
        nonce: u64,
    ) -> Answer<Vec<Recorded>> {
        let found = self.read(11, None, self.inner.attempts_from_nonce(network, wallet, nonce)).await?;
        Ok(if self.has(Canary::LaneForgotten) { Vec::new() } else { found })
    }

    async fn settle(&self, payment: &PaymentId, landing: &Landing, now_ms: i64) -> Answer<Payment> {
        let effect = self.inner.settle(payment, landing, now_ms);
        self.write(12, VERDICT, self.key_of(payment), Act::Settle(payment, landing), effect).await
    }

    async fn settle_owed(&self, payment: &PaymentId, landing: &Landing, now_ms: i64) -> Answer<Payment> {
        if self.link.world.with(|w| w.plan.canary == Some(Canary::ForeignLandingGranted)) {
            return self.settle(payment, landing, now_ms).await;
        }
        let effect = self.inner.settle_owed(payment, landing, now_ms);
        self.write(12, VERDICT, self.key_of(payment), Act::Settle(payment, landing), effect).await
    }

    async fn refuse(
        &self,
        payment: &PaymentId,
        code: ErrorCode,
        why: &str,
        evidence: Option<&Evidence>,
        now_ms: i64,
    ) -> Answer<Payment> {
        let effect = self.inner.refuse(payment, code, why, evidence, now_ms);
        self.write(13, VERDICT, self.key_of(payment), Act::Refuse(payment, evidence), effect).await
    }

    async fn expire(&self, payment: &PaymentId, evidence: &Evidence, now_ms: i64) -> Answer<Payment> {
        let effect = self.inner.expire(payment, evidence, now_ms);
        self.write(14, VERDICT, self.key_of(payment), Act::Expire(payment), effect).await
    }

    async fn unfinal(&self, network: &Network, blocks: RangeInclusive<u64>) -> Answer<Vec<Payment>> {
        let found = self.read(15, None, self.inner.unfinal(network, blocks)).await?;
        Ok(if self.has(Canary::LandingsForgotten) { Vec::new() } else { found })
    }

    async fn has_unfinal(&self, network: &Network) -> Answer<bool> {
        let found = self.read(70, None, self.inner.has_unfinal(network)).await?;
        Ok(found && !self.has(Canary::LandingsForgotten))
    }

    async fn finalize(&self, landings: Vec<(PaymentId, Landing)>, now_ms: i64) -> Answer<u64> {
        let judged = landings.clone();
        let places = (Crash::Elsewhere, Crash::Elsewhere);
        self.write(16, places, None, Act::Finalize(&judged), self.inner.finalize(landings, now_ms)).await
    }

    async fn move_landing(&self, payment: &PaymentId, landing: &Landing, now_ms: i64) -> Answer<bool> {
        self.plain(17, self.key_of(payment), self.inner.move_landing(payment, landing, now_ms)).await
    }

    async fn book_reorged_loss(&self, payment: &PaymentId, evidence: &Evidence, now_ms: i64) -> Answer<bool> {
        let effect = self.inner.book_reorged_loss(payment, evidence, now_ms);
        let places = (Crash::Elsewhere, Crash::Elsewhere);
        self.write(18, places, self.key_of(payment), Act::Lose(payment), effect).await
    }

    async fn start_delivery(
        &self,
        payment: &PaymentId,
        limits: RunLimits,
        now_ms: i64,
    ) -> Answer<DeliveryStart> {
        let places = (Crash::BeforeDelivery, Crash::AfterDeliveryStarted);
        let free = RunLimits { crashed_max: u32::MAX, ..limits };
        let limits = if self.has(Canary::CrashesFree) { free } else { limits };
        let effect = self.inner.start_delivery(payment, limits, now_ms);
        self.write(19, places, self.key_of(payment), Act::Other, effect).await
    }

    async fn finish_delivery(
        &self,
        payment: &PaymentId,
        run: u32,
        answer: &StoredAnswer,
        now_ms: i64,
    ) -> Answer<()> {
        let places = (Crash::BeforeDelivered, Crash::AfterDelivered);
        let effect = self.inner.finish_delivery(payment, run, answer, now_ms);
        self.write(20, places, self.key_of(payment), Act::Other, effect).await
    }

    async fn credit_delivery(
        &self,
        payment: &PaymentId,
        run: u32,
        end: RunEnd,
        why: &str,
        now_ms: i64,
    ) -> Answer<()> {
        if self.has(Canary::CreditsForgotten) {
            return Ok(());
        }
        self.plain(21, self.key_of(payment), self.inner.credit_delivery(payment, run, end, why, now_ms)).await
    }

    async fn mark_answer_sent(&self, payment: &PaymentId, now_ms: i64) -> Answer<()> {
        if self.has(Canary::ReplayForever) {
            return Ok(());
        }
        self.plain(22, self.key_of(payment), self.inner.mark_answer_sent(payment, now_ms)).await
    }

    async fn answer(&self, payment: &PaymentId) -> Answer<Option<StoredAnswer>> {
        self.read(23, self.key_of(payment), self.inner.answer(payment)).await
    }

    async fn begin_answer_object(
        &self,
        payment: &PaymentId,
        run: u32,
        name: &str,
        key: [u8; 32],
        now_ms: i64,
    ) -> Answer<()> {
        let effect = self.inner.begin_answer_object(payment, run, name, key, now_ms);
        self.plain(60, self.key_of(payment), effect).await
    }

    async fn leftover_objects(&self, now_ms: i64) -> Answer<Vec<LeftoverObject>> {
        self.read(61, None, self.inner.leftover_objects(now_ms)).await
    }

    async fn drop_answer_object(&self, name: &str, now_ms: i64) -> Answer<bool> {
        self.plain(62, None, self.inner.drop_answer_object(name, now_ms)).await
    }

    async fn note_object_deleted(&self, name: &str, now_ms: i64) -> Answer<()> {
        self.plain(63, None, self.inner.note_object_deleted(name, now_ms)).await
    }

    async fn kept_object_bytes(&self) -> Answer<u64> {
        self.read(64, None, self.inner.kept_object_bytes()).await
    }

    async fn erase_answer(&self, payment: &PaymentId, now_ms: i64) -> Answer<bool> {
        self.plain(65, self.key_of(payment), self.inner.erase_answer(payment, now_ms)).await
    }

    async fn begin_merchant_answer(
        &self,
        payment: &PaymentId,
        holder: &str,
        tellings_max: u32,
        now_ms: i64,
    ) -> Answer<MerchantAnswer> {
        let effect = self.inner.begin_merchant_answer(payment, holder, tellings_max, now_ms);
        let places = (Crash::Telling, Crash::Telling);
        let said = self.write(24, places, self.key_of(payment), Act::Other, effect).await?;
        Ok(if self.tells_again(payment) { MerchantAnswer::Begun { telling: 1 } } else { said })
    }

    async fn end_merchant_answer(
        &self,
        payment: &PaymentId,
        holder: &str,
        end: MerchantAnswerEnd,
        now_ms: i64,
    ) -> Answer<bool> {
        let effect = self.inner.end_merchant_answer(payment, holder, end, now_ms);
        let places = (Crash::Telling, Crash::Telling);
        self.write(41, places, self.key_of(payment), Act::Other, effect).await
    }

    async fn lease_merchant_check(
        &self,
        payment: &PaymentId,
        tellings_max: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Answer<MerchantCheck> {
        let effect = self.inner.lease_merchant_check(payment, tellings_max, lease_ms, now_ms);
        let check = self.plain(42, self.key_of(payment), effect).await?;
        let busy = check == MerchantCheck::Busy && self.has(Canary::CheckNotLeased);
        Ok(if busy { MerchantCheck::Leased } else { check })
    }

    async fn lease_new_check(
        &self,
        check: NewCheck,
        wanted: Reserve,
        terms: CheckTerms,
        now_ms: i64,
    ) -> Answer<NewCheckLease> {
        let key = self.link.world.with(|w| w.keys.get(&check.key).copied());
        let wanted = self.limited(wanted);
        self.plain(71, key, self.inner.lease_new_check(check, wanted, terms, now_ms)).await
    }

    async fn merchant_answers_begun(&self) -> Answer<Vec<(PaymentId, String)>> {
        self.read(43, None, self.inner.merchant_answers_begun()).await
    }

    async fn note_pending_answer(&self, payment: &PaymentId, now_ms: i64) -> Answer<()> {
        if self.has(Canary::PendingUnnoted) {
            return Ok(());
        }
        self.plain(25, self.key_of(payment), self.inner.note_pending_answer(payment, now_ms)).await
    }

    async fn book_cost(&self, entry: CostEntry, now_ms: i64) -> Answer<bool> {
        self.plain(26, None, self.inner.book_cost(entry, now_ms)).await
    }

    async fn room(&self, network: &Network, payer: &str, wanted: Reserve, now_ms: i64) -> Answer<()> {
        let wanted = self.limited(wanted);
        self.read(27, None, self.inner.room(network, payer, wanted, now_ms)).await
    }

    async fn reserve(&self, payment: &PaymentId, wanted: Reserve, now_ms: i64) -> Answer<()> {
        self.plain(44, self.key_of(payment), self.inner.reserve(payment, wanted, now_ms)).await
    }

    async fn release(&self, payment: &PaymentId, now_ms: i64) -> Answer<bool> {
        self.plain(45, self.key_of(payment), self.inner.release(payment, now_ms)).await
    }

    async fn return_cost(&self, payment: &PaymentId, now_ms: i64) -> Answer<bool> {
        self.plain(45, self.key_of(payment), self.inner.return_cost(payment, now_ms)).await
    }

    async fn unaccounted(&self, network: &Network) -> Answer<Vec<Payment>> {
        let found = self.read(46, None, self.inner.unaccounted(network)).await?;
        Ok(if self.has(Canary::CostsForgotten) { Vec::new() } else { found })
    }

    async fn exposure(&self, network: &Network, now_ms: i64) -> Answer<ExposureSums> {
        self.read(28, None, self.inner.exposure(network, now_ms)).await
    }

    async fn burnt_until(&self, network: &Network, payer: &str, now_ms: i64) -> Answer<Option<i64>> {
        self.read(72, None, self.inner.burnt_until(network, payer, now_ms)).await
    }

    async fn open_work(&self, now_ms: i64) -> Answer<OpenWork> {
        self.read(38, None, self.inner.open_work(now_ms)).await
    }

    async fn unexplained(&self, network: &Network, transactions: &[String]) -> Answer<Vec<String>> {
        self.read(39, None, self.inner.unexplained(network, transactions)).await
    }

    async fn ping(&self) -> Answer<()> {
        self.read(29, None, self.inner.ping()).await
    }

    async fn prune(&self, policy: Retention, now_ms: i64) -> Answer<u64> {
        self.plain(37, None, Store::prune(&self.inner, policy, now_ms)).await
    }

    async fn prune_finished(
        &self,
        policy: FinishedPolicy,
        after: Option<PruneCursor>,
        now_ms: i64,
    ) -> Answer<Pruned> {
        // Days would be longer than any story.
        let policy = FinishedPolicy { keep_ms: FINISHED_KEPT_MS, ..policy };
        self.plain(71, None, self.inner.prune_finished(policy, after, now_ms)).await
    }

    async fn put_tariff(
        &self,
        network: &Network,
        gas: Amount,
        detail: serde_json::Value,
        now_ms: i64,
    ) -> Answer<i64> {
        self.plain(30, None, self.inner.put_tariff(network, gas, detail, now_ms)).await
    }

    async fn tariffs_since(&self, network: &Network, replaced_after_ms: i64) -> Answer<Vec<TariffRow>> {
        self.read(31, None, self.inner.tariffs_since(network, replaced_after_ms)).await
    }

    async fn unfinished(&self) -> Answer<Vec<Payment>> {
        let found = self.read(32, None, self.inner.unfinished()).await?;
        Ok(if self.has(Canary::NothingResumed) { Vec::new() } else { found })
    }

    async fn running(&self) -> Answer<Vec<(PaymentId, u32)>> {
        let found = self.read(33, None, self.inner.running()).await?;
        Ok(if self.has(Canary::RunningForgotten) { Vec::new() } else { found })
    }

    async fn adopt_orphans(&self, now_ms: i64) -> Answer<Vec<Payment>> {
        let world = &self.link.world;
        let adopts = async {
            let before = world.with(|w| w.epochs());
            let adopted = self.inner.adopt_orphans(now_ms).await;
            world.with(|w| w.audit_fenced(self.link.process, &before));
            adopted
        };
        let found = self.plain(34, None, adopts).await?;
        Ok(if self.has(Canary::NothingResumed) { Vec::new() } else { found })
    }

    async fn heartbeat(&self, now_ms: i64) -> Answer<()> {
        self.plain(35, None, self.keeps_lease(self.inner.heartbeat(now_ms))).await
    }

    async fn rejoin(&self, now_ms: i64) -> Answer<()> {
        self.plain(36, None, self.keeps_lease(self.inner.rejoin(now_ms))).await
    }

    fn lease_ms(&self) -> Option<i64> {
        self.inner.lease_ms()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
