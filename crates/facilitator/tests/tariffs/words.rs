//! Words that must not invite a second payment, at the gate and to foreign servers.

use quittance_facilitator::PayOutcome;
use quittance_facilitator::config::GateConfig;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, RetryAction};
use serde_json::json;

use super::foreign::{Authorization, settle, verify};
use super::gate::{at, is_refused, nonce, payment, process, sale};
use super::harness::{Chain, Time};

fn retries(action: Option<RetryAction>) -> bool {
    action == Some(RetryAction::RetrySamePayment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_signature_over_a_payment_under_way_hears_that_it_is_pending() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.hold(true);
    let first = Authorization::of("payer");
    let pending = settle(&process, &first).await;
    assert_eq!(pending.error_reason, Some(ErrorCode::SettlementPending));
    let mut other = Authorization(first.0.clone());
    other.0["signature"] = json!(7);
    let answer = settle(&process, &other).await;
    assert_eq!(answer.error_reason, Some(ErrorCode::SettlementPending), "{answer:?}");
    assert!(retries(answer.retry_action));
    assert_eq!(verify(&process, &other).await.invalid_reason, Some(ErrorCode::SettlementPending));

    let (number, call) = (nonce(), sale(at(1), "a call"));
    let mine = process.facilitator.pay(payment("payer", number, &json!({})), call.clone()).await;
    assert!(matches!(mine, PayOutcome::Pending { .. }), "{mine:?}");
    let again = payment("payer", number, &json!({ "signature": 7 }));
    let again = process.facilitator.pay(again, call).await;
    assert!(matches!(again, PayOutcome::Pending { .. }), "{again:?}");
    chain.hold(false);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_cannot_be_reached_invites_nobody_to_pay() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let mut away = Authorization::of("payer");
    away.0["fault"] = json!("unreachable");
    let answer = settle(&process, &away).await;
    assert_eq!(answer.error_reason, Some(ErrorCode::NetworkUnavailable));
    assert!(retries(answer.retry_action) && answer.payment_state.is_none(), "{answer:?}");
    let answer = verify(&process, &away).await;
    assert_eq!(answer.invalid_reason, Some(ErrorCode::NetworkUnavailable));
    assert_eq!(answer.other["retry_action"], json!(RetryAction::RetrySamePayment));
    let away = payment("payer", nonce(), &json!({ "fault": "unreachable" }));
    let at_the_gate = process.facilitator.pay(away, sale(at(1), "a call")).await;
    assert!(matches!(at_the_gate, PayOutcome::Unavailable { reason: "chain", .. }), "{at_the_gate:?}");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_that_others_landed_is_named_with_its_transaction() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let mut landed = Authorization::of("payer");
    landed.0["fault"] = json!("used");
    let theirs = format!("theirs-{}", landed.0["nonce"]);
    let answer = settle(&process, &landed).await;
    assert_eq!(answer.error_reason, Some(ErrorCode::InvalidExactEvmNonceAlreadyUsed));
    assert_eq!(answer.transaction, theirs);
    let answer = verify(&process, &landed).await;
    assert_eq!(answer.invalid_reason, Some(ErrorCode::InvalidExactEvmNonceAlreadyUsed));
    assert_eq!(answer.other["transaction"], json!(theirs));
    let number = nonce();
    let landed = payment("payer", number, &json!({ "fault": "used" }));
    match process.facilitator.pay(landed, sale(at(1), "a call")).await {
        PayOutcome::Refused(rejection) => {
            assert_eq!(rejection.transaction, Some(format!("theirs-{number}")));
        }
        other => panic!("{other:?}"),
    }
    process.close().await;
}

/// Clients without a memo make one message of two purchases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_purchases_of_one_message_are_told_to_sign_again_once_the_first_is_settled() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    for (payer, memoless) in [("without a memo", true), ("with a memo", false)] {
        let signed = payment(payer, nonce(), &json!({ "memoless": memoless }));
        let pay = async |body: &str| process.facilitator.pay(signed.clone(), sale(at(1), body)).await;
        chain.hold(true);
        assert!(matches!(pay("one").await, PayOutcome::Pending { .. }));
        let early = pay("two").await;
        match memoless {
            true => assert!(matches!(early, PayOutcome::Pending { .. }), "{early:?}"),
            false => assert!(matches!(early, PayOutcome::Conflict { .. }), "{early:?}"),
        }
        chain.hold(false);
        let first = loop {
            match pay("one").await {
                PayOutcome::Pending { .. } => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert!(matches!(first, PayOutcome::Granted(_)), "{first:?}");
        let late = pay("two").await;
        match memoless {
            true => {
                assert!(is_refused(&late, ErrorCode::DuplicateSettlement), "{late:?}");
                let PayOutcome::Refused(rejection) = late else { panic!("a fresh offer") };
                assert_eq!(rejection.retry_action, RetryAction::Pay);
            }
            false => assert!(matches!(late, PayOutcome::Conflict { .. }), "{late:?}"),
        }
    }
    process.close().await;
}

/// Go servers give up on a facilitator after thirty seconds.
#[test]
fn a_payment_is_waited_for_less_long_than_servers_wait() {
    assert_eq!(GateConfig::default().pending_wait_seconds, 20);
}
