//! The gate's admission: from a payment header to a grant, an answer or a refusal.

use std::sync::Arc;

use async_trait::async_trait;
use quittance_ledger::{NewClaim, Origin};
use quittance_protocol::{ErrorCode, PaymentPayload, X402_VERSION};
use tokio::time::Instant;

use crate::admission::answer::Holder;
use crate::admission::claim::Sold;
use crate::admission::decision::{Claimed, NotTaken, Stop};
use crate::admission::pipeline::{Admission, Asking};
use crate::admission::repeats::{CROWDED_RETRY_SECONDS, NAMES_ANOTHER};
use crate::admission::waiting::Waiting;
use crate::api::receipts::{LEDGER, not_now, pending_receipt, reject, unavailable};
use crate::api::{PayOutcome, Rejection, Sale};
use crate::chain::Verified;
use crate::in_flight::callers::Purchase;
use crate::network::configured::ConfiguredNetwork;
use crate::{Caller, Inner};

/// What a request buys with a payment.
fn purchase(payment: &Holder, sale: &Sale) -> Purchase {
    Purchase { key: payment.key, digest: payment.signature_digest, fingerprint: sale.fingerprint }
}

/// How often an alias whose payment ended unpaid is looked at anew within a request.
const ROUNDS_MAX: u32 = 3;

/// A request at the gate.
#[derive(Clone)]
struct AtGate(Arc<Sale>);

#[async_trait]
impl Asking for AtGate {
    type Priced = NewClaim;
    type Taken = Claimed;

    const IS_SINGLE_FLIGHT: bool = true;
    const KEEPS_OFFERS: bool = false;

    fn caller(&self) -> Caller {
        self.0.caller
    }

    fn identifier(&self) -> Result<(), Rejection> {
        self.0.malformed.map_or(Ok(()), |why| Err(reject(ErrorCode::InvalidPayload, why)))
    }

    async fn price(admission: &Admission<Self>) -> Result<NewClaim, Stop> {
        let Admission { inner, net, payment, asking: Self(sale), .. } = admission;
        let (gas, tariff) = inner.match_offer(net, payment, sale).await?;
        let sold = Sold {
            origin: Origin::Gate,
            pay_to: None,
            fingerprint: sale.fingerprint,
            identifier: sale.identifier,
            idempotency: sale.idempotency,
            repeats: Some(inner.repeat_policy()),
            service: sale.service,
            gas,
            fee: None,
            tariff: Some(tariff),
            resource: sale.resource.clone(),
        };
        Ok(inner.draft(net, payment, sold)?)
    }

    async fn from_earlier(
        admission: &Admission<Self>,
        draft: &NewClaim,
        refusal: Option<&Rejection>,
    ) -> Result<Option<Claimed>, Stop> {
        admission
            .inner
            .answer_from_earlier(
                &admission.net,
                &admission.payment,
                (draft, admission.asking.caller()),
                refusal,
            )
            .await
    }

    async fn take(admission: &Admission<Self>, draft: &NewClaim) -> Result<Claimed, NotTaken> {
        match admission.claim(draft, Instant::now()).await {
            Err(NotTaken::NoRoom(_)) => {}
            ended => return ended,
        }
        // Whoever repeats a call that it has paid needs no room.
        match Self::from_earlier(admission, draft, None).await {
            Ok(Some(known)) => Ok(known),
            Ok(None) => admission.claim(draft, admission.until).await,
            Err(stop) => Err(NotTaken::Other(stop)),
        }
    }

    /// A network that cannot settle now, or a name that is another payment's, invites
    /// nobody to sign anew.
    fn turns_away(found: &Result<Claimed, Stop>) -> bool {
        matches!(found, Err(Stop::Refused(_)))
    }
}

impl From<Stop> for PayOutcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(rejection) => Self::Refused(rejection),
            Stop::NotNow(why) => {
                Self::Unavailable { retry_after_seconds: why.retry_after_seconds, reason: why.reason }
            }
            Stop::Unread => not_now(LEDGER),
        }
    }
}

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
        let (inner, entry) = (Arc::clone(self), self.in_flight.entry(payment.key));
        let holder = Holder::of(&payment);
        caller.into_iter().for_each(|caller| caller.bind(self, purchase(&holder, &sale)));
        let admission = Admission { inner, net, payment, asking: AtGate(Arc::new(sale)), entry, until };
        for _ in 0..ROUNDS_MAX {
            let known = match admission.detached().await {
                Ok(Claimed::Known(known)) => known,
                Ok(Claimed::Named) => {
                    let (code, message) = (ErrorCode::RequestMismatch, NAMES_ANOTHER.to_owned());
                    return PayOutcome::Conflict { code, message, receipt: None };
                }
                Ok(Claimed::Crowded(payment)) => {
                    let receipt = pending_receipt(&payment);
                    return PayOutcome::Pending { receipt, retry_after_seconds: CROWDED_RETRY_SECONDS };
                }
                Err(stop) => return self.say_stop(admission.net.chain.network().as_str(), stop),
            };
            if let Some(outcome) = self.answer_known(known, &holder, &admission.asking.0, until).await {
                return outcome;
            }
        }
        not_now(LEDGER)
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
        self.say_stop(self.label(&payload.accepted.network), rejection.into())
    }

    fn say_stop(&self, network: &str, stop: Stop) -> PayOutcome {
        if let Stop::Refused(rejection) = &stop {
            self.context.metrics.refused(network, rejection.code);
        }
        stop.into()
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
}
