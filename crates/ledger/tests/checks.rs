//! What `/verify` was told to be valid holds its money until it is claimed (P3).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    p3_ten_checks_of_money_for_one_lease_one,
    p3_a_check_and_a_claim_share_one_balance,
    p3_a_claim_takes_over_what_its_check_held,
    p3_a_lease_ends_and_a_repeated_check_renews_it,
    p3_one_authorization_is_leased_to_one_signature_and_sale,
    p3_a_payer_has_a_bounded_number_of_leases,
    p3_ended_leases_are_taken_away,
    a_payer_that_burnt_too_much_hears_when_it_ends,
);

mod cases {
    use futures::future::join_all;
    use quittance_ledger::testing::tamper;
    use quittance_ledger::{
        Balance, CheckTerms, ClaimOutcome, CostEntry, Exposed, ExposureLimits, Ledger, LedgerError, NewCheck,
        NewCheckLease, NewClaim, NoRoom, Reserve,
    };
    use quittance_protocol::{Amount, Fingerprint};

    use super::common::*;

    const LEASE_MS: i64 = 1_000;
    const PRICE: u64 = 13_938;

    const fn both(amount: u64) -> Exposed {
        Exposed { usdc: Amount::new(amount), native: amount }
    }

    /// A payer with money for one.
    fn reserve() -> Reserve {
        Reserve {
            source: "payer".to_owned(),
            balance: Some(Balance { amount: Amount::new(PRICE + 1), at: 100 }),
            hold_until_ms: None,
            bound: both(1),
            by_code: false,
            account: None,
            limits: ExposureLimits {
                payer_in_flight: both(1_000),
                network_in_flight: both(1_000),
                payer_unearned_in_flight: 1_000,
                payer_day: Amount::new(1_000),
                soft_day: both(1_000),
                probes_day: both(1_000),
                spent_day: Amount::new(1_000),
                history_bps: 0,
                by_code_in_flight: 1,
            },
        }
    }

    fn rich() -> Reserve {
        Reserve { balance: Some(Balance { amount: Amount::new(1_000 * PRICE), at: 100 }), ..reserve() }
    }

    fn check_of(new: &NewClaim) -> NewCheck {
        NewCheck {
            key: new.key,
            network: new.network.clone(),
            payer: new.payer.clone(),
            amount: new.amount,
            fingerprint: new.fingerprint,
            signature_digest: new.signature_digest,
            merchant: None,
        }
    }

    async fn asked(
        ledger: &Ledger,
        check: NewCheck,
        room: Reserve,
        at: i64,
    ) -> Result<NewCheckLease, LedgerError> {
        let terms = CheckTerms { lease_ms: LEASE_MS, leases_max: 3 };
        ledger.lease_new_check(check, room, terms, at).await
    }

    async fn check(ledger: &Ledger, key: u64, at: i64) -> Result<NewCheckLease, LedgerError> {
        asked(ledger, check_of(&new_claim(key, 0)), reserve(), at).await
    }

    fn is_short<T>(answer: &Result<T, LedgerError>) -> bool {
        matches!(answer, Err(LedgerError::NoRoom(NoRoom::Balance)))
    }

    /// Each of the other nine would have run a server's handler for money that is gone.
    pub(super) async fn p3_ten_checks_of_money_for_one_lease_one(store: Store) {
        let one = store.open().await;
        let two = if store.is_sqlite() { one.clone() } else { store.open_as("two", NOW).await.unwrap() };
        let tasks = (0..10_u64).map(|key| {
            let ledger = if key % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { check(&ledger, key, NOW).await })
        });
        let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|one| matches!(one, Ok(NewCheckLease::Leased))).count(), 1);
        assert_eq!(answers.iter().filter(|one| is_short(one)).count(), 9);
    }

    pub(super) async fn p3_a_check_and_a_claim_share_one_balance(store: Store) {
        let ledger = store.open().await;
        check(&ledger, 1, NOW).await.unwrap();
        let other = ledger.claim_within(new_claim(2, 0), reserve(), NOW).await;
        assert!(is_short(&other), "the first server works for this money: {other:?}");
        let won = ledger.claim_within(new_claim(2, 0), reserve(), NOW + LEASE_MS).await.unwrap();
        assert!(matches!(won, ClaimOutcome::Won(_)), "the first server did not come");
        assert!(is_short(&check(&ledger, 3, NOW + LEASE_MS).await), "in flight");
        // A source of its own has money of its own.
        let other = Reserve { source: "another account".to_owned(), ..reserve() };
        asked(&ledger, check_of(&new_claim(3, 0)), other, NOW + LEASE_MS).await.unwrap();
    }

    pub(super) async fn p3_a_claim_takes_over_what_its_check_held(store: Store) {
        let ledger = store.open().await;
        check(&ledger, 1, NOW).await.unwrap();
        let won = ledger.claim_within(new_claim(1, 0), reserve(), NOW).await.unwrap();
        let ClaimOutcome::Won(claim) = won else { panic!("its own lease stood in its way") };
        assert!(is_short(&check(&ledger, 2, NOW).await));
        // Its verdict frees the money at once: the lease is gone with the claim.
        let code = quittance_protocol::ErrorCode::InsufficientFunds;
        ledger.refuse(&claim.into_payment().id, code, "never landed", None, NOW).await.unwrap();
        check(&ledger, 2, NOW).await.unwrap();
        let known = check(&ledger, 1, NOW).await.unwrap();
        assert!(matches!(known, NewCheckLease::Known(_)), "{known:?}");
    }

    pub(super) async fn p3_a_lease_ends_and_a_repeated_check_renews_it(store: Store) {
        let ledger = store.open().await;
        check(&ledger, 1, NOW).await.unwrap();
        check(&ledger, 1, NOW + LEASE_MS - 1).await.unwrap();
        assert!(is_short(&check(&ledger, 2, NOW + 2 * LEASE_MS - 2).await));
        check(&ledger, 2, NOW + 2 * LEASE_MS - 1).await.unwrap();
        assert!(is_short(&check(&ledger, 1, NOW + 2 * LEASE_MS - 1).await), "now the second's");
    }

    /// Ten windows or amounts over one nonce: one of them can land.
    pub(super) async fn p3_one_authorization_is_leased_to_one_signature_and_sale(store: Store) {
        let ledger = store.open().await;
        asked(&ledger, check_of(&new_claim(1, 0)), rich(), NOW).await.unwrap();
        let again = NewClaim { signature_digest: [8; 32], ..new_claim(1, 0) };
        let elsewhere =
            NewClaim { fingerprint: Fingerprint::of_request("GET", "/", "", b""), ..new_claim(1, 0) };
        for new in [&again, &elsewhere] {
            let other = asked(&ledger, check_of(new), rich(), NOW + LEASE_MS - 1).await.unwrap();
            assert!(matches!(other, NewCheckLease::Other), "{other:?}");
        }
        asked(&ledger, check_of(&again), rich(), NOW + LEASE_MS).await.unwrap();
    }

    pub(super) async fn p3_a_payer_has_a_bounded_number_of_leases(store: Store) {
        let ledger = store.open().await;
        for key in 1..=3 {
            asked(&ledger, check_of(&new_claim(key, 0)), rich(), NOW).await.unwrap();
        }
        let fourth = asked(&ledger, check_of(&new_claim(4, 0)), rich(), NOW).await;
        assert!(matches!(fourth, Err(LedgerError::NoRoom(NoRoom::PayerInFlight))), "{fourth:?}");
        asked(&ledger, check_of(&new_claim(3, 0)), rich(), NOW).await.unwrap();
        asked(&ledger, check_of(&new_claim(4, 0)), rich(), NOW + LEASE_MS).await.unwrap();
    }

    pub(super) async fn p3_ended_leases_are_taken_away(store: Store) {
        let ledger = store.open().await;
        let terms = CheckTerms { lease_ms: 1, leases_max: 3 };
        for at in 0..40_u32 {
            let check = check_of(&new_claim(u64::from(at), 0));
            ledger.lease_new_check(check, rich(), terms, NOW + i64::from(at)).await.unwrap();
        }
        // Fails on a table with more rows than the newest and the one before it.
        let rows = "CREATE TABLE bound (one INTEGER CHECK (one <= 2)); \
             INSERT INTO bound SELECT COUNT(*) FROM check_leases";
        tamper(&store.url, rows).await.unwrap();
    }

    pub(super) async fn a_payer_that_burnt_too_much_hears_when_it_ends(store: Store) {
        let ledger = store.open().await;
        let payer = new_claim(1, 0).payer;
        assert_eq!(ledger.burnt_until(&base(), &payer, NOW).await.unwrap(), None);
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let entry = CostEntry {
            network: base(),
            transaction: "reverted".to_owned(),
            payment: Some(id),
            native: 1,
            usdc: Some(Amount::new(1)),
            earned: false,
        };
        ledger.book_cost(entry, NOW).await.unwrap();
        let until = ledger.burnt_until(&base(), &payer, NOW).await.unwrap().unwrap();
        let day_ms = 24 * 3_600_000;
        assert!((NOW + day_ms..=NOW + day_ms + 600_000).contains(&until), "{until}");
        assert_eq!(ledger.burnt_until(&base(), &payer, until).await.unwrap(), None);
        assert!(ledger.burnt_until(&base(), &payer, until - 1).await.unwrap().is_some());
    }
}
