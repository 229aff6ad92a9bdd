//! Signing and sending: slot, signed bytes and hash are durable before a node sees them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use quittance_ledger::{LedgerError, NewAttempt, Reserve, SignFn, SignedBytes, Slot};

use super::Driver;
use crate::chain::{Chain, CostAllowed, Sent, SignRefused, Verified};
use crate::context::failpoint;
use crate::metrics::trouble::{self, Trouble};
use crate::settle::engine::Event;

impl Driver {
    /// Slot, signed bytes and hash in one commit (I2).
    pub(super) async fn record(&mut self) -> Event {
        failpoint::hit("before_record").await;
        let now_ms = self.context.clock.now_ms();
        if !self.net.ready.load(Ordering::Acquire) {
            // A counter behind the chain would reserve a nonce that is gone.
            return Event::NotRecorded {
                retry: true,
                reason: "the wallet's nonce is not known yet".to_owned(),
            };
        }
        let Some(allowed) = self.net.allowed_native(self.payment.gas, now_ms) else {
            self.return_unsigned().await;
            return Event::NotRecorded { retry: true, reason: "no fresh exchange rate".to_owned() };
        };
        if let Err(refusal) = self.reserve(allowed, now_ms).await {
            self.return_unsigned().await;
            return Event::NotRecorded { retry: refusal.retry, reason: refusal.reason };
        }
        let reserved = self.reserved;
        let refused = Arc::new(Mutex::new(None));
        let allowed = CostAllowed { charged_native: allowed, reserved_native: reserved };
        let result = if self.net.chain.facts().takes_nonce {
            let (chain, verified) = (Arc::clone(&self.net.chain), self.verified.clone());
            let told = Arc::clone(&refused);
            let sign: SignFn = Box::new(move |nonce| {
                sign(&chain, &verified, Some(nonce), allowed).map_err(|refusal| tell(&told, refusal))
            });
            let wallet = self.net.chain.facts().wallet.clone();
            let attempt = match &self.newest {
                None => NewAttempt::numbered(&self.payment.id, &wallet, sign),
                // The earlier attempt was included and failed: its nonce is gone.
                Some(_) => {
                    let payments = std::slice::from_ref(&self.payment.id);
                    NewAttempt::again(payments, Slot::Fresh { wallet }, sign)
                }
            };
            self.context.ledger.record(attempt, now_ms).await
        } else {
            match sign(&self.net.chain, &self.verified, None, allowed) {
                Ok(signed) => {
                    let attempt = NewAttempt::unnumbered(&self.payment.id, signed);
                    self.context.ledger.record(attempt, now_ms).await
                }
                Err(refusal) => Err(LedgerError::Sign(tell(&refused, refusal))),
            }
        };
        failpoint::hit("after_record").await;
        match result {
            Ok(recorded) => {
                self.keep(recorded);
                self.watch().await;
                Event::Recorded
            }
            Err(LedgerError::Sign(reason)) => {
                self.return_unsigned().await;
                let retry = refused.lock().is_ok_and(|told| told.as_ref().is_none_or(|r| r.retry));
                Event::NotRecorded { retry, reason }
            }
            Err(error) => self.recover_record(error).await,
        }
    }

    /// Makes sure that what the next signature may cost is reserved (P3). A bound
    /// that rose since the claim is raised, or what is reserved has to do.
    async fn reserve(&mut self, allowed: u128, now_ms: i64) -> Result<(), SignRefused> {
        let bound = self.net.chain.sign()?.cost_bound(&self.verified, allowed)?;
        if bound <= self.reserved {
            return Ok(());
        }
        let later = |reason: String| SignRefused { retry: true, reason };
        let wanted = self.net.reserve_bound(self.payment.payer.clone(), bound, now_ms);
        let Some(wanted) = wanted else { return Err(later("no exchange rate was ever known".to_owned())) };
        let wanted = Reserve { balance: self.seen, by_code: self.by_code, ..wanted };
        match self.context.ledger.reserve(&self.payment.id, wanted, now_ms).await {
            Ok(()) => {
                (self.reserved, self.holds_cost) = (bound, true);
                Ok(())
            }
            Err(_) if self.reserved > 0 => Ok(()),
            Err(error) => Err(later(error.to_string())),
        }
    }

    /// What was given back is reserved again before the bytes go out once more (P3);
    /// after a restart as well, where nobody knows whether it was given back. Bytes that
    /// take a nonce never give it back: a node may keep them.
    async fn reserve_for_send(&mut self) -> Result<(), String> {
        let kept = self.net.chain.facts().takes_nonce && self.holds_cost;
        if self.may_send || kept || !self.state.reverted.is_empty() {
            return Ok(());
        }
        let now_ms = self.context.clock.now_ms();
        let Some(allowed) = self.net.allowed_native(self.payment.gas, now_ms) else {
            return Err("no fresh exchange rate".to_owned());
        };
        self.reserve(allowed, now_ms).await.map_err(|refusal| refusal.reason)?;
        self.may_send = true;
        Ok(())
    }

    /// Every node that ever got the bytes ran them, found that they fail, and passed
    /// them to nobody: a hold that costs nothing would let strangers fill the limits
    /// for nothing. What cannot be given back now stays until the deadline.
    async fn return_cost(&mut self) {
        match self.context.ledger.return_cost(&self.payment.id, self.context.clock.now_ms()).await {
            Ok(_) => {
                (self.reserved, self.holds_cost, self.may_send) = (0, false, false);
                self.net.free();
            }
            Err(error) => {
                // It may be stored all the same.
                (self.reserved, self.may_send) = (0, false);
                trouble::note(Trouble::Reserved, self.payment.network.as_str(), &error);
            }
        }
    }

    /// Nothing of it is signed, and nothing will be for now (fees above what was charged, a
    /// payer whose money is gone since): it can cost nothing, and its deadline may be far. What
    /// it would cost is reserved again before it is signed.
    pub(super) async fn return_unsigned(&mut self) {
        if !self.holds_cost || self.newest.is_some() {
            return;
        }
        // A commit whose answer was lost may have recorded something.
        let recorded = self.context.ledger.recorded_attempts(&self.payment.id).await;
        if recorded.is_ok_and(|attempts| attempts.is_empty()) {
            self.return_cost().await;
        }
    }

    /// A commit may have worked although its answer was lost: read before
    /// anything else, or a second nonce would be spent on the same payment.
    async fn recover_record(&mut self, error: LedgerError) -> Event {
        let before = self.transactions.len();
        trouble::note(Trouble::Recording, self.payment.network.as_str(), &error);
        if matches!(error, LedgerError::NotOwner { .. })
            || error.payment().is_some_and(|payment| payment.state.is_final())
        {
            // Nothing is left to do here, and trying again would go on for ever.
            self.ended = true;
            self.notice.announce();
        }
        match self.load_attempts().await {
            Ok(()) if self.transactions.len() > before => {
                self.watch().await;
                Event::Recorded
            }
            _ => Event::NotRecorded { retry: true, reason: error.to_string() },
        }
    }

    pub(super) async fn send(&mut self) -> Option<Event> {
        let recorded = self.newest.as_ref()?;
        // I2: only this payment's own durable bytes. A panic here ends this
        // driver alone; the sweep finds the payment and drives it afresh.
        assert!(recorded.payments().contains(&self.payment.id), "an attempt of another payment");
        assert_eq!(recorded.network(), &self.payment.network, "an attempt on another network");
        let attempt = recorded.attempt();
        if let Err(reason) = self.reserve_for_send().await {
            return Some(Event::NotSent { reason });
        }
        let recorded = self.newest.as_ref()?;
        failpoint::hit("before_send").await;
        let Sent { outcome, withheld } = self.net.send(recorded).await;
        failpoint::hit("after_send").await;
        self.context.metrics.sent(&self.payment.network, &outcome);
        self.passed_on |= !withheld;
        if !self.passed_on {
            self.return_cost().await;
        }
        let ledger = Arc::clone(&self.context.ledger);
        let (noted, now_ms) = (outcome.clone(), self.context.clock.now_ms());
        // Journaled in the background: a recorded attempt counts as possibly
        // sent, so nothing depends on this line.
        tokio::spawn(async move {
            if let Err(error) = ledger.journal_send(attempt, &noted, now_ms).await {
                trouble::note(Trouble::Broadcast, "", &error);
            }
        });
        Some(Event::Sent(outcome))
    }
}

fn sign(
    chain: &Chain,
    payment: &Verified,
    nonce: Option<u64>,
    allowed: CostAllowed,
) -> Result<SignedBytes, SignRefused> {
    chain.sign()?.sign(payment, nonce, allowed)
}

/// The ledger hands a signer's refusal through as text; whether waiting can
/// help goes beside it.
fn tell(told: &Mutex<Option<SignRefused>>, refusal: SignRefused) -> String {
    let reason = refusal.reason.clone();
    if let Ok(mut told) = told.lock() {
        *told = Some(refusal);
    }
    reason
}
