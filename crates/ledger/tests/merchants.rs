//! What foreign servers are told: once, whoever asks, however often.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both! {
    a_success_is_told_to_one_of_many_askers,
    what_was_lost_is_said_again_as_often_as_is_allowed,
    an_answer_that_was_never_said_costs_nothing,
    a_telling_is_ended_by_its_holder_alone,
    a_process_that_died_while_telling_leaves_it_untold,
    a_check_is_leased_to_one_at_a_time,
    only_settled_merchant_payments_are_told,
    told_is_final_at_the_sql_prompt_too,
    what_an_older_release_told_stays_told,
}

mod cases {
    use futures::future::join_all;
    use quittance_ledger::testing::tamper;
    use quittance_ledger::{Ledger, LedgerError, MerchantAnswer, MerchantAnswerEnd, MerchantCheck, Origin};
    use quittance_protocol::PaymentId;

    use crate::common::{NOW, Store, landing, merchant_claim, settled, won};

    const TELLINGS_MAX: u32 = 2;
    const LEASE_MS: i64 = 1_000;

    async fn sold(ledger: &Ledger, key: u64) -> PaymentId {
        let id = won(ledger, merchant_claim(key)).await.into_payment().id;
        ledger.settle(&id, &landing(&format!("0x{key}")), NOW).await.unwrap();
        id
    }

    async fn begin(ledger: &Ledger, id: &PaymentId, holder: &str) -> MerchantAnswer {
        ledger.begin_merchant_answer(id, holder, TELLINGS_MAX, NOW).await.unwrap()
    }

    async fn end(ledger: &Ledger, id: &PaymentId, holder: &str, end: MerchantAnswerEnd) -> bool {
        ledger.end_merchant_answer(id, holder, end, NOW + 7).await.unwrap()
    }

    pub(super) async fn a_success_is_told_to_one_of_many_askers(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        let tasks = (0..40).map(|asker| {
            let (ledger, id) = (ledger.clone(), id.clone());
            tokio::spawn(async move { begin(&ledger, &id, &format!("asker{asker}")).await })
        });
        let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let begun: Vec<_> =
            (0..40).filter(|at| matches!(answers[*at], MerchantAnswer::Begun { .. })).collect();
        assert_eq!(begun.len(), 1);
        assert_eq!(answers.iter().filter(|answer| **answer == MerchantAnswer::Busy).count(), 39);
        assert!(end(&ledger, &id, &format!("asker{}", begun[0]), MerchantAnswerEnd::Told).await);
        assert_eq!(ledger.payment(&id).await.unwrap().unwrap().merchant_answer_at_ms, Some(NOW + 7));
        for asker in 0..40 {
            assert_eq!(begin(&ledger, &id, &format!("asker{asker}")).await, MerchantAnswer::Told);
        }
    }

    pub(super) async fn what_was_lost_is_said_again_as_often_as_is_allowed(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        for telling in 1..=TELLINGS_MAX {
            let holder = format!("holder{telling}");
            assert_eq!(begin(&ledger, &id, &holder).await, MerchantAnswer::Begun { telling });
            assert!(end(&ledger, &id, &holder, MerchantAnswerEnd::Lost).await);
        }
        assert_eq!(begin(&ledger, &id, "late").await, MerchantAnswer::Told);
        let check = ledger.lease_merchant_check(&id, TELLINGS_MAX, LEASE_MS, NOW).await.unwrap();
        assert_eq!(check, MerchantCheck::Told);
    }

    pub(super) async fn an_answer_that_was_never_said_costs_nothing(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        for round in 0..5 {
            let holder = format!("holder{round}");
            assert_eq!(begin(&ledger, &id, &holder).await, MerchantAnswer::Begun { telling: 1 });
            assert!(end(&ledger, &id, &holder, MerchantAnswerEnd::Unsaid).await);
        }
    }

    pub(super) async fn a_telling_is_ended_by_its_holder_alone(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        assert!(!end(&ledger, &id, "nobody", MerchantAnswerEnd::Lost).await);
        assert_eq!(begin(&ledger, &id, "first").await, MerchantAnswer::Begun { telling: 1 });
        // The answer to the first question was lost: the same asker asks again.
        assert_eq!(begin(&ledger, &id, "first").await, MerchantAnswer::Begun { telling: 1 });
        for ends in [MerchantAnswerEnd::Told, MerchantAnswerEnd::Lost, MerchantAnswerEnd::Unsaid] {
            assert!(!end(&ledger, &id, "second", ends).await);
        }
        assert_eq!(begin(&ledger, &id, "second").await, MerchantAnswer::Busy);
        let begun = ledger.merchant_answers_begun().await.unwrap();
        assert_eq!(begun, [(id.clone(), "first".to_owned())]);
        assert!(end(&ledger, &id, "first", MerchantAnswerEnd::Lost).await);
        assert!(ledger.merchant_answers_begun().await.unwrap().is_empty());
        // It was heard after all, and nobody has been told since.
        assert!(end(&ledger, &id, "first", MerchantAnswerEnd::Told).await);
        assert_eq!(begin(&ledger, &id, "second").await, MerchantAnswer::Told);
        assert!(!end(&ledger, &id, "first", MerchantAnswerEnd::Told).await);
    }

    pub(super) async fn a_process_that_died_while_telling_leaves_it_untold(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        assert_eq!(begin(&ledger, &id, "dead").await, MerchantAnswer::Begun { telling: 1 });
        ledger.close().await;
        let ledger = store.open().await;
        assert_eq!(begin(&ledger, &id, "other").await, MerchantAnswer::Begun { telling: 2 });
        // What the dead one still reports comes too late to say anything about this telling.
        assert!(!end(&ledger, &id, "dead", MerchantAnswerEnd::Told).await);
        ledger.close().await;
        let ledger = store.open().await;
        assert_eq!(begin(&ledger, &id, "third").await, MerchantAnswer::Told);
        let events = ledger.journal(&id).await.unwrap();
        assert_eq!(events.iter().filter(|line| line.event == "merchant_answer_lost").count(), 2);
    }

    pub(super) async fn a_check_is_leased_to_one_at_a_time(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        let check =
            async |at: i64| ledger.lease_merchant_check(&id, TELLINGS_MAX, LEASE_MS, at).await.unwrap();
        assert_eq!(check(NOW).await, MerchantCheck::Leased);
        assert_eq!(check(NOW + LEASE_MS - 1).await, MerchantCheck::Busy);
        assert_eq!(check(NOW + LEASE_MS).await, MerchantCheck::Leased);
        assert_eq!(check(NOW + LEASE_MS).await, MerchantCheck::Busy);
        assert_eq!(begin(&ledger, &id, "holder").await, MerchantAnswer::Begun { telling: 1 });
        assert_eq!(check(NOW + 10 * LEASE_MS).await, MerchantCheck::Busy);
        assert!(end(&ledger, &id, "holder", MerchantAnswerEnd::Lost).await);
        // Whoever settled, the holder of the lease may be at work still.
        assert_eq!(check(NOW + LEASE_MS).await, MerchantCheck::Busy);
        assert_eq!(check(NOW + 2 * LEASE_MS).await, MerchantCheck::Leased);
        assert_eq!(begin(&ledger, &id, "holder").await, MerchantAnswer::Begun { telling: 2 });
        assert!(end(&ledger, &id, "holder", MerchantAnswerEnd::Told).await);
        assert_eq!(check(NOW + 20 * LEASE_MS).await, MerchantCheck::Told);
    }

    pub(super) async fn only_settled_merchant_payments_are_told(store: Store) {
        let ledger = store.open().await;
        let open = won(&ledger, merchant_claim(1)).await.into_payment().id;
        let gate = settled(&ledger, 2).await;
        for (id, gates) in [(&open, false), (&gate, true)] {
            let begun = ledger.begin_merchant_answer(id, "holder", TELLINGS_MAX, NOW).await;
            let check = ledger.lease_merchant_check(id, TELLINGS_MAX, LEASE_MS, NOW).await;
            for error in [begun.unwrap_err(), check.unwrap_err()] {
                let fits = match error {
                    LedgerError::WrongOrigin { payment } => gates && payment.origin == Origin::Gate,
                    LedgerError::Transition { .. } => !gates,
                    _ => false,
                };
                assert!(fits, "{id}");
            }
        }
        let nobody = PaymentId::from_stored("pay_unknown");
        let begun = ledger.begin_merchant_answer(&nobody, "holder", TELLINGS_MAX, NOW).await;
        assert!(matches!(begun, Err(LedgerError::UnknownPayment(_))));
    }

    pub(super) async fn told_is_final_at_the_sql_prompt_too(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        begin(&ledger, &id, "holder").await;
        end(&ledger, &id, "holder", MerchantAnswerEnd::Told).await;
        ledger.close().await;
        tamper(&store.url, "UPDATE merchant_answers SET state = 'untold'").await.unwrap_err();
        tamper(&store.url, "UPDATE payments SET merchant_answer_at_ms = NULL").await.unwrap_err();
    }

    /// Releases that had no row for it wrote the time alone.
    pub(super) async fn what_an_older_release_told_stays_told(store: Store) {
        let ledger = store.open().await;
        let id = sold(&ledger, 1).await;
        ledger.close().await;
        tamper(&store.url, "UPDATE payments SET merchant_answer_at_ms = 5").await.unwrap();
        let ledger = store.open().await;
        assert_eq!(begin(&ledger, &id, "holder").await, MerchantAnswer::Told);
        let check = ledger.lease_merchant_check(&id, TELLINGS_MAX, LEASE_MS, NOW).await.unwrap();
        assert_eq!(check, MerchantCheck::Told);
    }
}
