//! The ledger as a process sees it: the model, with a hook around each operation
//! that lets the connection fail and builds canaries in. This file says, by
//! operation, what the hook makes of it; [`crate::connection`] does it.

use std::any::Any;
use std::future::Future;
use std::sync::PoisonError;

use quittance_ledger::{
    Call, FinishedPolicy, Hook, Known, MerchantAnswer, MerchantCheck, NewAttempt, NewClaim, Operation,
    Payment, Recorded, Reserve, RunLimits, Slot,
};
use quittance_protocol::{Amount, PaymentId, PaymentKey};

use crate::canary::Canary;
use crate::connection::{Answer, Faults, Kept, unavailable};
use crate::plan::{Crash, Net};
use crate::settings::number_of_wallet;
use crate::world::audit::Act;

/// How long what proved a finished payment is kept here.
const FINISHED_KEPT_MS: i64 = 2_000;

impl Hook for Faults {
    type Kept = Kept;

    fn before(&self, mut call: Call<'_, '_>) -> Answer<Kept> {
        let (operation, code) = (call.operation(), code_of(&call));
        let payment = payment_of(&call).cloned();
        let key = self.key_of_call(&call, payment.as_ref());
        self.bend_call(&mut call)?;
        let act = self.act_of(&call);
        Ok(Kept { operation, code, key, places: places_of(operation), act, payment })
    }

    async fn around<T: Send + 'static>(
        &self,
        kept: Kept,
        run: impl Future<Output = Answer<T>> + Send,
    ) -> Answer<T> {
        if self.forgets(kept.operation)
            && let Some(nothing) = answer_of(())
        {
            return Ok(nothing);
        }
        if kept.operation == Operation::RecordedAttempts && self.link.world.with(|w| w.loses_record(kept.key))
        {
            self.link.world.sleep(50, 500).await;
            self.link.alive().await;
            return Err(unavailable());
        }
        let mut answer = match kept.operation.writes() {
            true => self.write(&kept, run).await?,
            false => self.read(&kept, run).await?,
        };
        self.bend_answer(&kept, &mut answer);
        Ok(answer)
    }
}

/// An answer made up, if the operation gives one of this type.
fn answer_of<T: 'static>(value: impl Any) -> Option<T> {
    let value: Box<dyn Any> = Box::new(value);
    value.downcast::<T>().ok().map(|value| *value)
}

fn bend<A: 'static>(answer: &mut dyn Any, change: impl FnOnce(&mut A)) {
    if let Some(answer) = answer.downcast_mut::<A>() {
        change(answer);
    }
}

/// The payment that a call is about, where that is a matter of its story.
fn payment_of<'c>(call: &'c Call<'_, '_>) -> Option<&'c PaymentId> {
    match call {
        Call::Payment { id: payment }
        | Call::RecordedAttempts { payment }
        | Call::Settle { payment, .. }
        | Call::SettleOwed { payment, .. }
        | Call::Refuse { payment, .. }
        | Call::Expire { payment, .. }
        | Call::MoveLanding { payment, .. }
        | Call::BookReorgedLoss { payment, .. }
        | Call::StartDelivery { payment, .. }
        | Call::FinishDelivery { payment, .. }
        | Call::CreditDelivery { payment, .. }
        | Call::MarkAnswerSent { payment, .. }
        | Call::Answer { payment }
        | Call::NotePendingAnswer { payment, .. }
        | Call::BeginAnswerObject { payment, .. }
        | Call::EraseAnswer { payment, .. }
        | Call::BeginMerchantAnswer { payment, .. }
        | Call::EndMerchantAnswer { payment, .. }
        | Call::LeaseMerchantCheck { payment, .. }
        | Call::Reserve { payment, .. }
        | Call::Release { payment, .. }
        | Call::ReturnCost { payment, .. } => Some(payment),
        Call::Record { attempt, .. } => attempt.payments().first(),
        _ => None,
    }
}

fn places_of(operation: Operation) -> (Crash, Crash) {
    match operation {
        Operation::ClaimWithin => (Crash::BeforeClaim, Crash::AfterClaim),
        Operation::Record => (Crash::BeforeRecord, Crash::AfterRecord),
        Operation::Settle | Operation::SettleOwed | Operation::Refuse | Operation::Expire => {
            (Crash::BeforeVerdict, Crash::AfterVerdict)
        }
        Operation::StartDelivery => (Crash::BeforeDelivery, Crash::AfterDeliveryStarted),
        Operation::FinishDelivery => (Crash::BeforeDelivered, Crash::AfterDelivered),
        Operation::BeginMerchantAnswer | Operation::EndMerchantAnswer => (Crash::Telling, Crash::Telling),
        // No facilitator claims without a reservation; no table names the rest.
        _ => (Crash::Elsewhere, Crash::Elsewhere),
    }
}

/// For the hash of a run: a seed's story stays comparable with older builds'.
#[allow(clippy::too_many_lines, reason = "a table")]
fn code_of(call: &Call<'_, '_>) -> u64 {
    match call.operation() {
        Operation::Claim | Operation::ClaimWithin => 1,
        Operation::Payment => 2,
        Operation::Known => 3,
        Operation::EnsureWallet => 5,
        Operation::Record => match call {
            Call::Record { attempt, .. } if !attempt.is_first() => 8,
            Call::Record { attempt, .. } if matches!(attempt.slot(), Slot::Fresh { .. }) => 7,
            _ => 6,
        },
        Operation::JournalSend => 9,
        Operation::RecordedAttempts => 10,
        Operation::AttemptsFromNonce => 11,
        Operation::Settle | Operation::SettleOwed => 12,
        Operation::Refuse => 13,
        Operation::Expire => 14,
        Operation::Unfinal => 15,
        Operation::Finalize => 16,
        Operation::MoveLanding => 17,
        Operation::BookReorgedLoss => 18,
        Operation::StartDelivery => 19,
        Operation::FinishDelivery => 20,
        Operation::CreditDelivery => 21,
        Operation::MarkAnswerSent => 22,
        Operation::Answer => 23,
        Operation::BeginMerchantAnswer => 24,
        Operation::NotePendingAnswer => 25,
        Operation::BookCost => 26,
        Operation::Room => 27,
        Operation::Exposure => 28,
        Operation::Ping => 29,
        Operation::PutTariff => 30,
        Operation::TariffsSince => 31,
        Operation::Unfinished => 32,
        Operation::Running => 33,
        Operation::AdoptOrphans => 34,
        Operation::Heartbeat => 35,
        Operation::Rejoin => 36,
        Operation::Prune => 37,
        Operation::OpenWork => 38,
        Operation::Unexplained => 39,
        Operation::EndMerchantAnswer => 41,
        Operation::LeaseMerchantCheck => 42,
        Operation::MerchantAnswersBegun => 43,
        Operation::Reserve => 44,
        Operation::Release | Operation::ReturnCost => 45,
        Operation::Unaccounted => 46,
        Operation::ClaimAlias => 50,
        Operation::Aliases => 51,
        Operation::PaymentByKey => 52,
        Operation::Earlier => 53,
        Operation::BeginAnswerObject => 60,
        Operation::LeftoverObjects => 61,
        Operation::DropAnswerObject => 62,
        Operation::NoteObjectDeleted => 63,
        Operation::KeptObjectBytes => 64,
        Operation::EraseAnswer => 65,
        Operation::HasUnfinal => 70,
        Operation::LeaseNewCheck | Operation::PruneFinished => 71,
        Operation::BurntUntil => 72,
        Operation::ListMerchants | Operation::MerchantRoom => 73,
        Operation::MerchantTotals => 74,
        Operation::BeginPayoutAccount | Operation::EndPayoutAccount => 75,
        Operation::ReplacedSlots | Operation::CloseReplaced | Operation::Unwedged => 76,
        Operation::BeginOwnAccount | Operation::AccountRents => 77,
        // No facilitator asks for the rest.
        Operation::CreateMerchant
        | Operation::SetMerchant
        | Operation::AddMerchantKey
        | Operation::CloseMerchant
        | Operation::Payments
        | Operation::BookedLandings
        | Operation::Journal
        | Operation::Costs
        | Operation::Usage
        | Operation::Counts
        | Operation::Margins
        | Operation::CostShares
        | Operation::Accounts
        | Operation::OfTransaction
        | Operation::OfPayer
        | Operation::OfRequest
        | Operation::Statement
        | Operation::Outstanding
        | Operation::Usages => 90,
    }
}

impl Faults {
    fn key_of_call(&self, call: &Call<'_, '_>, payment: Option<&PaymentId>) -> Option<usize> {
        let by_key = |key: &PaymentKey| self.link.world.with(|w| w.keys.get(key).copied());
        match call {
            Call::ClaimWithin { new, .. } | Call::ClaimAlias { new, .. } => by_key(&new.key),
            Call::PaymentByKey { key } | Call::Known { key } => by_key(key),
            Call::LeaseNewCheck { check, .. } => by_key(&check.key),
            _ => payment.and_then(|id| self.link.world.with(|w| w.key_of(id))),
        }
    }

    /// When this life last asked for the key.
    fn asked_of(&self, key: &PaymentKey) -> u64 {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(key).copied().unwrap_or(0)
    }

    /// What the auditor judges, once the canaries are in.
    fn act_of(&self, call: &Call<'_, '_>) -> Act {
        match call {
            Call::ClaimWithin { new, .. } => {
                let asked = self.asked_of(&new.key);
                self.link.world.with(|w| w.audit_claims_view(&self.link, new, asked));
                Act::Claim(Box::new(NewClaim::clone(new)), asked)
            }
            Call::Settle { payment, landing, .. } | Call::SettleOwed { payment, landing, .. } => {
                Act::Settle(PaymentId::clone(payment), (**landing).clone())
            }
            Call::Refuse { payment, evidence, .. } => {
                Act::Refuse(PaymentId::clone(payment), evidence.cloned())
            }
            Call::Expire { payment, .. } => Act::Expire(PaymentId::clone(payment)),
            Call::Finalize { landings, .. } => Act::Finalize(landings.to_vec()),
            Call::BookReorgedLoss { payment, .. } => Act::Lose(PaymentId::clone(payment)),
            Call::AdoptOrphans { .. } => Act::Adopt,
            Call::Heartbeat { .. } | Call::Rejoin { .. } => Act::KeepLease,
            _ => Act::Other,
        }
    }

    /// What this seed's canary, and a story's short time, change of a call.
    fn bend_call(&self, call: &mut Call<'_, '_>) -> Answer<()> {
        match call {
            Call::ClaimWithin { new, wanted, .. } => {
                if self.has(Canary::AliasesOff) {
                    new.repeats = None;
                }
                self.unlimit(wanted);
            }
            Call::Room { wanted, .. } | Call::LeaseNewCheck { wanted, .. } => self.unlimit(wanted),
            Call::Known { key } => {
                let now = self.link.world.with(|w| w.now());
                self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(***key, now);
            }
            Call::Record { attempt, now_ms } => {
                self.sign_too_soon(attempt)?;
                return self.comes_late(attempt, **now_ms);
            }
            Call::StartDelivery { limits, .. } if self.has(Canary::CrashesFree) => {
                **limits = RunLimits { crashed_max: u32::MAX, ..**limits };
            }
            // Days would be longer than any story.
            Call::PruneFinished { policy, .. } => {
                **policy = FinishedPolicy { keep_ms: FINISHED_KEPT_MS, ..**policy };
            }
            _ => {}
        }
        Ok(())
    }

    /// The signer's bytes are out, and the transaction is rolled back.
    fn sign_too_soon(&self, attempt: &mut NewAttempt) -> Answer<()> {
        let numbered = attempt.is_first() && matches!(attempt.slot(), Slot::Fresh { .. });
        if !numbered || !self.has(Canary::SendBeforeRecord) || !self.link.world.with(|w| w.random.chance(300))
        {
            return Ok(());
        }
        let nothing = NewAttempt::again(&[], Slot::Unnumbered, Box::new(|_| Err(String::new())));
        let wallet = match attempt.slot() {
            Slot::Fresh { wallet } => number_of_wallet(Net::Base, wallet).unwrap_or(0),
            _ => 0,
        };
        let nonce = self.link.world.with(|w| w.base.nonces_used(wallet, w.base.head()));
        let _ = std::mem::replace(attempt, nothing).sign(nonce);
        Err(unavailable())
    }

    /// Calls that a canary does nothing for.
    fn forgets(&self, operation: Operation) -> bool {
        match operation {
            Operation::CreditDelivery => self.has(Canary::CreditsForgotten),
            Operation::MarkAnswerSent => self.has(Canary::ReplayForever),
            Operation::NotePendingAnswer => self.has(Canary::PendingUnnoted),
            _ => false,
        }
    }

    /// What this seed's canary changes of an answer.
    fn bend_answer(&self, kept: &Kept, answer: &mut dyn Any) {
        let empty = |canary: Canary, answer: &mut dyn Any| {
            if self.has(canary) {
                bend(answer, Vec::<Payment>::clear);
            }
        };
        match kept.operation {
            Operation::Payment => bend(answer, |found: &mut Option<Payment>| {
                found.iter_mut().for_each(|payment| self.untell(payment));
            }),
            Operation::Known => bend(answer, |found: &mut Option<Known>| {
                // A replica that is behind: what is under way is not there yet.
                if self.has(Canary::StaleReads) {
                    *found = found.take().filter(|known| known.payment.state.is_final());
                }
                found.iter_mut().for_each(|known| self.untell(&mut known.payment));
            }),
            Operation::AttemptsFromNonce if self.has(Canary::LaneForgotten) => {
                bend(answer, Vec::<Recorded>::clear)
            }
            Operation::Unfinal => empty(Canary::LandingsForgotten, answer),
            Operation::HasUnfinal if self.has(Canary::LandingsForgotten) => {
                bend(answer, |found: &mut bool| *found = false);
            }
            Operation::BeginMerchantAnswer
                if kept.payment.as_ref().is_some_and(|id| self.tells_again(id)) =>
            {
                bend(answer, |said| *said = MerchantAnswer::Begun { telling: 1 });
            }
            Operation::LeaseMerchantCheck if self.has(Canary::CheckNotLeased) => {
                bend(answer, |check: &mut MerchantCheck| {
                    if *check == MerchantCheck::Busy {
                        *check = MerchantCheck::Leased;
                    }
                })
            }
            Operation::Unaccounted => empty(Canary::CostsForgotten, answer),
            Operation::Unfinished | Operation::AdoptOrphans => empty(Canary::NothingResumed, answer),
            Operation::Running if self.has(Canary::RunningForgotten) => {
                bend(answer, Vec::<(PaymentId, u32)>::clear);
            }
            _ => {}
        }
    }

    /// No ceilings for payers.
    fn unlimit(&self, wanted: &mut Reserve) {
        if self.has(Canary::CeilingsForgotten) {
            wanted.limits.payer_day = Amount::new(u64::MAX);
            wanted.limits.payer_unearned_in_flight = u32::MAX;
        }
    }

    fn has(&self, canary: Canary) -> bool {
        self.link.world.with(|w| w.plan.canary == Some(canary))
    }

    /// The old rules: who shows an identifier, or was told to come back, hears it
    /// again; or everybody does.
    fn tells_again(&self, id: &PaymentId) -> bool {
        if self.has(Canary::MerchantToldAgain) {
            return true;
        }
        let row = self.link.world.with(|w| w.row_by_id(id));
        self.has(Canary::MerchantToldByWord)
            && row.is_some_and(|(_, row)| row.identifier.is_some() || row.pending_answer_at_ms.is_some())
    }

    /// What such a rule must not know.
    fn untell(&self, payment: &mut Payment) {
        if self.tells_again(&payment.id) {
            payment.merchant_answer_at_ms = None;
        }
    }
}
