//! Questions about many blocks in ranges that the endpoint allows.
//!
//! Providers bound the range (10, 50, 500, 2,000 or 10,000 blocks) and say so in their own words and
//! codes, so the words are not read: what refuses a range is asked for a smaller one, down to a single
//! block, and what an endpoint took is remembered for it.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::budget::Budget;

/// Most blocks that one request asks for; an endpoint that allows fewer is asked for fewer.
pub const RANGE_BLOCKS_MAX: u64 = 2_000;

/// The ranges that are tried below the largest, each after the one before was refused.
const LADDER: [u64; 5] = [500, 100, 50, 10, 1];

/// Answers at a smaller range after which the next larger one is tried again: a refusal may have had
/// another reason, and must not make every search dear for ever.
const ANSWERS_BEFORE_LARGER: u32 = 256;

/// An endpoint that does not answer in time is asked for less, but not for less than this: it may be
/// down, and short ranges are dear.
const UNANSWERED_BLOCKS_MIN: u64 = 100;

/// How many blocks one endpoint answers for at once, as far as it has shown.
#[derive(Debug)]
pub struct AdaptiveRange {
    largest: u64,
    blocks: AtomicU64,
    answers: AtomicU32,
}

/// What a refusal of a range may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may have been too wide: a smaller one is asked for.
    Width,
    /// No answer in time: this look ends, and the next one asks for less.
    Time,
    /// No range would have been answered.
    Other,
}

impl Default for AdaptiveRange {
    fn default() -> Self {
        Self::new(RANGE_BLOCKS_MAX)
    }
}

impl AdaptiveRange {
    /// At most `largest` blocks at once.
    pub const fn new(largest: u64) -> Self {
        Self { largest, blocks: AtomicU64::new(largest), answers: AtomicU32::new(0) }
    }

    /// Blocks to ask for at once.
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed).max(1)
    }

    /// How many blocks so many requests answer for.
    pub fn reach(&self, requests: u64) -> u64 {
        self.blocks().saturating_mul(requests)
    }

    /// The next smaller range to try.
    pub fn smaller(&self, blocks: u64) -> Option<u64> {
        [self.largest].into_iter().chain(LADDER).find(|step| *step < blocks)
    }

    /// It answered for so many blocks, and not for more.
    pub fn learn(&self, blocks: u64) {
        self.blocks.store(blocks, Ordering::Relaxed);
        self.answers.store(0, Ordering::Relaxed);
    }

    fn answered(&self) {
        let blocks = self.blocks();
        if blocks < self.largest
            && self.answers.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= ANSWERS_BEFORE_LARGER
        {
            let larger = LADDER.into_iter().rev().find(|step| *step > blocks && *step < self.largest);
            self.learn(larger.unwrap_or(self.largest));
        }
    }

    /// About `first..=last`, oldest first, in as many requests as the endpoint wants and as
    /// `answers_max` allows; with the last block that was answered for. One that turns out to allow a
    /// few blocks would be asked thousands of times, one after the other, for what was planned as a
    /// handful of requests: the caller plans the rest anew, with the range that was learnt. `ask` is
    /// one request for one range; `means` reads its refusal.
    pub async fn read<T, E, Fut>(
        &self,
        (first, last): (u64, u64),
        answers_max: usize,
        ask: impl Fn(u64, u64) -> Fut,
        means: impl Fn(&E) -> Refusal,
    ) -> Result<(Vec<T>, u64), E>
    where
        Fut: Future<Output = Result<Vec<T>, E>>,
    {
        let mut budget = Budget::new(answers_max);
        let mut all = Vec::new();
        let (mut at, mut range) = (first, self.blocks());
        // Learnt only from an answer: an endpoint that refuses every range refuses the method.
        let mut refused = None;
        while at <= last && budget.take() {
            let to = at.saturating_add(range.saturating_sub(1)).min(last);
            match ask(at, to).await {
                Ok(mut found) => {
                    if refused.take().is_some() {
                        self.learn(range);
                    }
                    self.answered();
                    all.append(&mut found);
                    at = to.saturating_add(1);
                }
                Err(error) => {
                    let asked = to.saturating_sub(at).saturating_add(1);
                    let fewer = self.smaller(asked);
                    match (means(&error), fewer) {
                        (Refusal::Width, Some(fewer)) => {
                            // A refusal is no answer; the ladder bounds how many there are.
                            budget.give_back();
                            range = fewer;
                            refused.get_or_insert(error);
                        }
                        (refusal, fewer) => {
                            if refusal == Refusal::Time
                                && let Some(fewer) = fewer.filter(|fewer| *fewer >= UNANSWERED_BLOCKS_MIN)
                            {
                                // Waiting through every range would hold up the look.
                                self.learn(fewer);
                            }
                            return Err(refused.unwrap_or(error));
                        }
                    }
                }
            }
        }
        Ok((all, at.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests;
