//! One network as it is configured: its chain, terms, tariffs, offers, why it is closed.
//!
//! Owns the tariff and the poller of its network.
//! May touch: `prices`, `chain`, `metrics`, `api`, `context`, `config`, `rates`, `remote`.
//! A network that cannot be sold is stuck, and says why ([`closed`]). What the next tariff finds
//! gone opens it again; a ceiling also when a reservation ends; `lane_under_base_fee` when the
//! wallet's lane, at its next look, sees that fees have fallen; `retired` nothing but another
//! configuration.

pub(crate) mod accounts;
pub(crate) mod bounds;
pub(crate) mod closed;
pub(crate) mod configured;
pub(crate) mod early;
pub(crate) mod offer;
pub(crate) mod poller;
pub(crate) mod pool;
pub(crate) mod prepared;
pub(crate) mod rents;
pub(crate) mod report;
pub(crate) mod seen;
pub(crate) mod spending;
pub(crate) mod strangers;
pub(crate) mod tariffs;
pub(crate) mod used;
