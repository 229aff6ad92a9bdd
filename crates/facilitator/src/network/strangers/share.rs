//! What strangers may ask of one network.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::CallersConfig;

/// A network's share of calls, as part of its network.
pub(crate) struct Share {
    pub(super) checks: Arc<Semaphore>,
    /// When the tariffs were last reread for a payment of an unknown amount.
    pub(crate) reloaded: tokio::sync::Mutex<Option<Instant>>,
}

impl Share {
    pub(crate) fn new(config: &CallersConfig) -> Self {
        Self {
            checks: Arc::new(Semaphore::new(config.checks_in_flight_max.clamp(1, Semaphore::MAX_PERMITS))),
            reloaded: tokio::sync::Mutex::default(),
        }
    }
}
