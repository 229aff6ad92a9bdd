//! Who shows a payment that another made, or one that was made elsewhere, after its terms changed or
//! while its answer is open: a landed signature is public, and proves nothing of who shows it.

use quittance_facilitator::{PayOutcome, Sale};
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, PaymentPayload, RetryAction, VerifyRequest};
use serde_json::{Value, json};

use super::harness::{
    Authorization, Chain, Process, Time, at, is_refused, nonce, payment, process, sale, settle,
};
use super::{answer, granted};

const TAKEN: ErrorCode = ErrorCode::DuplicateSettlement;

async fn pay(process: &Process, signed: &PaymentPayload, sale: &Sale) -> PayOutcome {
    process.facilitator.pay(signed.clone(), sale.clone()).await
}

/// P1: with another signature over the same authorization neither its answer nor the run that
/// it left is had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_signature_gets_neither_the_answer_nor_the_run_of_a_settled_payment() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (number, call) = (nonce(), sale(at(1), "call"));
    let signed = payment("payer", number, &json!({}));
    let grant = granted(pay(&process, &signed, &call).await);
    process.facilitator.credit(grant, "it failed").await.unwrap();
    let stolen = payment("payer", number, &json!({ "signature": 7 }));
    let refused = pay(&process, &stolen, &call).await;
    assert!(is_refused(&refused, TAKEN), "a credit: {refused:?}");
    let grant = granted(pay(&process, &signed, &call).await);
    process.facilitator.finish(grant, answer(200)).await.unwrap();
    let refused = pay(&process, &stolen, &call).await;
    assert!(is_refused(&refused, TAKEN), "an answer: {refused:?}");
    let again = pay(&process, &signed, &call).await;
    assert!(matches!(again, PayOutcome::Answered { .. }), "{again:?}");
    process.close().await;
}

/// What a foreign server claimed is settled there; a gate says that it is taken, not that it
/// bought another request here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_foreign_server_claimed_buys_nothing_at_a_gate() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    assert!(settle(&process, &sold).await.success);
    let outcome = pay(&process, &sold.request().payment_payload, &sale(at(1), "call")).await;
    assert!(is_refused(&outcome, TAKEN), "{outcome:?}");
    process.close().await;
}

/// The same request with terms that are sold nowhere any more.
fn moved(sold: &Authorization) -> VerifyRequest {
    let mut request = sold.request();
    request.payment_requirements.pay_to = "0xold".to_owned();
    request.payment_payload.accepted = request.payment_requirements.clone();
    request
}

/// Whatever the terms say now, the payer's own signature finds what is on record, and a made-up
/// one that only the chain could vouch for learns nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_other_terms_a_payment_on_record_is_known_to_its_payer_and_to_nobody_else() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let with = |sold: &Authorization, more: Value| {
        let mut sold = Authorization(sold.0.clone());
        sold.0.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sold
    };
    let key = Authorization::of("payer");
    let contract = with(&Authorization::of("wallet"), json!({ "contract": true }));
    for (sold, what) in [(&key, "a key"), (&contract, "a contract")] {
        let settled = process.facilitator.settle(sold.request(), "all").await;
        assert!(settled.response.success, "{what}");
        let said = async |sold: &Authorization| {
            let settled = process.facilitator.settle(moved(sold), "all").await.response;
            let verified = process.facilitator.verify(moved(sold), "all").await;
            assert_eq!(verified.invalid_reason, settled.error_reason, "{what}");
            settled.error_reason
        };
        assert_eq!(said(sold).await, Some(TAKEN), "{what}: another sale's");
        let code = match what {
            "a key" => TAKEN,
            _ => ErrorCode::InvalidPaymentRequirements,
        };
        assert_eq!(
            said(&with(sold, json!({ "signature": 7 }))).await,
            Some(code),
            "{what}, another signature"
        );
    }
    let unseen = Authorization::of("payer");
    let told = process.facilitator.settle(moved(&unseen), "all").await.response;
    assert_eq!(told.error_reason, Some(ErrorCode::InvalidPaymentRequirements), "not on record");
    process.close().await;
}

/// The server's terms name token and network: a customer's echo may be empty, or lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_on_record_is_found_by_the_servers_terms_or_by_the_customers() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    assert!(settle(&process, &sold).await.success, "told to nobody yet");
    let mut by_terms = moved(&sold);
    by_terms.payment_payload.accepted.network = "eip155:1".to_owned();
    let mut by_echo = moved(&sold);
    by_echo.payment_requirements.network = "eip155:1".to_owned();
    for (what, request) in [("terms", by_terms), ("echo", by_echo)] {
        let told = process.facilitator.settle(request, "all").await.response;
        assert_eq!(told.error_reason, Some(TAKEN), "{what}");
    }
    process.close().await;
}

/// What is no payment of this gate is refused for what it is, and not put off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_of_another_network_or_version_is_refused_at_the_gate() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let mut elsewhere = payment("payer", nonce(), &json!({}));
    elsewhere.accepted.network = "eip155:1".to_owned();
    let mut old = payment("payer", nonce(), &json!({}));
    old.x402_version = 1;
    for (signed, code) in [(elsewhere, ErrorCode::InvalidNetwork), (old, ErrorCode::InvalidX402Version)] {
        match pay(&process, &signed, &sale(at(1), "call")).await {
            PayOutcome::Refused(told) => {
                assert_eq!((told.code, told.retry_action), (code, RetryAction::Pay));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(chain.checks().0, 0);
    process.close().await;
}

/// I4: it bought something else before it was claimed here. Whoever holds it hears which transaction
/// that was, and may sign anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_what_was_used_before_its_claim_is_refused_and_named_with_its_transaction() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.hold(true);
    let (number, call, sold) = (nonce(), sale(at(1), "call"), Authorization::of("payer"));
    let signed = payment("payer", number, &json!({}));
    assert!(matches!(pay(&process, &signed, &call).await, PayOutcome::Pending { .. }));
    assert_eq!(settle(&process, &sold).await.error_reason, Some(ErrorCode::SettlementPending));
    chain.has_used_all(true);
    chain.hold(false);
    let used = ErrorCode::InvalidExactEvmNonceAlreadyUsed;
    let told = loop {
        match pay(&process, &signed, &call).await {
            PayOutcome::Pending { .. } => {}
            PayOutcome::Refused(told) => break told,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((told.code, told.retry_action), (used, RetryAction::Pay));
    assert_eq!(told.transaction, Some(format!("tx-{number}")));
    let theirs = format!("tx-{}", sold.0["nonce"]);
    let told = loop {
        let told = settle(&process, &sold).await;
        if told.error_reason != Some(ErrorCode::SettlementPending) {
            break told;
        }
    };
    assert_eq!((told.error_reason, told.retry_action), (Some(used), Some(RetryAction::Pay)));
    assert_eq!((told.success, &told.transaction), (false, &theirs));
    let told = process.facilitator.verify(sold.request(), "all").await;
    assert_eq!((told.invalid_reason, &told.other["transaction"]), (Some(used), &json!(theirs)));
    process.close().await;
}
