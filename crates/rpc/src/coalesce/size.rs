//! How many questions a call may hold: fewer for a while after calls that failed as a whole, so that a
//! node that does not take them is not shown one again and again, and keeps few waiting if it hangs.

use std::time::Duration;

use tokio::time::Instant;

/// After a call that failed as a whole, no call has more than a quarter of its questions for so long …
pub(super) const SMALLER_FOR: Duration = Duration::from_secs(60);

/// … and twice as long each time that a larger one, tried after that, fails too, up to this.
pub(super) const SMALLER_FOR_MAX: Duration = Duration::from_secs(960);

/// One in so many.
const SMALLER_PART: usize = 4;

/// A first failure leaves so many at least, and too much asked always: a small call that failed does not
/// end all sharing.
const SMALLEST: usize = 2;

/// See the module.
#[derive(Default)]
pub(super) struct Size(Option<Smaller>);

#[derive(Clone, Copy)]
struct Smaller {
    /// Most questions in one call; with one nothing is shared.
    items: usize,
    /// Since when, until when, and for how long the last time.
    since: Instant,
    until: Instant,
    lasts: Duration,
    /// Whether a larger one is under way, to see whether it is taken now: one at a time.
    is_tried: bool,
}

/// A call that set out.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    items: usize,
    at: Instant,
    tries: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    Failed,
    /// The same, and whoever was asked wants to be asked less.
    TooMuch,
    /// Nobody waited for it any more, it was not asked, or held one question only: it says nothing.
    Unknown,
}

impl Size {
    /// Most questions in the next call, if none may have more than `most`.
    pub(super) fn items_max(&self, most: usize) -> usize {
        match self.0 {
            Some(smaller) if smaller.is_tried || Instant::now() < smaller.until => smaller.items.min(most),
            _ => most,
        }
    }

    /// A call with so many sets out.
    pub(super) fn set_out(&mut self, items: usize) -> Sent {
        let at = Instant::now();
        let smaller = self.0.as_mut().filter(|smaller| items > smaller.items && at >= smaller.until);
        let tries = smaller.is_some_and(|smaller| !std::mem::replace(&mut smaller.is_tried, true));
        Sent { items, at, tries }
    }

    /// That call is over.
    pub(super) fn ended(&mut self, sent: Sent, fate: Fate) {
        if sent.tries
            && let Some(smaller) = &mut self.0
        {
            smaller.is_tried = false;
        }
        match fate {
            Fate::Answered if sent.tries => self.0 = None,
            Fate::Failed => self.0 = Some(self.after(sent, 1)),
            Fate::TooMuch => self.0 = Some(self.after(sent, SMALLEST)),
            Fate::Answered | Fate::Unknown => {}
        }
    }

    fn after(&self, failed: Sent, least: usize) -> Smaller {
        let now = Instant::now();
        let fewer = failed.items.checked_div(SMALLER_PART).unwrap_or(1);
        let anew = |items: usize, lasts: Duration| Smaller {
            items,
            since: now,
            until: now.checked_add(lasts).unwrap_or(now),
            lasts,
            is_tried: false,
        };
        match self.0 {
            None => anew(fewer.max(SMALLEST), SMALLER_FOR),
            // It set out before that was known, and says no more than the one that failed first.
            Some(known) if failed.at < known.since => {
                Smaller { items: known.items.min(fewer.max(SMALLEST)), ..known }
            }
            Some(known) if failed.tries => {
                anew(known.items, known.lasts.saturating_mul(2).min(SMALLER_FOR_MAX))
            }
            Some(known) => {
                Smaller { is_tried: known.is_tried, ..anew(known.items.min(fewer.max(least)), known.lasts) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(size: &mut Size, items: usize, fate: Fate) {
        let sent = size.set_out(items);
        size.ended(sent, fate);
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_call_that_failed_does_not_end_all_sharing_and_a_second_one_does() {
        for items in [2, 3, 7] {
            let mut size = Size::default();
            call(&mut size, items, Fate::Failed);
            assert_eq!(size.items_max(64), 2, "{items}");
            call(&mut size, 2, Fate::Failed);
            assert_eq!(size.items_max(64), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_asked_too_much_is_not_asked_more_often() {
        let mut size = Size::default();
        for most in [16, 4, 2, 2] {
            let items = size.items_max(64);
            call(&mut size, items, Fate::TooMuch);
            assert_eq!(size.items_max(64), most);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_holds_while_it_lasts_and_calls_that_were_under_way_do_not_count_twice() {
        let mut size = Size::default();
        let sent = [64, 8, 40].map(|items| size.set_out(items));
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut seen = Vec::new();
        for sent in sent {
            size.ended(sent, Fate::Failed);
            seen.push(size.items_max(64));
        }
        assert_eq!(seen, [16, 2, 2]);
        tokio::time::advance(SMALLER_FOR).await;
        assert_eq!(size.items_max(64), 64, "once, however many failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_larger_one_is_tried_by_one_call_at_a_time_and_seldomer_each_time() {
        let mut size = Size::default();
        call(&mut size, 64, Fate::Failed);
        let mut lasts = SMALLER_FOR;
        for _ in 0..8 {
            tokio::time::advance(lasts - Duration::from_millis(1)).await;
            assert_eq!(size.items_max(64), 16);
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(size.items_max(64), 64);
            let tried = size.set_out(64);
            assert_eq!(size.items_max(64), 16, "while it is under way");
            call(&mut size, 16, Fate::Answered);
            assert_eq!(size.items_max(64), 16, "a smaller one says nothing of it");
            size.ended(tried, Fate::Failed);
            lasts = (lasts * 2).min(SMALLER_FOR_MAX);
        }
        assert_eq!(lasts, SMALLER_FOR_MAX);
        tokio::time::advance(lasts).await;
        call(&mut size, 64, Fate::Unknown);
        assert_eq!(size.items_max(64), 64, "who went away decided nothing");
        call(&mut size, 64, Fate::Answered);
        call(&mut size, 64, Fate::Failed);
        tokio::time::advance(SMALLER_FOR).await;
        assert_eq!(size.items_max(64), 64, "what was forgotten begins anew");
    }
}
