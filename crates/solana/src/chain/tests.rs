use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{Amount, Deadline, DurableAttempt, SendOutcome};
use serde_json::json;

use super::*;
use crate::payment::SolanaPayment;
use crate::testing::{
    AMOUNT, FakeRpc, RENT, account, chain, config, mint, official, payload, rules, third, transaction,
    wallet, with_creation,
};

struct Attempt(SignedTransaction);

impl DurableAttempt for Attempt {
    fn raw_bytes(&self) -> &[u8] {
        &self.0.raw
    }

    fn transaction(&self) -> &str {
        &self.0.transaction
    }
}

fn inspect(chain: &SolanaChain, creates: bool) -> SolanaPayment {
    let instructions = if creates { with_creation() } else { official() };
    chain.check_local(&payload(&transaction(&instructions))).unwrap()
}

fn token_account_data() -> Vec<u8> {
    account_data(&wallet().pubkey())
}

/// A token account of this owner, as the token program keeps it.
fn account_data(owner: &solana_sdk::pubkey::Pubkey) -> Vec<u8> {
    let mut data = [mint().to_bytes(), owner.to_bytes()].concat();
    data.resize(layout::TOKEN_ACCOUNT_BYTES, 0);
    data[108] = 1;
    data
}

#[tokio::test]
async fn connecting_checks_the_mint_and_the_settings() {
    let node = FakeRpc::new();
    let connect = |config, key: String| {
        let endpoint: Arc<dyn Rpc> = Arc::clone(&node) as _;
        async move { SolanaChain::connect_with(config, &Secret::new(key), vec![endpoint]).await.err() }
    };
    let key = wallet().to_base58_string();
    assert_eq!(connect(config(), key.clone()).await, None);
    assert_eq!(connect(config(), "junk".into()).await, Some(SolanaError::BadKey));
    let evm = SolanaConfig { network: Network::BASE.parse().unwrap(), ..config() };
    assert!(matches!(connect(evm, key.clone()).await, Some(SolanaError::NotSolana { .. })));
    let nowhere = SolanaConfig { pay_to: "0x0".into(), ..config() };
    assert!(matches!(connect(nowhere, key.clone()).await, Some(SolanaError::BadAddress { field: "pay_to" })));
    let eighteen = SolanaConfig { asset_decimals: 18, ..config() };
    let refused = SolanaError::Decimals { expected: 18, found: 6 };
    assert_eq!(connect(eighteen, key.clone()).await, Some(refused));
    node.put(&mint(), None);
    assert_eq!(connect(config(), key.clone()).await, Some(SolanaError::MintMissing));
    node.put(&mint(), Some(account(&layout::SYSTEM, &[0; 82])));
    assert_eq!(connect(config(), key.clone()).await, Some(SolanaError::NotAMint));
    let none = SolanaChain::connect_with(config(), &Secret::new(key), vec![]).await.err();
    assert_eq!(none, Some(SolanaError::NoEndpoint));
}

#[tokio::test]
async fn a_bad_url_is_named_by_its_place() {
    let config = SolanaConfig { rpc_urls: vec!["ftp://node.example/secret-key".into()], ..config() };
    let error = SolanaChain::connect(config, &Secret::new("x")).await.err();
    assert_eq!(error, Some(SolanaError::BadUrl { at: 0 }));
}

#[tokio::test]
async fn the_token_account_is_missing_until_it_is_seen() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    assert!(chain.token_account_missing());
    assert_eq!(chain.fees().total_lamports(), Some(10_000 + 10_000 + RENT));
    assert_eq!(chain.token_account_exists().await, Ok(false));
    // Somebody sent lamports to the address: still no token account.
    node.put(&rules().token_account, Some(account(&layout::SYSTEM, &[])));
    assert_eq!(chain.token_account_exists().await, Ok(false));
    // Its authority was handed to somebody else.
    let foreign = account_data(&third().pubkey());
    node.put(&rules().token_account, Some(account(&layout::TOKEN, &foreign)));
    assert!(matches!(chain.token_account_exists().await, Err(SolanaError::TokenAccountForeign { .. })));
    node.put(&rules().token_account, None);
    assert_eq!(chain.token_account_exists().await, Ok(false));
    assert!(chain.token_account_missing());
    node.put(&rules().token_account, Some(account(&layout::TOKEN, &token_account_data())));
    assert_eq!(chain.token_account_exists().await, Ok(true));
    assert_eq!(chain.fees().total_lamports(), Some(20_000));
    assert_eq!(chain.ensure_token_account().await, Ok(false));
    assert!(!node.take_calls().contains(&"sendTransaction"));
}

/// Invariant I10.
#[tokio::test]
async fn i10_no_signature_above_the_allowance() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let (plain, creating) = (inspect(&chain, false), inspect(&chain, true));
    assert_eq!(chain.cost_bound_lamports(&plain), 10_001);
    assert_eq!(chain.cost_bound_lamports(&creating), 10_001 + RENT);
    assert!(chain.co_sign(&plain, 10_001).is_ok());
    let refused = chain.co_sign(&plain, 10_000).err();
    assert_eq!(refused, Some(SolanaError::CostAboveBound { bound: 10_001, allowed: 10_000 }));
    assert!(chain.co_sign(&creating, 10_000 + RENT).is_err());
    assert!(chain.co_sign(&creating, 10_001 + RENT).is_ok());
    assert_eq!(chain.check_rent(&creating, false), Err(SolanaError::RentNotCharged));
    assert_eq!(chain.check_rent(&creating, true), Ok(()));
    assert_eq!(chain.check_rent(&plain, false), Ok(()));

    node.put(&rules().token_account, Some(account(&layout::TOKEN, &token_account_data())));
    chain.token_account_exists().await.unwrap();
    assert_eq!(chain.cost_bound_lamports(&creating), 10_001);
    assert_eq!(chain.check_rent(&creating, false), Ok(()));
}

#[tokio::test]
async fn the_co_signature_is_valid_and_always_the_same() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let payment = inspect(&chain, false);
    let signed = chain.co_sign(&payment, u64::MAX).unwrap();
    assert_eq!(chain.co_sign(&payment, u64::MAX).unwrap(), signed);
    let read = crate::message::WireTransaction::decode(&signed.raw).unwrap();
    for (signature, key) in read.signatures.iter().zip(&read.keys) {
        assert!(solana_sdk::signature::Signature::from(*signature).verify(key.as_ref(), read.message));
    }
    assert_eq!(bs58::encode(read.signatures[0]).into_string(), signed.transaction);
    assert!(node.take_calls().is_empty(), "signing asks nobody");
}

/// A payment that came back from the ledger is inspected again, with its own
/// recipient and token: what the configuration says by now is for new payments.
#[tokio::test]
async fn the_whitelist_is_applied_again_before_signing() {
    let node = FakeRpc::new();
    let mut chain = chain(&[&node]).await;
    let payment = inspect(&chain, false);
    chain.rules.pay_to = third().pubkey();
    chain.rules.token_account = layout::token_account(&third().pubkey(), &mint());
    assert!(chain.co_sign(&payment, u64::MAX).is_ok(), "claimed before pay_to moved");
    let json = serde_json::to_string(&inspect_with(&rules())).unwrap();
    let tampered: SolanaPayment = serde_json::from_str(&json.replace("\"11500\"", "\"1\"")).unwrap();
    assert_eq!(chain.co_sign(&tampered, u64::MAX).err(), Some(SolanaError::AmountMismatch));
    let other = json.replace(&rules().pay_to.to_string(), &third().pubkey().to_string());
    let other: SolanaPayment = serde_json::from_str(&other).unwrap();
    assert_eq!(chain.co_sign(&other, u64::MAX).err(), Some(SolanaError::RecipientMismatch));
}

/// Claims of the version before say nothing about their recipient.
#[tokio::test]
async fn a_claim_that_does_not_name_its_recipient_is_held_against_the_configured_one() {
    let node = FakeRpc::new();
    let mut chain = chain(&[&node]).await;
    let mut json = serde_json::to_value(inspect(&chain, false)).unwrap();
    json.as_object_mut().unwrap().retain(|field, _| field != "pay_to" && field != "mint");
    let old: SolanaPayment = serde_json::from_value(json).unwrap();
    assert!(chain.co_sign(&old, u64::MAX).is_ok());
    chain.rules.pay_to = third().pubkey();
    assert_eq!(chain.co_sign(&old, u64::MAX).err(), Some(SolanaError::RecipientMismatch));
}

/// The message names its fee payer, so only that wallet can finish it.
#[tokio::test]
async fn a_former_wallet_finishes_what_names_it() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let payment = inspect(&chain, false);
    let signed = chain.co_sign(&payment, u64::MAX).unwrap();
    let mut moved = self::chain(&[&node]).await;
    moved.replace_wallet(third());
    assert_eq!(moved.co_sign(&payment, u64::MAX).err(), Some(SolanaError::FeePayerMismatch));
    let moved = moved.with_wallets(&[], &[Secret::new(crate::testing::wallet().to_base58_string())]).unwrap();
    assert_eq!(moved.co_sign(&payment, u64::MAX).unwrap(), signed);
    assert_eq!(
        moved.wallets(),
        [third().pubkey().to_string(), crate::testing::wallet().pubkey().to_string()]
    );
}

fn inspect_with(rules: &Rules) -> SolanaPayment {
    rules.inspect(transaction(&official()), Amount::new(AMOUNT)).unwrap()
}

#[tokio::test]
async fn the_chain_check_is_one_simulation() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let payment = inspect(&chain, false);
    let mut data = vec![0; 165];
    data[64] = 3;
    let left = json!([{"data": [STANDARD.encode(&data), "base64"], "owner": layout::TOKEN.to_string()}]);
    let shown = json!({"err": null, "unitsConsumed": 6_500, "accounts": left});
    node.set("simulateTransaction", Ok(json!({"context": {"slot": 77}, "value": shown})));
    let view = chain.check_chain(&payment).await.unwrap();
    let balance = Some(AMOUNT + 3);
    assert_eq!(view, SolanaView { endpoint: 0, slot: 77, units_consumed: 6_500, balance });
    let asked = node.last_params("simulateTransaction")[1]["accounts"].clone();
    let source = payment.source().unwrap();
    assert_ne!(source, chain.token_account());
    assert_eq!(asked, json!({"encoding": "base64", "addresses": [source]}));
    let options = node.last_params("simulateTransaction")[1].clone();
    assert_eq!(options["sigVerify"], json!(false));
    assert_eq!(options["replaceRecentBlockhash"], json!(false));
    assert_eq!(node.take_calls(), ["simulateTransaction"]);

    let newest = json!({"blockhash": third().pubkey().to_string(), "lastValidBlockHeight": 220});
    node.set("getLatestBlockhash", Ok(json!({"context": {"slot": 78}, "value": newest})));
    assert_eq!(chain.deadline(&payment, &view).await, Ok(Deadline::BlockHeight(221)));
    assert_eq!(
        node.last_params("getLatestBlockhash"),
        json!([{"commitment": "processed", "minContextSlot": 77}])
    );
}

/// Not every node shows what a simulation leaves behind.
#[tokio::test]
async fn p3_a_node_that_shows_no_balance_is_asked_for_it() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("simulateTransaction", Ok(json!({"context": {"slot": 77}, "value": {"err": null}})));
    let payment = inspect(&chain, false);
    assert_eq!(chain.check_chain(&payment).await.unwrap().balance, None);
    node.set("getTokenAccountBalance", Ok(json!({"context": {"slot": 78}, "value": {"amount": "5"}})));
    assert_eq!(chain.check_chain(&payment).await.unwrap().balance, Some(5));
    let asked = node.last_params("getTokenAccountBalance")[0].clone();
    assert_eq!(asked, json!(payment.source().unwrap()));
}

/// The deadline comes from the node that accepted the blockhash: another one
/// may lag and name a height that is too low.
#[tokio::test]
async fn i5_the_deadline_is_asked_of_the_simulating_endpoint() {
    let (down, up) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&down, &up]).await;
    up.set("simulateTransaction", Ok(json!({"context": {"slot": 77}, "value": {"err": null}})));
    let payment = inspect(&chain, false);
    let view = chain.check_chain(&payment).await.unwrap();
    assert_eq!(view.endpoint, 1);
    let newest = json!({"blockhash": third().pubkey().to_string(), "lastValidBlockHeight": 1});
    down.set("getLatestBlockhash", Ok(json!({"value": newest})));
    assert!(matches!(chain.deadline(&payment, &view).await, Err(SolanaError::Rpc(RpcFailure::Timeout))));
}

#[tokio::test]
async fn p3_a_node_runs_the_bytes_before_it_passes_them_on() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&first, &second]).await;
    let attempt = Attempt(chain.co_sign(&inspect(&chain, false), u64::MAX).unwrap());
    first.set("sendTransaction", Ok(json!(attempt.0.transaction)));
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    assert!(second.take_calls().is_empty());
    let params = first.last_params("sendTransaction");
    assert_eq!(params[0], json!(STANDARD.encode(&attempt.0.raw)));
    let options = json!({
        "encoding": "base64", "skipPreflight": false, "preflightCommitment": "processed", "maxRetries": 0,
        "minContextSlot": null,
    });
    assert_eq!(params[1], options);
}

/// Invariant I3: a refusal counts only if nobody may have taken the bytes.
#[tokio::test]
async fn i3_sends_over_two_endpoints() {
    let refusal = || {
        Err(RpcFailure::Node { code: -32003, message: "Transaction signature verification failure".into() })
    };
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&first, &second]).await;
    let attempt = Attempt(chain.co_sign(&inspect(&chain, false), u64::MAX).unwrap());
    first.set("sendTransaction", refusal());
    assert!(matches!(chain.send(&attempt).await, SendOutcome::Unknown { .. }), "the second timed out");
    second.set("sendTransaction", refusal());
    assert!(matches!(chain.send(&attempt).await, SendOutcome::Refused { .. }));
    // An earlier send may have been taken.
    assert!(matches!(chain.rebroadcast(&attempt).await, SendOutcome::Unknown { .. }));
    second.set("sendTransaction", Ok(json!(attempt.0.transaction)));
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    assert_eq!(chain.rebroadcast(&attempt).await, SendOutcome::Accepted);
}

/// The engine spawns these: every future must be `Send`, whatever it borrows.
#[tokio::test]
async fn every_future_can_be_spawned() {
    let node = FakeRpc::new();
    let chain = Arc::new(chain(&[&node]).await);
    let payment = inspect(&chain, false);
    let attempt = Attempt(chain.co_sign(&payment, u64::MAX).unwrap());
    let spawned = tokio::spawn(async move {
        let recorded: &dyn DurableAttempt = &attempt;
        let _ = chain.send(recorded).await;
        let _ = chain.rebroadcast(recorded).await;
        let _ = chain.check_chain(&payment).await;
        let _ = chain
            .deadline(&payment, &SolanaView { endpoint: 0, slot: 0, units_consumed: 0, balance: None })
            .await;
        let _ = chain.ensure_token_account().await;
        let _ = chain.latest_blockhash().await;
        let _ = chain.state().await;
        let _ = chain.heights().await;
        let _ = chain.standing(&[]).await;
        let _ = &attempt;
        let watch = crate::SolanaWatch {
            key: payment.key(),
            payment,
            transaction: Some(attempt.0.transaction.clone()),
            named: None,
            deadline: Deadline::BlockHeight(0),
            from_slot: 780,
        };
        chain.scan(&[watch], 0).await
    });
    assert!(spawned.await.unwrap().is_err(), "the node answers nothing");
}
