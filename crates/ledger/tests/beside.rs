//! What the ledger itself refuses to record: a further attempt beside one that its caller does
//! not know or that may still land (I10), and any beyond what is reserved (P3). On both
//! backends, and with several processes at once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    i10_a_further_attempt_is_refused_beside_one_that_is_not_known,
    i10_a_further_attempt_is_refused_while_an_earlier_one_may_land,
    i10_of_many_further_attempts_at_once_one_is_recorded,
    i10_a_payment_stays_with_the_wallet_that_signed_for_it_first,
    i10_a_replaced_slot_is_over_when_one_of_its_attempts_is,
    p3_what_was_given_back_is_not_signed_for,
    p3_what_a_successor_gave_back_is_not_signed_for_by_a_sleeper,
    p3_several_payments_cover_one_attempt_together,
);

mod cases {
    use futures::future::join_all;
    use quittance_ledger::{
        AttemptId, ClaimOutcome, CostEntry, Exposed, ExposureLimits, Ledger, LedgerError, LedgerOptions,
        NewAttempt, PaymentState, Reserve, Slot,
    };
    use quittance_protocol::{Amount, DurableAttempt as _, PaymentId};

    use crate::common::*;

    const BOUND: u64 = 4_000;
    const LEASE_MS: i64 = 1_000;

    fn wanted() -> Reserve {
        let both = |amount: u64| Exposed { usdc: Amount::new(amount), native: amount };
        Reserve {
            source: "payer".to_owned(),
            balance: None,
            hold_until_ms: None,
            bound: both(BOUND),
            by_code: false,
            account: None,
            limits: ExposureLimits {
                payer_in_flight: both(1 << 40),
                network_in_flight: both(1 << 40),
                payer_unearned_in_flight: 1_000,
                payer_day: Amount::new(1 << 40),
                soft_day: both(1 << 40),
                probes_day: both(1 << 40),
                spent_day: Amount::new(1 << 40),
                history_bps: 1_000,
                by_code_in_flight: 4,
            },
        }
    }

    async fn claimed(ledger: &Ledger, key: u64) -> PaymentId {
        let outcome = ledger.claim_within(new_claim(key, 0), wanted(), NOW).await.unwrap();
        let ClaimOutcome::Won(claim) = outcome else { panic!("the key is new") };
        claim.into_payment().id
    }

    fn first(id: &PaymentId, label: &str) -> NewAttempt {
        NewAttempt::numbered(id, WALLET, signer(label.to_owned())).costing(u128::from(BOUND))
    }

    fn further(id: &PaymentId, newest: AttemptId, label: &str) -> NewAttempt {
        let slot = Slot::Fresh { wallet: WALLET.to_owned() };
        NewAttempt::again(&[(id.clone(), newest)], slot, signer(label.to_owned())).costing(u128::from(BOUND))
    }

    async fn burn(ledger: &Ledger, id: &PaymentId, transaction: &str) {
        let entry = CostEntry {
            network: base(),
            transaction: transaction.to_owned(),
            payment: Some(id.clone()),
            native: 7,
            usdc: Some(Amount::new(7)),
            earned: false,
        };
        assert!(ledger.book_cost(entry, NOW).await.unwrap().is_some());
    }

    /// One whose first attempt failed and is booked, and whose next one is reserved for.
    async fn failed(ledger: &Ledger, key: u64) -> (PaymentId, AttemptId) {
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let id = claimed(ledger, key).await;
        let made = ledger.record(first(&id, &format!("first{key}")), NOW).await.unwrap();
        burn(ledger, &id, made.transaction()).await;
        ledger.reserve(&id, wanted(), NOW).await.unwrap();
        (id, made.attempt())
    }

    async fn hashes(ledger: &Ledger, id: &PaymentId) -> Vec<String> {
        let attempts = ledger.recorded_attempts(id).await.unwrap();
        attempts.iter().map(|one| one.transaction().to_owned()).collect()
    }

    /// A commit whose answer was lost, or a process that had the payment meanwhile, recorded one.
    pub(super) async fn i10_a_further_attempt_is_refused_beside_one_that_is_not_known(store: Store) {
        let ledger = store.open().await;
        let (id, known) = failed(&ledger, 1).await;
        let second = ledger.record(further(&id, known, "second"), NOW).await.unwrap();
        let before = ledger.payment(&id).await.unwrap().unwrap();
        let error = ledger.record(further(&id, known, "third"), NOW).await.unwrap_err();
        let LedgerError::AttemptBeside { payment, newest } = error else { panic!("{error}") };
        assert_eq!((*payment, newest), (before, second.attempt()));
        // A replacement must know what it replaces as well.
        let same = Slot::Same { attempt: second.attempt() };
        let stale = NewAttempt::again(&[(id.clone(), known)], same, signer("stale"));
        let error = ledger.record(stale, NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::AttemptBeside { .. }), "{error}");
        assert_eq!(hashes(&ledger, &id).await, ["first1@0", "second@1"]);
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap(), 2, "no nonce is taken");
    }

    /// One lane alone knows of a payment's attempts: that of the wallet that signed for it first.
    pub(super) async fn i10_a_payment_stays_with_the_wallet_that_signed_for_it_first(store: Store) {
        let ledger = store.open().await;
        let (id, known) = failed(&ledger, 1).await;
        ledger.ensure_wallet(&base(), "0xother", 0, NOW).await.unwrap();
        let by = |wallet: &str, label: &str| {
            let slot = Slot::Fresh { wallet: wallet.to_owned() };
            let again = NewAttempt::again(&[(id.clone(), known)], slot, signer(label.to_owned()));
            again.costing(u128::from(BOUND))
        };
        let error = ledger.record(by("0xother", "second"), NOW).await.unwrap_err();
        let LedgerError::OtherWallet { payment, wallet } = error else { panic!("{error}") };
        assert_eq!((payment.id.clone(), wallet.as_str()), (id.clone(), "0xother"));
        assert_eq!(hashes(&ledger, &id).await, ["first1@0"]);
        assert_eq!(ledger.ensure_wallet(&base(), "0xother", 0, NOW).await.unwrap(), 0, "no nonce is taken");
        ledger.record(by(WALLET, "second"), NOW).await.unwrap();
        assert_eq!(hashes(&ledger, &id).await, ["first1@0", "second@1"]);
    }

    pub(super) async fn i10_a_further_attempt_is_refused_while_an_earlier_one_may_land(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let id = claimed(&ledger, 1).await;
        let made = ledger.record(first(&id, "first"), NOW).await.unwrap();
        let error = ledger.record(further(&id, made.attempt(), "second"), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::AttemptBeside { .. }), "{error}");
        assert_eq!(hashes(&ledger, &id).await, ["first@0"]);
        burn(&ledger, &id, made.transaction()).await;
        ledger.reserve(&id, wanted(), NOW).await.unwrap();
        ledger.record(further(&id, made.attempt(), "second"), NOW).await.unwrap();
    }

    pub(super) async fn i10_of_many_further_attempts_at_once_one_is_recorded(store: Store) {
        let ledger = store.open().await;
        let (id, known) = failed(&ledger, 1).await;
        let asked = (0..20).map(|number| {
            let (ledger, id) = (ledger.clone(), id.clone());
            tokio::spawn(
                async move { ledger.record(further(&id, known, &format!("next{number}")), NOW).await },
            )
        });
        let told: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(told.iter().filter(|one| one.is_ok()).count(), 1);
        let refused = told.iter().filter(|one| matches!(one, Err(LedgerError::AttemptBeside { .. })));
        assert_eq!(refused.count(), 19);
        assert_eq!(hashes(&ledger, &id).await.len(), 2);
    }

    /// Of two that share a nonce one lands at most: nothing is ever heard of the other.
    pub(super) async fn i10_a_replaced_slot_is_over_when_one_of_its_attempts_is(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let id = claimed(&ledger, 1).await;
        let made = ledger.record(first(&id, "first"), NOW).await.unwrap();
        let same = Slot::Same { attempt: made.attempt() };
        let bump = NewAttempt::again(&[(id.clone(), made.attempt())], same, signer("bump"));
        let bump = ledger.record(bump.costing(u128::from(BOUND)), NOW).await.unwrap();
        burn(&ledger, &id, made.transaction()).await;
        ledger.reserve(&id, wanted(), NOW).await.unwrap();
        let next = ledger.record(further(&id, bump.attempt(), "second"), NOW).await.unwrap();
        assert_eq!(next.nonce(), Some(1));
    }

    pub(super) async fn p3_what_was_given_back_is_not_signed_for(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let id = claimed(&ledger, 1).await;
        let dearer = NewAttempt::numbered(&id, WALLET, signer("dear")).costing(u128::from(BOUND) + 1);
        let error = ledger.record(dearer, NOW).await.unwrap_err();
        let LedgerError::NotReserved { payment, reserved, cost } = error else { panic!("{error}") };
        assert_eq!((payment.id, reserved, cost), (id.clone(), BOUND, BOUND + 1));
        assert!(ledger.return_cost(&id, NOW).await.unwrap());
        for beyond in [u128::from(BOUND), u128::MAX] {
            let new = NewAttempt::numbered(&id, WALLET, signer("first")).costing(beyond);
            let error = ledger.record(new, NOW).await.unwrap_err();
            assert!(matches!(error, LedgerError::NotReserved { reserved: 0, .. }), "{error}");
        }
        assert_eq!(ledger.payment(&id).await.unwrap().unwrap().state, PaymentState::Claimed);
        ledger.reserve(&id, wanted(), NOW).await.unwrap();
        assert_eq!(ledger.record(first(&id, "first"), NOW).await.unwrap().nonce(), Some(0));
        // The same for a further one: what it burnt is not reserved any more.
        let made = ledger.recorded_attempts(&id).await.unwrap().remove(0);
        burn(&ledger, &id, made.transaction()).await;
        let error = ledger.record(further(&id, made.attempt(), "second"), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::NotReserved { .. }), "{error}");
    }

    /// It slept past its lease; another process gave back what was reserved, and ended; it joined
    /// again and has the payment back.
    pub(super) async fn p3_what_a_successor_gave_back_is_not_signed_for_by_a_sleeper(store: Store) {
        if store.is_sqlite() {
            return;
        }
        let open = async |name: &str, at: i64| {
            let options = LedgerOptions { lease_ms: LEASE_MS, ..LedgerOptions::new(name) };
            Ledger::open(&store.url, options, at).await.unwrap()
        };
        let sleeper = open("one", NOW).await;
        sleeper.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let id = claimed(&sleeper, 1).await;
        let later = NOW + LEASE_MS + 1;
        let successor = open("two", later).await;
        assert_eq!(successor.adopt_orphans(later).await.unwrap().len(), 1);
        assert!(successor.return_cost(&id, later).await.unwrap());
        let awake = later + LEASE_MS + 1;
        sleeper.rejoin(awake).await.unwrap();
        assert_eq!(sleeper.adopt_orphans(awake).await.unwrap().len(), 1);
        let error = sleeper.record(first(&id, "first"), awake).await.unwrap_err();
        assert!(matches!(error, LedgerError::NotReserved { reserved: 0, .. }), "{error}");
        assert!(sleeper.recorded_attempts(&id).await.unwrap().is_empty());
    }

    pub(super) async fn p3_several_payments_cover_one_attempt_together(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let ids = [claimed(&ledger, 1).await, claimed(&ledger, 2).await];
        let batch = |cost: u64| NewAttempt::batch(&ids, WALLET, signer("batch")).costing(u128::from(cost));
        let error = ledger.record(batch(2 * BOUND + 1), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::NotReserved { .. }), "{error}");
        assert_eq!(ledger.record(batch(2 * BOUND), NOW).await.unwrap().payments().len(), 2);
    }
}
