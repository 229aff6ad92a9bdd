//! From a claim to its verdict: the engine decides, one driver task per payment performs.
//!
//! Owns a payment between its claim and its verdict; may touch `dispatch`, `network`, `in_flight`.
//! What no driver works on is found by `upkeep` within a third of a lease; it ends by its
//! deadline plus the finality lag.

pub(crate) mod driver;
pub mod engine;

pub(crate) use self::driver::Driver;
