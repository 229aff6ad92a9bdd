//! The auditor finds every defect that is built in on purpose.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use quittance_sim::{Canary, play};

/// A canary that lives longer shows that the auditor is blind.
const SEEDS_MAX: u64 = 1_000;

#[test]
fn every_canary_is_caught_for_what_it_breaks() {
    for canary in Canary::ALL {
        let caught = (0..SEEDS_MAX).find(|&seed| {
            let report = play(seed, Some(*canary));
            report.violations.iter().any(|(which, _)| canary.signs().contains(which))
        });
        let caught =
            caught.unwrap_or_else(|| panic!("{} was not caught in {SEEDS_MAX} seeds", canary.name()));
        assert!(play(caught, None).violations.is_empty(), "seed {caught} fails without {}", canary.name());
    }
}

#[test]
fn every_invariant_and_promise_has_a_canary() {
    let invariants = (1..=10).map(|number| format!("I{number}"));
    for rule in invariants.chain((1..=7).map(|number| format!("P{number}"))) {
        assert!(Canary::ALL.iter().any(|canary| canary.breaks() == rule), "{rule}");
    }
}
