//! One side, block by block.

use std::collections::VecDeque;

use async_trait::async_trait;
use quittance_ledger::BookedLanding;

use crate::chain::Transfer;

/// Most entries of one block on one side: above what a block of any chain here can hold.
pub const BLOCK_ENTRIES_MAX: usize = 100_000;

/// Why a look ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A side cannot be read.
    #[error("{0}")]
    Unread(String),
    /// A side that does not come newest block first would be compared wrongly.
    #[error("{side} comes out of order at block {block}")]
    OutOfOrder {
        /// Which one.
        side: &'static str,
        /// Where.
        block: u64,
    },
    /// More entries in one block than memory is kept for.
    #[error("{side} has more than {BLOCK_ENTRIES_MAX} entries in block {block}")]
    TooMany {
        /// Which one.
        side: &'static str,
        /// Where.
        block: u64,
    },
}

/// One side in pages, newest block first.
#[async_trait]
pub trait Pages<T>: Send {
    /// The next page; `None` at the end. A page may be empty.
    async fn next(&mut self) -> Result<Option<Vec<T>>, Broken>;
}

/// What has a place on the chain.
pub(super) trait Placed {
    const SIDE: &'static str;
    fn block(&self) -> u64;
}

impl Placed for Transfer {
    const SIDE: &'static str = "the chain";
    fn block(&self) -> u64 {
        self.block
    }
}

impl Placed for BookedLanding {
    const SIDE: &'static str = "the ledger";
    fn block(&self) -> u64 {
        self.block
    }
}

pub(super) struct Side<T, P> {
    pages: P,
    page: VecDeque<T>,
    /// The block that was taken last.
    below: Option<u64>,
    is_over: bool,
}

impl<T: Placed, P: Pages<T>> Side<T, P> {
    pub(super) fn new(pages: P) -> Self {
        Self { pages, page: VecDeque::new(), below: None, is_over: false }
    }

    /// The block of the next entry.
    pub(super) async fn block(&mut self) -> Result<Option<u64>, Broken> {
        while self.page.is_empty() && !self.is_over {
            match self.pages.next().await? {
                Some(page) => self.page.extend(page),
                None => self.is_over = true,
            }
        }
        Ok(self.page.front().map(Placed::block))
    }

    /// All entries of a block, which is the next one.
    pub(super) async fn take(&mut self, block: u64) -> Result<Vec<T>, Broken> {
        let mut taken = Vec::new();
        while let Some(next) = self.block().await? {
            if next > block || self.below.is_some_and(|below| next >= below) {
                return Err(Broken::OutOfOrder { side: T::SIDE, block: next });
            }
            if next < block {
                break;
            }
            taken.extend(self.page.pop_front());
            if taken.len() > BLOCK_ENTRIES_MAX {
                return Err(Broken::TooMany { side: T::SIDE, block });
            }
        }
        self.below = Some(block);
        Ok(taken)
    }
}
