//! What is counted: latencies, outcomes, the generator's own processor time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Milliseconds of one kernel clock tick as `/proc` counts them (USER_HZ is 100).
const TICK_MS: u64 = 10;

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Nearest-rank percentiles in microseconds; `null` without any.
    pub(crate) fn summary(mut self) -> Value {
        self.0.sort_unstable();
        let last = match self.0.len().checked_sub(1) {
            Some(last) => last,
            None => return Value::Null,
        };
        let rank = |percent: usize| {
            let place = self.0.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            self.0.get(place.min(last)).copied()
        };
        json!({"samples": self.0.len(), "p50": rank(50), "p95": rank(95), "p99": rank(99), "max": rank(100)})
    }
}

/// How often each thing happened.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(BTreeMap<String, u64>);

impl Outcomes {
    pub(crate) fn add(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                self.0.insert(name.to_owned(), 1);
            }
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!(self.0)
    }
}

/// The wall clock, to compare with what other processes noted.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Unix seconds.
pub(crate) fn now_seconds() -> u64 {
    now_ms() / 1_000
}

/// User and system time of this process; zero where there is no `/proc`.
pub(crate) fn own_cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before the last parenthesis may hold spaces; utime and stime are
    // the 12th and 13th fields after it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks.saturating_mul(TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut latencies = Latencies::default();
        for micros in (1..=100).rev() {
            latencies.add(Duration::from_micros(micros));
        }
        let summary = latencies.summary();
        assert_eq!(summary, json!({"samples": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}));
        assert_eq!(Latencies::default().summary(), Value::Null);
    }
}
