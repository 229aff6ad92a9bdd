//! Crashes, leases, group commit, tariffs, costs, the journal: on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_group_commits_once_and_a_failure_stays_alone,
    what_a_crash_left_is_found_again,
    two_processes_do_not_share_a_name,
    tariffs_are_numbered_and_overlap,
    costs_are_booked_once,
    recent_costs_are_summed,
    margins_stand_by_network_and_hour,
    the_journal_is_append_only,
    a_read_only_ledger_changes_nothing,
    a_closed_ledger_says_so,
    lists_are_paged,
);

mod cases {
    use futures::future::join_all;
    use quittance_ledger::testing::tamper;
    use quittance_ledger::{
        ClaimOutcome, CostEntry, DeliveryStart, DeliveryState, ExposureSums, Ledger, LedgerError,
        LedgerOptions, Margin, PaymentFilter, PaymentState, RunEnd,
    };
    use quittance_protocol::{Amount, DurableAttempt as _, PaymentId};
    use serde_json::json;

    use crate::common::*;

    pub(super) async fn a_group_commits_once_and_a_failure_stays_alone(store: Store) {
        let ledger = store.open().await;
        let taken = won(&ledger, new_claim(0, 0)).await.into_payment().request_id;
        let before = ledger.commits();
        let tasks = (1..=300_u64).map(|key| {
            let (ledger, taken) = (ledger.clone(), taken.clone());
            let mut new = new_claim(key, 0);
            // Every tenth breaks a UNIQUE rule in the middle of its group.
            if key % 10 == 0 {
                new.request_id = taken;
            }
            tokio::spawn(async move { (key, ledger.claim(new, NOW).await) })
        });
        for task in join_all(tasks).await {
            let (key, result) = task.unwrap();
            match result {
                Ok(_) => assert_ne!(key % 10, 0),
                Err(LedgerError::Database(_)) => assert_eq!(key % 10, 0),
                Err(other) => panic!("{other}"),
            }
            let stored = ledger.payment(&new_claim(key, 0).id).await.unwrap();
            assert_eq!(stored.is_some(), key % 10 != 0);
        }
        let commits = ledger.commits() - before;
        match store.is_sqlite() {
            true => assert!(commits < 135, "270 operations took {commits} commits"),
            false => assert_eq!(commits, 270),
        }
    }

    pub(super) async fn what_a_crash_left_is_found_again(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 6, NOW).await.unwrap();
        let claimed = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let recorded = won(&ledger, new_claim(2, 0)).await.into_payment().id;
        ledger.record_with_nonce(&recorded, WALLET, signer("tx"), NOW).await.unwrap();
        let running = settled(&ledger, 3).await;
        assert_eq!(
            ledger.start_delivery(&running, at_most(2), NOW).await.unwrap(),
            DeliveryStart::Run { run: 1 }
        );
        assert_eq!(ledger.unfinished().await.unwrap().len(), 2);
        drop(ledger);

        // Dropping a ledger releases its database in the background; opening waits for that.
        let ledger = store.open_as("one", NOW + 1).await.unwrap();
        let unfinished = ledger.unfinished().await.unwrap();
        let states: Vec<_> = unfinished.iter().map(|p| (&p.id, p.state)).collect();
        assert_eq!(states, [(&claimed, PaymentState::Claimed), (&recorded, PaymentState::Recorded)]);
        let attempts = ledger.recorded_attempts(&recorded).await.unwrap();
        assert_eq!((attempts[0].transaction(), attempts[0].nonce()), ("tx@6", Some(6)));
        assert_eq!(ledger.payment(&running).await.unwrap().unwrap().delivery, DeliveryState::Credited);
        assert!(ledger.finish_delivery(&running, 1, &answer(b"late"), NOW).await.is_err());
        assert_eq!(
            ledger.start_delivery(&running, at_most(2), NOW).await.unwrap(),
            DeliveryStart::Run { run: 2 }
        );
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap(), 7);
        assert!(ledger.adopt_orphans(NOW).await.unwrap().is_empty(), "opening took everything");
        ledger.record_with_nonce(&claimed, WALLET, signer("tx"), NOW).await.unwrap();
    }

    pub(super) async fn two_processes_do_not_share_a_name(store: Store) {
        let ledger = store.open().await;
        let second = |name| {
            let options = LedgerOptions { open_wait_ms: 0, ..LedgerOptions::new(name) };
            Ledger::open(&store.url, options, NOW)
        };
        let error = second("one").await.unwrap_err();
        assert!(matches!(error, LedgerError::InUse(_)), "{error}");
        let other = second("two").await;
        assert_eq!(other.is_err(), store.is_sqlite(), "SQLite is for one process, whatever its name");
        ledger.close().await;
        store.open_as("one", NOW).await.unwrap();
    }

    pub(super) async fn tariffs_are_numbered_and_overlap(store: Store) {
        let ledger = store.open().await;
        assert!(ledger.tariffs_since(&base(), 0).await.unwrap().is_empty());
        for (number, gas) in [(1, 100), (2, 250), (3, 180)] {
            let at_ms = NOW + number * 1_000;
            let put =
                ledger.put_tariff(&base(), Amount::new(gas), json!({"n": number}), at_ms).await.unwrap();
            assert_eq!(put, number);
        }
        assert_eq!(ledger.put_tariff(&solana(), Amount::new(7), json!({}), NOW).await.unwrap(), 1);
        for (after_ms, expected) in [(0, vec![1, 2, 3]), (NOW + 2_000, vec![2, 3]), (NOW + 9_000, vec![3])] {
            let rows = ledger.tariffs_since(&base(), after_ms).await.unwrap();
            assert_eq!(rows.iter().map(|r| r.number).collect::<Vec<_>>(), expected);
        }
        let rows = ledger.tariffs_since(&base(), 0).await.unwrap();
        let spans: Vec<_> =
            rows.iter().map(|r| (r.gas.atomic(), r.created_at_ms - NOW, r.replaced_at_ms)).collect();
        assert_eq!(
            spans,
            [(100, 1_000, Some(NOW + 2_000)), (250, 2_000, Some(NOW + 3_000)), (180, 3_000, None)]
        );
        // A replica whose clock is behind replaces, but not before the tariff began.
        ledger.put_tariff(&base(), Amount::new(1), json!({}), NOW).await.unwrap();
        let rows = ledger.tariffs_since(&base(), 0).await.unwrap();
        assert_eq!(rows[2].replaced_at_ms, Some(NOW + 3_000));
        let tasks = (0..40).map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(
                async move { ledger.put_tariff(&base(), Amount::new(2), json!({}), NOW).await.unwrap() },
            )
        });
        let mut numbers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (5..45).collect::<Vec<_>>());
    }

    pub(super) async fn costs_are_booked_once(store: Store) {
        let ledger = store.open().await;
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let entry = |transaction: &str, usdc: Option<u64>, earned| CostEntry {
            network: base(),
            transaction: transaction.to_owned(),
            payment: Some(id.clone()),
            native: u128::MAX,
            usdc: usdc.map(Amount::new),
            earned,
        };
        for (entry, at_ms, new) in [
            (entry("a", Some(40), false), NOW, true),
            (entry("a", Some(40), false), NOW, false),
            (entry("b", Some(2), false), NOW - 10_000, true),
            (entry("c", Some(1_000), true), NOW, true),
            (entry("d", None, false), NOW, true),
            (CostEntry { payment: None, ..entry("e", Some(500), false) }, NOW, true),
        ] {
            assert_eq!(ledger.book_cost(entry, at_ms).await.unwrap(), new);
        }
        let sums = ledger.exposure(&base(), NOW).await.unwrap();
        assert_eq!((sums.burnt.usdc, sums.spent), (Amount::new(542), Amount::new(1_542)));
        assert_eq!(sums.burnt.native, 4 * 10_u64.pow(18), "what no cost can be is not summed whole");
        assert_eq!(ledger.exposure(&solana(), NOW).await.unwrap(), ExposureSums::default());
    }

    fn cost(transaction: String, payment: Option<&PaymentId>, usdc: Option<u64>, earned: bool) -> CostEntry {
        let payment = payment.cloned();
        CostEntry { network: base(), transaction, payment, native: 1, usdc: usdc.map(Amount::new), earned }
    }

    /// The ceilings' day, up to ten minutes longer, whatever happened before it.
    pub(super) async fn recent_costs_are_summed(store: Store) {
        const DAY_MS: i64 = 24 * 3_600_000;
        const SLOT_MS: i64 = 600_000;
        let ledger = store.open().await;
        for (number, usdc, earned, at_ms) in [
            (1, Some(100), true, NOW - 2 * SLOT_MS),
            (2, Some(40), true, NOW - SLOT_MS),
            (3, Some(7), false, NOW - SLOT_MS),
            (4, None, false, NOW - SLOT_MS),
            (5, Some(2), false, NOW),
        ] {
            ledger.book_cost(cost(format!("t{number}"), None, usdc, earned), at_ms).await.unwrap();
        }
        for (network, now_ms, total, burnt) in [
            (base(), NOW, 149, 9),
            (base(), NOW - SLOT_MS + DAY_MS, 49, 9),
            (base(), NOW + DAY_MS, 2, 2),
            (base(), NOW + DAY_MS + SLOT_MS, 0, 0),
            (solana(), NOW, 0, 0),
        ] {
            let sums = ledger.exposure(&network, now_ms).await.unwrap();
            assert_eq!((sums.spent, sums.burnt.usdc), (Amount::new(total), Amount::new(burnt)), "{now_ms}");
        }
    }

    /// Settles a payment claimed at `at_ms`, with what its landing cost.
    async fn sold(ledger: &Ledger, key: u64, at_ms: i64, usdc: Option<u64>) -> PaymentId {
        let claim = match ledger.claim(new_claim(key, 0), at_ms).await.unwrap() {
            ClaimOutcome::Won(claim) => claim,
            other => panic!("not claimed: {other:?}"),
        };
        let id = claim.into_payment().id;
        let landing = landing(&format!("landed{key}"));
        ledger.settle(&id, &landing, at_ms).await.unwrap();
        // Booked an hour later: the cost still counts in the hour of the claim.
        let entry = cost(landing.transaction, Some(&id), usdc, true);
        ledger.book_cost(entry, at_ms + 3_600_000).await.unwrap();
        id
    }

    pub(super) async fn margins_stand_by_network_and_hour(store: Store) {
        let ledger = store.open().await;
        assert_eq!(ledger.margins(0).await.unwrap(), []);
        let hour_ms = NOW - NOW % 3_600_000 - 3 * 3_600_000;
        for key in 1..=40_u64 {
            sold(&ledger, key, hour_ms + i64::try_from(key).unwrap(), Some(1_000 - key)).await;
        }
        let id = sold(&ledger, 41, hour_ms + 3_600_000, None).await;
        ledger.book_cost(cost("reverted".to_owned(), Some(&id), Some(77), false), NOW).await.unwrap();
        ledger.book_cost(cost("no-op".to_owned(), None, Some(5), false), hour_ms + 7_200_000).await.unwrap();
        // Claimed, never settled: nothing was charged.
        ledger.claim(new_claim(42, 0), hour_ms).await.unwrap();
        let first = Margin {
            network: base(),
            hour_ms,
            payments: 40,
            charged: Amount::new(40 * 3_938),
            earned_cost: Amount::new((960..1_000).sum()),
            uncollected_cost: Amount::ZERO,
            unpriced: 0,
            cost_least: Some(Amount::new(960)),
            cost_median: Some(Amount::new(979)),
            cost_p95: Some(Amount::new(997)),
        };
        let bare = Margin {
            payments: 0,
            charged: Amount::ZERO,
            earned_cost: Amount::ZERO,
            cost_least: None,
            cost_median: None,
            cost_p95: None,
            ..first.clone()
        };
        let second = Margin {
            hour_ms: hour_ms + 3_600_000,
            payments: 1,
            charged: Amount::new(3_938),
            uncollected_cost: Amount::new(77),
            unpriced: 1,
            ..bare.clone()
        };
        let third = Margin { hour_ms: hour_ms + 7_200_000, uncollected_cost: Amount::new(5), ..bare };
        assert_eq!(ledger.margins(hour_ms).await.unwrap(), [first, second.clone(), third.clone()]);
        assert_eq!(ledger.margins(hour_ms + 3_600_000).await.unwrap(), [second, third]);
    }

    pub(super) async fn the_journal_is_append_only(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
        ledger.credit_delivery(&id, 1, RunEnd::Failed, "handler answered 500", NOW).await.unwrap();
        let lines = ledger.journal(&id).await.unwrap();
        let events: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["claimed", "recorded", "settled", "running", "credited"]);
        assert!(lines.iter().all(|line| line.instance == "one" && line.at_ms == NOW));
        assert!(!format!("{lines:?}").contains("SECRET"));
        for (sql, why) in [
            ("UPDATE journal SET event = 'x'", "the journal is append-only"),
            ("DELETE FROM journal", "the journal is append-only"),
            ("DELETE FROM payments", "payment keys are kept"),
            ("UPDATE payments SET state = 'refused'", "a verdict is final"),
            ("UPDATE payments SET amount = 1", "a claim does not change"),
        ] {
            let error = tamper(&store.url, sql).await.unwrap_err();
            assert!(error.contains(why), "{sql}: {error}");
        }
        assert_eq!(ledger.journal(&id).await.unwrap(), lines);
    }

    pub(super) async fn a_read_only_ledger_changes_nothing(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let options = LedgerOptions { read_only: true, ..LedgerOptions::new("one") };
        let reader = Ledger::open(&store.url, options, NOW).await.unwrap();
        assert_eq!(reader.payment(&id).await.unwrap().unwrap().state, PaymentState::Settled);
        assert_eq!(reader.counts().await.unwrap(), vec![(base(), PaymentState::Settled, 1)]);
        let error = reader.claim(new_claim(2, 0), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::ReadOnly), "{error}");
    }

    pub(super) async fn a_closed_ledger_says_so(store: Store) {
        let ledger = store.open().await;
        ledger.clone().close().await;
        assert!(matches!(ledger.claim(new_claim(1, 0), NOW).await, Err(LedgerError::Closed)));
        assert!(matches!(ledger.counts().await, Err(LedgerError::Closed)));
    }

    pub(super) async fn lists_are_paged(store: Store) {
        let ledger = store.open().await;
        for key in 0..5 {
            won(&ledger, new_claim(key, 0)).await;
        }
        let first = ledger.payments(PaymentFilter { limit: 3, ..PaymentFilter::default() }).await.unwrap();
        let before = first.last().map(|p| p.id.clone());
        let rest =
            ledger.payments(PaymentFilter { limit: 3, before, ..PaymentFilter::default() }).await.unwrap();
        let ids: Vec<_> = first.iter().chain(&rest).map(|p| p.id.clone()).collect();
        assert_eq!(ids, (0..5).rev().map(|key| new_claim(key, 0).id).collect::<Vec<_>>());
        let settled = PaymentFilter { state: Some(PaymentState::Settled), ..PaymentFilter::default() };
        assert!(ledger.payments(settled).await.unwrap().is_empty());
        let there = PaymentFilter { network: Some(solana()), ..PaymentFilter::default() };
        assert!(ledger.payments(there).await.unwrap().is_empty());
    }
}

/// Several processes on one ledger, which only PostgreSQL allows.
mod leases {
    use quittance_ledger::testing::{database_now_ms, tamper};
    use quittance_ledger::{
        ClaimOutcome, DeliveryStart, DeliveryState, LeaseClock, Ledger, LedgerError, LedgerOptions, NewClaim,
        PaymentState,
    };
    use quittance_protocol::ErrorCode;

    use crate::common::*;

    const LEASE_MS: i64 = 30_000;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_instance_is_fenced_and_its_work_adopted() {
        let Some(store) = Store::postgres().await else { return };
        let one = store.open_as("one", NOW).await.unwrap();
        let two = store.open_as("two", NOW).await.unwrap();
        let claimed = won(&one, new_claim(1, 0)).await.into_payment().id;
        let running = settled(&one, 2).await;
        assert_eq!(
            one.start_delivery(&running, at_most(3), NOW).await.unwrap(),
            DeliveryStart::Run { run: 1 }
        );
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
        assert!(matches!(one.record(&claimed, signed("a"), late).await, Err(LedgerError::LeaseLost)));
        assert!(matches!(one.record(&claimed, signed("a"), NOW).await, Err(LedgerError::NotOwner { .. })));
        let late_answer = one.finish_delivery(&running, 1, &answer(b"late"), NOW).await;
        assert!(matches!(late_answer, Err(LedgerError::DeliveryTransition { .. })));
        assert!(matches!(one.heartbeat(late).await, Err(LedgerError::LeaseLost)));
        assert!(one.recorded_attempts(&claimed).await.unwrap().is_empty());

        assert_eq!(
            two.start_delivery(&running, at_most(3), late).await.unwrap(),
            DeliveryStart::Run { run: 2 }
        );
        two.record(&claimed, signed("b"), late).await.unwrap();
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
        let refused = one.record(&claimed, signed("a"), late).await;
        assert!(matches!(refused, Err(LedgerError::NotOwner { .. })));
        assert_eq!(two.unfinished().await.unwrap().len(), 1);
        let Ok(ClaimOutcome::Won(fresh)) = one.claim(new_claim(2, 0), late).await else {
            panic!("it claims again")
        };
        one.record(&fresh.into_payment().id, signed("b"), late).await.unwrap();
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
}

#[tokio::test]
async fn an_in_memory_ledger_works() {
    let ledger = quittance_ledger::Ledger::open(
        "sqlite::memory:",
        quittance_ledger::LedgerOptions::new("one"),
        common::NOW,
    )
    .await
    .unwrap();
    let id = common::settled(&ledger, 1).await;
    assert_eq!(ledger.journal(&id).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_url_of_no_known_kind_is_refused_without_repeating_it() {
    let options = quittance_ledger::LedgerOptions::new("one");
    let url = "postgre://user:hunter2@host/db";
    let error = quittance_ledger::Ledger::open(url, options, common::NOW).await.unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
