//! What prepaid work used, and what settling cost of what was charged, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_usage_is_stored_with_its_answer_and_outlives_it,
    a_run_that_failed_leaves_no_usage,
    a_usage_out_of_range_is_refused_whole,
    reserves_are_summed_beside_what_was_used,
    costs_are_shares_of_what_was_charged,
);

mod cases {
    use quittance_ledger::{
        CostEntry, CostShares, DeliveryState, Ledger, LedgerError, NewAttempt, NewClaim, Retention, RunEnd,
        StoredAnswer, USAGE_MAX, Usage, UsageSum,
    };
    use quittance_protocol::{Amount, PaymentId};

    use crate::common::*;

    fn usage(product: &str, reserved: u64, metered: u64) -> Usage {
        Usage {
            product: product.to_owned(),
            prompt_tokens_reserved: 100,
            prompt_tokens: 80,
            completion_tokens_reserved: 4_096,
            completion_tokens: 17,
            reserved: Amount::new(reserved),
            metered: Amount::new(metered),
            charged: Amount::new(reserved),
        }
    }

    fn used(usage: Usage) -> StoredAnswer {
        StoredAnswer { usage: Some(usage), ..answer(b"{}") }
    }

    async fn deliver(ledger: &Ledger, key: u64, usage: Usage) -> PaymentId {
        let id = settled(ledger, key).await;
        ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
        ledger.finish_delivery(&id, 1, &used(usage), NOW).await.unwrap();
        id
    }

    pub(super) async fn a_usage_is_stored_with_its_answer_and_outlives_it(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
        assert_eq!(ledger.usage(&id).await.unwrap(), None);
        let before = ledger.commits();
        let usage = usage("a\0model", 47_000, 470);
        ledger.finish_delivery(&id, 1, &used(usage.clone()), NOW).await.unwrap();
        assert_eq!(ledger.commits() - before, 1, "no commit of its own");
        let stored = Usage { product: "a\u{fffd}model".to_owned(), ..usage };
        assert_eq!(ledger.usage(&id).await.unwrap(), Some(stored.clone()));
        assert_eq!(ledger.answer(&id).await.unwrap().unwrap(), used(stored.clone()));
        let journal = ledger.journal(&id).await.unwrap();
        let line = journal.iter().find(|line| line.event == "delivered").unwrap();
        assert_eq!(line.detail["usage"]["metered"], "470");
        ledger.prune(Retention { answers_ms: 1 }, NOW + 2).await.unwrap();
        assert_eq!(ledger.answer(&id).await.unwrap(), None);
        assert_eq!(ledger.usage(&id).await.unwrap(), Some(stored));
        let silent = settled(&ledger, 2).await;
        ledger.start_delivery(&silent, at_most(1), NOW).await.unwrap();
        ledger.finish_delivery(&silent, 1, &answer(b"png"), NOW).await.unwrap();
        assert_eq!(ledger.usage(&silent).await.unwrap(), None, "most hosts have nothing to report");
    }

    pub(super) async fn a_run_that_failed_leaves_no_usage(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        ledger.start_delivery(&id, at_most(2), NOW).await.unwrap();
        ledger.credit_delivery(&id, 1, RunEnd::Failed, "500", NOW).await.unwrap();
        let late = ledger.finish_delivery(&id, 1, &used(usage("m", 10, 9)), NOW).await.unwrap_err();
        assert!(matches!(late, LedgerError::DeliveryTransition { .. }), "{late}");
        assert_eq!(ledger.usage(&id).await.unwrap(), None);
        ledger.start_delivery(&id, at_most(2), NOW).await.unwrap();
        ledger.finish_delivery(&id, 2, &used(usage("m", 10, 4)), NOW).await.unwrap();
        assert_eq!(ledger.usage(&id).await.unwrap().unwrap().metered, Amount::new(4));
    }

    pub(super) async fn a_usage_out_of_range_is_refused_whole(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
        for wrong in [
            Usage { metered: Amount::new(USAGE_MAX + 1), ..usage("m", 1, 1) },
            Usage { prompt_tokens: u64::MAX, ..usage("m", 1, 1) },
        ] {
            let error = ledger.finish_delivery(&id, 1, &used(wrong), NOW).await.unwrap_err();
            assert!(matches!(error, LedgerError::OutOfRange { .. }), "{error}");
            let payment = ledger.payment(&id).await.unwrap().unwrap();
            assert_eq!(payment.delivery, DeliveryState::Running, "neither answer nor usage");
        }
        let largest = Usage { metered: Amount::new(USAGE_MAX), ..usage("m", 1, 1) };
        ledger.finish_delivery(&id, 1, &used(largest), NOW).await.unwrap();
        assert_eq!(ledger.usages(0).await.unwrap()[0].share_most_bps, USAGE_MAX * 10_000);
    }

    pub(super) async fn reserves_are_summed_beside_what_was_used(store: Store) {
        let ledger = store.open().await;
        // Twenty answers: shares of 1 % to 20 % of the reserve, one of another model above it.
        for key in 1..=20 {
            deliver(&ledger, key, usage("small", 1_000, key * 10)).await;
        }
        deliver(&ledger, 99, Usage { prompt_tokens: 123, ..usage("large", 300, 401) }).await;
        let rows = ledger.usages(NOW).await.unwrap();
        let resource = "POST /v1/images".to_owned();
        let large = UsageSum {
            resource: resource.clone(),
            product: "large".to_owned(),
            answers: 1,
            over: 1,
            reserved: Amount::new(300),
            metered: Amount::new(401),
            charged: Amount::new(300),
            share_median_bps: 13_367,
            share_p95_bps: 13_367,
            share_most_bps: 13_367,
            prompt_share_most_bps: 12_300,
        };
        let small = UsageSum {
            resource,
            product: "small".to_owned(),
            answers: 20,
            over: 0,
            reserved: Amount::new(20_000),
            metered: Amount::new(2_100),
            charged: Amount::new(20_000),
            share_median_bps: 1_000,
            share_p95_bps: 1_900,
            share_most_bps: 2_000,
            prompt_share_most_bps: 8_000,
        };
        assert_eq!(rows, [large, small]);
        assert_eq!(ledger.usages(NOW + 1).await.unwrap(), []);
    }

    pub(super) async fn costs_are_shares_of_what_was_charged(store: Store) {
        let ledger = store.open().await;
        for key in 1..=100_u64 {
            let new = NewClaim { gas: Amount::new(1_000), ..new_claim(key, 0) };
            let id = won(&ledger, new).await.into_payment().id;
            ledger.record(NewAttempt::unnumbered(&id, signed(format!("tx{key}"))), NOW).await.unwrap();
            ledger.settle(&id, &landing(&format!("tx{key}")), NOW).await.unwrap();
            let cost = |transaction: String, usdc: Option<u64>, earned| CostEntry {
                network: base(),
                transaction,
                payment: Some(id.clone()),
                native: u128::from(u64::MAX) + 7,
                usdc: usdc.map(Amount::new),
                earned,
            };
            // Of 100 payments the last costs more than it was charged: with what failed before it.
            ledger.book_cost(cost(format!("tx{key}"), Some(700 + key), true), NOW).await.unwrap();
            if key == 100 {
                ledger.book_cost(cost("failed".to_owned(), Some(201), false), NOW + 1).await.unwrap();
                let costs = ledger.costs(&id).await.unwrap();
                let shown: Vec<_> = costs.iter().map(|c| (c.transaction.as_str(), c.earned)).collect();
                assert_eq!(shown, [("tx100", true), ("failed", false)]);
                assert_eq!(costs[0], cost("tx100".to_owned(), Some(800), true));
            }
        }
        // Nothing is known about what this one cost.
        settled(&ledger, 101).await;
        let shares = ledger.cost_shares(0).await.unwrap();
        let expected = CostShares {
            network: base(),
            payments: 100,
            under_cost: 1,
            least_bps: 7_010,
            median_bps: 7_500,
            p95_bps: 7_950,
            p99_bps: 7_990,
            most_bps: 10_010,
        };
        assert_eq!(shares, [expected]);
        assert_eq!(ledger.cost_shares(NOW + 1).await.unwrap(), []);
        assert_eq!(ledger.costs(&PaymentId::from_random([9; 16])).await.unwrap(), []);
    }
}
