//! Checks that share a call, against Circle's real token: each payment hears what it would hear alone.

use std::sync::Arc;

use alloy::primitives::{B256, U256};
use alloy::sol_types::SolCall;
use futures::future::join_all;
use quittance_chain::{Chain, ChainView, CheckError, GasCoin, Rejection, Verified};
use quittance_evm::{EvmChain, EvmConfig, EvmDecode, EvmError, EvmPayment, Rpc, facts, ports};
use quittance_protocol::{Amount, ErrorCode, Network, PaymentPayload, Secret};

use crate::support::{Counting, Devnet, PAY_TO, Token, WALLET_KEY, devnet, now, payer, settle};

/// Runtime code that burns all gas it is given.
pub(crate) const BURNS: &str = "0x5b600056";
/// Runtime code that reverts with a megabyte.
const BOMB: &str = "0x620f42406000fd";
/// Runtime code that answers every call with ERC-1271's magic value.
pub(crate) const SAYS_YES: &str = "0x631626ba7e60e01b60005260206000f3";
/// An EIP-7702 delegation.
pub(crate) const DELEGATION: &str = "0xef01000101010101010101010101010101010101010101";

/// A key per payer.
pub(crate) fn key_of(number: u32) -> String {
    format!("{:#x}", B256::from(U256::from(0xb1_0000_0000_u64 + u64::from(number))))
}

pub(crate) fn nonce_of(number: u32) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// A payment of 100, signed at a time.
pub(crate) fn signed(net: &Devnet, number: u32, at: u64) -> PaymentPayload {
    let mut payload = net.payload(&key_of(number), 100, 1);
    let exact = payer(&key_of(number)).sign_authorization(&net.requirements(100), at, nonce_of(number));
    payload.payload = serde_json::to_value(exact.unwrap()).unwrap();
    payload
}

pub(crate) async fn mint_to_all(net: &Devnet, numbers: impl Iterator<Item = u32>) {
    let mint = |number| Token::mintCall {
        to: payer(&key_of(number)).address().parse().unwrap(),
        amount: U256::from(1_000),
    };
    net.as_owner(numbers.map(|number| mint(number).abi_encode()).collect()).await;
}

/// A chain as a facilitator has it.
pub(crate) fn connected(chain: EvmChain) -> Chain {
    let network: Network = Network::BASE.parse().unwrap();
    let coin = GasCoin { name: "ETH".to_owned(), decimals: 18, pair: "eth_usd".to_owned() };
    let facts = facts(chain.config(), coin, &[Secret::new(WALLET_KEY)], &[]).unwrap();
    Chain::connected(facts, Arc::new(EvmDecode::new(network)), ports(chain))
}

async fn ask(chain: &Chain, payment: &Verified) -> Result<ChainView, CheckError> {
    chain.verify().unwrap().check_chain(payment).await
}

fn ours(payment: &Verified) -> &EvmPayment {
    payment.get::<EvmPayment>().unwrap()
}

fn refused(found: &Result<ChainView, CheckError>) -> Option<&Rejection> {
    match found {
        Err(CheckError::Rejected(rejection)) => Some(rejection),
        _ => None,
    }
}

/// Who is what among sixty-four payers; all others are good.
const DRAINED: u32 = 3;
const USED: u32 = 7;
const EXPIRED: u32 = 11;
const EARLY: u32 = 13;
const BLACKLISTED: u32 = 17;
const BURNING: u32 = 20;
const BOMBING: u32 = 21;
const DELEGATED: u32 = 22;

async fn sixty_four(net: &Devnet, chain: &EvmChain) -> Vec<PaymentPayload> {
    mint_to_all(net, (1..=64).filter(|number| *number != DRAINED)).await;
    let blacklisted = payer(&key_of(BLACKLISTED)).address().parse().unwrap();
    net.as_owner(vec![Token::blacklistCall { account: blacklisted }.abi_encode()]).await;
    for (number, code) in [(BURNING, BURNS), (BOMBING, BOMB), (DELEGATED, DELEGATION)] {
        net.set_code(&payer(&key_of(number)).address(), code).await;
    }
    let all: Vec<PaymentPayload> = (1..=64)
        .map(|number| {
            let at = match number {
                EXPIRED => now() - 200,
                EARLY => now() + 1_000,
                _ => now(),
            };
            signed(net, number, at)
        })
        .collect();
    let used = chain.check_timeless(&all[USED as usize - 1]).unwrap();
    net.receipt(&settle(chain, &used).await.transaction).await;
    all
}

#[tokio::test]
async fn sixty_four_payers_share_few_calls_and_each_hears_its_own_answer() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = net.connect(WALLET_KEY, 20).await;
    chain.refresh_fees(0).await.unwrap();
    let payloads = sixty_four(&net, &chain).await;
    let (alone, _) = net.connect(WALLET_KEY, 0).await;
    alone.refresh_fees(0).await.unwrap();
    let chain = connected(chain);
    let verify = chain.verify().unwrap();
    let all: Vec<Verified> = payloads.iter().map(|one| verify.check_local(one).unwrap()).collect();

    counting.take();
    let found = join_all(all.iter().map(|payment| ask(&chain, payment))).await;
    let calls = counting.take();
    assert!(calls.iter().all(|method| method == "eth_call"), "{calls:?}");
    // The first alone, the others in one, and once more each of the three with code.
    assert_eq!(calls.len(), 2 + 3, "{calls:?}");

    let code = |number: u32| refused(&found[number as usize - 1]).map(|rejection| rejection.code);
    use ErrorCode as C;
    for (number, wanted) in [
        (DRAINED, C::InvalidExactEvmInsufficientBalance),
        (USED, C::InvalidExactEvmNonceAlreadyUsed),
        (EXPIRED, C::InvalidExactEvmPayloadAuthorizationValidBefore),
        (EARLY, C::InvalidExactEvmPayloadAuthorizationValidAfter),
        (BLACKLISTED, C::InvalidExactEvmTransactionSimulationFailed),
    ] {
        assert_eq!(code(number), Some(wanted), "{number}");
    }
    for number in [BURNING, BOMBING, DELEGATED] {
        assert!(code(number).is_some(), "{number}: {:?}", found[number as usize - 1]);
    }
    for (payment, found) in all.iter().zip(&found) {
        match (alone.check_chain(ours(payment)).await, found) {
            (Ok(seen), Ok(view)) => {
                assert_eq!((view.balance, view.by_code), (Some(Amount::new(seen.balance)), seen.has_code));
                assert_eq!(seen.balance, 1_000);
                assert!(view.watch_from > 0 && view.watch_from <= seen.block);
            }
            (Err(error), found) => {
                let rejection = refused(found).unwrap_or_else(|| panic!("{error}: {found:?}"));
                assert_eq!((rejection.code, &rejection.message), (error.wire_code(), &error.to_string()));
                assert_eq!(rejection.payer.as_ref(), Some(&payment.payer));
            }
            other => panic!("{other:?}"),
        }
    }
    let good = found.iter().filter(|found| found.is_ok()).count();
    assert_eq!(good, 64 - 8);
}

#[tokio::test]
async fn two_hundred_copies_are_two_calls() {
    let Some(net) = devnet().await else { return };
    mint_to_all(&net, 1..=1).await;
    let (chain, counting) = net.connect(WALLET_KEY, 20).await;
    let chain = connected(chain);
    let payment = chain.verify().unwrap().check_local(&signed(&net, 1, now())).unwrap();
    counting.take();
    let found = join_all((0..200).map(|_| ask(&chain, &payment))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(counting.take(), ["eth_call"; 2]);
}

/// Each in a frame of its own: nothing that one moves is there for the next.
#[tokio::test]
async fn what_one_transfer_does_is_undone_before_the_next() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    net.mint(&payer(&key_of(1)).address(), 150).await;
    let pay = |nonce: u32| {
        let mut payload = signed(&net, 1, now());
        let exact = payer(&key_of(1)).sign_authorization(&net.requirements(100), now(), nonce_of(nonce));
        payload.payload = serde_json::to_value(exact.unwrap()).unwrap();
        Arc::new(chain.check_timeless(&payload).unwrap())
    };
    // Money for one; alone both are good, and what the ledger lets be claimed is not decided here.
    let two = [pay(1), pay(2), pay(1)];
    let found = chain.check_together(&two).await.unwrap();
    let balances: Vec<_> = found.into_iter().map(|found| found.unwrap().unwrap().balance).collect();
    assert_eq!(balances, [150; 3]);
}

/// A burning, bombing, agreeing or delegated payer beside others: its code is not run there.
#[tokio::test]
async fn a_payer_with_code_is_not_judged_in_a_shared_call_and_burns_nobodys_gas() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    mint_to_all(&net, 1..=5).await;
    let payments: Vec<_> =
        (1..=5).map(|n| Arc::new(chain.check_timeless(&signed(&net, n, now())).unwrap())).collect();
    for code in [BURNS, BOMB, SAYS_YES, DELEGATION] {
        for hostile in [1, 2, 4] {
            net.set_code(&payer(&key_of(hostile)).address(), code).await;
        }
        counting.take();
        let found = chain.check_together(&payments).await.unwrap();
        assert_eq!(counting.take(), ["eth_call"]);
        for (number, found) in (1..).zip(&found) {
            match number {
                1 | 2 | 4 => assert_eq!(*found, None, "{code}"),
                _ => assert_eq!(found.as_ref().unwrap().as_ref().unwrap().balance, 1_000, "{code}"),
            }
        }
    }
}

async fn with_gas(net: &Devnet, change: impl FnOnce(&mut EvmConfig)) -> EvmChain {
    let network: Network = Network::BASE.parse().unwrap();
    let mut config = EvmConfig::new(network, vec![net.url.clone()], net.token.to_string(), PAY_TO);
    change(&mut config);
    EvmChain::connect(config, &Secret::new(WALLET_KEY)).await.unwrap()
}

/// Storage that the first transfer warmed would let the others pass with a third of the gas. Alone, with
/// Multicall3 and without, it takes what a settlement takes.
#[tokio::test]
async fn nobody_passes_in_company_with_less_gas_than_a_settlement_takes() {
    let Some(net) = devnet().await else { return };
    mint_to_all(&net, 1..=4).await;
    for without_multicall in [false, true] {
        if without_multicall {
            net.set_code(quittance_evm::ADDRESS_MULTICALL3, "0x").await;
        }
        let mut seen = Vec::new();
        for settle_gas_limit in (60_000..=130_000).step_by(10_000) {
            let chain = with_gas(&net, |config| config.settle_gas_limit = settle_gas_limit).await;
            let payments: Vec<_> =
                (1..=4).map(|n| Arc::new(chain.check_timeless(&signed(&net, n, now())).unwrap())).collect();
            let together = chain.check_together(&payments).await.unwrap();
            let passes = together.iter().filter(|found| matches!(found, Some(Ok(_)))).count();
            assert!(
                passes == 0 || passes == 4,
                "{settle_gas_limit}: all or none, first or last: {together:?}"
            );
            assert!(together.iter().all(|found| !matches!(found, Some(Err(_)))), "gas is never the payer's");
            let alone = chain.check_chain(&payments[3]).await;
            assert!(passes == 0 || alone.is_ok(), "{settle_gas_limit}: {alone:?}");
            seen.push((passes, alone.is_ok()));
        }
        assert_eq!((seen.first(), seen.last()), (Some(&(0, false)), Some(&(4, true))), "{seen:?}");
    }
}

/// A node that runs no call with so much gas, or none of this kind, is asked about each alone.
#[tokio::test]
async fn a_node_that_runs_no_shared_call_is_asked_about_each_alone() {
    let Some(net) = devnet().await else { return };
    mint_to_all(&net, 1..=9).await;
    let network: Network = Network::BASE.parse().unwrap();
    let counting = Counting::refusing_longer_than(&net, 4_500);
    let config = EvmConfig::new(network, vec![], net.token.to_string(), PAY_TO);
    let rpcs: Vec<Arc<dyn Rpc>> = vec![counting.clone()];
    let chain = connected(EvmChain::connect_with(config, &Secret::new(WALLET_KEY), rpcs).await.unwrap());
    let verify = chain.verify().unwrap();
    let all: Vec<Verified> = (1..=9).map(|n| verify.check_local(&signed(&net, n, now())).unwrap()).collect();
    counting.take();
    let found = join_all(all.iter().map(|payment| ask(&chain, payment))).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    assert_eq!(counting.take().len(), 1 + 1 + 8);
    // Without Multicall3 a shared call needs nothing that is deployed but the token.
    net.set_code(quittance_evm::ADDRESS_MULTICALL3, "0x").await;
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    let payments: Vec<_> = all.iter().map(|one| Arc::new(ours(one).clone())).collect();
    counting.take();
    let found = chain.check_together(&payments).await.unwrap();
    assert!(found.iter().all(|found| matches!(found, Some(Ok(_)))), "{found:?}");
    assert_eq!(counting.take(), ["eth_call"]);
    // And an address without code is no token.
    net.set_code(&net.token.to_string(), "0x").await;
    let found = chain.check_together(&payments).await.unwrap();
    assert!(found.iter().all(Option::is_none), "{found:?}");
    assert_eq!(chain.check_chain(&payments[0]).await, Err(EvmError::AssetNotDeployed));
}
