//! The ledger's promises about claims, nonces, verdicts and deliveries, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    one_claim_wins_the_race,
    a_claim_reads_back_as_it_was_written,
    nonces_have_no_gap_and_no_duplicate,
    a_panicking_signer_harms_nobody,
    the_counter_is_never_lowered,
    every_forbidden_transition_is_an_error,
    a_verdict_is_given_once,
    bumps_noops_and_batches_share_the_model,
    one_delivery_runs_at_a_time,
    credits_run_out,
    the_answer_is_stored_within_its_limit,
    pending_answers_are_noted,
    durable_commits_are_counted,
    amounts_beyond_bigint_are_refused,
);

mod cases {
    use futures::future::join_all;
    use quittance_ledger::Ledger;
    use quittance_ledger::{
        ClaimOutcome, CostEntry, DeliveryStart, DeliveryState, LedgerError, LedgerOptions, NewAttempt,
        NewClaim, PaymentState, Recorded, Retention, RunEnd, Slot,
    };
    use quittance_protocol::{
        Amount, Deadline, DurableAttempt as _, ErrorCode, Evidence, IdentifierHash, PaymentId, SendOutcome,
    };

    use crate::common::*;

    const EXPIRED: Evidence = Evidence::Expired { block: 9, clock: 10 };

    pub(super) async fn one_claim_wins_the_race(store: Store) {
        let ledger = store.open().await;
        let tasks = (0..150).map(|copy| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.claim(new_claim(1, copy), NOW).await.unwrap() })
        });
        let mut won = Vec::new();
        let mut told = Vec::new();
        for outcome in join_all(tasks).await {
            match outcome.unwrap() {
                ClaimOutcome::Won(claim) => won.push(claim.into_payment().id),
                ClaimOutcome::Exists(known) => told.push(known.payment.id),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(told, vec![won[0].clone(); 149], "every loser is told the winner");
    }

    pub(super) async fn a_claim_reads_back_as_it_was_written(store: Store) {
        let ledger = store.open().await;
        let identifier = IdentifierHash::of("mine");
        let new = NewClaim {
            identifier: Some(identifier),
            deadline: Deadline::BlockHeight(77),
            amount: Amount::new(i64::MAX as u64),
            tariff: None,
            ..merchant_claim(1)
        };
        let claim = won(&ledger, new.clone()).await;
        let stored = ledger.payment_by_key(&new.key).await.unwrap().unwrap();
        assert_eq!(*claim, stored);
        assert_eq!(ledger.payment(&new.id).await.unwrap().unwrap(), stored);
        assert_eq!(ledger.payment_by_key(&new_claim(2, 0).key).await.unwrap(), None);
        assert_eq!(
            (stored.origin, stored.deadline, stored.amount, stored.tariff, stored.payload, stored.watch_from),
            (new.origin, new.deadline, new.amount, new.tariff, new.payload, new.watch_from)
        );
        assert_eq!((stored.state, stored.delivery), (PaymentState::Claimed, DeliveryState::None));
        assert!(!format!("{claim:?} {:?}", merchant_claim(3)).contains("SECRET"));
    }

    pub(super) async fn nonces_have_no_gap_and_no_duplicate(store: Store) {
        let ledger = store.open().await;
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 40, NOW).await.unwrap(), 40);
        let tasks = (0..80_u64).map(|key| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let id = won(&ledger, new_claim(key, 0)).await.into_payment().id;
                // Every fourth signer fails: its nonce must go to somebody else.
                let sign = if key % 4 == 0 { broken_signer() } else { signer(format!("tx{key}")) };
                (id.clone(), ledger.record(NewAttempt::numbered(&id, WALLET, sign), NOW).await)
            })
        });
        let mut nonces = Vec::new();
        for result in join_all(tasks).await {
            match result.unwrap() {
                (id, Ok(recorded)) => {
                    let nonce = recorded.nonce().unwrap();
                    assert!(
                        recorded.transaction().ends_with(&format!("@{nonce}")),
                        "signed for its own nonce"
                    );
                    assert_eq!(recorded.raw_bytes(), recorded.transaction().as_bytes());
                    let payment = ledger.payment(&id).await.unwrap().unwrap();
                    assert_eq!(payment.state, PaymentState::Recorded);
                    assert_eq!(payment.transaction.as_deref(), Some(recorded.transaction()));
                    nonces.push(nonce);
                }
                (id, Err(LedgerError::Sign(_))) => {
                    assert_eq!(ledger.payment(&id).await.unwrap().unwrap().state, PaymentState::Claimed);
                    assert!(ledger.recorded_attempts(&id).await.unwrap().is_empty());
                }
                (_, Err(error)) => panic!("{error}"),
            }
        }
        nonces.sort_unstable();
        assert_eq!(nonces, (40..100).collect::<Vec<_>>());
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap(), 100);
        let open = ledger.attempts_from_nonce(&base(), WALLET, 95).await.unwrap();
        assert_eq!(open.iter().filter_map(|r| r.nonce()).collect::<Vec<_>>(), (95..100).collect::<Vec<_>>());
    }

    pub(super) async fn a_panicking_signer_harms_nobody(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let sign = Box::new(|_| panic!("signer broke"));
        let error = ledger.record(NewAttempt::numbered(&id, WALLET, sign), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::Panicked), "{error}");
        let recorded = ledger.record(NewAttempt::numbered(&id, WALLET, signer("tx")), NOW).await.unwrap();
        assert_eq!(recorded.nonce(), Some(0));
    }

    pub(super) async fn the_counter_is_never_lowered(store: Store) {
        let ledger = store.open().await;
        for (chain, expected) in [(5, 5), (3, 5), (9, 9), (9, 9), (0, 9)] {
            assert_eq!(ledger.ensure_wallet(&base(), WALLET, chain, NOW).await.unwrap(), expected);
        }
        assert_eq!(ledger.ensure_wallet(&base(), "0xother", 1, NOW).await.unwrap(), 1);
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let error =
            ledger.record(NewAttempt::numbered(&id, "0xunknown", signer("tx")), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::UnknownWallet { .. }), "{error}");
    }

    async fn bring_to(ledger: &Ledger, key: u64, state: PaymentState) -> PaymentId {
        let id = won(ledger, new_claim(key, 0)).await.into_payment().id;
        match state {
            PaymentState::Claimed => {}
            PaymentState::Recorded => drop(
                ledger.record(NewAttempt::unnumbered(&id, signed(format!("t{key}"))), NOW).await.unwrap(),
            ),
            other => step(ledger, &id, key, other).await.unwrap(),
        }
        id
    }

    async fn step(ledger: &Ledger, id: &PaymentId, key: u64, to: PaymentState) -> Result<(), LedgerError> {
        match to {
            PaymentState::Claimed => return Ok(()),
            PaymentState::Recorded => {
                drop(ledger.record(NewAttempt::unnumbered(id, signed(format!("s{key}"))), NOW).await?)
            }
            PaymentState::Settled => drop(ledger.settle(id, &landing("0x1"), NOW).await?),
            PaymentState::Refused => {
                drop(ledger.refuse(id, ErrorCode::InsufficientFunds, "broke", None, NOW).await?)
            }
            PaymentState::Expired => drop(ledger.expire(id, &EXPIRED, NOW).await?),
        }
        Ok(())
    }

    pub(super) async fn every_forbidden_transition_is_an_error(store: Store) {
        let ledger = store.open().await;
        let mut key = 0;
        for &from in PaymentState::ALL {
            for &to in PaymentState::ALL.iter().filter(|to| **to != PaymentState::Claimed) {
                key += 1;
                let id = bring_to(&ledger, key, from).await;
                let before = ledger.payment(&id).await.unwrap().unwrap();
                let journal = ledger.journal(&id).await.unwrap().len();
                let result = step(&ledger, &id, key, to).await;
                let after = ledger.payment(&id).await.unwrap().unwrap();
                if from.may_become(to) {
                    result.unwrap();
                    assert_eq!(after.state, to);
                    continue;
                }
                match result.unwrap_err() {
                    LedgerError::Transition { from: was, to: asked, payment } => {
                        assert_eq!((was, asked), (from, to));
                        assert_eq!(*payment, before);
                    }
                    other => panic!("{from} to {to}: {other}"),
                }
                assert_eq!(after, before, "{from} to {to}");
                assert_eq!(ledger.journal(&id).await.unwrap().len(), journal);
            }
        }
        let unknown = PaymentId::from_random([9; 16]);
        let error = ledger.settle(&unknown, &landing("0x1"), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::UnknownPayment(_)), "{error}");
    }

    pub(super) async fn a_verdict_is_given_once(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let error = ledger.settle(&id, &landing("tx1"), NOW + 1).await.unwrap_err();
        let payment = error.payment().unwrap();
        assert_eq!(payment.state, PaymentState::Settled);
        assert_eq!(payment.landing, Some(landing("tx1")), "costs beyond 64 bits survive");
        assert_eq!(payment.settled_at_ms, Some(NOW));

        let id = bring_to(&ledger, 2, PaymentState::Recorded).await;
        let why = "x".repeat(600) + "\0";
        let refused = ledger
            .refuse(&id, ErrorCode::InsufficientFunds, &why, Some(&Evidence::Canceled(landing("0xc"))), NOW)
            .await
            .unwrap();
        let (code, reason) = refused.refusal.unwrap();
        assert_eq!((code, reason.len()), (ErrorCode::InsufficientFunds, 512));
        assert!(refused.verdict_at_ms.is_some() && refused.settled_at_ms.is_none());
    }

    pub(super) async fn bumps_noops_and_batches_share_the_model(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let mut ids = Vec::new();
        for key in 0..3 {
            ids.push(won(&ledger, new_claim(key, 0)).await.into_payment().id);
        }
        let batch = ledger.record(NewAttempt::batch(&ids, WALLET, signer("batch")), NOW).await.unwrap();
        assert_eq!((batch.nonce(), batch.payments()), (Some(0), &ids[..]));
        let same = Slot::Same { attempt: batch.attempt() };
        let known =
            |newest: &Recorded| ids.iter().map(|id| (id.clone(), newest.attempt())).collect::<Vec<_>>();
        let bump = NewAttempt::again(&known(&batch), same, signer("bump"));
        let bump = ledger.record(bump, NOW).await.unwrap();
        assert_eq!((bump.nonce(), bump.replaces()), (Some(0), Some(batch.attempt())));
        let bumped = Slot::Same { attempt: bump.attempt() };
        let noop = ledger.record(NewAttempt::again(&[], bumped, signer("noop")), NOW).await.unwrap();
        assert_eq!((noop.nonce(), noop.payments().len()), (Some(0), 0));
        let fresh = Slot::Fresh { wallet: WALLET.to_owned() };
        let failed = CostEntry {
            network: base(),
            transaction: bump.transaction().to_owned(),
            payment: Some(ids[1].clone()),
            native: 1,
            usdc: None,
            earned: true,
        };
        ledger.book_cost(failed, NOW).await.unwrap();
        let alone = NewAttempt::again(&known(&bump)[1..2], fresh, signer("alone"));
        let alone = ledger.record(alone, NOW).await.unwrap();
        assert_eq!(alone.nonce(), Some(1));
        let attempts = ledger.recorded_attempts(&ids[1]).await.unwrap();
        let hashes: Vec<_> = attempts.iter().map(|a| a.transaction().to_owned()).collect();
        assert_eq!(hashes, ["batch@0", "bump@0", "alone@1"]);
        assert_eq!(attempts[0].payments(), &ids[..]);
        assert_eq!(attempts[0].raw_bytes(), b"batch@0");
        assert_eq!(ledger.attempts_from_nonce(&base(), WALLET, 0).await.unwrap().len(), 4);
        ledger
            .journal_send(alone.attempt(), &SendOutcome::Unknown { reason: "time-out".into() }, NOW)
            .await
            .unwrap();
        ledger.journal_send(noop.attempt(), &SendOutcome::Accepted, NOW).await.unwrap();
        let events: Vec<_> = ledger.journal(&ids[1]).await.unwrap().into_iter().map(|l| l.event).collect();
        assert_eq!(events, ["claimed", "recorded", "recorded", "cost", "recorded", "broadcast"]);
        // A batch that one of its payments cannot join changes none of the others.
        let free = won(&ledger, new_claim(7, 0)).await.into_payment().id;
        let mixed = [free.clone(), ids[0].clone()];
        assert!(ledger.record(NewAttempt::batch(&mixed, WALLET, signer("mixed")), NOW).await.is_err());
        assert_eq!(ledger.payment(&free).await.unwrap().unwrap().state, PaymentState::Claimed);
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap(), 2);
    }

    pub(super) async fn one_delivery_runs_at_a_time(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let tasks = (0..60).map(|_| {
            let (ledger, id) = (ledger.clone(), id.clone());
            tokio::spawn(async move { ledger.start_delivery(&id, at_most(3), NOW).await.unwrap() })
        });
        let starts: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(starts.iter().filter(|s| **s == DeliveryStart::Run { run: 1 }).count(), 1);
        let running = DeliveryStart::Running { owner: "one".to_owned(), since_ms: NOW };
        assert_eq!(starts.iter().filter(|s| **s == running).count(), 59);

        let unpaid = won(&ledger, new_claim(2, 0)).await.into_payment().id;
        let error = ledger.start_delivery(&unpaid, at_most(3), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::Transition { from: PaymentState::Claimed, .. }), "{error}");
        let merchant = won(&ledger, merchant_claim(3)).await.into_payment().id;
        ledger.settle(&merchant, &landing("0x3"), NOW).await.unwrap();
        let error = ledger.start_delivery(&merchant, at_most(3), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::WrongOrigin { .. }), "{error}");
    }

    pub(super) async fn credits_run_out(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        for run in 1..=3 {
            assert_eq!(
                ledger.start_delivery(&id, at_most(3), NOW).await.unwrap(),
                DeliveryStart::Run { run }
            );
            let stale = ledger.finish_delivery(&id, run - 1, &answer(b"late"), NOW).await.unwrap_err();
            assert!(matches!(stale, LedgerError::DeliveryTransition { .. }), "{stale}");
            ledger.credit_delivery(&id, run, RunEnd::Failed, "handler answered 500", NOW).await.unwrap();
            let twice = ledger.credit_delivery(&id, run, RunEnd::Failed, "again", NOW).await.unwrap_err();
            assert!(matches!(twice, LedgerError::DeliveryTransition { .. }), "{twice}");
        }
        assert_eq!(
            ledger.start_delivery(&id, at_most(3), NOW).await.unwrap(),
            DeliveryStart::Exhausted { failed: 3, crashed: 0, first: true }
        );
        assert!(ledger.mark_answer_sent(&id, NOW).await.is_err(), "there is no answer");
        assert_eq!(ledger.start_delivery(&id, at_most(4), NOW).await.unwrap(), DeliveryStart::Run { run: 4 });
        ledger.finish_delivery(&id, 4, &answer(b"png"), NOW).await.unwrap();
        assert!(ledger.credit_delivery(&id, 4, RunEnd::Failed, "too late", NOW).await.is_err());
        assert!(matches!(
            ledger.start_delivery(&id, at_most(9), NOW).await.unwrap(),
            DeliveryStart::Delivered(_)
        ));
    }

    pub(super) async fn the_answer_is_stored_within_its_limit(store: Store) {
        let options = LedgerOptions { answer_body_bytes_max: 4, ..LedgerOptions::new("one") };
        let ledger = Ledger::open(&store.url, options, NOW).await.unwrap();
        for (key, body, truncated) in [(1, &b"1234"[..], false), (2, &b"12345"[..], true)] {
            let id = settled(&ledger, key).await;
            assert_eq!(
                ledger.start_delivery(&id, at_most(1), NOW).await.unwrap(),
                DeliveryStart::Run { run: 1 }
            );
            assert_eq!(ledger.answer(&id).await.unwrap(), None);
            ledger.finish_delivery(&id, 1, &answer(body), NOW).await.unwrap();
            let stored = ledger.answer(&id).await.unwrap().unwrap();
            assert_eq!((stored.truncated, stored.body.len()), (truncated, if truncated { 0 } else { 4 }));
            assert_eq!(stored.headers, answer(b"").headers);
            ledger.mark_answer_sent(&id, NOW + 5).await.unwrap();
            ledger.mark_answer_sent(&id, NOW + 9).await.unwrap();
            assert_eq!(ledger.payment(&id).await.unwrap().unwrap().first_answer_at_ms, Some(NOW + 5));
            let DeliveryStart::Delivered(meta) = ledger.start_delivery(&id, at_most(1), NOW).await.unwrap()
            else {
                panic!("it is delivered");
            };
            assert_eq!((meta.body_bytes, meta.truncated, meta.kept), (body.len() as u64, truncated, true));
        }
        assert_eq!(ledger.prune(Retention { answers_ms: 1_000 }, NOW + 1_000).await.unwrap(), 0);
        assert_eq!(ledger.prune(Retention { answers_ms: 1_000 }, NOW + 1_001).await.unwrap(), 2);
        let id = new_claim(1, 0).id;
        assert_eq!(ledger.answer(&id).await.unwrap(), None);
        let start = ledger.start_delivery(&id, at_most(9), NOW).await.unwrap();
        assert!(matches!(start, DeliveryStart::Delivered(meta) if !meta.kept), "pruned is still delivered");
    }

    pub(super) async fn pending_answers_are_noted(store: Store) {
        let ledger = store.open().await;
        let id = won(&ledger, merchant_claim(1)).await.into_payment().id;
        ledger.note_pending_answer(&id, NOW + 3).await.unwrap();
        ledger.note_pending_answer(&id, NOW + 2).await.unwrap();
        assert_eq!(ledger.payment(&id).await.unwrap().unwrap().pending_answer_at_ms, Some(NOW + 3));
    }

    /// Claim 1; slot, bytes and hash 1; verdict 1; delivery 2. Reads none.
    pub(super) async fn durable_commits_are_counted(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let mut before = ledger.commits();
        let mut spent = || {
            let now = ledger.commits();
            now - std::mem::replace(&mut before, now)
        };
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        assert_eq!(spent(), 1, "claim");
        assert!(matches!(ledger.claim(new_claim(1, 1), NOW).await.unwrap(), ClaimOutcome::Exists(_)));
        assert_eq!(spent(), 0, "a copy");
        ledger.record(NewAttempt::numbered(&id, WALLET, signer("tx")), NOW).await.unwrap();
        assert_eq!(spent(), 1, "record");
        ledger.settle(&id, &landing("tx@0"), NOW).await.unwrap();
        assert_eq!(spent(), 1, "verdict");
        ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
        ledger.finish_delivery(&id, 1, &answer(b"png"), NOW).await.unwrap();
        assert_eq!(spent(), 2, "delivery");
        ledger.payment(&id).await.unwrap();
        assert!(ledger.settle(&id, &landing("tx@0"), NOW).await.is_err());
        assert_eq!(spent(), 0, "reads and refused operations");
    }

    pub(super) async fn amounts_beyond_bigint_are_refused(store: Store) {
        let ledger = store.open().await;
        let too_much = Amount::new(i64::MAX as u64 + 1);
        for new in [
            NewClaim { amount: too_much, ..new_claim(1, 0) },
            NewClaim { deadline: Deadline::UnixSeconds(u64::MAX), ..new_claim(1, 0) },
            NewClaim { payer: "a\0b".to_owned(), ..new_claim(1, 0) },
        ] {
            let error = ledger.claim(new, NOW).await.unwrap_err();
            assert!(matches!(error, LedgerError::OutOfRange { .. }), "{error}");
        }
        assert_eq!(ledger.counts().await.unwrap(), vec![]);
    }
}
