//! `/verify` and `/settle` for foreign servers.
//!
//! They send no request body, so each `success: true` runs a handler of
//! theirs, whoever shows the payment and whatever stands in it beside the
//! signature. So a success is told once (`telling`), and a payment buys from
//! the merchant and on the terms it was claimed for (`terms`), nothing else.
//!
//! Owns the words of both answers and the right to tell a success.
//! May touch: `chain`, `metrics`, `api`, `context`, `config`, `in_flight`, `network`, `delivery`.
//! A telling that is stuck because nobody tells it is found by `upkeep`, which gives it back; a
//! check's lease runs out by itself.

mod accepts;
mod answers;
mod asker;
mod keys;
mod own_terms;
mod payouts;
mod places;
mod roster;
mod telling;
mod terms;
mod verify;

use std::sync::Arc;

use async_trait::async_trait;
use quittance_ledger::{DeliveryState, NewClaim, Origin, Payment, PaymentState};
use quittance_protocol::{ErrorCode, IdentifierHash, SettleRequest, SettleResponse, VerifyRequest};
use tokio::time::Instant;

use crate::admission::answer::Holder;
use crate::admission::claim::Sold;
use crate::admission::decision::{Claimed, NotTaken, Stop};
use crate::admission::pipeline::{Admission, Asking};
use crate::admission::repeats::NAMES_ANOTHER;
use crate::admission::updates::Updates;
use crate::api::receipts::{pending_receipt, receipt, reject};
use crate::api::{PayOutcome, Rejection};
use crate::chain::Verified;
use crate::in_flight::entries::PaymentEntry;
use crate::in_flight::places::{NoPlace, Place, Presented};
use crate::in_flight::single_flight::NotNow;
use crate::network::configured::ConfiguredNetwork;
use crate::{Caller, Inner};

pub use accepts::NotAccepts;
use answers::{copy_too_many, crowded, duplicate_of, ended_of, ledger_trouble, of_another, owed_of};
pub use asker::Asker;
pub use keys::{API_KEY_PREFIX, new_api_key};
use own_terms::Split;
pub(crate) use places::Merchants;
pub use roster::{NotKnown, Unknown};
pub use telling::Telling;
use telling::TellingOutcome;
use terms::Bound;

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
    asker: Asker,
    holder: Holder,
    bound: Bound,
    identifier: Result<Option<IdentifierHash>, Rejection>,
    entry: Arc<PaymentEntry>,
    until: Instant,
}

impl Question {
    fn new(inner: &Inner, request: &VerifyRequest, holder: Holder, asker: &Asker) -> Self {
        Self {
            bound: Bound::of(&asker.merchant, &request.payment_requirements, &holder.key),
            entry: inner.in_flight.entry(holder.key),
            identifier: identifier_of(request),
            until: Instant::now() + inner.limits.pending_wait,
            asker: asker.clone(),
            holder,
        }
    }

    /// The admission of its payment, which nothing is known of yet.
    fn admission<A: Asking>(
        &self,
        inner: &Arc<Inner>,
        net: Arc<ConfiguredNetwork>,
        payment: Verified,
        asking: A,
    ) -> Admission<A> {
        let (inner, entry) = (Arc::clone(inner), Arc::clone(&self.entry));
        Admission { inner, net, payment, asking, entry, until: self.until }
    }

    fn updates(&self) -> Updates {
        Updates::of(&self.entry, self.until)
    }

    /// Whether what is on record is this payment, of this merchant, for this sale.
    fn is_about(&self, known: &Payment) -> bool {
        known.signature_digest == self.holder.signature_digest
            && matches!(&known.origin, Origin::Merchant(merchant) if *merchant == self.asker.merchant)
            && self.bound.covers(&known.fingerprint)
    }
}

/// `/settle` of one payment.
#[derive(Clone)]
struct Settling(Arc<Question>);

#[async_trait]
impl Asking for Settling {
    type Priced = NewClaim;
    type Taken = Claimed;

    const IS_SINGLE_FLIGHT: bool = true;
    const KEEPS_OFFERS: bool = true;

    fn caller(&self) -> Caller {
        self.0.asker.caller
    }

    fn identifier(&self) -> Result<(), Rejection> {
        self.0.identifier.clone().map(|_| ())
    }

    async fn price(admission: &Admission<Self>) -> Result<NewClaim, Stop> {
        let Admission { inner, net, payment, asking: Self(question), .. } = admission;
        let asker = &question.asker;
        let settling = inner.covers_cost(net, payment, asker.is_floored())?;
        let Split { service, gas, fee } = asker.split(payment.amount, settling);
        let sold = Sold {
            origin: Origin::Merchant(asker.merchant.clone()),
            pay_to: asker.paid_at(net)?.map(|own| own.pay_to.clone()),
            fingerprint: question.bound.fingerprint(),
            identifier: question.identifier.clone()?,
            idempotency: None,
            repeats: None,
            service,
            gas,
            fee,
            tariff: None,
            resource: "POST /settle".to_owned(),
        };
        Ok(inner.draft(net, payment, sold)?)
    }

    /// Who sends no request body repeats no call.
    async fn from_earlier(
        _: &Admission<Self>,
        _: &NewClaim,
        _: Option<&Rejection>,
    ) -> Result<Option<Claimed>, Stop> {
        Ok(None)
    }

    async fn take(admission: &Admission<Self>, draft: &NewClaim) -> Result<Claimed, NotTaken> {
        admission.claim(draft, admission.until).await
    }

    /// Whatever is no payment is said with `success: false`, which servers hand on as 402.
    fn turns_away(found: &Result<Claimed, Stop>) -> bool {
        !matches!(found, Ok(Claimed::Known(_)))
    }
}

impl Inner {
    /// See [`crate::Facilitator::settle`].
    pub(crate) async fn settle(self: &Arc<Self>, request: SettleRequest, asker: &Asker) -> SettleAnswer {
        let network = request.payment_requirements.network.clone();
        let (net, payment) = match self.check_terms(&request, asker) {
            Ok(checked) => checked,
            Err(rejection) => {
                let unread = ErrorCode::UnexpectedSettleError;
                return match self.recall_for(&request, rejection, unread).await {
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
        let admission = question.admission(self, net, payment, Settling(Arc::clone(&question)));
        // Detached, so that a server that hangs up cannot strand a claim.
        let rejection = match admission.detached().await {
            Ok(Claimed::Known(known)) => return self.settle_known(known.payment, &question).await,
            Ok(Claimed::Named | Claimed::Crowded(_)) => {
                reject(ErrorCode::RequestMismatch, NAMES_ANOTHER).of(question.holder.payer.clone())
            }
            Err(stop) => refusal_in(stop, ErrorCode::UnexpectedSettleError),
        };
        self.refused(&network, &rejection).into()
    }

    /// See [`crate::Facilitator::settle_on_record`].
    pub(crate) async fn settle_on_record(
        self: &Arc<Self>,
        request: &SettleRequest,
        asker: &Asker,
    ) -> Option<SettleAnswer> {
        let nothing = reject(ErrorCode::InvalidPayload, "");
        let found = self.recall_for(request, nothing, ErrorCode::UnexpectedSettleError).await;
        let (known, holder) = found.ok()?;
        let question = Question::new(self, request, holder, asker);
        if !question.is_about(&known) {
            return None;
        }
        match self.place_of(&question) {
            Ok(_place) => Some(self.settle_known(known, &question).await),
            Err(none) => Some(self.no_place(known.network.as_str(), &question, none).await.into()),
        }
    }

    /// What a payment on record is answered.
    async fn settle_known(self: &Arc<Self>, known: Payment, question: &Question) -> SettleAnswer {
        if !question.is_about(&known) {
            return of_another(&known, &question.asker.merchant).into();
        }
        self.answer_merchant(known, question).await
    }

    /// The payment's place, which its copies share.
    fn place_of(&self, question: &Question) -> Result<Place, NoPlace> {
        let holder = &question.holder;
        let has_history = self.strangers.has_history(holder.signer());
        let presented = Presented { key: holder.share_key(), has_history, is_signed: holder.is_signed };
        self.merchants.places(&question.asker.merchant).enter(&presented, question.asker.caller)
    }

    async fn no_place(&self, network: &str, question: &Question, none: NoPlace) -> SettleResponse {
        match none {
            NoPlace::Copies => {
                let holder = &question.holder;
                // Whose payment it is, a read that copies share does not say.
                let receipt = match holder.is_signed && question.asker.row.is_none() {
                    true => self.peek(&holder.key).await,
                    false => None,
                };
                receipt.unwrap_or_else(|| self.refused(network, &copy_too_many(&holder.payer)))
            }
            NoPlace::Full => self.refused(network, &crowded(&question.holder.payer)),
        }
    }

    /// Waits for a verdict, and for whoever is being told of it just now.
    async fn answer_merchant(self: &Arc<Self>, mut known: Payment, question: &Question) -> SettleAnswer {
        let mut updates = question.updates();
        loop {
            // Who pays a merchant may be the merchant, who sends money in a circle.
            if known.state == PaymentState::Settled && known.fee.is_none() {
                self.strangers.settled(&known.payer);
            }
            match known.state {
                PaymentState::Claimed | PaymentState::Recorded => {}
                PaymentState::Settled if known.delivery == DeliveryState::Owed => {
                    return owed_of(&known).into();
                }
                PaymentState::Settled => match self.ask_to_tell(&known).await {
                    TellingOutcome::Tell(telling) => {
                        return SettleAnswer { response: receipt(&known), telling: Some(telling) };
                    }
                    TellingOutcome::Told => return duplicate_of(&known).into(),
                    TellingOutcome::Wait => {}
                },
                PaymentState::Refused | PaymentState::Expired => return ended_of(&known).into(),
            }
            if updates.is_over() {
                return match self.pending(&known).await {
                    PayOutcome::Pending { receipt, .. } => receipt.into(),
                    _ => pending_receipt(&known).into(),
                };
            }
            known = updates.next(self, known).await;
        }
    }
}

/// What the gate answers with a status, as a code; `unread` where the ledger was not read.
fn refusal_in(stop: Stop, unread: ErrorCode) -> Rejection {
    match stop {
        Stop::Refused(rejection) => rejection,
        Stop::NotNow(NotNow { reason, retry_after_seconds }) => {
            let message = format!(
                "this network takes no further payment of this payer now ({reason}); send the same payment again \
                 later"
            );
            Rejection::new(ErrorCode::NetworkUnavailable, message).retry_same().after(retry_after_seconds)
        }
        Stop::Unread => ledger_trouble(unread),
    }
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
