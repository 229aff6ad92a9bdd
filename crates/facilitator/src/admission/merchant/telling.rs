//! Telling a foreign server of a success: once.
//!
//! The ledger keeps who may say it; [`Telling`] is that right in this process,
//! from before the answer until its last byte was taken, or it is given up.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{LedgerError, MerchantAnswer, MerchantAnswerEnd, Payment};
use quittance_protocol::PaymentId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::api::active_runs::Running;
use crate::context::failpoint;
use crate::metrics::trouble::{self, Trouble};

/// Pause before an end that could not be stored is tried again.
const END_RETRY: Duration = Duration::from_millis(500);

/// The right to say `success: true` to one asker, who alone holds it.
///
/// It ends in [`Self::taken`]; dropped before that, the success counts as not
/// told: for free if [`Self::give`] was never asked, else as one of the times
/// that it may be said again (`merchants.retell_max`).
pub struct Telling {
    payment: PaymentId,
    holder: String,
    given: bool,
    revoked: CancellationToken,
    /// Where others share the ledger: until when they cannot have taken the
    /// right over, whatever the clock of a process that stood still says.
    until: Option<Instant>,
    home: Option<(Arc<Inner>, Running)>,
}

impl Telling {
    /// Asked right before the answer's first byte of `success: true` goes to the
    /// connection; false if it may not: this process lost its lease on the
    /// ledger, and another may be saying it.
    pub fn give(&mut self) -> bool {
        let in_time = self.until.is_none_or(|until| Instant::now() < until);
        let may = in_time && !self.revoked.is_cancelled();
        self.given |= may;
        may
    }

    /// The connection, still open, took the answer to its last byte.
    pub fn taken(mut self) {
        self.end(MerchantAnswerEnd::Told);
    }

    fn end(&mut self, end: MerchantAnswerEnd) {
        if let Some((home, running)) = self.home.take() {
            home.end_telling(self.payment.clone(), self.holder.clone(), end, running);
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let end = if self.given { MerchantAnswerEnd::Lost } else { MerchantAnswerEnd::Unsaid };
        self.end(end);
    }
}

impl std::fmt::Debug for Telling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telling").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// What becomes of an asker who found the payment settled.
pub(super) enum TellingOutcome {
    /// It may be told.
    Tell(Telling),
    /// Somebody else is told just now, or the ledger does not answer.
    Wait,
    /// Somebody was.
    Told,
}

impl Inner {
    /// Detached: an asker that hangs up while the ledger commits drops the
    /// right, and must not leave it with nobody.
    pub(super) async fn ask_to_tell(self: &Arc<Self>, known: &Payment) -> TellingOutcome {
        if known.merchant_answer_at_ms.is_some() {
            return TellingOutcome::Told;
        }
        let (inner, id) = (Arc::clone(self), known.id.clone());
        let asked = self.drivers.spawn_on(async move { inner.begin_telling(&id).await }, &self.runtime);
        asked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "telling task failed");
            TellingOutcome::Wait
        })
    }

    async fn begin_telling(self: &Arc<Self>, id: &PaymentId) -> TellingOutcome {
        // Registered before the ledger is asked, so that the sweep can tell a
        // telling that somebody holds from one that got lost.
        let Some(running) = self.tellings.begin(id) else { return TellingOutcome::Wait };
        let holder = hex::encode(self.context.random.draw());
        let until = self.context.lease_left().map(|left| Instant::now() + left);
        failpoint::hit("before_merchant_answer").await;
        let (max, now_ms) = (self.limits.tellings_max, self.context.clock.now_ms());
        let begun = self.context.ledger.begin_merchant_answer(id, &holder, max, now_ms).await;
        failpoint::hit("after_merchant_answer").await;
        let revoked = running.revoked().clone();
        let home = Some((Arc::clone(self), running));
        let telling = Telling { payment: id.clone(), holder, given: false, revoked, until, home };
        match begun {
            Ok(MerchantAnswer::Begun { .. }) => TellingOutcome::Tell(telling),
            Ok(MerchantAnswer::Busy) => telling.never(TellingOutcome::Wait),
            Ok(MerchantAnswer::Told) => telling.never(TellingOutcome::Told),
            // It may stand there: dropping it takes it back.
            Err(LedgerError::CommitUnknown(_)) => TellingOutcome::Wait,
            Err(error) => {
                trouble::note(Trouble::Ledger, "", &error);
                telling.never(TellingOutcome::Wait)
            }
        }
    }

    /// In the background, on the runtime that ends last: the answer need not
    /// wait for the ledger. Tried until the ledger answers; a process that dies
    /// before has told nobody, as far as the ledger knows.
    fn end_telling(self: Arc<Self>, id: PaymentId, holder: String, end: MerchantAnswerEnd, running: Running) {
        let (drivers, runtime) = (self.drivers.clone(), self.runtime.clone());
        drivers.spawn_on(
            async move {
                failpoint::hit("before_merchant_told").await;
                while !self.try_end(&id, &holder, end).await {
                    tokio::select! {
                        biased;
                        () = self.context.stop.cancelled() => return,
                        () = tokio::time::sleep(END_RETRY) => {}
                    }
                }
                failpoint::hit("after_merchant_told").await;
                drop(running);
                self.wake(&id).await;
            },
            &runtime,
        );
    }

    /// Whether there is nothing more to do.
    async fn try_end(&self, id: &PaymentId, holder: &str, end: MerchantAnswerEnd) -> bool {
        let now_ms = self.context.clock.now_ms();
        match self.context.ledger.end_merchant_answer(id, holder, end, now_ms).await {
            Ok(_) | Err(LedgerError::Closed) => true,
            Err(error) => {
                trouble::note(Trouble::Telling, "", &error);
                false
            }
        }
    }

    /// Ends tellings that the ledger shows under way here and nobody holds: their
    /// begin's answer was lost, and nothing was said.
    pub(crate) async fn sweep_tellings(self: &Arc<Self>) -> Result<(), LedgerError> {
        for (id, holder) in self.context.ledger.merchant_answers_begun().await? {
            if let Some(running) = self.tellings.begin(&id) {
                tracing::warn!(payment = %id, "nobody holds this telling; it is given up");
                Arc::clone(self).end_telling(id, holder, MerchantAnswerEnd::Unsaid, running);
            }
        }
        Ok(())
    }
}

impl Telling {
    /// There is nothing to end.
    fn never(mut self, outcome: TellingOutcome) -> TellingOutcome {
        self.home = None;
        outcome
    }
}
