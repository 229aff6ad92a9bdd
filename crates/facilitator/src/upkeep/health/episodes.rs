//! When an endpoint's trouble begins and ends: what is said once each. Pure.

use std::collections::BTreeMap;

use quittance_protocol::{EndpointReport, EndpointState, Episode, MethodCount};

/// An episode ends when the method has answered and not failed for so long: one that
/// fails every other time is not told of every other time.
const QUIET_MS: i64 = 15_000;

/// What somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointChange {
    /// It is asked only when no other answers from now on.
    LeftOut(EndpointState),
    /// It is asked again.
    TakenBack,
    /// It asks to be left alone, and is asked last.
    Paused {
        /// Looks of this episode at which it was so.
        looks: u64,
    },
    /// It has not asked for that for a while.
    PauseOver { looks: u64, seconds: u64 },
    /// A method fails; its last words.
    Fails { method: String, words: String },
    /// It answers again.
    Answers {
        method: String,
        /// Failures of the whole episode.
        failures: u64,
    },
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Episodes {
    is_left_out: bool,
    paused: Option<Episode>,
    methods: BTreeMap<String, Method>,
}

#[derive(Debug, Default)]
struct Method {
    answered: u64,
    failed: u64,
    /// Failures when the episode began, while there is one.
    began: Option<u64>,
    failed_at_ms: i64,
}

impl Episodes {
    /// Takes in a look, and says what is new.
    pub(crate) fn take(&mut self, report: &EndpointReport, now_ms: i64) -> Vec<EndpointChange> {
        let mut changes = Vec::new();
        match report.state {
            // For seconds, and again a moment later: what is known of its head stays.
            EndpointState::Paused => changes.extend(self.pauses(now_ms)),
            state => {
                let is_left_out = !state.serves();
                match (std::mem::replace(&mut self.is_left_out, is_left_out), is_left_out) {
                    (false, true) => changes.push(EndpointChange::LeftOut(state)),
                    (true, false) => changes.push(EndpointChange::TakenBack),
                    _ => {}
                }
                changes.extend(self.paused.take_if(|episode| episode.is_over(clock(now_ms))).map(
                    |episode| EndpointChange::PauseOver {
                        looks: episode.times(),
                        seconds: episode.seconds(),
                    },
                ));
            }
        }
        for count in &report.methods {
            changes.extend(self.methods.entry(count.method.clone()).or_default().take(count, now_ms));
        }
        changes
    }

    fn pauses(&mut self, now_ms: i64) -> Option<EndpointChange> {
        let looks = match &mut self.paused {
            Some(episode) => episode.again(clock(now_ms))?,
            none => none.insert(Episode::new(clock(now_ms))).times(),
        };
        Some(EndpointChange::Paused { looks })
    }

    /// Whether each method fails now.
    pub(crate) fn failing(&self) -> impl Iterator<Item = (&str, bool)> {
        self.methods.iter().map(|(name, method)| (name.as_str(), method.began.is_some()))
    }
}

fn clock(now_ms: i64) -> u64 {
    u64::try_from(now_ms).unwrap_or(0)
}

impl Method {
    fn take(&mut self, count: &MethodCount, now_ms: i64) -> Option<EndpointChange> {
        let failed = count.failed > self.failed;
        let answered = count.answered > self.answered;
        let before = std::mem::replace(&mut self.failed, count.failed);
        self.answered = count.answered;
        if failed {
            self.failed_at_ms = now_ms;
        }
        match self.began {
            // Some answers between are the weather of any provider.
            None if failed && !answered => {
                self.began = Some(before);
                Some(EndpointChange::Fails {
                    method: count.method.clone(),
                    words: count.last_failure.clone(),
                })
            }
            Some(began)
                if count.failed_in_a_row == 0 && now_ms.saturating_sub(self.failed_at_ms) >= QUIET_MS =>
            {
                self.began = None;
                Some(EndpointChange::Answers {
                    method: count.method.clone(),
                    failures: count.failed.saturating_sub(began),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: EndpointState, answered: u64, failed: u64, in_a_row: u64) -> EndpointReport {
        let count = MethodCount {
            method: "eth_getLogs".to_owned(),
            answered,
            failed,
            failed_in_a_row: in_a_row,
            last_failure: "HTTP status 403".to_owned(),
        };
        EndpointReport {
            endpoint: 0,
            host: String::new(),
            state,
            head: None,
            head_age_ms: None,
            methods: vec![count],
        }
    }

    #[test]
    fn an_episode_is_told_twice_however_long_it_lasts() {
        use EndpointState::Healthy;
        let mut episodes = Episodes::default();
        let fails = EndpointChange::Fails { method: "eth_getLogs".into(), words: "HTTP status 403".into() };
        assert_eq!(episodes.take(&report(Healthy, 5, 0, 0), 0), []);
        assert_eq!(episodes.take(&report(Healthy, 9, 1, 0), 1), [], "some answers between");
        let told = episodes.take(&report(Healthy, 9, 3, 2), 2);
        assert_eq!(told.first(), Some(&fails));
        for look in 0..1_000 {
            assert_eq!(episodes.take(&report(Healthy, 9, 4 + look, 3 + look), 3), []);
        }
        assert_eq!(episodes.failing().collect::<Vec<_>>(), [("eth_getLogs", true)]);
        assert_eq!(episodes.take(&report(Healthy, 10, 1_003, 0), 4), [], "an answer is no end yet");
        assert_eq!(episodes.take(&report(Healthy, 10, 1_004, 1), 5), [], "it goes on");
        assert_eq!(episodes.take(&report(Healthy, 11, 1_004, 0), QUIET_MS), []);
        let answers = EndpointChange::Answers { method: "eth_getLogs".into(), failures: 1_003 };
        assert_eq!(episodes.take(&report(Healthy, 12, 1_004, 0), QUIET_MS + 5), [answers]);
        assert_eq!(episodes.take(&report(Healthy, 12, 1_005, 1), QUIET_MS + 6), [fails], "the next one");
    }

    /// A provider over whose allowance we are says so every second.
    #[test]
    fn an_endpoint_that_asks_for_pauses_for_an_hour_is_told_a_dozen_times() {
        use EndpointState::{Healthy, Paused};
        let mut episodes = Episodes::default();
        let look = |second: i64| if second % 2 == 0 { Paused } else { Healthy };
        let told: Vec<_> = (0..3_600)
            .flat_map(|second| episodes.take(&report(look(second), 0, 0, 0), second * 1_000))
            .collect();
        assert_eq!(told.first(), Some(&EndpointChange::Paused { looks: 1 }));
        assert_eq!(told.len(), 12);
        let over = episodes.take(&report(Healthy, 0, 0, 0), 3_700_000);
        assert_eq!(over, [EndpointChange::PauseOver { looks: 1_800, seconds: 3_598 }]);
    }

    #[test]
    fn who_is_left_out_is_told_once_and_who_comes_back_too() {
        use EndpointState::{Behind, Healthy, Silent, Unknown};
        let mut episodes = Episodes::default();
        let mut states = [Unknown, Healthy, Behind, Silent, Behind, Healthy, Healthy].into_iter();
        let told: Vec<_> =
            states.by_ref().flat_map(|state| episodes.take(&report(state, 0, 0, 0), 0)).collect();
        assert_eq!(told, [EndpointChange::LeftOut(Behind), EndpointChange::TakenBack]);
    }
}
