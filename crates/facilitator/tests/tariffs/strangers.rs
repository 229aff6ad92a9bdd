//! Strangers: what they may make us ask, and who is not held back by it.

use futures::future::join_all;
use quittance_facilitator::Caller;
use quittance_ledger::LedgerOptions;
use quittance_ledger::model::ModelDatabase;

use super::harness::{Chain, GAS, Outcome, Process, SERVICE, Time};

const PRICE: u64 = SERVICE + GAS;

async fn process(chain: &Chain, time: &Time) -> Process {
    let database = ModelDatabase::shared();
    let options = LedgerOptions { lease_ms: i64::MAX / 4, ..LedgerOptions::new("one") };
    let process = Process::open(database.open(&options, time.now_ms()).unwrap(), chain, time, "").await;
    process.until_offered(Some(GAS)).await;
    process
}

fn at(last: u8) -> Caller {
    Caller::at([192, 0, 2, last].into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_without_money_asked_again_at_once_costs_no_call() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&chain, &time).await;
    for _ in 0..10 {
        assert_eq!(process.pay_from(at(1), "poor", PRICE).await, Outcome::Poor);
    }
    let (checks, _) = chain.checks();
    assert!(checks < 10, "{checks} calls for one empty wallet");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_whose_payments_come_to_nothing_is_told_to_come_back_and_nobody_else() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&chain, &time).await;
    let mut refused = 0;
    while process.pay_from(at(1), "broken", PRICE).await == Outcome::Broken {
        refused += 1;
        assert!(refused < 1_000, "never held back");
    }
    assert!(refused >= 120, "an agent that errs a few times is not held back");
    let (checks, _) = chain.checks();
    for _ in 0..10 {
        assert_eq!(process.pay_from(at(1), "broken", PRICE).await, Outcome::TooMany);
    }
    assert_eq!(chain.checks().0, checks, "whoever is held back costs no call");
    assert_eq!(process.pay_from(at(1), "honest", PRICE).await, Outcome::Granted, "from the same address");
    process.close().await;
}

/// Checks of payers with history share no call with those of strangers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_paid_before_is_checked_apart_from_strangers() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&chain, &time).await;
    assert_eq!(process.pay_from(at(1), "customer", PRICE).await, Outcome::Granted);
    let (checks, strangers) = (chain.checks().0, chain.stranger_checks());
    assert_eq!(strangers, 1, "its first one is a stranger's");
    assert_eq!(process.pay_from(at(1), "customer", PRICE).await, Outcome::Granted);
    assert!(chain.checks().0 > checks);
    assert_eq!(chain.stranger_checks(), strangers);
    assert_eq!(process.pay_from(at(1), "poor", PRICE).await, Outcome::Poor);
    assert_eq!(chain.stranger_checks(), strangers + 1);
    process.close().await;
}

/// All nodes asked to be left alone: what they still answer belongs to customers and to what settles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_wait_first_where_every_node_asks_for_a_pause() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&chain, &time).await;
    assert_eq!(process.pay_from(at(1), "customer", PRICE).await, Outcome::Granted);
    let (checks, _) = chain.checks();
    chain.ask_for_a_pause(20);
    for _ in 0..5 {
        assert_eq!(process.pay_from(at(2), "stranger", PRICE).await, Outcome::Unavailable);
    }
    assert_eq!(chain.checks().0, checks, "no call for them");
    assert_eq!(process.pay_from(at(2), "customer", PRICE).await, Outcome::Granted);
    chain.ask_for_a_pause(0);
    assert_eq!(process.pay_from(at(2), "stranger", PRICE).await, Outcome::Granted, "and nothing counted");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_whose_strangers_fail_is_checked_few_at_a_time() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&chain, &time).await;
    assert_eq!(process.pay_from(at(1), "customer", PRICE).await, Outcome::Granted);
    let crowd = async |round: usize, size: usize| {
        let names: Vec<_> = (0..size).map(|n| format!("broken {round} {n}")).collect();
        join_all(names.iter().map(|name| process.pay_from(at(1), name, PRICE))).await
    };
    for round in 0..5 {
        crowd(round, 64).await;
    }
    chain.checks();
    let (outcomes, customer, stranger) = tokio::join!(
        crowd(5, 200),
        process.pay_from(at(1), "customer", PRICE),
        process.pay_from(at(2), "stranger", PRICE),
    );
    assert_eq!((customer, stranger), (Outcome::Granted, Outcome::Granted));
    let turned_away = outcomes.iter().filter(|outcome| **outcome == Outcome::TooMany).count();
    assert!(turned_away >= 100, "{turned_away} of 200 were not kept waiting");
    let (_, at_once) = chain.checks();
    assert!(at_once <= 10, "{at_once} checks at once, two of them others'");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_unknown_is_not_counted_by_address() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&chain, &time).await;
    for round in 0..5 {
        let names: Vec<_> = (0..64).map(|n| format!("broken {round} {n}")).collect();
        let pay = |name| process.pay_from(Caller::default(), name, PRICE);
        let outcomes = join_all(names.iter().map(|name| pay(name))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Broken));
    }
    process.close().await;
}
