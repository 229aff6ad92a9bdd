//! Which methods of one endpoint answer, and which fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quittance_protocol::MethodCount;

/// Methods told apart; ours are some twenty.
const METHODS_MAX: usize = 48;

/// Counts of one endpoint, by method.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, MethodCount>>);

impl Tally {
    /// The method answered.
    pub fn answered(&self, method: &str) {
        self.count(method, |count| {
            count.answered = count.answered.saturating_add(1);
            count.failed_in_a_row = 0;
        });
    }

    /// The method failed; `words` are clean already.
    pub fn failed(&self, method: &str, words: &dyn std::fmt::Display) {
        self.count(method, |count| {
            count.failed = count.failed.saturating_add(1);
            count.failed_in_a_row = count.failed_in_a_row.saturating_add(1);
            count.last_failure = words.to_string();
        });
    }

    /// How often the method failed since it last answered.
    pub fn failed_in_a_row(&self, method: &str) -> u64 {
        self.methods().get(method).map_or(0, |count| count.failed_in_a_row)
    }

    /// All of them.
    pub fn counts(&self) -> Vec<MethodCount> {
        self.methods().values().cloned().collect()
    }

    fn count(&self, method: &str, change: impl FnOnce(&mut MethodCount)) {
        let mut methods = self.methods();
        if let Some(count) = methods.get_mut(method) {
            return change(count);
        }
        if methods.len() < METHODS_MAX {
            let mut count = MethodCount { method: method.to_owned(), ..MethodCount::default() };
            change(&mut count);
            methods.insert(method.to_owned(), count);
        }
    }

    fn methods(&self) -> MutexGuard<'_, BTreeMap<String, MethodCount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_end_with_an_answer() {
        let tally = Tally::default();
        assert_eq!(tally.failed_in_a_row("eth_getLogs"), 0);
        tally.failed("eth_getLogs", &"403");
        tally.failed("eth_getLogs", &"HTTP status 403");
        tally.answered("eth_call");
        assert_eq!((tally.failed_in_a_row("eth_getLogs"), tally.failed_in_a_row("eth_call")), (2, 0));
        tally.answered("eth_getLogs");
        assert_eq!(tally.failed_in_a_row("eth_getLogs"), 0);
        let logs = tally.counts().pop().unwrap();
        assert_eq!((logs.method.as_str(), logs.answered, logs.failed), ("eth_getLogs", 1, 2));
        assert_eq!(logs.last_failure, "HTTP status 403");
    }

    #[test]
    fn method_names_are_bounded() {
        let tally = Tally::default();
        for number in 0..1_000 {
            tally.answered(&format!("m{number}"));
        }
        assert_eq!(tally.counts().len(), METHODS_MAX);
    }
}
