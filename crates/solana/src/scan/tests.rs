use std::sync::Arc;

use quittance_protocol::Deadline;

use super::*;
use crate::testing::{
    AMOUNT, FakeRpc, chain, epoch, landed_answer, nowhere, official, payload, status, transaction,
    with_creation,
};
use crate::{HEIGHT_READ_INTERVAL_MS, STATUSES_PER_CALL};

struct Case {
    watch: SolanaWatch,
    raw: Vec<u8>,
}

fn case(chain: &SolanaChain, instructions: &[solana_sdk::instruction::Instruction]) -> Case {
    let payment = chain.check_local(&payload(&transaction(instructions))).unwrap();
    let signed = chain.co_sign(&payment, u64::MAX).unwrap();
    let watch = SolanaWatch {
        key: payment.key(),
        payment,
        transaction: Some(signed.transaction),
        named: None,
        deadline: Deadline::BlockHeight(500),
        from_slot: 780,
    };
    Case { watch, raw: signed.raw }
}

fn landed(case: &Case, err: Value) -> Value {
    landed_answer(&case.raw, err)
}

async fn fixture() -> (Arc<FakeRpc>, SolanaChain, Case) {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let case = case(&chain, &official());
    (node, chain, case)
}

#[tokio::test]
async fn i4_a_landing_is_settled_with_its_cost() {
    let (node, chain, case) = fixture().await;
    node.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    node.set("getTransaction", Ok(landed(&case, Value::Null)));
    let found = chain.scan(std::slice::from_ref(&case.watch), 0).await.unwrap();
    let expected = Landing {
        transaction: case.watch.id().to_owned(),
        block: 800,
        block_hash: String::new(),
        block_time: 1_778_430_000,
        cost_native: 10_001,
        paid_by_us: true,
        log_index: None,
    };
    assert_eq!(found, [(case.watch.key, Evidence::Settled(expected))]);
    assert_eq!(node.take_calls(), ["getSignatureStatuses", "getTransaction"]);
}

#[tokio::test]
async fn rent_is_part_of_the_cost_and_a_new_account_starts_at_nothing() {
    let (_, chain, _) = fixture().await;
    let case = case(&chain, &with_creation());
    let mut answer = landed(&case, Value::Null);
    answer["meta"]["postBalances"][0] = json!(500_000);
    answer["meta"]["preTokenBalances"] = json!([]);
    answer["meta"]["postTokenBalances"][0]["uiTokenAmount"]["amount"] = json!(AMOUNT.to_string());
    let Ok(Some(Evidence::Settled(landing))) = judge_landing(&chain.rules, &case.watch, &answer) else {
        panic!("not settled")
    };
    assert_eq!(landing.cost_native, 500_000);
}

#[tokio::test]
async fn a_failed_transaction_is_reverted_never_settled() {
    let (node, chain, case) = fixture().await;
    let error = json!({"InstructionError": [2, {"Custom": 1}]});
    node.set("getSignatureStatuses", Ok(status("finalized", error.clone())));
    node.set("getTransaction", Ok(landed(&case, error)));
    let found = chain.scan(std::slice::from_ref(&case.watch), 0).await.unwrap();
    assert!(matches!(&found[..], [(_, Evidence::Reverted(landing))] if landing.cost_native == 10_001));
}

/// Found by the simulator: a transaction that was executed and failed has a
/// status for ever, so it was never missing and its payment never ended.
#[tokio::test]
async fn i5_a_failed_transaction_expires_once_its_failure_is_final() {
    let (node, chain, case) = fixture().await;
    let error = json!({"InstructionError": [2, {"Custom": 1}]});
    node.set("getTransaction", Ok(landed(&case, error.clone())));
    node.set("getEpochInfo", Ok(epoch(501)));
    let mut now_ms = 0;
    for (level, err, expires) in
        [("confirmed", error.clone(), false), ("finalized", Value::Null, false), ("finalized", error, true)]
    {
        node.set("getSignatureStatuses", Ok(status(level, err)));
        let found = chain.scan(std::slice::from_ref(&case.watch), now_ms).await.unwrap_or_default();
        let expired = found.iter().any(|(_, evidence)| matches!(evidence, Evidence::Expired { .. }));
        assert_eq!(expired, expires, "{level}: {found:?}");
        now_ms += HEIGHT_READ_INTERVAL_MS;
    }
    node.set("getEpochInfo", Ok(epoch(500)));
    let found = chain.scan(std::slice::from_ref(&case.watch), now_ms).await.unwrap();
    assert!(matches!(&found[..], [(_, Evidence::Reverted(_))]), "not before its deadline: {found:?}");
}

#[tokio::test]
async fn i4_evidence_that_contradicts_the_payment_proves_nothing() {
    let (node, chain, case) = fixture().await;
    let other = self::case(&chain, &with_creation());
    let good = landed(&case, Value::Null);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut answer = good.clone();
        change(&mut answer);
        judge_landing(&chain.rules, &case.watch, &answer)
    };
    let mismatch = Err(SolanaError::EvidenceMismatch { transaction: case.watch.id().to_owned() });
    assert!(matches!(with(&|_| {}), Ok(Some(Evidence::Settled(_)))));
    assert_eq!(
        with(&|answer| answer["transaction"] = landed(&other, Value::Null)["transaction"].clone()),
        mismatch
    );
    assert_eq!(with(&|answer| answer["transaction"][0] = json!(STANDARD.encode(&case.raw[1..]))), mismatch);
    let mut resigned = case.raw.clone();
    resigned[5] ^= 1;
    assert_eq!(with(&|answer| answer["transaction"][0] = json!(STANDARD.encode(&resigned))), mismatch);
    let short = json!((7 + AMOUNT - 1).to_string());
    assert_eq!(
        with(&|answer| answer["meta"]["postTokenBalances"][0]["uiTokenAmount"]["amount"] = short.clone()),
        mismatch
    );
    assert_eq!(judge_landing(&chain.rules, &case.watch, &Value::Null), Ok(None));
    assert_eq!(with(&|answer| answer["meta"] = Value::Null), Ok(None));
    assert!(
        with(&|answer| {
            answer["meta"].as_object_mut().unwrap().remove("err");
        })
        .is_err()
    );

    // In a scan: no evidence, and no error for the others.
    node.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    node.set("getTransaction", Ok(landed(&other, Value::Null)));
    assert_eq!(chain.scan(std::slice::from_ref(&case.watch), 0).await, Ok(vec![]));
}

#[tokio::test]
async fn a_processed_transaction_is_neither_landed_nor_missing() {
    let (node, chain, case) = fixture().await;
    node.set("getSignatureStatuses", Ok(status("processed", Value::Null)));
    node.set("getEpochInfo", Ok(epoch(10_000)));
    assert_eq!(chain.scan(std::slice::from_ref(&case.watch), 0).await, Ok(vec![]));
    assert_eq!(node.take_calls(), ["getSignatureStatuses"]);
}

#[tokio::test]
async fn i5_expired_only_past_the_deadline_and_after_a_history_search() {
    let (node, chain, case) = fixture().await;
    let watched = std::slice::from_ref(&case.watch);
    node.set("getSignatureStatuses", Ok(nowhere()));
    node.set("getEpochInfo", Ok(epoch(500)));
    assert_eq!(chain.scan(watched, 0).await, Ok(vec![]), "the last valid height itself is not past");
    assert_eq!(node.take_calls(), ["getSignatureStatuses", "getEpochInfo"]);

    node.set("getEpochInfo", Ok(epoch(501)));
    let found = chain.scan(watched, HEIGHT_READ_INTERVAL_MS).await.unwrap();
    assert_eq!(found, [(case.watch.key, Evidence::Expired { block: 601, clock: 501 })]);
    assert_eq!(node.last_params("getSignatureStatuses")[1], json!({"searchTransactionHistory": true}));
    let cheap = ["getSignatureStatuses", "getEpochInfo"];
    let history = ["getSignaturesForAddress", "getSignatureStatuses", "isBlockhashValid"];
    assert_eq!(node.take_calls(), [&cheap[..], &history].concat());
}

#[tokio::test]
async fn i5_a_lagging_node_behind_the_same_url_proves_no_expiry() {
    let (node, chain, case) = fixture().await;
    node.set("getSignatureStatuses", Ok(json!({"context": {"slot": 600}, "value": [null]})));
    node.set("getEpochInfo", Ok(epoch(501)));
    assert_eq!(chain.scan(std::slice::from_ref(&case.watch), 0).await, Ok(vec![]));
}

#[tokio::test]
async fn the_height_is_read_once_per_interval() {
    let (node, chain, case) = fixture().await;
    node.set("getSignatureStatuses", Ok(nowhere()));
    node.set("getEpochInfo", Ok(epoch(5)));
    for now_ms in [0, 1, HEIGHT_READ_INTERVAL_MS - 1, HEIGHT_READ_INTERVAL_MS, HEIGHT_READ_INTERVAL_MS + 1] {
        chain.scan(std::slice::from_ref(&case.watch), now_ms).await.unwrap();
    }
    let reads = node.take_calls().into_iter().filter(|method| *method == "getEpochInfo").count();
    assert_eq!(reads, 2);
}

#[tokio::test]
async fn i7_two_endpoints_must_agree_on_expiry() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&first, &second]).await;
    let case = case(&chain, &official());
    let watched = std::slice::from_ref(&case.watch);
    first.set("getSignatureStatuses", Ok(nowhere()));
    first.set("getEpochInfo", Ok(epoch(501)));
    assert_eq!(chain.scan(watched, 0).await, Ok(vec![]), "the second is silent");
    second.set("getEpochInfo", Ok(epoch(501)));
    second.set("getSignatureStatuses", Ok(status("processed", Value::Null)));
    assert_eq!(chain.scan(watched, 10_000).await, Ok(vec![]), "the second has seen it");
    second.set("getSignatureStatuses", Ok(nowhere()));
    second.set("getEpochInfo", Ok(epoch(499)));
    assert_eq!(chain.scan(watched, 20_000).await, Ok(vec![]), "the second is not there yet");
    second.set("getEpochInfo", Ok(epoch(502)));
    let found = chain.scan(watched, 30_000).await.unwrap();
    assert_eq!(found, [(case.watch.key, Evidence::Expired { block: 601, clock: 501 })]);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_passed_over() {
    let (down, up) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&down, &up]).await;
    let case = case(&chain, &official());
    let watched = std::slice::from_ref(&case.watch);
    assert_eq!(chain.scan(watched, 0).await, Err(SolanaError::Rpc(RpcFailure::Timeout)));
    up.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    up.set("getTransaction", Ok(landed(&case, Value::Null)));
    assert_eq!(chain.scan(watched, 0).await.unwrap().len(), 1);
    // The first knows the status but keeps no transactions.
    down.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    assert_eq!(chain.scan(watched, 0).await.unwrap().len(), 1);
    down.set("getSignatureStatuses", Err(RpcFailure::Http { status: 502 }));
    // An answer for fewer signatures than were asked is no answer.
    up.set("getSignatureStatuses", Ok(json!({"context": {"slot": 1}, "value": []})));
    assert!(chain.scan(watched, 0).await.is_err());
    assert_eq!(chain.scan(&[], 0).await, Ok(vec![]));
}

/// A plan without `getTransaction`, or a node without a history: the status of our own
/// signature proves it, after a while, and what is booked is the message's own cost.
#[tokio::test]
async fn a_landing_whose_transaction_nobody_shows_is_proven_by_its_status() {
    let refusals = [Err(RpcFailure::Http { status: 403 }), Ok(Value::Null)];
    let cases = refusals.map(async |refusal| {
        let (node, chain, case) = fixture().await;
        node.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
        node.set("getTransaction", refusal);
        let watched = std::slice::from_ref(&case.watch);
        assert_eq!(chain.scan(watched, 0).await.unwrap(), [], "the transaction would say more");
        tokio::time::sleep(UNSHOWN_PATIENCE).await;
        let found = chain.scan(watched, 0).await.unwrap();
        assert!(matches!(&found[..], [(_, Evidence::Settled(landing))]
            if landing.block == 800 && landing.cost_native == 10_001 && landing.paid_by_us));
        // One that contradicts is not proven away.
        let other = crate::testing::with_creation();
        let other = self::case(&chain, &other);
        node.set("getTransaction", Ok(landed(&other, Value::Null)));
        assert_eq!(chain.scan(watched, 0).await.unwrap(), []);
    });
    futures::future::join_all(cases).await;
}

/// A blockhash that one endpoint does not know may be younger than its head.
#[tokio::test]
async fn a_blockhash_is_unknown_only_if_a_second_endpoint_says_so() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&first, &second]).await;
    let payment = case(&chain, &official()).watch.payment;
    let said = |error: Value| Ok(json!({"context": {"slot": 9}, "value": {"err": error, "logs": []}}));
    first.set("simulateTransaction", said(json!("BlockhashNotFound")));
    second.set("simulateTransaction", said(Value::Null));
    assert_eq!(chain.check_chain(&payment).await.unwrap().endpoint, 1);
    second.set("simulateTransaction", said(json!("BlockhashNotFound")));
    assert_eq!(chain.check_chain(&payment).await, Err(SolanaError::BlockhashNotFound));
}

#[tokio::test]
async fn many_payments_share_one_status_call() {
    let (node, chain, case) = fixture().await;
    let mut values = vec![Value::Null; STATUSES_PER_CALL];
    values[3] = status("confirmed", Value::Null)["value"][0].clone();
    node.set("getSignatureStatuses", Ok(json!({"context": {"slot": 900}, "value": values})));
    node.set("getTransaction", Ok(landed(&case, Value::Null)));
    let watched = vec![case.watch.clone(); STATUSES_PER_CALL];
    node.set("getEpochInfo", Ok(epoch(5)));
    assert_eq!(chain.scan(&watched, 0).await.unwrap().len(), 1);
    assert_eq!(node.take_calls(), ["getSignatureStatuses", "getTransaction", "getEpochInfo"]);
}

/// A lone endpoint that invents a landing cannot sell more than the limit.
#[tokio::test]
async fn i7_a_large_landing_needs_two_endpoints_a_small_one_does_not() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let mut chain = chain(&[&first, &second]).await;
    let case = case(&chain, &official());
    first.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    first.set("getTransaction", Ok(landed(&case, Value::Null)));
    second.set("getSignatureStatuses", Ok(nowhere()));
    let watched = std::slice::from_ref(&case.watch);
    chain.second_opinion_value = AMOUNT + 1;
    assert_eq!(chain.scan(watched, 0).await.unwrap().len(), 1);
    chain.second_opinion_value = AMOUNT;
    assert_eq!(chain.scan(watched, 0).await.unwrap(), []);
    second.set("getSignatureStatuses", Ok(status("confirmed", json!("failed"))));
    assert_eq!(chain.scan(watched, 0).await.unwrap(), []);
    second.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    assert_eq!(chain.scan(watched, 0).await.unwrap().len(), 1);
}

/// A claim that was never co-signed (no exchange rate, say) had nothing to be
/// found by and stayed open for ever.
#[tokio::test]
async fn i5_a_payment_that_was_never_signed_expires_by_its_deadline_alone() {
    let (node, chain, mut case) = fixture().await;
    case.watch.transaction = None;
    let watched = std::slice::from_ref(&case.watch);
    node.set("getEpochInfo", Ok(epoch(500)));
    assert_eq!(chain.scan(watched, 0).await, Ok(vec![]));
    node.set("getEpochInfo", Ok(epoch(501)));
    node.take_calls();
    let expired = Evidence::Expired { block: 601, clock: 501 };
    assert_eq!(chain.scan(watched, HEIGHT_READ_INTERVAL_MS).await, Ok(vec![(case.watch.key, expired)]));
    assert_eq!(node.take_calls(), ["getEpochInfo"], "nothing to search for");
}
