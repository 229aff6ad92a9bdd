//! What is written to the log while something is away and a crowd pays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::reply::Reply;
use super::{call, paid, saying};
use crate::testing::{Double, gate};

/// Counts what an operator sees.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() <= Level::WARN {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line for each payment would fill the disk beside the trouble itself; each is counted, and each
/// payment's journal says what became of it.
#[tokio::test]
async fn a_crowd_before_a_handler_or_a_ledger_that_is_down_writes_a_few_lines() {
    let lines = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    for _ in 0..200 {
        let double = Arc::new(Double::default());
        let answer = call(&saying(gate(&double), || Reply::of(502).body("down")), paid("/gen")).await;
        assert_eq!(answer.header("payment-state"), Some("credited"));
        let double = Arc::new(Double::default());
        double.ledger_down.store(true, Ordering::SeqCst);
        let answer = call(&saying(gate(&double), || Reply::ok().body("goods")), paid("/gen")).await;
        assert_eq!(answer.status, 503);
    }
    let written = lines.load(Ordering::SeqCst);
    assert!(written <= 4, "{written} lines for 400 payments");
}
