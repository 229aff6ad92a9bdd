//! A wallet's lane that panics again and again is made anew, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use quittance_facilitator::Defect;
use quittance_sim::{Plan, run};

const SEEDS: u64 = 150;

/// Lanes that broke.
static BROKEN: AtomicU64 = AtomicU64::new(0);

/// Whatever it was doing: a payment that is reserved, signed, recorded, sent or over, a slot that
/// is being filled. The first life of a lane here lasts for a dozen effects, each later one for
/// twice as many: one that broke at every turn would keep what it has from ending at all.
#[test]
fn lanes_that_panic_break_no_promise() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.payload().downcast_ref::<&str>() {
        Some(&"a lane that breaks") => {
            BROKEN.fetch_add(1, Ordering::SeqCst);
        }
        _ => before(panic),
    }));
    for seed in 0..SEEDS {
        let plan = Plan { lane: Some(Defect::Breaks), ..Plan::of_seed(seed, None) };
        let report = run(plan, false).unwrap();
        assert!(report.violations.is_empty(), "seed {seed}: {:?}", report.violations);
    }
    let broken = BROKEN.load(Ordering::SeqCst);
    assert!(broken > SEEDS, "too few lanes broke: {broken}");
}
