//! Databases of every earlier schema, with payments in every state, as a killed process
//! left them: they migrate, and what was open goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "old/rows.rs"]
mod rows;

on_both!(
    every_schema_migrates_and_keeps_its_payments,
    what_was_open_goes_on,
    what_was_settled_buys_what_it_bought,
    what_merchants_were_told_stays_told,
    names_and_keys_still_stand_for_their_payments,
    kept_answers_and_their_sum_outlive_it,
);

mod cases {
    use quittance_ledger::testing::migrations::{migrate_to, versions};
    use quittance_ledger::{
        ClaimOutcome, CostEntry, DeliveryStart, DeliveryState, Finality, Ledger, LedgerError, MerchantAnswer,
        MerchantAnswerEnd, NewAttempt, NewClaim, Payment, PaymentState, RepeatPolicy, Retention, RunEnd,
        Slot,
    };
    use quittance_protocol::{
        Amount, DurableAttempt as _, ErrorCode, Evidence, Fingerprint, IdentifierHash, Landing, PaymentKey,
    };

    use crate::common::*;
    use crate::rows::{NAME, OBJECT_BYTES, PAYER, SELF, Was, write};

    /// An old database of each schema, opened by this version.
    async fn each(store: Store, mut ask: impl AsyncFnMut(Ledger, i64)) {
        let sqlite = store.is_sqlite();
        for version in versions() {
            let store = if sqlite { Store::sqlite() } else { Store::postgres().await.unwrap() };
            migrate_to(&store.url, version).await.unwrap();
            write(&store.url, version).await;
            let ledger = match store.open_as(SELF, NOW).await {
                Ok(ledger) => ledger,
                Err(error) => panic!("schema {version}: {error:?}"),
            };
            // SQLite takes over what anybody left when it opens; here one looks.
            let adopted = ledger.adopt_orphans(NOW).await.unwrap();
            assert_eq!(adopted.len(), usize::from(!sqlite), "schema {version}");
            ask(ledger, version).await;
        }
    }

    async fn payment(ledger: &Ledger, was: Was) -> Payment {
        ledger.payment(&was.id()).await.unwrap().unwrap()
    }

    fn landed(transaction: &str) -> Landing {
        Landing { block: 200, ..landing(transaction) }
    }

    pub(super) async fn every_schema_migrates_and_keeps_its_payments(store: Store) {
        each(store, async |ledger, version| {
            use DeliveryState::{Credited, Delivered, DeliveredInPart, None, Owed};
            use PaymentState::{Claimed, Expired, Recorded, Refused, Settled};
            for was in Was::ALL.into_iter().filter(|was| was.since() <= version) {
                let found = payment(&ledger, was).await;
                let (state, delivery) = match was {
                    Was::Claimed | Was::ClaimedByMerchant | Was::Orphaned => (Claimed, None),
                    Was::Recorded | Was::RecordedOnSolana => (Recorded, None),
                    Was::Refused => (Refused, None),
                    Was::Expired | Was::NamedBefore => (Expired, None),
                    Was::Settled | Was::Told | Was::Untold | Was::Telling => (Settled, None),
                    // The process that ran it is gone.
                    Was::Running | Was::Credited => (Settled, Credited),
                    Was::TooLong | Was::Pruned => (Settled, DeliveredInPart),
                    Was::Owed => (Settled, Owed),
                    Was::Delivered | Was::NobodyFetched | Was::Final | Was::Lost | Was::InObject => {
                        (Settled, Delivered)
                    }
                };
                assert_eq!((found.state, found.delivery), (state, delivery), "schema {version}, {was:?}");
                let finality = match was {
                    Was::Final => Some(Finality::Finalized),
                    Was::Lost => Some(Finality::ReorgedLoss),
                    _ => Option::None,
                };
                assert_eq!(found.finality, finality, "schema {version}, {was:?}");
            }
            let found = ledger.payments(Default::default()).await.unwrap();
            let known = Was::ALL.into_iter().filter(|was| was.since() <= version).count();
            assert_eq!(found.len(), known, "schema {version}");
            // Every running sum is what it sums up.
            let off = ledger.audit_totals(NOW).await.unwrap();
            assert_eq!(off, Vec::<String>::new(), "schema {version}");
        })
        .await;
    }

    pub(super) async fn what_was_open_goes_on(store: Store) {
        each(store, async |ledger, version| {
            let mut open: Vec<_> = ledger.unfinished().await.unwrap().into_iter().map(|p| p.id).collect();
            open.sort();
            let mut wanted =
                [Was::Claimed, Was::ClaimedByMerchant, Was::Recorded, Was::RecordedOnSolana, Was::Orphaned]
                    .map(Was::id);
            wanted.sort();
            assert_eq!(open, wanted, "schema {version}");
            // Whoever came with it was connected to a process that is gone.
            assert!(payment(&ledger, Was::Claimed).await.pending_answer_at_ms.is_some());

            // The same bytes at the same nonce, oldest first; the next nonce is a fresh one.
            let attempts = ledger.recorded_attempts(&Was::Recorded.id()).await.unwrap();
            let found: Vec<_> = attempts.iter().map(|one| (one.transaction(), one.nonce())).collect();
            assert_eq!(found, [("0xfirst", Some(5)), ("0xlanded3", Some(5))], "schema {version}");
            assert_eq!(attempts[0].raw_bytes(), &[0xaa; 100]);
            assert_eq!(ledger.attempts_from_nonce(&base(), WALLET, 5).await.unwrap().len(), 3);
            assert_eq!(ledger.ensure_wallet(&base(), WALLET, 5, NOW).await.unwrap(), 8);
            let bump = Slot::Same { attempt: attempts[1].attempt() };
            let known = [(Was::Recorded.id(), attempts[1].attempt())];
            ledger.record(NewAttempt::again(&known, bump, signer("bump")), NOW).await.unwrap();
            let signed = ledger
                .record(NewAttempt::numbered(&Was::Claimed.id(), WALLET, signer("new")), NOW)
                .await
                .unwrap();
            assert_eq!(signed.nonce(), Some(8), "schema {version}");

            // It lands, is paid for in the ledger, and what was reserved for it is free.
            let settled = ledger.settle(&Was::Recorded.id(), &landed("0xlanded3"), NOW).await.unwrap();
            assert_eq!(settled.state, PaymentState::Settled);
            let before = ledger.exposure(&base(), NOW).await.unwrap();
            ledger.book_cost(cost("0xlanded3", Was::Recorded), NOW).await.unwrap();
            ledger.release(&Was::Recorded.id(), NOW).await.unwrap();
            assert_ne!(before, ledger.exposure(&base(), NOW).await.unwrap(), "schema {version}");
            let run = ledger.start_delivery(&Was::Recorded.id(), at_most(3), NOW).await.unwrap();
            assert_eq!(run, DeliveryStart::Run { run: 1 });
            let past = Evidence::Expired { block: 900, clock: 1_800_000_601 };
            ledger.expire(&Was::Orphaned.id(), &past, NOW).await.unwrap();
            let refused = ErrorCode::InsufficientFunds;
            ledger.refuse(&Was::ClaimedByMerchant.id(), refused, "broke", None, NOW).await.unwrap();
            ledger.settle(&Was::RecordedOnSolana.id(), &landed("0xlanded4"), NOW).await.unwrap();
            assert_eq!(ledger.audit_totals(NOW).await.unwrap(), Vec::<String>::new(), "schema {version}");

            // Verdicts that were given stay (I6).
            for was in [Was::Refused, Was::Expired] {
                let again = ledger.settle(&was.id(), &landed("0xlate"), NOW).await;
                assert!(matches!(again, Err(LedgerError::Transition { .. })), "schema {version}, {was:?}");
            }
            let unfinal = ledger.unfinal(&base(), 0..=u64::MAX).await.unwrap();
            assert!(unfinal.iter().any(|one| one.id == Was::Settled.id()), "schema {version}");
            assert!(unfinal.iter().all(|one| one.id != Was::Final.id() && one.id != Was::Lost.id()));
            let landing = payment(&ledger, Was::Settled).await.landing.unwrap();
            assert_eq!(ledger.finalize(vec![(Was::Settled.id(), landing)], NOW).await.unwrap(), 1);
        })
        .await;
    }

    fn cost(transaction: &str, was: Was) -> CostEntry {
        CostEntry {
            network: base(),
            transaction: transaction.to_owned(),
            payment: Some(was.id()),
            native: 70,
            usdc: Some(Amount::new(400)),
            earned: true,
        }
    }

    pub(super) async fn what_was_settled_buys_what_it_bought(store: Store) {
        each(store, async |ledger, version| {
            let start = async |was: Was| ledger.start_delivery(&was.id(), at_most(2), NOW).await.unwrap();
            assert_eq!(start(Was::Settled).await, DeliveryStart::Run { run: 1 }, "schema {version}");
            assert_eq!(start(Was::Running).await, DeliveryStart::Run { run: 2 }, "it does not count");
            ledger.finish_delivery(&Was::Running.id(), 2, &answer(b"made"), NOW).await.unwrap();
            // Before 9 no run was known to be interrupted: both of them count.
            let credited = start(Was::Credited).await;
            match version < 9 {
                true => {
                    assert!(matches!(credited, DeliveryStart::Exhausted { failed: 2, .. }), "{credited:?}")
                }
                false => assert_eq!(credited, DeliveryStart::Run { run: 3 }),
            }
            if version >= 9 {
                ledger.credit_delivery(&Was::Credited.id(), 3, RunEnd::Failed, "500", NOW).await.unwrap();
                assert!(matches!(start(Was::Credited).await, DeliveryStart::Exhausted { failed: 2, .. }));
            }
            for was in [Was::Delivered, Was::NobodyFetched] {
                let DeliveryStart::Delivered(meta) = start(was).await else { panic!("schema {version}") };
                assert_eq!((meta.kept, meta.refundable, meta.status), (true, false, 200));
                let kept = ledger.answer(&was.id()).await.unwrap().unwrap();
                assert_eq!((kept.body, kept.truncated), (b"aaaa".to_vec(), false), "schema {version}");
                assert_eq!(kept.headers, [("content-type".to_owned(), b"text/plain".to_vec())]);
            }
            for was in [Was::TooLong, Was::Pruned] {
                let DeliveryStart::Delivered(meta) = start(was).await else { panic!("schema {version}") };
                assert!(meta.refundable, "schema {version}, {was:?}");
            }
            if version >= 11 {
                assert_eq!(start(Was::Owed).await, DeliveryStart::Owed);
            }
            // An answer that nobody got whole answers a call that its client repeats (P7).
            let repeated = repeating(Was::NobodyFetched);
            assert_eq!(ledger.earlier(&repeated).await.unwrap().unwrap().id, Was::NobodyFetched.id());
            assert_eq!(ledger.earlier(&repeating(Was::Delivered)).await.unwrap(), None);
            assert_eq!(ledger.earlier(&repeating(Was::TooLong)).await.unwrap(), None);
            let ClaimOutcome::Aliased(known) = ledger.claim(repeated, NOW).await.unwrap() else {
                panic!("schema {version}")
            };
            assert_eq!(known.payment.id, Was::NobodyFetched.id());
            ledger.mark_answer_sent(&Was::NobodyFetched.id(), NOW).await.unwrap();
            assert!(ledger.start_delivery(&Was::Told.id(), at_most(2), NOW).await.is_err(), "a merchant's");
        })
        .await;
    }

    /// The same request again, of the same payer.
    fn repeating(was: Was) -> NewClaim {
        NewClaim {
            fingerprint: Fingerprint::from_bytes([0x80 + was as u8; 32]),
            payer: PAYER.to_owned(),
            repeats: Some(RepeatPolicy { runs: at_most(2), waiting_since_ms: NOW, aliases_max: 4 }),
            ..new_claim(900 + was as u64, 0)
        }
    }

    pub(super) async fn what_merchants_were_told_stays_told(store: Store) {
        each(store, async |ledger, version| {
            let ask = async |was: Was| ledger.begin_merchant_answer(&was.id(), "new", 2, NOW).await.unwrap();
            assert_eq!(ask(Was::Told).await, MerchantAnswer::Told, "schema {version}");
            assert_eq!(ask(Was::Untold).await, MerchantAnswer::Begun { telling: 1 }, "schema {version}");
            let other = ledger.begin_merchant_answer(&Was::Untold.id(), "other", 2, NOW).await.unwrap();
            assert_eq!(other, MerchantAnswer::Busy);
            let told = MerchantAnswerEnd::Told;
            assert!(ledger.end_merchant_answer(&Was::Untold.id(), "new", told, NOW).await.unwrap());
            assert_eq!(ask(Was::Untold).await, MerchantAnswer::Told);
            if version >= 5 {
                // It may have been heard: once more, and never again.
                assert_eq!(ask(Was::Telling).await, MerchantAnswer::Begun { telling: 2 });
                let lost = MerchantAnswerEnd::Lost;
                assert!(ledger.end_merchant_answer(&Was::Telling.id(), "new", lost, NOW).await.unwrap());
                assert_eq!(ask(Was::Telling).await, MerchantAnswer::Told, "schema {version}");
            }
        })
        .await;
    }

    pub(super) async fn names_and_keys_still_stand_for_their_payments(store: Store) {
        each(store, async |ledger, version| {
            let key = PaymentKey::from_bytes([Was::Delivered as u8; 32]);
            let known = ledger.known(&key).await.unwrap().unwrap();
            assert_eq!((known.payment.id, known.alias), (Was::Delivered.id(), None));
            let again = NewClaim { key, ..new_claim(1, 0) };
            assert!(matches!(ledger.claim(again, NOW).await.unwrap(), ClaimOutcome::Exists(_)));
            // The name is the open payment's, not that of the one that ended before it.
            let identifier = Some(IdentifierHash::from_bytes([NAME; 32]));
            let named = NewClaim { identifier, payer: PAYER.to_owned(), ..new_claim(2, 0) };
            match ledger.claim(named, NOW).await.unwrap() {
                ClaimOutcome::Named(payment) => assert_eq!(payment.id, Was::Claimed.id(), "schema {version}"),
                other => panic!("schema {version}: {other:?}"),
            }
            if version >= 9 {
                let alias = PaymentKey::from_bytes([0xee; 32]);
                let known = ledger.known(&alias).await.unwrap().unwrap();
                assert_eq!(known.payment.id, Was::Settled.id());
                assert!(known.alias.is_some());
            }
        })
        .await;
    }

    pub(super) async fn kept_answers_and_their_sum_outlive_it(store: Store) {
        each(store, async |ledger, version| {
            let kept = if version >= 8 { OBJECT_BYTES } else { 0 };
            assert_eq!(ledger.kept_object_bytes().await.unwrap(), kept, "schema {version}");
            if version >= 8 {
                let answer = ledger.answer(&Was::InObject.id()).await.unwrap().unwrap();
                assert_eq!((answer.body_bytes(), answer.object.unwrap().key), (OBJECT_BYTES, [7; 32]));
                // What the killed run had begun to write is nobody's.
                let left = ledger.leftover_objects(NOW).await.unwrap();
                assert_eq!(left.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["w".repeat(32)]);
                assert!(ledger.drop_answer_object(&"w".repeat(32), NOW).await.unwrap());
            }
            let all = Retention { answers_ms: 1_000 };
            assert_eq!(ledger.prune(all, NOW).await.unwrap(), answers(version), "schema {version}");
            assert_eq!(ledger.kept_object_bytes().await.unwrap(), 0, "schema {version}");
            assert!(ledger.answer(&Was::Delivered.id()).await.unwrap().is_none());
            assert_eq!(payment(&ledger, Was::NobodyFetched).await.delivery, DeliveryState::DeliveredInPart);
            assert_eq!(ledger.audit_totals(NOW).await.unwrap(), Vec::<String>::new(), "schema {version}");
        })
        .await;
    }

    /// Answers with something left of them: delivered, nobody fetched, too long, final,
    /// lost, in an object.
    fn answers(version: i64) -> u64 {
        3 + if version >= 3 { 2 } else { 0 } + u64::from(version >= 8)
    }
}
