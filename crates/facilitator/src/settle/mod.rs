//! From a claim to its verdict: the engine decides, one driver task per payment performs.
//!
//! Owns a payment between its claim and its verdict.
//! May touch: `chain`, `metrics`, `context`, `in_flight`, `remote`, `network`, `dispatch`.
//! What is stuck because no driver works on it is found by `upkeep` within a third of a lease; where nodes answer and the
//! ledger takes commits it ends by its deadline plus the finality lag, on Solana once an endpoint with a history was asked.

pub(crate) mod driver;
pub mod engine;

pub(crate) use self::driver::Driver;
