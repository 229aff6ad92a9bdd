//! Nodes that limit, refuse or cannot show what is asked for.

use super::*;

/// An endpoint that allows ten blocks at once, after a quiet day: no look asks more than its share,
/// the newest block is seen at once, and the old landing is found in the end.
#[tokio::test]
async fn a_long_gap_at_a_narrow_endpoint_is_searched_in_bounded_looks() {
    let rpc = FakeRpc::new(10);
    let (old, fresh) = (payment(1, 1, FAR), payment(2, 2, FAR));
    for _ in 0..2_000 {
        rpc.mine(vec![]);
    }
    rpc.mine(vec![settlement(5, STRANGER, &[&old])]);
    for _ in 0..2_000 {
        rpc.mine(vec![]);
    }
    rpc.state().log_blocks_max = Some(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ScanCursor::default();
    scan(&chain, &[watch(&fresh, 4_011)], &mut cursor).await;
    rpc.mine(vec![settlement(6, STRANGER, &[&fresh])]);
    let watched = [watch(&old, 10), watch(&fresh, 4_011)];
    let mut found = Vec::new();
    for looks in 0.. {
        rpc.take_calls();
        let seen = settled(&scan(&chain, &watched, &mut cursor).await);
        let logs = rpc.take_calls().iter().filter(|c| *c == "eth_getLogs").count();
        assert!(logs <= crate::config::LOG_CALLS_MAX + 6, "{logs} calls in one look");
        assert_eq!(looks == 0, seen.contains(&(hash(6), 4_012, false)), "the newest in the first look");
        found.extend(seen);
        if found.len() == 2 {
            break;
        }
        assert!(looks < 10, "the old landing is never found");
    }
    assert!(found.contains(&(hash(5), 2_011, false)));
}

/// One that allows a block or two, met with a gap that was planned as one request: it was asked
/// thousands of times for it, one after the other, and what had landed of ours waited for the end.
#[tokio::test]
async fn a_look_at_an_endpoint_that_allows_a_block_or_two_is_bounded_while_it_learns() {
    for allowed in [1, 2] {
        let rpc = FakeRpc::new(10);
        let (ours, theirs) = (payment(1, 1, FAR), payment(2, 2, FAR));
        for _ in 0..1_500 {
            rpc.mine(vec![]);
        }
        rpc.mine(vec![settlement(5, wallet(), &[&ours]), settlement(6, STRANGER, &[&theirs])]);
        let landed = 1_511;
        for _ in 0..1_500 {
            rpc.mine(vec![]);
        }
        rpc.state().log_blocks_max = Some(allowed);
        let chain = connect(&[&rpc], |_| {}).await;
        let mut cursor = ScanCursor::default();
        let watched = [attempted(&ours, 1_500, 5), watch(&theirs, 1_500)];
        let (mut looks, mut found) = (0, Vec::new());
        while found.len() < 2 {
            rpc.take_calls();
            found.extend(settled(&scan(&chain, &watched, &mut cursor).await));
            looks += 1;
            assert!(found.contains(&(hash(5), landed, true)), "our own in the first look");
            found.sort();
            found.dedup();
            let logs = rpc.take_calls().iter().filter(|call| *call == "eth_getLogs").count();
            assert!(logs <= crate::config::LOG_CALLS_MAX + 6, "{logs} calls in look {looks}");
            assert!(looks < 100, "a stranger's landing is never found");
        }
        assert!(found.contains(&(hash(6), landed, false)), "{found:?}");
    }
}

/// One receipt that the node cannot show holds up its own payment and no other.
#[tokio::test]
async fn one_receipt_that_a_node_cannot_show_fails_no_other_payment() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let (shown, hidden) = (payment(1, 1, FAR), payment(2, 2, FAR));
    let mut cursor = ScanCursor::default();
    scan(&chain, &[], &mut cursor).await;
    rpc.mine(vec![settlement(5, wallet(), &[&hidden]), settlement(6, wallet(), &[&shown])]);
    let watched = [attempted(&hidden, 10, 5), attempted(&shown, 10, 6)];
    rpc.state().refused_receipt = Some(B256::repeat_byte(5));
    let found = scan(&chain, &watched, &mut cursor).await;
    assert_eq!(settled(&found), [(hash(6), 11, true)]);
    // What is not known yet is said, and asked again.
    assert!(chain.scan(&watched[..1], &mut cursor).await.unwrap_err().retry());
    rpc.state().refused_receipt = None;
    assert_eq!(settled(&scan(&chain, &watched[..1], &mut cursor).await), [(hash(5), 11, true)]);
}

/// A method that one endpoint refuses is asked of the next one, and only what it left open.
#[tokio::test]
async fn a_method_that_one_endpoint_refuses_moves_to_the_next() {
    let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
    let chain = connect(&[&first, &second], |_| {}).await;
    let (ours, theirs) = (payment(1, 1, FAR), payment(2, 2, FAR));
    for rpc in [&first, &second] {
        rpc.mine(vec![settlement(5, wallet(), &[&ours]), settlement(6, STRANGER, &[&theirs])]);
    }
    first.state().refused_method = Some("eth_getLogs");
    let watched = [attempted(&ours, 10, 5), watch(&theirs, 10)];
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    assert_eq!(settled(&found), [(hash(5), 11, true), (hash(6), 11, false)]);
    let asked = second.take_calls();
    assert_eq!(asked.iter().filter(|c| *c == "eth_getTransactionReceipt").count(), 1, "{asked:?}");

    first.state().refused_method = Some("eth_getTransactionReceipt");
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    assert_eq!(settled(&found).len(), 2);
}

/// A provider whose plan has no receipts, alone: the logs of the block prove the landing.
#[tokio::test]
async fn without_receipts_logs_prove_a_landing_and_what_is_booked_is_its_bound() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let (ours, theirs, unpaid) = (payment(1, 1, FAR), payment(2, 2, FAR), payment(3, 3, FAR));
    let mut other = settlement(7, STRANGER, &[&unpaid]);
    other.logs.truncate(1);
    rpc.mine(vec![settlement(5, wallet(), &[&ours]), settlement(6, STRANGER, &[&theirs]), other]);
    rpc.state().refused_method = Some("eth_getTransactionReceipt");
    let watched = [attempted(&ours, 10, 5), watch(&theirs, 10), watch(&unpaid, 10)];
    let mut cursor = ScanCursor::default();
    assert!(chain.scan(&watched, &mut cursor).await.is_err(), "first it may be one receipt");
    let found = scan(&chain, &watched, &mut cursor).await;
    assert_eq!(settled(&found), [(hash(5), 11, true), (hash(6), 11, false)]);
    let Evidence::Settled(landing) = &found[0] else { panic!("{found:?}") };
    assert_eq!(landing.cost_native, 100 * 7, "gas limit at the price that was paid");
    // Receipts that come back are read again.
    rpc.state().refused_method = None;
    rpc.mine(vec![settlement(8, wallet(), &[&payment(4, 4, FAR)])]);
    let late = [attempted(&payment(4, 4, FAR), 11, 8)];
    let mut costs = Vec::new();
    for _ in 0..20 {
        for evidence in scan(&chain, &late, &mut ScanCursor::default()).await {
            if let Evidence::Settled(landing) = evidence {
                costs.push(landing.cost_native);
            }
        }
    }
    assert!(costs.last().is_some_and(|cost| *cost != 700), "{costs:?}");
}

/// The same where the node answers `null` instead of refusing.
#[tokio::test]
async fn a_node_that_answers_null_for_receipts_hides_no_landing() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let paid = payment(1, 1, FAR);
    rpc.mine(vec![settlement(5, wallet(), &[&paid])]);
    rpc.state().hide_receipts = true;
    let mut cursor = ScanCursor::default();
    let mut found = Vec::new();
    for _ in 0..5 {
        if let Ok(evidence) = chain.scan(&[attempted(&paid, 10, 5)], &mut cursor).await {
            found.extend(evidence.into_iter().map(|(_, evidence)| evidence));
        }
    }
    assert_eq!(settled(&found).first(), Some(&(hash(5), 11, true)));
}

/// No logs at all, alone: the receipt of our own transaction is enough.
#[tokio::test]
async fn without_logs_the_receipt_of_our_own_transaction_proves_it() {
    for refusal in [RpcError::Http(403), RpcError::JsonRpc { code: -32602, message: "no".into(), data: None }]
    {
        let rpc = FakeRpc::new(10);
        let chain = connect(&[&rpc], |_| {}).await;
        let paid = payment(1, 1, FAR);
        rpc.mine(vec![settlement(5, wallet(), &[&paid])]);
        rpc.state().refused = vec![("eth_getLogs", refusal)];
        let found = scan(&chain, &[attempted(&paid, 10, 5)], &mut ScanCursor::default()).await;
        assert_eq!(settled(&found), [(hash(5), 11, true)]);
    }
}

/// One endpoint refuses a method in any words; the next one is asked. A refusal of the head itself
/// moves the whole look.
#[tokio::test]
async fn refusals_in_any_words_move_to_the_next_endpoint() {
    let words = |code, message: &str| RpcError::JsonRpc { code, message: message.into(), data: None };
    for method in
        ["eth_getLogs", "eth_getTransactionReceipt", "eth_getBlockByNumber", "eth_getTransactionCount"]
    {
        for refusal in [
            RpcError::Http(403),
            RpcError::Http(429),
            RpcError::Timeout,
            RpcError::BadAnswer("JSON"),
            words(-32602, "invalid params"),
            words(-32600, "not in your plan"),
            words(-32005, "limit exceeded"),
            words(-32601, "the method does not exist"),
            words(-32000, "try again"),
        ] {
            let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
            let chain = connect(&[&first, &second], |_| {}).await;
            let (ours, theirs) = (payment(1, 1, FAR), payment(2, 2, FAR));
            for rpc in [&first, &second] {
                rpc.mine(vec![settlement(5, wallet(), &[&ours]), settlement(6, STRANGER, &[&theirs])]);
            }
            first.state().refused = vec![(method, refusal.clone())];
            let watched = [attempted(&ours, 10, 5), watch(&theirs, 10)];
            let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
            assert_eq!(settled(&found).len(), 2, "{method}: {refusal:?}");
        }
    }
}

/// Of three endpoints the second has not come so far: the third is asked for its opinion.
#[tokio::test]
async fn an_expiry_needs_any_two_endpoints_and_not_the_first_two() {
    let rpcs = [FakeRpc::new(100), FakeRpc::new(100), FakeRpc::new(100)];
    let chain = connect(&[&rpcs[0], &rpcs[1], &rpcs[2]], |_| {}).await;
    let late = payment(1, 1, GENESIS + 100);
    rpcs[0].state().finalized = Some(90);
    rpcs[1].state().finalized = Some(10);
    let watched = [watch(&late, 10)];
    let mut cursor = ScanCursor::default();
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty(), "one alone");
    rpcs[2].state().finalized = Some(90);
    for rpc in &rpcs {
        rpc.mine(vec![]);
    }
    let found = scan(&chain, &watched, &mut cursor).await;
    assert!(matches!(found.as_slice(), [Evidence::Expired { .. }]), "{found:?}");
}

/// Where nobody shows receipts a cancellation ends its own payment, and keeps no other from its end.
#[tokio::test]
async fn i5_a_cancellation_is_proven_by_the_logs_of_its_block_where_receipts_are_refused() {
    for refused in [true, false] {
        let rpc = FakeRpc::new(10);
        let chain = connect(&[&rpc], |_| {}).await;
        let (taken_back, late) = (payment(1, 1, FAR), payment(2, 2, GENESIS + 22));
        let watched = [watch(&taken_back, 10), watch(&late, 10)];
        match refused {
            true => rpc.state().refused_method = Some("eth_getTransactionReceipt"),
            false => rpc.state().hide_receipts = true,
        }
        let mut cursor = ScanCursor::default();
        scan(&chain, &watched, &mut cursor).await;
        rpc.mine(vec![cancellation(5, &taken_back)]);
        let mut found = Vec::new();
        // Without a receipt it is waited for, for a moment.
        for _ in 0..8 {
            rpc.mine(vec![]);
            rpc.state().finalized = Some(12);
            found.extend(scan(&chain, &watched, &mut cursor).await);
        }
        assert!(
            found.iter().any(|e| matches!(e, Evidence::Canceled(l) if l.transaction == hash(5))),
            "refused: {refused}, {found:?}"
        );
        assert!(found.iter().any(|e| matches!(e, Evidence::Expired { .. })), "{found:?}");
    }
}

/// The same logs are the word of a second endpoint.
#[tokio::test]
async fn i7_a_second_opinion_needs_no_receipt() {
    let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
    let chain = connect(&[&first, &second], |config| config.second_opinion_value = 100).await;
    let p = payment(1, 1, FAR);
    let watched = [watch(&p, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    second.state().refused_method = Some("eth_getTransactionReceipt");
    for rpc in [&first, &second] {
        rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    }
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(5), 11, true)]);
}

/// An endpoint that fell behind what was searched says nothing: the next one is asked in the same look.
#[tokio::test]
async fn who_fell_behind_hides_no_landing_from_the_next() {
    for confirmations in [0, 2] {
        let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
        let chain = connect(&[&first, &second], |config| config.confirmations = confirmations).await;
        let p = payment(1, 1, FAR);
        let watched = [attempted(&p, 10, 5)];
        let mut cursor = ScanCursor::default();
        let mine = |blocks: u64, transactions: &dyn Fn() -> Vec<_>| {
            for rpc in [&first, &second] {
                (0..blocks).for_each(|_| rpc.mine(transactions()));
            }
        };
        mine(2, &Vec::new);
        assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
        assert_eq!(cursor.block(), Some(12 - confirmations));
        mine(1, &|| vec![settlement(5, wallet(), &[&p])]);
        mine(confirmations, &Vec::new);
        first.state().head_shown = Some(11);
        let found = scan(&chain, &watched, &mut cursor).await;
        assert_eq!(settled(&found), [(hash(5), 13, true)], "confirmations: {confirmations}");
    }
}
