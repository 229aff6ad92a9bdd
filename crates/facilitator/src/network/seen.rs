//! What was seen of a network last by those who look at it anyway, for operators: nothing decides by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::networks::{EndpointHealth, HeightsReport};
use crate::chain::Heights;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    heights: Mutex<Option<HeightsReport>>,
    /// By their position in `rpc_urls`.
    endpoints: Mutex<BTreeMap<usize, EndpointHealth>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    pub(crate) fn note_heights(&self, heights: &Heights, read_at_ms: i64) {
        let Heights { latest, finalized } = *heights;
        *lock(&self.heights) = Some(HeightsReport { latest, finalized, read_at_ms });
    }

    pub(crate) fn heights(&self) -> Option<HeightsReport> {
        *lock(&self.heights)
    }

    pub(crate) fn note_endpoint(&self, health: EndpointHealth) {
        lock(&self.endpoints).insert(health.endpoint, health);
    }

    pub(crate) fn endpoints(&self) -> Vec<EndpointHealth> {
        lock(&self.endpoints).values().cloned().collect()
    }
}
