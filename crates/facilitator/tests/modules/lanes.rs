//! Who signs and sends for a wallet, and for which slot (I2, I10).

use std::sync::Arc;

use futures::future::join_all;
use quittance_ledger::LedgerOptions;
use quittance_ledger::model::{ModelDatabase, ModelLedger};

use super::harness::{Chain, GAS, Outcome, PRICE, Pool, Process, Signer, Time, nonce, process};
use super::until;

const LEASE_MS: i64 = 60_000;

/// A process whose lease lasts until the clock passes it: its next heartbeat is hours away.
fn leased(database: &ModelDatabase, name: &str, time: &Time) -> ModelLedger {
    let options = LedgerOptions { lease_ms: LEASE_MS, ..LedgerOptions::new(name) };
    database.open(&options, time.now_ms()).unwrap()
}

async fn replica(database: &ModelDatabase, name: &str, chain: &Chain, time: &Time) -> Process {
    let process = Process::open(leased(database, name, time), chain, time, "").await;
    process.until_offered(Some(GAS)).await;
    process
}

fn nonces(pool: &Pool) -> Vec<u64> {
    pool.signed().into_iter().map(|(nonce, _)| nonce).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_never_signs_two_transactions_for_one_slot() {
    let (database, pool, time) = (ModelDatabase::shared(), Pool::default(), Time::default());
    let process = process(&database, &Chain::numbered(&pool), &time).await;
    let payers: Vec<_> = (0..16).map(|number| format!("payer-{number}")).collect();
    let paid = join_all(payers.iter().map(|payer| process.send(payer, PRICE, nonce()))).await;
    assert!(paid.iter().all(|outcome| *outcome == Outcome::Granted), "{paid:?}");
    let mut signed = nonces(&pool);
    signed.sort_unstable();
    assert_eq!(signed, (0..16).collect::<Vec<_>>(), "one transaction for each slot");
    process.close().await;
}

/// Its bytes never reached a node, and its payment is over: later ones would wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_whose_payment_is_over_is_used_up() {
    let (database, pool, time) = (ModelDatabase::shared(), Pool::default(), Time::default());
    let chain = Chain::numbered(&pool);
    let process = process(&database, &chain, &time).await;
    pool.is_deaf(true);
    pool.strangers_land(true);
    assert_eq!(process.send("payer", PRICE, nonce()).await, Outcome::Granted);
    pool.strangers_land(false);
    let before = chain.broadcasts();
    pool.is_deaf(false);
    until("its bytes go out again", || pool.used() == 1).await;
    assert!(chain.broadcasts() > before);
    assert_eq!(process.send("payer", PRICE, nonce()).await, Outcome::Granted);
    assert_eq!(nonces(&pool), [0, 1]);
    process.close().await;
}

/// What it was about to sign may be somebody else's by now, and what was reserved for it given
/// back: its driver ends, and whoever holds the lease drives the payment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_its_lease_signs_and_sends_nothing() {
    let (database, pool, time) = (ModelDatabase::shared(), Pool::default(), Time::default());
    let chains = [Chain::numbered(&pool), Chain::numbered(&pool)];
    let one = replica(&database, "one", &chains[0], &time).await;
    chains[0].set_signer(Signer::Refuses);
    assert_eq!(one.send("payer", PRICE, nonce()).await, Outcome::Pending);
    assert_eq!(one.driven(), 1);
    time.pass(LEASE_MS + 1);
    chains[0].set_signer(Signer::Signs);
    until("its driver ends", || one.driven() == 0).await;
    assert!(pool.signed().is_empty());
    let two = replica(&database, "two", &chains[1], &time).await;
    until("the second one settles", || pool.used() == 1).await;
    assert_eq!((nonces(&pool), chains[0].broadcasts()), (vec![0], 0));
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_taken_over_goes_on_with_the_same_bytes_and_the_next_slot() {
    let (database, pool, time) = (ModelDatabase::shared(), Pool::default(), Time::default());
    let chains = [Chain::numbered(&pool), Chain::numbered(&pool)];
    let one = replica(&database, "one", &chains[0], &time).await;
    assert_eq!(one.send("payer", PRICE, nonce()).await, Outcome::Granted);
    pool.is_deaf(true);
    assert_eq!(one.send("payer", PRICE, nonce()).await, Outcome::Pending);
    // It ends with bytes that no node has.
    one.close().await;
    let signed = pool.signed();
    time.pass(LEASE_MS + 1);
    pool.is_deaf(false);
    let two = replica(&database, "two", &chains[1], &time).await;
    until("the second one sends them", || pool.used() == 2).await;
    assert_eq!(pool.signed(), signed, "nothing is signed beside them");
    assert_eq!(two.send("payer", PRICE, nonce()).await, Outcome::Granted);
    assert_eq!(nonces(&pool), [0, 1, 2]);
    two.close().await;
}

/// One payment's signing panics: that is seen, and neither its payment nor another one waits for
/// somebody to restart anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_signing_is_seen_and_stops_nothing() {
    let (database, pool, time) = (ModelDatabase::shared(), Pool::default(), Time::default());
    let chain = Chain::numbered(&pool);
    let process = Arc::new(process(&database, &chain, &time).await);
    chain.set_signer(Signer::Panics);
    let number = nonce();
    let first = process.send("payer", PRICE, number).await;
    assert!(matches!(first, Outcome::Granted | Outcome::Pending), "{first:?}");
    let failures = || {
        let runs = process.facilitator.upkeep();
        let lane = runs.into_iter().find(|run| run.task == "lane").unwrap();
        (lane.failures, lane.panics)
    };
    until("the run of the lane says so", || failures().0 > 0).await;
    assert_eq!(failures(), (1, 0), "{:?}", process.facilitator.upkeep());
    until("it is signed all the same", || pool.used() == 1).await;
    assert_eq!(process.send("another", PRICE, nonce()).await, Outcome::Granted);
    assert_eq!(nonces(&pool), [0, 1]);
    Arc::into_inner(process).unwrap().close().await;
}
