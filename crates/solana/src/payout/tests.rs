use solana_sdk::signature::Signer;

use super::*;
use crate::testing::{FakeRpc, RENT, account, chain, mint, rules, third, wallet};

/// Where an SPL token account keeps its state.
const STATE_AT: usize = 108;

fn token_account(owner: &solana_sdk::pubkey::Pubkey, state: u8) -> Value {
    let mut data = [mint().to_bytes(), owner.to_bytes()].concat();
    data.resize(165, 0);
    data[STATE_AT] = state;
    account(&layout::TOKEN, &data)
}

#[tokio::test]
async fn a_closed_frozen_or_foreign_payout_account_is_seen_in_one_call() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let (ours, at) = (wallet().pubkey(), rules().token_account);
    let empty = SolanaState { wallets_lamports: vec![0], payout: Payout::Missing };
    assert_eq!(chain.state().await, Ok(empty), "neither exists");
    assert_eq!(node.take_calls(), ["getMultipleAccounts"]);
    node.put(&ours, Some(account(&layout::SYSTEM, &[])));
    for (stands, payout) in [
        (Some(token_account(&ours, 1)), Payout::Ready),
        (Some(token_account(&ours, 2)), Payout::Frozen),
        (Some(token_account(&third().pubkey(), 1)), Payout::Foreign),
        (Some(account(&third().pubkey(), &[])), Payout::Foreign),
        (Some(account(&layout::SYSTEM, &[])), Payout::Missing),
        (None, Payout::Missing),
        (Some(token_account(&ours, 1)), Payout::Ready),
    ] {
        node.put(&at, stands);
        assert_eq!(chain.state().await, Ok(SolanaState { wallets_lamports: vec![RENT], payout }));
        assert_eq!(chain.token_account_missing(), payout == Payout::Missing, "{payout:?}");
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_proves_nothing() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getMultipleAccounts", Err(RpcFailure::Timeout));
    assert!(chain.state().await.is_err());
    assert!(chain.token_account_missing(), "as it was");
}
