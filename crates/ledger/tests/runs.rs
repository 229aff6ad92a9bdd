//! Runs that left no answer: which of them count, and against what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_handler_that_kills_its_process_ends,
    runs_that_a_stop_or_a_lost_lease_ended_are_free,
    a_credit_that_dies_with_its_process_for_good_answers_nobody_else,
    a_refund_is_listed_for_each_payment_that_bought_nothing_whole,
);

mod cases {
    use quittance_ledger::{
        ClaimOutcome, DeliveryStart, DeliveryState, Ledger, LedgerOptions, NewClaim, PaymentFilter,
        RepeatPolicy, RunEnd, RunLimits, StoredAnswer,
    };
    use quittance_protocol::PaymentId;

    use crate::common::*;

    const LIMITS: RunLimits = RunLimits { failed_max: 1, crashed_max: 3 };

    async fn settled(ledger: &Ledger, key: u64) -> PaymentId {
        let id = won(ledger, new_claim(key, 0)).await.into_payment().id;
        ledger.settle(&id, &landing(&format!("tx{key}")), NOW).await.unwrap();
        id
    }

    async fn run(ledger: &Ledger, id: &PaymentId, now_ms: i64) -> u32 {
        match ledger.start_delivery(id, LIMITS, now_ms).await.unwrap() {
            DeliveryStart::Run { run } => run,
            other => panic!("{other:?}"),
        }
    }

    /// One life after the other dies in the same payment's run.
    async fn dies(store: &Store, id: &PaymentId, times: u32) -> Ledger {
        for _ in 0..times {
            let ledger = store.open().await;
            run(&ledger, id, NOW).await;
            ledger.close().await;
        }
        store.open().await
    }

    pub(super) async fn a_handler_that_kills_its_process_ends(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        ledger.close().await;
        let ledger = dies(&store, &id, 3).await;
        let payment = ledger.payment(&id).await.unwrap().unwrap();
        assert_eq!((payment.runs, payment.runs_interrupted, payment.runs_crashed), (3, 3, 3));
        assert_eq!((payment.delivery, payment.has_runs_left(LIMITS)), (DeliveryState::Credited, false));
        for first in [true, false] {
            let ended = DeliveryStart::Exhausted { failed: 0, crashed: 3, first };
            assert_eq!(ledger.start_delivery(&id, LIMITS, NOW).await.unwrap(), ended);
        }
        let lines = ledger.journal(&id).await.unwrap();
        let crashed: Vec<_> = lines.iter().filter_map(|line| line.detail.get("crashed")?.as_bool()).collect();
        assert_eq!(crashed, [true; 3]);
        assert_eq!(lines.last().unwrap().event, "credit_exhausted");
        assert_eq!(lines.iter().filter(|line| line.event == "credit_exhausted").count(), 1);
        // An operator who knows better raises the limit.
        let more = RunLimits { crashed_max: 4, ..LIMITS };
        assert_eq!(ledger.start_delivery(&id, more, NOW).await.unwrap(), DeliveryStart::Run { run: 4 });
    }

    pub(super) async fn runs_that_a_stop_or_a_lost_lease_ended_are_free(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        for _ in 0..5 {
            let number = run(&ledger, &id, NOW).await;
            ledger.credit_delivery(&id, number, RunEnd::Interrupted, "stop", NOW).await.unwrap();
            // The process lives and only its lease was lost: nobody died of the run.
            run(&ledger, &id, NOW).await;
            ledger.rejoin(NOW).await.unwrap();
        }
        let payment = ledger.payment(&id).await.unwrap().unwrap();
        assert_eq!((payment.runs, payment.runs_interrupted, payment.runs_crashed), (10, 10, 0));
        if store.is_sqlite() {
            return;
        }
        // Another replica cannot know: whoever lost its lease counts as dead.
        run(&ledger, &id, NOW).await;
        let late = NOW + LedgerOptions::new("two").lease_ms + 1;
        let two = store.open_as("two", late).await.unwrap();
        two.adopt_orphans(late).await.unwrap();
        let payment = two.payment(&id).await.unwrap().unwrap();
        assert_eq!((payment.delivery, payment.runs_crashed), (DeliveryState::Credited, 1));
    }

    pub(super) async fn a_credit_that_dies_with_its_process_for_good_answers_nobody_else(store: Store) {
        let repeating = |key| {
            let policy = RepeatPolicy { runs: LIMITS, waiting_since_ms: NOW, aliases_max: 9 };
            NewClaim { repeats: Some(policy), ..new_claim(key, 0) }
        };
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        ledger.close().await;
        let ledger = dies(&store, &id, 2).await;
        assert_eq!(ledger.earlier(&repeating(2)).await.unwrap().unwrap().id, id);
        let outcome = ledger.claim(repeating(2), NOW).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::Aliased(known) if known.payment.id == id));
        ledger.close().await;
        let ledger = dies(&store, &id, 1).await;
        assert_eq!(ledger.earlier(&repeating(3)).await.unwrap(), None);
        assert!(matches!(ledger.claim(repeating(3), NOW).await.unwrap(), ClaimOutcome::Won(_)));
    }

    pub(super) async fn a_refund_is_listed_for_each_payment_that_bought_nothing_whole(store: Store) {
        let ledger = store.open().await;
        let crashed = settled(&ledger, 1).await;
        ledger.close().await;
        let ledger = dies(&store, &crashed, 3).await;
        let failed = settled(&ledger, 2).await;
        let number = run(&ledger, &failed, NOW).await;
        ledger.credit_delivery(&failed, number, RunEnd::Failed, "500", NOW).await.unwrap();
        let part = settled(&ledger, 3).await;
        let number = run(&ledger, &part, NOW).await;
        let lost = StoredAnswer { truncated: true, ..answer(b"long") };
        ledger.finish_delivery(&part, number, &lost, NOW).await.unwrap();
        let refused = settled(&ledger, 4).await;
        let number = run(&ledger, &refused, NOW).await;
        let no = StoredAnswer { status: 422, refundable: true, ..answer(b"no") };
        ledger.finish_delivery(&refused, number, &no, NOW).await.unwrap();
        let owed = won(&ledger, new_claim(5, 0)).await.into_payment().id;
        ledger.settle_owed(&owed, &landing("theirs"), NOW).await.unwrap();
        // With something left of them, or with what they paid for.
        let left = settled(&ledger, 6).await;
        let number = run(&ledger, &left, NOW).await;
        ledger.credit_delivery(&left, number, RunEnd::Interrupted, "stop", NOW).await.unwrap();
        let served = settled(&ledger, 7).await;
        let number = run(&ledger, &served, NOW).await;
        ledger.finish_delivery(&served, number, &answer(b"made"), NOW).await.unwrap();
        settled(&ledger, 8).await;

        let listed = |filter| async { ledger.payments(filter).await.unwrap() };
        let filter = PaymentFilter { refundable: Some(LIMITS), ..PaymentFilter::default() };
        let mut found: Vec<_> = listed(filter).await.into_iter().map(|payment| payment.id).collect();
        let mut wanted = [crashed, failed, part.clone(), refused, owed];
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
        let filter =
            PaymentFilter { delivery: Some(DeliveryState::DeliveredInPart), ..PaymentFilter::default() };
        let found: Vec<_> = listed(filter).await.into_iter().map(|payment| payment.id).collect();
        assert_eq!(found, [part]);
    }
}
