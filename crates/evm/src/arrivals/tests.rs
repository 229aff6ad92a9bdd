//! What came to the payout address since the last look.

use alloy::primitives::Address;

use super::*;
use crate::fake::{FakeRpc, GENESIS, connect, payment, settlement, wallet};

const STRANGER: Address = Address::repeat_byte(0x99);
const FAR: u64 = GENESIS + 1_000_000;

fn hash(id: u8) -> String {
    format!("{:#x}", alloy::primitives::B256::repeat_byte(id))
}

#[tokio::test]
async fn each_arrival_is_told_once_and_what_was_there_before_is_the_past() {
    let rpc = FakeRpc::new(10);
    let (first, second, third) = (payment(1, 1, FAR), payment(2, 2, FAR), payment(3, 3, FAR));
    rpc.mine(vec![settlement(5, STRANGER, &[&first])]);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ArrivalCursor::default();
    assert_eq!(chain.arrivals(&mut cursor).await.unwrap(), Vec::<String>::new());
    rpc.mine(vec![settlement(6, STRANGER, &[&second]), settlement(7, wallet(), &[&third, &first])]);
    assert_eq!(chain.arrivals(&mut cursor).await.unwrap(), [hash(6), hash(7)]);
    assert_eq!(chain.arrivals(&mut cursor).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_look_that_fails_is_made_again() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ArrivalCursor::default();
    chain.arrivals(&mut cursor).await.unwrap();
    rpc.mine(vec![settlement(6, STRANGER, &[&payment(1, 1, FAR)])]);
    rpc.state().refused_method = Some("eth_getLogs");
    assert!(chain.arrivals(&mut cursor).await.is_err());
    rpc.state().refused_method = None;
    assert_eq!(chain.arrivals(&mut cursor).await.unwrap(), [hash(6)]);
}

/// What an endpoint with a narrow range allows for a look, the looks after it make up: the interval is
/// the operator's and the block rate the chain's, and neither leaves blocks out.
#[tokio::test]
async fn looks_at_a_narrow_endpoint_are_bounded_and_leave_nothing_out() {
    let rpc = FakeRpc::new(10);
    rpc.state().log_blocks_max = Some(1);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ArrivalCursor::default();
    chain.arrivals(&mut cursor).await.unwrap();
    // The endpoint's range is learnt.
    rpc.mine(vec![]);
    rpc.mine(vec![]);
    chain.arrivals(&mut cursor).await.unwrap();
    rpc.mine(vec![settlement(5, STRANGER, &[&payment(2, 2, FAR)])]);
    for _ in 0..200 {
        rpc.mine(vec![]);
    }
    rpc.mine(vec![settlement(6, STRANGER, &[&payment(1, 1, FAR)])]);
    let mut found = Vec::new();
    for _ in 0..4 {
        rpc.take_calls();
        found.extend(chain.arrivals(&mut cursor).await.unwrap());
        let asked = rpc.take_calls().iter().filter(|call| *call == "eth_getLogs").count() as u64;
        assert!(asked <= ARRIVAL_CALLS_MAX, "{asked}");
    }
    assert_eq!(found, [hash(5), hash(6)]);
}

#[tokio::test]
async fn what_is_hours_behind_is_skipped() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    chain.refresh_fees(0).await.unwrap();
    let mut cursor = ArrivalCursor::default();
    chain.arrivals(&mut cursor).await.unwrap();
    rpc.mine(vec![settlement(5, STRANGER, &[&payment(2, 2, FAR)])]);
    // Blocks of two seconds.
    for _ in 0..ARRIVAL_SECONDS_MAX / 2 + 10 {
        rpc.mine(vec![]);
    }
    chain.refresh_fees(0).await.unwrap();
    assert_eq!(chain.arrivals(&mut cursor).await.unwrap(), Vec::<String>::new());
}

/// Such a transfer needs nobody's leave, so the alarm of a second ledger could be drowned in them.
#[tokio::test]
async fn transfers_of_nothing_are_no_arrivals() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |_| {}).await;
    let mut cursor = ArrivalCursor::default();
    chain.arrivals(&mut cursor).await.unwrap();
    let mut nothing = settlement(6, STRANGER, &[&payment(1, 1, FAR)]);
    for (topics, data) in &mut nothing.logs {
        if topics[0] == IToken::Transfer::SIGNATURE_HASH {
            data.fill(0);
        }
    }
    rpc.mine(vec![nothing, settlement(7, STRANGER, &[&payment(2, 2, FAR)])]);
    assert_eq!(chain.arrivals(&mut cursor).await.unwrap(), [hash(7)]);
}
