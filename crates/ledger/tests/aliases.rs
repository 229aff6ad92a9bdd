//! Calls that clients repeat (P7): keys, aliases and names on both databases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_fresh_authorization_is_an_alias_once_its_payment_was_told_pending,
    parallel_calls_that_nobody_was_told_of_are_purchases_of_their_own,
    the_callers_of_a_process_that_died_are_gone,
    a_credit_with_runs_left_answers_and_an_exhausted_one_does_not,
    runs_that_the_program_ended_do_not_count,
    the_oldest_paid_one_answers,
    many_purchases_that_came_back_are_answered_one_each,
    another_payer_network_or_request_buys_for_itself,
    an_alias_is_free_again_when_its_payment_ended_unpaid,
    a_complete_answer_ends_it_and_one_that_nobody_got_does_not,
    an_answer_that_is_not_kept_cannot_be_given_again,
    an_identifier_at_one_instant_is_charged_once,
    a_name_answers_for_the_same_request_and_refuses_another,
    what_ended_unpaid_gives_its_name_back,
    one_key_is_claimed_or_an_alias_never_both,
    aliases_of_one_payment_are_bounded,
);

mod cases {
    use quittance_ledger::{
        ClaimOutcome, DeliveryStart, Ledger, NewAttempt, NewClaim, Origin, Payment, RepeatPolicy, Retention,
        RunEnd,
    };
    use quittance_protocol::{ErrorCode, Fingerprint, IdentifierHash, PaymentId};

    use crate::common::*;

    const RUNS_MAX: u32 = 2;

    fn repeating(key: u64) -> NewClaim {
        let policy = RepeatPolicy { runs: at_most(RUNS_MAX), waiting_since_ms: NOW - 20_000, aliases_max: 3 };
        NewClaim { repeats: Some(policy), signature_digest: [key as u8; 32], ..new_claim(key, 0) }
    }

    fn named(key: u64, name: &str) -> NewClaim {
        NewClaim { identifier: Some(IdentifierHash::of(name)), ..repeating(key) }
    }

    async fn claim(ledger: &Ledger, new: NewClaim) -> ClaimOutcome {
        ledger.claim(new, NOW).await.unwrap()
    }

    /// The payment that answers the claim.
    async fn answered_by(ledger: &Ledger, new: NewClaim) -> PaymentId {
        match claim(ledger, new.clone()).await {
            ClaimOutcome::Aliased(known) => {
                let alias = known.alias.clone().unwrap();
                assert_eq!((alias.key, &alias.payment), (new.key, &known.payment.id));
                assert_eq!(known.signature_digest(), &new.signature_digest);
                assert_eq!(known.identifier(), new.identifier.as_ref());
                known.payment.id
            }
            other => panic!("{other:?}"),
        }
    }

    async fn pending(ledger: &Ledger, new: NewClaim) -> PaymentId {
        let id = won(ledger, new).await.into_payment().id;
        ledger.note_pending_answer(&id, NOW).await.unwrap();
        id
    }

    async fn paid(ledger: &Ledger, new: NewClaim) -> PaymentId {
        let label = new.key.to_string();
        let id = won(ledger, new).await.into_payment().id;
        ledger.record(NewAttempt::unnumbered(&id, signed(label.clone())), NOW).await.unwrap();
        ledger.settle(&id, &landing(&label), NOW).await.unwrap();
        id
    }

    async fn run(ledger: &Ledger, id: &PaymentId) -> u32 {
        match ledger.start_delivery(id, at_most(RUNS_MAX), NOW).await.unwrap() {
            DeliveryStart::Run { run } => run,
            other => panic!("{other:?}"),
        }
    }

    async fn payment(ledger: &Ledger, id: &PaymentId) -> Payment {
        ledger.payment(id).await.unwrap().unwrap()
    }

    pub(super) async fn a_fresh_authorization_is_an_alias_once_its_payment_was_told_pending(store: Store) {
        let ledger = store.open().await;
        let first = pending(&ledger, repeating(1)).await;
        let before = ledger.commits();
        assert_eq!(answered_by(&ledger, repeating(2)).await, first);
        assert_eq!(ledger.commits(), before + 1, "one commit");
        // Its own bytes again find it, with nothing more written.
        let again = claim(&ledger, repeating(2)).await;
        assert!(matches!(&again, ClaimOutcome::Exists(known) if known.alias.is_some()), "{again:?}");
        assert_eq!(ledger.commits(), before + 1);
        let known = ledger.known(&repeating(2).key).await.unwrap().unwrap();
        assert_eq!((known.payment.id, known.alias.unwrap().at_ms), (first.clone(), NOW));
        assert_eq!(ledger.payment_by_key(&repeating(2).key).await.unwrap(), None, "it is no payment");
        assert_eq!(ledger.aliases(&first).await.unwrap().len(), 1);
        let events: Vec<_> = ledger.journal(&first).await.unwrap().into_iter().map(|l| l.event).collect();
        assert_eq!(events, ["claimed", "pending_answered", "aliased"]);
    }

    pub(super) async fn parallel_calls_that_nobody_was_told_of_are_purchases_of_their_own(store: Store) {
        let ledger = store.open().await;
        won(&ledger, repeating(1)).await;
        won(&ledger, repeating(2)).await;
        // Whoever came with the first one must have been told by then, or is gone.
        let mut late = repeating(3);
        late.repeats = late.repeats.map(|policy| RepeatPolicy { waiting_since_ms: NOW, ..policy });
        assert_eq!(answered_by(&ledger, late).await, repeating(1).id);
    }

    pub(super) async fn the_callers_of_a_process_that_died_are_gone(store: Store) {
        // In the commit that begins the next life, in whatever state it was left.
        let ledger = store.open().await;
        let claimed = won(&ledger, repeating(1)).await.into_payment().id;
        let other =
            |key| NewClaim { fingerprint: Fingerprint::of_request("GET", "/b", "", b""), ..repeating(key) };
        let settled = paid(&ledger, other(3)).await;
        let third =
            |key| NewClaim { fingerprint: Fingerprint::of_request("GET", "/c", "", b""), ..repeating(key) };
        let delivered = paid(&ledger, third(5)).await;
        let number = run(&ledger, &delivered).await;
        ledger.finish_delivery(&delivered, number, &answer(b"made"), NOW).await.unwrap();
        won(&ledger, repeating(7)).await;
        won(&ledger, third(8)).await;
        ledger.close().await;
        let ledger = store.open().await;
        assert_eq!(payment(&ledger, &claimed).await.pending_answer_at_ms, Some(NOW));
        assert_eq!(answered_by(&ledger, repeating(2)).await, claimed);
        assert_eq!(answered_by(&ledger, other(4)).await, settled);
        assert_eq!(answered_by(&ledger, third(6)).await, delivered, "an answer that nobody fetched");
        // What this life claims is its own callers' again.
        won(&ledger, NewClaim { payer: "0xother".to_owned(), ..repeating(9) }).await;
        won(&ledger, NewClaim { payer: "0xother".to_owned(), ..repeating(10) }).await;
    }

    pub(super) async fn a_credit_with_runs_left_answers_and_an_exhausted_one_does_not(store: Store) {
        let ledger = store.open().await;
        let id = paid(&ledger, repeating(1)).await;
        let first = run(&ledger, &id).await;
        won(&ledger, repeating(9)).await;
        ledger.credit_delivery(&id, first, RunEnd::Failed, "500", NOW).await.unwrap();
        assert_eq!(answered_by(&ledger, repeating(2)).await, id);
        let second = run(&ledger, &id).await;
        assert_eq!(answered_by(&ledger, repeating(3)).await, id, "the run under way may answer");
        ledger.credit_delivery(&id, second, RunEnd::Failed, "500", NOW).await.unwrap();
        won(&ledger, repeating(4)).await;
        let exhausted = ledger.start_delivery(&id, at_most(RUNS_MAX), NOW).await.unwrap();
        assert_eq!(exhausted, DeliveryStart::Exhausted { failed: 2, crashed: 0, first: true });
    }

    pub(super) async fn runs_that_the_program_ended_do_not_count(store: Store) {
        let ledger = store.open().await;
        let id = paid(&ledger, repeating(1)).await;
        for number in 1..=3 {
            assert_eq!(run(&ledger, &id).await, number);
            ledger.credit_delivery(&id, number, RunEnd::Interrupted, "lease", NOW).await.unwrap();
        }
        for number in 4..=6 {
            assert_eq!(run(&ledger, &id).await, number);
            // The next life of this instance finds the run cut off.
            ledger.adopt_orphans(NOW).await.unwrap();
            ledger.rejoin(NOW).await.unwrap();
        }
        assert_eq!((payment(&ledger, &id).await.runs, payment(&ledger, &id).await.runs_interrupted), (6, 6));
        for number in 7..=8 {
            assert_eq!(run(&ledger, &id).await, number);
            ledger.credit_delivery(&id, number, RunEnd::Failed, "500", NOW).await.unwrap();
        }
        let exhausted = ledger.start_delivery(&id, at_most(RUNS_MAX), NOW).await.unwrap();
        assert_eq!(exhausted, DeliveryStart::Exhausted { failed: 2, crashed: 0, first: true });
    }

    pub(super) async fn the_oldest_paid_one_answers(store: Store) {
        let ledger = store.open().await;
        for key in [1, 2, 3] {
            won(&ledger, repeating(key)).await;
        }
        for key in [2, 3] {
            let id = repeating(key).id;
            ledger.record(NewAttempt::unnumbered(&id, signed(format!("tx{key}"))), NOW).await.unwrap();
            ledger.settle(&id, &landing(&format!("tx{key}")), NOW).await.unwrap();
        }
        for key in [1, 2, 3] {
            ledger.note_pending_answer(&repeating(key).id, NOW).await.unwrap();
        }
        assert_eq!(answered_by(&ledger, repeating(4)).await, repeating(2).id);
    }

    pub(super) async fn many_purchases_that_came_back_are_answered_one_each(store: Store) {
        // Parallel calls of one payer that all lost their process, each repeated once:
        // the oldest must not answer all of them while the others' money buys nothing.
        let ledger = store.open().await;
        let mut first = Vec::new();
        for key in [1, 2, 3] {
            first.push(paid(&ledger, repeating(key)).await);
        }
        for id in &first {
            ledger.note_pending_answer(id, NOW).await.unwrap();
        }
        let mut answered = Vec::new();
        for key in [4, 5, 6] {
            answered.push(answered_by(&ledger, repeating(key)).await);
        }
        assert_eq!(answered, first, "the oldest of those with the fewest");
        assert_eq!(answered_by(&ledger, repeating(7)).await, first[0], "and round again");
    }

    pub(super) async fn another_payer_network_or_request_buys_for_itself(store: Store) {
        let ledger = store.open().await;
        pending(&ledger, repeating(1)).await;
        won(&ledger, NewClaim { payer: "0xother".to_owned(), ..repeating(2) }).await;
        won(&ledger, NewClaim { network: solana(), ..repeating(3) }).await;
        let fingerprint = Fingerprint::of_request("POST", "/v1/images", "", b"other");
        won(&ledger, NewClaim { fingerprint, ..repeating(4) }).await;
        won(&ledger, NewClaim { origin: Origin::Merchant("shop".to_owned()), repeats: None, ..repeating(5) })
            .await;
        // Somebody who names the purchase means another one.
        won(&ledger, named(6, "own-identifier-of-6")).await;
        let idempotency = Some(IdentifierHash::of_idempotency_key("7"));
        won(&ledger, NewClaim { idempotency, ..repeating(7) }).await;
    }

    pub(super) async fn an_alias_is_free_again_when_its_payment_ended_unpaid(store: Store) {
        let ledger = store.open().await;
        let first = pending(&ledger, repeating(1)).await;
        answered_by(&ledger, repeating(2)).await;
        ledger.refuse(&first, ErrorCode::InvalidPayload, "cancelled", None, NOW).await.unwrap();
        assert!(ledger.known(&repeating(2).key).await.unwrap().unwrap().is_free());
        let second = won(&ledger, repeating(2)).await.into_payment().id;
        let known = ledger.known(&repeating(2).key).await.unwrap().unwrap();
        assert_eq!((known.payment.id, known.alias), (second, None));
        assert_eq!(ledger.aliases(&first).await.unwrap(), vec![]);
        won(&ledger, repeating(3)).await;
    }

    pub(super) async fn a_complete_answer_ends_it_and_one_that_nobody_got_does_not(store: Store) {
        let ledger = store.open().await;
        let id = paid(&ledger, repeating(1)).await;
        ledger.note_pending_answer(&id, NOW).await.unwrap();
        let number = run(&ledger, &id).await;
        ledger.finish_delivery(&id, number, &answer(b"a picture"), NOW).await.unwrap();
        assert_eq!(answered_by(&ledger, repeating(2)).await, id, "the answer reached nobody");
        ledger.mark_answer_sent(&id, NOW).await.unwrap();
        won(&ledger, repeating(3)).await;
        let again = claim(&ledger, repeating(2)).await;
        assert!(matches!(&again, ClaimOutcome::Exists(known) if known.payment.id == id), "{again:?}");
    }

    pub(super) async fn an_answer_that_is_not_kept_cannot_be_given_again(store: Store) {
        let ledger = store.open().await;
        let id = paid(&ledger, repeating(1)).await;
        ledger.note_pending_answer(&id, NOW).await.unwrap();
        let number = run(&ledger, &id).await;
        ledger.finish_delivery(&id, number, &answer(b"a picture"), NOW).await.unwrap();
        ledger.prune(Retention { answers_ms: 0 }, NOW + 1).await.unwrap();
        won(&ledger, repeating(2)).await;
    }

    pub(super) async fn an_identifier_at_one_instant_is_charged_once(store: Store) {
        let ledger = store.open().await;
        let copies = (0..16_u64).map(|key| {
            let (ledger, mut new) = (ledger.clone(), named(key, "own-identifier-one"));
            // Without a policy the losers are told whose name it is.
            new.repeats = None;
            tokio::spawn(async move { ledger.claim(new, NOW).await.unwrap() })
        });
        let (mut won, mut told) = (Vec::new(), Vec::new());
        for copy in copies.collect::<Vec<_>>() {
            match copy.await.unwrap() {
                ClaimOutcome::Won(claim) => won.push(claim.into_payment().id),
                ClaimOutcome::Named(payment) => told.push(payment.id),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((won.len(), told.len()), (1, 15));
        assert!(told.iter().all(|id| *id == won[0]));
        // Names are the payers' choice: another's is none of ours, nor another seller's.
        let other = NewClaim { payer: "0xother".to_owned(), ..named(20, "own-identifier-one") };
        assert!(matches!(claim(&ledger, other).await, ClaimOutcome::Won(_)));
        let shop =
            NewClaim { origin: Origin::Merchant("shop".to_owned()), ..named(21, "own-identifier-one") };
        assert!(matches!(claim(&ledger, shop).await, ClaimOutcome::Won(_)));
        // What an offer suggested is nobody's name.
        for key in [22, 23] {
            let offered = named(key, &format!("offer_{key:032}"));
            let offered = NewClaim { payer: format!("0x{key}"), ..offered };
            assert!(matches!(claim(&ledger, offered).await, ClaimOutcome::Won(_)));
        }
    }

    pub(super) async fn a_name_answers_for_the_same_request_and_refuses_another(store: Store) {
        let ledger = store.open().await;
        let first = won(&ledger, named(1, "own-identifier-one")).await.into_payment().id;
        // Nobody was told anything yet: the name alone says that it is one purchase.
        assert_eq!(answered_by(&ledger, named(2, "own-identifier-one")).await, first);
        let fingerprint = Fingerprint::of_request("POST", "/v1/images", "", b"other");
        let other = NewClaim { fingerprint, ..named(3, "own-identifier-one") };
        assert!(matches!(claim(&ledger, other).await, ClaimOutcome::Named(p) if p.id == first));
        // One of two names is another purchase's.
        let mut both = named(4, "own-identifier-one");
        both.idempotency = Some(IdentifierHash::of_idempotency_key("four"));
        assert!(matches!(claim(&ledger, both.clone()).await, ClaimOutcome::Named(p) if p.id == first));
        both.identifier = None;
        assert!(matches!(claim(&ledger, both).await, ClaimOutcome::Won(_)), "the refused one left no name");
    }

    pub(super) async fn what_ended_unpaid_gives_its_name_back(store: Store) {
        let ledger = store.open().await;
        let first = won(&ledger, named(1, "own-identifier-one")).await.into_payment().id;
        ledger.refuse(&first, ErrorCode::InvalidPayload, "cancelled", None, NOW).await.unwrap();
        let second = won(&ledger, named(2, "own-identifier-one")).await.into_payment().id;
        assert_eq!(answered_by(&ledger, named(3, "own-identifier-one")).await, second);
    }

    pub(super) async fn one_key_is_claimed_or_an_alias_never_both(store: Store) {
        let ledger = store.open().await;
        let first = pending(&ledger, repeating(1)).await;
        for key in 10..40 {
            let (sale, alias) = (NewClaim { repeats: None, ..new_claim(key, 7) }, repeating(key));
            // Bounded per payment, so each round has one of its own.
            let policy = RepeatPolicy { aliases_max: 100, ..alias.repeats.unwrap() };
            let alias = NewClaim { repeats: Some(policy), ..alias };
            let (one, two) = (ledger.clone(), ledger.clone());
            let (one, two) = tokio::join!(
                tokio::spawn(async move { one.claim(sale, NOW).await.unwrap() }),
                tokio::spawn(async move { two.claim(alias, NOW).await.unwrap() }),
            );
            let known = ledger.known(&new_claim(key, 7).key).await.unwrap().unwrap();
            match (one.unwrap(), two.unwrap()) {
                (ClaimOutcome::Won(claim), ClaimOutcome::Exists(other)) => {
                    assert_eq!((&claim.id, &other.payment.id), (&known.payment.id, &known.payment.id));
                    assert_eq!(known.alias, None);
                    ledger.note_pending_answer(&first, NOW).await.unwrap();
                }
                (ClaimOutcome::Exists(other), ClaimOutcome::Aliased(aliased)) => {
                    assert_eq!((*other, *aliased), (known.clone(), known));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn aliases_of_one_payment_are_bounded(store: Store) {
        let ledger = store.open().await;
        let first = pending(&ledger, repeating(1)).await;
        for key in 2..=4 {
            answered_by(&ledger, repeating(key)).await;
        }
        let before = ledger.commits();
        assert!(matches!(claim(&ledger, repeating(5)).await, ClaimOutcome::Crowded(p) if p.id == first));
        assert_eq!(ledger.commits(), before, "nothing is written for it");
        assert!(matches!(claim(&ledger, repeating(4)).await, ClaimOutcome::Exists(_)));
    }
}
