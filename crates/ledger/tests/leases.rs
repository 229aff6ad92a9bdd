//! Leases of processes that share one PostgreSQL ledger.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use quittance_ledger::testing::{database_now_ms, tamper};
use quittance_ledger::{
    ClaimOutcome, DeliveryStart, DeliveryState, LeaseClock, Ledger, LedgerError, LedgerOptions, NewAttempt,
    NewClaim, PaymentState,
};
use quittance_protocol::ErrorCode;

use common::*;

const LEASE_MS: i64 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_instance_is_fenced_and_its_work_adopted() {
    let Some(store) = Store::postgres().await else { return };
    let one = store.open_as("one", NOW).await.unwrap();
    let two = store.open_as("two", NOW).await.unwrap();
    let claimed = won(&one, new_claim(1, 0)).await.into_payment().id;
    let running = settled(&one, 2).await;
    assert_eq!(one.start_delivery(&running, at_most(3), NOW).await.unwrap(), DeliveryStart::Run { run: 1 });
    let elsewhere = DeliveryStart::Running { owner: "one".to_owned(), since_ms: NOW };
    assert_eq!(two.start_delivery(&running, at_most(3), NOW).await.unwrap(), elsewhere);

    assert!(two.adopt_orphans(NOW + LEASE_MS).await.unwrap().is_empty(), "the lease still holds");
    let refused = two.refuse(&claimed, ErrorCode::InsufficientFunds, "not mine", None, NOW).await;
    assert!(matches!(refused, Err(LedgerError::NotOwner { .. })));

    let late = NOW + LEASE_MS + 1;
    two.heartbeat(late).await.unwrap();
    let adopted = two.adopt_orphans(late).await.unwrap();
    assert_eq!(adopted.iter().map(|p| &p.id).collect::<Vec<_>>(), [&claimed]);
    assert_eq!(two.unfinished().await.unwrap(), adopted);
    assert_eq!(two.payment(&running).await.unwrap().unwrap().delivery, DeliveryState::Credited);

    // The old owner wakes up: by its own clock it may not act, and with a
    // clock that is behind the rows refuse it.
    assert!(matches!(
        one.record(NewAttempt::unnumbered(&claimed, signed("a")), late).await,
        Err(LedgerError::LeaseLost)
    ));
    assert!(matches!(
        one.record(NewAttempt::unnumbered(&claimed, signed("a")), NOW).await,
        Err(LedgerError::NotOwner { .. })
    ));
    let late_answer = one.finish_delivery(&running, 1, &answer(b"late"), NOW).await;
    assert!(matches!(late_answer, Err(LedgerError::DeliveryTransition { .. })));
    assert!(matches!(one.heartbeat(late).await, Err(LedgerError::LeaseLost)));
    assert!(one.recorded_attempts(&claimed).await.unwrap().is_empty());

    assert_eq!(two.start_delivery(&running, at_most(3), late).await.unwrap(), DeliveryStart::Run { run: 2 });
    two.record(NewAttempt::unnumbered(&claimed, signed("b")), late).await.unwrap();
    // Evidence of an arrival is taken from anybody.
    let settled = one.settle(&claimed, &landing("b"), NOW).await.unwrap();
    assert_eq!(settled.state, PaymentState::Settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_slept_joins_again_and_leaves_others_what_they_took() {
    let Some(store) = Store::postgres().await else { return };
    let one = store.open_as("one", NOW).await.unwrap();
    let two = store.open_as("two", NOW).await.unwrap();
    let claimed = won(&one, new_claim(1, 0)).await.into_payment().id;
    let late = NOW + LEASE_MS + 1;
    two.heartbeat(late).await.unwrap();
    assert_eq!(two.adopt_orphans(late).await.unwrap().len(), 1);
    assert!(matches!(one.heartbeat(late).await, Err(LedgerError::LeaseLost)));

    one.rejoin(late).await.unwrap();
    one.heartbeat(late).await.unwrap();
    assert!(one.unfinished().await.unwrap().is_empty());
    let refused = one.record(NewAttempt::unnumbered(&claimed, signed("a")), late).await;
    assert!(matches!(refused, Err(LedgerError::NotOwner { .. })));
    assert_eq!(two.unfinished().await.unwrap().len(), 1);
    let Ok(ClaimOutcome::Won(fresh)) = one.claim(new_claim(2, 0), late).await else {
        panic!("it claims again")
    };
    one.record(NewAttempt::unnumbered(&fresh.into_payment().id, signed("b")), late).await.unwrap();
}

/// Leases by the database's clock: a host whose clock is a minute ahead takes
/// nothing from one that lives, and one a minute behind is not taken for dead.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_disagree_about_the_time_take_nothing_from_each_other() {
    const MINUTE_MS: i64 = 60_000;
    let Some(store) = Store::postgres().await else { return };
    let now_ms = database_now_ms(&store.url).await;
    let open = async |name: &str, now_ms: i64| {
        let options = LedgerOptions { lease_clock: LeaseClock::Database, ..LedgerOptions::new(name) };
        Ledger::open(&store.url, options, now_ms).await.unwrap()
    };
    let (behind, ahead) = (now_ms - MINUTE_MS, now_ms + MINUTE_MS);
    let (slow, fast) = (open("slow", behind).await, open("fast", ahead).await);
    won_at(&slow, new_claim(1, 0), behind).await;
    won_at(&fast, new_claim(2, 0), ahead).await;
    for _ in 0..3 {
        slow.heartbeat(behind).await.unwrap();
        fast.heartbeat(ahead).await.unwrap();
        assert!(fast.adopt_orphans(ahead).await.unwrap().is_empty());
        assert!(slow.adopt_orphans(behind).await.unwrap().is_empty());
    }
    assert_eq!((slow.unfinished().await.unwrap().len(), fast.unfinished().await.unwrap().len()), (1, 1));
    // And it is seen: within what the test itself may take.
    let (slow_ms, fast_ms) = (slow.clock_skew_ms().unwrap(), fast.clock_skew_ms().unwrap());
    assert!(slow_ms < -MINUTE_MS / 2 && fast_ms > MINUTE_MS / 2, "{slow_ms} {fast_ms}");
}

/// One that stopped is taken over when its lease has passed at the database, whatever the
/// survivor's clock says.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_instance_is_found_by_the_databases_clock() {
    let Some(store) = Store::postgres().await else { return };
    let now_ms = database_now_ms(&store.url).await;
    let options = |name: &str, lease_ms: i64| LedgerOptions {
        lease_clock: LeaseClock::Database,
        lease_ms,
        ..LedgerOptions::new(name)
    };
    let one = Ledger::open(&store.url, options("one", 1), now_ms).await.unwrap();
    let claimed = new_claim(1, 0);
    won_at(&one, claimed.clone(), now_ms).await;
    // A clock an hour behind: by it the lease of the other still holds.
    let slow_ms = now_ms - 3_600_000;
    let two = Ledger::open(&store.url, options("two", LEASE_MS), slow_ms).await.unwrap();
    let adopted = two.adopt_orphans(slow_ms).await.unwrap();
    assert_eq!(adopted.iter().map(|payment| &payment.id).collect::<Vec<_>>(), [&claimed.id]);
}

async fn won_at(ledger: &Ledger, new: NewClaim, now_ms: i64) {
    assert!(matches!(ledger.claim(new, now_ms).await.unwrap(), ClaimOutcome::Won(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_keeps_the_lease() {
    let Some(store) = Store::postgres().await else { return };
    let one = store.open_as("one", NOW).await.unwrap();
    let two = store.open_as("two", NOW).await.unwrap();
    won(&one, new_claim(1, 0)).await;
    let late = NOW + 2 * LEASE_MS;
    assert!(
        matches!(two.adopt_orphans(late).await, Err(LedgerError::LeaseLost)),
        "its own lease comes first"
    );
    one.heartbeat(late).await.unwrap();
    two.heartbeat(late).await.unwrap();
    assert!(two.adopt_orphans(late).await.unwrap().is_empty());
    assert_eq!(one.unfinished().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_does_not_give_the_name_away() {
    const BREAK: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d \
        ON d.oid = database WHERE locktype = 'advisory' AND d.datname = current_database()";
    let Some(store) = Store::postgres().await else { return };
    let one = store.open_as("one", NOW).await.unwrap();
    tamper(&store.url, BREAK).await.unwrap();
    one.heartbeat(NOW).await.unwrap();
    let options = LedgerOptions { open_wait_ms: 0, ..LedgerOptions::new("one") };
    let second = Ledger::open(&store.url, options.clone(), NOW).await;
    assert!(matches!(second, Err(LedgerError::InUse(_))), "the heartbeat took the name again");
    // Somebody else is quicker: the first must stop.
    tamper(&store.url, BREAK).await.unwrap();
    let two = store.open_as("one", NOW).await.unwrap();
    assert!(matches!(one.heartbeat(NOW).await, Err(LedgerError::LeaseLost)));
    two.heartbeat(NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_race_across_processes() {
    let Some(store) = Store::postgres().await else { return };
    let (one, two) = (store.open_as("one", NOW).await.unwrap(), store.open_as("two", NOW).await.unwrap());
    let tasks = (0..100_u64).map(|copy| {
        let ledger = if copy % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move { ledger.claim(new_claim(1, copy), NOW).await.unwrap() })
    });
    let outcomes = futures::future::join_all(tasks).await;
    let won = outcomes.into_iter().filter(|o| matches!(o, Ok(quittance_ledger::ClaimOutcome::Won(_))));
    assert_eq!(won.count(), 1);
}
