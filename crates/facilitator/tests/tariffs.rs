//! Tariffs through whole facilitators: how long a price stays good, across
//! restarts and replicas, and what closes a network.
//!
//! The chain, its clock and its costs are the test's; the ledger is SQLite, or
//! the model where replicas share one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

#[allow(dead_code, unused_imports, reason = "each program of tests uses what it needs")]
#[path = "tariffs/chain.rs"]
mod chain;
#[path = "tariffs/claimants.rs"]
mod claimants;
#[path = "tariffs/foreign.rs"]
mod foreign;
#[path = "tariffs/gate.rs"]
mod gate;
#[allow(dead_code, reason = "each program of tests uses what it needs")]
#[path = "tariffs/process.rs"]
mod harness;
#[path = "tariffs/stored.rs"]
mod stored;
#[path = "tariffs/strangers.rs"]
mod strangers;
#[path = "tariffs/words.rs"]
mod words;

use std::sync::Arc;

use harness::{Chain, GAS, Outcome, Process, SERVICE, Time, WINDOW_MS};
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{Ledger, LedgerOptions};
use quittance_protocol::Amount;

/// A day, and what its ceilings may last longer.
const DAY_MS: i64 = (24 * 60 + 10) * 60_000;
/// Ten seconds.
const A_WHILE_MS: i64 = 10_000;

async fn sqlite(folder: &tempfile::TempDir, time: &Time) -> Ledger {
    let url = format!("sqlite://{}", folder.path().join("books.sqlite").display());
    Ledger::open(&url, LedgerOptions::new("one"), time.now_ms()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_price_stays_good_for_its_time_also_across_a_restart() {
    let (folder, time, chain) = (tempfile::tempdir().unwrap(), Time::default(), Chain::default());
    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, "").await;
    assert_eq!(process.offered(), Some(GAS));
    time.pass(A_WHILE_MS);
    chain.set_cost(2);
    process.until_offered(Some(2 * GAS)).await;
    process.close().await;

    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, "").await;
    assert_eq!(process.offered(), Some(2 * GAS), "the price of the last life, not a fresh one");
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted, "the old price is still good");
    assert_eq!(process.pay(SERVICE + 2 * GAS).await, Outcome::Granted);
    // The window counts from the replacement.
    time.pass(WINDOW_MS);
    process.until_offered(Some(2 * GAS)).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted, "to the last millisecond");
    time.pass(1);
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::WrongAmount, "and not longer");
    assert_eq!(process.pay(SERVICE + 2 * GAS).await, Outcome::Granted);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_of_one_replica_is_good_at_another() {
    let (database, time) = (ModelDatabase::shared(), Time::default());
    let open = async |name: &str, chain: &Chain| {
        let options = LedgerOptions { lease_ms: i64::MAX / 4, ..LedgerOptions::new(name) };
        Process::open(database.open(&options, time.now_ms()).unwrap(), chain, &time, "").await
    };
    let (near, far) = (Chain::default(), Chain::default());
    let (one, two) = (open("one", &near).await, open("two", &far).await);
    assert_eq!((one.offered(), two.offered()), (Some(GAS), Some(GAS)));
    // The second replica sees nothing of the rise: its node does not answer.
    far.cut_off();
    time.pass(A_WHILE_MS);
    near.set_cost(2);
    one.until_offered(Some(2 * GAS)).await;
    assert_eq!(two.offered(), Some(GAS), "it offers what it knows");
    assert_eq!(two.pay(SERVICE + 2 * GAS).await, Outcome::Granted, "unknown, so it rereads the ledger");
    assert_eq!(two.offered(), Some(2 * GAS), "and offers the common price from then on");
    for process in [&one, &two] {
        assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
        assert_eq!(process.pay(SERVICE + GAS + 1).await, Outcome::WrongAmount);
    }
    // A third that starts now honours what others offered before it was there.
    let three = open("three", &near).await;
    assert_eq!(three.pay(SERVICE + GAS).await, Outcome::Granted);
    time.pass(WINDOW_MS + 1);
    one.until_offered(Some(2 * GAS)).await;
    for process in [&one, &three] {
        assert_eq!(process.pay(SERVICE + GAS).await, Outcome::WrongAmount);
    }
    for process in [one, two, three] {
        process.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_no_longer_covers_the_cost_is_refused_inside_its_window() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "cost_budget_usdc = \"0.001\"").await;
    // With the budget of 1,000 an old price of 3,125 covers a cost of up to 4,125.
    chain.set_cost_milli(1_650);
    process.until_offered(Some(GAS * 1_650 / 1_000 + 1)).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted, "exactly covered");
    chain.set_cost_milli(1_651);
    process.until_offered(Some(GAS * 1_651 / 1_000 + 1)).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::NotCovered);
    assert_eq!(process.pay(SERVICE + GAS * 1_650 / 1_000 + 1).await, Outcome::Granted);
    // Fees that fall again make the old offer good again, while its window lasts.
    chain.set_cost(1);
    time.pass(60_000);
    process.until_cheaper_than(GAS * 1_651 / 1_000 + 1).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_service_price_plus_a_current_tariff_is_taken() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "").await;
    chain.set_cost(2);
    time.pass(A_WHILE_MS);
    process.until_offered(Some(2 * GAS)).await;
    let good = [SERVICE + GAS, SERVICE + 2 * GAS];
    let near = [0, GAS, SERVICE]
        .into_iter()
        .flat_map(|at| (at.saturating_sub(2)..at + 3).chain(at + GAS - 2..at + GAS + 3));
    let mut tried = 0;
    for amount in near.chain([SERVICE + 2 * GAS - 1, SERVICE + 2 * GAS, SERVICE + 2 * GAS + 1, u64::MAX / 4])
    {
        let expected = if good.contains(&amount) { Outcome::Granted } else { Outcome::WrongAmount };
        assert_eq!(process.pay(amount).await, expected, "{amount}");
        tried += 1;
    }
    assert!(tried > 30);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rises_are_at_once_falls_are_slow_and_the_floor_holds() {
    let (folder, time, chain) = (tempfile::tempdir().unwrap(), Time::default(), Chain::default());
    let extra = "gas_floor_usdc = \"0.002500\"";
    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, extra).await;
    chain.set_cost(50);
    process.until_offered(Some(50 * GAS)).await;
    chain.set_cost(1);
    time.pass(60_000);
    process.until_offered(Some(45 * GAS)).await;
    // A restart is no way around the limit.
    process.close().await;
    time.pass(30_000);
    let process = Process::open(sqlite(&folder, &time).await, &chain, &time, extra).await;
    assert_eq!(process.offered(), Some(45 * GAS * 95 / 100 + 1), "a twentieth in half a minute");
    time.pass(100 * 60_000);
    process.until_offered(Some(GAS)).await;
    chain.set_cost_milli(1);
    time.pass(60 * 60_000);
    process.until_offered(Some(2_500)).await;
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_ceiling_and_without_a_tariff_a_network_is_not_offered() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "gas_ceiling_usdc = \"0.006250\"").await;
    chain.set_cost(2);
    process.until_offered(Some(2 * GAS)).await;
    chain.set_cost_milli(2_001);
    process.until_offered(None).await;
    assert_eq!(process.retry_after_seconds(), Some(5));
    // Held offers stay good: they were made, and cover the cost with the budget.
    assert_eq!(process.pay(SERVICE + 2 * GAS).await, Outcome::Unavailable, "but nothing is signed meanwhile");
    chain.set_cost(2);
    time.pass(1_000);
    process.until_offered(Some(2 * GAS)).await;
    assert_eq!(process.pay(SERVICE + 2 * GAS).await, Outcome::Granted);
    // A node that is silent for longer than a tariff may live closes the network, and opens it again.
    chain.cut_off();
    time.pass(13_000);
    process.until_offered(None).await;
    chain.answer();
    process.until_offered(Some(2 * GAS)).await;
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_days_allowance_closes_the_network_until_costs_are_older() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    // Each settlement costs 2,500: the second one reaches the ceiling.
    let process = Process::open(ledger, &chain, &time, "spent_network_day_usdc = \"0.005\"").await;
    for _ in 0..2 {
        assert_eq!(process.offered(), Some(GAS));
        assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    }
    process.until_offered(None).await;
    assert_eq!(process.retry_after_seconds(), Some(60));
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Unavailable);
    time.pass(DAY_MS);
    process.until_offered(Some(GAS)).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    assert_eq!(Amount::new(GAS).to_usdc(), "0.003125");
    process.close().await;
}

/// An offer is not made that would be refused: near the day's allowance there is
/// room for what was spent, and none for another settlement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_network_is_not_offered_once_the_next_settlement_would_pass_the_days_allowance() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    // Each settlement costs 2,500 at most: two are spent, a third would make 7,500.
    let process = Process::open(ledger, &chain, &time, "spent_network_day_usdc = \"0.007499\"").await;
    for _ in 0..2 {
        assert_eq!(process.offered(), Some(GAS));
        assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    }
    process.until_offered(None).await;
    assert_eq!((process.closed(), process.retry_after_seconds()), (Some("spent_ceiling"), Some(60)));
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Unavailable);
    time.pass(DAY_MS);
    process.until_offered(Some(GAS)).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    process.close().await;
}

/// What is in flight takes the room of the day's allowance too, and gives it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_what_is_reserved_of_the_days_allowance_closes_a_network_until_it_is_released() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "spent_network_day_usdc = \"0.005\"").await;
    chain.hold(true);
    for payer in ["one", "two"] {
        assert_eq!(process.pay_as(payer, SERVICE + GAS).await, Outcome::Pending);
    }
    process.until_offered(None).await;
    assert_eq!((process.closed(), process.retry_after_seconds()), (Some("in_flight_ceiling"), Some(5)));
    assert_eq!(process.pay_as("three", SERVICE + GAS).await, Outcome::Unavailable);
    // The first lands for half of what was reserved for each.
    chain.set_landing_milli(500);
    chain.hold(false);
    process.until_offered(Some(GAS)).await;
    assert_eq!(process.pay_as("three", SERVICE + GAS).await, Outcome::Granted);
    process.close().await;
}

/// Attempts that fill the in-flight ceiling close a network once none of them ends,
/// and the first that does opens it: it does not wait for the next tariff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_full_in_flight_ceiling_closes_a_network_until_reservations_are_released() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "in_flight_network_usdc = \"0.007\"").await;
    chain.hold(true);
    for payer in ["one", "two"] {
        assert_eq!(process.pay_as(payer, SERVICE + GAS).await, Outcome::Pending);
    }
    assert_eq!(process.pay_as("three", SERVICE + GAS).await, Outcome::Unavailable, "it waited for a place");
    assert_eq!(process.offered(), Some(GAS), "who pays waits for a turn, and may get one");
    time.pass(3_000);
    process.until_offered(None).await;
    assert_eq!((process.closed(), process.retry_after_seconds()), (Some("in_flight_ceiling"), Some(5)));
    chain.hold(false);
    process.until_offered(Some(GAS)).await;
    assert_eq!(process.pay_as("three", SERVICE + GAS).await, Outcome::Granted);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_network_where_one_settlement_passes_a_ceiling_is_not_offered() {
    for quote in [
        "in_flight_payer_usdc = \"0.002\"",
        "in_flight_network_usdc = \"0.002\"",
        "uncollected_network_day_usdc = \"0.001\"\nprobe_network_day_usdc = \"0.001\"",
    ] {
        let (time, chain) = (Time::default(), Chain::default());
        let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
        let process = Process::open(ledger, &chain, &time, quote).await;
        assert_eq!((process.offered(), process.closed()), (None, Some("bound_above_ceiling")), "{quote}");
        assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Unavailable);
        process.close().await;
    }
}

/// P3: strangers whose attempts earn nothing use up the soft limit and the
/// probes; the network stays offered, and who paid for settling before buys on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_strangers_burn_the_limits_and_switch_nothing_off() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    // A settlement's bound is 2,500, and so is what a reverted one burns.
    let quote = "uncollected_network_day_usdc = \"0.005\"\nprobe_network_day_usdc = \"0.0025\"\n\
                 payer_history_part = \"0.5\"";
    let process = Process::open(ledger, &chain, &time, quote).await;
    for _ in 0..2 {
        assert_eq!(process.pay_as("regular", SERVICE + GAS).await, Outcome::Granted);
    }
    chain.revert(true);
    for stranger in ["one", "two", "three"] {
        assert_eq!(process.pay_as(stranger, SERVICE + GAS).await, Outcome::Pending, "{stranger}");
    }
    assert_eq!(
        process.pay_as("four", SERVICE + GAS).await,
        Outcome::Unavailable,
        "soft limit and probe are gone"
    );
    chain.revert(false);
    assert_eq!(process.pay_as("four", SERVICE + GAS).await, Outcome::Unavailable);
    time.pass(A_WHILE_MS);
    assert_eq!(process.offered(), Some(GAS), "an offer does not know who reads it");
    assert_eq!(process.pay_as("regular", SERVICE + GAS).await, Outcome::Granted);
    time.pass(DAY_MS);
    process.until_offered(Some(GAS)).await;
    assert_eq!(process.pay_as("four", SERVICE + GAS).await, Outcome::Granted, "the window has rolled");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_payer_who_burnt_its_allowance_is_shut_out_for_a_day() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "uncollected_payer_day_usdc = \"0.0025\"").await;
    chain.revert(true);
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Pending);
    chain.revert(false);
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::PayerRefused);
    assert_eq!(process.pay_as("other", SERVICE + GAS).await, Outcome::Granted, "nobody else is shut out");
    time.pass(DAY_MS);
    process.until_offered(Some(GAS)).await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    process.close().await;
}

/// P3 over two processes on one ledger: a thousand strangers at once, each of
/// whose attempts burns its whole bound. Who has history buys all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_thousand_hostile_payers_at_two_processes() {
    let (time, chain) = (Time::default(), Chain::default());
    let database = ModelDatabase::shared();
    let quote = "uncollected_network_day_usdc = \"0.1\"\nprobe_network_day_usdc = \"0.01\"\n\
                 payer_history_part = \"0.5\"";
    let mut processes = Vec::new();
    for name in ["one", "two"] {
        let options = LedgerOptions { lease_ms: 86_400_000, ..LedgerOptions::new(name) };
        let ledger = database.open(&options, time.now_ms()).unwrap();
        processes.push(Arc::new(Process::open(ledger, &chain, &time, quote).await));
    }
    for _ in 0..4 {
        assert_eq!(processes[0].pay_as("regular", SERVICE + GAS).await, Outcome::Granted);
    }
    chain.revert(true);
    let attacks: Vec<_> = (0..1_000)
        .map(|number| {
            let process = Arc::clone(&processes[number % 2]);
            tokio::spawn(async move { process.pay_as(&format!("hostile-{number}"), SERVICE + GAS).await })
        })
        .collect();
    for attack in attacks {
        let outcome = attack.await.unwrap();
        assert!(matches!(outcome, Outcome::Pending | Outcome::Unavailable), "{outcome:?}");
    }
    // From the chain's own books: 110,000 may burn, at 2,500 each.
    let burnt = chain.reverted() * 2_500;
    assert!((100_000..=110_000).contains(&burnt), "{burnt} burnt");
    chain.revert(false);
    for process in &processes {
        assert_eq!(process.pay_as("regular", SERVICE + GAS).await, Outcome::Granted);
        assert_eq!(process.pay_as("newcomer", SERVICE + GAS).await, Outcome::Unavailable);
    }
}

/// Nobody can say that a payment never landed: what lands is sold and settled as ever, and somebody
/// is told why a payment may stay pending, in the log, by an alert and at readiness.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_whose_nodes_keep_no_history_is_sold_and_somebody_is_told() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = ModelDatabase::embedded().open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "").await;
    assert!(process.facilitator.warnings().is_empty());
    chain.keep_no_history();
    let told = tokio::time::Instant::now();
    while process.alerts("no_history") == 0 {
        assert!(told.elapsed().as_secs() < 60, "within a minute");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let warnings = process.facilitator.warnings();
    assert_eq!(warnings.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), ["no_history"]);
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    process.close().await;
}

/// A payment that waits (for room, for a node) is checked again when it is claimed: by then its
/// network may be known to take none, and what is claimed there is signed and lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_nothing_is_claimed_on_a_network_that_closed_while_it_was_checked() {
    let (database, time, chain) = (ModelDatabase::embedded(), Time::default(), Chain::default());
    let ledger = database.open(&LedgerOptions::new("one"), time.now_ms()).unwrap();
    let process = Process::open(ledger, &chain, &time, "").await;
    let (watched, paused) = (process.clone(), chain.clone());
    chain.at_check(move || {
        paused.pause_token();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(watched.until_offered(None));
        });
    });
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Unavailable);
    assert_eq!(process.closed(), Some("token_paused"));
    assert!(database.with(|rows| rows.payments().next().is_none()), "nothing was claimed");
    process.close().await;
}

/// A copy at another replica waits for room that the payment itself takes, and may
/// have burnt by then: it is told that the outcome is unknown, not to sign anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_nobody_is_refused_for_want_of_room_that_its_own_payment_takes() {
    let (database, time) = (ModelDatabase::shared(), Time::default());
    let open = async |name: &str, chain: &Chain| {
        let options = LedgerOptions { lease_ms: i64::MAX / 4, ..LedgerOptions::new(name) };
        let store = database.open(&options, time.now_ms()).unwrap();
        // Less than one attempt costs.
        Process::open(store, chain, &time, "uncollected_payer_day_usdc = \"0.001\"").await
    };
    let (near, far) = (Chain::default(), Chain::default());
    let (one, two) = (open("one", &near).await, open("two", &far).await);
    near.revert(true);
    let (first, books, amount) = (one.clone(), database.clone(), SERVICE + GAS);
    far.meanwhile(move || {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                while books.with(|rows| rows.costs().next().is_none()) {
                    assert_eq!(first.send("payer", amount, 7).await, Outcome::Pending);
                }
            });
        });
    });
    assert_eq!(two.send("payer", amount, 7).await, Outcome::Pending);
    assert_eq!(two.pay(amount).await, Outcome::PayerRefused, "what it burnt counts for the next one");
    for process in [one, two] {
        process.close().await;
    }
}

/// A process that had stood still answers before its next heartbeat: what the ledger
/// does not take down at once begins the window all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_replay_window_begins_also_if_the_ledger_takes_it_down_later() {
    let (database, time, chain) = (ModelDatabase::shared(), Time::default(), Chain::default());
    let options = LedgerOptions { lease_ms: 10_000, ..LedgerOptions::new("one") };
    let store = database.open(&options, time.now_ms()).unwrap();
    let process = Process::open(store, &chain, &time, "").await;
    assert_eq!(process.pay(SERVICE + GAS).await, Outcome::Granted);
    let begun =
        || database.with(|rows| rows.payments().next().map(|one| (one.id.clone(), one.first_answer_at_ms)));
    let (payment, window) = begun().unwrap();
    assert_eq!(window, None);
    // The lease has passed by this process's clock, and is kept again a moment later.
    time.pass(20_000);
    process.answer_sent(&payment);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(begun().unwrap().1, None);
    time.pass(-15_000);
    for _ in 0..600 {
        if begun().unwrap().1.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(begun().unwrap().1, Some(time.now_ms()));
    process.close().await;
}
