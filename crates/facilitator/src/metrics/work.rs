//! How background work goes, and how long the ledger takes.

use std::future::Future;
use std::sync::Arc;

use prometheus::{GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use quittance_ledger::{Call, Hook, LedgerError, Operation};
use quittance_protocol::UnixSeconds;
use tokio::time::Instant;

/// Upper bounds in seconds of the histogram of ledger operations.
const OPERATION_BUCKETS: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0];

/// Background work, by task and network.
pub(crate) struct UpkeepMetrics {
    last_success: GaugeVec,
    period: GaugeVec,
    failures: IntCounterVec,
}

impl UpkeepMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let metric = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let failures = IntCounterVec::new(
            Opts::new(
                "quittance_upkeep_failures_total",
                "Turns of background work that came to nothing, by task: failed, or panicked",
            ),
            &["task", "network", "kind"],
        )?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self {
            last_success: gauge(
                "quittance_upkeep_last_success_timestamp_seconds",
                "When a turn of background work last ended well, Unix time; at first the start of the process",
                &["task", "network"],
            )?,
            period: gauge(
                "quittance_upkeep_period_seconds",
                "Pause between two turns of background work",
                &["task", "network"],
            )?,
            failures,
        })
    }

    /// Display values.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn introduce(&self, task: &str, network: &str, period_seconds: u64, now: UnixSeconds) {
        self.last_success.with_label_values(&[task, network]).set(now as f64);
        self.period.with_label_values(&[task, network]).set(period_seconds as f64);
        for kind in ["failed", "panicked"] {
            self.failures.with_label_values(&[task, network, kind]);
        }
    }

    /// A display value.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn succeeded(&self, task: &str, network: &str, now: UnixSeconds) {
        self.last_success.with_label_values(&[task, network]).set(now as f64);
    }

    pub(crate) fn failed(&self, task: &str, network: &str, panicked: bool) {
        let kind = if panicked { "panicked" } else { "failed" };
        self.failures.with_label_values(&[task, network, kind]).inc();
    }
}

/// How long each operation of the ledger takes, its wait for a turn included.
#[derive(Clone)]
pub(crate) struct LedgerLatency(Arc<[Histogram]>);

impl LedgerLatency {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "quittance_ledger_operation_seconds",
                "From asking the ledger for an operation to its answer",
            )
            .buckets(OPERATION_BUCKETS.to_vec()),
            &["operation"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let of = |operation: &Operation| seconds.with_label_values(&[operation.name()]);
        Ok(Self(Operation::ALL.iter().map(of).collect()))
    }
}

impl Hook for LedgerLatency {
    type Kept = Operation;

    fn before(&self, call: Call<'_, '_>) -> Result<Operation, LedgerError> {
        Ok(call.operation())
    }

    async fn around<T: Send + 'static>(
        &self,
        operation: Operation,
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        let begun = Instant::now();
        let answer = run.await;
        if let Some(seconds) = self.0.get(operation as usize) {
            seconds.observe(begun.elapsed().as_secs_f64());
        }
        answer
    }
}
