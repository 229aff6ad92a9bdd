//! When a trouble that comes again and again is told of. Pure.

/// While it lasts, it is told again after so long, with a count.
const TOLD_AGAIN_MS: u64 = 300_000;

/// It is over when it has not come for so long.
const QUIET_MS: u64 = 90_000;

/// One trouble from its first occurrence to its last: told at the start, with a count
/// every five minutes, and once at the end, however often it comes. Times are
/// milliseconds of any clock that does not run backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    times: u64,
    began_ms: u64,
    told_ms: u64,
    last_ms: u64,
}

impl Episode {
    /// It came for the first time, which is to be told.
    pub const fn new(now_ms: u64) -> Self {
        Self { times: 1, began_ms: now_ms, told_ms: now_ms, last_ms: now_ms }
    }

    /// It came again; how often by now, if that is to be told.
    pub fn again(&mut self, now_ms: u64) -> Option<u64> {
        self.times = self.times.saturating_add(1);
        self.last_ms = now_ms;
        let due = now_ms.saturating_sub(self.told_ms) >= TOLD_AGAIN_MS;
        if due {
            self.told_ms = now_ms;
        }
        due.then_some(self.times)
    }

    /// Whether it has not come for a while.
    pub const fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= QUIET_MS
    }

    /// How often it came.
    pub const fn times(&self) -> u64 {
        self.times
    }

    /// From the first time to the last, in seconds.
    pub const fn seconds(&self) -> u64 {
        self.last_ms.saturating_sub(self.began_ms) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_every_second_for_an_hour_is_told_a_dozen_times() {
        let mut episode = Episode::new(1_000);
        let told: Vec<u64> = (1..3_600).filter_map(|second| episode.again(1_000 + second * 1_000)).collect();
        assert_eq!(told.len(), 11);
        assert_eq!(told.first(), Some(&301));
        assert_eq!((episode.times(), episode.seconds()), (3_600, 3_599));
        assert!(!episode.is_over(3_600_000 + 89_000) && episode.is_over(3_600_000 + 90_000));
    }
}
