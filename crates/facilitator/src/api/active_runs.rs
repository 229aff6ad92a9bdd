//! Handler runs of this process.
//!
//! The ledger says which runs are granted. This list says which of them somebody
//! here works on, so that a run whose start or end got lost on the way to the
//! ledger is found; and it ends them all when the process may no longer act.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quittance_protocol::PaymentId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// All runs of this process.
#[derive(Default)]
pub(crate) struct ActiveRuns {
    open: Mutex<BTreeSet<PaymentId>>,
    /// Cancelled when the lease is gone; replaced at once for runs that begin later.
    life: Mutex<CancellationToken>,
    /// No run begins without a lease: nothing would end it in time.
    closed: AtomicBool,
    /// The server is about to stop.
    stopping: AtomicBool,
    /// A run is over.
    ended: Notify,
}

/// The right to start, and to be, the payment's run in this process.
pub(crate) struct Running {
    runs: Arc<ActiveRuns>,
    payment: PaymentId,
    revoked: CancellationToken,
}

impl ActiveRuns {
    /// Registers a run before the ledger is asked to grant it; `None` while this
    /// process has one of the payment, or no lease to speak of.
    pub(crate) fn begin(self: &Arc<Self>, payment: &PaymentId) -> Option<Running> {
        // In this order, or a run could begin just behind the end of all others.
        let revoked = self.life.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let fresh = self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(payment.clone());
        fresh.then(|| Running { runs: Arc::clone(self), payment: payment.clone(), revoked })
    }

    /// Whether somebody here works on the payment's run.
    pub(crate) fn is_open(&self, payment: &PaymentId) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(payment)
    }

    /// Ends every run, and lets none begin until [`Self::reopen`]: others may
    /// start them again from now on (P1).
    pub(crate) fn revoke_all(&self) {
        self.closed.store(true, Ordering::Release);
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *life).cancel();
    }

    /// What is cut off from now on was cut off by us.
    pub(crate) fn stop_begins(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Resolves when nothing is open.
    pub(crate) async fn all_ended(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // Before the look: what ends behind it counts.
            ended.as_mut().enable();
            if self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// The lease is kept again: runs may begin.
    pub(crate) fn reopen(&self) {
        self.closed.store(false, Ordering::Release);
    }
}

impl Running {
    /// Fires when the run must end.
    pub(crate) fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runs.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
        self.runs.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_has_one_run_here_and_frees_its_place() {
        let runs = Arc::new(ActiveRuns::default());
        let payment = PaymentId::from_random([1; 16]);
        let run = runs.begin(&payment).unwrap();
        assert!(runs.begin(&payment).is_none());
        assert!(runs.is_open(&payment));
        drop(run);
        assert!(!runs.is_open(&payment));
        assert!(runs.begin(&payment).is_some());
    }

    #[tokio::test]
    async fn a_stop_waits_for_every_run_to_end() {
        let runs = Arc::new(ActiveRuns::default());
        let [one, two] = [1, 2].map(|of| runs.begin(&PaymentId::from_random([of; 16])).unwrap());
        let waiting = Arc::clone(&runs);
        let ended = tokio::spawn(async move { waiting.all_ended().await });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!ended.is_finished());
        drop(two);
        ended.await.unwrap();
        runs.all_ended().await;
    }

    #[test]
    fn runs_begin_again_once_the_lease_is_kept_and_live() {
        let runs = Arc::new(ActiveRuns::default());
        let before = runs.begin(&PaymentId::from_random([1; 16])).unwrap();
        runs.revoke_all();
        assert!(before.revoked().is_cancelled());
        // P1: what began now would outlive the lease, and nobody would end it.
        assert!(runs.begin(&PaymentId::from_random([2; 16])).is_none());
        runs.reopen();
        assert!(!runs.begin(&PaymentId::from_random([2; 16])).unwrap().revoked().is_cancelled());
    }
}
