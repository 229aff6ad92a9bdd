//! What a settled payment buys: one run of the handler at a time, its stored
//! answer afterwards, a credit when the run failed.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{DeliveryStart, DeliveryState, Known, LedgerError, Payment, RunEnd};
use quittance_protocol::{ErrorCode, PaymentId};
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::api::receipts::{conflict, not_now, receipt, unavailable};
use crate::api::{Grant, PaidFacts, PayOutcome, Sale};
use crate::context::failpoint;
use crate::metrics::trouble::{self, Trouble};

/// Said of a payment that another ledger landed at a shared payout address.
pub(crate) const REFUND_OWED: &str = "another server of this payee settled this payment and may have served it; it \
     buys nothing here. Do not pay again: show the receipt to the operator for a refund";

/// Pause before a credit that could not be stored is tried again.
const CREDIT_RETRY: Duration = Duration::from_secs(1);

/// First pause before the begin of a replay window that could not be stored is tried
/// again; each one is twice as long.
const MARK_RETRY: Duration = Duration::from_secs(1);

/// How often that is tried: for longer than a lease that was lost takes to come back.
const MARK_TRIES_MAX: u32 = 7;

impl Inner {
    /// A settled payment: run, replay, or wait for the run under way.
    pub(crate) async fn serve(self: &Arc<Self>, known: &Known, sale: &Sale) -> Option<PayOutcome> {
        if known.payment.delivery == DeliveryState::Owed {
            return Some(conflict(ErrorCode::RefundOwed, REFUND_OWED, &known.payment));
        }
        if !self.may_see(known, sale) {
            return Some(conflict(
                ErrorCode::ReplayWindowClosed,
                "this payment was served; its answer is replayed only to who shows its payment-identifier",
                &known.payment,
            ));
        }
        let known = &known.payment;
        if known.delivery == DeliveryState::Running {
            return None;
        }
        // What was delivered starts no run, so copies need not take turns.
        if known.delivery == DeliveryState::Delivered
            && let Some(outcome) = self.replay_kept(known).await
        {
            return Some(outcome);
        }
        // Detached, for the same reason as the claim: a grant that reaches
        // nobody is dropped, and becomes a credit at once.
        let (inner, payment) = (Arc::clone(self), known.clone());
        let started =
            self.drivers.spawn_on(async move { inner.start_delivery(&payment).await }, &self.runtime).await;
        started.unwrap_or_else(|error| {
            tracing::error!(%error, "delivery task failed");
            Some(not_now("ledger"))
        })
    }

    /// Registers the run here before the ledger is asked to grant it, so that
    /// the sweep can tell a run that somebody works on from one that got lost.
    async fn start_delivery(self: &Arc<Self>, known: &Payment) -> Option<PayOutcome> {
        // Another copy in this process is just starting, running or ending it.
        let running = self.runs.begin(&known.id)?;
        failpoint::hit("before_delivery").await;
        let now_ms = self.context.clock.now_ms();
        let started = self.context.ledger.start_delivery(&known.id, self.limits.runs, now_ms).await;
        failpoint::hit("after_delivery_started").await;
        let started = match started {
            Err(LedgerError::CommitUnknown(cause)) => {
                self.recover_start(known, LedgerError::CommitUnknown(cause)).await
            }
            started => started,
        };
        match started {
            Ok(DeliveryStart::Run { run }) => {
                let facts = facts(known, run);
                Some(PayOutcome::Granted(Grant::new(facts, receipt(known), Arc::clone(self), running)))
            }
            Ok(DeliveryStart::Running { .. }) => None,
            Ok(DeliveryStart::Delivered(meta)) => Some(self.replay(known, meta.refundable).await),
            Ok(DeliveryStart::Owed) => Some(conflict(ErrorCode::RefundOwed, REFUND_OWED, known)),
            Ok(DeliveryStart::Exhausted { failed, crashed, first }) => {
                if first {
                    self.warn_of_exhausted(known, failed, crashed);
                }
                Some(conflict(ErrorCode::CreditExhausted, &exhausted(failed, crashed), known))
            }
            Err(error) => Some(unavailable(&error)),
        }
    }

    /// Once for each payment: its payer got nothing for it, and nothing will run.
    fn warn_of_exhausted(&self, known: &Payment, failed: u32, crashed: u32) {
        self.context.metrics.delivery("exhausted");
        self.context.metrics.alert(&known.network, "credit_exhausted");
        tracing::error!(payment = %known.id, resource = known.resource, amount = %known.amount, failed, crashed, "this payment has used up its handler runs and bought nothing; refund it (quittance payments list --refundable)");
    }

    /// The start's answer was lost: a run that the ledger shows under way here,
    /// while nobody else in this process may start one, is the one just begun.
    /// If the ledger cannot be read either, the sweep turns it into a credit.
    async fn recover_start(&self, known: &Payment, error: LedgerError) -> Result<DeliveryStart, LedgerError> {
        let running = self.context.ledger.running().await?;
        match running.into_iter().find(|(payment, _)| *payment == known.id) {
            Some((_, run)) => Ok(DeliveryStart::Run { run }),
            None => Err(error),
        }
    }

    /// Landed bytes are public: they prove payment, not identity.
    fn may_see(&self, known: &Known, sale: &Sale) -> bool {
        if let Some(identifier) = known.identifier() {
            return sale.identifier.as_ref() == Some(identifier);
        }
        let first_answer_at_ms = known.payment.first_answer_at_ms;
        first_answer_at_ms
            .is_none_or(|first| self.context.clock.now_ms().saturating_sub(first) <= self.limits.replay_ms)
    }

    /// The answer again, if it is kept.
    async fn replay_kept(&self, known: &Payment) -> Option<PayOutcome> {
        let entry = self.in_flight.entry(known.key);
        let found = entry.answer.ask(self.context.ledger.answer(&known.id)).await;
        match found.map(Arc::unwrap_or_clone) {
            Ok(Some(answer)) => {
                self.context.metrics.delivery("replayed");
                Some(PayOutcome::Answered { payment: known.id.clone(), answer, receipt: receipt(known) })
            }
            Ok(None) => None,
            Err(error) => Some(error.map_or_else(|| not_now("ledger"), |error| unavailable(&error))),
        }
    }

    async fn replay(&self, known: &Payment, refundable: bool) -> PayOutcome {
        self.replay_kept(known).await.unwrap_or_else(|| {
            conflict(
                ErrorCode::ReplayWindowClosed,
                if refundable {
                    "the answer is no longer kept; it was a refusal, or did not reach its client whole: \
                     ask the operator for a refund"
                } else {
                    "the answer is no longer kept"
                },
                known,
            )
        })
    }

    /// Whether a run that ends now counts against the runs that a payment may buy:
    /// not if this process ends it (P6).
    pub(crate) fn end_of_run(&self, revoked: &CancellationToken) -> RunEnd {
        match revoked.is_cancelled() || self.context.stop.is_cancelled() {
            true => RunEnd::Interrupted,
            false => RunEnd::Failed,
        }
    }

    /// The same of a run that nobody ended: its handler panicked, or its task is gone.
    pub(crate) fn end_of_dropped(&self, revoked: &CancellationToken) -> RunEnd {
        match self.end_of_run(revoked) {
            RunEnd::Failed if std::thread::panicking() => RunEnd::Failed,
            _ if self.runs.is_stopping() => RunEnd::Interrupted,
            // A server whose stop nobody announced, or a worker that died.
            RunEnd::Failed => RunEnd::Crashed,
            end => end,
        }
    }

    /// The ledger may have taken the answer although it did not say so: whoever is
    /// sent away without it must find it when it calls again and signs anew (P7).
    pub(crate) async fn note_sent_away(&self, payment: &PaymentId) {
        let now_ms = self.context.clock.now_ms();
        if let Err(error) = self.context.ledger.note_pending_answer(payment, now_ms).await {
            trouble::note(Trouble::SentAway, "", &error);
        }
    }

    /// running → credited (P6). What cannot be stored now is tried again until
    /// the ledger answers: a run that nobody holds would keep its payer waiting.
    pub(crate) async fn credit(self: &Arc<Self>, payment: &PaymentId, run: u32, end: RunEnd, reason: &str) {
        self.context.metrics.delivery("credited");
        if self.try_credit(payment, run, end, reason).await {
            return;
        }
        let (inner, payment, reason) = (Arc::clone(self), payment.clone(), reason.to_owned());
        let again = async move {
            loop {
                tokio::select! {
                    biased;
                    // The next start makes it a credit.
                    () = inner.context.stop.cancelled() => return,
                    () = tokio::time::sleep(CREDIT_RETRY) => {}
                }
                if inner.try_credit(&payment, run, end, &reason).await {
                    return;
                }
            }
        };
        self.drivers.spawn_on(again, &self.runtime);
    }

    /// Whether there is nothing more to do.
    async fn try_credit(&self, payment: &PaymentId, run: u32, end: RunEnd, reason: &str) -> bool {
        let now_ms = self.context.clock.now_ms();
        let credited = self.context.ledger.credit_delivery(payment, run, end, reason, now_ms).await;
        let done = match &credited {
            Ok(_) => true,
            // Somebody ended this run already, or it is no longer ours.
            Err(error) => error.payment().is_some() || matches!(error, LedgerError::Closed),
        };
        if let Err(error) = &credited {
            trouble::note(Trouble::Credit, "", error);
        }
        self.wake(payment).await;
        done
    }

    /// The window begins once the ledger has taken it down: one that never begins leaves
    /// the answer to whoever reads the chain (P1).
    pub(crate) fn answer_sent(self: &Arc<Self>, payment: &PaymentId) {
        let (inner, payment) = (Arc::clone(self), payment.clone());
        let marking = async move {
            let mut pause = MARK_RETRY;
            for _ in 0..MARK_TRIES_MAX {
                // The time of this try: the ledger holds it against the lease.
                let now_ms = inner.context.clock.now_ms();
                match inner.context.ledger.mark_answer_sent(&payment, now_ms).await {
                    Ok(()) | Err(LedgerError::Closed) => return,
                    Err(error) => trouble::note(Trouble::ReplayWindow, "", &error),
                }
                tokio::select! {
                    biased;
                    () = inner.context.stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = pause.saturating_mul(2);
            }
            tracing::error!(%payment, "the replay window is not marked: its answer is replayed until it is");
        };
        // Not at the connection's worker, which a stop ends.
        self.drivers.spawn_on(marking, &self.runtime);
    }

    /// Wakes copies of a payment that wait for its delivery.
    pub(crate) async fn wake(&self, id: &PaymentId) {
        if let Ok(Some(payment)) = self.context.ledger.payment(id).await {
            self.in_flight.entry(payment.key).announce();
        }
    }
}

fn exhausted(failed: u32, crashed: u32) -> String {
    let ends = match crashed {
        0 => format!("failed {failed} times"),
        _ => format!("failed {failed} times and ended {crashed} times with its process"),
    };
    format!("the handler {ends}; it runs no more for this payment. Ask the operator for a refund")
}

fn facts(known: &Payment, run: u32) -> PaidFacts {
    PaidFacts {
        payment_id: known.id.clone(),
        request_id: known.request_id.clone(),
        payer: known.payer.clone(),
        amount: known.amount,
        service: known.service,
        network: known.network.clone(),
        transaction: known.transaction.clone().unwrap_or_default(),
        run,
    }
}
