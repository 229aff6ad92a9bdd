#![doc = include_str!("../README.md")]
#![allow(clippy::indexing_slicing, reason = "indices are made where the rows are")]

pub mod base;
pub mod canary;
mod client;
mod clients;
mod connection;
mod endpoints;
mod evm;
mod exposure;
mod handlers;
mod hostile;
mod merchants;
mod nodes;
mod payments;
pub mod plan;
mod process;
pub mod random;
mod replaced;
mod run;
mod settings;
pub mod solana;
pub mod stats;
mod store;
mod svm;
mod verdicts;
mod views;
mod weather;
mod world;

pub use canary::Canary;
pub use plan::{Broadcast, Crash, Forced, Net, Plan};
pub use run::run;
pub use stats::{Report, Totals};

/// Plays one seed.
pub fn play(seed: u64, canary: Option<Canary>) -> Report {
    run(Plan::of_seed(seed, canary), false).unwrap_or_default()
}
