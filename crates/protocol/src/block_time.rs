//! How long a chain takes for a block, measured.
//!
//! Chains differ sixtyfold (0.2 s on Base and for a Solana slot, 12 s on Ethereum) and change over
//! night, so what means time is kept in seconds and turned into blocks only where a node wants a
//! block number. Pure: whoever reads headers says what they showed.

use std::collections::VecDeque;

/// What is taken for a block while nothing was measured: as short as any chain's that we sell on,
/// so that a span of time in blocks is rather too long than too short.
pub const BLOCK_MS_ASSUMED: u64 = 200;
/// A measured block time lies within these, whatever headers claim.
const BLOCK_MS_MIN: u64 = 10;
const BLOCK_MS_MAX: u64 = 600_000;

/// Marks are at least this far apart. Headers count whole seconds, so two of them are off by a
/// second at most: a twentieth of the shortest span that is measured.
const MARK_MS: u64 = 20_000;
/// Marks that are kept: a measurement reaches back ten minutes, and what a chain did before that is
/// forgotten.
const MARKS_MAX: usize = 30;

/// A block and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    number: u64,
    at_ms: u64,
}

/// The time that a chain takes for a block, over its last minutes.
#[derive(Clone, Debug, Default)]
pub struct BlockTime {
    /// Oldest first, rising in number and time.
    marks: VecDeque<Mark>,
    measured_ms: Option<u64>,
}

impl BlockTime {
    /// Takes in that block `number` was made at `at_ms`, by whatever clock, always the same one.
    ///
    /// Blocks of one second of `timestamp` look simultaneous, and a node behind the one that
    /// answered before shows an older block: neither says anything. A chain that starts again below
    /// what was known, or whose clock goes back, is measured anew.
    pub fn observe(&mut self, number: u64, at_ms: u64) {
        let Some(newest) = self.marks.back() else {
            self.marks.push_back(Mark { number, at_ms });
            return;
        };
        let began_again = self.marks.front().is_some_and(|oldest| number < oldest.number);
        let went_back = number > newest.number && at_ms < newest.at_ms;
        if began_again || went_back {
            self.marks.clear();
            self.marks.push_back(Mark { number, at_ms });
            return;
        }
        if number <= newest.number || at_ms.saturating_sub(newest.at_ms) < MARK_MS {
            return;
        }
        self.marks.push_back(Mark { number, at_ms });
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
        }
        self.measured_ms = self.measure().or(self.measured_ms);
    }

    fn measure(&self) -> Option<u64> {
        let (oldest, newest) = (self.marks.front()?, self.marks.back()?);
        let blocks = newest.number.checked_sub(oldest.number).filter(|blocks| *blocks > 0)?;
        let ms = newest.at_ms.checked_sub(oldest.at_ms)?;
        let rounded = ms.saturating_add(blocks / 2) / blocks;
        Some(rounded.clamp(BLOCK_MS_MIN, BLOCK_MS_MAX))
    }

    /// Milliseconds a block; `None` until it was measured.
    pub fn measured_ms(&self) -> Option<u64> {
        self.measured_ms
    }

    /// Milliseconds a block, [`BLOCK_MS_ASSUMED`] until it was measured.
    pub fn ms(&self) -> u64 {
        self.measured_ms.unwrap_or(BLOCK_MS_ASSUMED)
    }

    /// How many blocks it takes until that much time has passed, at least one.
    pub fn blocks_in(&self, seconds: u64) -> u64 {
        blocks_in(seconds, self.ms())
    }

    /// How long that many blocks take, in seconds, rounded up.
    pub fn seconds_of(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.ms()).div_ceil(1_000)
    }
}

/// How many blocks of `block_ms` it takes until that much time has passed, at least one.
pub fn blocks_in(seconds: u64, block_ms: u64) -> u64 {
    seconds.saturating_mul(1_000).div_ceil(block_ms.max(1)).max(1)
}

mod pause;

pub use pause::look_pause_ms;

#[cfg(test)]
mod tests;
