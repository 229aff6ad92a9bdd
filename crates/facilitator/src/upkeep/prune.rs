//! What is dropped of what is finished, in small steps: bodies of old answers, and what
//! proved payments that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{FinishedPolicy, LedgerError, Pruned, Retention};

use crate::Inner;
use crate::config::LedgerConfig;
use crate::metrics::trouble::{self, Trouble};

/// Pause before it is looked again for answers that are old enough to be dropped.
const PRUNE_PAUSE: Duration = Duration::from_secs(3_600);

/// Pause between two steps of dropping: payments come in between.
const STEP_PAUSE: Duration = Duration::from_millis(250);

/// After a start other things come first.
const FIRST_PAUSE_MAX: Duration = Duration::from_secs(60);

const DAY_MS: u64 = 86_400_000;

/// What of finished payments goes, and how often it is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pruning {
    policy: FinishedPolicy,
    pause: Duration,
}

impl Pruning {
    /// None: everything is kept for good.
    pub(crate) fn new(config: &LedgerConfig) -> Option<Self> {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let keep_ms = ms(config.keep_finished_days.saturating_mul(DAY_MS));
        // Until whoever prunes looks again, nobody else does, unless it is gone for as long.
        let lease_ms = ms(config.prune_pause_seconds.saturating_mul(2_000));
        let policy = FinishedPolicy { keep_ms, lease_ms };
        let pause = Duration::from_secs(config.prune_pause_seconds);
        (config.keep_finished_days > 0).then_some(Self { policy, pause })
    }
}

impl Inner {
    /// Drops bodies of answers that are older than the policy keeps them.
    pub(crate) fn start_pruning(self: &Arc<Self>, policy: Retention) {
        let inner = Arc::clone(self);
        self.drivers.spawn(async move {
            loop {
                let pause = match inner.context.ledger.prune(policy, inner.context.clock.now_ms()).await {
                    Ok(0) => PRUNE_PAUSE,
                    Ok(answers) => {
                        tracing::info!(answers, "dropped old answers");
                        STEP_PAUSE
                    }
                    Err(error) => {
                        trouble::note(Trouble::OldAnswers, "", &error);
                        PRUNE_PAUSE
                    }
                };
                if inner.is_stopped_within(pause).await {
                    return;
                }
            }
        });
    }

    /// Prunes finished payments, one instance of all at a time.
    pub(crate) fn start_pruning_finished(self: &Arc<Self>, pruning: Option<Pruning>) {
        // Seen at zero before it rises.
        self.context.metrics.pruned(0);
        let Some(Pruning { policy, pause }) = pruning else { return };
        let inner = Arc::clone(self);
        self.drivers.spawn(async move {
            if inner.is_stopped_within(pause.min(FIRST_PAUSE_MAX)).await {
                return;
            }
            loop {
                match inner.prune_finished(policy).await {
                    Ok(0) => {}
                    Ok(payments) => tracing::info!(payments, "pruned payments that ended long ago"),
                    Err(error) => trouble::note(Trouble::Pruning, "", &error),
                }
                if inner.is_stopped_within(pause).await {
                    return;
                }
            }
        });
    }

    /// From the oldest payment that has not been pruned to the newest that is old enough.
    async fn prune_finished(&self, policy: FinishedPolicy) -> Result<u64, LedgerError> {
        let context = &self.context;
        let (mut after, mut all) = (None, 0_u64);
        loop {
            match context.ledger.prune_finished(policy, after, context.clock.now_ms()).await? {
                Pruned::Busy => return Ok(all),
                Pruned::Step { payments, next, .. } => {
                    context.metrics.pruned(payments);
                    all = all.saturating_add(payments);
                    after = next;
                }
            }
            if after.is_none() {
                context.metrics.pruning_ended(context.clock.now());
                return Ok(all);
            }
            if self.is_stopped_within(STEP_PAUSE).await {
                return Ok(all);
            }
        }
    }

    async fn is_stopped_within(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => true,
            () = tokio::time::sleep(pause) => false,
        }
    }
}
