use super::*;
use crate::config::USE_SEARCHES_MAX;
use crate::fake::{FakeRpc, cancellation, connect, payment, settlement, wallet};
use crate::rpc::Rpc;

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
    for _ in 0..40_000 {
        rpc.mine(vec![]);
    }
    let chain = connect(&[&rpc], |_| {}).await;
    rpc.take_calls();
    assert_eq!(chain.find_use(&used).await, None);
    let calls = rpc.take_calls();
    assert_eq!(calls.iter().filter(|call| *call == "eth_getLogs").count(), USE_SEARCH_CALLS_MAX);
    assert!(calls.iter().filter(|call| *call == "eth_call").count() <= 32, "{calls:?}");
    let places = chain.use_searches().acquire_many(u32::try_from(USE_SEARCHES_MAX).unwrap()).await;
    assert_eq!(chain.find_use(&used).await, None);
    assert!(rpc.take_calls().is_empty(), "nobody waits for a place");
    drop(places);
}

/// With ten blocks a call, eight calls are sixteen seconds of Base.
#[tokio::test]
async fn a_use_is_found_behind_short_log_ranges_as_long_as_it_may_matter() {
    for (max, ago) in [(10, 600), (50, 3_000), (500, 9_000)] {
        let rpc = FakeRpc::new(10);
        let used = payment(1, 1, FAR);
        rpc.mine(vec![settlement(5, wallet(), &[&used])]);
        for _ in 0..ago {
            rpc.mine(vec![]);
        }
        rpc.state().log_blocks_max = Some(max);
        let chain = connect(&[&rpc], |_| {}).await;
        let found = chain.find_use(&used).await.unwrap();
        assert_eq!(found.transaction, format!("{:#x}", alloy::primitives::B256::repeat_byte(5)), "{max}");
        assert_eq!(rpc.log_range().blocks(), max, "what was learnt is kept");
    }
}
