//! Chains of every speed, with headers that count seconds.

use quittance_protocol::BLOCK_MS_ASSUMED;

use crate::config::EvmConfig;
use crate::error::EvmError;
use crate::fake::{FakeRpc, GENESIS, connect, payment};

#[tokio::test]
async fn one_older_header_tells_the_block_time_at_the_first_look() {
    for (block_ms, height) in [(200, 2_000), (200, 400), (2_000, 2_000), (12_000, 30)] {
        let rpc = FakeRpc::new(height);
        rpc.state().block_ms = block_ms;
        let chain = connect(&[&rpc], |_| {}).await;
        assert_eq!(chain.block_ms(), BLOCK_MS_ASSUMED, "nothing was read yet");
        chain.refresh_fees(0).await.unwrap();
        assert_eq!(chain.block_ms(), block_ms, "at height {height}");
        rpc.take_calls();
        chain.refresh_fees(1).await.unwrap();
        let asked = rpc.take_calls().iter().filter(|call| *call == "eth_getBlockByNumber").count();
        assert_eq!(asked, 1, "the head alone");
    }
}

#[tokio::test]
async fn a_chain_too_young_to_tell_is_taken_for_the_fastest() {
    let rpc = FakeRpc::new(5);
    let chain = connect(&[&rpc], |_| {}).await;
    chain.refresh_fees(0).await.unwrap();
    assert_eq!(chain.block_ms(), BLOCK_MS_ASSUMED);
    assert_eq!(chain.blocks_in(120), 600);
}

/// Six seconds are three blocks of some chains and half a block of others. A pause of minutes
/// is that of a chain which makes a block for whatever is sent: nobody waits for three of those.
#[tokio::test]
async fn an_authorization_must_have_time_for_some_blocks_of_its_chain() {
    let margin = EvmConfig::new("eip155:8453".parse().unwrap(), vec![], "", "").valid_before_margin_seconds;
    for (block_ms, needed) in [(200, margin), (2_000, margin), (12_000, 36), (120_000, 60), (600_000, 60)] {
        let rpc = FakeRpc::new(1_000);
        rpc.state().block_ms = block_ms;
        let chain = connect(&[&rpc], |_| {}).await;
        chain.refresh_fees(0).await.unwrap();
        let ends_in = |seconds| chain.check_window(&payment(1, 1, GENESIS + seconds), GENESIS);
        assert_eq!(ends_in(needed), Ok(()), "{block_ms}");
        assert_eq!(ends_in(needed - 1), Err(EvmError::Expired), "{block_ms}");
    }
}
