//! P6: answers in a file or object store: begun before they are written, kept
//! with their run, dropped with their key.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    an_object_is_begun_by_its_run_and_kept_with_its_answer,
    what_a_run_did_not_keep_is_left_over,
    an_answer_that_nobody_got_is_not_delivered_once_it_is_gone,
    an_answer_that_is_not_kept_is_delivered_in_part_until_it_is_got,
    an_answer_is_erased_beside_a_process_that_works,
    what_is_not_made_yet_cannot_be_erased,
    old_answers_go_in_steps_the_oldest_first,
);

mod cases {
    use quittance_ledger::{
        AnswerObject, DeliveryStart, DeliveryState, Ledger, LedgerError, LeftoverObject, Retention, RunEnd,
        StoredAnswer,
    };
    use quittance_protocol::PaymentId;

    use crate::common::*;

    const KEY: [u8; 32] = [7; 32];
    const NAME: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";

    fn stored(name: &str) -> StoredAnswer {
        let object = AnswerObject { name: name.to_owned(), key: KEY, bytes: 20_000_000 };
        StoredAnswer { object: Some(object), ..answer(b"") }
    }

    async fn run(ledger: &Ledger, id: &PaymentId) -> u32 {
        match ledger.start_delivery(id, at_most(9), NOW).await.unwrap() {
            DeliveryStart::Run { run } => run,
            other => panic!("{other:?}"),
        }
    }

    async fn delivery(ledger: &Ledger, id: &PaymentId) -> DeliveryState {
        ledger.payment(id).await.unwrap().unwrap().delivery
    }

    pub(super) async fn an_object_is_begun_by_its_run_and_kept_with_its_answer(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let early = ledger.begin_answer_object(&id, 1, NAME, KEY, NOW).await.unwrap_err();
        assert!(matches!(early, LedgerError::DeliveryTransition { .. }), "{early}");
        let run = run(&ledger, &id).await;
        assert!(ledger.begin_answer_object(&id, run + 1, NAME, KEY, NOW).await.is_err(), "another run");
        ledger.begin_answer_object(&id, run, NAME, KEY, NOW).await.unwrap();
        let unknown = ledger.finish_delivery(&id, run, &stored(OTHER), NOW).await.unwrap_err();
        assert!(
            matches!(unknown, LedgerError::Corrupt { .. }),
            "never points to what was not begun: {unknown}"
        );
        ledger.finish_delivery(&id, run, &stored(NAME), NOW).await.unwrap();
        assert_eq!(ledger.answer(&id).await.unwrap().unwrap(), stored(NAME));
        assert_eq!(ledger.kept_object_bytes().await.unwrap(), 20_000_000);
        assert_eq!(ledger.leftover_objects(NOW + 9_000_000).await.unwrap(), []);
        assert!(!ledger.drop_answer_object(NAME, NOW).await.unwrap(), "it is kept");
        assert_eq!(delivery(&ledger, &id).await, DeliveryState::Delivered);
    }

    pub(super) async fn what_a_run_did_not_keep_is_left_over(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let run = run(&ledger, &id).await;
        ledger.begin_answer_object(&id, run, NAME, KEY, NOW).await.unwrap();
        assert_eq!(ledger.leftover_objects(NOW).await.unwrap(), [], "its run is under way");
        assert!(!ledger.drop_answer_object(NAME, NOW).await.unwrap());
        ledger.credit_delivery(&id, run, RunEnd::Failed, "500", NOW).await.unwrap();
        let left = |has_key| [LeftoverObject { name: NAME.to_owned(), has_key }];
        assert_eq!(ledger.leftover_objects(NOW).await.unwrap(), left(true));
        assert!(ledger.drop_answer_object(NAME, NOW).await.unwrap());
        assert_eq!(ledger.leftover_objects(NOW).await.unwrap(), left(false), "to be deleted");
        ledger.note_object_deleted(NAME, NOW).await.unwrap();
        assert_eq!(ledger.leftover_objects(NOW + 3_600_000).await.unwrap(), []);
        // A write that was under way may have come after the deletion.
        assert_eq!(ledger.leftover_objects(NOW + 3_600_001).await.unwrap(), left(false), "once more");
        ledger.heartbeat(NOW + 3_600_001).await.unwrap();
        ledger.note_object_deleted(NAME, NOW + 3_600_001).await.unwrap();
        assert_eq!(ledger.leftover_objects(NOW + 9_000_000).await.unwrap(), [], "the row is gone");
        // A process that dies leaves its run as a credit, and its object to the next.
        let run = crate::cases::run(&ledger, &id).await;
        ledger.begin_answer_object(&id, run, OTHER, KEY, NOW).await.unwrap();
        ledger.close().await;
        let ledger = store.open().await;
        let found = ledger.leftover_objects(NOW).await.unwrap();
        assert_eq!(found, [LeftoverObject { name: OTHER.to_owned(), has_key: true }]);
    }

    pub(super) async fn an_answer_that_nobody_got_is_not_delivered_once_it_is_gone(store: Store) {
        let ledger = store.open().await;
        for (key, got) in [(1, true), (2, false)] {
            let id = settled(&ledger, key).await;
            let run = run(&ledger, &id).await;
            let name = if got { NAME } else { OTHER };
            ledger.begin_answer_object(&id, run, name, KEY, NOW).await.unwrap();
            ledger.finish_delivery(&id, run, &stored(name), NOW).await.unwrap();
            if got {
                ledger.mark_answer_sent(&id, NOW).await.unwrap();
            }
        }
        assert_eq!(ledger.prune(Retention { answers_ms: 10 }, NOW + 11).await.unwrap(), 2);
        assert_eq!(delivery(&ledger, &new_claim(1, 0).id).await, DeliveryState::Delivered);
        assert_eq!(delivery(&ledger, &new_claim(2, 0).id).await, DeliveryState::DeliveredInPart);
        assert_eq!(ledger.leftover_objects(NOW + 11).await.unwrap().len(), 2, "both are to be deleted");
        assert_eq!(ledger.kept_object_bytes().await.unwrap(), 0);
        let DeliveryStart::Delivered(meta) =
            ledger.start_delivery(&new_claim(2, 0).id, at_most(9), NOW).await.unwrap()
        else {
            panic!("a run that completed never runs again")
        };
        assert!(!meta.kept && meta.refundable);
    }

    pub(super) async fn an_answer_that_is_not_kept_is_delivered_in_part_until_it_is_got(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let run = run(&ledger, &id).await;
        let lost = StoredAnswer { truncated: true, ..answer(b"") };
        ledger.finish_delivery(&id, run, &lost, NOW).await.unwrap();
        assert_eq!(delivery(&ledger, &id).await, DeliveryState::DeliveredInPart);
        assert!(ledger.answer(&id).await.unwrap().unwrap().refundable);
        let again = ledger.start_delivery(&id, at_most(9), NOW).await.unwrap();
        assert!(matches!(again, DeliveryStart::Delivered(meta) if meta.refundable && meta.truncated));
        ledger.mark_answer_sent(&id, NOW).await.unwrap();
        assert_eq!(delivery(&ledger, &id).await, DeliveryState::Delivered);
        assert!(!ledger.answer(&id).await.unwrap().unwrap().refundable);
        let events: Vec<_> = ledger.journal(&id).await.unwrap().into_iter().map(|line| line.event).collect();
        assert!(events.ends_with(&["delivered_in_part".to_owned(), "answer_sent".to_owned()]), "{events:?}");
    }

    pub(super) async fn an_answer_is_erased_beside_a_process_that_works(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let run = run(&ledger, &id).await;
        ledger.finish_delivery(&id, run, &answer(b"the goods in plain words"), NOW).await.unwrap();
        let beside = Ledger::open_beside(&store.url, "payments-command").await.unwrap();
        assert!(beside.erase_answer(&id, NOW).await.unwrap());
        assert!(!beside.erase_answer(&id, NOW).await.unwrap(), "there is nothing left");
        assert!(beside.erase_answer(&new_claim(9, 0).id, NOW).await.is_err(), "no such payment");
        assert!(beside.flush_log().await.unwrap());
        beside.close().await;
        assert_eq!(ledger.answer(&id).await.unwrap(), None);
        assert_eq!(delivery(&ledger, &id).await, DeliveryState::DeliveredInPart);
        if let Some(path) = store.url.strip_prefix("sqlite://") {
            for suffix in ["", "-wal"] {
                let bytes = std::fs::read(format!("{path}{suffix}")).unwrap_or_default();
                assert!(!bytes.windows(9).any(|word| word == b"the goods"), "in ledger{suffix}");
            }
        }
        // The process goes on as before.
        let id = settled(&ledger, 2).await;
        assert_eq!(ledger.start_delivery(&id, at_most(9), NOW).await.unwrap(), DeliveryStart::Run { run: 1 });
    }

    pub(super) async fn what_is_not_made_yet_cannot_be_erased(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        assert!(!ledger.erase_answer(&id, NOW).await.unwrap());
        let first = run(&ledger, &id).await;
        assert!(!ledger.erase_answer(&id, NOW).await.unwrap(), "a run is under way");
        ledger.credit_delivery(&id, first, RunEnd::Failed, "500", NOW).await.unwrap();
        assert!(!ledger.erase_answer(&id, NOW).await.unwrap(), "a credit may still be used");
        // What is made afterwards is kept like any other, and can be erased then.
        let second = run(&ledger, &id).await;
        ledger.begin_answer_object(&id, second, NAME, KEY, NOW).await.unwrap();
        assert!(!ledger.erase_answer(&id, NOW).await.unwrap());
        ledger.finish_delivery(&id, second, &stored(NAME), NOW).await.unwrap();
        assert_eq!(ledger.answer(&id).await.unwrap().unwrap(), stored(NAME));
        assert!(ledger.erase_answer(&id, NOW).await.unwrap());
        assert_eq!(ledger.answer(&id).await.unwrap(), None);
        let left = ledger.leftover_objects(NOW).await.unwrap();
        assert_eq!(left, [LeftoverObject { name: NAME.to_owned(), has_key: false }]);
        let erased: Vec<_> = ledger.journal(&id).await.unwrap();
        assert_eq!(erased.iter().filter(|line| line.event == "answer_erased").count(), 1);
    }

    pub(super) async fn old_answers_go_in_steps_the_oldest_first(store: Store) {
        const STEP: u64 = 32;
        let ledger = store.open().await;
        for key in 0..STEP + 3 {
            let id = settled(&ledger, key).await;
            let run = run(&ledger, &id).await;
            let name = format!("{key:032}");
            ledger.begin_answer_object(&id, run, &name, KEY, NOW).await.unwrap();
            let at_ms = NOW + i64::try_from(key).unwrap();
            ledger.finish_delivery(&id, run, &stored(&name), at_ms).await.unwrap();
        }
        let kept = async |key: u64| ledger.answer(&new_claim(key, 0).id).await.unwrap().is_some();
        // Whoever settles a payment on SQLite waits for one step, not for a day's answers.
        let policy = Retention { answers_ms: 1_000 };
        let late = NOW + 1_000 + 34;
        assert_eq!(ledger.prune(policy, late).await.unwrap(), STEP);
        assert!(!kept(STEP - 1).await && kept(STEP).await);
        assert_eq!(ledger.kept_object_bytes().await.unwrap(), 3 * 20_000_000);
        assert_eq!(ledger.prune(policy, late).await.unwrap(), 2, "the last one is not old enough");
        assert!(kept(STEP + 2).await);
        assert_eq!(ledger.prune(policy, late).await.unwrap(), 0);
        assert_eq!(ledger.leftover_objects(late).await.unwrap().len() as u64, STEP + 2);
        assert_eq!(ledger.audit_totals(late).await.unwrap(), Vec::<String>::new());
    }
}
