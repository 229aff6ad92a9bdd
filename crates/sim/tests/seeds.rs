//! Seeds: the same one is the same story, and none of them breaks a promise.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use quittance_sim::stats::cells;
use quittance_sim::{Plan, Totals, play, run};

const SEEDS: u64 = 1_000;

/// Seeds that are played twice.
const TWICE: u64 = 40;

#[test]
fn a_seed_is_a_whole_story() {
    for seed in 0..TWICE {
        let (once, again) = (play(seed, None), play(seed, None));
        assert_eq!(
            (once.hash, once.events, &once.faults),
            (again.hash, again.events, &again.faults),
            "seed {seed}"
        );
        let traced = run(Plan::of_seed(seed, None), true).unwrap();
        assert_eq!(once.hash, traced.hash, "seed {seed}: looking at it changes nothing");
        assert!(!traced.trace.is_empty());
    }
    assert_ne!(play(1, None).hash, play(2, None).hash);
}

#[test]
fn a_thousand_seeds_keep_every_promise() {
    let mut totals = Totals::default();
    for seed in 0..SEEDS {
        totals.add(seed, play(seed, None));
    }
    assert!(totals.failed.is_empty(), "{:?}", totals.failed);
    assert!(totals.disproved().is_empty(), "seen and called impossible: {:?}", totals.disproved());
    let median = totals.quantile(500);
    assert!(median >= 5, "the weather is too good: {median} faults in the median");
    assert!(totals.faults.iter().all(|count| *count > 0), "a kind never happened: {:?}", totals.faults);
    // Each possible cell is aimed at several times; the long run sees each a hundred times.
    let missed = totals.thin_cells(1).len();
    assert!(missed <= cells::possible().len() / 10, "never struck: {:?}", totals.thin_cells(1));
}

/// A process that slept past its lease believed in a reservation that another one, which had
/// taken its payment over, had given back.
#[test]
fn seed_52141_a_sleeper_signs_nothing_that_is_no_longer_reserved() {
    let report = play(52_141, None);
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}
