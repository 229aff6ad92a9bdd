//! What becomes of a landing once its payment is settled (I6).

use quittance_ledger::model::ModelDatabase;

use super::harness::{Chain, Fate, GAS, Outcome, Process, SERVICE, Time, process};
use super::until;

const NONCE: u64 = 77;

async fn settled(fate: Fate) -> (ModelDatabase, Chain, Process) {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    chain.set_fate(fate);
    let process = process(&database, &chain, &time).await;
    assert_eq!(process.send("payer", SERVICE + GAS, NONCE).await, Outcome::Granted);
    (database, chain, process)
}

/// The finality watch looks every five seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_that_vanishes_is_sent_again_and_alerted_once() {
    let (database, chain, process) = settled(Fate::Missing).await;
    until("it is sent again", || chain.broadcasts() > 1).await;
    assert_eq!(process.alerts("reorganised"), 1);
    assert_eq!(process.alerts("reorged_loss"), 0);
    chain.set_fate(Fate::Finalized);
    until("it is final", || database.with(|rows| rows.payments().all(|one| one.finality.is_some()))).await;
    let sent = chain.broadcasts();
    assert_eq!(process.alerts("reorganised"), 1);
    process.close().await;
    assert_eq!(chain.broadcasts(), sent, "what is final is not sent again");
}

/// The grant stands: who was served once is never asked to pay again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_that_can_come_back_no_more_is_booked_and_its_grant_stands() {
    let (database, _chain, process) = settled(Fate::Lost).await;
    until("the loss is booked", || process.alerts("reorged_loss") == 1).await;
    let settled =
        database.with(|rows| rows.payments().filter(|one| one.state.to_string() == "settled").count());
    assert_eq!(settled, 1);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_that_moves_is_followed() {
    let (database, chain, process) = settled(Fate::Moved).await;
    let block = || {
        database.with(|rows| rows.payments().filter_map(|one| one.landing.as_ref()).map(|l| l.block).max())
    };
    until("its block is written", || block() == Some(2)).await;
    assert_eq!((process.alerts("reorganised"), chain.broadcasts()), (0, 1));
    process.close().await;
}

/// Nothing else frees payments that wait for their evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_panics_does_not_end_the_looks() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    chain.panic_once();
    assert_eq!(process.send("payer", SERVICE + GAS, NONCE).await, Outcome::Granted);
    assert!(chain.has_panicked());
    process.close().await;
}
