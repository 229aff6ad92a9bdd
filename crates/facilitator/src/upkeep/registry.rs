//! All background work of a process, with the last run of each.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use quittance_protocol::foreign_words;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::clock::Clock;
use crate::context::look::panic_words;
use crate::metrics::Metrics;
use crate::metrics::trouble::{self, Trouble};

/// A turn that is under way when the process stops gets this long: less than
/// [`SHUTDOWN_WORK_MAX`](crate::SHUTDOWN_WORK_MAX), for one that hangs must not hold up the rest.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Work that is done again and again. What it remembers between turns is lost
/// with a panic: it is made afresh, as at a start.
pub(crate) trait Task: Send + 'static {
    /// One turn. Whatever it did not get done, the next one finds.
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>>;
}

/// When the next turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// After the task's period.
    Period,
    /// Sooner: there is more to do.
    After(Duration),
    /// After this long, and this turn did not count: nothing was due.
    NotDue(Duration),
}

/// Why a turn came to nothing.
pub(crate) struct TurnFailed {
    trouble: Trouble,
    words: String,
    /// When the next turn is, if not after the task's period.
    pause: Option<Duration>,
}

impl TurnFailed {
    /// In the words of the error, without keys.
    pub(crate) fn new(trouble: Trouble, error: &dyn Display) -> Self {
        Self { trouble, words: foreign_words(&error.to_string()), pause: None }
    }

    /// The next turn is after this long.
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self { pause: Some(pause), ..self }
    }
}

/// What a task is called, and when it runs.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// One fixed word: a metric's label.
    pub(crate) name: &'static str,
    /// The network that it is about; empty for the process as a whole.
    pub(crate) network: String,
    /// Pause between two turns.
    pub(crate) period: Duration,
    /// Pause before the first one.
    pub(crate) first: Duration,
    /// It changes nothing and may be left in the middle when the process stops.
    pub(crate) only_looks: bool,
}

impl Kind {
    /// Of the process, at once and then after each period.
    pub(crate) fn new(name: &'static str, period: Duration) -> Self {
        Self { name, network: String::new(), period, first: Duration::ZERO, only_looks: false }
    }

    /// The same, for one network.
    pub(crate) fn of(name: &'static str, network: &quittance_protocol::Network, period: Duration) -> Self {
        Self { network: network.to_string(), ..Self::new(name, period) }
    }
}

/// How the turns of one task go.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LastRun {
    /// Which task.
    pub task: &'static str,
    /// The network that it is about; empty for the process as a whole.
    pub network: String,
    /// Seconds between two turns.
    pub period_seconds: u64,
    /// Since when it is done, Unix milliseconds.
    pub started_at_ms: i64,
    /// When the last turn began.
    pub began_at_ms: Option<i64>,
    /// How long it took; none while it is under way.
    pub took_ms: Option<u64>,
    /// When a turn last ended well.
    pub succeeded_at_ms: Option<i64>,
    /// Turns that counted, however they ended.
    pub turns: u64,
    /// Of them, those that failed.
    pub failures: u64,
    /// Of those, the ones that panicked: the task was made afresh.
    pub panics: u64,
    /// In which words the last turn failed; none if it ended well.
    pub failure: Option<String>,
}

type Runs = BTreeMap<(&'static str, String), LastRun>;

/// Starts tasks and knows how each of them goes.
#[derive(Clone)]
pub(crate) struct Registry {
    runs: Arc<Mutex<Runs>>,
    metrics: Arc<Metrics>,
    clock: Clock,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Registry {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        clock: Clock,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { runs: Arc::default(), metrics, clock, tracker, stop }
    }

    /// By task and network.
    pub(crate) fn last_runs(&self) -> Vec<LastRun> {
        self.runs().values().cloned().collect()
    }

    /// Runs a task until the process stops. One task's fault is its own: a turn that
    /// fails is tried again, one that panics as well, on a task that `make` made anew.
    pub(crate) fn start<T: Task>(&self, kind: Kind, make: impl FnMut() -> T + Send + 'static) {
        let known = LastRun {
            task: kind.name,
            network: kind.network.clone(),
            period_seconds: kind.period.as_secs().max(1),
            started_at_ms: self.clock.now_ms(),
            began_at_ms: None,
            took_ms: None,
            succeeded_at_ms: None,
            turns: 0,
            failures: 0,
            panics: 0,
            failure: None,
        };
        self.metrics.upkeep().introduce(kind.name, &kind.network, known.period_seconds, self.clock.now());
        self.runs().insert((kind.name, kind.network.clone()), known);
        self.tracker.spawn(self.clone().run(kind, make));
    }

    async fn run<T: Task>(self, kind: Kind, mut make: impl FnMut() -> T + Send + 'static) {
        let mut task = make();
        let mut pause = kind.first;
        loop {
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            let (begun, was_stopping) = (Instant::now(), self.stop.is_cancelled());
            self.begins(&kind);
            let turn = AssertUnwindSafe(task.turn()).catch_unwind();
            let ended = tokio::select! {
                biased;
                ended = turn => ended,
                () = self.is_left(kind.only_looks) => return,
            };
            let took = begun.elapsed();
            pause = match ended {
                Ok(Ok(Next::NotDue(pause))) => {
                    self.was_not_due(&kind);
                    pause
                }
                Ok(Ok(next)) => {
                    self.ends(&kind, took, None);
                    if let Next::After(pause) = next { pause } else { kind.period }
                }
                Ok(Err(TurnFailed { trouble, words, pause })) => {
                    trouble::note(trouble, &kind.network, &words);
                    self.ends(&kind, took, Some(Fault { panicked: false, words }));
                    pause.unwrap_or(kind.period)
                }
                Err(panic) => {
                    let words = panic_words(&*panic);
                    tracing::error!(
                        task = kind.name,
                        network = kind.network,
                        words,
                        "background work panicked"
                    );
                    self.ends(&kind, took, Some(Fault { panicked: true, words }));
                    task = make();
                    // Never at once: what panics at each turn would take a processor.
                    kind.period
                }
            };
            // What follows its own turns at once has work under way between them: another turn
            // hears of the stop and brings it to an end.
            if self.stop.is_cancelled() && (was_stopping || !pause.is_zero()) {
                return;
            }
        }
    }

    /// The process stops, and the turn under way is not waited for any longer.
    async fn is_left(&self, only_looks: bool) {
        self.stop.cancelled().await;
        if !only_looks {
            tokio::time::sleep(STOP_GRACE).await;
        }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, kind: &Kind, change: impl FnOnce(&mut LastRun)) {
        if let Some(run) = self.runs().get_mut(&(kind.name, kind.network.clone())) {
            change(run);
        }
    }

    fn begins(&self, kind: &Kind) {
        let now_ms = self.clock.now_ms();
        self.change(kind, |run| (run.began_at_ms, run.took_ms) = (Some(now_ms), None));
    }

    fn was_not_due(&self, kind: &Kind) {
        self.change(kind, |run| run.took_ms = Some(0));
    }

    fn ends(&self, kind: &Kind, took: Duration, fault: Option<Fault>) {
        let now_ms = self.clock.now_ms();
        match &fault {
            None => self.metrics.upkeep().succeeded(kind.name, &kind.network, self.clock.now()),
            Some(fault) => self.metrics.upkeep().failed(kind.name, &kind.network, fault.panicked),
        }
        self.change(kind, |run| {
            run.took_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            run.turns = run.turns.saturating_add(1);
            match fault {
                None => (run.succeeded_at_ms, run.failure) = (Some(now_ms), None),
                Some(Fault { panicked, words }) => {
                    run.failures = run.failures.saturating_add(1);
                    run.panics = run.panics.saturating_add(u64::from(panicked));
                    run.failure = Some(words);
                }
            }
        });
    }
}

struct Fault {
    panicked: bool,
    words: String,
}

#[cfg(test)]
mod tests;
