//! The driver: performs the engine's effects for one payment.
//!
//! One detached task per unfinished payment, so that a client that goes away,
//! or a handler that panics, cannot stop a settlement half-way.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quittance_ledger::{
    Balance, CostEntry, DeliveryState, LedgerError, Payment, PaymentState, Recorded, Reserve, SignFn, Slot,
    Store,
};
use quittance_protocol::{Deadline, DurableAttempt as _, Evidence, Landing, Network};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::board::Notice;
use crate::chain::{ChainPayment, SignRefused, Watched};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::engine::{Alert, Effect, Event, State, Verdict, is_owed, step};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::{failpoint, used};

/// Pause before a ledger commit that failed is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// Everything a driver shares with the rest of the process.
pub(crate) struct Tools {
    pub(crate) ledger: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) stop: CancellationToken,
}

/// One payment under way.
pub(crate) struct Driver {
    tools: Arc<Tools>,
    desk: Arc<Desk>,
    payment: Payment,
    notice: Arc<Notice>,
    state: State,
    newest: Option<Recorded>,
    transactions: Vec<String>,
    /// What the ledger has reserved for the next signature, in wei or lamports.
    reserved: u128,
    /// What the payer was last seen to hold, and at which block.
    seen: Option<Balance>,
    evidence: Option<mpsc::Receiver<Evidence>>,
    wake_at: Option<tokio::time::Instant>,
    first: Event,
    /// Somebody else owns the payment now, or it has its verdict already.
    ended: bool,
}

impl Driver {
    /// Takes over a payment that was just claimed.
    pub(crate) fn claimed(tools: Arc<Tools>, desk: Arc<Desk>, payment: Payment, notice: Arc<Notice>) -> Self {
        Self {
            tools,
            desk,
            payment,
            notice,
            state: State::claimed(),
            newest: None,
            transactions: Vec::new(),
            reserved: 0,
            seen: None,
            evidence: None,
            wake_at: None,
            first: Event::Started,
            ended: false,
        }
    }

    /// The claim reserved this much for its first signature.
    pub(crate) fn with_reserved(self, reserved: u128) -> Self {
        Self { reserved, ..self }
    }

    /// Takes over a payment found unfinished in the ledger.
    pub(crate) async fn resumed(
        tools: Arc<Tools>,
        desk: Arc<Desk>,
        payment: Payment,
        notice: Arc<Notice>,
    ) -> Result<Self, LedgerError> {
        let mut driver = Self::claimed(tools, desk, payment, notice);
        driver.load_attempts().await?;
        driver.first = Event::Found;
        if driver.payment.state == PaymentState::Recorded {
            let attempts = u32::try_from(driver.transactions.len()).unwrap_or(u32::MAX);
            driver.state = State::recorded(attempts);
        }
        Ok(driver)
    }

    /// Runs until there is a verdict, or the process stops.
    pub(crate) async fn run(mut self) {
        let Some(_driving) = self.notice.drive() else { return };
        let _open = Open::count(&self.tools.metrics, &self.payment.network);
        let mut events = VecDeque::from([self.first.clone()]);
        while !self.state.is_done() && !self.ended {
            let event = match events.pop_front() {
                Some(event) => event,
                None => tokio::select! {
                    biased;
                    () = self.tools.stop.cancelled() => break,
                    event = next_event(&mut self.evidence, self.wake_at) => {
                        if matches!(event, Event::Due) {
                            self.wake_at = None;
                        }
                        event
                    }
                },
            };
            tracing::debug!(payment = %self.payment.id, ?event, "step");
            for effect in step(&mut self.state, event) {
                if let Some(event) = self.perform(effect).await {
                    events.push_back(event);
                }
            }
        }
    }

    async fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Record => Some(self.record().await),
            Effect::Send => self.send().await,
            Effect::Watch => {
                self.watch().await;
                None
            }
            Effect::Wake(ms) => {
                self.wake_at = Some(tokio::time::Instant::now() + Duration::from_millis(ms));
                None
            }
            Effect::Recheck => Some(self.recheck().await),
            Effect::Commit(verdict) => Some(self.commit(verdict).await),
            Effect::BookCost { landing, earned: true } => {
                self.book_earned(landing);
                None
            }
            Effect::BookCost { landing, earned: false } => {
                self.book_burnt(landing).await;
                None
            }
            Effect::Announce => {
                self.notice.announce();
                None
            }
            Effect::Alert(alert) => {
                self.alert(&alert);
                None
            }
        }
    }

    /// Slot, signed bytes and hash in one commit (I2).
    async fn record(&mut self) -> Event {
        failpoint::hit("before_record").await;
        let now_ms = self.tools.clock.now_ms();
        if !self.desk.ready.load(Ordering::Acquire) {
            // A counter behind the chain would reserve a nonce that is gone.
            return Event::NotRecorded {
                retry: true,
                reason: "the wallet's nonce is not known yet".to_owned(),
            };
        }
        let Some(allowed) = self.desk.allowed_native(self.payment.gas, now_ms) else {
            return Event::NotRecorded { retry: true, reason: "no fresh exchange rate".to_owned() };
        };
        if let Err(refusal) = self.reserve(allowed, now_ms).await {
            return Event::NotRecorded { retry: refusal.retry, reason: refusal.reason };
        }
        let reserved = self.reserved;
        let refused = Arc::new(Mutex::new(None));
        let result = if self.desk.chain.takes_nonce() {
            let (chain, form) = (Arc::clone(&self.desk.chain), self.payment.payload.clone());
            let told = Arc::clone(&refused);
            let sign: SignFn = Box::new(move |nonce| {
                chain.sign(&form, Some(nonce), allowed, reserved).map_err(|refusal| tell(&told, refusal))
            });
            let wallet = self.desk.chain.wallet().to_owned();
            let ledger = &self.tools.ledger;
            match &self.newest {
                None => ledger.record_with_nonce(&self.payment.id, &wallet, sign, now_ms).await,
                // The earlier attempt was included and failed: its nonce is gone.
                Some(_) => {
                    let payments = std::slice::from_ref(&self.payment.id);
                    ledger.record_again(payments, Slot::Fresh { wallet }, sign, now_ms).await
                }
            }
        } else {
            match self.desk.chain.sign(&self.payment.payload, None, allowed, reserved) {
                Ok(signed) => self.tools.ledger.record(&self.payment.id, signed, now_ms).await,
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
                let retry = refused.lock().is_ok_and(|told| told.as_ref().is_none_or(|r| r.retry));
                Event::NotRecorded { retry, reason }
            }
            Err(error) => self.recover_record(error).await,
        }
    }

    /// Makes sure that what the next signature may cost is reserved (P3). A bound
    /// that rose since the claim is raised, or what is reserved has to do.
    async fn reserve(&mut self, allowed: u128, now_ms: i64) -> Result<(), SignRefused> {
        let bound = self.desk.chain.cost_bound(&self.payment.payload, allowed)?;
        if bound <= self.reserved {
            return Ok(());
        }
        let later = |reason: String| SignRefused { retry: true, reason };
        let wanted = self.desk.reserve_bound(self.payment.payer.clone(), bound, now_ms);
        let Some(wanted) = wanted else { return Err(later("no exchange rate was ever known".to_owned())) };
        let wanted = Reserve { balance: self.seen, ..wanted };
        match self.tools.ledger.reserve(&self.payment.id, wanted, now_ms).await {
            Ok(()) => {
                self.reserved = bound;
                Ok(())
            }
            Err(_) if self.reserved > 0 => Ok(()),
            Err(error) => Err(later(error.to_string())),
        }
    }

    /// A commit may have worked although its answer was lost: read before
    /// anything else, or a second nonce would be spent on the same payment.
    async fn recover_record(&mut self, error: LedgerError) -> Event {
        let before = self.transactions.len();
        tracing::warn!(payment = %self.payment.id, %error, "recording failed; reading the ledger");
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

    async fn load_attempts(&mut self) -> Result<(), LedgerError> {
        let attempts = self.tools.ledger.recorded_attempts(&self.payment.id).await?;
        self.transactions.clear();
        for recorded in attempts {
            self.keep(recorded);
        }
        Ok(())
    }

    fn keep(&mut self, recorded: Recorded) {
        self.transactions.push(recorded.transaction().to_owned());
        self.payment.transaction = Some(recorded.transaction().to_owned());
        self.newest = Some(recorded);
    }

    async fn send(&mut self) -> Option<Event> {
        let recorded = self.newest.as_ref()?;
        // I2: only this payment's own durable bytes. A panic here ends this
        // driver alone; the sweep finds the payment and drives it afresh.
        assert!(recorded.payments().contains(&self.payment.id), "an attempt of another payment");
        assert_eq!(recorded.network(), &self.payment.network, "an attempt on another network");
        failpoint::hit("before_send").await;
        let outcome = self.desk.chain.send(recorded).await;
        failpoint::hit("after_send").await;
        self.tools.metrics.sent(&self.payment.network, &outcome);
        let (ledger, attempt) = (Arc::clone(&self.tools.ledger), recorded.attempt());
        let (noted, now_ms) = (outcome.clone(), self.tools.clock.now_ms());
        // Journaled in the background: a recorded attempt counts as possibly
        // sent, so nothing depends on this line.
        tokio::spawn(async move {
            if let Err(error) = ledger.journal_send(attempt, &noted, now_ms).await {
                tracing::warn!(%error, "a broadcast is missing in the journal");
            }
        });
        Some(Event::Sent(outcome))
    }

    async fn watch(&mut self) {
        let watched = Watched {
            key: self.payment.key,
            form: self.payment.payload.clone(),
            transactions: self.transactions.clone(),
            nonce: self.newest.as_ref().and_then(Recorded::nonce),
            wallet: self.newest.as_ref().and_then(Recorded::wallet).map(str::to_owned),
            watch_from: self.payment.watch_from,
            deadline: self.payment.deadline,
        };
        self.evidence = Some(self.desk.poller.watch(watched).await);
    }

    async fn recheck(&mut self) -> Event {
        if !self.desk.chain.takes_nonce() {
            // Bytes that cannot land cost nothing here, their expiry is found
            // through them, and signing again would make the same bytes.
            return Event::Rechecked { still_good: self.newest.is_none() };
        }
        let payment = ChainPayment {
            key: self.payment.key,
            payer: self.payment.payer.clone(),
            source: self.payment.payer.clone(),
            amount: self.payment.amount,
            signature_digest: self.payment.signature_digest,
            needs_rent: false,
            form: self.payment.payload.clone(),
        };
        let seen = self.desk.chain.check_chain(&payment).await;
        if let Ok(view) = &seen {
            self.seen = view.balance.map(|amount| Balance { amount, at: view.watch_from });
        }
        Event::Rechecked { still_good: seen.is_ok() }
    }

    async fn commit(&mut self, verdict: Verdict) -> Event {
        // I5, whatever a chain crate says: nothing expires before its deadline.
        if let Verdict::Expired(evidence) = &verdict {
            assert!(is_past(self.payment.deadline, evidence), "expired before its deadline");
        }
        let owed = match self.is_owed(&verdict).await {
            Ok(owed) => owed,
            Err(error) => {
                tracing::error!(payment = %self.payment.id, %error, "attempts cannot be read; trying again");
                tokio::time::sleep(COMMIT_RETRY).await;
                return Event::CommitFailed;
            }
        };
        failpoint::hit("before_verdict").await;
        let (ledger, id, now_ms) = (&self.tools.ledger, &self.payment.id, self.tools.clock.now_ms());
        let result = match &verdict {
            Verdict::Settled(landing) if owed => ledger.settle_owed(id, landing, now_ms).await,
            Verdict::Settled(landing) => ledger.settle(id, landing, now_ms).await,
            Verdict::Refused { code, reason, evidence } => {
                let earlier = matches!(evidence, Some(Evidence::Earlier(_)));
                let code = if earlier { used::code(self.payment.deadline) } else { *code };
                ledger.refuse(id, code, reason, evidence.as_ref(), now_ms).await
            }
            Verdict::Expired(evidence) => ledger.expire(id, evidence, now_ms).await,
        };
        failpoint::hit("after_verdict").await;
        match result {
            Ok(payment) => {
                // I6: the ledger keeps the verdict that was given.
                assert!(says(&payment, &verdict), "the ledger keeps another verdict");
                self.verdict_is_durable(payment, now_ms)
            }
            // An earlier try of this commit worked although its answer was lost.
            Err(LedgerError::Transition { payment, .. }) if says(&payment, &verdict) => {
                self.verdict_is_durable(*payment, now_ms)
            }
            Err(error) => {
                tracing::error!(payment = %id, %error, "verdict not committed; trying again");
                tokio::time::sleep(COMMIT_RETRY).await;
                Event::CommitFailed
            }
        }
    }

    /// An attempt whose commit lost its answer, or an earlier life's, is ours as
    /// well: the ledger is asked before a landing is taken for another's.
    async fn is_owed(&mut self, verdict: &Verdict) -> Result<bool, LedgerError> {
        let Verdict::Settled(landing) = verdict else { return Ok(false) };
        if !is_owed(self.desk.shared_pay_to, landing, &self.transactions) {
            return Ok(false);
        }
        self.load_attempts().await?;
        Ok(is_owed(self.desk.shared_pay_to, landing, &self.transactions))
    }

    fn verdict_is_durable(&mut self, payment: Payment, now_ms: i64) -> Event {
        let took = u64::try_from(now_ms.saturating_sub(payment.created_at_ms)).unwrap_or(0);
        let metrics = &self.tools.metrics;
        metrics.reached(&payment.network, payment.state.as_str());
        metrics.verdict(&payment.network, payment.state.as_str(), Duration::from_millis(took));
        if payment.state == PaymentState::Settled {
            metrics.charged(&payment.network, payment.gas);
        }
        if payment.delivery == DeliveryState::Owed {
            metrics.delivery("owed");
            metrics.alert(&payment.network, "owed");
            tracing::error!(payment = %payment.id, amount = %payment.amount, transaction = payment.transaction, "another ledger landed this payment at the shared pay_to; it buys nothing here: refund it (quittance payments list --delivery owed)");
        }
        tracing::info!(payment = %payment.id, state = %payment.state, transaction = payment.transaction, took_ms = took, "verdict");
        self.payment = payment;
        self.desk.free();
        Event::Committed
    }

    /// In the background: whoever waits for the verdict need not wait for the
    /// books. What is lost here, the accountant finds by its reservation.
    fn book_earned(&self, landing: Landing) {
        let entry = self.cost(landing, true);
        if let Some(usdc) = entry.usdc {
            self.tools.metrics.spent(&self.payment.network, usdc, true);
            self.tools.metrics.cost_share(&self.payment.network, usdc, self.payment.gas);
            self.desk.spending.add(usdc);
        }
        let (ledger, now_ms) = (Arc::clone(&self.tools.ledger), self.tools.clock.now_ms());
        let desk = Arc::clone(&self.desk);
        tokio::spawn(async move {
            if let Err(error) = ledger.book_cost(entry, now_ms).await {
                tracing::warn!(%error, "a cost is not in the books yet");
            }
            desk.free();
        });
    }

    /// Before anything else happens to the payment: what was burnt must count
    /// before its reservation goes, or is made again for the next attempt (P3).
    async fn book_burnt(&mut self, landing: Landing) {
        let entry = self.cost(landing, false);
        loop {
            match self.tools.ledger.book_cost(entry.clone(), self.tools.clock.now_ms()).await {
                Ok(true) => {
                    if let Some(usdc) = entry.usdc {
                        self.tools.metrics.spent(&self.payment.network, usdc, false);
                        self.desk.spending.add(usdc);
                    }
                    break;
                }
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(payment = %self.payment.id, %error, "a cost is not booked; trying again")
                }
            }
            tokio::select! {
                biased;
                () = self.tools.stop.cancelled() => return,
                () = tokio::time::sleep(COMMIT_RETRY) => {}
            }
        }
        self.reserved = 0;
        self.desk.free();
    }

    fn cost(&self, landing: Landing, earned: bool) -> CostEntry {
        CostEntry {
            network: self.payment.network.clone(),
            transaction: landing.transaction,
            payment: Some(self.payment.id.clone()),
            native: landing.cost_native,
            usdc: self.desk.cost_usdc(landing.cost_native, self.tools.clock.now_ms()),
            earned,
        }
    }

    fn alert(&self, alert: &Alert) {
        let (kind, text) = match alert {
            Alert::SendRefused(reason) => ("send_refused", reason.clone()),
            Alert::Waiting(reason) => ("waiting", reason.clone()),
            Alert::Contradiction(evidence) => ("contradiction", format!("{evidence:?}")),
            Alert::ForeignLanding(transaction) => ("foreign_landing", transaction.clone()),
        };
        self.tools.metrics.alert(&self.payment.network, kind);
        tracing::warn!(payment = %self.payment.id, kind, reason = text, "needs attention");
    }
}

/// One open payment in the metrics; also when the driver ends in a panic.
struct Open {
    metrics: Arc<Metrics>,
    network: Network,
}

impl Open {
    fn count(metrics: &Arc<Metrics>, network: &Network) -> Self {
        metrics.open_add(network, 1);
        Self { metrics: Arc::clone(metrics), network: network.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.open_add(&self.network, -1);
    }
}

async fn next_event(
    evidence: &mut Option<mpsc::Receiver<Evidence>>,
    wake_at: Option<tokio::time::Instant>,
) -> Event {
    let seen = async {
        match evidence {
            Some(receiver) => match receiver.recv().await {
                Some(evidence) => evidence,
                // The poller is gone: the process stops.
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    };
    let due = async {
        match wake_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        evidence = seen => Event::Seen(evidence),
        () = due => Event::Due,
    }
}

fn says(payment: &Payment, verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Settled(_) => payment.state == PaymentState::Settled,
        Verdict::Refused { .. } => payment.state == PaymentState::Refused,
        Verdict::Expired(_) => payment.state == PaymentState::Expired,
    }
}

/// Whether the evidence lies at or behind the deadline (I5): on Base block time
/// against `validBefore`, on Solana block height beyond the last valid one.
fn is_past(deadline: Deadline, evidence: &Evidence) -> bool {
    match (deadline, evidence) {
        (Deadline::UnixSeconds(valid_before), Evidence::Expired { clock, .. }) => *clock >= valid_before,
        (Deadline::BlockHeight(last_valid), Evidence::Expired { clock, .. }) => *clock > last_valid,
        (_, Evidence::Settled(_) | Evidence::Reverted(_) | Evidence::Canceled(_) | Evidence::Earlier(_)) => {
            false
        }
    }
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
