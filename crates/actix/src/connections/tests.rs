use std::net::{Ipv4Addr, SocketAddr};

use actix_web::rt::net::TcpListener;
use quittance_gate::Admitted;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

use super::*;

/// A listener on every loopback address, and who is counted there.
struct Server {
    listener: TcpListener,
    connections: Connections,
}

/// A connection: the client's end, the server's, and what lives with that one.
struct Opened {
    client: TcpStream,
    _server: TcpStream,
    data: Extensions,
}

impl Server {
    async fn new(server: &ServerConfig) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        Self { listener, connections: Connections::new(server).unwrap() }
    }

    /// Somebody at 127.0.0.`from` connects.
    async fn open(&self, from: u8) -> Opened {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
        let port = self.listener.local_addr().unwrap().port();
        let client = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
        let (server, _) = self.listener.accept().await.unwrap();
        let mut data = Extensions::new();
        self.connections.counter()(&server, &mut data);
        Opened { client, _server: server, data }
    }

    fn counted(&self) -> Vec<usize> {
        self.connections.counted.open()
    }
}

impl Opened {
    /// Whether the server has closed it: a client that waits for an answer sees the end.
    async fn is_closed(&mut self) -> bool {
        let read = self.client.read_u8();
        match tokio::time::timeout(std::time::Duration::from_millis(100), read).await {
            Ok(Err(_)) => true,
            Ok(Ok(_)) => panic!("nothing was sent"),
            Err(_) => false,
        }
    }
}

fn config(address_max: usize) -> ServerConfig {
    ServerConfig { connections_address_max: address_max, ..ServerConfig::default() }
}

/// One client opens all it can: what is too many is closed unread, others come in beside it, and
/// each connection that ends makes room for another.
#[actix_web::test]
async fn one_address_has_its_number_and_others_come_in_beside_it() {
    let server = Server::new(&config(3)).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(server.open(1).await);
    }
    for _ in 0..10 {
        let mut refused = server.open(1).await;
        assert!(refused.is_closed().await && !refused.data.contains::<Admitted>());
    }
    for opened in &mut held {
        assert!(!opened.is_closed().await, "those that were there stay");
    }
    let mut other = server.open(2).await;
    assert!(!other.is_closed().await);
    assert_eq!(server.counted(), [3, 1]);
    held.pop();
    let mut next = server.open(1).await;
    assert!(!next.is_closed().await, "one ended");
    assert!(server.open(1).await.is_closed().await);
    drop((held, other, next));
    assert!(server.counted().is_empty(), "nothing is kept of who left");
}

/// Many clients come through a proxy of ours; one that pretends to be none is counted.
#[actix_web::test]
async fn connections_of_trusted_proxies_are_not_counted() {
    let server = ServerConfig { trusted_proxies: vec!["127.0.0.7".to_owned()], ..config(1) };
    let server = Server::new(&server).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(server.open(7).await);
    }
    for opened in &mut held {
        assert!(!opened.is_closed().await);
        assert!(!opened.data.get::<Admitted>().unwrap().is_counted());
    }
    let stranger = server.open(8).await;
    assert!(server.open(8).await.is_closed().await);
    assert_eq!(server.counted(), [1]);
    drop(stranger);
}

#[test]
fn all_workers_together_take_what_is_configured_and_each_takes_one() {
    for (all, workers, each) in [(8_192, 2, 4_096), (10, 4, 2), (1, 8, 1), (5, 0, 5)] {
        let server = ServerConfig { connections_max: all, workers, ..ServerConfig::default() };
        assert_eq!(Connections::new(&server).unwrap().per_worker(), each, "{all} {workers}");
    }
}

/// What is not a TCP connection of this server is left alone.
#[test]
fn something_else_is_not_counted() {
    let connections = Connections::new(&config(1)).unwrap();
    let mut data = Extensions::new();
    connections.counter()(&"a socket of another kind", &mut data);
    assert!(!data.contains::<Admitted>() && connections.counted.open().is_empty());
}
