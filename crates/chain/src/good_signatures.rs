//! Signatures that were found good in this process.
//!
//! Copies of a payment cost their sender nothing, and each would have its signature checked
//! anew, at a hundred times the price of everything else that is done for a copy. What is
//! kept is a fact of mathematics: that this key made this signature of these bytes. No
//! terms, window, balance or record is a part of it, so whatever a payment's verdict depends
//! on besides is asked anew for each copy.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Facts that are kept: of twice as many, the older half goes at once.
const KEPT_MAX: usize = 8_192;

/// The newest facts of one kind of signature. Only good ones: made-up signatures, which
/// cost nothing to make, push out none.
#[derive(Default)]
pub struct GoodSignatures(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    new: BTreeSet<[u8; 32]>,
    old: BTreeSet<[u8; 32]>,
}

impl GoodSignatures {
    /// None yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Kept { new: BTreeSet::new(), old: BTreeSet::new() }))
    }

    /// Whether the signature is good, by `check` where that is not known yet.
    ///
    /// `fact` must be a collision-resistant hash of all that `check` depends on: the signed
    /// bytes, the signature and the key (or the address) that it is to be of.
    pub fn is_good(&self, fact: [u8; 32], check: impl FnOnce() -> bool) -> bool {
        if self.kept().has(&fact) {
            return true;
        }
        // Not under the lock: others check theirs meanwhile.
        let good = check();
        if good {
            self.kept().keep(fact);
        }
        good
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn has(&mut self, fact: &[u8; 32]) -> bool {
        if self.new.contains(fact) {
            return true;
        }
        let known = self.old.contains(fact);
        if known {
            // Who is asked about again stays.
            self.keep(*fact);
        }
        known
    }

    fn keep(&mut self, fact: [u8; 32]) {
        if self.new.len() >= KEPT_MAX {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(fact);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn fact(number: usize) -> [u8; 32] {
        let mut fact = [0; 32];
        fact[..8].copy_from_slice(&number.to_be_bytes());
        fact
    }

    #[test]
    fn a_good_one_is_checked_once_and_a_bad_one_each_time() {
        let (signatures, checks) = (GoodSignatures::new(), Cell::new(0));
        let asked = |number, good| {
            signatures.is_good(fact(number), || {
                checks.set(checks.get() + 1);
                good
            })
        };
        assert!(asked(1, true) && asked(1, true) && asked(1, false));
        assert_eq!(checks.get(), 1, "what is true stays true");
        assert!(!asked(2, false) && !asked(2, false));
        assert_eq!(checks.get(), 3);
        assert!(asked(2, true), "nothing bad is kept");
    }

    /// Strangers with keys of their own sign as much as they like.
    #[test]
    fn a_flood_of_good_ones_is_bounded_and_leaves_what_is_asked_for() {
        let signatures = GoodSignatures::new();
        assert!(signatures.is_good(fact(0), || true));
        for number in 1..KEPT_MAX * 5 {
            assert!(signatures.is_good(fact(number), || true));
            if number % 1_000 == 0 {
                assert!(signatures.is_good(fact(0), || panic!("it was asked about all the time")));
            }
        }
        let kept = signatures.kept();
        assert!(kept.new.len() <= KEPT_MAX && kept.old.len() <= KEPT_MAX);
        drop(kept);
        assert!(!signatures.is_good(fact(1), || false), "what nobody asks for is forgotten, not believed");
    }

    #[test]
    fn a_flood_of_bad_ones_pushes_nothing_out() {
        let signatures = GoodSignatures::new();
        assert!(signatures.is_good(fact(0), || true));
        for number in 1..KEPT_MAX * 3 {
            assert!(!signatures.is_good(fact(number), || false));
        }
        assert!(signatures.is_good(fact(0), || panic!("it is known")));
    }
}
