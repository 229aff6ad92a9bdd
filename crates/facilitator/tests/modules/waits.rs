//! Who waits for a payment's outcome hears it within its wait, also of what another replica settles.

use std::time::Duration;

use quittance_facilitator::PayOutcome;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::ErrorCode;
use serde_json::json;

use super::harness::{
    Authorization, Chain, Time, at, is_refused, nonce, payment, process, sale, settle, verify,
};
use super::{granted, replicas};

/// The chain goes on while somebody waits.
async fn released(chain: &Chain) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    chain.hold(false);
}

#[tokio::test(start_paused = true)]
async fn verify_waits_for_the_verdict_as_settle_does() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.hold(true);
    let sold = Authorization::of("payer");
    assert_eq!(settle(&process, &sold).await.error_reason, Some(ErrorCode::SettlementPending));
    let (valid, ()) = tokio::join!(verify(&process, &sold), released(&chain));
    assert!(valid.is_valid, "{valid:?}");
    process.close().await;
}

/// Of two purchases that became one transaction the second is told once the first is decided.
#[tokio::test(start_paused = true)]
async fn who_shares_anothers_transaction_waits_for_what_becomes_of_it() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let signed = payment("payer", nonce(), &json!({ "memoless": true }));
    chain.hold(true);
    drop(process.facilitator.pay(signed.clone(), sale(at(1), "call")).await);
    let another = process.facilitator.pay(signed, sale(at(1), "another"));
    let (told, ()) = tokio::join!(another, released(&chain));
    assert!(is_refused(&told, ErrorCode::DuplicateSettlement), "{told:?}");
    process.close().await;
}

/// Nobody announces here what another replica drives: the ledger is read again.
#[tokio::test(start_paused = true)]
async fn who_waits_at_another_replica_hears_the_verdict_within_its_wait() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let [one, two] = replicas(&database, [&chain, &chain], &time).await;
    let signed = payment("payer", nonce(), &json!({}));
    let call = sale(at(1), "call");
    chain.hold(true);
    let pending = one.facilitator.pay(signed.clone(), call.clone()).await;
    assert!(matches!(pending, PayOutcome::Pending { .. }), "{pending:?}");
    let late = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        chain.hold(false);
    };
    let (outcome, ()) = tokio::join!(two.facilitator.pay(signed, call), late);
    drop(granted(outcome));
    for process in [one, two] {
        process.close().await;
    }
}
