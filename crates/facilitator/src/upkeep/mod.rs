//! What a running process does again and again, whether anybody pays or not.
//!
//! Owns the lease, takeovers, finality, pruning, looks at endpoints and payout accounts, and the turns of tariffs,
//! lanes and cost meters, whose work is done in their own modules.
//! May touch: `chain`, `metrics`, `api`, `context`, `config`, `in_flight`, `network`, `dispatch`,
//! `settle`, `delivery`, `admission`.
//! A task that failed says so and tries again at its next turn, one that panicked is made afresh:
//! [`registry`] runs them all and knows the last run of each. One that is stuck shows there, and
//! nothing but a restart frees it.

pub(crate) mod costs;
pub(crate) mod endpoints;
pub(crate) mod finality;
pub(crate) mod health;
pub(crate) mod lanes;
pub(crate) mod lease;
pub(crate) mod merchants;
pub(crate) mod payout;
pub(crate) mod prune;
pub(crate) mod registry;
pub(crate) mod tariffs;
