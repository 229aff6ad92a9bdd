//! A server for what is behind the gate, bounded as `[server]` says.
//!
//! hyper does the protocols, HTTP/1.1 and HTTP/2 on one port. Here are the bounds that it
//! leaves to its host: connections, of all and of one address; how long one may take for the
//! head of a request, or be idle; what one may have open at once; and how long a stop waits.

mod connection;
mod idle;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use quittance_facilitator::config::{ConfigError, ServerConfig};
use quittance_gate::{Connections, HandlerError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use connection::Settings;

use crate::peer::Peer;

/// How long nothing is accepted after a failure that is not one connection's, such as too
/// many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves HTTP/1.1 and HTTP/2 without TLS on `listener` until `stop` is over, within the bounds of
/// `server`; requests in flight then have `shutdown_seconds`.
///
/// Each request has its [`Peer`](crate::Peer) in the extensions. Connections cannot be upgraded to another
/// protocol: an API with WebSockets needs a server of its own.
///
/// # Errors
/// Where `trusted_proxies` cannot be read.
pub async fn serve<S, R>(
    listener: TcpListener,
    service: S,
    server: &ServerConfig,
    stop: impl Future<Output = ()>,
) -> Result<(), ConfigError>
where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<HandlerError>,
    S::Future: Send,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<HandlerError>,
{
    let connections = Connections::new(server)?;
    let places = Arc::new(Semaphore::new(connections.all_max().min(Semaphore::MAX_PERMITS)));
    let settings = Arc::new(Settings::new(server));
    let (stopping, stopped) = watch::channel(false);
    let mut open = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            _ = open.join_next(), if !open.is_empty() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = accepted;
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { continue };
        // One too many of its address is closed unread.
        let Some(admitted) = connections.admit(peer.ip()) else { continue };
        let peer = Peer { address: peer.ip(), local: Some(local.ip()), secure: false };
        let connection =
            connection::run(stream, peer, service.clone(), Arc::clone(&settings), stopped.clone());
        open.spawn(async move {
            connection.await;
            drop((place, admitted));
        });
    }
    drop(listener);
    let _ = stopping.send(true);
    let all_over = async { while open.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(Duration::from_secs(server.shutdown_seconds), all_over).await;
    if in_time.is_err() {
        tracing::warn!("requests in flight did not end in time; their connections are closed");
    }
    open.shutdown().await;
    Ok(())
}

/// The next connection, once there is a place for it: those that wait are kept by the system.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    // It is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
