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
