//! The books held against the chain, to the last atomic unit.
//!
//! Owns what a difference is.
//! May touch: `chain`.
//! Nothing gets stuck here: it reads two streams once, and what cannot be read ends the look with words.
//!
//! Both streams come newest block first, page by page. What is held in memory is a page of each, what one
//! block has, and a bounded number of entries that found nothing to stand against yet: a landing may have
//! moved to another block.

mod difference;
mod merge;
mod stream;

pub use difference::{Difference, Kind, Totals};
pub use merge::{UNMATCHED_MAX, reconcile};
pub use stream::{BLOCK_ENTRIES_MAX, Broken, Pages};
