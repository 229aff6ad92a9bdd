//! What replaces an attempt at its own nonce (I2): only the newest there, by one process, and within
//! what is reserved for its payments and the operator's budget (I10). On both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    i2_of_two_replacements_of_one_attempt_one_is_recorded,
    i2_what_used_its_nonce_is_not_replaced,
    i2_nobody_replaces_beside_another_processs_payment,
    i10_what_is_not_reserved_comes_from_the_days_budget,
    i10_a_nonce_takes_from_the_budget_once,
    p3_what_used_a_replaced_nonce_frees_the_others,
    p3_a_replaced_batch_is_booked_share_by_share,
);

mod cases {
    use futures::future::join_all;
    use quittance_ledger::{
        AttemptId, ClaimOutcome, CostEntry, Exposed, ExposureLimits, Ledger, LedgerError, LedgerOptions,
        NewAttempt, Recorded, Reserve, Slot,
    };
    use quittance_protocol::{Amount, DurableAttempt as _, Evidence, PaymentId};

    use crate::common::*;

    const BOUND: u64 = 4_000;
    const DAY: u64 = 1_000;
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    const LEASE_MS: i64 = 1_000;

    fn wanted(native: u64) -> Reserve {
        let both = |amount: u64| Exposed { usdc: Amount::new(amount), native: amount };
        Reserve {
            source: "payer".to_owned(),
            balance: None,
            hold_until_ms: None,
            bound: both(native),
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
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let outcome = ledger.claim_within(new_claim(key, 0), wanted(BOUND), NOW).await.unwrap();
        let ClaimOutcome::Won(claim) = outcome else { panic!("the key is new") };
        claim.into_payment().id
    }

    /// A payment whose first attempt is recorded.
    async fn recorded(ledger: &Ledger, key: u64) -> (PaymentId, Recorded) {
        let id = claimed(ledger, key).await;
        let first = NewAttempt::numbered(&id, WALLET, signer(format!("first{key}")));
        let made = ledger.record(first.costing(u128::from(BOUND)), NOW).await.unwrap();
        (id, made)
    }

    fn same(id: &PaymentId, old: AttemptId, label: &str, cost: u64) -> NewAttempt {
        let slot = Slot::Same { attempt: old };
        NewAttempt::again(&[(id.clone(), old)], slot, signer(label)).costing(u128::from(cost)).unwedging(DAY)
    }

    fn nothing(old: AttemptId, label: &str, cost: u64) -> NewAttempt {
        let slot = Slot::Same { attempt: old };
        NewAttempt::again(&[], slot, signer(label)).costing(u128::from(cost)).unwedging(DAY)
    }

    async fn book(ledger: &Ledger, id: Option<&PaymentId>, transaction: &str, native: u128, earned: bool) {
        let entry = CostEntry {
            network: base(),
            transaction: transaction.to_owned(),
            payment: id.cloned(),
            native,
            usdc: Some(Amount::new(7)),
            earned,
        };
        assert!(ledger.book_cost(entry, NOW).await.unwrap().is_some());
    }

    async fn reserved(ledger: &Ledger) -> u64 {
        ledger.exposure(&base(), NOW).await.unwrap().reserved.native
    }

    async fn unwedged(ledger: &Ledger) -> u64 {
        ledger.unwedged(&base(), NOW).await.unwrap()
    }

    /// Two lanes that look at the same head: neither makes bytes that the other does not know of.
    pub(super) async fn i2_of_two_replacements_of_one_attempt_one_is_recorded(store: Store) {
        let ledger = store.open().await;
        let (id, made) = recorded(&ledger, 1).await;
        let old = made.attempt();
        let asked = (0..20).map(|number| {
            let (ledger, id) = (ledger.clone(), id.clone());
            let label = format!("next{number}");
            let new = if number % 2 == 0 { same(&id, old, &label, BOUND) } else { nothing(old, &label, 10) };
            tokio::spawn(async move { ledger.record(new, NOW).await })
        });
        let told: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(told.iter().filter(|one| one.is_ok()).count(), 1);
        let newest = told.iter().find_map(|one| one.as_ref().ok()).unwrap().attempt();
        for error in told.iter().filter_map(|one| one.as_ref().err()) {
            let says = match error {
                LedgerError::NotReplaceable { newest } | LedgerError::AttemptBeside { newest, .. } => *newest,
                other => panic!("{other}"),
            };
            assert_eq!(says, newest);
        }
        let there = ledger.attempts_from_nonce(&base(), WALLET, 0).await.unwrap();
        assert_eq!(there.len(), 2);
        assert_eq!((there[1].nonce(), there[1].replaces()), (Some(0), Some(old)));
        assert_eq!(ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap(), 1, "no nonce is taken");
    }

    pub(super) async fn i2_what_used_its_nonce_is_not_replaced(store: Store) {
        let ledger = store.open().await;
        let (id, made) = recorded(&ledger, 1).await;
        book(&ledger, Some(&id), made.transaction(), 7, false).await;
        for new in [nothing(made.attempt(), "nothing", 10), same(&id, made.attempt(), "same", 10)] {
            let error = ledger.record(new, NOW).await.unwrap_err();
            assert!(matches!(error, LedgerError::NotReplaceable { .. }), "{error}");
        }
        assert_eq!(unwedged(&ledger).await, 0);
    }

    /// Its owner may be about to do so itself.
    pub(super) async fn i2_nobody_replaces_beside_another_processs_payment(store: Store) {
        if store.is_sqlite() {
            return;
        }
        let open = async |name: &str| {
            let options = LedgerOptions { lease_ms: LEASE_MS, ..LedgerOptions::new(name) };
            Ledger::open(&store.url, options, NOW).await.unwrap()
        };
        let (owner, other) = (open("one").await, open("two").await);
        let (id, made) = recorded(&owner, 1).await;
        for new in [nothing(made.attempt(), "nothing", 10), same(&id, made.attempt(), "same", 10)] {
            let error = other.record(new, NOW).await.unwrap_err();
            assert!(matches!(error, LedgerError::NotOwner { .. }), "{error}");
        }
        // What is over is nobody's.
        owner.expire(&id, &Evidence::Expired { block: 1, clock: 1 }, NOW).await.unwrap();
        let done = other.record(nothing(made.attempt(), "nothing", 10), NOW).await.unwrap();
        let error = owner.record(nothing(made.attempt(), "mine", 10), NOW).await.unwrap_err();
        let LedgerError::NotReplaceable { newest } = error else { panic!("{error}") };
        assert_eq!(newest, done.attempt());
    }

    pub(super) async fn i10_what_is_not_reserved_comes_from_the_days_budget(store: Store) {
        let ledger = store.open().await;
        let (id, made) = recorded(&ledger, 1).await;
        // What is reserved for its payment goes first.
        let raised = ledger.record(same(&id, made.attempt(), "own", BOUND), NOW).await.unwrap();
        assert_eq!(unwedged(&ledger).await, 0);
        let error =
            ledger.record(same(&id, raised.attempt(), "far", BOUND + DAY + 1), NOW).await.unwrap_err();
        let LedgerError::UnwedgeSpent { wanted, left } = error else { panic!("{error}") };
        assert_eq!((wanted, left), (DAY + 1, DAY));
        let dear = ledger.record(same(&id, raised.attempt(), "dear", BOUND + 600), NOW).await.unwrap();
        assert_eq!(unwedged(&ledger).await, 600);
        // Another nonce finds what is left; without the budget only what is reserved counts.
        let (other, made) = recorded(&ledger, 2).await;
        let error = ledger.record(nothing(made.attempt(), "nothing", 401), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::UnwedgeSpent { wanted: 401, left: 400 }), "{error}");
        let plain = NewAttempt::again(
            &[(other, made.attempt())],
            Slot::Same { attempt: made.attempt() },
            signer("p"),
        );
        let error = ledger.record(plain.costing(u128::from(BOUND) + 1), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::NotReserved { .. }), "{error}");
        ledger.record(nothing(made.attempt(), "nothing", 400), NOW).await.unwrap();
        assert_eq!(unwedged(&ledger).await, DAY);
        // A day later what is closed counts no more, and what is open still does.
        book(&ledger, Some(&id), dear.transaction(), 250, true).await;
        assert!(ledger.close_replaced(&base(), WALLET, 0, NOW).await.unwrap());
        assert_eq!(unwedged(&ledger).await, 250 + 400, "no more than it cost");
        assert_eq!(ledger.unwedged(&base(), NOW + DAY_MS + 1).await.unwrap(), 400);
        let open = ledger.replaced_slots(&base()).await.unwrap();
        assert_eq!(open.iter().map(|slot| (slot.nonce, slot.native)).collect::<Vec<_>>(), [(1, 400)]);
    }

    /// One of a nonce's attempts lands: it takes what the dearest may.
    pub(super) async fn i10_a_nonce_takes_from_the_budget_once(store: Store) {
        let ledger = store.open().await;
        let (id, made) = recorded(&ledger, 1).await;
        ledger.expire(&id, &Evidence::Expired { block: 1, clock: 1 }, NOW).await.unwrap();
        let mut newest = made.attempt();
        for cost in [100, 300, 200, DAY] {
            let label = format!("for{cost}");
            newest = ledger.record(nothing(newest, &label, cost), NOW).await.unwrap().attempt();
        }
        assert_eq!(unwedged(&ledger).await, DAY);
        let error = ledger.record(nothing(newest, "more", DAY + 1), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::UnwedgeSpent { .. }), "{error}");
    }

    /// Nothing is ever heard of the others: what they might have cost is free when it is final.
    pub(super) async fn p3_what_used_a_replaced_nonce_frees_the_others(store: Store) {
        let ledger = store.open().await;
        let (id, made) = recorded(&ledger, 1).await;
        ledger.expire(&id, &Evidence::Expired { block: 1, clock: 1 }, NOW).await.unwrap();
        let empty = ledger.record(nothing(made.attempt(), "nothing", 100), NOW).await.unwrap();
        assert!(empty.payments().is_empty());
        assert_eq!(reserved(&ledger).await, BOUND, "the first one may land after all");
        book(&ledger, None, empty.transaction(), 40, false).await;
        assert_eq!(reserved(&ledger).await, BOUND);
        assert!(ledger.close_replaced(&base(), WALLET, 0, NOW).await.unwrap());
        assert_eq!((reserved(&ledger).await, unwedged(&ledger).await), (0, 40));
        assert!(!ledger.close_replaced(&base(), WALLET, 0, NOW).await.unwrap(), "once");
        // And where the other one lands, it is booked once and frees as much.
        let (id, made) = recorded(&ledger, 2).await;
        ledger.record(same(&id, made.attempt(), "same", BOUND), NOW).await.unwrap();
        ledger.settle(&id, &landing(made.transaction()), NOW).await.unwrap();
        assert_eq!(reserved(&ledger).await, BOUND);
        book(&ledger, Some(&id), made.transaction(), 40, true).await;
        assert_eq!(reserved(&ledger).await, 0);
    }

    /// What one of its payments cost closes the nonce for what replaced it, and not for another payment
    /// of it: that one's share may still burn. The budget pays for the transaction, not for a share.
    pub(super) async fn p3_a_replaced_batch_is_booked_share_by_share(store: Store) {
        let ledger = store.open().await;
        let ids = [claimed(&ledger, 1).await, claimed(&ledger, 2).await];
        let both = u128::from(2 * BOUND);
        let first = NewAttempt::batch(&ids, WALLET, signer("several")).costing(both);
        let made = ledger.record(first, NOW).await.unwrap();
        let known: Vec<_> = ids.iter().map(|id| (id.clone(), made.attempt())).collect();
        let slot = Slot::Same { attempt: made.attempt() };
        let same = NewAttempt::again(&known, slot, signer("dearer")).costing(both + 600).unwedging(DAY);
        let newer = ledger.record(same, NOW).await.unwrap();
        assert_eq!((newer.payments(), unwedged(&ledger).await), (&ids[..], 600));
        // The old one lands.
        book(&ledger, Some(&ids[0]), made.transaction(), 500, false).await;
        assert_eq!(reserved(&ledger).await, BOUND, "the other one's share is not in the books");
        assert!(!ledger.return_cost(&ids[1], NOW).await.unwrap());
        let fresh = Slot::Fresh { wallet: WALLET.to_owned() };
        let beside = NewAttempt::again(&[(ids[1].clone(), newer.attempt())], fresh, signer("beside"));
        let error = ledger.record(beside.costing(u128::from(BOUND)), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::AttemptBeside { .. }), "{error}");
        assert!(ledger.close_replaced(&base(), WALLET, 0, NOW).await.unwrap());
        assert_eq!((unwedged(&ledger).await, reserved(&ledger).await), (500, BOUND), "all of what it cost");
        book(&ledger, Some(&ids[1]), made.transaction(), 500, false).await;
        assert_eq!(reserved(&ledger).await, 0);
        assert_eq!(ledger.exposure(&base(), NOW).await.unwrap().burnt.native, 500);
        assert_eq!(ledger.audit_totals(NOW).await.unwrap(), Vec::<String>::new());
    }
}
