//! What ends a payment: cancelled and expired (I5), and the second opinion (I7).

use super::*;

#[tokio::test]
async fn i5_cancelled_counts_when_it_is_finalized() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let watched = [watch(&p, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![cancellation(5, &p)]);
    rpc.state().finalized = Some(10);
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
    rpc.mine(vec![]);
    rpc.state().finalized = Some(11);
    let found = scan(&chain, &watched, &mut cursor).await;
    assert!(matches!(found.as_slice(), [Evidence::Canceled(l)] if l.transaction == hash(5) && !l.paid_by_us));
}

#[tokio::test]
async fn a_cancellation_that_vanishes_is_none() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let watched = [watch(&p, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![cancellation(5, &p)]);
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
    rpc.reorganise(1, vec![vec![settlement(6, wallet(), &[&p])]]);
    rpc.state().finalized = Some(12);
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(6), 12, true)]);
}

#[tokio::test]
async fn the_same_nonce_used_for_something_else_ends_the_payment() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let elsewhere = EvmPayment { to: STRANGER, ..p.clone() };
    let watched = [watch(&p, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![settlement(5, STRANGER, &[&elsewhere])]);
    rpc.state().finalized = Some(11);
    let found = scan(&chain, &watched, &mut cursor).await;
    assert!(matches!(found.as_slice(), [Evidence::Canceled(_)]), "{found:?}");
}

/// `validBefore` is exclusive: a finalized block of that very time proves the end, one before does not.
#[tokio::test]
async fn i5_expired_needs_a_finalized_block_at_the_deadline() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, GENESIS + 2 * 12);
    let watched = [attempted(&p, 10, 5)];
    let mut cursor = ScanCursor::default();
    for finalized in [None, Some(9), Some(10), Some(11)] {
        rpc.state().finalized = finalized;
        assert!(scan(&chain, &watched, &mut cursor).await.is_empty(), "{finalized:?}");
        rpc.mine(vec![]);
    }
    rpc.state().finalized = Some(12);
    let found = scan(&chain, &watched, &mut cursor).await;
    assert_eq!(found, [Evidence::Expired { block: 12, clock: GENESIS + 24 }]);
}

#[tokio::test]
async fn no_finality_is_asked_for_before_a_deadline_has_passed() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ScanCursor::default();
    scan(&chain, &[watch(&payment(1, 1, FAR), 10)], &mut cursor).await;
    let calls = rpc.take_calls();
    assert_eq!(calls.iter().filter(|c| *c == "eth_getBlockByNumber").count(), 1, "{calls:?}");
}

/// The landing's log was never seen, but the nonce is used: that is no expiry.
#[tokio::test]
async fn a_used_nonce_never_expires() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, GENESIS + 24);
    let watched = [watch(&p, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    rpc.state().hide_logs = true;
    rpc.mine(vec![]);
    rpc.state().finalized = Some(12);
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
    rpc.state().hide_logs = false;
    // The used state alone makes it search again, without waiting for the periodic search.
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(5), 11, false)]);
}

/// A node that denied it let it be claimed; what used it lies deeper than any reorganisation.
#[tokio::test]
async fn i4_an_authorization_used_long_before_its_claim_ends_as_earlier() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, GENESIS + 24);
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    for _ in 0..700 {
        rpc.mine(vec![]);
    }
    rpc.state().finalized = Some(711);
    let watched = [watch(&p, 711)];
    let mut cursor = ScanCursor::default();
    let mut found = Vec::new();
    // One look for each depth, and one more for the block to be final.
    for _ in 0..6 {
        found.extend(scan(&chain, &watched, &mut cursor).await);
        rpc.mine(vec![]);
    }
    assert!(
        matches!(found.first(), Some(Evidence::Earlier(landing)) if landing.transaction == hash(5) && landing.block == 11),
        "{found:?}"
    );
}

async fn two_endpoints(second: Arc<FakeRpc>) -> Vec<Evidence> {
    let first = FakeRpc::new(20);
    first.state().finalized = Some(20);
    let chain = connect(&[&first, &second], |_| {}).await;
    let p = payment(1, 1, GENESIS + 24);
    scan(&chain, &[watch(&p, 10)], &mut ScanCursor::default()).await
}

#[tokio::test]
async fn i7_expired_needs_two_endpoints_that_agree() {
    let agreeing = FakeRpc::new(20);
    agreeing.state().finalized = Some(20);
    assert!(matches!(two_endpoints(agreeing).await.as_slice(), [Evidence::Expired { .. }]));

    let behind = FakeRpc::new(20);
    behind.state().finalized = Some(11);
    assert!(two_endpoints(behind).await.is_empty());

    let knows_better = FakeRpc::new(12);
    knows_better.mine(vec![settlement(5, STRANGER, &[&payment(1, 1, GENESIS + 24)])]);
    knows_better.state().finalized = Some(13);
    assert!(two_endpoints(knows_better).await.is_empty());
}

/// What the second shows in the block of a cancellation, up to which block it is final there, and
/// whether that agrees.
#[tokio::test]
async fn i7_a_cancellation_needs_two_endpoints_that_agree() {
    let p = payment(1, 1, FAR);
    let cancelled = || cancellation(5, &p);
    let rows = [
        (cancelled(), 11, true),
        (cancelled(), 12, true),
        (cancelled(), 10, false),
        (settlement(5, STRANGER, &[&p]), 12, false),
    ];
    for (shown, finalized, agrees) in rows {
        let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
        let chain = connect(&[&first, &second], |_| {}).await;
        first.mine(vec![cancelled()]);
        second.mine(vec![shown]);
        for (rpc, finalized) in [(&first, 12), (&second, finalized)] {
            rpc.mine(vec![]);
            rpc.state().finalized = Some(finalized);
        }
        let found = scan(&chain, &[watch(&p, 10)], &mut ScanCursor::default()).await;
        let ended = found.iter().any(|e| matches!(e, Evidence::Canceled(l) if l.transaction == hash(5)));
        assert_eq!(ended, agrees, "final at {finalized}: {found:?}");
    }
}

#[tokio::test]
async fn a_silent_second_endpoint_agrees_to_nothing() {
    let (first, second) = (FakeRpc::new(20), FakeRpc::new(20));
    first.state().finalized = Some(20);
    let chain = connect(&[&first, &second], |_| {}).await;
    second.state().fail = Some(RpcError::Timeout);
    let p = payment(1, 1, GENESIS + 24);
    assert!(scan(&chain, &[watch(&p, 10)], &mut ScanCursor::default()).await.is_empty());
}

/// Behind a balancer one node names the finalized block and another, which has not come so far, its
/// head: unused at a block below the finalized one proves nothing about what landed between them.
#[tokio::test]
async fn i5_a_finalized_block_newer_than_the_head_proves_no_expiry() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, GENESIS + 2 * 12);
    let watched = [watch(&p, 10)];
    for _ in 0..2 {
        rpc.mine(vec![]);
    }
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    rpc.state().finalized = Some(13);
    for shown in [vec![12], vec![12, 12], vec![12, 11], vec![12, 0]] {
        let head_before = shown.first().copied();
        rpc.state().heads = shown.clone().into();
        rpc.state().head_shown = head_before;
        let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
        assert!(found.is_empty(), "{shown:?}: {found:?}");
    }
    // The head comes after the finalized block between the two questions: then it is seen as used.
    rpc.state().heads = vec![12, 13].into();
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    assert!(found.is_empty(), "{found:?}");
    rpc.state().head_shown = None;
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    assert_eq!(settled(&found), [(hash(5), 13, false)]);
}

/// One that never landed ends all the same, as soon as one head is not below the finalized block.
#[tokio::test]
async fn a_head_that_moves_backwards_between_two_calls_only_delays_an_expiry() {
    let rpc = FakeRpc::new(13);
    let chain = connect(&[&rpc], |_| {}).await;
    let watched = [watch(&payment(1, 1, GENESIS + 2 * 12), 10)];
    rpc.state().finalized = Some(13);
    for heads in [vec![12, 9], vec![12, 12]] {
        rpc.state().heads = heads.into();
        assert!(scan(&chain, &watched, &mut ScanCursor::default()).await.is_empty());
        assert!(rpc.state().heads.is_empty(), "both were asked for");
    }
    rpc.state().heads = vec![12, 13].into();
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    assert_eq!(found, [Evidence::Expired { block: 13, clock: GENESIS + 26 }]);
}

/// The head goes back below what was searched, and comes again: nothing is lost, nothing is told twice
/// in another way, and what lands meanwhile is found.
#[tokio::test]
async fn a_head_that_goes_back_hides_no_landing() {
    let rpc = FakeRpc::new(14);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let watched = [attempted(&p, 10, 5)];
    let mut cursor = ScanCursor::default();
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    for behind in [14, 3, 13] {
        rpc.state().head_shown = Some(behind);
        assert!(scan(&chain, &watched, &mut cursor).await.is_empty(), "{behind}");
        assert_eq!(cursor.block(), Some(14), "{behind}");
    }
    rpc.state().head_shown = None;
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(5), 15, true)]);
}

/// The second endpoint's word counts only where its own head is not below its finalized block.
#[tokio::test]
async fn i7_a_second_endpoint_whose_head_lies_below_its_finalized_block_agrees_to_nothing() {
    let second = FakeRpc::new(20);
    second.state().finalized = Some(20);
    second.state().head_shown = Some(12);
    assert!(two_endpoints(Arc::clone(&second)).await.is_empty());
    second.state().head_shown = None;
    assert!(matches!(two_endpoints(second).await.as_slice(), [Evidence::Expired { .. }]));
}

#[tokio::test]
async fn i7_a_large_landing_needs_two_endpoints_a_small_one_does_not() {
    let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
    let p = payment(1, 1, FAR);
    first.mine(vec![settlement(5, wallet(), &[&p])]);
    // Fakes settle 100 atomic units each.
    for (limit, expected) in [(101, 1), (100, 0)] {
        let chain = connect(&[&first, &second], |c| c.second_opinion_value = limit).await;
        let mut cursor = ScanCursor::default();
        assert_eq!(scan(&chain, &[watch(&p, 10)], &mut cursor).await.len(), expected, "{limit}");
    }
    // A lone endpoint invents a landing; another that is behind makes it wait, not vanish.
    let chain = connect(&[&first, &second], |c| c.second_opinion_value = 100).await;
    let mut cursor = ScanCursor::default();
    assert!(scan(&chain, &[watch(&p, 10)], &mut cursor).await.is_empty());
    assert!(scan(&chain, &[watch(&p, 10)], &mut cursor).await.is_empty());
    second.mine(vec![settlement(5, wallet(), &[&p])]);
    assert_eq!(settled(&scan(&chain, &[watch(&p, 10)], &mut cursor).await), [(hash(5), 11, true)]);
}

/// One of ours that failed may be landed by somebody else: the look that finds the one finds the other.
#[tokio::test]
async fn a_strangers_landing_is_found_beside_our_own_failure() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    rpc.mine(vec![reverted(5, wallet()), settlement(6, STRANGER, &[&p])]);
    let found = scan(&chain, &[attempted(&p, 10, 5)], &mut ScanCursor::default()).await;
    assert!(
        found.iter().any(|e| matches!(e, Evidence::Reverted(l) if l.transaction == hash(5))),
        "{found:?}"
    );
    assert!(found.iter().any(|e| matches!(e, Evidence::Settled(l) if l.transaction == hash(6))), "{found:?}");
}

/// I4: what a look took for burned may be paid after all (its logs were not all there, or it landed
/// again): then it is no earlier use, and the next look finds that it settled.
#[tokio::test]
async fn what_is_paid_after_its_claim_never_ends_as_earlier() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let watched = [watch(&p, 10)];
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    let [Evidence::Settled(landing)] = found.as_slice() else { panic!("{found:?}") };
    rpc.state().finalized = Some(11);
    let mut cursor = ScanCursor::default();
    cursor.burned.insert(p.key(), landing.clone());
    let mut found = Vec::new();
    for _ in 0..8 {
        rpc.mine(vec![]);
        found.extend(scan(&chain, &watched, &mut cursor).await);
    }
    assert!(found.iter().all(|e| matches!(e, Evidence::Settled(at) if at == landing)), "{found:?}");
    assert!(!found.is_empty() && cursor.burned.is_empty());
}
