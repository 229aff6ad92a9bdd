//! Payments against a real runtime.

mod actors;
mod attacks;
mod bend;
mod draft;
mod guard;
mod harvest;
mod honest;
mod ix;
mod lies;
mod oracle;
mod play;
mod stats;
mod world;

pub use harvest::{Harvest, harvest};
pub use play::{OF_2022, OF_A_FEE, Told, Worlds, play};
pub use stats::{REFUSALS, Stats};
