//! Which wallet a payment may name: what is said where that one cannot pay.

use std::time::Duration;

use quittance_facilitator::PayOutcome;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, RetryAction};
use serde_json::json;

use super::harness::{
    Authorization, Chain, PATIENCE, Process, Time, at, is_refused, nonce, payment, process, sale, settle,
    verify,
};
use super::{open, until};

const NOT_MANAGED: ErrorCode = ErrorCode::InvalidExactSvmFeePayerNotManagedByFacilitator;

async fn pay(process: &Process, wallet: &str, call: &str) -> PayOutcome {
    let payment = payment("payer", nonce(), &json!({ "wallet": wallet }));
    process.facilitator.pay(payment, sale(at(1), call)).await
}

/// Two wallets, of which the first ran dry after `before` was done.
async fn one_ran_dry(
    database: &ModelDatabase,
    chain: &Chain,
    time: &Time,
    before: impl AsyncFnOnce(&Process),
) -> Process {
    chain.set_wallets(&[("a", 1_000), ("b", 1_000)]);
    let process = process(database, chain, time).await;
    before(&process).await;
    chain.set_wallets(&[("a", 0), ("b", 1_000)]);
    until("a is empty", || process.alerts("wallet_empty") == 1).await;
    assert_eq!(process.closed(), None, "the other one can pay");
    process
}

/// It was told that its fee payer is not managed, and to pay anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_wallet_can_pay_the_network_says_so_and_nobody_is_asked_to_sign_again() {
    let (chain, time) = (Chain::default(), Time::default());
    chain.set_wallets(&[("a", 1_000)]);
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.set_wallets(&[("a", 0)]);
    until("the network is closed", || process.closed() == Some("wallet_empty")).await;
    let told = pay(&process, "a", "call").await;
    assert!(matches!(told, PayOutcome::Unavailable { reason: "wallet_empty", .. }), "{told:?}");
    assert_eq!(process.alerts("wallet_empty"), 1, "once");
    process.close().await;
}

/// A server keeps the fee payer that `/supported` named: its customers were refused for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_gate_asks_for_another_fee_payer_where_one_of_several_is_empty() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = one_ran_dry(&ModelDatabase::shared(), &chain, &time, async |_| {}).await;
    let told = pay(&process, "a", "call").await;
    assert!(is_refused(&told, NOT_MANAGED), "a fresh offer names the other one: {told:?}");
    let mut sold = Authorization::of("payer");
    sold.0["wallet"] = json!("a");
    let settled = settle(&process, &sold).await;
    assert_eq!(settled.error_reason, Some(ErrorCode::NetworkUnavailable), "{settled:?}");
    assert_eq!(settled.retry_action, Some(RetryAction::RetrySamePayment));
    let verified = verify(&process, &sold).await;
    assert_eq!(verified.invalid_reason, Some(ErrorCode::NetworkUnavailable), "{verified:?}");
    chain.set_wallets(&[("a", 1_000), ("b", 1_000)]);
    let start = tokio::time::Instant::now();
    while !verify(&process, &sold).await.is_valid {
        assert!(start.elapsed() < PATIENCE, "never good again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(settle(&process, &sold).await.success, "this very payment is good once it is filled");
    process.close().await;
}

/// P5, P7: whoever repeats a call that is under way must not be asked to pay for it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_repeated_call_is_recognised_though_its_fee_payer_cannot_pay() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    chain.hold(true);
    let process = one_ran_dry(&database, &chain, &time, async |process| {
        let first = pay(process, "a", "call").await;
        assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    })
    .await;
    let again = pay(&process, "a", "call").await;
    assert!(matches!(again, PayOutcome::Pending { .. }), "{again:?}");
    assert_eq!(database.with(|rows| rows.payment_count()), 1);
    assert!(is_refused(&pay(&process, "a", "another").await, NOT_MANAGED));
    let foreign = pay(&process, "foreign", "call").await;
    assert!(matches!(foreign, PayOutcome::Pending { .. }), "{foreign:?}");
    chain.hold(false);
    process.close().await;
}

/// Nobody fills the wallets of a network that sells nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wallets_of_a_retired_network_do_not_ring() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    chain.set_wallets(&[("a", 1), ("b", 0)]);
    let process = Process::open_retired(open(&database, "one", &time), &chain, &time).await;
    let is_read = |line: &str| line.starts_with("quittance_wallet_balance{") && !line.ends_with(" 0");
    until("balances to be read", || process.metrics().lines().any(is_read)).await;
    let low = "quittance_wallet_low{";
    assert!(process.metrics().lines().filter(|line| line.starts_with(low)).all(|line| line.ends_with(" 0")));
    assert_eq!((process.alerts("wallet_low"), process.alerts("wallet_empty")), (0, 0));
    process.close().await;
}
