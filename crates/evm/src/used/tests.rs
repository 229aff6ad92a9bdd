use super::*;
use crate::fake::{FakeRpc, cancellation, connect, payment, settlement, wallet};

const FAR: u64 = crate::fake::GENESIS + 1_000_000;

#[tokio::test]
async fn a_use_and_a_cancellation_are_found_and_told_apart() {
    let rpc = FakeRpc::new(10);
    let (used, taken_back, other) = (payment(1, 1, FAR), payment(1, 2, FAR), payment(1, 3, FAR));
    rpc.mine(vec![settlement(5, wallet(), &[&used, &other]), cancellation(6, &taken_back)]);
    for _ in 0..2_500 {
        rpc.mine(vec![]);
    }
    let chain = connect(&[&rpc], |_| {}).await;
    let hash = |id: u8| format!("{:#x}", alloy::primitives::B256::repeat_byte(id));
    assert_eq!(chain.find_use(&used).await, Some(AuthorizationUse { transaction: hash(5), canceled: false }));
    assert_eq!(
        chain.find_use(&taken_back).await,
        Some(AuthorizationUse { transaction: hash(6), canceled: true })
    );
}

/// A used authorization costs whoever holds it nothing, and us no more than this.
#[tokio::test]
async fn the_search_is_bounded() {
    let rpc = FakeRpc::new(10);
    let used = payment(1, 1, FAR);
    rpc.mine(vec![settlement(5, wallet(), &[&used])]);
    for _ in 0..u64::try_from(USE_SEARCH_CALLS_MAX).unwrap() * crate::config::LOG_BLOCKS_MAX {
        rpc.mine(vec![]);
    }
    let chain = connect(&[&rpc], |_| {}).await;
    rpc.take_calls();
    assert_eq!(chain.find_use(&used).await, None);
    let calls = rpc.take_calls().into_iter().filter(|call| call == "eth_getLogs").count();
    assert_eq!(calls, USE_SEARCH_CALLS_MAX);
    let places = chain.use_searches().acquire_many(u32::try_from(USE_SEARCHES_MAX).unwrap()).await;
    assert_eq!(chain.find_use(&used).await, None);
    assert!(rpc.take_calls().is_empty(), "nobody waits for a place");
    drop(places);
}
