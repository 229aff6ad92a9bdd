//! A PostgreSQL that falls silent: packets are dropped, no connection is ever
//! closed, as when a host is switched off or a firewall forgets a connection.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{NOW, Store, new_claim, won};
use futures::future::join_all;
use quittance_ledger::{Ledger, LedgerError, LedgerOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// Short, so that the time limit of an operation is its smallest.
const LEASE_MS: i64 = 3_000;

/// Only ends a test that hangs; nothing is measured with it.
const HANGS: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
enum Path {
    /// Everything passes.
    Open,
    /// Old and new connections stay open and say nothing.
    Silent,
    /// New connections pass; those from before the silence stay silent for ever.
    FailedOver,
    /// One connection of the pool says nothing any more, the others go on.
    OneSilent,
    /// Every connection that there is ends, as at a restart; new ones pass.
    Restarted,
}

/// Connections before the pool's first: the one that holds the name, and the one that
/// migrates.
const BEFORE_THE_POOL: usize = 2;

/// A TCP port in front of the cluster's socket.
struct Firewall {
    port: u16,
    path: watch::Sender<Path>,
}

impl Firewall {
    async fn before(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let path = watch::Sender::new(Path::Open);
        let seen = path.subscribe();
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), seen.clone(), number));
                number += 1;
            }
        });
        Self { port, path }
    }

    fn set(&self, path: Path) {
        self.path.send_replace(path);
    }
}

/// One connection; from its first silence on it is held open and never speaks again.
async fn carry(mut client: TcpStream, socket: PathBuf, mut path: watch::Receiver<Path>, number: usize) {
    if *path.borrow_and_update() != Path::Silent {
        let mut server = UnixStream::connect(socket).await.unwrap();
        let (mut up, mut down) = ([0_u8; 8_192], [0_u8; 8_192]);
        loop {
            tokio::select! {
                biased;
                changed = path.changed() => {
                    if changed.is_err() { return }
                    match *path.borrow_and_update() {
                        Path::Restarted => return,
                        Path::OneSilent if number != BEFORE_THE_POOL => {}
                        _ => break, // the server's half is dropped here: that host is gone
                    }
                }
                read = client.read(&mut up) => match read {
                    Ok(n) if n > 0 => server.write_all(&up[..n]).await.unwrap(),
                    _ => return,
                },
                read = server.read(&mut down) => match read {
                    Ok(n) if n > 0 => client.write_all(&down[..n]).await.unwrap(),
                    _ => return,
                },
            }
        }
    }
    let _held = client;
    std::future::pending::<()>().await;
}

async fn behind_a_firewall() -> Option<(Ledger, Firewall)> {
    let store = Store::postgres().await?;
    let (base, folder) = store.url.split_once("?host=").unwrap();
    let firewall = Firewall::before(PathBuf::from(folder).join(".s.PGSQL.5432")).await;
    let database = base.rsplit('/').next().unwrap();
    let url = format!("postgres://quittance@127.0.0.1:{}/{database}?sslmode=disable", firewall.port);
    let options = LedgerOptions { lease_ms: LEASE_MS, ..LedgerOptions::new("one") };
    Some((Ledger::open(&url, options, NOW).await.unwrap(), firewall))
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, work).await.unwrap_or_else(|_| panic!("it hangs"))
}

/// Every operation ends while the database is silent, and says that nothing is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_operation_waits_for_a_database_that_says_nothing() {
    let Some((ledger, firewall)) = behind_a_firewall().await else { return };
    let known = won(&ledger, new_claim(1, 0)).await.into_payment();
    firewall.set(Path::Silent);
    for round in 0..2 {
        let read = in_time(ledger.payment(&known.id)).await;
        assert!(matches!(read, Err(LedgerError::Unavailable(_))), "round {round}: {read:?}");
        let claimed = in_time(ledger.claim(new_claim(2 + round, 0), NOW)).await;
        assert!(matches!(claimed, Err(LedgerError::Unavailable(_))), "round {round}: {claimed:?}");
        let beat = in_time(ledger.heartbeat(NOW)).await;
        assert!(matches!(beat, Err(LedgerError::Unavailable(_))), "round {round}: {beat:?}");
    }
}

/// The connections of before are not tried one by one: the first operations after
/// a failover work, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_failover_no_old_connection_is_used_again() {
    let Some((ledger, firewall)) = behind_a_firewall().await else { return };
    // As many connections as the pool may hold.
    let claims = join_all((0..32).map(|key| ledger.claim(new_claim(key, 0), NOW))).await;
    assert!(claims.iter().all(Result::is_ok));
    firewall.set(Path::Silent);
    let first = in_time(ledger.payment(&new_claim(1, 0).id)).await;
    assert!(matches!(first, Err(LedgerError::Unavailable(_))), "{first:?}");
    firewall.set(Path::FailedOver);
    let reads = in_time(join_all((0..32).map(|key| {
        let ledger = ledger.clone();
        async move { ledger.payment(&new_claim(key, 0).id).await }
    })))
    .await;
    for read in reads {
        assert!(read.unwrap().is_some(), "what was committed is there");
    }
    in_time(ledger.heartbeat(NOW)).await.unwrap();
}

/// Silence that falls on the COMMIT itself: nobody may say whether it is stored (I1, I2).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_into_silence_is_unknown_or_not_stored() {
    let Some((ledger, firewall)) = behind_a_firewall().await else { return };
    let mut answers = Vec::new();
    for key in 0..40 {
        let ledger = ledger.clone();
        answers.push(tokio::spawn(async move { (key, ledger.claim(new_claim(key, 0), NOW).await) }));
    }
    firewall.set(Path::Silent);
    let answers: Vec<_> = in_time(join_all(answers)).await.into_iter().map(Result::unwrap).collect();
    firewall.set(Path::FailedOver);
    for (key, answer) in answers {
        let stored = in_time(ledger.payment(&new_claim(key, 0).id)).await.unwrap().is_some();
        match answer {
            Ok(_) => assert!(stored, "claim {key} was confirmed"),
            Err(LedgerError::Unavailable(_)) => assert!(!stored, "claim {key} was denied"),
            Err(LedgerError::CommitUnknown(_)) => {}
            Err(other) => panic!("claim {key}: {other:?}"),
        }
    }
}

/// A firewall forgets one connection: whoever meets it waits once, and nobody after.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_silent_connection_of_the_pool_costs_one_operation() {
    let Some((ledger, firewall)) = behind_a_firewall().await else { return };
    let claims = join_all((0..32).map(|key| ledger.claim(new_claim(key, 0), NOW))).await;
    assert!(claims.iter().all(Result::is_ok));
    firewall.set(Path::OneSilent);
    let read = |round: u64| {
        let ledger = ledger.clone();
        async move {
            join_all((0..16).map(|key| {
                let ledger = ledger.clone();
                async move { ledger.payment(&new_claim((key + round) % 32, 0).id).await }
            }))
            .await
        }
    };
    let first = in_time(read(0)).await;
    let failed = first.iter().filter(|read| read.is_err()).count();
    assert!(failed <= 1, "{failed} of 16 met the one connection");
    for round in 1..4 {
        let again = in_time(read(round)).await;
        assert!(again.iter().all(|read| matches!(read, Ok(Some(_)))), "round {round}");
        in_time(ledger.heartbeat(NOW)).await.unwrap();
    }
}

/// What was idle while the server restarted is asked before it is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_restart_no_operation_meets_an_ended_connection() {
    let Some((ledger, firewall)) = behind_a_firewall().await else { return };
    let claims = join_all((0..32).map(|key| ledger.claim(new_claim(key, 0), NOW))).await;
    assert!(claims.iter().all(Result::is_ok));
    firewall.set(Path::Restarted);
    // A restart takes longer than a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for key in 0..16 {
        let claimed = in_time(ledger.claim(new_claim(100 + key, 0), NOW)).await;
        assert!(claimed.is_ok(), "{claimed:?}");
    }
    in_time(ledger.heartbeat(NOW)).await.unwrap();
}
