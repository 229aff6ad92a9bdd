//! `/verify`: whether `/settle` would say success.
//!
//! A server that works before it settles runs its handler on `isValid: true`.
//! Before a payment is on record nothing can tell its copies apart, but its money
//! is held against the payer's other authorizations; from then on one server at a
//! time hears it, and none once a success was told.

use std::sync::Arc;

use async_trait::async_trait;
use quittance_ledger::{
    DeliveryState, LedgerError, MerchantCheck, NewCheck, NewCheckLease, Payment, PaymentState, Reserve,
};
use quittance_protocol::{Amount, ErrorCode, VerifyRequest, VerifyResponse};
use tokio::time::Instant;

use super::answers::{
    copy_too_many, crowded, duplicate, ended, for_another, owed, pending, unreachable_chain, valid,
};
use super::{Asker, Question, refusal_in};
use crate::admission::answer::Holder;
use crate::admission::decision::{Held, NotTaken, Stop};
use crate::admission::pipeline::{Admission, Asking};
use crate::api::Rejection;
use crate::chain::{CheckError, Verified};
use crate::in_flight::places::{NoPlace, Place};
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::{Caller, Inner};

/// `/verify` of one payment: the order of `/settle` without the claim.
#[derive(Clone)]
struct Checking(Arc<Question>);

#[async_trait]
impl Asking for Checking {
    /// What settling costs.
    type Priced = Amount;
    type Taken = Held;

    /// Each asker gets a lease of its own, or none.
    const IS_SINGLE_FLIGHT: bool = false;
    const KEEPS_OFFERS: bool = true;

    fn caller(&self) -> Caller {
        self.0.asker.caller
    }

    fn identifier(&self) -> Result<(), Rejection> {
        self.0.identifier.clone().map(|_| ())
    }

    async fn price(admission: &Admission<Self>) -> Result<Amount, Stop> {
        Ok(admission.inner.covers_cost(
            &admission.net,
            &admission.payment,
            admission.asking.0.asker.is_floored(),
        )?)
    }

    async fn from_earlier(
        _: &Admission<Self>,
        _: &Amount,
        _: Option<&Rejection>,
    ) -> Result<Option<Held>, Stop> {
        Ok(None)
    }

    /// The chain's check, and one commit: nothing is claimed, so no deadline is read, and
    /// nobody waits for room.
    async fn take(admission: &Admission<Self>, gas: &Amount) -> Result<Held, NotTaken> {
        let Admission { inner, net, payment, asking: Self(question), .. } = admission;
        let reserve = inner.has_room(net, payment, *gas).await?;
        let merchant = question.asker.row_name();
        inner.merchant_has_room(net, payment, merchant.as_deref(), &reserve).await?;
        match inner.view_in_time(net, payment, question.asker.caller).await {
            Ok(view) => {
                let reserve = Reserve { balance: net.seen(&view), by_code: view.by_code, ..reserve };
                inner.hold_money(net, payment, question, reserve).await
            }
            Err(CheckError::Rejected(rejection)) => Err(NotTaken::Chain(rejection)),
            Err(CheckError::Unreachable(reason)) => {
                trouble::note(Trouble::ChainCheck, net.chain.network().as_str(), &reason);
                Err(NotTaken::Other(unreachable_chain().into()))
            }
        }
    }

    fn turns_away(found: &Result<Held, Stop>) -> bool {
        found.is_err()
    }
}

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
        let (net, payment) = match self.check_terms(request, asker) {
            Ok(checked) => checked,
            // It may have been claimed when other terms were configured.
            Err(rejection) => {
                let unread = ErrorCode::UnexpectedVerifyError;
                let (known, holder) = self.recall_for(request, rejection, unread).await?;
                let question = Question::new(self, request, holder, asker);
                let _place = self.place_to_verify(&question)?;
                return self.verify_known(known, &question).await;
            }
        };
        let question = Arc::new(Question::new(self, request, Holder::of(&payment), asker));
        let _place = self.place_to_verify(&question)?;
        let admission = question.admission(self, net, payment, Checking(Arc::clone(&question)));
        match admission.decide().await {
            Ok(Held::Known(known)) => self.verify_known(known.payment, &question).await,
            Ok(Held::Held) => Ok(question.holder.payer.clone()),
            Err(stop) => Err(refusal_in(stop, ErrorCode::UnexpectedVerifyError)),
        }
    }

    fn place_to_verify(&self, question: &Question) -> Result<Place, Rejection> {
        let payer = &question.holder.payer;
        self.place_of(question).map_err(|none| match none {
            NoPlace::Copies => copy_too_many(payer),
            NoPlace::Full => crowded(payer),
        })
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
    ) -> Result<Held, NotTaken> {
        let check = NewCheck {
            key: payment.key,
            network: net.chain.network().clone(),
            payer: payment.payer.clone(),
            amount: payment.amount,
            fingerprint: question.bound.fingerprint(),
            signature_digest: payment.signature_digest,
            merchant: question.asker.row_name(),
        };
        let (now_ms, asked) = (self.context.clock.now_ms(), Instant::now());
        match self.context.ledger.lease_new_check(check, reserve, self.limits.checks, now_ms).await {
            Ok(NewCheckLease::Leased) if self.is_over(asked) => {
                Err(NotTaken::Other(pending(&payment.payer).into()))
            }
            Ok(NewCheckLease::Leased) => Ok(Held::Held),
            // It may land, whoever settles it.
            Ok(NewCheckLease::Other | NewCheckLease::Known(_)) => {
                Err(NotTaken::Other(pending(&payment.payer).into()))
            }
            Err(LedgerError::NoRoom(why)) => Err(NotTaken::NoRoom(self.no_room(net, payment, why).await)),
            // A lease whose commit's answer is lost is this asker's still.
            Err(error) => {
                tracing::error!(%error, "ledger");
                Err(NotTaken::Other(Stop::Unread))
            }
        }
    }

    /// What is on record is valid for one server at a time, while `/settle`
    /// would still say success: a server that works first must get past this
    /// after a crash, and nobody may make two of them work at once. Until there
    /// is a verdict it waits, as `/settle` does.
    async fn verify_known(&self, mut known: Payment, question: &Question) -> Result<String, Rejection> {
        let mine = question.is_about(&known);
        let known_origin = known.origin.clone();
        let veiled = |rejection: Rejection| for_another(&known_origin, &question.asker.merchant, rejection);
        let mut updates = question.updates();
        loop {
            match known.state {
                PaymentState::Claimed | PaymentState::Recorded if !mine => return Err(pending(&known.payer)),
                PaymentState::Claimed | PaymentState::Recorded => {}
                PaymentState::Settled if !mine => return Err(veiled(duplicate(&known))),
                PaymentState::Settled if known.delivery == DeliveryState::Owed => return Err(owed(&known)),
                PaymentState::Settled => match self.lease_check(&known).await {
                    MerchantCheck::Leased => return Ok(question.holder.payer.clone()),
                    MerchantCheck::Told => return Err(duplicate(&known)),
                    MerchantCheck::Busy => {}
                },
                PaymentState::Refused | PaymentState::Expired => return Err(veiled(ended(&known))),
            }
            if updates.is_over() {
                return Err(pending(&known.payer));
            }
            known = updates.next(self, known).await;
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
