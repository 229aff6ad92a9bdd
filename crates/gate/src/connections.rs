//! Connections: how many there may be, of all clients and of one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quittance_facilitator::config::{ConfigError, ServerConfig};
use quittance_facilitator::{Caller, Callers};

/// Counts the connections of a server, so that one client cannot have all.
#[derive(Clone)]
pub struct Connections {
    open: Arc<Mutex<BTreeMap<Caller, usize>>>,
    all_max: usize,
    address_max: usize,
    callers: Callers,
}

/// To be kept with a connection for as long as it lives.
#[must_use]
pub struct Admitted(Option<Counted>);

struct Counted {
    caller: Caller,
    open: Arc<Mutex<BTreeMap<Caller, usize>>>,
}

impl Connections {
    /// As `[server]` says.
    pub fn new(server: &ServerConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            open: Arc::default(),
            all_max: server.connections_max.max(1),
            address_max: server.connections_address_max,
            callers: Callers::new(server)?,
        })
    }

    /// Connections at once, of all clients.
    pub fn all_max(&self) -> usize {
        self.all_max
    }

    /// Counts one; `None` where it is one too many of its address and is to be closed.
    /// Those of trusted proxies are not counted.
    pub fn admit(&self, peer: IpAddr) -> Option<Admitted> {
        if self.callers.is_trusted(peer) {
            return Some(Admitted(None));
        }
        let caller = Caller::at(peer);
        let mut open = lock(&self.open);
        let count = open.entry(caller).or_default();
        if *count >= self.address_max {
            if *count == 0 {
                open.remove(&caller);
            }
            return None;
        }
        *count = count.saturating_add(1);
        Some(Admitted(Some(Counted { caller, open: Arc::clone(&self.open) })))
    }

    /// How many each address has open, in the order of the addresses.
    pub fn open(&self) -> Vec<usize> {
        lock(&self.open).values().copied().collect()
    }
}

impl Admitted {
    /// Whether it is counted at all.
    pub fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.caller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.caller);
            }
        }
    }
}

fn lock(open: &Mutex<BTreeMap<Caller, usize>>) -> MutexGuard<'_, BTreeMap<Caller, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
