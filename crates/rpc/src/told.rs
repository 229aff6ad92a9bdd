//! Lines about what may go wrong at every look: one when it begins, and with a count while it lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use quittance_protocol::Episode;
use tokio::time::Instant;

/// What one chain has told of, by a name for each kind of trouble. There are as many kinds as there are
/// places in the code that name one.
#[derive(Debug)]
pub struct Told {
    began: Instant,
    open: Mutex<BTreeMap<&'static str, Episode>>,
}

impl Default for Told {
    fn default() -> Self {
        Self { began: Instant::now(), open: Mutex::default() }
    }
}

impl Told {
    /// It came: how often by now, if that is to be told.
    pub fn again(&self, what: &'static str) -> Option<u64> {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(what) {
            Some(episode) if !episode.is_over(now_ms) => episode.again(now_ms),
            _ => {
                open.insert(what, Episode::new(now_ms));
                Some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Ten looks a second, each with a payment whose landing cannot be read.
    #[tokio::test(start_paused = true)]
    async fn an_hour_of_trouble_at_every_look_is_a_dozen_lines() {
        let told = Told::default();
        let mut lines = Vec::new();
        for _ in 0..36_000 {
            lines.extend(told.again("landing"));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(lines.len(), 12);
        assert_eq!(lines.first(), Some(&1));
        assert_eq!(told.again("reorganisation"), Some(1), "another kind");
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(told.again("landing"), Some(1), "the next episode");
    }
}
