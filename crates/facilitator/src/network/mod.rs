//! One network as it is configured: its chain, terms, tariffs, offers, why it is closed.
//!
//! Owns the tariff and the poller of its network; may touch `context`, `config`, the ports.
//! A network that cannot be sold says why ([`closed`]); the next tariff opens it again.

pub(crate) mod bounds;
pub(crate) mod closed;
pub(crate) mod configured;
pub(crate) mod early;
pub(crate) mod offer;
pub(crate) mod poller;
pub(crate) mod prepared;
pub(crate) mod spending;
pub(crate) mod strangers;
pub(crate) mod tariffs;
pub(crate) mod used;
