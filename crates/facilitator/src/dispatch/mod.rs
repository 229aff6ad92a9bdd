//! Signed bytes and the slots they take: no wallet nonce that was reserved stays unused.
//!
//! Owns attempts whose payments are over.
//! May touch: `chain`, `metrics`, `context`, `network`.
//! A slot is stuck while the chain does not use its nonce: its newest bytes are broadcast until
//! it does, and the network closes while they offer too little.

pub(crate) mod costs;
pub(crate) mod lane;
