//! Kept answers (P6): from a run's draft to whoever may replay it, and what is
//! deleted of those that nobody needs.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use quittance_answers::{
    AnswerKey, Draft, DraftReader, Register, StoreError, StoredAnswerReader, StoredObject,
};
use quittance_ledger::{AnswerObject, LedgerError, StoredAnswer};

use crate::api::{Grant, PaidFacts};
use crate::context::failpoint;
use crate::metrics::trouble::{self, Trouble};
use crate::{Facilitator, FacilitatorError, Inner};

/// Pause before the end of a run that could not be stored is tried again.
const FINISH_RETRY: Duration = Duration::from_secs(1);

/// How often it is tried: a run that completed is not run again because the
/// ledger was out for a moment.
const FINISH_TRIES: u32 = 30;

/// Pause between two looks for objects that nobody needs.
pub(crate) const LEFTOVER_PAUSE: Duration = Duration::from_secs(15);

impl Facilitator {
    /// A draft of the grant's answer: its writer, and the reader of the client
    /// that waits for it.
    pub fn draft(&self, grant: &Grant) -> (Draft, DraftReader) {
        let inner = &self.inner;
        let mut key = [0; 32];
        let (front, back) = key.split_at_mut(16);
        front.copy_from_slice(&inner.context.random.draw());
        back.copy_from_slice(&inner.context.random.draw());
        let name = inner.context.random.draw();
        inner.answers.draft(name, AnswerKey::new(key), register(inner, grant.paid()))
    }

    /// Reads a kept answer's body. An error means that this process cannot reach
    /// it now, never that it is gone.
    pub async fn read_answer(
        &self,
        object: &AnswerObject,
        range: Range<u64>,
    ) -> Result<StoredAnswerReader, StoreError> {
        let AnswerObject { name, key, bytes } = object.clone();
        let read =
            self.inner.answers.read(StoredObject { name, key: AnswerKey::new(key), bytes }, range).await;
        if let Err(error) = &read {
            // With several replicas: a folder that they do not share.
            trouble::note(Trouble::ObjectUnread, "", error);
            self.inner.context.metrics.delivery("unreachable");
        }
        read
    }

    /// How long one reader may take once its answer is complete.
    pub fn reader_max(&self) -> Duration {
        self.inner.answers.limits().reader_max
    }

    /// The handler's final answer: durable before it is released (P1, P6).
    pub async fn finish(&self, grant: Grant, answer: StoredAnswer) -> Result<(), FacilitatorError> {
        let inner = &self.inner;
        let revoked = grant.revocation().clone();
        let (facts, _running) = grant.redeem();
        failpoint::hit("before_delivered").await;
        let stored = inner.finish(&facts, &answer, revoked.cancelled()).await;
        failpoint::hit("after_delivered").await;
        match stored {
            Ok(()) => {
                let outcome = if answer.truncated { "not_kept" } else { "delivered" };
                inner.context.metrics.delivery(outcome);
                if let Some(usage) = &answer.usage {
                    inner.context.metrics.usage(usage);
                }
            }
            Err(error) => {
                tracing::error!(payment = %facts.payment_id, %error, "an answer is not stored");
                let end = inner.end_of_run(&revoked);
                let why = "the answer could not be stored";
                inner.credit(&facts.payment_id, facts.run, end, why).await;
                inner.note_sent_away(&facts.payment_id).await;
                return Err(error.into());
            }
        }
        inner.wake(&facts.payment_id).await;
        Ok(())
    }
}

/// The ledger has name and key before the store has the first object.
fn register(inner: &Arc<Inner>, facts: &PaidFacts) -> Register {
    let (inner, payment, run) = (Arc::clone(inner), facts.payment_id.clone(), facts.run);
    Box::new(move |object: StoredObject| {
        async move {
            let now_ms = inner.context.clock.now_ms();
            let key = *object.key.expose_bytes();
            let begun =
                inner.context.ledger.begin_answer_object(&payment, run, &object.name, key, now_ms).await;
            if let Err(error) = &begun {
                trouble::note(Trouble::ObjectUnbegun, "", error);
            }
            failpoint::hit("after_object_begun").await;
            begun.is_ok()
        }
        .boxed()
    })
}

impl Inner {
    /// running → delivered, again until the ledger has it or says no.
    async fn finish(
        &self,
        facts: &PaidFacts,
        answer: &StoredAnswer,
        revoked: impl Future<Output = ()>,
    ) -> Result<(), LedgerError> {
        tokio::pin!(revoked);
        let mut tries = 0_u32;
        loop {
            let now_ms = self.context.clock.now_ms();
            let ended =
                self.context.ledger.finish_delivery(&facts.payment_id, facts.run, answer, now_ms).await;
            let Err(error) = ended else { return Ok(()) };
            // The answer to an earlier try was lost, not its commit.
            if self.has_finished(facts).await {
                return Ok(());
            }
            tries = tries.saturating_add(1);
            let may_work = error.retry() || matches!(error, LedgerError::CommitUnknown(_));
            if !may_work || tries >= FINISH_TRIES || self.context.stop.is_cancelled() {
                return Err(error);
            }
            trouble::note(Trouble::AnswerUnstored, "", &error);
            tokio::select! {
                biased;
                // Somebody else may have the run by now.
                () = &mut revoked => return Err(error),
                () = tokio::time::sleep(FINISH_RETRY) => {}
            }
        }
    }

    async fn has_finished(&self, facts: &PaidFacts) -> bool {
        match self.context.ledger.payment(&facts.payment_id).await {
            Ok(Some(payment)) => payment.delivery.is_completed() && payment.runs == facts.run,
            _ => false,
        }
    }

    /// Deletes what no kept answer needs: objects of runs that failed or died, of
    /// pruned and of erased answers.
    pub(crate) async fn clear_leftovers(&self) -> Result<(), LedgerError> {
        let ledger = &self.context.ledger;
        self.answers.set_kept_bytes(ledger.kept_object_bytes().await?);
        self.context.metrics.kept_bytes(self.answers.used_bytes(), self.answers.limits().total_bytes_max);
        for left in ledger.leftover_objects(self.context.clock.now_ms()).await? {
            if left.has_key {
                // A live reader is still on its way through the beginning.
                if self.answers.is_open(&left.name) {
                    continue;
                }
                ledger.drop_answer_object(&left.name, self.context.clock.now_ms()).await?;
            }
            match self.answers.delete(&left.name).await {
                Ok(()) => ledger.note_object_deleted(&left.name, self.context.clock.now_ms()).await?,
                Err(error) => {
                    trouble::note(Trouble::ObjectKept, "", &error);
                }
            }
        }
        Ok(())
    }
}
