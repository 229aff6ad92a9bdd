//! What is not taken on trust: the mint's decimals, whom it pays, the payout account's state.

use quittance_solana::{Payout, SolanaState};

use super::*;

/// An SPL token account of `owner`; `state` is 1, or 2 for frozen.
fn account_of(world: &World, owner: &str, state: u8) -> Vec<u8> {
    let mut data = vec![0; 165];
    data[..32].copy_from_slice(&bs58::decode(&world.mint).into_vec().unwrap());
    data[32..64].copy_from_slice(&bs58::decode(owner).into_vec().unwrap());
    data[108] = state;
    data
}

#[tokio::test]
async fn a_pay_to_that_nobody_can_sign_for_is_refused() {
    let Some(world) = World::new("recipient").await else { return };
    let payer = world.payer.pubkey().to_string();
    let vault = solana_sdk::pubkey::Pubkey::find_program_address(&[b"vault"], &world.payer.pubkey()).0;
    for (pay_to, refused) in [
        (token_account(&payer, &world.mint), Some("token account")),
        (world.mint.clone(), Some("mint")),
        (TOKEN.to_owned(), Some("program")),
        (SYSTEM.to_owned(), Some("program")),
        (vault.to_string(), None),
        (payer.clone(), None),
    ] {
        let config = SolanaConfig { pay_to: pay_to.clone(), ..world.config(TokenAccountPolicy::InPayment) };
        let error = SolanaChain::connect(config, &secret(&world.wallet)).await.err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said.is_empty(), refused.is_none(), "{pay_to}: {said}");
        assert!(said.contains(refused.unwrap_or_default()), "{pay_to}: {said}");
    }
}

#[tokio::test]
async fn a_mint_with_other_decimals_is_refused() {
    let Some(world) = World::new("decimals").await else { return };
    let mut data = vec![0; 82];
    (data[44], data[45]) = (9, 1);
    world.set_account(&world.mint, 1_461_600, &data, TOKEN).await;
    let config = world.config(TokenAccountPolicy::InPayment);
    let error = SolanaChain::connect(config, &secret(&world.wallet)).await.err();
    assert_eq!(error, Some(SolanaError::Decimals { expected: 6, found: 9 }));
}

#[tokio::test]
async fn an_endpoint_of_a_public_cluster_is_not_the_configured_one() {
    let Some(world) = World::new("cluster").await else { return };
    // The local validator stands in for mainnet, on this machine only.
    assert!(world.chain(TokenAccountPolicy::InPayment).await.is_stand_in());
    assert_eq!(world.chain(TokenAccountPolicy::InPayment).await.wrong_endpoints().await, []);
}

#[tokio::test]
async fn a_frozen_and_a_closed_payout_account_are_seen_and_end() {
    let Some(world) = World::new("payout").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    let owner = world.wallet.pubkey().to_string();
    let at = token_account(&owner, &world.mint);
    let payment = world.pay(&chain, "payout").await;
    for (owner_program, data, payout) in [
        (TOKEN, account_of(&world, &owner, 1), Payout::Ready),
        (TOKEN, account_of(&world, &owner, 2), Payout::Frozen),
        (TOKEN, account_of(&world, &world.payer.pubkey().to_string(), 1), Payout::Foreign),
        (SYSTEM, vec![], Payout::Missing),
        (TOKEN, account_of(&world, &owner, 1), Payout::Ready),
    ] {
        world.set_account(&at, RENT, &data, owner_program).await;
        let SolanaState { payout: seen, .. } = chain.state().await.unwrap();
        assert_eq!(seen, payout);
        // A transfer to an account that changed hands works: into another's hands.
        if payout != Payout::Foreign {
            assert_eq!(chain.check_chain(&payment).await.is_ok(), payout == Payout::Ready, "{payout:?}");
        }
    }
}
