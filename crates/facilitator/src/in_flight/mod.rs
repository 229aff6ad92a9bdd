//! What this process has in hand: who works on a payment, who waits for it.
//!
//! Owns nothing durable: the ledger decides, and losing all of it loses nothing.
//! May touch: `chain`, `api`.
//! Nothing gets stuck here: whatever is registered ends with the guard that was handed out for it.

pub(crate) mod callers;
pub(crate) mod entries;
pub(crate) mod places;
pub(crate) mod share_key;
pub(crate) mod shared_read;
pub(crate) mod single_flight;
