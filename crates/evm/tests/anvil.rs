//! Payments on a real anvil with Circle's real token (FiatToken v2.2 behind its proxy).
//!
//! Needs `anvil` (on the path, or `QUITTANCE_ANVIL`) and `QUITTANCE_STABLECOIN_ARTIFACTS`; fails
//! without them unless `QUITTANCE_SKIP_CHAINS=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

#[path = "anvil/batches.rs"]
mod batches;
#[path = "anvil/shared.rs"]
mod shared;
#[path = "anvil/shares.rs"]
mod shares;
mod support;
#[path = "anvil/trust.rs"]
mod trust;

use alloy::primitives::{Address, B256, Bytes};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{Eip712Domain, SolCall, SolStruct};
use quittance_evm::{EvmChain, EvmConfig, EvmError, Rpc, ScanCursor, SignatureKind};
use quittance_protocol::{Evidence, Network, Secret, SendOutcome};
use serde_json::json;
use support::{
    CHAIN_ID, CancelAuthorization, Devnet, FOREIGN_KEY, PAY_TO, Recorded, Token, WALLET_KEY, devnet,
    evidence, key, now, payer, settle, sign, watch,
};

/// Runtime code that answers every call with ERC-1271's magic value.
const YES_WALLET: &str = "0x631626ba7e60e01b60005260206000f3";
/// Runtime code that answers every call with zero.
const NO_WALLET: &str = "0x600060005260206000f3";
/// Runtime code that burns all gas it is given.
const BURNING_WALLET: &str = "0x5b600056";

#[tokio::test]
async fn a_payment_settles_and_its_nonce_is_used_up() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    net.mint(&payer(&key(1)).address(), 1_000_000).await;
    let payment = net.payment(&chain, &key(1), 13_938, 1);

    counting.take();
    let view = chain.check_chain(&payment).await.unwrap();
    assert_eq!(counting.take(), ["eth_call"], "one JSON-RPC call");
    assert!(view.block > 0 && view.block_time.abs_diff(now()) < 30);

    let signed = settle(&chain, &payment).await;
    let watched = [watch(&payment, Some(&signed), view.block)];
    let found = evidence(&chain, &watched, &mut ScanCursor::default(), 1).await.unwrap();
    let [Evidence::Settled(landing)] = found.as_slice() else { panic!("{found:?}") };
    let receipt = net.receipt(&signed.transaction).await;
    assert_eq!(landing.transaction, signed.transaction);
    assert_eq!(landing.block_hash, receipt["blockHash"].as_str().unwrap());
    assert!(landing.paid_by_us);
    assert!(landing.cost_native > 0 && landing.cost_native <= signed.cost_bound_wei);
    assert_eq!(net.tokens_of(PAY_TO).await, 13_938);

    counting.take();
    assert_eq!(chain.check_chain(&payment).await, Err(EvmError::NonceAlreadyUsed));
    assert_eq!(counting.take(), ["eth_call"]);
}

#[tokio::test]
async fn what_the_chain_refuses_before_any_gas_is_spent() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    let (rich, poor) = (payer(&key(1)).address(), payer(&key(2)).address());
    net.mint(&rich, 1_000_000).await;
    net.mint(&poor, 99).await;

    assert_eq!(
        chain.check_chain(&net.payment(&chain, &key(2), 100, 1)).await,
        Err(EvmError::InsufficientBalance)
    );
    assert!(chain.check_chain(&net.payment(&chain, &key(2), 99, 2)).await.is_ok(), "all there is");

    // Signed by somebody else: locally it might be a contract's signature, the token knows better.
    let mut forged = net.payload(&key(1), 100, 3);
    forged.payload["signature"] = net.payload(&key(2), 100, 3).payload["signature"].clone();
    let forged = chain.check_local(&forged, now()).unwrap();
    assert_eq!(forged.signature_kind(), SignatureKind::Contract);
    assert_eq!(chain.check_chain(&forged).await, Err(EvmError::Signature));

    let expired = {
        let mut offer = net.payload(&key(1), 100, 4);
        let exact = payer(&key(1)).sign_authorization(&net.requirements(100), now() - 200, [4; 32]).unwrap();
        offer.payload = serde_json::to_value(exact).unwrap();
        chain.check_local(&offer, now() - 200).unwrap()
    };
    assert_eq!(chain.check_chain(&expired).await, Err(EvmError::Expired));

    net.as_owner(vec![Token::pauseCall {}.abi_encode()]).await;
    let paused = chain.check_chain(&net.payment(&chain, &key(1), 100, 5)).await;
    assert!(
        matches!(&paused, Err(EvmError::Simulation { reason }) if reason.contains("paused")),
        "{paused:?}"
    );
}

/// A third party may submit what it has seen; the money is here and it has cost us nothing.
#[tokio::test]
async fn a_foreign_landing_settles_the_payment_and_reverts_ours() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    let (stranger, _) = net.connect(FOREIGN_KEY, 0).await;
    net.mint(&payer(&key(1)).address(), 1_000_000).await;
    let payment = net.payment(&chain, &key(1), 500, 1);
    let view = chain.check_chain(&payment).await.unwrap();
    let foreign = settle(&stranger, &payment).await;
    net.receipt(&foreign.transaction).await;
    // Ours is too late and reverts.
    let ours = settle(&chain, &payment).await;
    assert_eq!(net.receipt(&ours.transaction).await["status"], "0x0");
    let watched = [watch(&payment, Some(&ours), view.block)];
    let found = evidence(&chain, &watched, &mut ScanCursor::default(), 1).await.unwrap();
    // Ours is asked for by its hash, so what it cost is seen in the same look.
    let [Evidence::Reverted(cost), Evidence::Settled(landing)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(cost.transaction, ours.transaction);
    assert_eq!(landing.transaction, foreign.transaction);
    assert!(!landing.paid_by_us);
    assert_eq!(net.tokens_of(PAY_TO).await, 500);
}

#[tokio::test]
async fn a_revert_is_seen_with_its_cost() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    // Nothing was minted: whoever skips the chain check pays for it.
    let payment = net.payment(&chain, &key(1), 500, 1);
    let from = chain.head().await.unwrap().block;
    let signed = settle(&chain, &payment).await;
    let watched = [watch(&payment, Some(&signed), from)];
    let mut cursor = ScanCursor::default();
    let found = evidence(&chain, &watched, &mut cursor, 1).await.unwrap();
    let [Evidence::Reverted(landing)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(landing.transaction, signed.transaction);
    assert!(landing.paid_by_us && landing.cost_native > 0);
    // The authorization is still good: the payer gets money, and a second attempt settles.
    net.mint(&payer(&key(1)).address(), 500).await;
    let again = settle(&chain, &payment).await;
    let mut watched = watched;
    watched[0].attempts.push(again.transaction.clone());
    watched[0].attempt_nonce = Some(again.nonce);
    let found = evidence(&chain, &watched, &mut cursor, 1).await.unwrap();
    assert!(
        matches!(found.as_slice(), [Evidence::Settled(l)] if l.transaction == again.transaction),
        "{found:?}"
    );
}

async fn cancel(net: &Devnet, key: &str, nonce: u8) {
    let signer: PrivateKeySigner = key.parse().unwrap();
    let domain = Eip712Domain::new(
        Some("USD Coin".into()),
        Some("2".into()),
        Some(alloy::primitives::U256::from(CHAIN_ID)),
        Some(net.token),
        None,
    );
    let message = CancelAuthorization { authorizer: signer.address(), nonce: B256::repeat_byte(nonce) };
    let signature = signer.sign_hash_sync(&message.eip712_signing_hash(&domain)).unwrap();
    let call = Token::cancelAuthorizationCall {
        authorizer: message.authorizer,
        nonce: message.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    };
    net.as_owner(vec![call.abi_encode()]).await;
}

#[tokio::test]
async fn i5_a_cancelled_authorization_ends_the_payment_once_final() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    net.mint(&payer(&key(1)).address(), 1_000).await;
    let payment = net.payment(&chain, &key(1), 500, 9);
    let view = chain.check_chain(&payment).await.unwrap();
    cancel(&net, &key(1), 9).await;
    assert_eq!(chain.check_chain(&payment).await, Err(EvmError::NonceAlreadyUsed));
    let watched = [watch(&payment, None, view.block)];
    let found = evidence(&chain, &watched, &mut ScanCursor::default(), 1).await.unwrap();
    assert!(matches!(found.as_slice(), [Evidence::Canceled(l)] if !l.paid_by_us), "{found:?}");
    assert_eq!(net.tokens_of(PAY_TO).await, 0);
}

#[tokio::test]
async fn i5_an_unused_authorization_expires_at_a_finalized_block() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    let mut payload = net.payload(&key(1), 500, 1);
    let mut requirements = net.requirements(500);
    requirements.max_timeout_seconds = 8;
    let exact = payer(&key(1)).sign_authorization(&requirements, now(), [1; 32]).unwrap();
    payload.payload = serde_json::to_value(exact).unwrap();
    let payment = chain.check_local(&payload, now()).unwrap();
    let from = chain.head().await.unwrap().block;
    let found =
        evidence(&chain, &[watch(&payment, None, from)], &mut ScanCursor::default(), 1).await.unwrap();
    let [Evidence::Expired { clock, .. }] = found.as_slice() else { panic!("{found:?}") };
    let quittance_protocol::Deadline::UnixSeconds(deadline) = payment.deadline() else { panic!() };
    assert!(*clock >= deadline);
}

/// P2: the process dies after sending; a new one finds the outcome from the ledger's JSON alone.
#[tokio::test]
async fn a_restart_finds_the_outcome_of_what_was_sent() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    net.mint(&payer(&key(1)).address(), 1_000_000).await;
    let payment = net.payment(&chain, &key(1), 500, 1);
    let view = chain.check_chain(&payment).await.unwrap();
    let signed = settle(&chain, &payment).await;
    let stored = serde_json::to_string(&watch(&payment, Some(&signed), view.block)).unwrap();
    drop(chain);
    net.receipt(&signed.transaction).await;
    net.rpc.ask("anvil_mine", json!(["0x5"])).await.unwrap();

    let (restarted, counting) = net.connect(WALLET_KEY, 0).await;
    counting.take();
    let watched = [serde_json::from_str(&stored).unwrap()];
    let found = restarted.scan(&watched, &mut ScanCursor::default()).await.unwrap();
    assert!(
        matches!(found.as_slice(), [(key, Evidence::Settled(l))] if *key == payment.key() && l.transaction == signed.transaction),
        "{found:?}"
    );
}

#[tokio::test]
async fn one_block_of_sixteen_payments_is_one_log_query() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = net.connect(WALLET_KEY, 20).await;
    for n in 1..=16 {
        // All mints in one go would be as good; the payers only need money.
        let call = Token::mintCall {
            to: payer(&key(n)).address().parse().unwrap(),
            amount: alloy::primitives::U256::from(1_000),
        };
        if n == 16 {
            net.as_owner(vec![call.abi_encode()]).await;
        } else {
            let request = json!({"from": net.owner, "to": net.token, "data": Bytes::from(call.abi_encode()), "gas": "0x7a120"});
            net.rpc.ask("eth_sendTransaction", json!([request])).await.unwrap();
        }
    }
    let fees = chain.refresh_fees(0).await.unwrap();
    let first = chain.transaction_count(&chain.wallet()).await.unwrap();
    let from = chain.head().await.unwrap().block;
    let mut watched = Vec::new();
    for n in 1..=16_u8 {
        let payment = net.payment(&chain, &key(n), 100, n);
        let slot = (chain.wallet(), first + u64::from(n) - 1);
        let signed = chain.sign_settlement(&payment, (&slot.0, slot.1), &fees, u128::MAX).unwrap();
        watched.push(watch(&payment, Some(&signed), from));
        assert_eq!(chain.send(&Recorded(signed)).await, SendOutcome::Accepted);
    }
    counting.take();
    let mut cursor = ScanCursor::default();
    let found = evidence(&chain, &watched, &mut cursor, 16).await.unwrap();
    for found in &found {
        assert!(matches!(found, Evidence::Settled(_)), "{found:?}");
    }
    let calls = counting.take();
    let count = |method: &str| calls.iter().filter(|c| *c == method).count();
    // At least eight are in one block.
    assert!((1..=2).contains(&count("eth_getBlockReceipts")), "{calls:?}");
    assert!(count("eth_getTransactionReceipt") <= 8, "and none per poll: {calls:?}");
    assert_eq!(net.tokens_of(PAY_TO).await, 1_600);
}

#[tokio::test]
async fn a_contract_payer_is_asked_by_the_token_and_never_for_more_gas_than_settling_gives() {
    let Some(net) = devnet().await else { return };
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    // The check runs at the price that the transaction will carry.
    chain.refresh_fees(0).await.unwrap();
    let contract = payer(&key(1)).address();
    net.mint(&contract, 1_000).await;
    let mut payload = net.payload(&key(1), 500, 1);
    payload.payload["signature"] = json!(format!("0x{}", "ab".repeat(200)));
    let payment = chain.check_local(&payload, now()).unwrap();
    assert_eq!(payment.signature_kind(), SignatureKind::Contract);

    assert_eq!(chain.check_chain(&payment).await, Err(EvmError::Signature), "no code: nobody vouches");
    net.set_code(&contract, NO_WALLET).await;
    assert_eq!(chain.check_chain(&payment).await, Err(EvmError::Signature));
    net.set_code(&contract, BURNING_WALLET).await;
    counting.take();
    let burnt = chain.check_chain(&payment).await;
    assert!(burnt.as_ref().is_err_and(|e| !e.retry()), "{burnt:?}");
    assert_eq!(counting.take(), ["eth_call"]);

    net.set_code(&contract, YES_WALLET).await;
    let view = chain.check_chain(&payment).await.unwrap();
    let signed = settle(&chain, &payment).await;
    let found =
        evidence(&chain, &[watch(&payment, Some(&signed), view.block)], &mut ScanCursor::default(), 1)
            .await
            .unwrap();
    assert!(matches!(found.as_slice(), [Evidence::Settled(_)]), "{found:?}");
}

/// EIP-7702: a key's own signature counts for nothing where the account has code that says no.
#[tokio::test]
async fn code_at_the_payer_means_erc1271_only() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    let address = payer(&key(1)).address();
    net.mint(&address, 1_000).await;
    let payment = net.payment(&chain, &key(1), 500, 1);
    assert_eq!(payment.signature_kind(), SignatureKind::Ecdsa);
    assert!(chain.check_chain(&payment).await.is_ok());
    net.set_code(&address, NO_WALLET).await;
    assert_eq!(chain.check_chain(&payment).await, Err(EvmError::Signature));
}

#[tokio::test]
async fn without_multicall_the_transfer_is_simulated_alone() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    net.mint(&payer(&key(1)).address(), 1_000).await;
    net.set_code(quittance_evm::ADDRESS_MULTICALL3, "0x").await;
    let payment = net.payment(&chain, &key(1), 1_000, 1);
    let view = chain.check_chain(&payment).await.unwrap();
    assert!(view.block > 0);
    let too_much = net.payment(&chain, &key(1), 1_001, 2);
    assert_eq!(chain.check_chain(&too_much).await, Err(EvmError::InsufficientBalance));
    let signed = settle(&chain, &payment).await;
    net.receipt(&signed.transaction).await;
    assert_eq!(chain.check_chain(&payment).await, Err(EvmError::NonceAlreadyUsed));
}

/// I3 with a real node's words.
#[tokio::test]
async fn a_real_nodes_answers_to_sends() {
    let Some(net) = devnet().await else { return };
    let (chain, _) = net.connect(WALLET_KEY, 0).await;
    net.mint(&payer(&key(1)).address(), 1_000).await;
    let payment = net.payment(&chain, &key(1), 500, 1);
    let signed = sign(&chain, &payment).await;
    let attempt = Recorded(signed.clone());
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    let again = chain.send(&attempt).await;
    assert!(matches!(again, SendOutcome::Unknown { .. }), "already known: {again:?}");
    net.receipt(&signed.transaction).await;
    let late = chain.send(&attempt).await;
    assert!(matches!(late, SendOutcome::Unknown { .. }), "nonce too low: {late:?}");

    net.set_balance(&chain.wallet(), 0).await;
    let second = net.payment(&chain, &key(1), 400, 2);
    let poor = chain.send(&Recorded(sign(&chain, &second).await)).await;
    assert!(matches!(poor, SendOutcome::Refused { .. }), "no ether: {poor:?}");
}

#[tokio::test]
async fn connecting_notices_a_wrong_configuration() {
    let Some(net) = devnet().await else { return };
    let connect = async |change: fn(&mut EvmConfig)| {
        let network: Network = Network::BASE.parse().unwrap();
        let mut config = EvmConfig::new(network, vec![net.url.clone()], net.token.to_string(), PAY_TO);
        change(&mut config);
        EvmChain::connect(config, &Secret::new(WALLET_KEY)).await.map(|chain| chain.wallet())
    };
    assert_eq!(connect(|_| {}).await, Ok(payer(WALLET_KEY).address()));
    assert_eq!(
        connect(|c| c.network = Network::BASE_SEPOLIA.parse().unwrap()).await,
        Err(EvmError::ChainMismatch { endpoint: 0, expected: 84_532, found: CHAIN_ID })
    );
    assert_eq!(
        connect(|c| c.asset = Address::repeat_byte(5).to_string()).await,
        Err(EvmError::AssetNotDeployed)
    );
    assert_eq!(connect(|c| c.asset_name = "USDC".into()).await, Err(EvmError::DomainMismatch));
    assert_eq!(connect(|c| c.asset_version = "1".into()).await, Err(EvmError::DomainMismatch));
    assert!(matches!(
        connect(|c| c.pay_to = "me".into()).await,
        Err(EvmError::Config { field: "pay_to", .. })
    ));
    assert!(matches!(
        connect(|c| c.rpc_urls = vec![]).await,
        Err(EvmError::Config { field: "rpc_urls", .. })
    ));
    // One dead endpoint does not keep the service from starting.
    assert!(connect(|c| c.rpc_urls.push("http://127.0.0.1:9".into())).await.is_ok());
}

/// Runtime code of a stand-in for the OP-stack's GasPriceOracle: the fee of n bytes is n times
/// what its storage slot 0 says, for `getL1FeeUpperBound(uint256)` and `getL1Fee(bytes)`.
const ORACLE: &str = include_str!("fixtures/gas-price-oracle.hex");

#[tokio::test]
async fn the_l1_data_fee_is_read_from_the_predeploy() {
    let Some(net) = devnet().await else { return };
    let (without, _) = net.connect(WALLET_KEY, 0).await;
    assert_eq!(without.refresh_fees(0).await.unwrap().l1_fee_wei, 0, "no predeploy, no fee");

    let oracle = quittance_evm::ADDRESS_GAS_PRICE_ORACLE;
    let wei_per_byte = async |wei: u64| {
        let slot = json!([oracle, "0x0", format!("0x{wei:064x}")]);
        net.rpc.ask("anvil_setStorageAt", slot).await.unwrap();
    };
    net.set_code(oracle, ORACLE.trim()).await;
    wei_per_byte(10_000_000).await;
    let (chain, counting) = net.connect(WALLET_KEY, 0).await;
    counting.take();
    let fees = chain.refresh_fees(0).await.unwrap();
    // An older header too, once, for the block time.
    assert_eq!(
        counting.take(),
        ["eth_getBlockByNumber", "eth_getBlockByNumber", "eth_call"],
        "read, not guessed"
    );
    assert_eq!(fees.l1_fee_wei, 480 * 10_000_000, "for the size of a settlement");
    wei_per_byte(30_000_000).await;
    assert_eq!(chain.refresh_fees(0).await.unwrap().l1_fee_wei, 480 * 30_000_000, "and read again");

    // It enters the bound of a signature (I10): with it nothing is signed that it would exceed.
    net.mint(&payer(&key(1)).address(), 1_000_000).await;
    let payment = net.payment(&chain, &key(1), 100, 1);
    let fees = chain.refresh_fees(0).await.unwrap();
    let signed = chain.sign_settlement(&payment, (&chain.wallet(), 0), &fees, u128::MAX).unwrap();
    let gas = u128::from(signed.gas_limit) * signed.max_fee_per_gas_wei;
    assert_eq!(signed.cost_bound_wei, gas + 2 * fees.l1_fee_wei);
    assert!(chain.sign_settlement(&payment, (&chain.wallet(), 0), &fees, signed.cost_bound_wei - 1).is_err());
    // An older predeploy knows only `getL1Fee`: its selector stays, the other's is spoilt.
    net.set_code(oracle, &ORACLE.trim().replace("f1c7a58b", "00000000")).await;
    assert_eq!(chain.refresh_fees(0).await.unwrap().l1_fee_wei, 480 * 30_000_000);
    // One that answers nothing is no reason to sell without the fee.
    net.set_code(oracle, "0x600080fd").await;
    assert!(chain.refresh_fees(0).await.is_err());
}
