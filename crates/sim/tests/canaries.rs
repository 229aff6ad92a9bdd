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

/// What the simulation covers; P4 (an unpaid request costs nothing) has no place in it.
#[test]
fn every_invariant_and_promise_has_a_canary() {
    for rule in ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "P1", "P2", "P3", "P5", "P6"] {
        assert!(Canary::ALL.iter().any(|canary| canary.breaks() == rule), "{rule}");
    }
}
