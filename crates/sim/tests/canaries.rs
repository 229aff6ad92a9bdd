//! The auditor finds every defect that is built in on purpose.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use quittance_sim::{Canary, play};

/// A canary that lives longer shows that the auditor is blind.
const SEEDS_MAX: u64 = 1_000;

/// Where each canary was first caught when the stories were last written down: tried first, so
/// that the search is not made anew by every run. A change of the simulator tells other stories
/// under the same numbers; then the search finds the new ones, and takes minutes:
/// `QUITTANCE_WRITE=1 cargo test -p quittance-sim --test canaries` writes them down.
const CAUGHT: &str = "tests/canaries.txt";

#[test]
fn every_canary_is_caught_for_what_it_breaks() {
    let path = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join(CAUGHT);
    let known = fs::read_to_string(&path).unwrap_or_default();
    let write = env::var_os("QUITTANCE_WRITE").is_some();
    let (next, caught) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some(canary) = Canary::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seed = first_caught(*canary, seed_of(&known, *canary).filter(|_| !write));
                    caught.lock().unwrap().push((canary.name(), seed));
                }
            });
        }
    });
    let mut caught = caught.into_inner().unwrap();
    caught.sort_unstable();
    if write {
        let mut text = String::new();
        for (name, seed) in &caught {
            writeln!(text, "{name} {seed}").unwrap();
        }
        fs::write(path, text).unwrap();
    }
    assert_eq!(caught.len(), Canary::ALL.len());
}

fn seed_of(known: &str, canary: Canary) -> Option<u64> {
    let mut lines = known.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == canary.name()).map(|(_, seed)| seed.parse().unwrap())
}

/// The seed of a story that breaks what the canary breaks, and breaks nothing without it.
fn first_caught(canary: Canary, known: Option<u64>) -> u64 {
    let caught = known.into_iter().chain(0..SEEDS_MAX).find(|&seed| {
        let report = play(seed, Some(canary));
        report.violations.iter().any(|(which, _)| canary.signs().contains(which))
    });
    let caught = caught.unwrap_or_else(|| panic!("{} was not caught in {SEEDS_MAX} seeds", canary.name()));
    assert!(play(caught, None).violations.is_empty(), "seed {caught} fails without {}", canary.name());
    caught
}

#[test]
fn every_invariant_and_promise_has_a_canary() {
    let invariants = (1..=10).map(|number| format!("I{number}"));
    for rule in invariants.chain((1..=7).map(|number| format!("P{number}"))) {
        assert!(Canary::ALL.iter().any(|canary| canary.breaks() == rule), "{rule}");
    }
}
