//! `/verify`: whether `/settle` would say success.
//!
//! A server that works before it settles runs its handler on `isValid: true`.
//! Before a payment is on record nothing can tell its copies apart, but its money
//! is held against the payer's other authorizations; from then on one server at a
//! time hears it, and none once a success was told.

use std::sync::Arc;

use quittance_ledger::{
    DeliveryState, LedgerError, MerchantCheck, NewCheck, NewCheckLease, Payment, PaymentState, Reserve,
};
use quittance_protocol::{ErrorCode, VerifyRequest, VerifyResponse};
use tokio::time::Instant;

use super::answers::{
    copy_too_many, crowded, duplicate, ended, ledger_trouble, owed, pending, unreachable_chain, valid,
};
use super::{Asker, Question};
use crate::Inner;
use crate::admission::answer::Holder;
use crate::api::Rejection;
use crate::chain::{CheckError, Verified};
use crate::in_flight::places::{NoPlace, Place};
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;

impl Inner {
    /// See [`crate::Facilitator::verify`].
    pub(crate) async fn verify(self: &Arc<Self>, request: VerifyRequest, asker: &Asker) -> VerifyResponse {
        match self.verify_inner(&request, asker).await {
            Ok(payer) => valid(payer),
            Err(rejection) => self.invalid(&request.payment_requirements.network, rejection),
        }
    }

    async fn verify_inner(
        self: &Arc<Self>,
        request: &VerifyRequest,
        asker: &Asker,
    ) -> Result<String, Rejection> {
        let (net, payment) = match self.check_terms(request) {
            Ok(checked) => checked,
            // It may have been claimed when other terms were configured.
            Err(rejection) => {
                let (known, holder) = self.recall_for(request, rejection).await?;
                let question = Question::new(self, request, holder, asker);
                let _place = self.place_to_verify(&question)?;
                return self.verify_known(known, question).await;
            }
        };
        let question = Question::new(self, request, Holder::of(&payment), asker);
        let _place = self.place_to_verify(&question)?;
        if let Some(known) = self.known_to(&question.holder).await? {
            return self.verify_known(known, question).await;
        }
        question.identifier.as_ref().map_err(Rejection::clone)?;
        match self.verify_new(&net, &payment, &question).await {
            Ok(()) => Ok(question.holder.payer),
            Err(rejection) => match self.known_to(&question.holder).await? {
                // It was claimed, and may have landed, while the chain was asked.
                Some(known) => self.verify_known(known, question).await,
                None => Err(rejection),
            },
        }
    }

    fn place_to_verify(&self, question: &Question) -> Result<Place, Rejection> {
        let payer = &question.holder.payer;
        self.place_of(question).map_err(|none| match none {
            NoPlace::Copies => copy_too_many(payer),
            NoPlace::Full => crowded(payer),
        })
    }

    async fn known_to(&self, holder: &Holder) -> Result<Option<Payment>, Rejection> {
        self.on_record(holder).await.map_err(|error| {
            trouble::note(Trouble::Ledger, "", &error);
            ledger_trouble(ErrorCode::UnexpectedVerifyError)
        })
    }

    /// One RPC call, and one commit: nothing is claimed, so no deadline is read.
    async fn verify_new(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        question: &Question,
    ) -> Result<(), Rejection> {
        self.wait_until_valid(payment, question.until).await?;
        self.check_window(net, payment)?;
        let gas = self.covers_cost(net, payment)?;
        self.is_worth_asking(net, payment)?;
        let reserve = self.has_room(net, payment, gas).await.map_err(super::refusal_in)?;
        match self.view_in_time(net, payment, question.caller).await {
            Ok(view) => {
                let reserve = Reserve { balance: net.seen(&view), by_code: view.by_code, ..reserve };
                self.hold_money(net, payment, question, reserve).await
            }
            Err(CheckError::Rejected(rejection)) => Err(self.name_use(net, payment, rejection).await),
            Err(CheckError::Unreachable(reason)) => {
                trouble::note(Trouble::ChainCheck, net.chain.network().as_str(), &reason);
                Err(unreachable_chain())
            }
        }
    }

    /// The asker will work before it settles: until then the payer's other
    /// authorizations find this one's money gone, as if it were in flight. Only
    /// after the chain has taken the signature for the payer's.
    async fn hold_money(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        question: &Question,
        reserve: Reserve,
    ) -> Result<(), Rejection> {
        let check = NewCheck {
            key: payment.key,
            network: net.chain.network().clone(),
            payer: payment.payer.clone(),
            amount: payment.amount,
            fingerprint: question.bound.fingerprint(),
            signature_digest: payment.signature_digest,
        };
        let (now_ms, asked) = (self.context.clock.now_ms(), Instant::now());
        match self.context.ledger.lease_new_check(check, reserve, self.limits.checks, now_ms).await {
            Ok(NewCheckLease::Leased) if self.is_over(asked) => Err(pending(&payment.payer)),
            Ok(NewCheckLease::Leased) => Ok(()),
            // It may land, whoever settles it.
            Ok(NewCheckLease::Other | NewCheckLease::Known(_)) => Err(pending(&payment.payer)),
            Err(LedgerError::NoRoom(why)) => Err(super::refusal_in(self.no_room(net, payment, why).await)),
            // A lease whose commit's answer is lost is this asker's still.
            Err(error) => {
                tracing::error!(%error, "ledger");
                Err(ledger_trouble(ErrorCode::UnexpectedVerifyError))
            }
        }
    }

    /// What is on record is valid for one server at a time, while `/settle`
    /// would still say success: a server that works first must get past this
    /// after a crash, and nobody may make two of them work at once. Until there
    /// is a verdict it waits, as `/settle` does.
    async fn verify_known(&self, mut known: Payment, question: Question) -> Result<String, Rejection> {
        let mine = question.is_about(&known);
        let mut changes = question.notice.subscribe();
        loop {
            match known.state {
                PaymentState::Claimed | PaymentState::Recorded if !mine => return Err(pending(&known.payer)),
                PaymentState::Claimed | PaymentState::Recorded => {}
                PaymentState::Settled if !mine => return Err(duplicate(&known)),
                PaymentState::Settled if known.delivery == DeliveryState::Owed => return Err(owed(&known)),
                PaymentState::Settled => match self.lease_check(&known).await {
                    MerchantCheck::Leased => return Ok(question.holder.payer),
                    MerchantCheck::Told => return Err(duplicate(&known)),
                    MerchantCheck::Busy => {}
                },
                PaymentState::Refused | PaymentState::Expired => return Err(ended(&known)),
            }
            if Instant::now() >= question.until {
                return Err(pending(&known.payer));
            }
            known = self.news(&mut changes, known, &question).await;
        }
    }

    /// A lease whose commit's answer is lost runs out by itself.
    async fn lease_check(&self, known: &Payment) -> MerchantCheck {
        if known.merchant_answer_at_ms.is_some() {
            return MerchantCheck::Told;
        }
        let (max, lease_ms) = (self.limits.tellings_max, self.limits.checks.lease_ms);
        let (now_ms, asked) = (self.context.clock.now_ms(), Instant::now());
        let leased = self.context.ledger.lease_merchant_check(&known.id, max, lease_ms, now_ms).await;
        match leased {
            Ok(MerchantCheck::Leased) if self.is_over(asked) => MerchantCheck::Busy,
            Ok(check) => check,
            Err(error) => {
                trouble::note(Trouble::Ledger, "", &error);
                MerchantCheck::Busy
            }
        }
    }

    /// Whether a lease that was asked for then has ended by itself: a process that stood still
    /// hears of it when another server may hold it already (P1), or its money is held no more (P3).
    fn is_over(&self, asked: Instant) -> bool {
        asked.elapsed().as_millis() >= u128::from(self.limits.checks.lease_ms.unsigned_abs())
    }
}
