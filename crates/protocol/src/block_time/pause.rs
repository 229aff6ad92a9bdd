//! How often a chain is looked at for something that does not come.

/// Part of the time waited so far that passes before the next look: what has not happened for long is
/// hardly heard later for being asked for less often.
const WAITED_PARTS: u64 = 50;
/// Longest pause, whatever was waited.
const PAUSE_MS_MAX: u64 = 2_000;

/// The pause before the next look for something that was waited for that long: `shortest_ms` at first,
/// then a fiftieth of the wait, up to two seconds. A block is not worth a look of its own where it is
/// the twentieth part of a second: what waits minutes for finality costs the same on every chain.
pub fn look_pause_ms(waited_ms: u64, shortest_ms: u64) -> u64 {
    (waited_ms / WAITED_PARTS).clamp(shortest_ms, PAUSE_MS_MAX.max(shortest_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_with_the_wait_and_never_rarer_than_two_seconds() {
        for (waited, shortest, pause) in [
            (0, 100, 100),
            (5_000, 100, 100),
            (10_000, 100, 200),
            (60_000, 100, 1_200),
            (100_000, 100, 2_000),
            (u64::MAX, 100, 2_000),
            (60_000, 1_500, 1_500),
            (60_000, 10_000, 10_000),
        ] {
            assert_eq!(look_pause_ms(waited, shortest), pause, "{waited} {shortest}");
        }
    }

    #[test]
    fn twenty_minutes_cost_some_hundred_looks() {
        let (mut waited, mut looks) = (0, 0);
        while waited < 20 * 60_000 {
            waited += look_pause_ms(waited, 100);
            looks += 1;
        }
        assert!(looks < 800, "{looks}");
    }
}
