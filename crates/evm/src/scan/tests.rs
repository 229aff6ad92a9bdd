use std::sync::Arc;

use super::*;
use crate::config::RESEARCH_AFTER_SECONDS;
use crate::fake::{FakeRpc, GENESIS, cancellation, connect, payment, reverted, settlement, wallet};
use crate::payment::EvmPayment;

mod endings;
mod moved;
mod unkind;
mod waiting;

const FAR: u64 = GENESIS + 1_000_000;
const STRANGER: Address = Address::repeat_byte(0x99);

fn watch(payment: &EvmPayment, from_block: u64) -> EvmWatch {
    EvmWatch {
        payment: payment.clone(),
        attempts: vec![],
        named: None,
        attempt_nonce: None,
        attempt_wallet: None,
        from_block,
    }
}

/// A watch with our transaction `id` on wallet nonce 0.
fn attempted(payment: &EvmPayment, from_block: u64, id: u8) -> EvmWatch {
    let attempts = vec![format!("{:#x}", B256::repeat_byte(id))];
    EvmWatch { attempts, attempt_nonce: Some(0), ..watch(payment, from_block) }
}

async fn scan(chain: &EvmChain, watched: &[EvmWatch], cursor: &mut ScanCursor) -> Vec<Evidence> {
    chain.scan(watched, cursor).await.unwrap().into_iter().map(|(_, evidence)| evidence).collect()
}

fn settled(evidence: &[Evidence]) -> Vec<(String, u64, bool)> {
    evidence
        .iter()
        .map(|e| match e {
            Evidence::Settled(l) => (l.transaction.clone(), l.block, l.paid_by_us),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn hash(id: u8) -> String {
    format!("{:#x}", B256::repeat_byte(id))
}

#[tokio::test]
async fn an_unchanged_chain_costs_one_call() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let watched = [watch(&payment(1, 1, FAR), 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.take_calls();
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
    assert_eq!(rpc.take_calls(), ["eth_getBlockByNumber"]);
}

/// Our own transactions are found by their hashes, however the logs fare; nothing is searched for them.
#[tokio::test]
async fn a_block_of_sixteen_costs_one_call_for_their_receipts_and_no_log_query() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let payments: Vec<EvmPayment> = (1..=16).map(|n| payment(n, n, FAR)).collect();
    let watched: Vec<EvmWatch> = payments.iter().zip(0..).map(|(p, id)| attempted(p, 10, id)).collect();
    let mut cursor = ScanCursor::default();
    scan(&chain, &[], &mut cursor).await;
    rpc.take_calls();
    rpc.mine(payments.iter().enumerate().map(|(i, p)| settlement(i as u8, wallet(), &[p])).collect());
    rpc.state().hide_logs = true;
    let found = scan(&chain, &watched, &mut cursor).await;
    assert_eq!(settled(&found).len(), 16);
    let calls = rpc.take_calls();
    let count = |method: &str| calls.iter().filter(|c| *c == method).count();
    assert_eq!(count("eth_getLogs"), 0);
    assert_eq!(calls, ["eth_getBlockByNumber", "eth_getTransactionCount", "eth_getBlockReceipts"]);
    assert_eq!(count("eth_getTransactionReceipt"), 0);
}

/// A provider that shows no whole blocks, or not this one, is asked for all of them at once by their hashes.
#[tokio::test]
async fn receipts_of_several_transactions_are_one_request() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let payments: Vec<EvmPayment> = (1..=5).map(|n| payment(n, n, FAR)).collect();
    let watched: Vec<EvmWatch> = payments.iter().zip(0..).map(|(p, id)| attempted(p, 10, id)).collect();
    let mut cursor = ScanCursor::default();
    scan(&chain, &[], &mut cursor).await;
    rpc.take_calls();
    rpc.mine(payments.iter().enumerate().map(|(i, p)| settlement(i as u8, wallet(), &[p])).collect());
    // One that fails fails alone.
    rpc.state().refused_receipt = Some(B256::repeat_byte(3));
    let found = chain.scan(&watched, &mut cursor).await.unwrap();
    assert_eq!(found.len(), 4);
    let calls = rpc.take_calls();
    assert!(calls.contains(&"eth_getTransactionReceipt × 5".to_owned()), "{calls:?}");
    let alone = calls.iter().filter(|call| *call == "eth_getTransactionReceipt").count();
    assert_eq!(alone, 1, "the one that failed, by its logs: {calls:?}");
    rpc.state().refused_receipt = None;
    rpc.mine(vec![]);
    rpc.mine(vec![]);
    let rest: Vec<EvmWatch> =
        watched.into_iter().filter(|w| found.iter().all(|(key, _)| *key != w.payment.key())).collect();
    assert_eq!(settled(&scan(&chain, &rest, &mut cursor).await).len(), 1);
}

/// Nobody answers, or wants to be left alone: that is so of each of them, and none is asked once more.
#[tokio::test]
async fn a_node_that_is_away_is_not_asked_for_each_receipt() {
    for words in [RpcError::Timeout, RpcError::Limited("slow down".into())] {
        let rpc = FakeRpc::new(10);
        let chain = connect(&[&rpc], |_| {}).await;
        let payments: Vec<EvmPayment> = (1..=5).map(|n| payment(n, n, FAR)).collect();
        let watched: Vec<EvmWatch> = payments.iter().zip(0..).map(|(p, id)| attempted(p, 10, id)).collect();
        let mut cursor = ScanCursor::default();
        scan(&chain, &[], &mut cursor).await;
        rpc.mine(payments.iter().enumerate().map(|(i, p)| settlement(i as u8, wallet(), &[p])).collect());
        rpc.state().refuses_many = Some(words);
        rpc.state().hide_logs = true;
        rpc.take_calls();
        let _ = chain.scan(&watched, &mut cursor).await;
        let calls = rpc.take_calls();
        let receipts: Vec<_> = calls.iter().filter(|call| call.starts_with("eth_getTransactionR")).collect();
        assert_eq!(receipts, ["eth_getTransactionReceipt, refused"], "{calls:?}");
        rpc.state().refuses_many = None;
        rpc.mine(vec![]);
        rpc.mine(vec![]);
        assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await).len(), 5, "it is asked again");
    }
}

/// Where a provider does not show whole blocks, or hides a transaction in one, and takes no several
/// requests at once, each is asked for by its hash.
#[tokio::test]
async fn without_receipts_of_whole_blocks_each_is_asked_for() {
    for words in [
        RpcError::JsonRpc { code: -32601, message: "the method does not exist".into(), data: None },
        RpcError::Http(403),
        RpcError::Timeout,
    ] {
        let rpc = FakeRpc::new(10);
        let chain = connect(&[&rpc], |_| {}).await;
        let mut cursor = ScanCursor::default();
        scan(&chain, &[], &mut cursor).await;
        rpc.state().refused = vec![("eth_getBlockReceipts", words)];
        let message = "batch requests are not supported".into();
        rpc.state().refuses_many = Some(RpcError::JsonRpc { code: -32600, message, data: None });
        for round in 0..3_u8 {
            let of = |n: u8| payment(round * 32 + n, round * 32 + n, FAR);
            let payments: Vec<EvmPayment> = (1..=16).map(of).collect();
            let watched: Vec<EvmWatch> =
                payments.iter().zip(round * 32..).map(|(p, id)| attempted(p, 10, id)).collect();
            rpc.take_calls();
            rpc.mine(
                payments.iter().zip(round * 32..).map(|(p, id)| settlement(id, wallet(), &[p])).collect(),
            );
            assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await).len(), 16);
            let calls = rpc.take_calls();
            let count = |method: &str| calls.iter().filter(|c| *c == method).count();
            assert_eq!(count("eth_getTransactionReceipt"), 16);
            assert_eq!(
                count("eth_getBlockReceipts"),
                usize::from(round == 0),
                "asked once, not at each look"
            );
            assert_eq!(count("eth_getTransactionReceipt, refused"), usize::from(round == 0));
        }
        let reports = chain.look_at_endpoints(0).await;
        let failing = reports[0].methods.iter().find(|method| method.failed > 0);
        assert_eq!(failing, None, "nobody is woken for it");
    }
}

#[tokio::test]
async fn a_block_of_sixteen_by_others_costs_one_log_query_and_their_receipts() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let payments: Vec<EvmPayment> = (1..=16).map(|n| payment(n, n, FAR)).collect();
    let watched: Vec<EvmWatch> = payments.iter().map(|p| watch(p, 10)).collect();
    let mut cursor = ScanCursor::default();
    scan(&chain, &[], &mut cursor).await;
    rpc.take_calls();
    rpc.mine(payments.iter().enumerate().map(|(i, p)| settlement(i as u8, STRANGER, &[p])).collect());
    let found = scan(&chain, &watched, &mut cursor).await;
    assert_eq!(settled(&found).len(), 16);
    let calls = rpc.take_calls();
    let count = |method: &str| calls.iter().filter(|c| *c == method).count();
    assert_eq!(count("eth_getLogs"), 1);
    assert_eq!(count("eth_getTransactionReceipt × 16"), 1);
    assert_eq!(calls.len(), 3);
}

#[tokio::test]
async fn the_landing_says_where_and_what_it_cost() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let mut cursor = ScanCursor::default();
    scan(&chain, &[watch(&p, 10)], &mut cursor).await;
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    let found = scan(&chain, &[watch(&p, 10)], &mut cursor).await;
    let [Evidence::Settled(landing)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(landing.transaction, hash(5));
    assert_eq!(landing.block, 11);
    assert_eq!(landing.block_time, GENESIS + 22);
    assert_eq!(landing.cost_native, 85_760 * 1_000_000 + 500);
    assert!(!landing.paid_by_us, "a third party submitted it");
    assert!(landing.block_hash.starts_with("0x") && landing.block_hash.len() == 66);
}

#[tokio::test]
async fn a_batch_settles_each_of_its_payments() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let (a, b, missing) = (payment(1, 1, FAR), payment(1, 2, FAR), payment(1, 3, FAR));
    let watched = [watch(&a, 10), watch(&b, 10), watch(&missing, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![settlement(5, wallet(), &[&a, &b])]);
    let found = chain.scan(&watched, &mut cursor).await.unwrap();
    let mut keys: Vec<PaymentKey> = found.iter().map(|(key, _)| *key).collect();
    keys.sort();
    let mut expected = vec![a.key(), b.key()];
    expected.sort();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn a_restart_finds_what_landed_meanwhile() {
    let rpc = FakeRpc::new(10);
    let p = payment(1, 1, FAR);
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    for _ in 0..5_000 {
        rpc.mine(vec![]);
    }
    let chain = connect(&[&rpc], |_| {}).await;
    let calls = |method: &str| rpc.take_calls().iter().filter(|c| *c == method).count();
    let found = scan(&chain, &[attempted(&p, 10, 5)], &mut ScanCursor::default()).await;
    assert_eq!(settled(&found), [(hash(5), 11, true)]);
    assert_eq!(calls("eth_getLogs"), 0, "by its hash");
    // Without one of ours it is searched for.
    let found = scan(&chain, &[watch(&p, 10)], &mut ScanCursor::default()).await;
    assert_eq!(settled(&found), [(hash(5), 11, true)]);
    assert_eq!(calls("eth_getLogs"), 4, "three ranges of at most 2,000 blocks and the head");
}

#[tokio::test]
async fn a_payment_watched_late_is_searched_backwards() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let mut cursor = ScanCursor::default();
    scan(&chain, &[], &mut cursor).await;
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    scan(&chain, &[], &mut cursor).await;
    assert_eq!(cursor.block(), Some(11));
    let found = scan(&chain, &[watch(&p, 10)], &mut cursor).await;
    assert_eq!(settled(&found), [(hash(5), 11, true)]);
}

#[tokio::test]
async fn a_gap_of_blocks_is_searched_whole() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let mut cursor = ScanCursor::default();
    scan(&chain, &[watch(&p, 10)], &mut cursor).await;
    rpc.mine(vec![]);
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    rpc.mine(vec![]);
    rpc.mine(vec![]);
    assert_eq!(settled(&scan(&chain, &[watch(&p, 10)], &mut cursor).await), [(hash(5), 12, true)]);
}

#[tokio::test]
async fn nothing_counts_above_the_configured_depth() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |c| c.confirmations = 2).await;
    let p = payment(1, 1, FAR);
    let watched = [attempted(&p, 10, 5)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    for _ in 0..2 {
        assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
        rpc.mine(vec![]);
    }
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(5), 11, true)]);
}

#[tokio::test]
async fn after_a_reorganisation_the_landing_is_found_where_it_is_now() {
    for depth in [1, 3] {
        let rpc = FakeRpc::new(10);
        let chain = connect(&[&rpc], |_| {}).await;
        let p = payment(1, 1, FAR);
        let watched = [attempted(&p, 12, 5)];
        let mut cursor = ScanCursor::default();
        rpc.mine(vec![]);
        rpc.mine(vec![]);
        scan(&chain, &watched, &mut cursor).await;
        // The landing is now in a block whose number the cursor has already passed.
        rpc.reorganise(depth, vec![vec![settlement(5, wallet(), &[&p])], vec![], vec![], vec![]]);
        let found = scan(&chain, &watched, &mut cursor).await;
        assert_eq!(settled(&found).len(), 1, "depth {depth}");
    }
}

/// I4: somebody else's landing in or before the block that showed the authorization unused bought
/// something elsewhere; it ends the claim once it is final, and is never a grant.
#[tokio::test]
async fn i4_a_strangers_landing_before_the_claim_never_counts() {
    for (block, counts) in [(9, false), (10, false), (11, true)] {
        let rpc = FakeRpc::new(8);
        let chain = connect(&[&rpc], |_| {}).await;
        let p = payment(1, 1, FAR);
        for number in 9..=11 {
            rpc.mine(if number == block { vec![settlement(5, STRANGER, &[&p])] } else { vec![] });
        }
        let watched = [watch(&p, 10)];
        let mut cursor = ScanCursor::default();
        let found = scan(&chain, &watched, &mut cursor).await;
        assert_eq!(found.len(), usize::from(counts), "block {block}: {found:?}");
        rpc.state().finalized = Some(11);
        rpc.mine(vec![]);
        let found = scan(&chain, &watched, &mut cursor).await;
        match counts {
            true => assert!(found.is_empty() || settled(&found) == [(hash(5), 11, false)]),
            false => assert!(
                matches!(found.as_slice(), [Evidence::Earlier(l)] if l.transaction == hash(5) && l.block == block),
                "block {block}: {found:?}"
            ),
        }
    }
}

/// The same where a reorganisation put it there, whatever the cursor had searched.
#[tokio::test]
async fn i4_a_reorganisation_moves_no_strangers_landing_before_the_claim_into_it() {
    for depth in [1, 3] {
        let rpc = FakeRpc::new(12);
        let chain = connect(&[&rpc], |_| {}).await;
        let p = payment(1, 1, FAR);
        let watched = [watch(&p, 12)];
        let mut cursor = ScanCursor::default();
        scan(&chain, &watched, &mut cursor).await;
        rpc.reorganise(depth, vec![vec![settlement(5, STRANGER, &[&p])], vec![], vec![], vec![]]);
        let found = scan(&chain, &watched, &mut cursor).await;
        // The fork's own first block stands below it.
        let block = 12 - u64::try_from(depth).unwrap() + 2;
        assert_eq!(found.len(), usize::from(block > 12), "depth {depth}: {found:?}");
    }
}

#[tokio::test]
async fn i7_a_landing_before_the_claim_needs_two_endpoints() {
    let (first, second) = (FakeRpc::new(8), FakeRpc::new(12));
    let chain = connect(&[&first, &second], |_| {}).await;
    let p = payment(1, 1, FAR);
    first.mine(vec![settlement(5, STRANGER, &[&p])]);
    for _ in 0..3 {
        first.mine(vec![]);
    }
    first.state().finalized = Some(12);
    second.state().finalized = Some(12);
    let mut cursor = ScanCursor::default();
    assert!(scan(&chain, &[watch(&p, 10)], &mut cursor).await.is_empty());
}

#[tokio::test]
async fn a_node_without_the_receipt_yet_loses_nothing() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let mut cursor = ScanCursor::default();
    scan(&chain, &[watch(&p, 10)], &mut cursor).await;
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    rpc.state().hide_receipts = true;
    assert!(chain.scan(&[watch(&p, 10)], &mut cursor).await.unwrap_err().retry());
    assert_eq!(cursor.block(), Some(10), "an error leaves the cursor where it was");
    rpc.state().hide_receipts = false;
    assert_eq!(settled(&scan(&chain, &[watch(&p, 10)], &mut cursor).await).len(), 1);
}

#[tokio::test]
async fn a_log_index_that_is_behind_hides_nothing_for_long() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let (ours, foreign) = (payment(1, 1, FAR), payment(2, 2, FAR));
    let watched = [attempted(&ours, 10, 5), watch(&foreign, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![settlement(5, wallet(), &[&ours]), settlement(6, STRANGER, &[&foreign])]);
    rpc.state().hide_logs = true;
    // Our own transaction is found by its receipt, because the wallet's nonce has passed it.
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(5), 11, true)]);
    rpc.state().hide_logs = false;
    let open = &watched[1..];
    for _ in 0..RESEARCH_AFTER_SECONDS / 2 {
        rpc.mine(vec![]);
    }
    assert_eq!(settled(&scan(&chain, open, &mut cursor).await), [(hash(6), 11, false)]);
}

#[tokio::test]
async fn a_revert_is_reported_once_and_a_foreign_landing_after_it_still_counts() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let watched = [attempted(&p, 10, 5)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![reverted(5, wallet())]);
    let found = scan(&chain, &watched, &mut cursor).await;
    assert!(matches!(found.as_slice(), [Evidence::Reverted(l)] if l.transaction == hash(5) && l.paid_by_us));
    rpc.take_calls();
    rpc.mine(vec![]);
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty());
    assert!(!rpc.take_calls().contains(&"eth_getTransactionReceipt".to_owned()), "not asked again");
    rpc.mine(vec![settlement(6, STRANGER, &[&p])]);
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(6), 13, false)]);
}

#[tokio::test]
async fn pending_attempts_cost_no_receipts() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let watched = [attempted(&payment(1, 1, FAR), 10, 5)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.take_calls();
    for _ in 0..5 {
        rpc.mine(vec![]);
        scan(&chain, &watched, &mut cursor).await;
    }
    assert!(!rpc.take_calls().contains(&"eth_getTransactionReceipt".to_owned()));
}

#[tokio::test]
async fn a_scan_moves_to_the_next_endpoint_as_a_whole() {
    let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
    let chain = connect(&[&first, &second], |_| {}).await;
    let p = payment(1, 1, FAR);
    let mut cursor = ScanCursor::default();
    scan(&chain, &[watch(&p, 10)], &mut cursor).await;
    second.mine(vec![settlement(5, wallet(), &[&p])]);
    for failure in [RpcError::Timeout, RpcError::Http(503), RpcError::Transport("reset".into())] {
        first.state().fail = Some(failure);
        let mut cursor = cursor.clone();
        assert_eq!(settled(&scan(&chain, &[watch(&p, 10)], &mut cursor).await).len(), 1);
    }
    // Back on the first, which has not seen that block yet: nothing is taken back.
    let mut ahead = cursor.clone();
    scan(&chain, &[watch(&p, 10)], &mut ahead).await;
    first.state().fail = None;
    assert!(scan(&chain, &[watch(&p, 10)], &mut ahead).await.is_empty());
    assert_eq!(ahead.block(), Some(11));
}

#[tokio::test]
async fn the_cursor_keeps_nothing_about_payments_that_are_done() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ScanCursor::default();
    let watched: Vec<EvmWatch> = (1..=100).map(|n| attempted(&payment(n, n, FAR), 10, n)).collect();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![reverted(1, wallet())]);
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![]);
    scan(&chain, &[], &mut cursor).await;
    assert!(cursor.progress.is_empty() && cursor.reported.is_empty());
    assert!(cursor.asked.is_empty() && cursor.burned.is_empty());
}

/// The engine spawns these on a runtime of many threads.
#[tokio::test]
async fn every_future_can_be_spawned() {
    fn spawnable<F: Future + Send>(_: F) {}
    let chain = connect(&[&FakeRpc::new(1)], |_| {}).await;
    let p = payment(1, 1, FAR);
    let attempt = crate::fake::Recorded(vec![], String::new());
    spawnable(chain.scan(&[], &mut ScanCursor::default()));
    spawnable(chain.check_chain(&p));
    spawnable(chain.refresh_fees(0));
    spawnable(chain.send(&attempt));
    spawnable(chain.head());
    spawnable(chain.transaction_count(""));
    spawnable(EvmChain::connect(chain.config().clone(), &quittance_protocol::Secret::new("")));
}
