//! An endpoint that asks to be left alone: HTTP 429, 503 with `Retry-After`, or an error under any
//! status in which its provider says that it was asked too much.
//!
//! Whoever goes on asking then is kept out for longer, or for good. So such an endpoint is asked
//! last for as long as it said, up to [`PAUSE_MAX`]; and for the first moment, up to
//! [`SILENCE_MAX`], not at all, even where it is the only one. Then what settles payments asks
//! again, and payers without history wait as long again: a landing must not stay unseen because
//! strangers used up a provider's allowance. A silence that was kept is followed by as long a time
//! in which none begins, for one method that is limited must not keep all others from being asked.
//! Signed bytes wait for no pause; where an endpoint said 503 it is asked first which chain it serves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest time that an endpoint is asked last, whatever it says.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Longest time that an endpoint is asked nothing at all but sends.
pub const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The pause after a refusal that does not say for how long, or says it as a date.
pub const PAUSE_UNSAID: Duration = Duration::from_secs(1);

pub(crate) const TOO_MANY_REQUESTS: u16 = 429;
const UNAVAILABLE: u16 = 503;

/// Until when one endpoint wants to be left alone.
#[derive(Debug, Default)]
pub struct Pause(Mutex<Option<Asked>>);

#[derive(Clone, Copy, Debug)]
struct Asked {
    silent_until: Instant,
    /// No other silence begins before.
    heard_until: Instant,
    last_until: Instant,
}

impl Pause {
    /// Takes in an answer's status and its `Retry-After`.
    pub fn hear(&self, status: u16, retry_after: Option<&str>) {
        self.hear_answer(status, retry_after, None);
    }

    /// The same with what its body says: whether it refuses somebody who asked too much, and for how
    /// long it says so itself. The header counts before the body.
    pub(crate) fn hear_answer(&self, status: u16, retry_after: Option<&str>, body: Option<Option<Duration>>) {
        let header = retry_after.map(|text| text.trim().parse().map_or(PAUSE_UNSAID, Duration::from_secs));
        let said = match (status, header) {
            (TOO_MANY_REQUESTS | UNAVAILABLE, Some(header)) => header,
            (TOO_MANY_REQUESTS, None) => body.flatten().unwrap_or(PAUSE_UNSAID),
            (_, header) if body.is_some() => header.or(body.flatten()).unwrap_or(PAUSE_UNSAID),
            _ => return,
        };
        let now = Instant::now();
        let silence = said.min(SILENCE_MAX);
        let last_until = now + said.min(PAUSE_MAX).max(silence * 2);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Answers to requests that were under way together come in any order.
        *known = Some(match *known {
            Some(known) if now < known.heard_until => {
                Asked { last_until: known.last_until.max(last_until), ..known }
            }
            known => Asked {
                silent_until: now + silence,
                heard_until: now + silence * 2,
                last_until: known.map_or(last_until, |known| known.last_until.max(last_until)),
            },
        });
    }

    /// How much longer it is asked last.
    pub fn left(&self) -> Option<Duration> {
        self.until(|asked| asked.last_until)
    }

    /// Whether it is asked nothing now but to take signed bytes.
    pub fn is_silent(&self) -> bool {
        self.until(|asked| asked.silent_until).is_some()
    }

    fn until(&self, of: fn(&Asked) -> Instant) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = of(known.as_ref()?).saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_left_alone_for_what_it_said_within_bounds() {
        for (status, said, silent_ms, last_ms) in [
            (429, Some("1"), 1_000, 2_000),
            (429, Some(" 20 "), 2_000, 20_000),
            (429, Some("86400"), 2_000, 30_000),
            (429, Some("18446744073709551615"), 2_000, 30_000),
            (429, None, 1_000, 2_000),
            (429, Some("Mon, 30 Nov 2026 01:00:00 GMT"), 1_000, 2_000),
            (429, Some("-5"), 1_000, 2_000),
            (429, Some("0"), 0, 0),
            (503, Some("7"), 2_000, 7_000),
            (503, None, 0, 0),
            (500, Some("7"), 0, 0),
            (200, Some("7"), 0, 0),
        ] {
            let pause = Pause::default();
            pause.hear(status, said);
            assert_eq!(pause.is_silent(), silent_ms > 0, "{status} {said:?}");
            assert_eq!(pause.left().map_or(0, |left| left.as_millis()), last_ms, "{status} {said:?}");
            tokio::time::advance(Duration::from_millis(silent_ms)).await;
            assert!(!pause.is_silent(), "{status} {said:?}");
            tokio::time::advance(PAUSE_MAX).await;
            assert_eq!(pause.left(), None, "{status} {said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_in_the_body_counts_like_one_in_the_status() {
        let seconds = |seconds| Some(Some(Duration::from_secs(seconds)));
        for (status, header, body, last_ms) in [
            (200, None, Some(None), 2_000),
            (200, None, seconds(10), 10_000),
            (200, None, seconds(3_600), 30_000),
            (200, Some("4"), seconds(10), 4_000),
            (403, None, seconds(3), 4_000),
            (429, None, seconds(10), 10_000),
            (429, Some("4"), seconds(10), 4_000),
            (503, None, seconds(5), 5_000),
            (200, Some("4"), None, 0),
        ] {
            let pause = Pause::default();
            pause.hear_answer(status, header, body);
            let left = pause.left().map_or(0, |left| left.as_millis());
            assert_eq!(left, last_ms, "{status} {header:?} {body:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_word_takes_nothing_back_and_a_later_one_counts_anew() {
        let pause = Pause::default();
        pause.hear(429, Some("20"));
        pause.hear(429, Some("1"));
        assert_eq!(pause.left(), Some(Duration::from_secs(20)));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert!(!pause.is_silent());
        pause.hear(429, Some("20"));
        assert!(pause.is_silent());
        assert_eq!(pause.left(), Some(Duration::from_secs(20)));
    }

    /// A provider that limits one method alone would silence all others, again and again.
    #[tokio::test(start_paused = true)]
    async fn who_says_so_all_the_time_is_asked_half_of_the_time() {
        let pause = Pause::default();
        let mut asked = 0;
        for _ in 0..600 {
            pause.hear(429, Some("30"));
            asked += u32::from(!pause.is_silent());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!((280..=320).contains(&asked), "{asked} of 600");
        assert!(pause.left().is_some(), "it is asked last all the while");
    }
}
