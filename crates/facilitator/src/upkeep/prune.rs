//! What is dropped of what is finished, in small steps: bodies of old answers, and what
//! proved payments that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quittance_ledger::{FinishedPolicy, LedgerError, Pruned, Retention};

use crate::Inner;
use crate::config::LedgerConfig;
use crate::metrics::trouble::Trouble;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

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

/// Drops bodies of answers that are older than the policy keeps them.
struct OldAnswers {
    inner: Arc<Inner>,
    policy: Retention,
}

impl Task for OldAnswers {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            let context = &self.inner.context;
            match context.ledger.prune(self.policy, context.clock.now_ms()).await {
                Ok(0) => Ok(Next::Period),
                Ok(answers) => {
                    tracing::info!(answers, "dropped old answers");
                    Ok(Next::After(STEP_PAUSE))
                }
                Err(error) => Err(TurnFailed::new(Trouble::OldAnswers, &error)),
            }
        })
    }
}

/// Prunes finished payments, one instance of all at a time.
struct FinishedPayments {
    inner: Arc<Inner>,
    policy: FinishedPolicy,
}

impl Task for FinishedPayments {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            let pruned = self.inner.prune_finished(self.policy).await;
            let payments = pruned.map_err(|error| TurnFailed::new(Trouble::Pruning, &error))?;
            if payments > 0 {
                tracing::info!(payments, "pruned payments that ended long ago");
            }
            Ok(Next::Period)
        })
    }
}

impl Inner {
    pub(crate) fn start_pruning(self: &Arc<Self>, policy: Retention) {
        let inner = Arc::clone(self);
        let kind = Kind::new("old_answers", PRUNE_PAUSE);
        self.upkeep.start(kind, move || OldAnswers { inner: Arc::clone(&inner), policy });
    }

    pub(crate) fn start_pruning_finished(self: &Arc<Self>, pruning: Option<Pruning>) {
        // Seen at zero before it rises.
        self.context.metrics.pruned(0);
        let Some(Pruning { policy, pause }) = pruning else { return };
        let inner = Arc::clone(self);
        let kind = Kind { first: pause.min(FIRST_PAUSE_MAX), ..Kind::new("pruning", pause) };
        self.upkeep.start(kind, move || FinishedPayments { inner: Arc::clone(&inner), policy });
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
