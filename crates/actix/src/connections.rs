//! The gate's count of connections, as an `HttpServer` asks for it.

use std::any::Any;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use quittance_facilitator::config::{ConfigError, ServerConfig};
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
    counted: quittance_gate::Connections,
    workers: usize,
}

impl Connections {
    /// As `[server]` says.
    pub fn new(server: &ServerConfig) -> Result<Self, ConfigError> {
        Ok(Self { counted: quittance_gate::Connections::new(server)?, workers: server.workers.max(1) })
    }

    /// For `HttpServer::max_connections`.
    pub fn per_worker(&self) -> usize {
        (self.counted.all_max() / self.workers).max(1)
    }

    /// For `HttpServer::on_connect`: closes a connection too many of one address at
    /// once. Those of trusted proxies are not counted.
    pub fn counter(&self) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + use<> {
        let counted = self.counted.clone();
        move |connection, data| {
            let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
            let Ok(peer) = stream.peer_addr() else { return };
            match counted.admit(peer.ip()) {
                Some(admitted) => drop(data.insert(admitted)),
                // Nothing was read of it; its task ends at its first look.
                None => drop(SockRef::from(stream).shutdown(std::net::Shutdown::Both)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
