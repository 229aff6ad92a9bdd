//! What a server knows of a connection.

use std::net::IpAddr;
use std::sync::Once;

use http::Extensions;

/// The other end of a connection, in the extensions of its requests.
///
/// [`serve`](crate::serve) puts it there; behind another server a layer outside the gate's has to. With the
/// feature `axum`, `ConnectInfo<SocketAddr>` of `into_make_service_with_connect_info` will
/// do. Without either all clients are one to the gate, and its bounds for each of them do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The address of this end, where that is known.
    pub local: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub secure: bool,
}

impl Peer {
    /// The one of a request.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let peer = extensions.get::<Self>().copied().or_else(|| of_axum(extensions));
        if peer.is_none() {
            static UNKNOWN: Once = Once::new();
            UNKNOWN.call_once(|| {
                tracing::warn!(
                    "requests come without the address of their connection: the gate cannot tell clients apart, \
                     and none of its bounds for one client holds"
                );
            });
        }
        peer
    }
}

#[cfg(feature = "axum")]
fn of_axum(extensions: &Extensions) -> Option<Peer> {
    let connected = extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>()?;
    Some(Peer { address: connected.0.ip(), local: None, secure: false })
}

#[cfg(not(feature = "axum"))]
fn of_axum(_: &Extensions) -> Option<Peer> {
    None
}
