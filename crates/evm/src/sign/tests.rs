use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::keccak256;
use alloy::sol_types::SolCall;
use quittance_protocol::SendOutcome;
use serde_json::json;

use super::*;
use crate::abi::IToken;
use crate::failure::RpcError;
use crate::fake::{FakeRpc, Recorded, TOKEN, connect, payment};
use crate::scan::ScanCursor;

fn fees() -> FeeSnapshot {
    FeeSnapshot {
        base_fee_wei: 100_000_000,
        priority_fee_wei: 1_000_000,
        max_fee_per_gas_wei: 201_000_000,
        l1_fee_wei: 5_000,
        block: 1,
        block_time: 1,
        taken_at_ms: 1,
    }
}

#[tokio::test]
async fn a_settlement_calls_the_token_with_the_payers_terms() {
    let chain = connect(&[&FakeRpc::new(1)], |_| {}).await;
    let p = payment(1, 1, 1_800_000_120);
    let signed = chain.sign_settlement(&p, (&chain.wallet(), 7), &fees(), u128::MAX).unwrap();
    assert_eq!(signed.transaction, format!("{:#x}", keccak256(&signed.raw)));
    let decoded = TxEnvelope::decode_2718(&mut signed.raw.as_slice()).unwrap();
    let TxEnvelope::Eip1559(tx) = &decoded else { panic!() };
    let tx = tx.tx();
    assert_eq!((tx.nonce(), tx.chain_id(), tx.to()), (7, Some(8453), Some(TOKEN)));
    assert_eq!((tx.max_fee_per_gas, tx.max_priority_fee_per_gas), (201_000_000, 1_000_000));
    assert_eq!((tx.gas_limit, tx.value), (150_000, U256::ZERO));
    let call = IToken::transferWithAuthorization_0Call::abi_decode(&tx.input).unwrap();
    assert_eq!((call.from, call.to, call.value, call.nonce), (p.from, p.to, U256::from(p.value), p.nonce));
    let again = chain.sign_settlement(&p, (&chain.wallet(), 7), &fees(), u128::MAX).unwrap();
    assert_eq!(again, signed, "the same arguments give the same bytes");
}

#[tokio::test]
async fn i10_no_signature_above_its_cost_bound() {
    let chain = connect(&[&FakeRpc::new(1)], |_| {}).await;
    let p = payment(1, 1, 1_800_000_120);
    let cost = 150_000 * 201_000_000 + 2 * 5_000;
    assert_eq!(chain.sign_settlement(&p, (&chain.wallet(), 0), &fees(), cost).unwrap().cost_bound_wei, cost);
    assert_eq!(
        chain.sign_settlement(&p, (&chain.wallet(), 0), &fees(), cost - 1),
        Err(EvmError::CostAboveBound { cost_wei: cost, bound_wei: cost - 1 })
    );
    let absurd = FeeSnapshot { l1_fee_wei: u128::MAX, ..fees() };
    assert_eq!(chain.sign_settlement(&p, (&chain.wallet(), 0), &absurd, u128::MAX), Err(EvmError::Overflow));
}

/// A contract's long signature is data on L1 that somebody must pay for.
#[tokio::test]
async fn i10_a_long_signature_counts() {
    let chain = connect(&[&FakeRpc::new(1)], |_| {}).await;
    let mut p = payment(1, 1, 1_800_000_120);
    p.signature = crate::signature::PayerSignature::Contract(vec![1; 2_000].into());
    let signed = chain.sign_settlement(&p, (&chain.wallet(), 0), &fees(), u128::MAX).unwrap();
    assert!(signed.cost_bound_wei >= 150_000 * 201_000_000 + 5 * 2 * 5_000);
    let decoded = TxEnvelope::decode_2718(&mut signed.raw.as_slice()).unwrap();
    assert!(IToken::transferWithAuthorization_1Call::abi_decode(decoded.input()).is_ok());
}

#[tokio::test]
async fn i8_no_signature_above_the_fee_cap() {
    let chain = connect(&[&FakeRpc::new(1)], |c| c.max_fee_per_gas_wei = 300_000_000).await;
    let p = payment(1, 1, 1_800_000_120);
    let above = FeeSnapshot { max_fee_per_gas_wei: 300_000_001, ..fees() };
    assert!(matches!(
        chain.sign_settlement(&p, (&chain.wallet(), 0), &above, u128::MAX),
        Err(EvmError::FeeAboveCap { .. })
    ));
    let starving = FeeSnapshot { base_fee_wei: 300_000_001, max_fee_per_gas_wei: 300_000_000, ..fees() };
    let refused = chain.sign_settlement(&p, (&chain.wallet(), 0), &starving, u128::MAX).unwrap_err();
    assert!(refused.retry(), "it recovers when fees fall");
}

/// The same two seconds are another power of an eighth on every chain.
#[tokio::test]
async fn the_fee_cap_follows_a_rise_for_two_seconds_of_blocks_and_never_above_the_cap() {
    for (block_ms, cap) in [(200, 325_732_109), (2_000, 203_728_656), (12_000, 203_728_656)] {
        let rpc = FakeRpc::new(1_000);
        rpc.state().block_ms = block_ms;
        let chain = connect(&[&rpc], |_| {}).await;
        assert_eq!(chain.fees(), None);
        let read = chain.refresh_fees(5).await.unwrap();
        assert_eq!((read.base_fee_wei, read.max_fee_per_gas_wei), (100_000_000, cap), "{block_ms}");
        assert_eq!((read.l1_fee_wei, read.block, read.taken_at_ms), (0, 1_000, 5));
        assert_eq!(chain.fees(), Some(read));
    }
    let capped = connect(&[&FakeRpc::new(3)], |c| c.max_fee_per_gas_wei = 150_000_000).await;
    assert_eq!(capped.refresh_fees(5).await.unwrap().max_fee_per_gas_wei, 150_000_000);
}

/// Five seconds between two refreshes are twenty-five blocks: what is signed meanwhile knows the
/// base fee of the last look.
#[tokio::test]
async fn fees_follow_every_head_that_is_read() {
    let rpc = FakeRpc::new(1_000);
    let chain = connect(&[&rpc], |_| {}).await;
    let before = chain.refresh_fees(5).await.unwrap();
    rpc.mine(vec![]);
    rpc.state().base_fee_wei = Some(300_000_000);
    chain.scan(&[], &mut ScanCursor::default()).await.unwrap();
    let now = chain.fees().unwrap();
    assert_eq!((now.base_fee_wei, now.block, now.taken_at_ms), (300_000_000, 1_001, 5));
    assert!(now.max_fee_per_gas_wei > 2 * before.max_fee_per_gas_wei);
    // A node that is behind tells of the past.
    rpc.state().base_fee_wei = Some(1);
    chain.scan(&[], &mut ScanCursor::default()).await.unwrap();
    assert_eq!(chain.fees(), Some(now));
}

#[tokio::test]
async fn the_l1_fee_comes_from_the_oracle_there_is() {
    for (oracle, expected) in [(None, 0), (Some(true), 4_800), (Some(false), 3_360)] {
        let rpc = FakeRpc::new(3);
        rpc.state().oracle = oracle;
        let chain = connect(&[&rpc], |_| {}).await;
        assert_eq!(chain.refresh_fees(0).await.unwrap().l1_fee_wei, expected, "{oracle:?}");
    }
}

#[tokio::test]
async fn i3_what_two_endpoints_say_about_a_send() {
    let hash = format!("{:#x}", alloy::primitives::B256::repeat_byte(1));
    let error = |message: &str| Err(RpcError::JsonRpc { code: -32000, message: message.into(), data: None });
    let accepted = || Ok(json!(hash.clone()));
    let poor = || error("insufficient funds for gas * price + value");
    let known = || error("already known");
    let lost = || Err(RpcError::Timeout);
    type Answer = Result<serde_json::Value, RpcError>;
    // (first endpoint, second endpoint, outcome, whether the second was asked)
    let rows: Vec<(Answer, Answer, &str, bool)> = vec![
        (accepted(), lost(), "accepted", false),
        (lost(), accepted(), "accepted", true),
        (known(), accepted(), "accepted", true),
        (poor(), accepted(), "refused", false),
        (lost(), poor(), "unknown", true),
        (known(), poor(), "unknown", true),
        (lost(), lost(), "unknown", true),
    ];
    for (first, second, expected, asked) in rows {
        let (a, b) = (FakeRpc::new(1), FakeRpc::new(1));
        let chain = connect(&[&a, &b], |_| {}).await;
        a.state().send = Some(first.clone());
        b.state().send = Some(second.clone());
        let outcome = chain.send(&Recorded(vec![1], hash.clone())).await;
        let name = match outcome {
            SendOutcome::Accepted => "accepted",
            SendOutcome::Refused { .. } => "refused",
            SendOutcome::Unknown { .. } => "unknown",
        };
        assert_eq!(name, expected, "{first:?} then {second:?}");
        assert_eq!(!b.take_calls().is_empty(), asked, "{first:?} then {second:?}");
        assert_eq!(a.take_calls().len(), 1, "never sent twice to one endpoint");
    }
}
