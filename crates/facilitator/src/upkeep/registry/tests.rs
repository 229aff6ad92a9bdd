use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const PERIOD: Duration = Duration::from_secs(10);

/// Does at each turn what its plan says.
struct Planned {
    turns: Arc<AtomicU64>,
    /// Turns since this one was made.
    own: u64,
    plan: fn(u64, u64) -> Does,
}

enum Does {
    Well,
    Fail,
    Panic,
    Hang,
    NotDue,
    Soon,
    FailSoon,
}

impl Task for Planned {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        self.own += 1;
        let does = (self.plan)(turn, self.own);
        Box::pin(async move {
            match does {
                Does::Well => Ok(Next::Period),
                Does::Soon => Ok(Next::After(Duration::from_secs(1))),
                Does::NotDue => Ok(Next::NotDue(PERIOD)),
                Does::Fail => {
                    let error = "https://node.test/secretsecretsecret0123456789 does not answer";
                    Err(TurnFailed::new(Trouble::Finality, &error))
                }
                Does::FailSoon => {
                    Err(TurnFailed::new(Trouble::Tariff, &"no rate").after(Duration::from_secs(1)))
                }
                Does::Panic => panic!("index out of bounds"),
                Does::Hang => std::future::pending().await,
            }
        })
    }
}

struct Bench {
    registry: Registry,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let start = Instant::now();
        let clock = Clock::from_fn(move || 1_000_000 + i64::try_from(start.elapsed().as_millis()).unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        let registry = Registry::new(metrics, clock, tracker.clone(), stop.clone());
        Self { registry, tracker, stop }
    }

    fn start(&self, name: &'static str, plan: fn(u64, u64) -> Does) -> Arc<AtomicU64> {
        let turns = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&turns);
        self.registry.start(Kind::new(name, PERIOD), move || Planned {
            turns: Arc::clone(&counted),
            own: 0,
            plan,
        });
        turns
    }

    fn of(&self, name: &str) -> LastRun {
        self.registry.last_runs().into_iter().find(|run| run.task == name).unwrap()
    }

    fn shown(&self, metric: &str) -> f64 {
        let families = self.registry.metrics.registry().gather();
        let family = families.iter().find(|family| family.name() == metric).unwrap();
        family
            .get_metric()
            .iter()
            .map(|one| one.get_gauge().get_value().max(one.get_counter().get_value()))
            .sum()
    }
}

/// The runtime's time stands until all tasks wait: this looks between two turns.
async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_millis(seconds * 1_000 + 500)).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_once_a_period_and_says_when() {
    let bench = Bench::new();
    let turns = bench.start("steady", |_, _| Does::Well);
    after(30).await;
    assert_eq!(turns.load(Ordering::SeqCst), 4);
    let run = bench.of("steady");
    assert_eq!((run.turns, run.failures, run.panics), (4, 0, 0));
    assert_eq!(run.began_at_ms, Some(1_030_000));
    assert_eq!(run.succeeded_at_ms, Some(1_030_000));
    assert_eq!((run.took_ms, run.failure), (Some(0), None));
    assert_eq!(bench.shown("quittance_upkeep_last_success_timestamp_seconds"), 1_030.0);
    assert_eq!(bench.shown("quittance_upkeep_period_seconds"), 10.0);
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again_and_its_words_hold_no_key() {
    let bench = Bench::new();
    let turns = bench.start("failing", |turn, _| if turn < 2 { Does::Fail } else { Does::Well });
    after(10).await;
    let run = bench.of("failing");
    assert_eq!((run.failures, run.succeeded_at_ms), (2, None));
    let words = run.failure.unwrap();
    assert!(words.contains("does not answer") && !words.contains("secretsecret"), "{words}");
    after(10).await;
    assert_eq!(turns.load(Ordering::SeqCst), 3);
    let run = bench.of("failing");
    assert_eq!((run.failures, run.failure), (2, None));
    assert!(run.succeeded_at_ms.is_some());
    assert_eq!(bench.shown("quittance_upkeep_failures_total"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_made_afresh_and_counted() {
    let bench = Bench::new();
    let beside = bench.start("beside", |_, _| Does::Well);
    // Panics at its own second turn: a task that went on would not do so twice.
    let turns = bench.start("panics", |_, own| if own == 2 { Does::Panic } else { Does::Well });
    after(30).await;
    assert_eq!(turns.load(Ordering::SeqCst), 4);
    let run = bench.of("panics");
    assert_eq!((run.turns, run.failures, run.panics), (4, 2, 2));
    assert_eq!(run.failure.as_deref(), Some("index out of bounds"));
    assert_eq!(beside.load(Ordering::SeqCst), 4, "one task's fault stops no other");
    assert_eq!(bench.of("beside").failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_hangs_is_seen_and_stops_no_other() {
    let bench = Bench::new();
    let beside = bench.start("beside", |_, _| Does::Well);
    bench.start("hangs", |turn, _| if turn == 1 { Does::Hang } else { Does::Well });
    after(100).await;
    assert_eq!(beside.load(Ordering::SeqCst), 11);
    let run = bench.of("hangs");
    assert_eq!((run.turns, run.took_ms), (1, None), "a turn is under way");
    assert_eq!((run.began_at_ms, run.succeeded_at_ms), (Some(1_010_000), Some(1_000_000)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_was_not_due_does_not_count() {
    let bench = Bench::new();
    bench.start("idle", |turn, _| if turn == 0 { Does::Fail } else { Does::NotDue });
    after(50).await;
    let run = bench.of("idle");
    assert_eq!((run.turns, run.succeeded_at_ms), (1, None));
    assert!(run.failure.is_some(), "nothing has mended it");
}

#[tokio::test(start_paused = true)]
async fn more_to_do_is_done_soon() {
    let bench = Bench::new();
    let plan = |turn, _| match turn {
        0..2 => Does::FailSoon,
        2..5 => Does::Soon,
        _ => Does::Well,
    };
    let turns = bench.start("busy", plan);
    after(6).await;
    assert_eq!(turns.load(Ordering::SeqCst), 6);
}

/// One that hangs is left after a while, one that only looks at once.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_all() {
    let bench = Bench::new();
    bench.start("waits", |_, _| Does::Well);
    bench.start("hangs", |_, _| Does::Hang);
    let plan = |_, _| Does::Hang;
    let looks = Kind { only_looks: true, ..Kind::new("looks", PERIOD) };
    bench.registry.start(looks, move || Planned { turns: Arc::default(), own: 0, plan });
    after(1).await;
    let before = Instant::now();
    bench.stop.cancel();
    bench.tracker.close();
    tokio::time::timeout(crate::SHUTDOWN_WORK_MAX, bench.tracker.wait()).await.expect("all tasks end");
    assert_eq!(before.elapsed(), STOP_GRACE);
}
