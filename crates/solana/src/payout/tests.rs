use solana_sdk::signature::Signer;

use super::*;
use crate::testing::{FakeRpc, RENT, account, chain, mint, rules, third, wallet};
use crate::token::tests::mint_with;

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
    let empty = SolanaState { wallets_lamports: vec![0], payout: Payout::Missing, token: None };
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
        assert_eq!(
            chain.state().await,
            Ok(SolanaState { wallets_lamports: vec![RENT], payout, token: None })
        );
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

/// A chain that sells for a token of Token-2022, and its node.
async fn of_token_2022(
    extensions: &[(u16, Vec<u8>)],
) -> (std::sync::Arc<FakeRpc>, Result<SolanaChain, SolanaError>) {
    let node = FakeRpc::new();
    node.put(&mint(), Some(account(&TokenProgram::Token2022.id(), &mint_with(extensions))));
    let key = quittance_protocol::Secret::new(wallet().to_base58_string());
    let config = crate::SolanaConfig { token_program: TokenProgram::Token2022, ..crate::testing::config() };
    let endpoints = vec![std::sync::Arc::clone(&node) as std::sync::Arc<dyn crate::Rpc>];
    let chain = SolanaChain::connect_with(config, &key, endpoints).await;
    node.take_calls();
    (node, chain)
}

const PAUSABLE: u16 = 26;
const TRANSFER_HOOK: u16 = 14;
const NON_TRANSFERABLE: u16 = 9;

#[tokio::test]
async fn a_mint_that_changes_closes_the_network_and_one_that_is_bad_does_not_start() {
    let paused = |paused: u8| (PAUSABLE, [vec![7; 32], vec![paused]].concat());
    let hook = |program: u8| (TRANSFER_HOOK, [vec![7; 32], vec![program; 32]].concat());
    let put = |node: &FakeRpc, extensions: &[(u16, Vec<u8>)]| {
        node.put(&mint(), Some(account(&TokenProgram::Token2022.id(), &mint_with(extensions))));
    };
    // A pause may end: it is waited for, as at any other time.
    let (node, chain) = of_token_2022(&[paused(1), hook(0)]).await;
    let chain = chain.unwrap();
    let token = async || chain.state().await.unwrap().token.map(|fault| (fault.extension, fault.is_pause));
    assert_eq!(token().await, Some(("Pausable", true)));
    assert_eq!(node.take_calls(), ["getMultipleAccounts"], "no call more");
    put(&node, &[paused(0), hook(0)]);
    assert_eq!(token().await, None);
    put(&node, &[paused(0), hook(9)]);
    assert_eq!(token().await, Some(("TransferHook", false)));
    // Closed and made anew as another token.
    node.put(&mint(), None);
    assert_eq!(token().await, Some(("MintCloseAuthority", false)));
    let (_, refused) = of_token_2022(&[(NON_TRANSFERABLE, Vec::new())]).await;
    let refused = refused.err().unwrap();
    assert!(matches!(refused, SolanaError::MintExtension { extension: "NonTransferable", .. }), "{refused}");
}

#[tokio::test]
async fn a_mint_of_the_other_program_is_refused_with_the_key_that_says_so() {
    let (node, chain) = of_token_2022(&[]).await;
    assert!(chain.is_ok());
    node.put(&mint(), Some(account(&layout::TOKEN, &mint_with(&[]))));
    let key = quittance_protocol::Secret::new(wallet().to_base58_string());
    for program in [TokenProgram::Token2022, TokenProgram::Token] {
        let other =
            if program == TokenProgram::Token { TokenProgram::Token2022 } else { TokenProgram::Token };
        node.put(&mint(), Some(account(&other.id(), &mint_with(&[]))));
        let config = crate::SolanaConfig { token_program: program, ..crate::testing::config() };
        let endpoints = vec![std::sync::Arc::clone(&node) as std::sync::Arc<dyn crate::Rpc>];
        let refused = SolanaChain::connect_with(config, &key, endpoints).await.err().unwrap();
        assert!(refused.to_string().contains("token_program"), "{refused}");
    }
}
