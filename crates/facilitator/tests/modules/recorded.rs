//! What whoever holds a payment on record hears of it where nothing is sold: the host cannot
//! price the request any more, as many copies wait as may, or a caller left without an answer.

use quittance_facilitator::{Connection, PayOutcome, Sale};
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, PaymentPayload};
use serde_json::{Value, json};

use super::harness::{Authorization, Chain, PRICE, Process, Time, at, nonce, payment, process, sale};
use super::{answer, granted, until};

fn with(number: u64, more: &Value) -> PaymentPayload {
    payment("payer", number, more)
}

async fn recalled(process: &Process, signed: &PaymentPayload, sale: &Sale) -> Option<PayOutcome> {
    process.facilitator.recall(signed, sale).await
}

/// What the payment bought is replayed, what is under way is pending, and nothing is sold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_price_hears_of_its_own_payment_only() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (number, call) = (nonce(), sale(at(1), "call"));
    let signed = with(number, &json!({}));
    assert!(recalled(&process, &signed, &call).await.is_none(), "not on record");
    chain.hold(true);
    let pending = process.facilitator.pay(signed.clone(), call.clone()).await;
    assert!(matches!(pending, PayOutcome::Pending { .. }), "{pending:?}");
    let told = recalled(&process, &signed, &call).await;
    assert!(matches!(told, Some(PayOutcome::Pending { .. })), "no verdict: {told:?}");
    chain.hold(false);

    let another = nonce();
    let (signed, call) = (with(another, &json!({})), sale(at(1), "another"));
    let grant = granted(process.facilitator.pay(signed.clone(), call.clone()).await);
    let running = recalled(&process, &signed, &call).await;
    assert!(matches!(running, Some(PayOutcome::Pending { .. })), "it runs: {running:?}");
    process.facilitator.credit(grant, "it failed").await.unwrap();
    assert!(recalled(&process, &signed, &call).await.is_none(), "a credit would have to run");
    let grant = granted(process.facilitator.pay(signed.clone(), call.clone()).await);
    process.facilitator.finish(grant, answer(200)).await.unwrap();
    match recalled(&process, &signed, &call).await {
        Some(PayOutcome::Answered { answer, .. }) => assert_eq!(answer.body, b"served"),
        other => panic!("{other:?}"),
    }
    let stolen = with(another, &json!({ "signature": 7 }));
    assert!(recalled(&process, &stolen, &call).await.is_none(), "another signature");
    assert!(recalled(&process, &signed, &sale(at(1), "other")).await.is_none(), "another request");
    process.close().await;
}

/// A payment of a foreign server buys nothing at the gate, whatever its request is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_foreign_server_claimed_is_not_recalled_at_the_gate() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer").request();
    assert!(process.facilitator.settle(sold.clone(), "all").await.response.success);
    assert!(recalled(&process, &sold.payment_payload, &sale(at(1), "call")).await.is_none());
    assert!(process.facilitator.on_record(&sold.payment_payload).await.is_none());
    process.close().await;
}

/// Nobody can say what a body above the limit asks for; its payer still hears that it paid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_refused_still_hears_whether_it_was_paid_for() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let number = nonce();
    let signed = with(number, &json!({}));
    assert!(process.facilitator.on_record(&signed).await.is_none(), "not on record");
    chain.hold(true);
    drop(process.facilitator.pay(signed.clone(), sale(at(1), "call")).await);
    let pending = process.facilitator.on_record(&signed).await;
    assert!(matches!(pending, Some(PayOutcome::Pending { .. })), "{pending:?}");
    chain.hold(false);
    let grant = loop {
        match process.facilitator.pay(signed.clone(), sale(at(1), "call")).await {
            PayOutcome::Granted(grant) => break grant,
            PayOutcome::Pending { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    process.facilitator.finish(grant, answer(200)).await.unwrap();
    match process.facilitator.on_record(&signed).await {
        Some(PayOutcome::Conflict { code, receipt: Some(receipt), .. }) => {
            assert_eq!((code, receipt.success), (ErrorCode::BodyTooLarge, true));
        }
        other => panic!("{other:?}"),
    }
    let stolen = with(number, &json!({ "signature": 7 }));
    assert!(process.facilitator.on_record(&stolen).await.is_none(), "another signature");
    process.close().await;
}

/// P5, P7: a copy without a place hears of the payment on record, and that it was told is on
/// record too; one under a signature that only the chain could vouch for hears nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_a_place_hears_of_the_payment_and_that_is_noted() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    let number = nonce();
    let signed = with(number, &json!({}));
    let told = |outcome: PayOutcome| match outcome {
        PayOutcome::Pending { receipt, .. } => receipt.payer,
        other => panic!("{other:?}"),
    };
    let unseen = with(nonce(), &json!({}));
    assert_eq!(told(process.facilitator.copy_too_many(&unseen).await), None, "not on record");
    chain.hold(true);
    let (connection, waiting) = Connection::new();
    let facilitator = process.facilitator.clone();
    let (first, call) = (signed.clone(), sale(at(1), "call"));
    let paying = tokio::spawn(async move { facilitator.pay_for(first, call, &waiting).await });
    until("it is on record", || database.with(|rows| rows.payment_count() == 1)).await;
    let is_noted =
        || database.with(|rows| rows.payments().any(|payment| payment.pending_answer_at_ms.is_some()));
    assert!(!is_noted(), "nobody was told anything");
    let guessed = with(number, &json!({ "contract": true }));
    assert_eq!(told(process.facilitator.copy_too_many(&guessed).await), None, "anybody's signature");
    assert!(!is_noted(), "nor was its payer");
    assert_eq!(told(process.facilitator.copy_too_many(&signed).await).as_deref(), Some("payer"));
    assert!(is_noted());
    drop(paying.await.unwrap());
    connection.answered();
    chain.hold(false);
    process.close().await;
}

/// P7: whoever left without an answer signs anew, and that is answered from the payment it left;
/// whoever took its answer buys again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_caller_who_left_without_an_answer_is_noted_and_one_who_took_it_is_not() {
    for took_it in [false, true] {
        let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
        let process = process(&database, &chain, &time).await;
        let (connection, waiting) = Connection::new();
        let call = sale(at(1), "call");
        let outcome = process.facilitator.pay_for(with(nonce(), &json!({})), call.clone(), &waiting).await;
        process.facilitator.finish(granted(outcome), answer(200)).await.unwrap();
        assert_eq!(waiting.left(), None, "it is still there");
        let is_noted =
            || database.with(|rows| rows.payments().any(|payment| payment.pending_answer_at_ms.is_some()));
        match took_it {
            true => connection.answered(),
            false => drop(connection),
        }
        assert_eq!(waiting.left(), Some(!took_it));
        if !took_it {
            until("that it left is noted", is_noted).await;
        }
        let again = process.facilitator.pay(with(nonce(), &json!({})), call).await;
        match took_it {
            true => drop(granted(again)),
            false => assert!(matches!(again, PayOutcome::Answered { .. }), "{again:?}"),
        }
        assert_eq!(is_noted(), !took_it);
        process.close().await;
    }
}

/// Two purchases may become one transaction without anybody's fault (Solana, without a memo): the
/// second hears that it was paid once, and not before that is certain (P5).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_coincidence_is_told_when_its_payment_is_decided_and_not_before() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let signed = with(nonce(), &json!({ "memoless": true }));
    chain.hold(true);
    drop(process.facilitator.pay(signed.clone(), sale(at(1), "call")).await);
    let early = process.facilitator.pay(signed.clone(), sale(at(1), "another")).await;
    assert!(matches!(early, PayOutcome::Pending { .. }), "{early:?}");
    chain.hold(false);
    let told = loop {
        match process.facilitator.pay(signed.clone(), sale(at(1), "another")).await {
            PayOutcome::Pending { .. } => {}
            other => break other,
        }
    };
    match told {
        PayOutcome::Refused(rejection) => {
            assert_eq!(rejection.code, ErrorCode::DuplicateSettlement);
            assert!(rejection.message.contains("it was paid once"), "{}", rejection.message);
        }
        other => panic!("{other:?}"),
    }
    let plain = with(nonce(), &json!({}));
    drop(granted(process.facilitator.pay(plain.clone(), sale(at(1), "call")).await));
    match process.facilitator.pay(plain, sale(at(1), "another")).await {
        PayOutcome::Conflict { code, .. } => assert_eq!(code, ErrorCode::RequestMismatch),
        other => panic!("{other:?}"),
    }
    process.close().await;
}

/// The payer of a plain payment is known by its signature before any chain is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_presented_is_told_apart_by_signature_only_where_it_is_nobodys_for_certain() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let number = nonce();
    let presented = |more: Value| process.facilitator.presented(&with(number, &more)).unwrap();
    let plain = presented(json!({}));
    assert!(plain.is_signed && !plain.has_history);
    let (one, other) = (
        presented(json!({ "contract": true, "signature": 7 })),
        presented(json!({ "contract": true, "signature": 8 })),
    );
    assert!(!one.is_signed && one.key != other.key && one.key != plain.key);
    drop(granted(
        process.facilitator.pay(with(nonce(), &json!({ "amount": PRICE })), sale(at(1), "x")).await,
    ));
    assert!(presented(json!({})).has_history, "it has paid before");
    process.close().await;
}
