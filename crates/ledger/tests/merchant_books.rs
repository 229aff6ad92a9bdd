//! Merchants with names, keys, limits and totals, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_merchant_reads_back_as_it_was_written_and_its_name_is_given_once,
    keys_live_side_by_side_and_end,
    a_closed_merchant_claims_nothing_and_stays_closed,
    a_merchants_limits_are_its_own_and_another_has_room,
    two_claims_at_once_do_not_pass_a_merchants_limit,
    one_merchants_payers_do_not_take_what_all_strangers_share,
    totals_add_up_to_the_payments_and_a_merchants_surcharge_earns_no_history,
    a_token_account_is_charged_once_and_tried_a_few_times,
    no_secret_is_in_what_is_shown,
);

mod cases {
    use futures::future::join_all;
    use quittance_ledger::{
        AccountLimits, CheckTerms, ClaimOutcome, CostEntry, Exposed, ExposureLimits, FeePolicy, Ledger,
        LedgerError, MERCHANT_KEYS_MAX, Merchant, MerchantFee, MerchantKey, MerchantLimits, MerchantNetwork,
        MerchantState, NewAttempt, NewCheck, NewClaim, NoRoom, Origin, PayoutAccount, Reserve,
    };
    use quittance_protocol::{Amount, DurableAttempt as _, Evidence, Network};

    use super::common::*;

    const AMOUNT: u64 = 13_938;

    fn both(amount: u64) -> Exposed {
        Exposed { usdc: Amount::new(amount), native: amount }
    }

    fn reserve(bound: u64) -> Reserve {
        Reserve {
            source: "payer".to_owned(),
            balance: None,
            hold_until_ms: None,
            bound: both(bound),
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
                history_bps: 10_000,
                by_code_in_flight: 4,
            },
        }
    }

    fn limits(amount: u64, cost: u64) -> MerchantLimits {
        MerchantLimits { amount_day: Amount::new(amount), cost_day: Amount::new(cost), native_day: cost }
    }

    fn network(of: Network, limits: MerchantLimits) -> MerchantNetwork {
        MerchantNetwork { network: of, pay_to: "0xpay".to_owned(), asset: "0xasset".to_owned(), limits }
    }

    fn merchant(name: &str, limits: MerchantLimits) -> Merchant {
        Merchant {
            name: name.to_owned(),
            state: MerchantState::Open,
            fee_policy: FeePolicy::Added,
            in_flight_max: 3,
            accounts_max: 1,
            created_at_ms: NOW,
            changed_at_ms: NOW,
            networks: vec![network(base(), limits), network(solana(), limits)],
            keys: Vec::new(),
        }
    }

    fn key(id: &str) -> MerchantKey {
        MerchantKey { id: id.to_owned(), hash: [id.len() as u8; 32], created_at_ms: NOW, ends_at_ms: None }
    }

    async fn created(ledger: &Ledger, name: &str, limits: MerchantLimits) {
        let id = format!("key-of-{name}");
        assert!(ledger.create_merchant(&merchant(name, limits), &key(&id), NOW).await.unwrap());
    }

    fn sale(name: &str, number: u64, policy: FeePolicy) -> NewClaim {
        let new = new_claim(number, 0);
        let added = policy == FeePolicy::Added;
        NewClaim {
            origin: Origin::Merchant(name.to_owned()),
            payer: format!("payer {number}"),
            gas: if added { new.gas } else { Amount::ZERO },
            fee: Some(MerchantFee { policy, carried: if added { Amount::ZERO } else { new.gas } }),
            ..new
        }
    }

    async fn claims(ledger: &Ledger, new: NewClaim, bound: u64) -> Result<(), NoRoom> {
        match ledger.claim_within(new, reserve(bound), NOW).await {
            Ok(ClaimOutcome::Won(_)) => Ok(()),
            Err(LedgerError::NoRoom(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn a_merchant_reads_back_as_it_was_written_and_its_name_is_given_once(store: Store) {
        let ledger = store.open().await;
        let shop = merchant("shop", limits(1_000_000, 10_000));
        assert!(ledger.create_merchant(&shop, &key("k1"), NOW).await.unwrap());
        assert!(!ledger.create_merchant(&shop, &key("k2"), NOW).await.unwrap(), "the name is taken");
        let found = ledger.list_merchants(NOW).await.unwrap();
        assert_eq!(found, [Merchant { keys: vec![key("k1")], ..shop.clone() }]);
        let mut other = Merchant { fee_policy: FeePolicy::Billed, in_flight_max: 9, ..shop.clone() };
        other.networks.pop();
        assert!(ledger.set_merchant(&other, NOW + 5).await.unwrap());
        let found = ledger.list_merchants(NOW).await.unwrap();
        assert_eq!(found, [Merchant { keys: vec![key("k1")], changed_at_ms: NOW + 5, ..other }]);
        assert!(!ledger.set_merchant(&merchant("nobody", limits(1, 1)), NOW).await.unwrap());
        for bad in ["", "default", "other", "-x", "A", "a b", "\u{e9}", &"x".repeat(41)] {
            let refused = ledger.create_merchant(&merchant(bad, limits(1, 1)), &key("k3"), NOW).await;
            assert!(matches!(refused, Err(LedgerError::OutOfRange { .. })), "{bad}");
        }
    }

    pub(super) async fn keys_live_side_by_side_and_end(store: Store) {
        let ledger = store.open().await;
        created(&ledger, "shop", limits(1, 1)).await;
        let ids = async |now_ms: i64| -> Vec<String> {
            let found = ledger.list_merchants(now_ms).await.unwrap();
            found[0].keys.iter().map(|key| key.id.clone()).collect()
        };
        assert!(ledger.add_merchant_key("shop", &key("second"), NOW + 100, NOW).await.unwrap());
        assert_eq!(ids(NOW + 99).await, ["key-of-shop", "second"]);
        assert_eq!(ids(NOW + 100).await, ["second"]);
        // An end that was said is never moved back.
        assert!(ledger.add_merchant_key("shop", &key("third"), NOW + 900, NOW).await.unwrap());
        assert_eq!(ids(NOW + 100).await, ["second", "third"]);
        assert!(!ledger.add_merchant_key("nobody", &key("x"), NOW, NOW).await.unwrap());
        for number in 0..MERCHANT_KEYS_MAX {
            let added = ledger.add_merchant_key("shop", &key(&format!("k{number}")), NOW + 900, NOW).await;
            assert_eq!(added.is_ok(), number + 3 < MERCHANT_KEYS_MAX, "{number}: {added:?}");
        }
        // Who ends them all at once has room for the one that replaces them.
        assert!(ledger.add_merchant_key("shop", &key("last"), NOW, NOW).await.unwrap());
        assert_eq!(ids(NOW).await, ["last"]);
    }

    pub(super) async fn a_closed_merchant_claims_nothing_and_stays_closed(store: Store) {
        let ledger = store.open().await;
        created(&ledger, "shop", limits(1_000_000, 10_000)).await;
        claims(&ledger, sale("shop", 1, FeePolicy::Added), 10).await.unwrap();
        assert!(ledger.close_merchant("shop", NOW).await.unwrap());
        assert!(!ledger.close_merchant("shop", NOW).await.unwrap());
        assert_eq!(claims(&ledger, sale("shop", 2, FeePolicy::Added), 10).await, Err(NoRoom::MerchantClosed));
        assert_eq!(ledger.payment(&new_claim(2, 0).id).await.unwrap(), None, "nothing is stored");
        // What was claimed is finished.
        let settled = ledger.settle(&new_claim(1, 0).id, &landing("tx1"), NOW).await.unwrap();
        assert_eq!(settled.merchant_row(), Some("shop"));
        assert!(!ledger.set_merchant(&merchant("shop", limits(1, 1)), NOW).await.unwrap());
        assert!(!ledger.add_merchant_key("shop", &key("x"), NOW, NOW).await.unwrap());
        assert!(!ledger.create_merchant(&merchant("shop", limits(1, 1)), &key("y"), NOW).await.unwrap());
        let unknown = claims(&ledger, sale("nobody", 3, FeePolicy::Added), 10).await;
        assert_eq!(unknown, Err(NoRoom::MerchantClosed));
    }

    pub(super) async fn a_merchants_limits_are_its_own_and_another_has_room(store: Store) {
        let ledger = store.open().await;
        created(&ledger, "many", limits(1 << 40, 1 << 40)).await;
        created(&ledger, "dear", limits(1 << 40, 100)).await;
        created(&ledger, "rich", limits(3 * AMOUNT - 1, 1 << 40)).await;
        created(&ledger, "calm", limits(1 << 40, 1 << 40)).await;
        for number in 0..3 {
            claims(&ledger, sale("many", number, FeePolicy::Billed), 10).await.unwrap();
        }
        let refused = claims(&ledger, sale("many", 3, FeePolicy::Billed), 10).await;
        assert_eq!(refused, Err(NoRoom::MerchantInFlight));
        let elsewhere = NewClaim { network: solana(), ..sale("many", 4, FeePolicy::Billed) };
        assert_eq!(claims(&ledger, elsewhere, 10).await, Err(NoRoom::MerchantInFlight));
        claims(&ledger, sale("dear", 10, FeePolicy::Absorbed), 60).await.unwrap();
        let refused = claims(&ledger, sale("dear", 11, FeePolicy::Absorbed), 41).await;
        assert_eq!(refused, Err(NoRoom::MerchantCost));
        for number in 20..22 {
            claims(&ledger, sale("rich", number, FeePolicy::Added), 10).await.unwrap();
        }
        let refused = claims(&ledger, sale("rich", 22, FeePolicy::Added), 10).await;
        assert_eq!(refused, Err(NoRoom::MerchantAmount));
        // What settled counts still; a day later it does not.
        for number in 20..22 {
            ledger.settle(&new_claim(number, 0).id, &landing(&format!("t{number}")), NOW).await.unwrap();
        }
        let refused = claims(&ledger, sale("rich", 22, FeePolicy::Added), 10).await;
        assert_eq!(refused, Err(NoRoom::MerchantAmount));
        let later = NOW + 25 * 3_600_000;
        ledger.heartbeat(later).await.unwrap();
        let next = ledger.claim_within(sale("rich", 22, FeePolicy::Added), reserve(10), later).await;
        assert!(matches!(next, Ok(ClaimOutcome::Won(_))), "{next:?}");
        // `/verify` is told the same.
        let asked = sale("dear", 12, FeePolicy::Absorbed);
        let check = NewCheck {
            key: asked.key,
            network: asked.network,
            payer: asked.payer,
            amount: asked.amount,
            fingerprint: asked.fingerprint,
            signature_digest: asked.signature_digest,
            merchant: Some("dear".to_owned()),
        };
        let terms = CheckTerms { lease_ms: 1_000, leases_max: 10 };
        let lease = ledger.lease_new_check(check, reserve(41), terms, NOW).await;
        assert!(matches!(lease, Err(LedgerError::NoRoom(NoRoom::MerchantCost))), "{lease:?}");
        let room = ledger.merchant_room("dear", &base(), Amount::new(1), reserve(41), NOW).await;
        assert!(matches!(room, Err(LedgerError::NoRoom(NoRoom::MerchantCost))), "{room:?}");
        claims(&ledger, sale("calm", 30, FeePolicy::Added), 10).await.unwrap();
        won(&ledger, merchant_claim(40)).await;
    }

    /// A merchant's payers have no history and may all be the merchant's own: together they take a
    /// part of the soft limit, and strangers and other merchants have the rest.
    pub(super) async fn one_merchants_payers_do_not_take_what_all_strangers_share(store: Store) {
        let ledger = store.open().await;
        for name in ["greedy", "calm"] {
            let many = Merchant { in_flight_max: 100, ..merchant(name, limits(1 << 40, 1 << 40)) };
            assert!(ledger.create_merchant(&many, &key(name), NOW).await.unwrap());
        }
        let mut wanted = reserve(100);
        wanted.limits.soft_day = both(2_000);
        wanted.limits.probes_day = both(0);
        let claim = async |name: &str, number: u64| {
            ledger.claim_within(sale(name, number, FeePolicy::Billed), wanted.clone(), NOW).await
        };
        let mut won = 0;
        for number in 0..20 {
            match claim("greedy", number).await {
                Ok(ClaimOutcome::Won(_)) => won += 1,
                Err(LedgerError::NoRoom(NoRoom::MerchantCost)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 5, "a quarter of the limit");
        assert!(claim("calm", 30).await.is_ok());
        let stranger = NewClaim { payer: "stranger".to_owned(), ..new_claim(40, 0) };
        assert!(ledger.claim_within(stranger, wanted.clone(), NOW).await.is_ok());
    }

    pub(super) async fn two_claims_at_once_do_not_pass_a_merchants_limit(store: Store) {
        let ledger = store.open().await;
        created(&ledger, "shop", limits(1 << 40, 1 << 40)).await;
        let racing = (0..20_u64).map(|number| {
            let ledger = ledger.clone();
            let mut new = sale("shop", number, FeePolicy::Billed);
            if number % 2 == 0 {
                new.network = solana();
            }
            tokio::spawn(async move { claims(&ledger, new, 10).await })
        });
        let won = join_all(racing).await.into_iter().filter(|claimed| matches!(claimed, Ok(Ok(())))).count();
        assert_eq!(won, 3);
    }

    pub(super) async fn totals_add_up_to_the_payments_and_a_merchants_surcharge_earns_no_history(
        store: Store,
    ) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let policies =
            [("added", FeePolicy::Added), ("absorbed", FeePolicy::Absorbed), ("billed", FeePolicy::Billed)];
        for (at, (name, policy)) in policies.into_iter().enumerate() {
            created(&ledger, name, limits(1 << 40, 1 << 40)).await;
            for number in 0..3 {
                let number = at as u64 * 10 + number;
                claims(&ledger, sale(name, number, policy), 100).await.unwrap();
                let id = new_claim(number, 0).id;
                let label = signer(format!("a{number}"));
                let recorded = ledger.record(NewAttempt::numbered(&id, WALLET, label), NOW).await.unwrap();
                let lands = number % 10 != 2;
                match lands {
                    true => drop(ledger.settle(&id, &landing(recorded.transaction()), NOW).await.unwrap()),
                    false => {
                        let evidence = Evidence::Expired { block: 1, clock: 2 };
                        drop(ledger.expire(&id, &evidence, NOW).await.unwrap());
                    }
                }
                let entry = CostEntry {
                    network: base(),
                    transaction: recorded.transaction().to_owned(),
                    payment: Some(id),
                    native: 70,
                    usdc: Some(Amount::new(40)),
                    earned: lands,
                };
                ledger.book_cost(entry, NOW).await.unwrap();
            }
        }
        let found = ledger.merchant_totals(NOW).await.unwrap();
        assert_eq!(found.len(), 3);
        for day in &found {
            let gas = Amount::new(2 * 3_938);
            let of = |name| if day.merchant == name { gas } else { Amount::ZERO };
            assert_eq!((day.payments, day.amount), (2, Amount::new(2 * AMOUNT)), "{day:?}");
            assert_eq!((day.charged, day.absorbed, day.billed), (of("added"), of("absorbed"), of("billed")));
            assert_eq!((day.earned_cost, day.burnt_cost), (Amount::new(80), Amount::new(40)));
            assert_eq!((day.native, day.unpriced), (210, 0));
        }
        assert_eq!(ledger.audit_totals(NOW).await.unwrap(), Vec::<String>::new());
        // Payer and merchant may be one: what a payer paid itself gives it nothing to burn.
        let mut greedy = reserve(100);
        greedy.limits.soft_day = both(0);
        greedy.limits.probes_day = both(0);
        let refused = ledger.room(&base(), "payer 0", greedy, NOW).await;
        assert!(matches!(refused, Err(LedgerError::NoRoom(NoRoom::Exhausted))), "{refused:?}");
        // A loss is taken off where it is found.
        let evidence = Evidence::Expired { block: 9, clock: 9 };
        assert!(ledger.book_reorged_loss(&new_claim(20, 0).id, &evidence, NOW).await.unwrap());
        let billed = ledger.merchant_totals(NOW).await.unwrap();
        let billed = billed.iter().find(|day| day.merchant == "billed").unwrap();
        assert_eq!((billed.lost_payments, billed.lost_due), (1, Amount::new(3_938)));
        assert_eq!(ledger.audit_totals(NOW).await.unwrap(), Vec::<String>::new());
    }

    pub(super) async fn a_token_account_is_charged_once_and_tried_a_few_times(store: Store) {
        let ledger = store.open().await;
        created(&ledger, "shop", limits(1 << 40, 5_000)).await;
        created(&ledger, "poor", limits(1 << 40, 10)).await;
        let account = |merchant: &str, account: &str| PayoutAccount {
            network: solana(),
            account: account.to_owned(),
            merchant: merchant.to_owned(),
            native: 2_000,
            usdc: Amount::new(300),
            tries_max: 2,
            limits: AccountLimits { day: 1 << 40, payer_day: 1 << 40 },
        };
        let begin =
            async |merchant: &str, at: &str| ledger.begin_payout_account(&account(merchant, at), NOW).await;
        assert!(begin("shop", "first").await.unwrap());
        assert!(begin("shop", "first").await.unwrap(), "the same account, again");
        assert!(!begin("shop", "first").await.unwrap(), "as often as may be");
        let full = begin("shop", "second").await;
        assert!(matches!(full, Err(LedgerError::NoRoom(NoRoom::MerchantCost))), "{full:?}");
        let dear = begin("poor", "third").await;
        assert!(matches!(dear, Err(LedgerError::NoRoom(NoRoom::MerchantCost))), "{dear:?}");
        assert!(!begin("poor", "first").await.unwrap(), "another's account");
        assert!(ledger.end_payout_account(&solana(), "first", "tx", NOW).await.unwrap());
        assert!(!ledger.end_payout_account(&solana(), "first", "tx", NOW).await.unwrap());
        let totals = ledger.merchant_totals(NOW).await.unwrap();
        assert_eq!(totals.len(), 1);
        assert_eq!((totals[0].accounts, totals[0].rent, totals[0].native), (1, Amount::new(300), 2_000));
    }

    pub(super) async fn no_secret_is_in_what_is_shown(store: Store) {
        let ledger = store.open().await;
        let secret = MerchantKey { hash: [0xab; 32], ..key("shown") };
        ledger.create_merchant(&merchant("shop", limits(1, 1)), &secret, NOW).await.unwrap();
        let shown = format!("{:?}", ledger.list_merchants(NOW).await.unwrap());
        assert!(shown.contains("shown") && !shown.contains("171"), "{shown}");
    }
}
