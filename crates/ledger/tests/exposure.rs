//! Reservations on both backends (P3): over claims that race, attempts whose
//! fate is open, and databases that are older than the reservations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    p3_ten_thousand_strangers_reserve_no_more_than_the_limits,
    p3_two_replicas_share_one_balance,
    p3_a_reservation_lasts_until_each_attempts_fate_is_booked,
    p3_a_landing_after_the_balance_was_read_counts,
    p3_bytes_that_no_node_passed_on_hold_no_room,
    p3_what_is_not_signed_holds_no_cost_and_what_takes_a_nonce_does,
    p3_few_attempts_of_one_stranger_are_in_flight,
    p3_a_dearer_signature_does_not_take_a_contract_payer_out_of_its_limit,
    p3_an_older_database_has_its_open_payments_reserved,
    what_an_operation_left_waiting_ends_with_it,
);

mod cases {
    use std::sync::Arc;

    use futures::future::join_all;
    use futures::{StreamExt as _, stream};
    use quittance_ledger::testing::tamper;
    use quittance_ledger::{
        Balance, ClaimOutcome, CostEntry, Exposed, ExposureLimits, Ledger, LedgerError, NewAttempt, NoRoom,
        Reserve,
    };
    use quittance_protocol::{Amount, Deadline, DurableAttempt as _, Evidence, PaymentId};

    use super::common::*;

    const BOUND: u64 = 4_000;

    const fn both(usdc: u64, native: u64) -> Exposed {
        Exposed { usdc: Amount::new(usdc), native }
    }

    fn limits() -> ExposureLimits {
        ExposureLimits {
            payer_in_flight: both(500_000, 1_000_000),
            network_in_flight: both(10_000_000, 20_000_000),
            payer_unearned_in_flight: 1_000,
            payer_day: Amount::new(100_000),
            soft_day: both(2_000_000, 10_000_000),
            probes_day: both(500_000, 500_000),
            spent_day: Amount::new(100_000_000),
            history_bps: 1_000,
            by_code_in_flight: 4,
        }
    }

    fn reserve(balance: Option<Balance>) -> Reserve {
        Reserve {
            source: "payer".to_owned(),
            balance,
            hold_until_ms: None,
            bound: both(BOUND, BOUND),
            by_code: false,
            account: None,
            limits: limits(),
        }
    }

    fn burnt(transaction: &str, id: &PaymentId) -> CostEntry {
        let usdc = Some(Amount::new(BOUND));
        CostEntry {
            network: base(),
            transaction: transaction.to_owned(),
            payment: Some(id.clone()),
            native: u128::from(BOUND),
            usdc,
            earned: false,
        }
    }

    /// Claims in one group, of which some find no room after their first rows were written:
    /// nothing of those stays, and all of the others does.
    pub(super) async fn what_an_operation_left_waiting_ends_with_it(store: Store) {
        let ledger = store.open().await;
        let claims = (0..60_u64).map(|number| {
            let mut new = new_claim(number, 0);
            new.payer = format!("stranger-{number}");
            let mut wanted = reserve(None);
            if number % 3 == 0 {
                wanted.bound = both(u64::from(u32::MAX), 1);
            }
            let ledger = ledger.clone();
            tokio::spawn(async move { (number, ledger.claim_within(new, wanted, NOW).await) })
        });
        let mut won = 0;
        for claim in join_all(claims).await {
            let (number, claimed) = claim.unwrap();
            let id = new_claim(number, 0).id;
            let lines = ledger.journal(&id).await.unwrap();
            match claimed {
                Ok(ClaimOutcome::Won(_)) => {
                    won += 1;
                    assert_eq!(lines.iter().map(|line| line.event.as_str()).collect::<Vec<_>>(), ["claimed"]);
                }
                Err(LedgerError::NoRoom(_)) => {
                    assert_eq!(number % 3, 0);
                    assert!(lines.is_empty() && ledger.payment(&id).await.unwrap().is_none());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 40);
        let reserved = ledger.exposure(&base(), NOW).await.unwrap().reserved;
        assert_eq!(reserved, both(won * BOUND, won * BOUND));
    }

    /// 10,000 payers without history, each of whose attempts burns its whole
    /// bound, at two replicas: no more is ever burnt and reserved than the soft
    /// limit and the probes, and a payer with history buys all the while.
    pub(super) async fn p3_ten_thousand_strangers_reserve_no_more_than_the_limits(store: Store) {
        let one = store.open().await;
        let two = if store.is_sqlite() { one.clone() } else { store.open_as("two", NOW).await.unwrap() };
        one.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let regular = |key| {
            let mut new = new_claim(key, 0);
            new.payer = "regular".to_owned();
            new.gas = Amount::new(100_000);
            new
        };
        // Its history: a tenth of 100,000 is two bounds.
        let id = won(&one, regular(1)).await.into_payment().id;
        one.settle(&id, &landing("paid"), NOW).await.unwrap();

        let (mut signed_for, mut refused) = (0_u64, 0_u64);
        for round in 0..25_u64 {
            let claims = (0..400_u64).map(|at| {
                let number = 1_000 + round * 400 + at;
                let mut new = new_claim(number, 0);
                new.payer = format!("stranger-{number}");
                let ledger = if number % 2 == 0 { one.clone() } else { two.clone() };
                tokio::spawn(async move {
                    let id = new.id.clone();
                    match ledger.claim_within(new, reserve(None), NOW).await {
                        Ok(ClaimOutcome::Won(_)) => {
                            let sign = signer(format!("t{number}"));
                            let recorded =
                                ledger.record(NewAttempt::numbered(&id, WALLET, sign), NOW).await.unwrap();
                            Some((recorded.transaction().to_owned(), id))
                        }
                        Err(LedgerError::NoRoom(_)) => None,
                        other => panic!("{other:?}"),
                    }
                })
            });
            // More at once would queue for a connection longer than an operation may take.
            let open: Vec<_> = stream::iter(claims).buffered(64).map(Result::unwrap).collect().await;
            let sums = one.exposure(&base(), NOW).await.unwrap();
            let all = sums.burnt.usdc.atomic() + sums.reserved_strangers.usdc.atomic();
            assert!(all <= 2_500_000, "{sums:?}");
            refused += open.iter().filter(|open| open.is_none()).count() as u64;
            for (transaction, id) in open.into_iter().flatten() {
                signed_for += 1;
                one.book_cost(burnt(&transaction, &id), NOW).await.unwrap();
            }
            // Whoever has history buys in between.
            let claimed = two.claim_within(regular(100_000 + round), reserve(None), NOW).await.unwrap();
            let ClaimOutcome::Won(claim) = claimed else { panic!("the key is new") };
            two.settle(&claim.into_payment().id, &landing(&format!("paid{round}")), NOW).await.unwrap();
        }
        assert_eq!(signed_for + refused, 10_000);
        let sums = one.exposure(&base(), NOW).await.unwrap();
        assert_eq!(sums.burnt.usdc, Amount::new(signed_for * BOUND));
        assert!(signed_for * BOUND <= 2_500_000 && signed_for * BOUND >= 2_000_000 - BOUND, "{signed_for}");
        assert_eq!(sums.reserved, Exposed::default(), "what is booked is reserved no more");
    }

    /// A payer with money for one payment sends 30 at once, to two replicas.
    pub(super) async fn p3_two_replicas_share_one_balance(store: Store) {
        let one = store.open().await;
        let two = if store.is_sqlite() { one.clone() } else { store.open_as("two", NOW).await.unwrap() };
        let money = Some(Balance { amount: Amount::new(13_938), at: 100 });
        let claims = (0..30_u64).map(|key| {
            let ledger = if key % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { ledger.claim_within(new_claim(key, 0), reserve(money), NOW).await })
        });
        let outcomes: Vec<_> = join_all(claims).await.into_iter().map(Result::unwrap).collect();
        let won = outcomes.iter().filter(|one| matches!(one, Ok(ClaimOutcome::Won(_)))).count();
        let full =
            outcomes.iter().filter(|one| matches!(one, Err(LedgerError::NoRoom(NoRoom::Balance)))).count();
        assert_eq!((won, full), (1, 29));
        assert_eq!(one.counts().await.unwrap()[0].2, 1, "who found no room claimed nothing");
    }

    /// The cost is free for others and the payer's money is not; before the bytes go
    /// out again both have room, or they wait.
    pub(super) async fn p3_bytes_that_no_node_passed_on_hold_no_room(store: Store) {
        let ledger = store.open().await;
        let money = Some(Balance { amount: Amount::new(13_938), at: 100 });
        let tight = |key: u64, payer: &str| {
            let mut new = new_claim(key, 0);
            (new.network, new.deadline, new.payer) = (solana(), Deadline::BlockHeight(7), payer.to_owned());
            let limits = ExposureLimits { network_in_flight: both(BOUND, BOUND), ..limits() };
            (new, Reserve { source: payer.to_owned(), limits, ..reserve(money) })
        };
        let (new, wanted) = tight(1, "stranger");
        let id = new.id.clone();
        ledger.claim_within(new, wanted.clone(), NOW).await.unwrap();
        ledger.record(NewAttempt::unnumbered(&id, signed("kept")), NOW).await.unwrap();
        assert!(ledger.return_cost(&id, NOW).await.unwrap());
        assert!(!ledger.return_cost(&id, NOW).await.unwrap(), "once");
        let (again, same) = tight(2, "stranger");
        let full = ledger.claim_within(again, same, NOW).await;
        assert!(matches!(full, Err(LedgerError::NoRoom(NoRoom::Balance))), "the money is still held");

        let (honest, room) = tight(3, "newcomer");
        let honest_id = honest.id.clone();
        ledger.claim_within(honest, room, NOW).await.unwrap();
        let waits = ledger.reserve(&id, wanted.clone(), NOW).await;
        assert!(matches!(waits, Err(LedgerError::NoRoom(NoRoom::NetworkInFlight))), "{waits:?}");
        ledger.expire(&honest_id, &Evidence::Expired { block: 8, clock: 8 }, NOW).await.unwrap();
        ledger.reserve(&id, wanted, NOW).await.unwrap();
        assert_eq!(ledger.exposure(&solana(), NOW).await.unwrap().reserved.native, BOUND);
        ledger.expire(&id, &Evidence::Expired { block: 8, clock: 8 }, NOW).await.unwrap();
        assert!(!ledger.return_cost(&id, NOW).await.unwrap(), "not after the verdict");
    }

    /// A claim without bytes can cost nothing; bytes with a wallet's nonce are used up some
    /// time, whatever a node said to them, and a commit whose answer was lost may have made them.
    pub(super) async fn p3_what_is_not_signed_holds_no_cost_and_what_takes_a_nonce_does(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let reserved = async || ledger.exposure(&base(), NOW).await.unwrap().reserved.native;
        let new = new_claim(1, 0);
        let id = new.id.clone();
        ledger.claim_within(new, reserve(None), NOW).await.unwrap();
        assert!(ledger.return_cost(&id, NOW).await.unwrap());
        assert_eq!(reserved().await, 0);
        ledger.reserve(&id, reserve(None), NOW).await.unwrap();
        ledger.record(NewAttempt::numbered(&id, WALLET, signer("t1".to_owned())), NOW).await.unwrap();
        assert!(!ledger.return_cost(&id, NOW).await.unwrap());
        assert_eq!(reserved().await, BOUND);
        // It failed and is booked; the next one is reserved for, and not signed.
        let made = ledger.recorded_attempts(&id).await.unwrap().remove(0);
        ledger.book_cost(burnt(made.transaction(), &id), NOW).await.unwrap();
        ledger.reserve(&id, reserve(None), NOW).await.unwrap();
        assert!(ledger.return_cost(&id, NOW).await.unwrap());
        assert_eq!(reserved().await, 0);
    }

    pub(super) async fn p3_few_attempts_of_one_stranger_are_in_flight(store: Store) {
        let ledger = store.open().await;
        let few = || Reserve {
            limits: ExposureLimits { payer_unearned_in_flight: 2, ..limits() },
            ..reserve(None)
        };
        for key in 1..=2 {
            ledger.claim_within(new_claim(key, 0), few(), NOW).await.unwrap();
        }
        let third = ledger.claim_within(new_claim(3, 0), few(), NOW).await;
        assert!(matches!(third, Err(LedgerError::NoRoom(NoRoom::PayerInFlight))));
        let mut other = new_claim(4, 0);
        other.payer = "other".to_owned();
        ledger.claim_within(other, few(), NOW).await.unwrap();
    }

    /// The driver of a payment that was found again, or whose bound has risen, has not
    /// looked at the payer's code.
    pub(super) async fn p3_a_dearer_signature_does_not_take_a_contract_payer_out_of_its_limit(store: Store) {
        let ledger = store.open().await;
        let one = || ExposureLimits { by_code_in_flight: 1, ..limits() };
        let by_code = || Reserve { by_code: true, limits: one(), ..reserve(None) };
        let first = new_claim(1, 0);
        let id = first.id.clone();
        ledger.claim_within(first, by_code(), NOW).await.unwrap();
        let dearer = Reserve { bound: both(BOUND + 1, BOUND + 1), limits: one(), ..reserve(None) };
        ledger.reserve(&id, dearer, NOW).await.unwrap();
        let second = ledger.claim_within(new_claim(2, 0), by_code(), NOW).await;
        assert!(matches!(second, Err(LedgerError::NoRoom(_))), "{second:?}");
    }

    async fn open_attempt(ledger: &Ledger, key: u64) -> (PaymentId, String) {
        let outcome = ledger.claim_within(new_claim(key, 0), reserve(None), NOW).await.unwrap();
        let ClaimOutcome::Won(claim) = outcome else { panic!("the key is new") };
        let id = claim.into_payment().id;
        let recorded =
            ledger.record(NewAttempt::numbered(&id, WALLET, signer(format!("t{key}"))), NOW).await.unwrap();
        (id, recorded.transaction().to_owned())
    }

    pub(super) async fn p3_a_reservation_lasts_until_each_attempts_fate_is_booked(store: Store) {
        let ledger = Arc::new(store.open().await);
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let reserved = async || ledger.exposure(&base(), NOW).await.unwrap().reserved.native;
        let expired = Evidence::Expired { block: 1, clock: 2 };

        // Our bytes may be included after the deadline: at our cost.
        let (id, transaction) = open_attempt(&ledger, 1).await;
        ledger.expire(&id, &expired, NOW).await.unwrap();
        assert_eq!(reserved().await, BOUND);
        assert_eq!(ledger.unaccounted(&base()).await.unwrap().len(), 1);
        ledger.book_cost(burnt(&transaction, &id), NOW).await.unwrap();
        assert_eq!(reserved().await, 0);
        assert!(ledger.unaccounted(&base()).await.unwrap().is_empty());

        // Reverted, and signed again.
        let (id, transaction) = open_attempt(&ledger, 2).await;
        let newest = ledger.recorded_attempts(&id).await.unwrap()[0].attempt();
        ledger.book_cost(burnt(&transaction, &id), NOW).await.unwrap();
        assert_eq!(reserved().await, 0);
        ledger.reserve(&id, reserve(None), NOW).await.unwrap();
        ledger.reserve(&id, reserve(None), NOW).await.unwrap();
        assert_eq!(reserved().await, BOUND, "once");
        let slot = quittance_ledger::Slot::Fresh { wallet: WALLET.to_owned() };
        ledger
            .record(NewAttempt::again(&[(id.clone(), newest)], slot, signer("t2b".to_owned())), NOW)
            .await
            .unwrap();
        // A stranger lands the authorization: ours will revert.
        ledger.settle(&id, &landing("foreign"), NOW).await.unwrap();
        assert_eq!(reserved().await, BOUND);
        assert!(ledger.reserve(&id, reserve(None), NOW).await.is_err());
        // It never does: its nonce went to something else.
        assert!(ledger.release(&id, NOW).await.unwrap());
        assert!(!ledger.release(&id, NOW).await.unwrap());
        assert_eq!(reserved().await, 0);

        // Nothing was signed: the verdict frees it.
        let outcome = ledger.claim_within(new_claim(3, 0), reserve(None), NOW).await.unwrap();
        let ClaimOutcome::Won(claim) = outcome else { panic!("the key is new") };
        assert!(!ledger.release(&claim.id, NOW).await.unwrap(), "not before the verdict");
        ledger.expire(&claim.id, &expired, NOW).await.unwrap();
        assert_eq!(reserved().await, 0);

        // On Solana nothing lands after an expiry.
        let mut new = new_claim(4, 0);
        (new.network, new.deadline) = (solana(), Deadline::BlockHeight(7));
        ledger.claim_within(new.clone(), reserve(None), NOW).await.unwrap();
        ledger.record(NewAttempt::unnumbered(&new.id, signed("solana")), NOW).await.unwrap();
        ledger.expire(&new.id, &expired, NOW).await.unwrap();
        assert_eq!(ledger.exposure(&solana(), NOW).await.unwrap().reserved.native, 0);
    }

    /// The money was seen, then an earlier payment took it, then that one got its
    /// verdict: the balance that was read is not there any more.
    pub(super) async fn p3_a_landing_after_the_balance_was_read_counts(store: Store) {
        let ledger = store.open().await;
        let seen = |at| reserve(Some(Balance { amount: Amount::new(13_938), at }));
        let outcome = ledger.claim_within(new_claim(1, 0), seen(100), NOW).await.unwrap();
        let ClaimOutcome::Won(claim) = outcome else { panic!("the key is new") };
        let mut landed = landing("paid");
        landed.block = 105;
        ledger.settle(&claim.id, &landed, NOW).await.unwrap();
        for (key, at, room) in [(2, 104, false), (3, 105, true)] {
            let outcome = ledger.claim_within(new_claim(key, 0), seen(at), NOW).await;
            assert_eq!(outcome.is_ok(), room, "read at {at}: {outcome:?}");
        }
    }

    /// A database of before: an open payment holds its money and counts as in flight.
    pub(super) async fn p3_an_older_database_has_its_open_payments_reserved(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        for (key, end) in [(1, "claimed"), (2, "recorded"), (3, "settled"), (4, "expired"), (5, "refused")] {
            let id = won(&ledger, new_claim(key, 0)).await.into_payment().id;
            if end != "claimed" {
                ledger
                    .record(NewAttempt::numbered(&id, WALLET, signer(format!("t{key}"))), NOW)
                    .await
                    .unwrap();
            }
            let (expired, refused) =
                (Evidence::Expired { block: 1, clock: 2 }, Evidence::Canceled(landing("c")));
            let code = quittance_protocol::ErrorCode::InvalidTransactionState;
            match end {
                "settled" => drop(ledger.settle(&id, &landing("t3"), NOW).await.unwrap()),
                "expired" => drop(ledger.expire(&id, &expired, NOW).await.unwrap()),
                "refused" => drop(ledger.refuse(&id, code, "no", Some(&refused), NOW).await.unwrap()),
                _ => {}
            }
            if key > 3 {
                ledger.book_cost(burnt(&format!("b{key}"), &id), NOW).await.unwrap();
            }
        }
        ledger.close().await;
        // As it was before this schema.
        for sql in [
            "DROP TABLE reservations",
            "DROP TABLE cost_totals",
            "DROP TABLE payers",
            "DROP INDEX payments_payer_landed",
            "DELETE FROM _sqlx_migrations WHERE version = 7",
        ] {
            tamper(&store.url, sql).await.unwrap();
        }
        store.open_as("one", NOW).await.unwrap().close().await;
        // What later schemas add to the table, whose migrations are not made again here.
        tamper(&store.url, "ALTER TABLE reservations ADD COLUMN merchant TEXT").await.unwrap();
        let ledger = store.open_as("one", NOW).await.unwrap();
        let sums = ledger.exposure(&base(), NOW).await.unwrap();
        assert_eq!(
            sums.reserved.usdc,
            Amount::new(2 * 3_938),
            "the two without a verdict, by their surcharge"
        );
        assert_eq!((sums.burnt.usdc, sums.burnt.native), (Amount::new(2 * BOUND), 2 * BOUND));
        let money = |units| reserve(Some(Balance { amount: Amount::new(units), at: 1_000 }));
        let wanted = |units| Reserve { source: new_claim(1, 0).payer, ..money(units) };
        let refused = ledger.claim_within(new_claim(6, 0), wanted(3 * 13_938 - 1), NOW).await;
        assert!(matches!(refused, Err(LedgerError::NoRoom(NoRoom::Balance))), "{refused:?}");
        ledger.claim_within(new_claim(6, 0), wanted(3 * 13_938), NOW).await.unwrap();
    }
}
