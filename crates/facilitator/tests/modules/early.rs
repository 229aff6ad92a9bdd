//! Payments whose time has nearly come: they are waited for, and whoever is too early sends the
//! same one again. Whoever were told to sign anew would have two out (P5).

use std::time::Duration;

use quittance_facilitator::PayOutcome;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, RetryAction};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::granted;
use super::harness::{Authorization, Chain, Process, Time, at, nonce, payment, process, sale};

const EARLY: ErrorCode = ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter;

/// Seconds of the tests' clock.
fn now(time: &Time) -> u64 {
    u64::try_from(time.now_ms() / 1_000).unwrap()
}

async fn pay(process: &Process, more: &Value) -> PayOutcome {
    process.facilitator.pay(payment("payer", nonce(), more), sale(at(1), &nonce().to_string())).await
}

/// What all three ways say of a payment that is valid from then on.
async fn too_early(process: &Process, after: u64) -> Option<u64> {
    let told = match pay(process, &json!({ "after": after })).await {
        PayOutcome::Refused(rejection) => rejection,
        other => panic!("{other:?}"),
    };
    assert_eq!((told.code, told.retry_action), (EARLY, RetryAction::RetrySamePayment));
    let mut signed = Authorization::of("payer");
    signed.0["after"] = json!(after);
    let verified = process.facilitator.verify(signed.request(), "all").await;
    assert_eq!(verified.invalid_reason, Some(EARLY));
    assert_eq!(verified.other["retry_action"], json!(RetryAction::RetrySamePayment));
    let settled = process.facilitator.settle(signed.request(), "all").await.response;
    assert_eq!((settled.error_reason, settled.payment_state), (Some(EARLY), None));
    assert_eq!(settled.retry_action, Some(RetryAction::RetrySamePayment));
    assert!(settled.retry_after_seconds.is_some_and(|seconds| seconds > 0), "when to come again");
    told.retry_after_seconds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_is_valid_in_a_moment_is_waited_for_and_taken() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    time.pass(400);
    let began = Instant::now();
    drop(granted(pay(&process, &json!({ "after": now(&time) })).await));
    assert!(began.elapsed() >= Duration::from_millis(600), "the token wants a time beyond its second");
    process.close().await;
}

/// Nobody waits past what a payment is kept waiting for, and no node is asked for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_valid_too_late_to_be_waited_for_is_asked_for_again() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let began = Instant::now();
    assert_eq!(too_early(&process, now(&time) + 2).await, None);
    // One second each, of the three that it would take.
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(2_900) && waited < Duration::from_secs(8), "{waited:?}");
    // A clock that is wrong by half a minute: come back when it has passed, and nobody waits.
    let began = Instant::now();
    assert_eq!(too_early(&process, now(&time) + 29).await, Some(30));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(chain.checks().0, 0);
    process.close().await;
}

/// Our clock has passed it, the newest block has not: the chain is asked again, a few times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_is_a_moment_old_is_no_reason_to_sign_again() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.falls_behind(1);
    drop(granted(pay(&process, &json!({ "after": now(&time) - 1 })).await));
    assert_eq!(chain.checks().0, 2, "once more, half a second later");
    chain.falls_behind(usize::MAX);
    assert_eq!(too_early(&process, now(&time) - 1).await, None);
    let asked = chain.checks().0 - 2;
    assert!((3..=6).contains(&asked), "{asked} checks for three who may wait a second");
    // What became valid long ago is no clock's fault: its node is wrong.
    let began = Instant::now();
    let old = pay(&process, &json!({ "after": now(&time) - 60 })).await;
    assert!(matches!(&old, PayOutcome::Refused(told) if told.retry_action == RetryAction::Pay), "{old:?}");
    assert!(began.elapsed() < Duration::from_millis(500), "asked once");
    process.close().await;
}
