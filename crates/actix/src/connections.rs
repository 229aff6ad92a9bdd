//! Connections: how many there may be, of all clients and of one.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use quittance_facilitator::config::{ConfigError, ServerConfig};
use quittance_facilitator::{Caller, Callers};
use socket2::SockRef;

/// Counts the connections of an `HttpServer`, so that one client cannot have all.
///
/// ```no_run
/// # use actix_web::{App, HttpServer};
/// # fn host(config: &quittance_facilitator::config::Config) -> Result<(), Box<dyn std::error::Error>> {
/// let connections = quittance_actix::Connections::new(&config.server)?;
/// let server = HttpServer::new(App::new)
///     .max_connections(connections.per_worker())
///     .on_connect(connections.counter());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connections {
    open: Arc<Mutex<BTreeMap<Caller, usize>>>,
    address_max: usize,
    per_worker: usize,
    callers: Callers,
}

/// Kept with a connection for as long as it lives.
struct Counted {
    caller: Caller,
    open: Arc<Mutex<BTreeMap<Caller, usize>>>,
}

impl Connections {
    /// As `[server]` says.
    pub fn new(server: &ServerConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            open: Arc::default(),
            address_max: server.connections_address_max,
            per_worker: (server.connections_max / server.workers.max(1)).max(1),
            callers: Callers::new(server)?,
        })
    }

    /// For `HttpServer::max_connections`.
    pub fn per_worker(&self) -> usize {
        self.per_worker
    }

    /// For `HttpServer::on_connect`: closes a connection too many of one address at
    /// once. Those of trusted proxies are not counted.
    pub fn counter(&self) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + use<> {
        let this = self.clone();
        move |connection, data| {
            let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
            let Ok(peer) = stream.peer_addr() else { return };
            if this.callers.is_trusted(peer.ip()) {
                return;
            }
            match this.count(Caller::at(peer.ip())) {
                Some(counted) => drop(data.insert(counted)),
                // Nothing was read of it; its task ends at its first look.
                None => drop(SockRef::from(stream).shutdown(std::net::Shutdown::Both)),
            }
        }
    }

    fn count(&self, caller: Caller) -> Option<Counted> {
        let mut open = lock(&self.open);
        let count = open.entry(caller).or_default();
        if *count >= self.address_max {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Counted { caller, open: Arc::clone(&self.open) })
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

#[cfg(test)]
mod tests;
