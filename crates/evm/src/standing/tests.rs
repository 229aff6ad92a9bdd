use std::sync::Arc;

use super::*;
use crate::fake::{FakeRpc, GENESIS, cancellation, connect, payment, settlement, wallet};

const FAR: u64 = GENESIS + 1_000_000;

/// The payment as it stands in the chain's newest block, by transaction `id`.
async fn landed(chain: &EvmChain, p: &EvmPayment, from_block: u64) -> EvmLanded {
    let watch = EvmWatch {
        payment: p.clone(),
        attempts: vec![],
        named: None,
        attempt_nonce: None,
        attempt_wallet: None,
        from_block,
    };
    let found = chain.scan(&[watch], &mut ScanCursor::default()).await.unwrap();
    let [(_, Evidence::Settled(landing))] = found.as_slice() else { panic!("{found:?}") };
    EvmLanded { payment: p.clone(), landing: landing.clone(), from_block }
}

async fn standing(chain: &EvmChain, landed: &EvmLanded) -> Standing {
    let mut found = chain.standing(std::slice::from_ref(landed)).await.unwrap();
    assert_eq!(found.len(), 1, "every landing once");
    found.remove(0).1
}

async fn landed_once() -> (Arc<FakeRpc>, EvmChain, EvmLanded) {
    let rpc = FakeRpc::new(10);
    rpc.mine(vec![settlement(5, wallet(), &[&payment(1, 1, FAR)])]);
    let chain = connect(&[&rpc], |_| {}).await;
    let landed = landed(&chain, &payment(1, 1, FAR), 10).await;
    (rpc, chain, landed)
}

#[tokio::test]
async fn i6_a_landing_is_final_when_its_block_is() {
    let (rpc, chain, landed) = landed_once().await;
    assert_eq!(standing(&chain, &landed).await, Standing::Landed(landed.landing.clone()));
    rpc.state().finalized = Some(10);
    assert_eq!(standing(&chain, &landed).await, Standing::Landed(landed.landing.clone()));
    rpc.state().finalized = Some(11);
    rpc.take_calls();
    assert_eq!(standing(&chain, &landed).await, Standing::Finalized(landed.landing.clone()));
    assert_eq!(rpc.take_calls(), ["eth_getBlockByNumber", "eth_getBlockByNumber", "eth_getLogs"]);
    assert_eq!(chain.heights().await.unwrap(), Heights { latest: 11, finalized: 11 });
}

/// Behind a balancer the next node has not come so far: that is no reorganisation, whatever block it
/// calls final, and nothing is broadcast again for it.
#[tokio::test]
async fn i6_a_head_that_went_back_is_no_reorganisation() {
    let (rpc, chain, landed) = landed_once().await;
    let one = std::slice::from_ref(&landed);
    for (behind, finalized) in [(10, Some(9)), (10, Some(11)), (3, Some(11)), (3, None)] {
        rpc.state().head_shown = Some(behind);
        rpc.state().finalized = finalized;
        assert_eq!(chain.standing(one).await.unwrap(), [], "{behind} and {finalized:?}");
    }
    rpc.state().head_shown = None;
    rpc.state().finalized = Some(11);
    assert_eq!(standing(&chain, &landed).await, Standing::Finalized(landed.landing.clone()));
}

/// Two minutes of landings, one every two seconds: a look at them costs as much at ten times the blocks,
/// and a bounded number of calls where an endpoint allows ten blocks at once. Looks are made by the clock.
#[tokio::test]
async fn what_waits_for_finality_costs_no_more_at_ten_times_the_block_rate() {
    for log_blocks_max in [None, Some(10)] {
        let mut costs = Vec::new();
        for block_ms in [200, 2_000_u64] {
            let rpc = FakeRpc::new(10);
            rpc.state().block_ms = block_ms;
            let mut all = Vec::new();
            for id in 1..=60_u8 {
                let p = payment(id, id, FAR);
                rpc.mine(vec![settlement(id, wallet(), &[&p])]);
                let block = rpc.height();
                let landing = Landing {
                    transaction: format!("{:#x}", B256::repeat_byte(id)),
                    block,
                    block_hash: String::new(),
                    block_time: 0,
                    cost_native: 0,
                    paid_by_us: true,
                    log_index: None,
                };
                all.push(EvmLanded { payment: p, landing, from_block: 10 });
                for _ in 1..2_000 / block_ms {
                    rpc.mine(vec![]);
                }
            }
            let chain = connect(&[&rpc], |_| {}).await;
            rpc.state().log_blocks_max = log_blocks_max;
            // What the endpoint allows is learnt once.
            chain.standing(&all).await.unwrap();
            rpc.take_calls();
            let found = chain.standing(&all).await.unwrap();
            assert!(found.iter().all(|(_, standing)| matches!(standing, Standing::Landed(_))));
            costs.push(rpc.take_calls().len());
        }
        let (fast, slow) = (costs[0], costs[1]);
        assert!(fast <= 2 + YOUNG_QUERIES_MAX && slow <= 2 + YOUNG_QUERIES_MAX, "{costs:?}");
        assert!(log_blocks_max.is_some() || fast == slow, "{costs:?}");
    }
}

#[tokio::test]
async fn i6_a_landing_that_moved_stands_where_it_is_now() {
    let (rpc, chain, landed) = landed_once().await;
    rpc.reorganise(1, vec![vec![], vec![settlement(5, wallet(), &[&landed.payment])]]);
    let Standing::Landed(moved) = standing(&chain, &landed).await else { panic!("landed") };
    assert_eq!((moved.block, moved.transaction.as_str()), (13, landed.landing.transaction.as_str()));
    assert_ne!(moved.block_hash, landed.landing.block_hash);
    rpc.state().finalized = Some(13);
    assert_eq!(standing(&chain, &landed).await, Standing::Finalized(moved));
}

#[tokio::test]
async fn i6_another_transaction_may_carry_the_payment_now() {
    let (rpc, chain, landed) = landed_once().await;
    rpc.reorganise(1, vec![vec![settlement(9, Address::repeat_byte(0x99), &[&landed.payment])]]);
    let Standing::Landed(moved) = standing(&chain, &landed).await else { panic!("landed") };
    assert_eq!(moved.transaction, format!("{:#x}", B256::repeat_byte(9)));
    assert!(!moved.paid_by_us);
}

#[tokio::test]
async fn i6_a_vanished_landing_is_missing_until_the_chain_proves_more() {
    let (rpc, chain, landed) = landed_once().await;
    rpc.reorganise(1, vec![]);
    assert_eq!(standing(&chain, &landed).await, Standing::Missing);
    rpc.mine(vec![settlement(5, wallet(), &[&landed.payment])]);
    assert!(matches!(standing(&chain, &landed).await, Standing::Landed(_)), "rebroadcast");
}

#[tokio::test]
async fn i6_what_cannot_come_back_is_lost() {
    let rpc = FakeRpc::new(10);
    let p = payment(1, 1, GENESIS + 40);
    rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    let chain = connect(&[&rpc], |_| {}).await;
    let landed = landed(&chain, &p, 10).await;
    rpc.reorganise(1, vec![vec![]; 20]);
    rpc.state().finalized = Some(19);
    assert_eq!(standing(&chain, &landed).await, Standing::Missing, "the deadline is not final yet");
    rpc.state().finalized = Some(20);
    let lost = Evidence::Expired { block: 20, clock: GENESIS + 40 };
    assert_eq!(standing(&chain, &landed).await, Standing::Lost(lost));
}

#[tokio::test]
async fn i6_a_cancellation_on_the_new_branch_is_a_loss_once_final() {
    let (rpc, chain, landed) = landed_once().await;
    rpc.reorganise(1, vec![vec![cancellation(6, &landed.payment)]]);
    assert_eq!(standing(&chain, &landed).await, Standing::Missing);
    rpc.state().finalized = Some(12);
    assert!(matches!(standing(&chain, &landed).await, Standing::Lost(Evidence::Canceled(_))));
}

#[tokio::test]
async fn i7_a_loss_needs_two_endpoints_that_agree() {
    let (first, second) = (FakeRpc::new(10), FakeRpc::new(10));
    let p = payment(1, 1, GENESIS + 30);
    for rpc in [&first, &second] {
        rpc.mine(vec![settlement(5, wallet(), &[&p])]);
    }
    let chain = connect(&[&first, &second], |_| {}).await;
    let landed = landed(&chain, &p, 10).await;
    first.reorganise(1, vec![vec![]; 20]);
    for rpc in [&first, &second] {
        rpc.state().finalized = Some(15);
    }
    assert_eq!(standing(&chain, &landed).await, Standing::Missing, "the second still shows it");
    second.reorganise(1, vec![vec![]; 20]);
    assert!(matches!(standing(&chain, &landed).await, Standing::Lost(_)));
}

/// A batch pays the same amount of the same payer twice; one of them vanished
/// with the other transaction that carried it.
#[tokio::test]
async fn i9_equal_transfers_of_one_transaction_count_one_by_one() {
    let rpc = FakeRpc::new(10);
    let (a, b) = (payment(1, 1, FAR), payment(1, 2, FAR));
    rpc.mine(vec![settlement(5, wallet(), &[&a, &b])]);
    let chain = connect(&[&rpc], |_| {}).await;
    let both = [landed(&chain, &a, 10).await, landed(&chain, &b, 10).await];
    rpc.reorganise(1, vec![vec![settlement(5, wallet(), &[&a])]]);
    let found = chain.standing(&both).await.unwrap();
    let count = |wanted: fn(&Standing) -> bool| found.iter().filter(|(_, s)| wanted(s)).count();
    assert_eq!(count(|s| matches!(s, Standing::Missing)), 1);
    assert_eq!(count(|s| matches!(s, Standing::Landed(_))), 1);
}

#[tokio::test]
async fn many_landings_cost_one_log_query() {
    let rpc = FakeRpc::new(10);
    let payments: Vec<EvmPayment> = (1..=50).map(|n| payment(n, n, FAR)).collect();
    rpc.mine(payments.iter().enumerate().map(|(i, p)| settlement(i as u8, wallet(), &[p])).collect());
    let chain = connect(&[&rpc], |_| {}).await;
    let mut all = Vec::new();
    for p in &payments {
        all.push(landed(&chain, p, 10).await);
    }
    rpc.take_calls();
    assert_eq!(chain.standing(&all).await.unwrap().len(), 50);
    assert_eq!(rpc.take_calls().iter().filter(|call| *call == "eth_getLogs").count(), 1);
}

/// Two minutes are 600 blocks of 0.2 s and 60 of 2 s: watching over what landed in them costs the same,
/// also where a node answers for ten blocks at once, and leaves nobody out.
#[tokio::test]
async fn watching_landings_costs_no_more_at_ten_times_the_block_rate() {
    for (block_ms, range) in [(200, None), (2_000, None), (200, Some(10)), (2_000, Some(10))] {
        let rpc = FakeRpc::new(10);
        rpc.state().block_ms = block_ms;
        let chain = connect(&[&rpc], |_| {}).await;
        let mut all = Vec::new();
        // One every two seconds.
        for id in 0..60_u8 {
            let p = payment(id + 1, id + 1, FAR);
            rpc.mine(vec![settlement(id, wallet(), &[&p])]);
            all.push(landed(&chain, &p, 10 + u64::from(id) * 2_000 / block_ms).await);
            for _ in 1..2_000 / block_ms {
                rpc.mine(vec![]);
            }
        }
        rpc.state().log_blocks_max = range;
        chain.standing(&all).await.unwrap();
        let mut seen = HashSet::new();
        for _ in 0..8 {
            rpc.take_calls();
            for (key, standing) in chain.standing(&all).await.unwrap() {
                assert!(matches!(standing, Standing::Landed(_)), "{standing:?}");
                seen.insert(key);
            }
            let calls = rpc.take_calls();
            let logs = calls.iter().filter(|call| *call == "eth_getLogs").count();
            assert!(
                logs <= if range.is_none() { 1 } else { YOUNG_QUERIES_MAX },
                "{block_ms} {range:?}: {logs}"
            );
            assert_eq!(calls.len(), logs + 2);
        }
        assert_eq!(seen.len(), all.len(), "{block_ms} {range:?}");
    }
}
