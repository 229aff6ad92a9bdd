use std::sync::Arc;

use quittance_protocol::{EndpointState, Evidence, PaymentKey};

use crate::failure::RpcError;
use crate::fake::{FakeRpc, GENESIS, connect, payment, settlement, wallet};
use crate::payment::EvmWatch;
use crate::scan::ScanCursor;

const LIMIT_MS: u64 = 6_000;

/// The clock when a fake chain has just made block `height`.
fn at(height: u64) -> i64 {
    i64::try_from((GENESIS + 2 * height) * 1_000).unwrap()
}

/// Two endpoints of which the first stood still twenty seconds ago.
async fn two() -> (Arc<FakeRpc>, Arc<FakeRpc>, crate::EvmChain) {
    let (still, moving) = (FakeRpc::new(10), FakeRpc::new(20));
    let chain = connect(&[&still, &moving], |config| config.head_age_max_ms = LIMIT_MS).await;
    chain.look_at_endpoints(at(20)).await;
    still.take_calls();
    moving.take_calls();
    (still, moving, chain)
}

fn settled(found: &[(PaymentKey, Evidence)]) -> usize {
    found.iter().filter(|(_, evidence)| matches!(evidence, Evidence::Settled(_))).count()
}

#[tokio::test]
async fn an_endpoint_that_stands_still_is_not_asked_while_another_moves() {
    let (still, moving, chain) = two().await;
    assert_eq!(chain.refresh_fees(at(20)).await.unwrap().block, 20);
    assert_eq!(chain.head().await.unwrap().block, 20);
    chain.used_nonces(&chain.wallet()).await.unwrap();
    assert!(still.take_calls().is_empty());
    assert!(!moving.take_calls().is_empty());
}

#[tokio::test]
async fn a_landing_that_the_first_endpoint_hides_is_found() {
    let (_still, moving, chain) = two().await;
    let paid = payment(1, 1, u64::MAX);
    moving.mine(vec![settlement(5, wallet(), &[&paid])]);
    let watch = EvmWatch {
        payment: paid,
        attempts: vec![format!("{:#x}", alloy::primitives::B256::repeat_byte(5))],
        named: None,
        attempt_nonce: Some(0),
        attempt_wallet: None,
        from_block: 10,
    };
    let found = chain.scan(&[watch], &mut ScanCursor::default()).await.unwrap();
    assert_eq!(settled(&found), 1);
}

#[tokio::test]
async fn who_recovers_is_asked_again_and_who_falls_silent_is_not() {
    let (still, moving, chain) = two().await;
    for _ in 10..20 {
        still.mine(vec![]);
    }
    chain.look_at_endpoints(at(20)).await;
    moving.take_calls();
    chain.head().await.unwrap();
    assert!(moving.take_calls().is_empty(), "the first is preferred again");
    still.state().fail = Some(RpcError::Timeout);
    let reports = chain.look_at_endpoints(at(20)).await;
    assert_eq!([reports[0].state, reports[1].state], [EndpointState::Silent, EndpointState::Healthy]);
    still.take_calls();
    chain.head().await.unwrap();
    assert!(still.take_calls().is_empty(), "nobody waits for it");
}

#[tokio::test]
async fn a_lone_endpoint_is_asked_however_old_its_head() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |config| config.head_age_max_ms = LIMIT_MS).await;
    let [report] = chain.look_at_endpoints(at(10) + 3_600_000).await.try_into().unwrap();
    assert_eq!((report.state, report.head), (EndpointState::Healthy, Some(10)));
    assert!(report.head_age_ms.unwrap() >= 3_600_000, "and its age is told");
    assert_eq!(chain.head().await.unwrap().block, 10);
}

#[tokio::test]
async fn failing_methods_are_counted_by_endpoint() {
    let (_, moving, chain) = two().await;
    moving.state().refused_method = Some("eth_getTransactionCount");
    chain.used_nonces(&chain.wallet()).await.unwrap_err();
    let reports = chain.look_at_endpoints(at(20)).await;
    let failed = |at: usize| {
        let of = reports[at].methods.iter().find(|count| count.method == "eth_getTransactionCount");
        of.map_or(0, |count| count.failed)
    };
    assert_eq!((failed(0), failed(1)), (0, 1));
}
