use std::sync::Arc;

use quittance_protocol::{Secret, SendOutcome};
use serde_json::json;

use crate::chain::EvmChain;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::fake::{CHAIN_ID, FakeRpc, Recorded, WALLET_KEY, config};
use crate::rpc::Rpc;

async fn connect(endpoints: &[&Arc<FakeRpc>], late: bool) -> Result<EvmChain, EvmError> {
    let endpoints = endpoints.iter().map(|rpc| Arc::clone(rpc) as Arc<dyn Rpc>).collect();
    let config = crate::EvmConfig { late, ..config() };
    EvmChain::connect_with(config, &Secret::new(WALLET_KEY), endpoints).await
}

fn down() -> RpcError {
    RpcError::Transport("refused".into())
}

fn attempt() -> Recorded {
    Recorded(vec![1], format!("0x{}", "ab".repeat(32)))
}

#[tokio::test]
async fn every_endpoint_is_compared_at_the_start() {
    let (right, other) = (FakeRpc::new(5), FakeRpc::new(9));
    other.state().chain_id = Some(1);
    for (endpoints, at) in [([&right, &other], 1), ([&other, &right], 0)] {
        let error = connect(&endpoints, false).await.unwrap_err();
        assert_eq!(error, EvmError::ChainMismatch { endpoint: at, expected: CHAIN_ID, found: 1 });
    }
    assert!(connect(&[&other], true).await.is_err(), "somebody must serve it");
}

/// The endpoint was away when the program started and comes back as a node of another chain.
#[tokio::test]
async fn an_endpoint_of_another_chain_that_comes_late_never_testifies() {
    let (first, second) = (FakeRpc::new(500), FakeRpc::new(5));
    first.state().fail = Some(down());
    let chain = connect(&[&first, &second], false).await.unwrap();
    {
        let mut state = first.state();
        (state.fail, state.chain_id) = (None, Some(1));
        state.send = Some(Ok(json!(attempt().1)));
    }
    second.state().send = Some(Err(RpcError::JsonRpc {
        code: -32000,
        message: "insufficient funds for gas * price + value".into(),
        data: None,
    }));
    first.take_calls();
    // Evidence, fees, nonces and sends are the right one's.
    assert_eq!(chain.head().await.unwrap().block, 5);
    assert_eq!(chain.heights().await.unwrap().latest, 5);
    assert_eq!(chain.refresh_fees(0).await.unwrap().block, 5);
    assert_eq!(chain.used_nonces(&chain.wallet()).await.unwrap(), 0);
    assert!(matches!(chain.send(&attempt()).await, SendOutcome::Refused { .. }));
    assert!(first.take_calls().is_empty(), "who was silent is asked for nothing while another answers");
    assert_eq!(chain.wrong_endpoints().await, [(0, 1)]);
    assert_eq!(first.take_calls(), ["eth_chainId"]);

    // Once it answers rightly, and a look has heard its head, it is the first again.
    first.state().chain_id = None;
    assert_eq!(chain.wrong_endpoints().await, []);
    chain.look_at_endpoints(0).await;
    assert_eq!(chain.head().await.unwrap().block, 500);
}

/// Behind the same URL may stand another node after the connection broke.
#[tokio::test]
async fn who_comes_back_is_asked_again() {
    let (first, second) = (FakeRpc::new(500), FakeRpc::new(5));
    let chain = connect(&[&first, &second], false).await.unwrap();
    assert_eq!(chain.head().await.unwrap().block, 500);
    for broken in [down(), RpcError::Timeout, RpcError::Http(502)] {
        first.state().fail = Some(broken);
        assert_eq!(chain.head().await.unwrap().block, 5);
        {
            let mut state = first.state();
            (state.fail, state.chain_id) = (None, Some(1));
        }
        first.take_calls();
        assert_eq!(chain.head().await.unwrap().block, 5);
        assert_eq!(first.take_calls(), ["eth_chainId"]);
        first.state().chain_id = None;
        assert_eq!(chain.wrong_endpoints().await, []);
        assert_eq!(chain.head().await.unwrap().block, 500);
    }
}

#[tokio::test]
async fn bytes_that_only_another_chain_could_take_are_not_refused() {
    let first = FakeRpc::new(5);
    let chain = connect(&[&first], false).await.unwrap();
    first.state().chain_id = Some(1);
    assert_eq!(chain.wrong_endpoints().await, [(0, 1)]);
    assert!(matches!(chain.send(&attempt()).await, SendOutcome::Unknown { .. }), "an earlier send may live");
}

/// The only endpoint said 429: for a moment nothing is asked of it but to take signed bytes, which counts
/// against no method and lets nobody doubt its chain; then settlement asks again, however long it said.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_wants_to_be_left_alone_still_takes_signed_bytes() {
    let rpc = FakeRpc::new(5);
    let chain = connect(&[&rpc], false).await.unwrap();
    rpc.take_calls();
    rpc.2.hear(429, Some("3600"));
    for _ in 0..3 {
        assert_eq!(chain.head().await, Err(EvmError::Rpc(RpcError::Paused)));
        assert!(chain.wrong_endpoints().await.is_empty());
    }
    assert_eq!(rpc.take_calls(), [""; 0]);
    rpc.state().send = Some(Ok(json!(attempt().1)));
    assert_eq!(chain.send(&attempt()).await, SendOutcome::Accepted);
    assert_eq!(rpc.take_calls(), ["eth_sendRawTransaction"]);
    tokio::time::advance(quittance_rpc::SILENCE_MAX).await;
    assert!(chain.head().await.is_ok());
    assert_eq!(rpc.take_calls(), ["eth_getBlockByNumber"], "nobody doubted its chain");
    let failed = chain.look_at_endpoints(0).await.remove(0).methods;
    assert!(failed.iter().all(|method| method.failed == 0), "{failed:?}");
    assert!(chain.endpoints().pause().is_some(), "and strangers wait");
}

/// With another endpoint there, one that said 429 is asked for nothing until its time has passed.
#[tokio::test(start_paused = true)]
async fn who_wants_to_be_left_alone_is_not_asked_while_another_answers() {
    let (first, second) = (FakeRpc::new(5), FakeRpc::new(5));
    let chain = connect(&[&first, &second], false).await.unwrap();
    first.2.hear(429, Some("20"));
    first.take_calls();
    for second_of in 0..20 {
        assert!(chain.head().await.is_ok());
        chain.look_at_endpoints(0).await;
        assert_eq!(first.take_calls(), [""; 0], "after {second_of} s");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    assert!(chain.head().await.is_ok());
    assert_eq!(first.take_calls(), ["eth_getBlockByNumber"], "then it is the first again");
    first.2.hear(429, Some("20"));
    second.state().fail = Some(down());
    assert!(chain.head().await.is_err(), "for a moment nobody");
    tokio::time::advance(quittance_rpc::SILENCE_MAX).await;
    assert!(chain.head().await.is_ok(), "it is asked where no other can serve");
}
