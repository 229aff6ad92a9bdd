//! What a running process does again and again: keeps its lease, takes over what
//! dead ones left, and finds what nobody here works on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use quittance_ledger::{LedgerError, Payment, RunEnd};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Inner;
use crate::context::RUNS_END_AFTER_SIXTHS;
use crate::metrics::trouble::{self, Trouble};
use crate::settle::Driver;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

/// Heartbeats per lease.
pub(crate) const BEATS_PER_LEASE: u32 = 3;

/// A clock that is further from the database's is warned about at each heartbeat.
const CLOCK_SKEW_MS_MAX: i64 = 2_000;

/// Keeps the lease, and finds what nobody works on.
struct Lease {
    inner: Arc<Inner>,
    /// When the last heartbeat that was taken began.
    beat: Arc<watch::Sender<Instant>>,
}

impl Task for Lease {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            trouble::tell_ended();
            let (inner, begun) = (&self.inner, Instant::now());
            let now_ms = inner.context.clock.now_ms();
            inner.keep_lease(now_ms).await.map_err(|error| TurnFailed::new(Trouble::Heartbeat, &error))?;
            inner.check_clock();
            inner.runs.reopen();
            inner.tellings.reopen();
            self.beat.send_replace(begun);
            inner.sweep(now_ms).await.map_err(|error| TurnFailed::new(Trouble::Sweep, &error))?;
            Ok(Next::Period)
        })
    }
}

impl Inner {
    /// Boot: every unfinished payment goes on (P2), every run that died with a
    /// process becomes a credit (P6).
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), LedgerError> {
        self.context.ledger.adopt_orphans(self.context.clock.now_ms()).await?;
        for payment in self.context.ledger.unfinished().await? {
            self.resume_one(payment).await?;
        }
        Ok(())
    }

    async fn resume_one(self: &Arc<Self>, payment: Payment) -> Result<(), LedgerError> {
        let Some(net) = self.net(payment.network.as_str()) else {
            tracing::error!(payment = %payment.id, network = %payment.network, "unfinished payment on a network that is not configured");
            return Ok(());
        };
        let entry = self.in_flight.entry(payment.key);
        if entry.is_driven() {
            return Ok(());
        }
        let Some(verified) = self.context.stored.revive(net.chain.decode(), &payment) else { return Ok(()) };
        tracing::info!(payment = %payment.id, state = %payment.state, "resuming");
        let of = (Arc::clone(&net), self.dispatch(&net));
        let driver = Driver::resumed(Arc::clone(&self.context), of, payment, verified, entry).await?;
        self.drivers.spawn(driver.run());
        Ok(())
    }

    /// Keeps this process's lease, takes over what dead ones left, and drives
    /// what nobody drives: a claim, or the start of a run, whose commit worked
    /// although its answer was lost and the ledger could not be read either.
    pub(crate) fn start_heartbeat(self: &Arc<Self>, lease: Duration) {
        let beat = watch::Sender::new(Instant::now());
        if self.context.ledger.lease_ms().is_some() {
            // The lease runs since the ledger was opened, which may be long ago by
            // now: no run begins before the first heartbeat.
            self.revoke_all();
            self.drivers.spawn(Arc::clone(self).end_runs_without_lease(beat.subscribe(), lease));
        }
        let (inner, beat) = (Arc::clone(self), Arc::new(beat));
        self.upkeep.start(Kind::new("lease", lease / BEATS_PER_LEASE), move || Lease {
            inner: Arc::clone(&inner),
            beat: Arc::clone(&beat),
        });
    }

    /// Windows of authorizations and of tariffs are judged by this host's clock.
    fn check_clock(&self) {
        let Some(skew_ms) = self.context.ledger.clock_skew_ms() else { return };
        self.context.metrics.clock_skew(skew_ms);
        if skew_ms.abs() > CLOCK_SKEW_MS_MAX {
            trouble::note(Trouble::ClockSkew, "", &format_args!("{skew_ms} ms"));
        }
    }

    /// A process that slept longer than its lease comes back with nothing of
    /// its own: another finishes what it had. A driver of its own ends when what
    /// it reserves or records is refused for that, or learns the verdict from the
    /// ledger when it reports its own.
    async fn keep_lease(&self, now_ms: i64) -> Result<(), LedgerError> {
        match self.context.ledger.heartbeat(now_ms).await {
            Err(LedgerError::LeaseLost) => {
                tracing::warn!("the lease on the ledger was lost; joining again");
                // Somebody else may have started them again by now (P1).
                self.revoke_all();
                // Before a payment can be this process's again.
                self.context.rejoined.fetch_add(1, Ordering::SeqCst);
                self.context.ledger.rejoin(now_ms).await
            }
            other => other,
        }
    }

    /// Ends what others may begin again: handler runs, and what merchants are
    /// told; and lets nothing of it begin until the lease is kept again.
    fn revoke_all(&self) {
        self.runs.revoke_all();
        self.tellings.revoke_all();
    }

    /// Ends this process's handler runs before anybody else may start them
    /// again: when the lease was not renewed in time (P1).
    async fn end_runs_without_lease(self: Arc<Self>, mut beat: watch::Receiver<Instant>, lease: Duration) {
        let grace = lease.saturating_mul(RUNS_END_AFTER_SIXTHS) / 6;
        loop {
            let kept = *beat.borrow_and_update();
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return,
                changed = beat.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(kept + grace) => {}
            }
            tracing::warn!("no heartbeat for most of the lease; ending handler runs");
            self.revoke_all();
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return,
                changed = beat.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn sweep(self: &Arc<Self>, now_ms: i64) -> Result<(), LedgerError> {
        self.context.ledger.adopt_orphans(now_ms).await?;
        for payment in self.context.ledger.unfinished().await? {
            self.resume_one(payment).await?;
        }
        for (payment, run) in self.context.ledger.running().await? {
            // A run is on the list here before the ledger grants it, so one that
            // is not has nobody who could end it.
            if !self.runs.is_open(&payment) {
                tracing::warn!(%payment, run, "nobody works on this run; it becomes a credit");
                self.credit(&payment, run, RunEnd::Interrupted, "nobody worked on the run").await;
            }
        }
        self.sweep_tellings().await
    }
}
