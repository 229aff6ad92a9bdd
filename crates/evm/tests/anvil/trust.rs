//! What is not taken on trust, against Circle's real token: its decimals, its currency, whom it pays.

use alloy::sol_types::SolCall;
use quittance_evm::{EvmChain, EvmConfig, EvmError, EvmState};
use quittance_protocol::{Network, Secret};

use crate::support::{PAY_TO, Token, WALLET_KEY, devnet, payer};

#[tokio::test]
async fn a_token_whose_units_are_no_millionths_of_a_dollar_is_refused() {
    let Some(net) = devnet().await else { return };
    let connect = async |asset: String, change: fn(&mut EvmConfig)| {
        let network: Network = Network::BASE.parse().unwrap();
        let mut config = EvmConfig::new(network, vec![net.url.clone()], asset, PAY_TO);
        change(&mut config);
        EvmChain::connect(config, &Secret::new(WALLET_KEY)).await.map(|_| ())
    };
    assert_eq!(connect(net.token.to_string(), |_| {}).await, Ok(()));
    let eighteen = net.second_token(18, "USD").await.to_string();
    let refused = Err(EvmError::Decimals { expected: 6, found: Some(18) });
    assert_eq!(connect(eighteen.clone(), |_| {}).await, refused);
    assert_eq!(connect(eighteen, |c| c.asset_decimals = 18).await, Ok(()), "compared, not presumed");
    let euros = net.second_token(6, "EUR").await.to_string();
    assert_eq!(connect(euros, |_| {}).await, Err(EvmError::Currency));
    // A contract that is no token at all.
    let oracle = quittance_evm::ADDRESS_MULTICALL3.to_owned();
    let elsewhere = |config: &mut EvmConfig| config.multicall = format!("0x{:040x}", 0xca11b);
    assert_eq!(connect(oracle, elsewhere).await, Err(EvmError::Decimals { expected: 6, found: None }));
}

#[tokio::test]
async fn a_pause_and_a_blacklisting_are_seen_and_end() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    let fine = EvmState { wallets_wei: vec![10_u128.pow(18)], paused: false, pay_to_blacklisted: false };
    counting.take();
    assert_eq!(chain.state().await, Ok(fine.clone()));
    assert_eq!(counting.take(), ["eth_call"], "in one call");

    let pay_to = PAY_TO.parse().unwrap();
    net.as_owner(vec![Token::pauseCall {}.abi_encode()]).await;
    assert_eq!(chain.state().await, Ok(EvmState { paused: true, ..fine.clone() }));
    net.as_owner(vec![
        Token::unpauseCall {}.abi_encode(),
        Token::blacklistCall { account: pay_to }.abi_encode(),
    ])
    .await;
    assert_eq!(chain.state().await, Ok(EvmState { pay_to_blacklisted: true, ..fine.clone() }));
    net.as_owner(vec![Token::unBlacklistCall { account: pay_to }.abi_encode()]).await;
    net.set_balance(&payer(WALLET_KEY).address(), 7).await;
    let poor = EvmState { wallets_wei: vec![7], ..fine };
    assert_eq!(chain.state().await, Ok(poor.clone()));

    // The same without Multicall3.
    net.set_code(quittance_evm::ADDRESS_MULTICALL3, "0x").await;
    assert_eq!(chain.state().await, Ok(poor.clone()));
    net.as_owner(vec![Token::pauseCall {}.abi_encode()]).await;
    assert_eq!(chain.state().await, Ok(EvmState { paused: true, ..poor.clone() }));
    // A token that knows neither moves on.
    let silent = "0x600160005260206000f3";
    net.set_code(&net.token.to_string(), silent).await;
    assert!(chain.state().await.unwrap().paused, "one that says yes to everything is paused");
    net.set_code(&net.token.to_string(), "0x60006000fd").await;
    assert_eq!(chain.state().await, Ok(poor.clone()));
}
