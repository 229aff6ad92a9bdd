//! From a payment header, or a foreign server's request, to a claim, an answer or a refusal.
//!
//! Owns the order of the checks and the claim; may touch `network`, `settle`, `in_flight`, the ledger.
//! A payment is stuck here only while a node or the ledger hangs, and its caller waits no longer
//! than `gate.pending_wait_seconds`; nothing of it is on record yet.

pub(crate) mod answer;
pub(crate) mod chain_check;
pub(crate) mod claim;
pub(crate) mod copies;
pub(crate) mod decision;
pub(crate) mod early;
pub(crate) mod merchant;
pub(crate) mod news;
pub(crate) mod pay;
pub(crate) mod price;
pub(crate) mod recall;
pub(crate) mod repeats;
pub(crate) mod room;
pub(crate) mod version_1;
pub(crate) mod waiting;
pub(crate) mod way;
