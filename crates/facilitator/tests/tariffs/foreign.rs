//! Foreign servers that work before they settle: what `/verify` says of money that
//! is needed elsewhere.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quittance_ledger::model::{ModelDatabase, ModelLedger};
use quittance_ledger::{Call, Hook, Hooked, LedgerError, LedgerOptions, Operation};
use quittance_protocol::{
    ErrorCode, Network, RetryAction, SettleRequest, SettleResponse, VerifyRequest, VerifyResponse,
};
use serde_json::{Value, json};

use super::harness::{Chain, GAS, Process, Time, unique};

const PRICE: u64 = 10 * GAS;
/// `merchants.verify_lease_seconds`.
const LEASE_MS: i64 = 60_000;

/// A payer's authorization, for a price and a nonce of its own.
pub(super) struct Authorization(pub(super) Value);

impl Authorization {
    pub(super) fn of(payer: &str) -> Self {
        Self(json!({ "payer": payer, "amount": PRICE, "nonce": u64::from_be_bytes(unique()) }))
    }

    fn request(&self) -> VerifyRequest {
        let terms = json!({
            "scheme": "exact", "network": Network::BASE, "asset": "0xa", "payTo": "0xb",
            "amount": PRICE.to_string(), "maxTimeoutSeconds": 120, "extra": {},
        });
        let payment = json!({ "x402Version": 2, "accepted": terms, "payload": self.0 });
        let request = json!({ "x402Version": 2, "paymentPayload": payment, "paymentRequirements": terms });
        serde_json::from_value(request).unwrap()
    }
}

pub(super) async fn verify(process: &Process, authorization: &Authorization) -> VerifyResponse {
    process.facilitator.verify(authorization.request(), "all").await
}

pub(super) async fn settle(process: &Process, authorization: &Authorization) -> SettleResponse {
    let request: SettleRequest = authorization.request();
    process.facilitator.settle(request, "all").await.response
}

fn open(database: &ModelDatabase, name: &str, time: &Time) -> ModelLedger {
    let options = LedgerOptions { lease_ms: i64::MAX / 4, ..LedgerOptions::new(name) };
    database.open(&options, time.now_ms()).unwrap()
}

async fn replicas(chain: &Chain, time: &Time) -> [Process; 2] {
    let database = ModelDatabase::shared();
    let one = Process::open(open(&database, "one", time), chain, time, "").await;
    let two = Process::open(open(&database, "two", time), chain, time, "").await;
    for process in [&one, &two] {
        process.until_offered(Some(GAS)).await;
    }
    [one, two]
}

fn assert_waits(answer: &VerifyResponse) {
    assert!(!answer.is_valid);
    assert_eq!(answer.invalid_reason, Some(ErrorCode::InsufficientFunds), "{answer:?}");
    assert_eq!(answer.other["retry_action"], json!(RetryAction::RetrySamePayment));
    assert!(answer.other["retry_after_seconds"].as_u64().is_some_and(|seconds| seconds > 0));
}

/// Each further `isValid` would run a handler for money that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_authorizations_of_money_for_one_are_valid_once_over_two_replicas() {
    let (chain, time) = (Chain::default(), Time::default());
    let processes = replicas(&chain, &time).await;
    chain.set_balance(PRICE);
    let signed: Vec<_> = (0..10).map(|_| Authorization::of("payer")).collect();
    let asked = signed.iter().enumerate().map(|(at, one)| verify(&processes[at % 2], one));
    let answers = futures::future::join_all(asked).await;
    let valid: Vec<_> = (0..10).filter(|at| answers[*at].is_valid).collect();
    assert_eq!(valid.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| !answer.is_valid) {
        assert_waits(answer);
    }
    // Asked again it is valid again, and settles: its own lease is not in its way.
    let first = &signed[valid[0]];
    assert!(verify(&processes[0], first).await.is_valid);
    assert!(settle(&processes[1], first).await.success);
    // Others' money is their own.
    assert!(verify(&processes[0], &Authorization::of("another")).await.is_valid);
    for process in processes {
        process.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_says_of_money_in_flight_what_settle_says() {
    let (chain, time) = (Chain::default(), Time::default());
    let [process, other] = replicas(&chain, &time).await;
    chain.set_balance(PRICE + PRICE / 2);
    chain.hold(true);
    let first = settle(&process, &Authorization::of("payer")).await;
    assert_eq!(first.error_reason, Some(ErrorCode::SettlementPending));
    let second = Authorization::of("payer");
    assert_waits(&verify(&other, &second).await);
    let settled = settle(&other, &second).await;
    assert_eq!(settled.error_reason, Some(ErrorCode::InsufficientFunds));
    assert_eq!(settled.retry_action, Some(RetryAction::RetrySamePayment));
    assert!(settled.retry_after_seconds.is_some() && settled.transaction.is_empty());
    chain.hold(false);
    for process in [process, other] {
        process.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_a_server_works_for_is_held_until_its_lease_ends() {
    let (chain, time) = (Chain::default(), Time::default());
    let [process, other] = replicas(&chain, &time).await;
    chain.set_balance(PRICE);
    assert!(verify(&process, &Authorization::of("payer")).await.is_valid);
    let second = Authorization::of("payer");
    assert_waits(&verify(&other, &second).await);
    let early = settle(&other, &second).await;
    assert_eq!(early.error_reason, Some(ErrorCode::InsufficientFunds), "the first server works for it");
    time.pass(LEASE_MS);
    // A price that is a minute old is none.
    other.until_offered(Some(GAS)).await;
    assert!(verify(&other, &second).await.is_valid, "the first server did not come");
    for process in [process, other] {
        process.close().await;
    }
}

/// Nobody who cannot sign for a payer holds its money, however often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_signatures_hold_nobodys_money() {
    let (chain, time) = (Chain::default(), Time::default());
    let [process, other] = replicas(&chain, &time).await;
    chain.set_balance(PRICE);
    for _ in 0..20 {
        let mut forged = Authorization::of("payer");
        (forged.0["contract"], forged.0["fault"]) = (json!(true), json!("made up"));
        assert!(!verify(&process, &forged).await.is_valid);
    }
    assert!(verify(&other, &Authorization::of("payer")).await.is_valid);
    for process in [process, other] {
        process.close().await;
    }
}

/// A process that may stand still between the commit of a lease and what it says of it.
#[derive(Clone, Default)]
struct Sleeper(Arc<AtomicBool>);

impl Hook for Sleeper {
    type Kept = bool;

    fn before(&self, call: Call<'_, '_>) -> Result<bool, LedgerError> {
        let leases = [Operation::LeaseMerchantCheck, Operation::LeaseNewCheck];
        Ok(leases.contains(&call.operation()) && self.0.load(Ordering::SeqCst))
    }

    async fn around<T: Send + 'static>(
        &self,
        sleeps: bool,
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        let answer = run.await;
        if sleeps {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        answer
    }
}

/// By the time it wakes another server may hold the lease, and the payer's money may be another's:
/// the simulator found two servers at work for one payment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_process_that_stood_still_for_longer_than_a_checks_lease_calls_nothing_valid() {
    let (chain, time, sleeper) = (Chain::default(), Time::default(), Sleeper::default());
    let store = Hooked::new(open(&ModelDatabase::shared(), "one", &time), sleeper.clone());
    let process = Process::open(store, &chain, &time, "[merchants]\nverify_lease_seconds = 1").await;
    process.until_offered(Some(GAS)).await;
    let sleeps = |sleeps: bool| sleeper.0.store(sleeps, Ordering::SeqCst);
    let (fresh, settled) = (Authorization::of("payer"), Authorization::of("another"));
    sleeps(true);
    let answer = verify(&process, &fresh).await;
    assert!(!answer.is_valid, "its money is held no more: {answer:?}");
    // A success that nobody took: the next server may work for it.
    sleeps(false);
    assert!(settle(&process, &settled).await.success);
    let began = tokio::time::Instant::now();
    while !verify(&process, &settled).await.is_valid {
        assert!(began.elapsed() < Duration::from_secs(30), "never valid");
    }
    time.pass(1_000);
    sleeps(true);
    let answer = verify(&process, &settled).await;
    assert_eq!((answer.is_valid, answer.invalid_reason), (false, Some(ErrorCode::SettlementPending)));
    time.pass(1_000);
    sleeps(false);
    assert!(verify(&process, &settled).await.is_valid, "and once it is awake it is valid again");
    process.close().await;
}
