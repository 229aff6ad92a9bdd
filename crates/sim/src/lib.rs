#![doc = include_str!("../README.md")]
#![allow(clippy::indexing_slicing, reason = "indices are made where the rows are")]

mod audit;
pub mod base;
pub mod canary;
mod chaos;
mod driver;
mod gate;
pub mod ledger;
mod ops;
pub mod plan;
mod poller;
pub mod random;
pub mod solana;
pub mod stats;
mod world;

pub use canary::Canary;
pub use plan::{Broadcast, Crash, Forced, Net, Plan};
pub use stats::{Report, Totals};
pub use world::World;

/// Plays one seed.
pub fn play(seed: u64, canary: Option<Canary>) -> Report {
    World::new(Plan::of_seed(seed, canary), false).run()
}
