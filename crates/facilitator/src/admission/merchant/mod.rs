//! `/verify` and `/settle` for foreign servers.
//!
//! They send no request body, so each `success: true` runs a handler of
//! theirs, whoever shows the payment and whatever stands in it beside the
//! signature. So a success is told once (`telling`), and a payment buys from
//! the merchant and on the terms it was claimed for (`terms`), nothing else.

mod answers;
mod asker;
mod telling;
mod terms;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{DeliveryState, LedgerError, NewClaim, Origin, Payment, PaymentState};
use quittance_protocol::{
    Amount, Deadline, ErrorCode, IdentifierHash, PaymentId, RequestId, RetryAction, SettleRequest,
    SettleResponse, VerifyRequest,
};
use tokio::time::Instant;

use crate::admission::answer::{Holder, not_now, pending_receipt, receipt, reject};
use crate::admission::checks::Checked;
use crate::admission::copies::seat;
use crate::admission::pay::stored_form;
use crate::admission::repeats::{Claimed, NAMES_ANOTHER};
use crate::admission::room::NotClaimed;
use crate::api::{PayOutcome, Rejection};
use crate::chain::Verified;
use crate::in_flight::notices::{Changes, Notice};
use crate::in_flight::places::{NoPlace, Place, Presented};
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::{Caller, Inner};

use answers::{copy_too_many, crowded, duplicate_of, ended_of, ledger_trouble, of_another, owed_of};
pub use asker::Asker;
pub(crate) use asker::Merchants;
pub use telling::Telling;
use telling::Turn;
use terms::Bound;

/// How often a waiter rereads the ledger when nobody in this process announces
/// anything: another replica may own the payment, or be telling of it.
const REREAD_PAUSE: Duration = Duration::from_millis(500);

/// The answer to `/settle`.
#[derive(Debug)]
pub struct SettleAnswer {
    /// What is said.
    pub response: SettleResponse,
    /// With `success: true`, and only then: the right to say it. Dropped before
    /// [`Telling::taken`], it was not told.
    pub telling: Option<Telling>,
}

impl From<SettleResponse> for SettleAnswer {
    fn from(response: SettleResponse) -> Self {
        Self { response, telling: None }
    }
}

/// One foreign server's question about one payment.
struct Question {
    merchant: String,
    caller: Caller,
    holder: Holder,
    bound: Bound,
    identifier: Result<Option<IdentifierHash>, Rejection>,
    notice: Arc<Notice>,
    until: Instant,
}

impl Question {
    fn new(inner: &Inner, request: &VerifyRequest, holder: Holder, asker: &Asker) -> Self {
        let Asker { merchant, caller } = asker;
        Self {
            caller: *caller,
            bound: Bound::of(merchant, &request.payment_requirements, &holder.key),
            notice: inner.in_flight.notice(holder.key),
            identifier: identifier_of(request),
            until: Instant::now() + inner.limits.pending_wait,
            merchant: merchant.clone(),
            holder,
        }
    }

    /// Whether what is on record is this payment, of this merchant, for this sale.
    fn is_about(&self, known: &Payment) -> bool {
        known.signature_digest == self.holder.signature_digest
            && matches!(&known.origin, Origin::Merchant(merchant) if *merchant == self.merchant)
            && self.bound.covers(&known.fingerprint)
    }
}

impl Inner {
    /// See [`crate::Facilitator::settle`].
    pub(crate) async fn settle(self: &Arc<Self>, request: SettleRequest, asker: &Asker) -> SettleAnswer {
        let network = request.payment_requirements.network.clone();
        let (net, payment) = match self.check_terms(&request) {
            Ok(checked) => checked,
            Err(rejection) => {
                return match self.recall_for(&request, rejection).await {
                    Ok((known, holder)) => {
                        let question = Question::new(self, &request, holder, asker);
                        match self.place_of(&question) {
                            Ok(_place) => self.settle_known(known, &question).await,
                            Err(none) => self.no_place(&network, &question, none).await.into(),
                        }
                    }
                    Err(rejection) => self.refused(&network, &rejection).into(),
                };
            }
        };
        let question = Arc::new(Question::new(self, &request, Holder::of(&payment), asker));
        let _place = match self.place_of(&question) {
            Ok(place) => place,
            Err(none) => return self.no_place(&network, &question, none).await.into(),
        };
        // Detached, so that a server that hangs up cannot strand a claim.
        let found = {
            let (inner, question) = (Arc::clone(self), Arc::clone(&question));
            let found = async move { inner.find_or_claim_for(&net, &payment, &question).await };
            // On the runtime of the background tasks: a server's workers are strangers' to fill.
            self.drivers.spawn_on(found, &self.runtime)
        };
        let known = match found.await {
            Ok(Ok(known)) => known,
            Ok(Err(rejection)) => return self.refused(&network, &rejection).into(),
            Err(error) => {
                tracing::error!(%error, "settling task failed");
                return self.refused(&network, &ledger_trouble(ErrorCode::UnexpectedSettleError)).into();
            }
        };
        self.settle_known(known, &question).await
    }

    /// What a payment on record is answered.
    async fn settle_known(self: &Arc<Self>, known: Payment, question: &Question) -> SettleAnswer {
        if !question.is_about(&known) {
            return of_another(&known).into();
        }
        self.answer_merchant(known, question).await
    }

    /// The payment's place, which its copies share.
    fn place_of(&self, question: &Question) -> Result<Place, NoPlace> {
        let holder = &question.holder;
        let has_history = self.strangers.has_history(holder.signer());
        let presented = Presented { key: holder.seat(), has_history, is_signed: holder.is_signed };
        self.merchants.places(&question.merchant).enter(&presented, question.caller)
    }

    async fn no_place(&self, network: &str, question: &Question, none: NoPlace) -> SettleResponse {
        match none {
            NoPlace::Copies => {
                let holder = &question.holder;
                let receipt = match holder.is_signed {
                    true => self.glimpse(&holder.key).await,
                    false => None,
                };
                receipt.unwrap_or_else(|| self.refused(network, &copy_too_many(&holder.payer)))
            }
            NoPlace::Full => self.refused(network, &crowded(&question.holder.payer)),
        }
    }

    /// What a moment ago says already costs no call.
    fn is_worth_asking(&self, net: &ConfiguredNetwork, payment: &Verified) -> Result<(), Rejection> {
        let known = self.strangers.cannot_pay(net, payment).or_else(|| self.strangers.is_held(payment));
        known.map_or(Ok(()), Err)
    }

    /// As at the gate: nobody is refused before the ledger was asked again (P5).
    async fn find_or_claim_for(
        self: &Arc<Self>,
        net: &Arc<ConfiguredNetwork>,
        payment: &Verified,
        question: &Question,
    ) -> Result<Payment, Rejection> {
        let rejection = match self.find_or_check_for(net, payment, question).await {
            Ok(known) => return Ok(known),
            Err(rejection) => rejection,
        };
        self.on_record(&question.holder).await.map_err(unsettled)?.ok_or(rejection)
    }

    async fn find_or_check_for(
        self: &Arc<Self>,
        net: &Arc<ConfiguredNetwork>,
        payment: &Verified,
        question: &Question,
    ) -> Result<Payment, Rejection> {
        let arrived = Instant::now();
        let turns = self.in_flight.notice(seat(&payment.key, &payment.signature_digest, payment.is_signed));
        let Ok(mut turn) = tokio::time::timeout_at(question.until, turns.turn.lock()).await else {
            return Err(refusal_in(not_now("chain")));
        };
        if let Some(known) = self.on_record(&question.holder).await.map_err(unsettled)? {
            return Ok(known);
        }
        if let Some(trouble) = turn.trouble_since(arrived) {
            return Err(refusal_in(trouble));
        }
        self.wait_until_valid(payment, question.until).await?;
        self.check_window(net, payment)?;
        if let Some((digest, rejection)) = &turn.refused
            && *digest == payment.signature_digest
        {
            return Err(rejection.clone());
        }
        let identifier = question.identifier.clone()?;
        let gas = self.covers_cost(net, payment)?;
        self.is_worth_asking(net, payment)?;
        let draft = self.claim_of(net, payment, question, gas)?;
        let new = |checked: &Checked| NewClaim {
            identifier,
            deadline: checked.deadline,
            watch_from: checked.watch_from,
            ..draft.clone()
        };
        match self
            .claim_with_room((net, payment, gas, question.caller), &question.notice, question.until, &new)
            .await
        {
            Ok(Claimed::Known(known)) => Ok(known.payment),
            Ok(Claimed::Named | Claimed::Crowded(_)) => {
                Err(reject(ErrorCode::RequestMismatch, NAMES_ANOTHER).of(payment.payer.clone()))
            }
            Err(NotClaimed::Chain(rejection)) => {
                // Another replica may have claimed and landed it meanwhile.
                if let Some(known) = self.on_record(&question.holder).await.map_err(unsettled)? {
                    return Ok(known);
                }
                let rejection = self.name_use(net, payment, rejection).await;
                if rejection.retry_action != RetryAction::RetrySamePayment {
                    turn.refused = Some((payment.signature_digest, rejection.clone()));
                }
                Err(rejection)
            }
            Err(NotClaimed::NoRoom(outcome) | NotClaimed::Trouble(outcome)) => {
                turn.note_trouble(&outcome);
                Err(refusal_in(outcome))
            }
        }
    }

    /// The claim without what only the chain can tell.
    fn claim_of(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        question: &Question,
        gas: Amount,
    ) -> Result<NewClaim, Rejection> {
        Ok(NewClaim {
            id: PaymentId::from_random(self.context.random.draw()),
            request_id: RequestId::from_random(self.context.random.draw()),
            key: payment.key,
            network: net.chain.network().clone(),
            origin: Origin::Merchant(question.merchant.clone()),
            fingerprint: question.bound.fingerprint(),
            signature_digest: payment.signature_digest,
            identifier: None,
            idempotency: None,
            repeats: None,
            payer: payment.payer.clone(),
            pay_to: net.terms.pay_to.clone(),
            asset: net.terms.asset.clone(),
            amount: payment.amount,
            service: payment.amount.checked_sub(gas).unwrap_or(Amount::ZERO),
            gas,
            tariff: None,
            deadline: Deadline::UnixSeconds(0),
            watch_from: 0,
            payload: stored_form(payment)?,
            resource: "POST /settle".to_owned(),
        })
    }

    /// Waits for a verdict, and for whoever is being told of it just now.
    async fn answer_merchant(self: &Arc<Self>, mut known: Payment, question: &Question) -> SettleAnswer {
        let mut changes = question.notice.subscribe();
        loop {
            if known.state == PaymentState::Settled {
                self.strangers.settled(&known.payer);
            }
            match known.state {
                PaymentState::Claimed | PaymentState::Recorded => {}
                PaymentState::Settled if known.delivery == DeliveryState::Owed => {
                    return owed_of(&known).into();
                }
                PaymentState::Settled => match self.ask_to_tell(&known).await {
                    Turn::Tell(telling) => {
                        return SettleAnswer { response: receipt(&known), telling: Some(telling) };
                    }
                    Turn::Told => return duplicate_of(&known).into(),
                    Turn::Wait => {}
                },
                PaymentState::Refused | PaymentState::Expired => return ended_of(&known).into(),
            }
            if Instant::now() >= question.until {
                return match self.pending(&known).await {
                    PayOutcome::Pending { receipt, .. } => receipt.into(),
                    _ => pending_receipt(&known).into(),
                };
            }
            known = self.news(&mut changes, known, question).await;
        }
    }

    /// The payment as it stands once something may have changed, or at `until`.
    async fn news(&self, changes: &mut Changes, known: Payment, question: &Question) -> Payment {
        let until = question.until;
        let pause = tokio::time::sleep_until(until.min(Instant::now() + REREAD_PAUSE));
        tokio::select! {
            biased;
            _ = changes.changed() => {}
            () = pause => {}
        }
        match self.reread(&question.notice, &known, question.until).await {
            Ok(Some(fresh)) => fresh,
            Ok(None) => known,
            Err(error) => {
                trouble::note(Trouble::Reread, "", &error);
                known
            }
        }
    }

    /// What the books have under this key. A gate's alias is answered from its
    /// payment, which is nobody's to sell here; one whose payment ended unpaid is
    /// an authorization like any other.
    async fn on_record(&self, holder: &Holder) -> Result<Option<Payment>, LedgerError> {
        let _reading = self.strangers.reading(holder.signer()).await;
        let known = self.context.ledger.known(&holder.key).await?;
        Ok(known.filter(|known| !known.is_free()).map(|known| known.payment))
    }
}

/// What the gate answers with a status, as a code.
fn refusal_in(outcome: PayOutcome) -> Rejection {
    match outcome {
        PayOutcome::Refused(rejection) => rejection,
        PayOutcome::Unavailable { reason, retry_after_seconds } => {
            let message = format!(
                "this network takes no further payment of this payer now ({reason}); send the same payment again \
                 later"
            );
            Rejection::new(ErrorCode::NetworkUnavailable, message).retry_same().after(retry_after_seconds)
        }
        _ => reject(
            ErrorCode::NetworkUnavailable,
            "this network takes no payment now; send the same payment again later",
        )
        .retry_same(),
    }
}

/// The ledger failed on the way to a claim: nothing is known of the payment.
fn unsettled(error: LedgerError) -> Rejection {
    trouble::note(Trouble::Ledger, "", &error);
    ledger_trouble(ErrorCode::UnexpectedSettleError)
}

/// The customer's own word, which names one payment. One that an offer of ours
/// suggested says nothing here: foreign servers make their own offers. A word that
/// is none names nothing: its sender would take it for a name.
fn identifier_of(request: &VerifyRequest) -> Result<Option<IdentifierHash>, Rejection> {
    match request.payment_payload.payment_identifier() {
        Ok(word) => Ok(word.map(IdentifierHash::of).filter(|identifier| !identifier.is_offered())),
        Err(error) => Err(reject(ErrorCode::InvalidPayload, &error.to_string())),
    }
}
