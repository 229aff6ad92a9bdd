use alloy::consensus::Transaction as _;
use alloy::primitives::keccak256;

use super::*;
use crate::fake::{FakeRpc, GENESIS, WALLET_KEY, cancellation, connect, payment, settlement, wallet};

const BASE_FEE: u64 = 100_000_000;

/// A chain whose fees are read, and a settlement signed at them.
async fn signed(rpcs: &[&std::sync::Arc<FakeRpc>], cap: u128) -> (EvmChain, SignedTransaction) {
    let chain = connect(rpcs, |c| c.max_fee_per_gas_wei = cap).await;
    let fees = chain.refresh_fees(1).await.unwrap();
    let p = payment(1, 1, GENESIS + 900);
    let signed = chain.sign_settlement(&p, (&chain.wallet(), 7), &fees, u128::MAX).unwrap();
    (chain, signed)
}

fn decoded(raw: &[u8]) -> TxEip1559 {
    Replaced::read(raw).unwrap().0
}

fn again(chain: &EvmChain, raw: &[u8], bound: u128) -> Result<SignedTransaction, EvmError> {
    let old = Replaced::read(raw)?;
    let fees = chain.replacing_fees(&old)?;
    chain.sign_again(old, chain.any_key().unwrap(), &fees, bound)
}

/// `max_fee_per_gas` of geth: a tenth more of both, or "replacement transaction underpriced".
#[tokio::test]
async fn a_replacement_is_the_same_transaction_at_a_tenth_more_of_both_fees() {
    let rpc = FakeRpc::new(3);
    let (chain, old) = signed(&[&rpc], 10_000_000_000).await;
    let new = again(&chain, &old.raw, u128::MAX).unwrap();
    let (was, is) = (decoded(&old.raw), decoded(&new.raw));
    assert_eq!(
        (is.nonce, is.to, is.input.clone(), is.gas_limit),
        (7, was.to, was.input.clone(), was.gas_limit)
    );
    assert_eq!((is.chain_id, is.value), (was.chain_id, was.value));
    assert!(is.max_fee_per_gas * 10 >= was.max_fee_per_gas * 11, "{is:?}");
    assert!(is.max_priority_fee_per_gas * 10 >= was.max_priority_fee_per_gas * 11, "{is:?}");
    assert_eq!(new.transaction, format!("{:#x}", keccak256(&new.raw)));
    let signed = TxEnvelope::decode_2718(&mut new.raw.as_slice()).unwrap();
    assert_eq!(signed.nonce(), 7);
    assert_ne!(new.transaction, old.transaction);
    // And that one can be replaced as well.
    let newer = again(&chain, &new.raw, u128::MAX).unwrap();
    assert!(decoded(&newer.raw).max_priority_fee_per_gas > is.max_priority_fee_per_gas);
}

#[tokio::test]
async fn a_replacement_follows_the_base_fee_where_that_is_more() {
    let rpc = FakeRpc::new(3);
    let (chain, old) = signed(&[&rpc], 100_000_000_000).await;
    rpc.state().base_fee_wei = Some(20 * BASE_FEE);
    let risen = chain.refresh_fees(2).await.unwrap();
    let new = again(&chain, &old.raw, u128::MAX).unwrap();
    assert_eq!(new.max_fee_per_gas_wei, risen.max_fee_per_gas_wei);
    assert!(new.max_fee_per_gas_wei > u128::from(20 * BASE_FEE));
}

#[tokio::test]
async fn i8_nothing_is_replaced_above_the_operators_cap() {
    let rpc = FakeRpc::new(3);
    let (chain, old) = signed(&[&rpc], 150_000_000).await;
    assert_eq!(old.max_fee_per_gas_wei, 150_000_000, "signed at the cap");
    let error = again(&chain, &old.raw, u128::MAX).unwrap_err();
    assert!(matches!(error, EvmError::FeeAboveCap { .. }) && error.retry(), "{error}");
    // What is above the base fee and not above the cap by a tenth is no replacement either.
    let (chain, old) = signed(&[&rpc], 210_000_000).await;
    assert!(old.max_fee_per_gas_wei > 210_000_000 * 10 / 11);
    assert!(matches!(again(&chain, &old.raw, u128::MAX), Err(EvmError::FeeAboveCap { .. })));
    // Nor is one that the next block would leave where it is.
    let (chain, old) = signed(&[&rpc], 1_000_000_000).await;
    rpc.state().base_fee_wei = Some(20 * BASE_FEE);
    chain.refresh_fees(2).await.unwrap();
    assert!(matches!(again(&chain, &old.raw, u128::MAX), Err(EvmError::FeeAboveCap { .. })));
}

#[tokio::test]
async fn i10_no_replacement_above_what_is_reserved_for_it() {
    let rpc = FakeRpc::new(3);
    let (chain, old) = signed(&[&rpc], 10_000_000_000).await;
    let cost = again(&chain, &old.raw, u128::MAX).unwrap().cost_bound_wei;
    assert!(cost >= 150_000 * old.max_fee_per_gas_wei * 11 / 10);
    assert_eq!(again(&chain, &old.raw, cost).unwrap().cost_bound_wei, cost);
    let error = again(&chain, &old.raw, cost - 1).unwrap_err();
    assert_eq!(error, EvmError::CostAboveBound { cost_wei: cost, bound_wei: cost - 1 });
}

#[tokio::test]
async fn what_does_nothing_goes_to_the_wallet_itself_with_the_least_gas() {
    let rpc = FakeRpc::new(3);
    let (chain, old) = signed(&[&rpc], 10_000_000_000).await;
    let read = Replaced::read(&old.raw).unwrap();
    let fees = chain.replacing_fees(&read).unwrap();
    let key = SigningKey::parse(&quittance_protocol::Secret::new(WALLET_KEY)).unwrap();
    let new = chain.sign_again(read.emptied(&key), &key, &fees, u128::MAX).unwrap();
    let is = decoded(&new.raw);
    assert_eq!((is.nonce, is.to, is.value, is.gas_limit), (7, TxKind::Call(wallet()), U256::ZERO, 21_000));
    assert!(is.input.is_empty());
    assert_eq!(new.cost_bound_wei, 21_000 * new.max_fee_per_gas_wei);
}

#[test]
fn what_is_no_transaction_of_ours_is_not_replaced() {
    for raw in [&[][..], &[2], &[0xc0], &[2, 0xff, 0xff]] {
        assert!(Replaced::read(raw).is_err(), "{raw:?}");
    }
}

#[tokio::test]
async fn a_payment_lives_until_it_is_used_or_past_its_end() {
    let rpc = FakeRpc::new(3);
    let chain = connect(&[&rpc], |_| {}).await;
    let now = GENESIS + 6;
    let (open, paid, gone) = (payment(1, 1, now + 900), payment(2, 2, now + 900), payment(3, 3, now + 900));
    let ends = |at: u64| payment(4, 4, at);
    rpc.mine(vec![settlement(1, wallet(), &[&paid]), cancellation(2, &gone)]);
    let now = now + 2;
    let (over, not_yet) = (ends(now - ENDED_MARGIN_SECONDS), ends(now - ENDED_MARGIN_SECONDS + 1));
    let living = chain.living(&[&open, &paid, &gone, &over, &not_yet]).await.unwrap();
    assert_eq!(living, [true, false, false, false, true]);
}

/// An endpoint that lies alone must not make us leave a payment out.
#[tokio::test]
async fn i7_that_a_payment_is_gone_needs_a_second_endpoint() {
    let (one, two) = (FakeRpc::new(3), FakeRpc::new(3));
    let chain = connect(&[&one, &two], |_| {}).await;
    let p = payment(1, 1, GENESIS + 900);
    one.mine(vec![settlement(1, wallet(), &[&p])]);
    assert_eq!(chain.living(&[&p]).await.unwrap(), [true], "the other one does not know of it");
    two.state().fail = Some(RpcError::Timeout);
    assert_eq!(chain.living(&[&p]).await.unwrap(), [true], "nor where it is silent");
    two.state().fail = None;
    two.mine(vec![settlement(1, wallet(), &[&p])]);
    let chain = connect(&[&one, &two], |_| {}).await;
    assert_eq!(chain.living(&[&p]).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_nonce_is_used_for_good_at_a_finalized_block() {
    let rpc = FakeRpc::new(3);
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, GENESIS + 900);
    rpc.mine(vec![settlement(1, wallet(), &[&p])]);
    assert_eq!(chain.nonces_final(&chain.wallet()).await.unwrap(), 0, "nothing is final");
    rpc.state().finalized = Some(3);
    assert_eq!(chain.nonces_final(&chain.wallet()).await.unwrap(), 0);
    rpc.state().finalized = Some(4);
    assert_eq!(chain.nonces_final(&chain.wallet()).await.unwrap(), 1);
}
