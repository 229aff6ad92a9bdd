//! A payment from its local checks to its claim: one order for the gate, `/settle` and `/verify`.
//!
//! known → window → identifier → price → wallet → payer → chain → claim. The ledger comes first, so
//! whatever is on record is answered from it; what costs nothing comes before what costs
//! a call to a node, and room is looked for before that call. What differs between those
//! who ask is an [`Asking`]; the order is nobody's to choose.

use std::sync::Arc;

use async_trait::async_trait;
use quittance_ledger::Known;
use quittance_protocol::{ErrorCode, RetryAction};
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use crate::admission::decision::{NotTaken, Stop};
use crate::api::Rejection;
use crate::chain::Verified;
use crate::in_flight::entries::PaymentEntry;
use crate::in_flight::share_key::share_key;
use crate::in_flight::single_flight::SingleFlight;
use crate::network::closed::Closed;
use crate::network::configured::ConfiguredNetwork;
use crate::network::pool::NotWith;
use crate::{Caller, Inner};

/// Who brings a payment, and what for.
#[async_trait]
pub(crate) trait Asking: Clone + Send + Sync + Sized + 'static {
    /// What is known of the sale once it has a price.
    type Priced: Send + Sync;
    /// What it ends in.
    type Taken: From<Known> + Send + 'static;

    /// Whether copies wait for each other, so that all cost one check.
    const IS_SINGLE_FLIGHT: bool;

    /// Whether offers are somebody else's, who keeps naming the wallet that it was once told.
    const KEEPS_OFFERS: bool;

    /// Where the request came from.
    fn caller(&self) -> Caller;

    /// Whether the name that the client gave its purchase is one.
    fn identifier(&self) -> Result<(), Rejection>;

    /// Whether the payment pays for its sale, and for being settled.
    async fn price(admission: &Admission<Self>) -> Result<Self::Priced, Stop>;

    /// What its payer paid before for the same, if it is answered from that (P7).
    /// `refusal` is what the chain said, if it was asked.
    async fn from_earlier(
        admission: &Admission<Self>,
        priced: &Self::Priced,
        refusal: Option<&Rejection>,
    ) -> Result<Option<Self::Taken>, Stop>;

    /// Room, chain, and what is written when both are there.
    async fn take(admission: &Admission<Self>, priced: &Self::Priced) -> Result<Self::Taken, NotTaken>;

    /// Whether what is said for this makes somebody give the payment up.
    fn turns_away(found: &Result<Self::Taken, Stop>) -> bool;
}

/// A payment that passed the local checks, on its way to a claim.
#[derive(Clone)]
pub(crate) struct Admission<A> {
    pub(crate) inner: Arc<Inner>,
    pub(crate) net: Arc<ConfiguredNetwork>,
    pub(crate) payment: Verified,
    pub(crate) asking: A,
    /// Of the payment's key, for its driver.
    pub(crate) entry: Arc<PaymentEntry>,
    /// Nobody waits longer.
    pub(crate) until: Instant,
}

impl<A: Asking> Admission<A> {
    /// Detached: a client that hangs up between the claim's commit and the
    /// driver's start must not leave a claim that nobody works on.
    pub(crate) async fn detached(&self) -> Result<A::Taken, Stop> {
        let admission = self.clone();
        // On the runtime of the background tasks: a server's workers are strangers' to fill.
        let found = self.inner.drivers.spawn_on(async move { admission.decide().await }, &self.inner.runtime);
        found.await.unwrap_or_else(|error| {
            tracing::error!(%error, "claiming task failed");
            Err(Stop::Unread)
        })
    }

    /// Ledger first; an unknown payment is checked and taken. While it was checked,
    /// or waited for room, another replica may have claimed it, and may even be what
    /// takes its room: nobody is refused before the ledger was asked again (P5).
    pub(crate) async fn decide(&self) -> Result<A::Taken, Stop> {
        let found = self.steps().await;
        if !A::turns_away(&found) {
            return found;
        }
        match self.known().await? {
            Some(known) => Ok(known.into()),
            None => found,
        }
    }

    /// The order.
    async fn steps(&self) -> Result<A::Taken, Stop> {
        let arrived = Instant::now();
        let shared = self.shared_entry();
        let ticket = shared.as_ref().map_or(0, |entry| entry.tickets.draw());
        let mut flight = self.flight(shared.as_deref()).await?;
        if let Some(known) = flight.as_ref().and_then(|flight| flight.delivered_since(ticket)) {
            return Ok(known.into());
        }
        let newest = shared.as_ref().map_or(0, |entry| entry.tickets.newest());
        if let Some(known) = self.known().await? {
            if let Some(flight) = &mut flight {
                flight.note_known(newest, &known);
            }
            return Ok(known.into());
        }
        if let Some(trouble) = flight.as_ref().and_then(|flight| flight.trouble_since(arrived)) {
            return Err(Stop::NotNow(trouble));
        }
        self.window().await?;
        let digest = &self.payment.signature_digest;
        if let Some(rejection) = flight.as_ref().and_then(|flight| flight.refusal_of(digest)) {
            return Err(rejection.into());
        }
        self.asking.identifier()?;
        let priced = A::price(self).await?;
        if let Err(stop) = self.wallet() {
            return self.unless_repeated(&priced, stop).await;
        }
        if let Some(taken) = self.payer(&priced).await? {
            return Ok(taken);
        }
        match A::take(self, &priced).await {
            Ok(taken) => Ok(taken),
            Err(NotTaken::Chain(rejection)) => self.refused(&priced, rejection, flight.as_deref_mut()).await,
            Err(NotTaken::Wallet(stop)) => self.unless_repeated(&priced, stop).await,
            Err(NotTaken::NoRoom(stop) | NotTaken::Other(stop)) => {
                if let (Some(flight), Stop::NotNow(trouble)) = (&mut flight, &stop) {
                    flight.note_trouble(*trouble);
                }
                Err(stop)
            }
        }
    }

    /// The entry that copies share, if they are checked once for all.
    fn shared_entry(&self) -> Option<Arc<PaymentEntry>> {
        let payment = &self.payment;
        let share_key = || share_key(&payment.key, &payment.signature_digest, payment.is_signed);
        A::IS_SINGLE_FLIGHT.then(|| self.inner.in_flight.entry(share_key()))
    }

    async fn flight<'a>(
        &self,
        shared: Option<&'a PaymentEntry>,
    ) -> Result<Option<MutexGuard<'a, SingleFlight>>, Stop> {
        let Some(shared) = shared else { return Ok(None) };
        let flight = tokio::time::timeout_at(self.until, shared.flight.lock()).await;
        flight.map(Some).map_err(|_| Stop::for_now("chain"))
    }

    /// What stands under a key that cannot be claimed.
    async fn known(&self) -> Result<Option<Known>, Stop> {
        let _reading = self.inner.strangers.reading(self.payment.signer()).await;
        let known = self.inner.context.ledger.known(&self.payment.key).await;
        Ok(known.map_err(|error| Stop::unread(&error))?.filter(|known| !known.is_free()))
    }

    /// Whether it comes in time; one whose time has nearly come is waited for.
    async fn window(&self) -> Result<(), Rejection> {
        self.inner.wait_until_valid(&self.payment, self.until).await?;
        self.net.chain.verify()?.check_window(&self.payment, self.inner.context.clock.now())
    }

    /// Whether the wallet that its own message names may pay for it. One that is empty is told by
    /// the network's own word where no other one can pay, and also whoever's server would send it
    /// to the same wallet again: this very payment is good once the wallet is filled.
    pub(crate) fn wallet(&self) -> Result<(), Stop> {
        let Some(wallet) = &self.payment.wallet else { return Ok(()) };
        let message = match self.net.pool.takes(wallet, self.inner.context.clock.now_ms()) {
            Ok(()) => return Ok(()),
            Err(NotWith::Retired) => "this fee payer is not offered any more; sign for a fresh offer",
            Err(NotWith::Empty) => {
                self.net.takes_payments()?;
                if A::KEEPS_OFFERS {
                    return Err(Closed::WalletEmpty.into());
                }
                "this fee payer cannot pay now; sign for a fresh offer"
            }
        };
        let code = ErrorCode::InvalidExactSvmFeePayerNotManagedByFacilitator;
        Err(Rejection::new(code, message).of(self.payment.payer.clone()).into())
    }

    /// What says nothing of the call is not said to whoever repeats one that it has paid (P7).
    async fn unless_repeated(&self, priced: &A::Priced, stop: Stop) -> Result<A::Taken, Stop> {
        if !matches!(stop, Stop::Refused(_)) {
            return Err(stop);
        }
        A::from_earlier(self, priced, None).await?.ok_or(stop)
    }

    /// What a moment ago says already of the payer costs no call.
    async fn payer(&self, priced: &A::Priced) -> Result<Option<A::Taken>, Stop> {
        let strangers = &self.inner.strangers;
        if let Some(rejection) = strangers.cannot_pay(&self.net, &self.payment) {
            // It says nothing of this authorization, so whoever repeats a call has it checked.
            let earlier = A::from_earlier(self, priced, None).await?;
            return earlier.map(Some).ok_or(Stop::Refused(rejection));
        }
        strangers.is_held(&self.payment).map_or(Ok(None), |rejection| Err(rejection.into()))
    }

    /// The chain refuses it. Another replica may have claimed and landed it meanwhile: then
    /// the chain refuses what the ledger knows, and whoever cannot read the ledger knows
    /// nothing (P5).
    async fn refused(
        &self,
        priced: &A::Priced,
        rejection: Rejection,
        flight: Option<&mut SingleFlight>,
    ) -> Result<A::Taken, Stop> {
        if let Some(known) = self.known().await? {
            return Ok(known.into());
        }
        if let Some(taken) = A::from_earlier(self, priced, Some(&rejection)).await? {
            return Ok(taken);
        }
        let rejection = self.inner.name_use(&self.net, &self.payment, rejection).await;
        if let Some(flight) = flight
            && rejection.retry_action != RetryAction::RetrySamePayment
        {
            flight.note_refusal(self.payment.signature_digest, &rejection);
        }
        Err(rejection.into())
    }
}
