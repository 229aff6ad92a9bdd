//! Payments whose stored form cannot be read.

use super::harness::{Chain, GAS, Outcome, Process, SERVICE, Time};
use super::sqlite;

const NONCE: u64 = 77;
const ALERT: &str = "unreadable_payment";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_cannot_be_read_is_told_of_and_goes_on_once_it_can() {
    let (folder, time, chain) = (tempfile::tempdir().unwrap(), Time::default(), Chain::default());
    chain.hold(true);
    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, "").await;
    assert_eq!(process.send("payer", SERVICE + GAS, NONCE).await, Outcome::Pending);
    assert_eq!(process.alerts(ALERT), 0);
    process.close().await;

    chain.cannot_read(true);
    chain.hold(false);
    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, "").await;
    assert_eq!(process.alerts(ALERT), 1, "skipped in silence, it would be open for ever");
    let again = process.send("payer", SERVICE + GAS, NONCE).await;
    assert_eq!(again, Outcome::Pending, "nobody hears that it is not paid (P5)");
    assert_eq!(process.alerts(ALERT), 1, "once for each payment");
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted, "the others sell on");
    process.close().await;

    chain.cannot_read(false);
    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, "").await;
    assert_eq!(process.send("payer", SERVICE + GAS, NONCE).await, Outcome::Granted);
    assert_eq!(process.alerts(ALERT), 0);
    process.close().await;
}
