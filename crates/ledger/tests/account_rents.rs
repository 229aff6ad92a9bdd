//! What creating token accounts costs within a UTC day, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    p3_claims_that_create_accounts_stay_within_the_day_of_all_and_of_their_payer,
    p3_two_replicas_cannot_pass_the_limit_on_accounts_together,
    a_payment_that_never_landed_gives_its_rent_back_and_one_that_settled_does_not,
    an_account_of_our_own_is_begun_once_a_minute_and_within_the_days_limit,
);

mod cases {
    use quittance_ledger::{
        AccountLimits, AccountRent, Balance, ClaimOutcome, Exposed, ExposureLimits, Ledger, LedgerError,
        LedgerOptions, NewClaim, NoRoom, OWN_PAUSE_MS, OwnAccount, Reserve,
    };
    use quittance_protocol::{Amount, ErrorCode, PaymentId};

    use crate::common::*;

    const RENT: u64 = 1_488_440;
    const DAY_MS: i64 = 86_400_000;

    async fn for_days(store: &Store) -> Ledger {
        let options = LedgerOptions { lease_ms: 10 * DAY_MS, ..LedgerOptions::new("one") };
        Ledger::open(&store.url, options, NOW).await.unwrap()
    }

    fn limits() -> AccountLimits {
        AccountLimits { day: 3 * RENT, payer_day: 2 * RENT }
    }

    fn reserve(payer: &str) -> Reserve {
        let all = Exposed { usdc: Amount::new(1 << 40), native: 1 << 40 };
        Reserve {
            source: payer.to_owned(),
            balance: Some(Balance { amount: Amount::new(1 << 40), at: 1 }),
            hold_until_ms: None,
            bound: Exposed { usdc: Amount::new(10), native: RENT },
            by_code: false,
            account: Some(AccountRent { native: RENT, limits: limits() }),
            limits: ExposureLimits {
                payer_in_flight: all,
                network_in_flight: all,
                payer_unearned_in_flight: 1_000,
                payer_day: Amount::new(1 << 40),
                soft_day: all,
                probes_day: all,
                spent_day: Amount::new(1 << 40),
                history_bps: 0,
                by_code_in_flight: 1,
            },
        }
    }

    async fn claim(ledger: &Ledger, key: u64, payer: &str, now_ms: i64) -> Result<PaymentId, NoRoom> {
        let new = NewClaim { payer: payer.to_owned(), ..new_claim(key, 0) };
        match ledger.claim_within(new, reserve(payer), now_ms).await {
            Ok(ClaimOutcome::Won(claim)) => Ok(claim.into_payment().id),
            Err(LedgerError::NoRoom(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn p3_claims_that_create_accounts_stay_within_the_day_of_all_and_of_their_payer(
        store: Store,
    ) {
        let ledger = for_days(&store).await;
        claim(&ledger, 1, "a", NOW).await.unwrap();
        claim(&ledger, 2, "a", NOW).await.unwrap();
        assert_eq!(claim(&ledger, 3, "a", NOW).await, Err(NoRoom::PayerAccounts));
        claim(&ledger, 4, "b", NOW).await.unwrap();
        assert_eq!(claim(&ledger, 5, "c", NOW).await, Err(NoRoom::AccountsSpent));
        assert_eq!(ledger.account_rents(&base(), NOW).await.unwrap(), 3 * RENT);
        // What was refused is not in the books, and the limits are the UTC day's.
        assert!(ledger.payment_by_key(&new_claim(5, 0).key).await.unwrap().is_none());
        let midnight = (NOW / DAY_MS + 1) * DAY_MS;
        assert_eq!(claim(&ledger, 6, "a", midnight - 1).await, Err(NoRoom::AccountsSpent));
        claim(&ledger, 7, "a", midnight).await.unwrap();
        assert_eq!(ledger.account_rents(&base(), midnight).await.unwrap(), RENT);
    }

    pub(super) async fn p3_two_replicas_cannot_pass_the_limit_on_accounts_together(store: Store) {
        let one = store.open().await;
        // SQLite has one process; its copies are two calls of one ledger.
        let two = match store.is_sqlite() {
            true => one.clone(),
            false => Ledger::open(&store.url, LedgerOptions::new("two"), NOW).await.unwrap(),
        };
        let payers: Vec<String> = (0..8).map(|at| format!("payer {at}")).collect();
        let all = payers.iter().zip(10_u64..).map(|(payer, key)| {
            let ledger = if key % 2 == 0 { &one } else { &two };
            claim(ledger, key, payer, NOW)
        });
        let said = futures::future::join_all(all).await;
        assert_eq!(said.iter().filter(|said| said.is_ok()).count(), 3, "{said:?}");
        assert_eq!(one.account_rents(&base(), NOW).await.unwrap(), 3 * RENT);
    }

    pub(super) async fn a_payment_that_never_landed_gives_its_rent_back_and_one_that_settled_does_not(
        store: Store,
    ) {
        let ledger = store.open().await;
        let landed = claim(&ledger, 1, "a", NOW).await.unwrap();
        let failed = claim(&ledger, 2, "a", NOW).await.unwrap();
        ledger.settle(&landed, &landing("tx"), NOW).await.unwrap();
        assert_eq!(claim(&ledger, 3, "a", NOW).await, Err(NoRoom::PayerAccounts));
        ledger.refuse(&failed, ErrorCode::InvalidPayload, "no", None, NOW).await.unwrap();
        assert_eq!(ledger.account_rents(&base(), NOW).await.unwrap(), RENT);
        claim(&ledger, 4, "a", NOW).await.unwrap();
    }

    /// Whoever closes the account for its rent gets no more than the day's limit.
    pub(super) async fn an_account_of_our_own_is_begun_once_a_minute_and_within_the_days_limit(store: Store) {
        let ledger = for_days(&store).await;
        let rent = AccountRent { native: RENT + 5_000, limits: limits() };
        let own = OwnAccount { network: base(), account: "ours".to_owned(), rent };
        assert!(ledger.begin_own_account(&own, NOW).await.unwrap());
        assert!(
            !ledger.begin_own_account(&own, NOW + OWN_PAUSE_MS - 1).await.unwrap(),
            "it may be under way"
        );
        assert!(ledger.begin_own_account(&own, NOW + OWN_PAUSE_MS).await.unwrap());
        let spent = ledger.begin_own_account(&own, NOW + 2 * OWN_PAUSE_MS).await;
        assert!(matches!(spent, Err(LedgerError::NoRoom(NoRoom::AccountsSpent))), "{spent:?}");
        assert_eq!(claim(&ledger, 1, "a", NOW).await, Err(NoRoom::AccountsSpent), "one limit for both");
        assert!(ledger.begin_own_account(&own, NOW + DAY_MS).await.unwrap());
        // `pay_to` was changed meanwhile: another account, which nothing is under way for.
        let moved = OwnAccount { account: "moved".to_owned(), ..own };
        assert!(ledger.begin_own_account(&moved, NOW + DAY_MS).await.unwrap());
    }
}
