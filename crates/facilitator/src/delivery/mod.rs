//! What a settled payment buys: one run at a time, its stored answer, a credit.
//!
//! Owns grants and kept answers; may touch `in_flight`, the ledger, the answer store.
//! A run whose process died is found by `upkeep` and becomes a credit.

pub(crate) mod answers;
pub(crate) mod grants;
