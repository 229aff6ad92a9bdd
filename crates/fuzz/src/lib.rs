#![doc = include_str!("../README.md")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test in a crate of its own"
)]

pub mod bytes;
mod random;
mod runtime;

pub use quittance_solana::{Defect, plant};
pub use random::Random;
pub use runtime::{Harvest, OF_2022, OF_A_FEE, REFUSALS, Stats, Told, Worlds, harvest, play};
