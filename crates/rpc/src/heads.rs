//! Whose head stands still.

use std::sync::atomic::{AtomicU8, Ordering};

use quittance_protocol::EndpointState;

/// A head as one endpoint named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenHead {
    /// Block or slot.
    pub number: u64,
    /// The chain's time of it, Unix milliseconds.
    pub time_ms: i64,
    /// How long after the look began the answer came, in milliseconds.
    pub after_ms: i64,
}

impl SeenHead {
    /// How old it was when it was named, by a clock that said `began_ms` when the look began.
    pub fn age_ms(&self, began_ms: i64) -> i64 {
        began_ms.saturating_add(self.after_ms).saturating_sub(self.time_ms).max(0)
    }
}

/// The endpoints of one network.
///
/// The rule: an endpoint is *behind* if its head is more than the limit older than
/// another's, or older than the clock by more than the limit while another's is not.
/// So a chain that stands still itself, or makes a block only now and then, calls
/// nobody behind: all endpoints agree, and a lone endpoint is never left out. The
/// time of a block is what counts, never its number: blocks of 0.2 s share a second.
#[derive(Debug)]
pub struct Fleet {
    states: Vec<AtomicU8>,
    limit_ms: i64,
}

impl Fleet {
    /// `count` endpoints of which nothing is known, and how far a head may lie behind.
    pub fn new(count: usize, limit_ms: i64) -> Self {
        Self { states: (0..count).map(|_| AtomicU8::new(0)).collect(), limit_ms: limit_ms.max(0) }
    }

    /// What is known of one.
    pub fn state(&self, endpoint: usize) -> EndpointState {
        self.states
            .get(endpoint)
            .map_or(EndpointState::Unknown, |state| from_code(state.load(Ordering::Acquire)))
    }

    /// Who said nothing when it was asked for its name: it is asked last until a look says otherwise.
    pub fn note_silent(&self, endpoint: usize) {
        if let Some(state) = self.states.get(endpoint) {
            state.store(EndpointState::Silent as u8, Ordering::Release);
        }
    }

    /// Whom to ask for what is true now, in order: the healthy ones, or everybody if
    /// there is none.
    pub fn serving(&self) -> Vec<usize> {
        let all = 0..self.states.len();
        let healthy: Vec<usize> = all.clone().filter(|at| self.state(*at).serves()).collect();
        if healthy.is_empty() { all.collect() } else { healthy }
    }

    /// Everybody, the healthy ones first: whom to show a transaction, and whom to ask
    /// for what stays true once it is.
    pub fn order(&self) -> Vec<usize> {
        let (mut healthy, rest): (Vec<usize>, Vec<usize>) =
            (0..self.states.len()).partition(|at| self.state(*at).serves());
        healthy.extend(rest);
        healthy
    }

    /// Takes in what all endpoints said in one look that began at `now_ms`. Who was not asked
    /// (`left_alone`) stays what it was; and while one that served is left alone nobody else is
    /// found healthy again, for there may be nobody left to compare with: one that stands still
    /// would come first because the other one asked for a pause.
    pub fn judge(&self, seen: &[Option<SeenHead>], left_alone: &[bool], now_ms: i64) {
        let limit = self.limit_ms;
        let all: Vec<SeenHead> = seen.iter().flatten().copied().collect();
        let is_sane =
            |head: &SeenHead| head.time_ms <= now_ms.saturating_add(head.after_ms).saturating_add(limit);
        let is_old = |head: &SeenHead| now_ms.saturating_sub(head.time_ms) > limit;
        // Beside one that stands still it may be our clock that is slow.
        let some_are_sane = all.iter().any(|head| is_sane(head) && !is_old(head));
        let trusted = || all.iter().filter(|head| !some_are_sane || is_sane(head));
        // When the look began, this was the newest for certain: who answers late is not
        // behind for the blocks that came meanwhile.
        let newest = trusted().map(|head| head.time_ms.saturating_sub(head.after_ms)).max();
        let some_are_fresh = trusted().any(|head| !is_old(head));
        let is_left_alone = |place: usize| left_alone.get(place).copied().unwrap_or(false);
        let misses_one =
            (0..self.states.len()).any(|place| is_left_alone(place) && self.state(place).serves());
        for (place, (state, seen)) in self.states.iter().zip(seen).enumerate() {
            if is_left_alone(place) {
                continue;
            }
            let found = match seen {
                None => EndpointState::Silent,
                Some(head) if some_are_sane && !is_sane(head) => EndpointState::Ahead,
                Some(head) => {
                    let lags = newest.is_some_and(|newest| newest.saturating_sub(head.time_ms) > limit);
                    match lags || (some_are_fresh && is_old(head)) {
                        true => EndpointState::Behind,
                        false => EndpointState::Healthy,
                    }
                }
            };
            let is_cleared = found.serves() && !self.state(place).serves();
            if !(misses_one && is_cleared) {
                state.store(found as u8, Ordering::Release);
            }
        }
    }
}

fn from_code(code: u8) -> EndpointState {
    match code {
        1 => EndpointState::Healthy,
        2 => EndpointState::Behind,
        3 => EndpointState::Silent,
        4 => EndpointState::Ahead,
        _ => EndpointState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quittance_protocol::EndpointState::{Ahead, Behind, Healthy, Silent};

    const NOW: i64 = 1_800_000_000_000;
    const LIMIT: i64 = 6_000;

    /// What becomes of endpoints whose heads have these ages in milliseconds.
    fn judged(ages: &[Option<i64>]) -> Vec<EndpointState> {
        let fleet = Fleet::new(ages.len(), LIMIT);
        let seen: Vec<_> = ages
            .iter()
            .map(|age| age.map(|age| SeenHead { number: 7, time_ms: NOW - age, after_ms: 50 }))
            .collect();
        fleet.judge(&seen, &[], NOW);
        (0..ages.len()).map(|at| fleet.state(at)).collect()
    }

    #[test]
    fn who_stands_still_is_not_healthy_again_because_the_other_one_is_left_alone() {
        let fleet = Fleet::new(2, LIMIT);
        let head = |age: i64| Some(SeenHead { number: 7, time_ms: NOW - age, after_ms: 50 });
        fleet.judge(&[head(200), head(60_000)], &[], NOW);
        assert_eq!((fleet.state(0), fleet.state(1)), (Healthy, Behind));
        fleet.judge(&[None, head(62_000)], &[true, false], NOW);
        assert_eq!((fleet.state(0), fleet.state(1)), (Healthy, Behind));
        fleet.judge(&[head(200), head(300)], &[], NOW);
        assert_eq!((fleet.state(0), fleet.state(1)), (Healthy, Healthy), "once both are asked");
        // One that fell silent while the other one is left alone is found so all the same.
        fleet.judge(&[None, None], &[true, false], NOW);
        assert_eq!((fleet.state(0), fleet.state(1)), (Healthy, Silent));
    }

    #[test]
    fn who_stands_still_is_behind_and_who_agrees_is_not() {
        for (ages, expected) in [
            // One moves and one stands still, in either order.
            (vec![Some(60_000), Some(200)], vec![Behind, Healthy]),
            (vec![Some(200), Some(60_000)], vec![Healthy, Behind]),
            (vec![Some(7_000), Some(200), Some(900)], vec![Behind, Healthy, Healthy]),
            // A chain that makes blocks when asked to, or has stopped: all agree.
            (vec![Some(3_600_000), Some(3_600_000)], vec![Healthy, Healthy]),
            (vec![Some(3_600_000)], vec![Healthy]),
            // Blocks of two seconds, one endpoint a block later.
            (vec![Some(0), Some(2_000)], vec![Healthy, Healthy]),
            // Both behind the clock, one further than the other.
            (vec![Some(60_000), Some(30_000)], vec![Behind, Healthy]),
            // Our clock is a minute early or late: they still agree.
            (vec![Some(60_000), Some(61_000)], vec![Healthy, Healthy]),
            (vec![Some(-60_000), Some(-61_000)], vec![Healthy, Healthy]),
            (vec![Some(-60_000), Some(0)], vec![Ahead, Healthy]),
            // Our clock is slow, and one stands still.
            (vec![Some(-7_000), Some(60_000)], vec![Healthy, Behind]),
            (vec![None, Some(0)], vec![Silent, Healthy]),
            (vec![None, Some(3_600_000)], vec![Silent, Healthy]),
        ] {
            assert_eq!(judged(&ages), expected, "{ages:?}");
        }
    }

    #[test]
    fn a_slow_answer_is_not_behind_for_the_blocks_that_came_meanwhile() {
        let fleet = Fleet::new(2, LIMIT);
        let at_once = SeenHead { number: 7, time_ms: NOW - 200, after_ms: 20 };
        let late = SeenHead { number: 50, time_ms: NOW + 7_900, after_ms: 8_000 };
        fleet.judge(&[Some(at_once), Some(late)], &[], NOW);
        assert_eq!((fleet.state(0), fleet.state(1)), (Healthy, Healthy));
    }

    #[test]
    fn who_did_not_say_its_name_is_asked_last_until_it_names_a_head() {
        let fleet = Fleet::new(3, LIMIT);
        for silent in [0, 1, 7] {
            fleet.note_silent(silent);
        }
        assert_eq!((fleet.serving(), fleet.order()), (vec![2], vec![2, 0, 1]));
        let head = Some(SeenHead { number: 7, time_ms: NOW, after_ms: 0 });
        fleet.judge(&[head, None, head], &[], NOW);
        assert_eq!(fleet.serving(), [0, 2]);
    }

    #[test]
    fn the_healthy_are_asked_and_everybody_if_none_is() {
        let fleet = Fleet::new(3, LIMIT);
        assert_eq!(fleet.serving(), [0, 1, 2], "nothing is known yet");
        let head = |age: i64| Some(SeenHead { number: 1, time_ms: NOW - age, after_ms: 0 });
        fleet.judge(&[head(60_000), None, head(0)], &[], NOW);
        assert_eq!((fleet.serving(), fleet.order()), (vec![2], vec![2, 0, 1]));
        fleet.judge(&[head(0), head(0), head(60_000)], &[], NOW);
        assert_eq!(
            (fleet.serving(), fleet.order()),
            (vec![0, 1], vec![0, 1, 2]),
            "who recovers is used again"
        );
        fleet.judge(&[None, None, None], &[], NOW);
        assert_eq!(fleet.serving(), [0, 1, 2]);
        fleet.judge(&[head(0), None, head(60_000)], &[false, true, false], NOW);
        assert_eq!(fleet.state(1), Silent, "who was not asked stays what it was");
        fleet.judge(&[head(0), head(0), head(0)], &[], NOW);
        fleet.judge(&[head(0), None, head(0)], &[false, true, false], NOW);
        assert_eq!(fleet.serving(), [0, 1, 2]);
    }
}
