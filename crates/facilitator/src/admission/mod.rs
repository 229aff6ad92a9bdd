//! From a payment header, or a foreign server's request, to a claim, an answer or a refusal.
//!
//! Owns the order of the checks and the claim.
//! May touch: `chain`, `metrics`, `api`, `context`, `config`, `in_flight`, `network`, `settle`,
//! `delivery`.
//! A new payment is stuck here only while something is waited for, and nothing of it is on record
//! yet. For its copies, its time and room nobody waits past `gate.pending_wait_seconds`. A call to a
//! node, or to the ledger, may begin just before that and comes on top: it ends by its own time limit.

pub(crate) mod answer;
pub(crate) mod chain_check;
pub(crate) mod claim;
pub(crate) mod copies;
pub(crate) mod decision;
pub(crate) mod early;
pub(crate) mod merchant;
pub(crate) mod pay;
pub(crate) mod pipeline;
pub(crate) mod price;
pub(crate) mod recall;
pub(crate) mod repeats;
pub(crate) mod room;
pub(crate) mod updates;
pub(crate) mod version_1;
pub(crate) mod waiting;
