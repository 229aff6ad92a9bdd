//! The claim itself: what stands in it, what becomes of one whose commit nobody heard of, and of one
//! whose room went to another meanwhile.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quittance_facilitator::PayOutcome;
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{Call, Hook, Hooked, LedgerError, NoRoom, Operation};
use quittance_protocol::{Deadline, ErrorCode, RetryAction};
use serde_json::json;

use super::harness::{
    Authorization, Chain, GAS, Outcome, PRICE, Process, Time, at, is_refused, nonce, payment, process, sale,
};
use super::{granted, open, until};

/// I4, I6: from which block on a use is a use of this claim, and when it ends, is the chain's to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_a_claim_says_from_which_block_on_it_is_watched_and_when_it_ends() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    drop(granted(process.facilitator.pay(payment("payer", nonce(), &json!({})), sale(at(1), "call")).await));
    database.with(|rows| {
        let claimed = rows.payments().next().unwrap();
        assert_eq!(claimed.watch_from, 1);
        assert_eq!(claimed.deadline, Deadline::UnixSeconds(u64::from(u32::MAX)));
    });
    process.close().await;
}

/// A ledger that commits the next claim, and whose answer is lost.
#[derive(Clone)]
struct Lossy(Arc<AtomicUsize>);

impl Hook for Lossy {
    type Kept = bool;

    fn before(&self, call: Call<'_, '_>) -> Result<bool, LedgerError> {
        let left = || self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        Ok(call.operation() == Operation::ClaimWithin && left().is_ok())
    }

    async fn around<T: Send + 'static>(
        &self,
        loses: bool,
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        let answer = run.await;
        if loses { Err(LedgerError::CommitUnknown("connection reset".into())) } else { answer }
    }
}

/// P2: whoever claimed it drives it, whether it heard so or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_claim_whose_commits_answer_was_lost_is_driven_by_whoever_made_it() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let lossy = Lossy(Arc::new(AtomicUsize::new(1)));
    let store = Hooked::new(open(&database, "one", &time), lossy);
    let process = Process::open(store, &chain, &time, "").await;
    process.until_offered(Some(GAS)).await;
    drop(granted(process.facilitator.pay(payment("payer", nonce(), &json!({})), sale(at(1), "call")).await));
    assert_eq!((database.with(|rows| rows.payment_count()), chain.broadcasts()), (1, 1));
    process.close().await;
}

/// I1: what another replica claimed meanwhile is that one's to drive, also where the answer to
/// our own claim was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_claim_that_another_replica_won_is_not_driven_here() {
    let (database, time) = (ModelDatabase::shared(), Time::default());
    let (near, far) = (Chain::default(), Chain::default());
    near.hold(true);
    far.hold(true);
    let one = Process::open(open(&database, "one", &time), &near, &time, "").await;
    let lossy = Lossy(Arc::new(AtomicUsize::new(1)));
    let store = Hooked::new(open(&database, "two", &time), lossy);
    let two = Process::open(store, &far, &time, "").await;
    for process in [&one, &two] {
        process.until_offered(Some(GAS)).await;
    }
    let (first, number) = (one.clone(), nonce());
    far.at_check(move || {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let pending =
                    first.facilitator.pay(payment("payer", number, &json!({})), sale(at(1), "call"));
                assert!(matches!(pending.await, PayOutcome::Pending { .. }));
            });
        });
    });
    let told = two.facilitator.pay(payment("payer", number, &json!({})), sale(at(1), "call")).await;
    assert!(matches!(told, PayOutcome::Pending { .. }), "{told:?}");
    assert_eq!((near.broadcasts(), far.broadcasts()), (1, 0), "one of them sends");
    assert_eq!((one.driven(), two.driven()), (1, 0));
    for (chain, process) in [(near, one), (far, two)] {
        chain.hold(false);
        process.close().await;
    }
}

/// Once a claim found no room, what takes it lands.
#[derive(Clone)]
struct Frees(Chain);

impl Hook for Frees {
    type Kept = bool;

    fn before(&self, call: Call<'_, '_>) -> Result<bool, LedgerError> {
        Ok(call.operation() == Operation::ClaimWithin)
    }

    async fn around<T: Send + 'static>(
        &self,
        claims: bool,
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        let answer = run.await;
        if claims && matches!(answer, Err(LedgerError::NoRoom(_))) {
            self.0.hold(false);
        }
        answer
    }
}

/// Room that went to another while the chain was asked is waited for: nobody is sent away who
/// may wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_room_went_to_another_meanwhile_waits_for_it() {
    let (database, time, chain) = (ModelDatabase::shared(), Time::default(), Chain::default());
    let store = Hooked::new(open(&database, "one", &time), Frees(chain.clone()));
    // One settlement at a time.
    let process = Process::open(store, &chain, &time, "in_flight_network_usdc = \"0.004\"").await;
    process.until_offered(Some(GAS)).await;
    chain.hold(true);
    let (other, books) = (process.clone(), database.clone());
    chain.at_check(move || {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                tokio::spawn(async move { other.pay_as("other", PRICE).await });
                until("it took the room", || books.with(|rows| rows.payment_count() == 1)).await;
            });
        });
    });
    assert_eq!(process.pay(PRICE).await, Outcome::Granted);
    assert_eq!(chain.checks().0, 3, "its own check, the other's, and once more");
    process.close().await;
}

/// P3: whose attempts burnt too much is told until when, to the second that the window rolls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_payer_who_burnt_its_allowance_is_told_when_it_is_back() {
    let (time, chain) = (Time::default(), Chain::default());
    let ledger = open(&ModelDatabase::shared(), "one", &time);
    let process = Process::open(ledger, &chain, &time, "uncollected_payer_day_usdc = \"0.0025\"").await;
    process.until_offered(Some(GAS)).await;
    chain.revert(true);
    assert_eq!(process.pay(PRICE).await, Outcome::Pending);
    chain.revert(false);
    let left = async || {
        let told = process.facilitator.pay(payment("payer", nonce(), &json!({})), sale(at(1), "x")).await;
        match told {
            PayOutcome::Refused(told) => {
                assert_eq!(told.retry_action, RetryAction::DoNotRetry);
                told.retry_after_seconds.unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    let at_once = left().await;
    assert!((86_400 - 600..=86_400 + 600).contains(&at_once), "{at_once}");
    time.pass(3_600_000);
    process.until_offered(Some(GAS)).await;
    assert_eq!(left().await, at_once - 3_600);
    process.close().await;
}

/// A ledger that cannot say until when a payer's costs count.
struct Speechless;

impl Hook for Speechless {
    type Kept = ();

    fn before(&self, call: Call<'_, '_>) -> Result<(), LedgerError> {
        match call.operation() {
            Operation::BurntUntil => Err(LedgerError::Unavailable("it is away".into())),
            _ => Ok(()),
        }
    }

    async fn around<T: Send + 'static>(
        &self,
        (): (),
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        run.await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_where_nobody_can_say_when_an_allowance_is_back_it_is_a_day() {
    let (time, chain) = (Time::default(), Chain::default());
    let store = Hooked::new(open(&ModelDatabase::shared(), "one", &time), Speechless);
    let process = Process::open(store, &chain, &time, "uncollected_payer_day_usdc = \"0.0025\"").await;
    process.until_offered(Some(GAS)).await;
    chain.revert(true);
    assert_eq!(process.pay(PRICE).await, Outcome::Pending);
    match process.facilitator.pay(payment("payer", nonce(), &json!({})), sale(at(1), "x")).await {
        PayOutcome::Refused(told) => assert_eq!(told.retry_after_seconds, Some(24 * 60 * 60)),
        other => panic!("{other:?}"),
    }
    process.close().await;
}

/// A ledger without room for one payer's claims, however often its look for room finds some.
struct Full;

impl Hook for Full {
    type Kept = ();

    fn before(&self, call: Call<'_, '_>) -> Result<(), LedgerError> {
        match &call {
            Call::ClaimWithin { new, .. } if new.payer == "late" => {
                Err(LedgerError::NoRoom(NoRoom::NetworkInFlight))
            }
            _ => Ok(()),
        }
    }

    async fn around<T: Send + 'static>(
        &self,
        (): (),
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        run.await
    }
}

/// However often room goes to others, one request asks a node once at once, and three times more for room
/// that it waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_room_always_goes_to_others_asks_the_chain_a_few_times_only() {
    let (time, chain) = (Time::default(), Chain::default());
    let store = Hooked::new(open(&ModelDatabase::shared(), "one", &time), Full);
    let process = Process::open(store, &chain, &time, "").await;
    process.until_offered(Some(GAS)).await;
    let others = async {
        for number in 0..20 {
            assert_eq!(process.pay_as(&format!("other {number}"), PRICE).await, Outcome::Granted);
        }
    };
    let (late, ()) = tokio::join!(process.pay_as("late", PRICE), others);
    assert_eq!(late, Outcome::Unavailable);
    let asked = chain.checks().0 - 20;
    assert_eq!(asked, 1 + 3);
    process.close().await;
}

/// P3: a payer with code decides after our check whether its transaction reverts, so few are in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_few_payments_of_payers_with_code_are_in_flight_whoever_brings_them() {
    let (time, chain) = (Time::default(), Chain::default());
    let store = open(&ModelDatabase::shared(), "one", &time);
    let network = "contract_payers = true\ncontract_payers_in_flight_max = 1";
    let process = Process::with(store, &chain, &time, (network, "")).await;
    process.until_offered(Some(GAS)).await;
    chain.hold(true);
    let by_code = |payer: &str| payment(payer, nonce(), &json!({ "code": true, "contract": true }));
    let first = process.facilitator.pay(by_code("one"), sale(at(1), "one")).await;
    assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    let second = process.facilitator.pay(by_code("two"), sale(at(1), "two")).await;
    assert!(matches!(second, PayOutcome::Unavailable { .. }), "{second:?}");
    let mut sold = Authorization::of("three");
    (sold.0["code"], sold.0["contract"]) = (json!(true), json!(true));
    for code in [
        process.facilitator.settle(sold.request(), "all").await.response.error_reason,
        process.facilitator.verify(sold.request(), "all").await.invalid_reason,
    ] {
        assert_eq!(code, Some(ErrorCode::NetworkUnavailable));
    }
    let plain = process.facilitator.pay(payment("plain", nonce(), &json!({})), sale(at(1), "plain")).await;
    assert!(matches!(plain, PayOutcome::Pending { .. }), "{plain:?}");
    chain.hold(false);
    process.close().await;
}

/// A payment under way holds its payer's money until it can land no more, and what was signed a minute
/// before may still be found; then the money is there for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_payers_money_is_held_until_a_minute_after_the_deadline() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.set_balance(PRICE);
    chain.hold(true);
    let pay = async |call: &str| {
        process.facilitator.pay(payment("payer", nonce(), &json!({})), sale(at(1), call)).await
    };
    let first = pay("one").await;
    assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    let ends_ms = i64::from(u32::MAX) * 1_000 + 60_000;
    time.pass(ends_ms - 1_000 - time.now_ms());
    process.until_offered(Some(GAS)).await;
    let second = pay("two").await;
    assert!(is_refused(&second, ErrorCode::InsufficientFunds), "{second:?}");
    time.pass(2_000);
    let second = pay("two").await;
    assert!(matches!(second, PayOutcome::Pending { .. }), "{second:?}");
    chain.hold(false);
    process.close().await;
}
