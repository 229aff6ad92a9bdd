//! Who works on what: a process keeps a lease on the ledger, and leaves its work to others
//! when it is gone.

use std::time::Duration;

use futures::FutureExt as _;
use quittance_facilitator::PayOutcome;
use quittance_ledger::LedgerOptions;
use quittance_ledger::model::ModelDatabase;
use serde_json::json;

use super::shop::{Chain, GAS, Outcome, PRICE, Shop, Time, at, nonce, payment, sale};
use super::{answer, granted, until};

/// Short, so that a heartbeat comes every second.
const LEASE_SECONDS: u64 = 3;

async fn process(database: &ModelDatabase, name: &str, chain: &Chain, time: &Time) -> Shop {
    let options = LedgerOptions { lease_ms: 3_000, ..LedgerOptions::new(name) };
    let store = database.open(&options, time.now_ms()).unwrap();
    let shop = Shop::open_leased(store, chain, time, (LEASE_SECONDS, "")).await;
    shop.until_offered(Some(GAS)).await;
    shop
}

fn is_settled(database: &ModelDatabase) -> bool {
    database.with(|rows| rows.payments().all(|one| one.state.to_string() == "settled"))
}

/// P2: what a process leaves behind goes on in another, without a second signature.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_payment_whose_process_is_gone_is_finished_by_another() {
    let (database, time) = (ModelDatabase::shared(), Time::default());
    let (near, far) = (Chain::default(), Chain::default());
    near.hold(true);
    let one = process(&database, "one", &near, &time).await;
    let two = process(&database, "two", &far, &time).await;
    assert_eq!(one.send("payer", PRICE, 7).await, Outcome::Pending);
    assert!(!is_settled(&database), "nothing lands where the first one looks");
    one.close().await;
    until("the other one settles it", || is_settled(&database)).await;
    assert_eq!(two.send("payer", PRICE, 7).await, Outcome::Granted);
    assert_eq!(database.with(|rows| rows.payment_count()), 1);
    two.close().await;
}

/// P1: a process that could not keep its lease runs nothing, because others may by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_runs_end_when_the_lease_is_lost_and_count_as_interrupted() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let shop = process(&database, "one", &chain, &time).await;
    let (signed, call) = (payment("payer", nonce(), &json!({})), sale(at(1), "call"));
    let grant = granted(shop.facilitator.pay(signed.clone(), call.clone()).await);
    let revoked = grant.revoked();
    assert!(grant.revoked().now_or_never().is_none(), "while the lease is kept it runs on");
    // The process stood still for longer than its lease, and joins anew at its next heartbeat.
    time.pass(10_000);
    tokio::time::timeout(Duration::from_secs(30), revoked).await.unwrap();
    drop(grant);
    shop.until_offered(Some(GAS)).await;
    let again = loop {
        match shop.facilitator.pay(signed.clone(), call.clone()).await {
            PayOutcome::Granted(grant) => break grant,
            PayOutcome::Pending { .. } | PayOutcome::Unavailable { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    shop.facilitator.finish(again, answer(200)).await.unwrap();
    shop.close().await;
}
