//! What goes of payments that ended long ago, and what stays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    i1_a_pruned_key_is_never_claimable_again,
    what_is_open_in_any_sense_is_not_pruned,
    every_sum_is_the_same_before_and_after,
    p3_none_of_a_batch_goes_before_all_shares_are_booked,
    a_nonce_that_may_be_unused_keeps_its_bytes,
    a_long_journal_goes_in_several_steps,
    one_instance_prunes_at_a_time,
    the_journal_of_what_is_not_pruned_stays_append_only,
    twenty_thousand_payments_go_in_bounded_steps,
);

mod cases {
    use quittance_ledger::testing::plans::Explainer;
    use quittance_ledger::{
        ClaimOutcome, CostEntry, DeliveryStart, DeliveryState, FinishedPolicy, Ledger, LedgerOptions,
        MerchantAnswer, MerchantAnswerEnd, NewAttempt, Payment, PaymentState, PruneCursor, Pruned, Retention,
        RunEnd, StoredAnswer,
    };
    use quittance_protocol::{Amount, DurableAttempt as _, ErrorCode, Evidence, PaymentId};

    use crate::common::fill::fill;
    use crate::common::*;

    const DAY_MS: i64 = 86_400_000;
    /// Deadlines are ten minutes after `NOW`.
    const LATER: i64 = NOW + 40 * DAY_MS;
    const POLICY: FinishedPolicy = FinishedPolicy { keep_ms: 30 * DAY_MS, lease_ms: 1_000 };

    async fn open(store: &Store, instance: &str) -> Ledger {
        let options = LedgerOptions { lease_ms: 400 * DAY_MS, ..LedgerOptions::new(instance) };
        Ledger::open(&store.url, options, NOW).await.unwrap()
    }

    async fn all_steps(ledger: &Ledger, policy: FinishedPolicy, now_ms: i64) -> u64 {
        let (mut after, mut all) = (None::<PruneCursor>, 0);
        loop {
            let Pruned::Step { payments, next, .. } =
                ledger.prune_finished(policy, after, now_ms).await.unwrap()
            else {
                panic!("busy")
            };
            all += payments;
            if next.is_none() {
                return all;
            }
            after = next;
        }
    }

    async fn get(ledger: &Ledger, id: &PaymentId) -> Payment {
        ledger.payment(id).await.unwrap().unwrap()
    }

    fn cost(id: &PaymentId, transaction: &str, earned: bool) -> CostEntry {
        CostEntry {
            network: base(),
            transaction: transaction.to_owned(),
            payment: Some(id.clone()),
            native: 7,
            usdc: Some(Amount::new(3)),
            earned,
        }
    }

    /// Sold, delivered, final, its answer dropped.
    async fn finished(ledger: &Ledger, key: u64) -> PaymentId {
        let id = settled(ledger, key).await;
        ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
        ledger.finish_delivery(&id, 1, &answer(b"made"), NOW).await.unwrap();
        ledger.mark_answer_sent(&id, NOW).await.unwrap();
        ledger.finalize(vec![(id.clone(), landing(&format!("tx{key}")))], NOW).await.unwrap();
        ledger.prune(Retention { answers_ms: 0 }, NOW + 1).await.unwrap();
        id
    }

    async fn expired(ledger: &Ledger, key: u64) -> PaymentId {
        let id = won(ledger, new_claim(key, 0)).await.into_payment().id;
        ledger.expire(&id, &Evidence::Expired { block: 1, clock: 2 }, NOW).await.unwrap();
        id
    }

    async fn told(ledger: &Ledger, key: u64) -> PaymentId {
        let id = won(ledger, merchant_claim(key)).await.into_payment().id;
        ledger.settle(&id, &landing(&format!("tx{key}")), NOW).await.unwrap();
        ledger.begin_merchant_answer(&id, "a", 2, NOW).await.unwrap();
        ledger.end_merchant_answer(&id, "a", MerchantAnswerEnd::Told, NOW).await.unwrap();
        ledger.finalize(vec![(id.clone(), landing(&format!("tx{key}")))], NOW).await.unwrap();
        id
    }

    pub(crate) async fn i1_a_pruned_key_is_never_claimable_again(store: Store) {
        let ledger = open(&store, "one").await;
        let sold = finished(&ledger, 1).await;
        let lapsed = expired(&ledger, 2).await;
        let told = told(&ledger, 3).await;
        let refused = won(&ledger, new_claim(4, 0)).await.into_payment().id;
        ledger.refuse(&refused, ErrorCode::InsufficientFunds, "broke", None, NOW).await.unwrap();
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 4);
        for (key, id) in [(1, &sold), (2, &lapsed), (3, &told), (4, &refused)] {
            let payment = get(&ledger, id).await;
            assert_eq!(payment.pruned_at_ms, Some(LATER));
            assert_eq!(payment.payload, serde_json::json!({}), "the payer's signature is gone");
            assert_eq!(payment.signature_digest, [7; 32], "whose it was is not");
            assert!(ledger.journal(id).await.unwrap().is_empty());
            assert!(ledger.recorded_attempts(id).await.unwrap().is_empty());
            // A thief, or its own holder: with any other id and terms.
            let shown = ledger.claim(new_claim(key, 9), LATER).await.unwrap();
            assert!(matches!(shown, ClaimOutcome::Exists(known) if known.payment.id == *id));
        }
        let sold = get(&ledger, &sold).await;
        assert_eq!((sold.state, sold.delivery), (PaymentState::Settled, DeliveryState::Delivered));
        assert_eq!(sold.transaction.as_deref(), Some("tx1"));
        assert!(sold.landing.is_some());
        let again = ledger.start_delivery(&sold.id, at_most(9), LATER).await.unwrap();
        assert!(matches!(again, DeliveryStart::Delivered(meta) if !meta.kept && meta.status == 200));
        let word = ledger.begin_merchant_answer(&told, "b", 9, LATER).await.unwrap();
        assert_eq!(word, MerchantAnswer::Told, "no server hears success of it again");
        let refusal = get(&ledger, &refused).await.refusal;
        assert_eq!(refusal, Some((ErrorCode::InsufficientFunds, "broke".to_owned())));
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 0, "once");
    }

    pub(crate) async fn what_is_open_in_any_sense_is_not_pruned(store: Store) {
        let ledger = open(&store, "one").await;
        won(&ledger, new_claim(1, 0)).await;
        let unfinal = won(&ledger, new_claim(2, 0)).await.into_payment().id;
        ledger.settle(&unfinal, &landing("tx2"), NOW).await.unwrap();
        let credit = settled(&ledger, 3).await;
        ledger.start_delivery(&credit, at_most(3), NOW).await.unwrap();
        ledger.credit_delivery(&credit, 1, RunEnd::Failed, "500", NOW).await.unwrap();
        let exhausted = settled(&ledger, 4).await;
        ledger.start_delivery(&exhausted, at_most(1), NOW).await.unwrap();
        ledger.credit_delivery(&exhausted, 1, RunEnd::Failed, "500", NOW).await.unwrap();
        let refundable = settled(&ledger, 5).await;
        ledger.start_delivery(&refundable, at_most(1), NOW).await.unwrap();
        let no = StoredAnswer { refundable: true, status: 400, ..answer(b"no") };
        ledger.finish_delivery(&refundable, 1, &no, NOW).await.unwrap();
        ledger.mark_answer_sent(&refundable, NOW).await.unwrap();
        let in_part = settled(&ledger, 6).await;
        ledger.start_delivery(&in_part, at_most(1), NOW).await.unwrap();
        ledger.finish_delivery(&in_part, 1, &answer(b"nobody came"), NOW).await.unwrap();
        let owed = won(&ledger, new_claim(7, 0)).await.into_payment().id;
        ledger.settle_owed(&owed, &landing("tx7"), NOW).await.unwrap();
        let untold = won(&ledger, merchant_claim(8)).await.into_payment().id;
        ledger.settle(&untold, &landing("tx8"), NOW).await.unwrap();
        let running = settled(&ledger, 9).await;
        ledger.start_delivery(&running, at_most(1), NOW).await.unwrap();
        ledger.prune(Retention { answers_ms: 0 }, NOW + 1).await.unwrap();
        let kept = settled(&ledger, 10).await;
        ledger.start_delivery(&kept, at_most(1), NOW).await.unwrap();
        ledger.finish_delivery(&kept, 1, &answer(b"kept"), NOW).await.unwrap();
        ledger.mark_answer_sent(&kept, NOW).await.unwrap();
        let all = [&credit, &exhausted, &refundable, &in_part, &owed, &untold, &running, &kept];
        for id in all {
            let final_at = get(&ledger, id).await.landing.unwrap();
            ledger.finalize(vec![(id.clone(), final_at)], NOW).await.unwrap();
        }
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 0);
        for id in all {
            assert!(!ledger.journal(id).await.unwrap().is_empty());
        }
        // Young in one of two ways.
        expired(&ledger, 11).await;
        let policy = FinishedPolicy { keep_ms: 40 * DAY_MS, ..POLICY };
        assert_eq!(all_steps(&ledger, policy, LATER).await, 0, "its verdict is not old enough");
        assert_eq!(all_steps(&ledger, policy, LATER + 1).await, 0, "its deadline is not");
        assert_eq!(all_steps(&ledger, policy, LATER + 600_001).await, 1);
    }

    pub(crate) async fn every_sum_is_the_same_before_and_after(store: Store) {
        let ledger = open(&store, "one").await;
        for key in 1..=20 {
            let id = finished(&ledger, key).await;
            ledger
                .book_cost(cost(&id, &format!("tx{key}"), true), NOW + i64::try_from(key).unwrap())
                .await
                .unwrap();
        }
        ledger.ensure_wallet(&base(), WALLET, 5, NOW).await.unwrap();
        for key in 21..=25 {
            let id = won(&ledger, new_claim(key, 0)).await.into_payment().id;
            let made = ledger
                .record(NewAttempt::numbered(&id, WALLET, signer(format!("burnt{key}"))), NOW)
                .await
                .unwrap();
            ledger.book_cost(cost(&id, made.transaction(), false), NOW).await.unwrap();
            ledger.expire(&id, &Evidence::Expired { block: 1, clock: 2 }, NOW).await.unwrap();
        }
        let transactions: Vec<String> = (1..=20).map(|key| format!("tx{key}")).collect();
        async fn sums(ledger: &Ledger, transactions: &[String]) -> String {
            format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                ledger.counts().await.unwrap(),
                ledger.margins(0).await.unwrap(),
                ledger.cost_shares(0).await.unwrap(),
                ledger.usages(0).await.unwrap(),
                ledger.exposure(&base(), NOW + 1_000).await.unwrap(),
                ledger.unexplained(&base(), transactions).await.unwrap(),
                ledger.kept_object_bytes().await.unwrap(),
            )
        }
        let before = sums(&ledger, &transactions).await;
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 25);
        assert_eq!(sums(&ledger, &transactions).await, before);
        assert_eq!(ledger.audit_totals(NOW + 1_000).await.unwrap(), Vec::<String>::new());
    }

    /// I2: the lane fills a gap with the bytes that are there, and with nothing else.
    pub(crate) async fn a_nonce_that_may_be_unused_keeps_its_bytes(store: Store) {
        let ledger = open(&store, "one").await;
        ledger.ensure_wallet(&base(), WALLET, 5, NOW).await.unwrap();
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        ledger.record(NewAttempt::numbered(&id, WALLET, signer("gap")), NOW).await.unwrap();
        ledger.expire(&id, &Evidence::Expired { block: 1, clock: 2 }, NOW).await.unwrap();
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 0);
        assert_eq!(ledger.attempts_from_nonce(&base(), WALLET, 5).await.unwrap().len(), 1);
        // A later nonce of the wallet landed, so this one was used.
        let next = won(&ledger, new_claim(2, 0)).await.into_payment().id;
        let made = ledger.record(NewAttempt::numbered(&next, WALLET, signer("next")), NOW).await.unwrap();
        ledger.book_cost(cost(&next, made.transaction(), true), NOW).await.unwrap();
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 1);
        let left = ledger.attempts_from_nonce(&base(), WALLET, 5).await.unwrap();
        assert_eq!(left.iter().map(|one| one.nonce().unwrap()).collect::<Vec<_>>(), [6]);
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 5, NOW).await.unwrap(), 7, "no nonce comes twice");
    }

    /// A share is taken from how many payments there are: one that went before would leave all of the
    /// cost to the others.
    pub(crate) async fn p3_none_of_a_batch_goes_before_all_shares_are_booked(store: Store) {
        let ledger = open(&store, "one").await;
        ledger.ensure_wallet(&base(), WALLET, 5, NOW).await.unwrap();
        let mut ids = Vec::new();
        for key in 1..=2 {
            ids.push(won(&ledger, new_claim(key, 0)).await.into_payment().id);
        }
        let made = ledger.record(NewAttempt::batch(&ids, WALLET, signer("both")), NOW).await.unwrap();
        let transaction = made.transaction();
        let one = ledger.book_cost(cost(&ids[0], transaction, false), NOW).await.unwrap().unwrap();
        for id in &ids {
            ledger.expire(id, &Evidence::Expired { block: 1, clock: 2 }, NOW).await.unwrap();
        }
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 0);
        let other = ledger.book_cost(cost(&ids[1], transaction, false), NOW).await.unwrap().unwrap();
        assert_eq!((one.payments, other.payments), (2, 2));
        assert_eq!(one.native + other.native, cost(&ids[0], transaction, false).native);
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 2);
    }

    pub(crate) async fn a_long_journal_goes_in_several_steps(store: Store) {
        let ledger = open(&store, "one").await;
        let id = expired(&ledger, 1).await;
        let mut session = Explainer::open(&store.url).await.unwrap();
        let line = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) \
             INSERT INTO journal (payment, at_ms, instance, event, detail) SELECT '{id}', {NOW}, 'one', 'broadcast', '{{}}' FROM n"
        );
        session.run(line).await.unwrap();
        let mut steps = 0;
        let mut after = None;
        loop {
            let step = ledger.prune_finished(POLICY, after, LATER).await.unwrap();
            let Pruned::Step { next, payments, .. } = step else { panic!("busy") };
            steps += 1;
            let pruned = get(&ledger, &id).await.pruned_at_ms.is_some();
            assert_eq!(pruned, payments == 1, "marked when all of it went, not before");
            if pruned {
                break;
            }
            after = next;
        }
        assert_eq!(steps, 3, "302 lines, 128 a step");
        assert!(ledger.journal(&id).await.unwrap().is_empty());
    }

    pub(crate) async fn one_instance_prunes_at_a_time(store: Store) {
        if store.is_sqlite() {
            // There is one instance only.
            return;
        }
        let (one, two) = (open(&store, "one").await, open(&store, "two").await);
        expired(&one, 1).await;
        let step = one.prune_finished(POLICY, None, LATER).await.unwrap();
        assert!(matches!(step, Pruned::Step { payments: 1, .. }), "{step:?}");
        assert_eq!(two.prune_finished(POLICY, None, LATER).await.unwrap(), Pruned::Busy);
        // Whoever began is gone.
        let step = two.prune_finished(POLICY, None, LATER + 1_001).await.unwrap();
        assert!(matches!(step, Pruned::Step { .. }), "{step:?}");
        assert_eq!(one.prune_finished(POLICY, None, LATER + 1_001).await.unwrap(), Pruned::Busy);
    }

    pub(crate) async fn the_journal_of_what_is_not_pruned_stays_append_only(store: Store) {
        let ledger = open(&store, "one").await;
        let (gone, id) = (expired(&ledger, 1).await, settled(&ledger, 2).await);
        assert_eq!(all_steps(&ledger, POLICY, LATER).await, 1);
        let mut session = Explainer::open(&store.url).await.unwrap();
        for sql in [
            format!("DELETE FROM journal WHERE payment = '{id}'"),
            "DELETE FROM journal WHERE payment IS NULL".to_owned(),
            "UPDATE journal SET event = 'x'".to_owned(),
            format!("DELETE FROM payments WHERE id = '{gone}'"),
        ] {
            assert!(session.run(sql.clone()).await.is_err(), "{sql}");
        }
    }

    pub(crate) async fn twenty_thousand_payments_go_in_bounded_steps(store: Store) {
        let ledger = open(&store, "one").await;
        let mut session = Explainer::open(&store.url).await.unwrap();
        // As many on PostgreSQL would take a minute; the steps are the same.
        let last = if store.is_sqlite() { 20_500 } else { 2_500 };
        fill(&mut session, 501, last).await;
        let now_ms = LATER;
        ledger.put_tariff(&base(), Amount::new(1), serde_json::json!({}), NOW).await.unwrap();
        let (mut after, mut all, mut steps) = (None, 0, 0);
        loop {
            let step = ledger.prune_finished(POLICY, after, now_ms).await.unwrap();
            let Pruned::Step { payments, tariffs, next } = step else { panic!("busy") };
            assert!(payments <= 8 && tariffs <= 64, "{payments} {tariffs}");
            (all, steps) = (all + payments, steps + 1);
            if next.is_none() {
                break;
            }
            after = next;
        }
        // Of ten payments, two never landed; of the eight, every third is a server's, and half
        // of those are final. The gate's answers are kept still.
        let open = |i: u64| i % 10 < 8 && (!i.is_multiple_of(3) || i % 10 >= 4);
        let expected = (501..=last).filter(|i| !open(*i)).count() as u64;
        assert_eq!(all, expected);
        assert!(steps <= (last - 500) / 64 + expected / 8 + 2, "{steps}");
        assert_eq!(ledger.counts().await.unwrap().iter().map(|(_, _, count)| count).sum::<u64>(), last - 500);
    }
}
