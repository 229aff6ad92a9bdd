//! What a transaction for several payments cost is booked as a share for each of them (P3, I10).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    p3_the_shares_of_a_transaction_add_up_to_it_whoever_books_them_and_when,
    p3_a_share_frees_its_own_payments_reservation_only,
    accounts_count_a_shared_transaction_once,
    i10_an_item_that_failed_is_signed_again_once_its_share_is_booked,
);

mod cases {
    use quittance_ledger::{
        AccountFilter, ClaimOutcome, CostEntry, CostShare, Exposed, ExposureLimits, Ledger, LedgerError,
        NewAttempt, RangeOf, Recorded, Reserve, Slot,
    };
    use quittance_protocol::{Amount, DurableAttempt as _, PaymentId};

    use crate::common::*;

    const BOUND: u64 = 4_000;

    fn wanted() -> Reserve {
        let both = |amount: u64| Exposed { usdc: Amount::new(amount), native: amount };
        Reserve {
            source: "payer".to_owned(),
            account: None,
            balance: None,
            hold_until_ms: None,
            bound: both(BOUND),
            by_code: false,
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

    async fn batch(ledger: &Ledger, payments: u64) -> (Vec<PaymentId>, Recorded) {
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let mut ids = Vec::new();
        for key in 1..=payments {
            let outcome = ledger.claim_within(new_claim(key, 0), wanted(), NOW).await.unwrap();
            let ClaimOutcome::Won(claim) = outcome else { panic!("the key is new") };
            ids.push(claim.into_payment().id);
        }
        let most = u128::from(BOUND) * u128::from(payments);
        let attempt = NewAttempt::batch(&ids, WALLET, signer("several")).costing(most);
        let made = ledger.record(attempt, NOW).await.unwrap();
        (ids, made)
    }

    fn cost(made: &Recorded, id: &PaymentId, native: u128, usdc: u64, earned: bool) -> CostEntry {
        CostEntry {
            network: base(),
            transaction: made.transaction().to_owned(),
            payment: Some(id.clone()),
            native,
            usdc: Some(Amount::new(usdc)),
            earned,
        }
    }

    /// Two drivers may read two branches of the chain, and a process may die between two of them.
    pub(super) async fn p3_the_shares_of_a_transaction_add_up_to_it_whoever_books_them_and_when(
        store: Store,
    ) {
        let ledger = store.open().await;
        let (ids, made) = batch(&ledger, 3).await;
        let first = ledger.book_cost(cost(&made, &ids[1], 100, 11, true), NOW).await.unwrap();
        assert_eq!(first, Some(CostShare { native: 33, usdc: Some(Amount::new(4)), payments: 3 }));
        assert_eq!(ledger.book_cost(cost(&made, &ids[1], 100, 11, true), NOW).await.unwrap(), None);
        // What the chain showed later does not change what the first share was taken from.
        let other = ledger.book_cost(cost(&made, &ids[0], 700, 70, false), NOW).await.unwrap().unwrap();
        let last = ledger.book_cost(cost(&made, &ids[2], 90, 9, true), NOW).await.unwrap().unwrap();
        assert_eq!((other.native, last.native), (34, 33));
        assert_eq!((other.usdc, last.usdc), (Some(Amount::new(4)), Some(Amount::new(3))));
        let sums = ledger.exposure(&base(), NOW).await.unwrap();
        assert_eq!((sums.spent, sums.burnt.usdc, sums.burnt.native), (Amount::new(11), Amount::new(4), 34));
        for (id, native) in ids.iter().zip([34, 33, 33]) {
            let costs = ledger.costs(id).await.unwrap();
            assert_eq!(costs.iter().map(|cost| cost.native).collect::<Vec<_>>(), [native]);
        }
        assert_eq!(ledger.audit_totals(NOW).await.unwrap(), Vec::<String>::new());
    }

    /// Each payment's row has its share; the statement has the transaction once, burnt shares too.
    pub(super) async fn accounts_count_a_shared_transaction_once(store: Store) {
        let ledger = store.open().await;
        let (ids, made) = batch(&ledger, 3).await;
        for (id, earned) in ids.iter().zip([true, false, true]) {
            ledger.book_cost(cost(&made, id, 100, 11, earned), NOW).await.unwrap();
        }
        let statement = ledger.statement(0, i64::MAX).await.unwrap();
        assert_eq!(statement.iter().map(|row| row.cost_native).sum::<u128>(), 100);
        assert_eq!(statement.iter().map(|row| row.cost.atomic()).sum::<u64>(), 11);
        assert_eq!(statement.iter().map(|row| row.burnt.atomic()).sum::<u64>(), 4);
        let filter = AccountFilter {
            range: RangeOf::Claims,
            since_ms: 0,
            until_ms: i64::MAX,
            network: None,
            seller: None,
            state: None,
        };
        let rows = ledger.accounts(&filter, None, 9).await.unwrap().rows;
        let costs = rows.iter().flat_map(|row| &row.costs);
        let sums = costs
            .fold((0, 0), |(native, usdc), cost| (native + cost.native, usdc + cost.usdc.unwrap().atomic()));
        assert_eq!((rows.len(), sums), (3, (100, 11)));
    }

    pub(super) async fn p3_a_share_frees_its_own_payments_reservation_only(store: Store) {
        let ledger = store.open().await;
        let (ids, made) = batch(&ledger, 2).await;
        let landed =
            quittance_protocol::Landing { transaction: made.transaction().to_owned(), ..landing("x") };
        ledger.settle(&ids[0], &landed, NOW).await.unwrap();
        ledger.book_cost(cost(&made, &ids[0], 100, 11, true), NOW).await.unwrap();
        let sums = ledger.exposure(&base(), NOW).await.unwrap();
        assert_eq!(sums.reserved.native, BOUND, "the other one may burn its share still");
        assert!(!ledger.return_cost(&ids[1], NOW).await.unwrap(), "a node may have its bytes");
        ledger.book_cost(cost(&made, &ids[1], 100, 11, false), NOW).await.unwrap();
        let sums = ledger.exposure(&base(), NOW).await.unwrap();
        assert_eq!((sums.reserved.native, sums.burnt.native), (0, 50));
    }

    pub(super) async fn i10_an_item_that_failed_is_signed_again_once_its_share_is_booked(store: Store) {
        let ledger = store.open().await;
        let (ids, made) = batch(&ledger, 2).await;
        let again = || {
            let slot = Slot::Fresh { wallet: WALLET.to_owned() };
            let known = [(ids[0].clone(), made.attempt())];
            NewAttempt::again(&known, slot, signer("alone")).costing(u128::from(BOUND))
        };
        let error = ledger.record(again(), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::AttemptBeside { .. }), "{error}");
        ledger.book_cost(cost(&made, &ids[0], 100, 11, false), NOW).await.unwrap();
        let error = ledger.record(again(), NOW).await.unwrap_err();
        assert!(matches!(error, LedgerError::NotReserved { .. }), "what it burnt is not reserved: {error}");
        ledger.reserve(&ids[0], wanted(), NOW).await.unwrap();
        let alone = ledger.record(again(), NOW).await.unwrap();
        assert_eq!(alone.payments(), [ids[0].clone()]);
    }
}
