//! The way to a claim: known → window → identifier → price → wallet → payer → chain → claim,
//! at the gate, `/settle` and `/verify` alike.

use futures::future::join_all;
use quittance_facilitator::{PayOutcome, Sale};
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, VerifyRequest};
use serde_json::{Value, json};

use super::harness::{
    Authorization, Chain, PRICE, Process, Time, at, is_refused, nonce, payment, process, sale,
};
use super::{granted, open, replicas};

const NO_NAME: &str = "a name of one letter is none";

/// A payment with everything that can be wrong with one.
fn all_wrong() -> Value {
    json!({ "late": true, "amount": PRICE + 1, "payer": "poor", "fault": "made up" })
}

fn unnamed(body: &str) -> Sale {
    Sale { malformed: Some(NO_NAME), ..sale(at(1), body) }
}

async fn refusal(process: &Process, nonce: u64, more: &Value, sale: Sale) -> ErrorCode {
    match process.facilitator.pay(payment("payer", nonce, more), sale).await {
        PayOutcome::Refused(rejection) => rejection.code,
        other => panic!("{other:?}"),
    }
}

/// Each refusal hides those behind it, and only the last one costs a call to a node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_refuses_in_one_order_and_asks_the_chain_last() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let mut wrong = all_wrong();
    let late = refusal(&process, nonce(), &wrong, unnamed("call")).await;
    assert_eq!(late, ErrorCode::InvalidExactEvmPayloadAuthorizationValidBefore, "window");
    wrong["late"] = json!(false);
    assert_eq!(
        refusal(&process, nonce(), &wrong, unnamed("call")).await,
        ErrorCode::InvalidPayload,
        "identifier"
    );
    let amount = refusal(&process, nonce(), &wrong, sale(at(1), "call")).await;
    assert_eq!(amount, ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch, "price");
    assert_eq!(chain.checks().0, 0, "what costs nothing comes first");
    wrong["amount"] = json!(PRICE);
    let poor = refusal(&process, nonce(), &wrong, sale(at(1), "call")).await;
    assert_eq!((poor, chain.checks().0), (ErrorCode::InvalidExactEvmInsufficientBalance, 1), "chain");
    let known = refusal(&process, nonce(), &wrong, sale(at(1), "call")).await;
    assert_eq!((known, chain.checks().0), (ErrorCode::InvalidExactEvmInsufficientBalance, 1), "payer");
    wrong["payer"] = json!("payer");
    let broken = refusal(&process, nonce(), &wrong, sale(at(1), "call")).await;
    assert_eq!(broken, ErrorCode::InvalidExactEvmTransactionSimulationFailed, "chain");
    process.close().await;
}

fn misnamed(authorization: &Authorization) -> VerifyRequest {
    let mut request = authorization.request();
    let extensions = json!({ "payment-identifier": { "info": { "id": "x" } } });
    let mut payload = serde_json::to_value(&request.payment_payload).unwrap();
    payload["extensions"] = extensions;
    request.payment_payload = serde_json::from_value(payload).unwrap();
    request
}

/// What `/verify` refuses, `/settle` refuses, for the same reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_and_settle_refuse_in_the_gates_order() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let both = async |request: VerifyRequest| {
        let verified = process.facilitator.verify(request.clone(), "all").await.invalid_reason.unwrap();
        let settled = process.facilitator.settle(request, "all").await.response.error_reason.unwrap();
        assert_eq!(verified, settled);
        settled
    };
    let wrong = |more: Value| {
        let mut authorization = Authorization::of("payer");
        for (name, value) in more.as_object().unwrap() {
            authorization.0[name] = value.clone();
        }
        authorization
    };
    let late = wrong(json!({ "late": true, "payer": "poor" }));
    let code = both(misnamed(&late)).await;
    assert_eq!(code, ErrorCode::InvalidExactEvmPayloadAuthorizationValidBefore, "window");
    let cheap = wrong(json!({ "amount": 1, "payer": "poor" }));
    assert_eq!(both(misnamed(&cheap)).await, ErrorCode::InvalidPayload, "identifier");
    assert_eq!(both(cheap.request()).await, ErrorCode::InvalidPaymentRequirements, "price");
    assert_eq!(chain.checks().0, 0, "what costs nothing comes first");
    let poor = wrong(json!({ "payer": "poor" }));
    assert_eq!(both(poor.request()).await, ErrorCode::InvalidExactEvmInsufficientBalance, "chain");
    assert_eq!(chain.checks().0, 1, "payer: known since /verify asked");
    process.close().await;
}

/// The ledger comes first: whatever is wrong with a payment by now, it is on record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_record_is_answered_before_anything_is_checked() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.hold(true);
    let number = nonce();
    let first = process.facilitator.pay(payment("payer", number, &json!({})), sale(at(1), "call")).await;
    assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    chain.checks();
    let asked = chain.checks().0;
    let again = process.facilitator.pay(payment("payer", number, &all_wrong()), unnamed("call")).await;
    assert!(matches!(again, PayOutcome::Pending { .. }), "{again:?}");

    let mut sold = Authorization::of("payer");
    let pending = process.facilitator.settle(sold.request(), "all").await.response;
    assert_eq!(pending.error_reason, Some(ErrorCode::SettlementPending));
    sold.0["late"] = json!(true);
    let settled = process.facilitator.settle(misnamed(&sold), "all").await.response;
    assert_eq!(settled.error_reason, Some(ErrorCode::SettlementPending));
    let verified = process.facilitator.verify(misnamed(&sold), "all").await;
    assert_eq!(verified.invalid_reason, Some(ErrorCode::SettlementPending));
    assert_eq!(chain.checks().0, asked + 1, "one for the second payment");
    chain.hold(false);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_payment_cost_one_chain_check_whatever_it_says() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    for (fault, checks) in [("", 1), ("made up", 2)] {
        let number = nonce();
        let copy = || {
            process.facilitator.pay(payment("payer", number, &json!({ "fault": fault })), sale(at(1), "call"))
        };
        let outcomes = join_all((0..20).map(|_| copy())).await;
        assert_eq!(chain.checks().0, checks, "{fault}");
        let taken = outcomes.iter().filter(|one| matches!(one, PayOutcome::Granted(_))).count();
        let refused =
            |one: &&PayOutcome| is_refused(one, ErrorCode::InvalidExactEvmTransactionSimulationFailed);
        match fault {
            "" => assert_eq!(taken, 1, "one of them runs"),
            _ => assert_eq!(outcomes.iter().filter(refused).count(), 20),
        }
    }
    process.close().await;
}

/// What the chain said of a made-up signature says nothing of the payer's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_shared_by_copies_of_one_signature_only() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let number = nonce();
    let forged = || json!({ "signature": 7, "contract": true, "fault": "made up" });
    let (forgeries, honest) = tokio::join!(
        join_all(
            (0..8).map(|_| process.facilitator.pay(payment("payer", number, &forged()), sale(at(1), "call")))
        ),
        process.facilitator.pay(payment("payer", number, &json!({})), sale(at(2), "call")),
    );
    drop(granted(honest));
    for forgery in forgeries {
        assert!(!matches!(forgery, PayOutcome::Granted(_)), "{forgery:?}");
    }
    process.close().await;
}

/// While a payment is checked here, another replica claims it and lands it: the chain
/// refuses what the ledger knows by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_nobody_is_refused_before_the_ledger_was_asked_again() {
    for way in ["gate", "settle", "verify"] {
        let (database, time) = (ModelDatabase::shared(), Time::default());
        let (near, far) = (Chain::default(), Chain::default());
        let [one, two] = replicas(&database, [&near, &far], &time).await;
        near.hold(true);
        far.hold(true);
        far.has_used_all(true);
        let (first, sold) = (one.clone(), Authorization::of("payer"));
        let (number, request) = (nonce(), sold.request());
        let elsewhere = request.clone();
        far.meanwhile(move || {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    match way {
                        "gate" => {
                            let paid = first
                                .facilitator
                                .pay(payment("payer", number, &json!({})), sale(at(1), "call"));
                            assert!(matches!(paid.await, PayOutcome::Pending { .. }));
                        }
                        _ => drop(first.facilitator.settle(elsewhere, "all").await),
                    }
                });
            });
        });
        match way {
            "gate" => {
                let told =
                    two.facilitator.pay(payment("payer", number, &json!({})), sale(at(2), "call")).await;
                assert!(matches!(told, PayOutcome::Pending { .. }), "{told:?}");
            }
            "settle" => {
                let told = two.facilitator.settle(request, "all").await.response;
                assert_eq!(told.error_reason, Some(ErrorCode::SettlementPending), "{told:?}");
            }
            _ => {
                let told = two.facilitator.verify(request, "all").await;
                assert_eq!(told.invalid_reason, Some(ErrorCode::SettlementPending), "{told:?}");
            }
        }
        for (chain, process) in [(near, one), (far, two)] {
            chain.hold(false);
            process.close().await;
        }
    }
}

/// Whoever asks only claims nothing, and whoever settles claims once (I1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_claims_nothing() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = Process::open(open(&database, "one", &time), &chain, &time, "").await;
    let sold = Authorization::of("payer");
    assert!(process.facilitator.verify(sold.request(), "all").await.is_valid);
    assert_eq!(database.with(|rows| rows.payment_count()), 0);
    assert!(process.facilitator.settle(sold.request(), "all").await.response.success);
    assert_eq!(database.with(|rows| rows.payment_count()), 1);
    assert_eq!(chain.broadcasts(), 1);
    process.close().await;
}

/// P7: a fresh authorization for a call that was told pending buys nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_repeated_call_is_answered_from_the_payment_that_was_told_pending() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    chain.hold(true);
    let call = sale(at(1), "call");
    let first = process.facilitator.pay(payment("payer", nonce(), &json!({})), call.clone()).await;
    assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    let again = process.facilitator.pay(payment("payer", nonce(), &json!({})), call.clone()).await;
    assert!(matches!(again, PayOutcome::Pending { .. }), "{again:?}");
    assert_eq!(database.with(|rows| rows.payment_count()), 1, "an alias is no payment");
    let another =
        process.facilitator.pay(payment("payer", nonce(), &json!({})), sale(at(1), "another")).await;
    assert!(matches!(another, PayOutcome::Pending { .. }), "{another:?}");
    assert_eq!(database.with(|rows| rows.payment_count()), 2, "another request is another purchase");
    chain.hold(false);
    process.close().await;
}
