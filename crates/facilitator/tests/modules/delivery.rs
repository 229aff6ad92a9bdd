//! What a settled payment buys: one run at a time, its answer again, a credit when it failed.

use futures::future::join_all;
use quittance_facilitator::{PayOutcome, Sale};
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, IdentifierHash, PaymentPayload};
use serde_json::json;

use super::harness::{Chain, Process, Time, at, nonce, payment, process, sale};
use super::{answer, granted, until};

/// `gate.runs_max` and `gate.replay_seconds`.
const RUNS_MAX: u32 = 3;
const REPLAY_MS: i64 = 120_000;

fn signed() -> PaymentPayload {
    payment("payer", nonce(), &json!({}))
}

async fn pay(process: &Process, signed: &PaymentPayload, sale: &Sale) -> PayOutcome {
    process.facilitator.pay(signed.clone(), sale.clone()).await
}

fn conflict(outcome: &PayOutcome) -> ErrorCode {
    match outcome {
        PayOutcome::Conflict { code, receipt: Some(receipt), .. } if receipt.success => *code,
        other => panic!("no conflict with a receipt: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_copies_get_one_run_and_then_its_answer() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (signed, call) = (signed(), sale(at(1), "call"));
    let outcomes = join_all((0..10).map(|_| pay(&process, &signed, &call))).await;
    let (mut grants, others): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|outcome| matches!(outcome, PayOutcome::Granted(_)));
    assert_eq!(grants.len(), 1);
    assert!(others.iter().all(|outcome| matches!(outcome, PayOutcome::Pending { .. })), "{others:?}");
    process.facilitator.finish(granted(grants.remove(0)), answer(200)).await.unwrap();
    match pay(&process, &signed, &call).await {
        PayOutcome::Answered { answer, receipt, .. } => {
            assert_eq!((answer.status, answer.body.as_slice()), (200, b"served".as_slice()));
            assert!(receipt.success);
        }
        other => panic!("{other:?}"),
    }
    process.close().await;
}

/// What copies at the same time share was read after each of them came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_copies_of_an_answered_payment_hear_it_until_its_window_closes_and_not_once_more() {
    let (chain, time) = (Chain::default(), Time::default());
    let database = ModelDatabase::shared();
    let process = process(&database, &chain, &time).await;
    let (signed, call) = (signed(), sale(at(1), "call"));
    let grant = granted(pay(&process, &signed, &call).await);
    let id = grant.paid().payment_id.clone();
    process.facilitator.finish(grant, answer(200)).await.unwrap();
    process.facilitator.answer_sent(&id);
    until("the window begins", || {
        database.with(|rows| rows.payments().all(|payment| payment.first_answer_at_ms.is_some()))
    })
    .await;
    let copies = || join_all((0..50).map(|_| pay(&process, &signed, &call)));
    for outcome in copies().await {
        assert!(
            matches!(&outcome, PayOutcome::Answered { answer, .. } if answer.body == b"served"),
            "{outcome:?}"
        );
    }
    time.pass(REPLAY_MS + 1);
    for outcome in copies().await {
        assert_eq!(conflict(&outcome), ErrorCode::ReplayWindowClosed);
    }
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_failed_run_leaves_a_credit_for_the_same_request_until_its_runs_are_used_up() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (signed, call) = (signed(), sale(at(1), "call"));
    for run in 1..=RUNS_MAX {
        let grant = granted(pay(&process, &signed, &call).await);
        assert_eq!(grant.paid().run, run);
        process.facilitator.credit(grant, "it failed").await.unwrap();
        assert_eq!(
            conflict(&pay(&process, &signed, &sale(at(1), "another")).await),
            ErrorCode::RequestMismatch
        );
    }
    assert_eq!(conflict(&pay(&process, &signed, &call).await), ErrorCode::CreditExhausted);
    assert_eq!(process.alerts("credit_exhausted"), 1);
    assert_eq!(chain.broadcasts(), 1, "paid once");
    process.close().await;
}

/// A service that is being restarted takes no connection: its payer has done nothing wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_run_that_never_began_is_none_of_those_that_a_payment_may_fail() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (signed, call) = (signed(), sale(at(1), "call"));
    for _ in 0..RUNS_MAX * 3 {
        let grant = granted(pay(&process, &signed, &call).await);
        process.facilitator.credit_unbegun(grant, "nobody took the connection").await.unwrap();
    }
    for _ in 0..RUNS_MAX {
        let grant = granted(pay(&process, &signed, &call).await);
        process.facilitator.credit(grant, "it failed").await.unwrap();
    }
    assert_eq!(conflict(&pay(&process, &signed, &call).await), ErrorCode::CreditExhausted);
    process.close().await;
}

/// A handler that panicked, or whose client left: its grant is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_grant_that_is_dropped_becomes_a_credit() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (signed, call) = (signed(), sale(at(1), "call"));
    drop(granted(pay(&process, &signed, &call).await));
    let again = granted(pay(&process, &signed, &call).await);
    assert_eq!(again.paid().run, 2);
    process.facilitator.finish(again, answer(200)).await.unwrap();
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_buys_the_request_it_was_made_for() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let signed = signed();
    let grant = granted(pay(&process, &signed, &sale(at(1), "call")).await);
    process.facilitator.finish(grant, answer(200)).await.unwrap();
    assert_eq!(conflict(&pay(&process, &signed, &sale(at(1), "another")).await), ErrorCode::RequestMismatch);
    process.close().await;
}

/// Landed bytes are public: without the buyer's own word an answer is replayed for a while
/// after it was delivered, and with one only to who shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_replayed_within_its_window_or_to_who_knows_the_word() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    let named = Sale { identifier: Some(IdentifierHash::of("a word of my own")), ..sale(at(1), "named") };
    let mut sold = Vec::new();
    for call in [sale(at(1), "unnamed"), named] {
        let signed = signed();
        let grant = granted(pay(&process, &signed, &call).await);
        let id = grant.paid().payment_id.clone();
        process.facilitator.finish(grant, answer(200)).await.unwrap();
        process.answer_sent(&id);
        sold.push((signed, call));
    }
    until("both windows begin", || {
        database.with(|rows| rows.payments().all(|payment| payment.first_answer_at_ms.is_some()))
    })
    .await;
    time.pass(REPLAY_MS);
    for (signed, call) in &sold {
        let within = pay(&process, signed, call).await;
        assert!(matches!(within, PayOutcome::Answered { .. }), "{within:?}");
    }
    let (with_word, call) = &sold[1];
    let thief = Sale { identifier: None, ..call.clone() };
    assert_eq!(conflict(&pay(&process, with_word, &thief).await), ErrorCode::ReplayWindowClosed);
    time.pass(1);
    let (without, plain) = &sold[0];
    assert_eq!(conflict(&pay(&process, without, plain).await), ErrorCode::ReplayWindowClosed);
    let owner = pay(&process, with_word, call).await;
    assert!(matches!(owner, PayOutcome::Answered { .. }), "{owner:?}");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_handler_is_final_whatever_its_status() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let (signed, call) = (signed(), sale(at(1), "call"));
    let grant = granted(pay(&process, &signed, &call).await);
    process.facilitator.finish(grant, answer(422)).await.unwrap();
    let again = pay(&process, &signed, &call).await;
    assert!(matches!(&again, PayOutcome::Answered { answer, .. } if answer.status == 422), "{again:?}");
    process.close().await;
}
