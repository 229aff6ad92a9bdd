//! What a settled payment buys: one run at a time, its stored answer, a credit.
//!
//! Owns grants and kept answers.
//! May touch: `metrics`, `api`, `context`, `in_flight`.
//! A run that is stuck because nobody works on it is found by `upkeep` and becomes a credit; where
//! its process died, once that one's lease has ended (on SQLite at the next start). A credit waits for its payer.

pub(crate) mod answers;
pub(crate) mod grants;
