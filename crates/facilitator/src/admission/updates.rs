//! Waiting for what becomes of a payment on record: at the gate, `/settle` and `/verify`.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{LedgerError, Payment};
use tokio::time::Instant;

use crate::Inner;
use crate::admission::copies::SHARED_FOR;
use crate::in_flight::entries::{Changes, PaymentEntry, Reading};
use crate::metrics::trouble::{self, Trouble};

/// How often a waiter rereads the ledger when nobody in this process announces
/// anything: another replica may own the payment, or be telling of it.
const REREAD_PAUSE: Duration = Duration::from_millis(500);

/// What one waiter has not heard yet of a payment.
pub(crate) struct Updates {
    entry: Arc<PaymentEntry>,
    changes: Changes,
    until: Instant,
}

impl Updates {
    /// From now on, until then.
    pub(crate) fn of(entry: &Arc<PaymentEntry>, until: Instant) -> Self {
        Self { entry: Arc::clone(entry), changes: entry.subscribe(), until }
    }

    /// Whether nobody waits any longer.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// The payment as it stands once something may have changed, or at the end.
    pub(crate) async fn next(&mut self, inner: &Inner, known: Payment) -> Payment {
        let pause = tokio::time::sleep_until(self.until.min(Instant::now() + REREAD_PAUSE));
        tokio::select! {
            biased;
            _ = self.changes.changed() => {}
            () = pause => {}
        }
        match inner.reread(&self.entry, &known, self.until).await {
            Ok(Some(fresh)) => fresh,
            Ok(None) => known,
            Err(error) => {
                trouble::note(Trouble::Reread, "", &error);
                known
            }
        }
    }
}

impl Inner {
    /// The payment as the ledger has it now; `None` if it has none, or does not say
    /// until then.
    async fn reread(
        &self,
        entry: &PaymentEntry,
        known: &Payment,
        until: Instant,
    ) -> Result<Option<Payment>, LedgerError> {
        // A ledger that hangs is waited for together, and no longer than anybody waits.
        let Ok(mut reading) = tokio::time::timeout_at(until, entry.reading.lock()).await else {
            return Ok(None);
        };
        let announced = entry.announced();
        if let Some(last) = &*reading
            && last.announced == announced
            && last.payment.id == known.id
            && last.at.elapsed() < SHARED_FOR
        {
            return Ok(Some(last.payment.clone()));
        }
        let at = Instant::now();
        let fresh = self.context.ledger.payment(&known.id).await?;
        *reading = fresh.clone().map(|payment| Reading { at, announced, payment });
        Ok(fresh)
    }
}
