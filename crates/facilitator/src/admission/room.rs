//! Room for a new payment: what its signature may cost without earning is
//! reserved in the commit of its claim, and its payer's balance is spent once (P3).
//!
//! Who finds no room waits for it, as long as a payment may be kept waiting:
//! most of what is in flight ends within seconds. Nothing is written meanwhile,
//! and whoever is sent away keeps the money.

use std::time::Duration;

use quittance_ledger::{LedgerError, NewClaim, NoRoom, Reserve};
use quittance_protocol::{Amount, Deadline, ErrorCode};
use tokio::time::Instant;

use crate::Inner;
use crate::admission::chain_check::Checked;
use crate::admission::decision::{Claimed, NotTaken, Stop};
use crate::admission::pipeline::{Admission, Asking};
use crate::api::Rejection;
use crate::chain::Verified;
use crate::in_flight::single_flight::NotNow;
use crate::metrics::no_room_word;
use crate::network::configured::ConfiguredNetwork;
use crate::network::tariffs;

/// How often who waits for room asks the chain, if the room went to others each time.
const CHECKS_MAX: u32 = 3;

/// Pause between two looks for room, when nothing in this process frees any.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long after its deadline a payment still holds its money: it may have landed
/// just before, where neither we nor the endpoint that was asked have seen it.
const HOLD_MARGIN_MS: u64 = 60_000;

/// Said where settling cannot be priced, or is dearer than what was charged for it.
const UNPRICED: &str = "fees";

/// What `Retry-After` says until the window rolls.
const WINDOW_RETRY_SECONDS: u64 = 600;

/// The same to payers without history while one of them is tried at a time.
const PROBE_RETRY_SECONDS: u64 = 30;

/// The same while a payer's own payments in flight need its money.
const BALANCE_RETRY_SECONDS: u64 = 5;

/// The ceilings' window, where nobody can say when it rolls.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Until the limits on token accounts begin afresh.
fn seconds_to_midnight(now_ms: i64) -> u64 {
    let now = u64::try_from(now_ms.max(0) / 1_000).unwrap_or(0);
    DAY_SECONDS - now % DAY_SECONDS
}

impl Checked {
    /// The reservation with what the chain said.
    fn complete(&self, reserve: Reserve) -> Reserve {
        let hold_until_ms = match self.deadline {
            Deadline::UnixSeconds(seconds) => {
                let ms = seconds.saturating_mul(1_000).saturating_add(HOLD_MARGIN_MS);
                Some(i64::try_from(ms).unwrap_or(i64::MAX))
            }
            Deadline::BlockHeight(_) => None,
        };
        Reserve { balance: self.balance, hold_until_ms, by_code: self.by_code, ..reserve }
    }
}

impl<A: Asking> Admission<A> {
    /// Checks the chain and claims, once there is room, for which nobody waits past `until`.
    pub(crate) async fn claim(&self, draft: &NewClaim, until: Instant) -> Result<Claimed, NotTaken> {
        let Self { inner, net, payment, entry, .. } = self;
        let mut checks = 0;
        loop {
            let reserve = inner.wait_for_room(net, payment, draft.settling(), until).await?;
            inner.merchant_has_room(net, payment, draft.merchant_row(), &reserve).await?;
            checks += 1;
            let checked = inner.check_chain(net, payment, self.asking.caller()).await?;
            // It may have waited for seconds, and what was known when its offer was matched may
            // not hold any more: nothing is claimed that is known to fail (P3).
            if let Err(closed) = net.takes_payments() {
                return Err(NotTaken::Other(closed.into()));
            }
            self.wallet().map_err(NotTaken::Wallet)?;
            let new =
                NewClaim { deadline: checked.deadline, watch_from: checked.watch_from, ..draft.clone() };
            match inner.claim((net, payment), new, checked.complete(reserve), entry).await {
                Ok(claimed) => return Ok(claimed),
                Err(LedgerError::NoRoom(why)) if checks >= CHECKS_MAX => {
                    return Err(NotTaken::NoRoom(inner.no_room(net, payment, why).await));
                }
                Err(LedgerError::NoRoom(why)) => inner.wait_for_change(net, payment, why, until).await?,
                Err(error) => return Err(NotTaken::Other(Stop::unwritten(&error))),
            }
        }
    }
}

impl Inner {
    /// What is to be reserved, once the ledger had room for it.
    async fn wait_for_room(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        gas: Amount,
        until: Instant,
    ) -> Result<Reserve, NotTaken> {
        loop {
            let now_ms = self.context.clock.now_ms();
            let Some(reserve) = net.reserve(payment, gas, now_ms) else {
                return Err(NotTaken::Other(Stop::for_now(UNPRICED)));
            };
            let (ledger, network) = (&self.context.ledger, net.chain.network());
            let reading = self.strangers.reading(payment.signer()).await;
            let room = ledger.room(network, &payment.payer, reserve.clone(), now_ms).await;
            drop(reading);
            match room {
                Ok(()) => return Ok(reserve),
                Err(LedgerError::NoRoom(why)) => self.wait_for_change(net, payment, why, until).await?,
                Err(error) => return Err(NotTaken::Other(Stop::unwritten(&error))),
            }
        }
    }

    /// Whether a merchant's own limits leave room, before a node is asked: the claim decides.
    pub(crate) async fn merchant_has_room(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        merchant: Option<&str>,
        reserve: &Reserve,
    ) -> Result<(), NotTaken> {
        let Some(merchant) = merchant else { return Ok(()) };
        let (now_ms, network) = (self.context.clock.now_ms(), net.chain.network());
        let reading = self.strangers.reading(payment.signer()).await;
        let ledger = &self.context.ledger;
        let room = ledger.merchant_room(merchant, network, payment.amount, reserve.clone(), now_ms).await;
        drop(reading);
        match room {
            Ok(()) => Ok(()),
            Err(LedgerError::NoRoom(why)) => Err(NotTaken::NoRoom(self.no_room(net, payment, why).await)),
            Err(error) => Err(NotTaken::Other(Stop::unwritten(&error))),
        }
    }

    /// What is to be reserved, if there is room for it now; for who only asks.
    pub(crate) async fn has_room(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        gas: Amount,
    ) -> Result<Reserve, NotTaken> {
        let now_ms = self.context.clock.now_ms();
        let Some(reserve) = net.reserve(payment, gas, now_ms) else {
            return Err(NotTaken::Other(Stop::for_now(UNPRICED)));
        };
        let reading = self.strangers.reading(payment.signer()).await;
        let room = self.context.ledger.room(net.chain.network(), &payment.payer, reserve.clone(), now_ms);
        let room = room.await;
        drop(reading);
        match room {
            Ok(()) => Ok(reserve),
            Err(LedgerError::NoRoom(why)) => Err(NotTaken::NoRoom(self.no_room(net, payment, why).await)),
            Err(error) => Err(NotTaken::Other(Stop::unwritten(&error))),
        }
    }

    async fn wait_for_change(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        why: NoRoom,
        until: Instant,
    ) -> Result<(), NotTaken> {
        // Whoever asks for an offer now must not get one that would be refused.
        if matches!(why, NoRoom::NetworkInFlight | NoRoom::Spent) {
            let _reading = self.strangers.reading(payment.signer()).await;
            let (context, now_ms) = (&self.context, self.context.clock.now_ms());
            tariffs::refresh_exposure(net, &*context.ledger, &context.metrics, now_ms).await;
        }
        let waiting = self.strangers.waiting(payment.signer());
        if !why.is_brief() || Instant::now() >= until || waiting.is_none() {
            return Err(NotTaken::NoRoom(self.no_room(net, payment, why).await));
        }
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => Err(NotTaken::Other(Stop::for_now("stopping"))),
            () = net.freed.notified() => Ok(()),
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_PAUSE)) => Ok(()),
        }
    }

    /// What is said to who found no room. Nothing was written, nothing was paid.
    pub(crate) async fn no_room(&self, net: &ConfiguredNetwork, payment: &Verified, why: NoRoom) -> Stop {
        let network = net.chain.network();
        self.context.metrics.no_room(network, why);
        tracing::info!(%network, payer = payment.payer, reason = %why, "no room for a payment");
        let refused =
            |code, message: String| Rejection::new(code, message).of(payment.payer.clone()).retry_same();
        let reason = no_room_word(why);
        let not_for = |retry_after_seconds| Stop::NotNow(NotNow { reason, retry_after_seconds });
        match why {
            // No authorization of today is good by then.
            NoRoom::PayerBurnt => {
                let seconds = self.burnt_for(net, payment).await;
                let message = format!(
                    "too many of this payer's transactions failed at our cost within a day; pay from another \
                     address, or sign again in {seconds} s"
                );
                let rejection = refused(ErrorCode::InvalidTransactionState, message);
                Stop::Refused(rejection.do_not_retry().after(seconds))
            }
            // What is under way may come to nothing, and funds may come: then this very
            // payment is good. Whoever signed another one would have two out.
            NoRoom::Balance => {
                let message = "payments of this payer that are under way need its balance; send the same \
                     payment again when they have settled or funds were added";
                let rejection = refused(ErrorCode::InsufficientFunds, message.to_owned());
                Stop::Refused(rejection.after(BALANCE_RETRY_SECONDS))
            }
            NoRoom::Strangers => not_for(PROBE_RETRY_SECONDS),
            NoRoom::Exhausted | NoRoom::Spent | NoRoom::MerchantAmount | NoRoom::MerchantCost => {
                not_for(WINDOW_RETRY_SECONDS)
            }
            NoRoom::AccountsSpent => not_for(seconds_to_midnight(self.context.clock.now_ms())),
            NoRoom::PayerAccounts => {
                let seconds = seconds_to_midnight(self.context.clock.now_ms());
                let message = format!(
                    "the recipient's token account was created for this payer as often as may be within a UTC \
                     day: leave the creation (associated token account program) out of the transaction, or \
                     sign again in {seconds} s"
                );
                let code = ErrorCode::InvalidExactSvmPayloadTransactionInstructionsLength;
                Stop::Refused(refused(code, message).do_not_retry().after(seconds))
            }
            NoRoom::MerchantClosed => {
                let message = "this merchant is closed or sells nothing on this network".to_owned();
                Stop::Refused(refused(ErrorCode::InvalidPaymentRequirements, message).do_not_retry())
            }
            NoRoom::PayerInFlight
            | NoRoom::NetworkInFlight
            | NoRoom::CodeInFlight
            | NoRoom::MerchantInFlight => Stop::for_now(reason),
        }
    }

    /// Until what this payer burnt first leaves the window, in seconds.
    async fn burnt_for(&self, net: &ConfiguredNetwork, payment: &Verified) -> u64 {
        let now_ms = self.context.clock.now_ms();
        let _reading = self.strangers.reading(payment.signer()).await;
        let until = self.context.ledger.burnt_until(net.chain.network(), &payment.payer, now_ms).await;
        let left = until.ok().flatten().map(|until_ms| until_ms.saturating_sub(now_ms).max(1));
        let seconds = left.and_then(|ms| u64::try_from(ms).ok()).map(|ms| ms.div_ceil(1_000));
        seconds.unwrap_or(DAY_SECONDS)
    }
}
