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
        LedgerOptions, Margin, NewAttempt, PaymentFilter, PaymentState, RunEnd,
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
        ledger.record(NewAttempt::numbered(&recorded, WALLET, signer("tx")), NOW).await.unwrap();
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
        ledger.record(NewAttempt::numbered(&claimed, WALLET, signer("tx")), NOW).await.unwrap();
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
            assert_eq!(ledger.book_cost(entry, at_ms).await.unwrap().is_some(), new);
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
