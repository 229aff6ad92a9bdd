//! The gate's way: from a payment header to a grant, an answer or a refusal.

use std::sync::Arc;

use quittance_ledger::{ClaimOutcome, Known, LedgerError, NewClaim, Origin, Payment, Reserve};
use quittance_protocol::{
    Amount, Deadline, ErrorCode, PaymentId, PaymentPayload, RequestId, RetryAction, X402_VERSION,
};
use tokio::time::Instant;

use crate::Inner;
use crate::admission::answer::{Holder, not_now, reject, unavailable};
use crate::admission::checks::Checked;
use crate::admission::copies::seat;
use crate::admission::repeats::Claimed;
use crate::admission::room::NotClaimed;
use crate::admission::waiting::{Purchase, Waiting};
use crate::api::{PayOutcome, Rejection, Sale};
use crate::chain::Verified;
use crate::context::failpoint;
use crate::in_flight::notices::Notice;
use crate::network::configured::ConfiguredNetwork;
use crate::settle::Driver;

/// What a request buys with a payment.
fn purchase(payment: &Holder, sale: &Sale) -> Purchase {
    Purchase { key: payment.key, digest: payment.signature_digest, fingerprint: sale.fingerprint }
}

/// How often an alias whose payment ended unpaid is looked at anew within a request.
const ROUNDS_MAX: u32 = 3;

impl Inner {
    /// See [`crate::Facilitator::pay`].
    pub(crate) async fn pay(
        self: &Arc<Self>,
        payload: PaymentPayload,
        sale: Sale,
        caller: Option<&Waiting>,
    ) -> PayOutcome {
        let until = Instant::now() + self.limits.pending_wait;
        let (net, payment) = match self.check_local(&payload) {
            Ok(checked) => checked,
            Err(rejection) => return self.pay_from_books(&payload, &sale, rejection, until, caller).await,
        };
        let notice = self.in_flight.notice(payment.key);
        caller.into_iter().for_each(|caller| caller.bind(self, purchase(&Holder::of(&payment), &sale)));
        for _ in 0..ROUNDS_MAX {
            let known = match self.find_detached(&net, &payment, &sale, &notice, until).await {
                Ok(known) => known,
                Err(outcome) => {
                    if let PayOutcome::Refused(rejection) = &outcome {
                        self.context.metrics.refused(net.chain.network().as_str(), rejection.code);
                    }
                    return outcome;
                }
            };
            if let Some(outcome) = self.answer_known(known, &Holder::of(&payment), &sale, until).await {
                return outcome;
            }
        }
        not_now("ledger")
    }

    /// Detached: a client that hangs up between the claim's commit and the
    /// driver's start must not leave a claim that nobody works on.
    async fn find_detached(
        self: &Arc<Self>,
        net: &Arc<ConfiguredNetwork>,
        payment: &Verified,
        sale: &Sale,
        notice: &Arc<Notice>,
        until: Instant,
    ) -> Result<Known, PayOutcome> {
        let (inner, net, payment) = (Arc::clone(self), Arc::clone(net), payment.clone());
        let (sale, notice) = (sale.clone(), Arc::clone(notice));
        // On the runtime of the background tasks: a server's workers are strangers' to fill.
        let found = self.drivers.spawn_on(
            async move { inner.find_or_claim(&net, &payment, &sale, &notice, until).await },
            &self.runtime,
        );
        match found.await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "claiming task failed");
                Err(not_now("ledger"))
            }
        }
    }

    /// A payload that the local checks refuse: it may be on record all the same,
    /// claimed when other terms were configured.
    async fn pay_from_books(
        self: &Arc<Self>,
        payload: &PaymentPayload,
        sale: &Sale,
        rejection: Rejection,
        until: Instant,
        caller: Option<&Waiting>,
    ) -> PayOutcome {
        match self.recall(payload).await {
            Ok(Some((known, holder))) => {
                caller.into_iter().for_each(|caller| caller.bind(self, purchase(&holder, sale)));
                if let Some(outcome) = self.answer_known(known, &holder, sale, until).await {
                    return outcome;
                }
            }
            Ok(None) => {}
            // Whoever cannot read the ledger knows nothing (P5).
            Err(error) => return unavailable(&error),
        }
        // Its network is not connected yet, which says nothing about the payment.
        if rejection.code == ErrorCode::NetworkUnavailable {
            return not_now("chain");
        }
        self.context.metrics.refused(self.label(&payload.accepted.network), rejection.code);
        PayOutcome::Refused(rejection)
    }

    /// Version, network and whatever the chain crate can check without a chain or a clock.
    pub(crate) fn check_local(
        &self,
        payload: &PaymentPayload,
    ) -> Result<(Arc<ConfiguredNetwork>, Verified), Rejection> {
        if payload.x402_version != X402_VERSION {
            return Err(reject(ErrorCode::InvalidX402Version, "x402Version must be 2"));
        }
        let net = self.selling(&payload.accepted.network).ok_or_else(|| {
            reject(ErrorCode::InvalidNetwork, "choose a network from this answer's `accepts`")
        })?;
        let payment = net.chain.verify()?.check_local(payload)?;
        Ok((net, payment))
    }

    /// Ledger first; an unknown payment is checked and claimed. While it was checked,
    /// or waited for room, another replica may have claimed it, and may even be what
    /// takes its room: nobody is refused before the ledger was asked again (P5).
    async fn find_or_claim(
        self: &Arc<Self>,
        net: &Arc<ConfiguredNetwork>,
        payment: &Verified,
        sale: &Sale,
        notice: &Arc<Notice>,
        until: Instant,
    ) -> Result<Known, PayOutcome> {
        let found = self.find_or_check(net, payment, sale, notice, until).await;
        let Err(PayOutcome::Refused(rejection)) = found else { return found };
        match self.look_up(payment).await? {
            Some(known) => Ok(known),
            None => Err(PayOutcome::Refused(rejection)),
        }
    }

    /// Offer and chain, then the claim. Copies take turns, so they cost one chain check.
    async fn find_or_check(
        self: &Arc<Self>,
        net: &Arc<ConfiguredNetwork>,
        payment: &Verified,
        sale: &Sale,
        notice: &Arc<Notice>,
        until: Instant,
    ) -> Result<Known, PayOutcome> {
        let arrived = Instant::now();
        let turns = self.in_flight.notice(seat(&payment.key, &payment.signature_digest, payment.is_signed));
        let Ok(mut turn) = tokio::time::timeout_at(until, turns.turn.lock()).await else {
            return Err(not_now("chain"));
        };
        if let Some(known) = self.look_up(payment).await? {
            return Ok(known);
        }
        if let Some(trouble) = turn.trouble_since(arrived) {
            return Err(trouble);
        }
        self.wait_until_valid(payment, until).await.map_err(PayOutcome::Refused)?;
        self.check_window(net, payment).map_err(PayOutcome::Refused)?;
        if let Some((digest, rejection)) = &turn.refused
            && *digest == payment.signature_digest
        {
            return Err(PayOutcome::Refused(rejection.clone()));
        }
        if let Some(why) = sale.malformed {
            return Err(PayOutcome::Refused(reject(ErrorCode::InvalidPayload, why)));
        }
        let offer = self.match_offer(net, payment, sale).await?;
        let draft = self.draft(net, payment, sale, offer).map_err(PayOutcome::Refused)?;
        let new = |checked: &Checked| NewClaim {
            deadline: checked.deadline,
            watch_from: checked.watch_from,
            ..draft.clone()
        };
        let asked = (net, payment, draft.gas, sale.caller);
        if let Some(rejection) = self.strangers.cannot_pay(net, payment) {
            // What was known a moment ago says nothing of this authorization, so
            // whoever repeats a call has it checked.
            let earlier = self.answer_from_earlier(net, payment, (&draft, sale.caller), None).await?;
            return earlier.ok_or(PayOutcome::Refused(rejection));
        }
        if let Some(rejection) = self.strangers.is_held(payment) {
            return Err(PayOutcome::Refused(rejection));
        }
        let mut claimed = self.claim_with_room(asked, notice, Instant::now(), &new).await;
        if let Err(NotClaimed::NoRoom(_)) = &claimed {
            // Whoever repeats a call that it has paid needs no room.
            if let Some(known) = self.answer_from_earlier(net, payment, (&draft, sale.caller), None).await? {
                return Ok(known);
            }
            claimed = self.claim_with_room(asked, notice, until, &new).await;
        }
        match claimed {
            Ok(claimed) => claimed.or_conflict().map_err(|outcome| *outcome),
            Err(NotClaimed::Chain(rejection)) => {
                // Another replica may have claimed and landed it meanwhile: then
                // the chain refuses what the ledger knows, and whoever cannot read
                // the ledger knows nothing (P5).
                if let Some(known) = self.look_up(payment).await? {
                    return Ok(known);
                }
                let repeated = (&draft, sale.caller);
                if let Some(known) =
                    self.answer_from_earlier(net, payment, repeated, Some(&rejection)).await?
                {
                    return Ok(known);
                }
                let rejection = self.name_use(net, payment, rejection).await;
                if rejection.retry_action != RetryAction::RetrySamePayment {
                    turn.refused = Some((payment.signature_digest, rejection.clone()));
                }
                Err(PayOutcome::Refused(rejection))
            }
            Err(NotClaimed::NoRoom(outcome) | NotClaimed::Trouble(outcome)) => {
                turn.note_trouble(&outcome);
                Err(outcome)
            }
        }
    }

    /// What stands under a key that cannot be claimed.
    async fn look_up(&self, payment: &Verified) -> Result<Option<Known>, PayOutcome> {
        let _reading = self.strangers.reading(payment.signer()).await;
        let known = self.context.ledger.known(&payment.key).await.map_err(|error| unavailable(&error))?;
        Ok(known.filter(|known| !known.is_free()))
    }

    /// The claim of a gate payment, without what only the chain can tell.
    fn draft(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        sale: &Sale,
        (gas, tariff): (Amount, i64),
    ) -> Result<NewClaim, Rejection> {
        Ok(NewClaim {
            id: PaymentId::from_random(self.context.random.draw()),
            request_id: RequestId::from_random(self.context.random.draw()),
            key: payment.key,
            network: net.chain.network().clone(),
            origin: Origin::Gate,
            fingerprint: sale.fingerprint,
            signature_digest: payment.signature_digest,
            identifier: sale.identifier,
            idempotency: sale.idempotency,
            repeats: Some(self.repeat_policy()),
            payer: payment.payer.clone(),
            pay_to: net.terms.pay_to.clone(),
            asset: net.terms.asset.clone(),
            amount: payment.amount,
            service: sale.service,
            gas,
            tariff: Some(tariff),
            deadline: Deadline::UnixSeconds(0),
            watch_from: 0,
            payload: stored_form(payment)?,
            resource: sale.resource.clone(),
        })
    }

    /// Whether a new payment comes in time.
    pub(crate) fn check_window(&self, net: &ConfiguredNetwork, payment: &Verified) -> Result<(), Rejection> {
        net.chain.verify()?.check_window(payment, self.context.clock.now())
    }

    /// Claims (I1), reserves in the same commit (P3), and starts the driver if the
    /// claim was won.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        (net, verified): (&Arc<ConfiguredNetwork>, &Verified),
        mut new: NewClaim,
        reserve: Reserve,
        notice: &Arc<Notice>,
    ) -> Result<Claimed, LedgerError> {
        failpoint::hit("before_claim").await;
        let (key, id) = (new.key, new.id.clone());
        let reserved = u128::from(reserve.bound.native);
        let now_ms = self.context.clock.now_ms();
        // Its caller left while it was checked, and may have called again since:
        // that call's payment, not served yet, is this one's.
        let callers = self.in_flight.notice(Purchase::claimed(&new).seat());
        if let Some(policy) = new.repeats.as_mut().filter(|_| callers.callers().are_gone()) {
            policy.waiting_since_ms = now_ms;
        }
        let outcome = match self.context.ledger.claim_within(new, reserve, now_ms).await {
            Ok(outcome) => outcome,
            // The commit's answer was lost: a claim of this very id is ours.
            Err(error @ LedgerError::CommitUnknown(_)) => {
                let Some(known) = self.context.ledger.known(&key).await? else { return Err(error) };
                if known.payment.id == id {
                    return Ok(Claimed::Known(
                        self.drive((net, verified), known.payment, reserved, notice).await,
                    ));
                }
                ClaimOutcome::Exists(Box::new(known))
            }
            Err(error) => return Err(error),
        };
        match outcome {
            ClaimOutcome::Won(claim) => {
                let driven = (net, verified);
                Ok(Claimed::Known(self.drive(driven, claim.into_payment(), reserved, notice).await))
            }
            other => Ok(self.not_won(other)),
        }
    }

    /// Starts the driver of a payment that was just claimed.
    async fn drive(
        self: &Arc<Self>,
        (net, verified): (&Arc<ConfiguredNetwork>, &Verified),
        payment: Payment,
        reserved: u128,
        notice: &Arc<Notice>,
    ) -> Known {
        failpoint::hit("after_claim").await;
        // Whoever left before there was a claim could not be noted with it.
        let purchase = Purchase::of(&payment);
        if self.in_flight.notice(purchase.seat()).callers().are_gone() {
            self.note_gone(purchase);
        }
        self.context.metrics.reached(&payment.network, "claimed");
        let (context, net) = (Arc::clone(&self.context), Arc::clone(net));
        let driver = Driver::claimed(context, net, payment.clone(), verified.clone(), Arc::clone(notice));
        self.drivers.spawn_on(driver.with_reserved(reserved).run(), &self.runtime);
        Known { payment, alias: None }
    }
}

/// What the ledger keeps of a payment, to be read by [`crate::chain::Decode::revive`].
pub(crate) fn stored_form(payment: &Verified) -> Result<serde_json::Value, Rejection> {
    payment.store().map_err(|error| reject(ErrorCode::InvalidPayload, &error.to_string()))
}
