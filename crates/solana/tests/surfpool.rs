//! The whole way of a payment against a real runtime.
//!
//! `QUITTANCE_SOLANA_RPC` names a local surfpool, e.g. of
//! `quittance-devnet --solana-only --solana-slot-ms 20`; its cheat methods fund
//! the actors. Each test has keys and a mint of its own, so they may share the
//! node and run in any order. `QUITTANCE_SKIP_CHAINS=1` skips them.
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "surfpool/blockhashes.rs"]
mod blockhashes;
#[path = "surfpool/trust.rs"]
mod trust;
#[path = "surfpool/v1.rs"]
mod v1;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use quittance_protocol::{
    Amount, Deadline, DurableAttempt, Evidence, Network, PaymentPayload, PaymentRequirements, Secret,
    SendOutcome, Standing,
};
use quittance_solana::{
    Commitment, HttpRpc, PayerOptions, PaymentParts, Rpc, SignedTransaction, SolanaChain, SolanaConfig,
    SolanaError, SolanaLanded, SolanaPayer, SolanaPayment, SolanaWatch, TokenAccountPolicy, build_payment,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use solana_sdk::signature::{Keypair, Signer};
use spl_associated_token_account_interface::address::get_associated_token_address;

const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const SYSTEM: &str = "11111111111111111111111111111111";
const PRICE: u64 = 11_500;
const RENT: u64 = 2_039_280;
const PATIENCE: Duration = Duration::from_secs(120);

struct Recorded(SignedTransaction);

impl DurableAttempt for Recorded {
    fn raw_bytes(&self) -> &[u8] {
        &self.0.raw
    }

    fn transaction(&self) -> &str {
        &self.0.transaction
    }
}

fn actor(test: &str, role: &str) -> Keypair {
    Keypair::new_from_array(Sha256::digest(format!("{test}/{role}/{}", std::process::id())).into())
}

fn secret(key: &Keypair) -> Secret {
    Secret::new(key.to_base58_string())
}

fn token_account(owner: &str, mint: &str) -> String {
    get_associated_token_address(&owner.parse().unwrap(), &mint.parse().unwrap()).to_string()
}

struct World {
    rpc: Arc<dyn Rpc>,
    url: String,
    wallet: Keypair,
    payer: Keypair,
    mint: String,
}

impl World {
    /// `None` only when chains are skipped on purpose.
    async fn new(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var("QUITTANCE_SOLANA_RPC") else {
            let skip = std::env::var("QUITTANCE_SKIP_CHAINS").is_ok_and(|skip| skip == "1");
            assert!(
                skip,
                "set QUITTANCE_SOLANA_RPC to a surfpool URL (quittance-devnet --solana-only --solana-slot-ms 20), \
                 or QUITTANCE_SKIP_CHAINS=1 to skip"
            );
            eprintln!("{test}: skipped, QUITTANCE_SKIP_CHAINS=1");
            return None;
        };
        let rpc: Arc<dyn Rpc> = Arc::new(HttpRpc::new(&url, 10_000).expect("a URL"));
        let world = Self {
            rpc,
            url,
            wallet: actor(test, "wallet"),
            payer: actor(test, "payer"),
            mint: actor(test, "mint").pubkey().to_string(),
        };
        let mut data = vec![0; 82];
        (data[44], data[45]) = (6, 1);
        data[36..44].copy_from_slice(&u64::MAX.to_le_bytes());
        world.set_account(&world.mint, 1_461_600, &data, TOKEN).await;
        world.fund_wallet(1_000_000_000).await;
        world.fund_payer(1_000_000).await;
        Some(world)
    }

    async fn call(&self, method: &'static str, params: Value) -> Value {
        self.rpc.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn set_account(&self, address: &str, lamports: u64, data: &[u8], owner: &str) {
        let update = json!({
            "lamports": lamports, "data": hex::encode(data), "owner": owner, "executable": false, "rentEpoch": 0,
        });
        self.call("surfnet_setAccount", json!([address, update])).await;
    }

    async fn fund_wallet(&self, lamports: u64) {
        self.set_account(&self.wallet.pubkey().to_string(), lamports, &[], SYSTEM).await;
    }

    async fn fund_payer(&self, amount: u64) {
        let owner = self.payer.pubkey();
        let mut data = vec![0; 165];
        data[..32].copy_from_slice(&bs58::decode(&self.mint).into_vec().unwrap());
        data[32..64].copy_from_slice(owner.as_ref());
        data[64..72].copy_from_slice(&amount.to_le_bytes());
        data[108] = 1;
        self.set_account(&token_account(&owner.to_string(), &self.mint), RENT, &data, TOKEN).await;
    }

    async fn balance(&self, owner: &Keypair) -> u64 {
        let account = token_account(&owner.pubkey().to_string(), &self.mint);
        let answer = self.call("getTokenAccountBalance", json!([account, {"commitment": "confirmed"}])).await;
        answer.pointer("/value/amount").and_then(Value::as_str).unwrap().parse().unwrap()
    }

    async fn chain(&self, token_account: TokenAccountPolicy) -> SolanaChain {
        SolanaChain::connect(self.config(token_account), &secret(&self.wallet)).await.unwrap()
    }

    fn config(&self, token_account: TokenAccountPolicy) -> SolanaConfig {
        SolanaConfig {
            token_program: quittance_solana::TokenProgram::Token,
            permanent_delegate: false,
            network: Network::SOLANA.parse().unwrap(),
            rpc_urls: vec![self.url.clone()],
            asset: self.mint.clone(),
            pay_to: self.wallet.pubkey().to_string(),
            token_account,
            compute_unit_limit_max: 200_000,
            transaction_v1: true,
            compute_unit_price_micro_lamports_max: 5_000_000,
            priority_fee_lamports_max: 10_000,
            rpc_timeout_ms: 10_000,
            head_age_max_ms: 6_000,
            commitment: Commitment::Confirmed,
            second_opinion_value: u64::MAX,
            asset_decimals: 6,
            late: false,
            retired: false,
        }
    }

    fn requirements(&self) -> PaymentRequirements {
        serde_json::from_value(json!({
            "scheme": "exact", "network": Network::SOLANA, "asset": self.mint,
            "payTo": self.wallet.pubkey().to_string(), "amount": PRICE.to_string(), "maxTimeoutSeconds": 120,
        }))
        .unwrap()
    }

    fn payload(&self, payload: Value) -> PaymentPayload {
        serde_json::from_value(json!({"x402Version": 2, "accepted": self.requirements(), "payload": payload}))
            .unwrap()
    }

    async fn pay(&self, chain: &SolanaChain, memo: &str) -> SolanaPayment {
        let payer = SolanaPayer::new(&secret(&self.payer)).unwrap();
        let options = PayerOptions { create_token_account: None, memo: Some(memo.to_owned()) };
        let paid = payer.pay(&self.requirements(), &self.url, 10_000, &options).await.unwrap();
        chain.check_local(&self.payload(serde_json::to_value(paid).unwrap())).unwrap()
    }

    async fn finalized_height(&self) -> u64 {
        self.call("getBlockHeight", json!([{"commitment": "finalized"}])).await.as_u64().unwrap()
    }
}

async fn watch(chain: &SolanaChain, payment: &SolanaPayment) -> (Recorded, SolanaWatch) {
    let view = chain.check_chain(payment).await.unwrap();
    let deadline = chain.deadline(payment, &view).await.unwrap();
    let signed = chain.co_sign(payment, u64::MAX).unwrap();
    let watch = SolanaWatch {
        key: payment.key(),
        payment: payment.clone(),
        transaction: Some(signed.transaction.clone()),
        named: None,
        deadline,
        from_slot: view.slot,
    };
    (Recorded(signed), watch)
}

/// Scans, with a clock of its own, until there is evidence.
async fn outcome(chain: &SolanaChain, watch: &SolanaWatch) -> Evidence {
    let start = Instant::now();
    loop {
        let now_ms = i64::try_from(start.elapsed().as_millis()).unwrap();
        let mut found = chain.scan(std::slice::from_ref(watch), now_ms).await.unwrap();
        if let Some((key, evidence)) = found.pop() {
            assert_eq!(key, watch.key);
            return evidence;
        }
        assert!(start.elapsed() < PATIENCE, "no evidence within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_payment_settles_once_however_often_it_is_sent() {
    let Some(world) = World::new("settles").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    assert_eq!(chain.ensure_token_account().await, Ok(true));
    assert_eq!(chain.ensure_token_account().await, Ok(false));
    assert!(!chain.token_account_missing());

    let payment = world.pay(&chain, "settles").await;
    assert!(!payment.creates_token_account());
    let before = chain.state().await.unwrap().wallets_lamports[0];
    let (attempt, watch) = watch(&chain, &payment).await;
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    let Evidence::Settled(landing) = outcome(&chain, &watch).await else { panic!("not settled") };
    assert_eq!(Some(&landing.transaction), watch.transaction.as_ref());
    assert_eq!(landing.cost_native, 10_001);
    assert!(landing.cost_native <= u128::from(attempt.0.cost_bound_lamports));
    assert_eq!(before - chain.state().await.unwrap().wallets_lamports[0], 10_001);
    assert_eq!(world.balance(&world.wallet).await, PRICE);

    // Copies move nothing, and no answer refuses the bytes.
    for _ in 0..5 {
        assert!(!matches!(chain.send(&attempt).await, SendOutcome::Refused { .. }));
        assert!(!matches!(chain.rebroadcast(&attempt).await, SendOutcome::Refused { .. }));
    }
    assert_eq!(world.balance(&world.wallet).await, PRICE);
    assert!(matches!(outcome(&chain, &watch).await, Evidence::Settled(again) if again == landing));

    let start = Instant::now();
    let landed = SolanaLanded { key: watch.key, payment: payment.clone(), landing, deadline: watch.deadline };
    let landed = std::slice::from_ref(&landed);
    while !matches!(chain.standing(landed).await.as_deref(), Ok([(_, Standing::Finalized(_))])) {
        assert!(start.elapsed() < PATIENCE, "not finalized");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_poor_payer_is_told_so_before_anything_is_signed() {
    let Some(world) = World::new("poor").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    world.fund_payer(PRICE - 1).await;
    let payment = world.pay(&chain, "poor").await;
    assert_eq!(chain.check_chain(&payment).await, Err(SolanaError::InsufficientFunds));
    world.fund_payer(PRICE).await;
    chain.check_chain(&payment).await.unwrap();
}

#[tokio::test]
async fn a_payer_without_a_token_account_fails_the_simulation() {
    let Some(mut world) = World::new("accountless").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    world.payer = actor("accountless", "another payer");
    let payment = world.pay(&chain, "accountless").await;
    assert!(matches!(chain.check_chain(&payment).await, Err(SolanaError::SimulationFailed { .. })));
}

#[tokio::test]
async fn an_empty_wallet_is_our_problem_and_not_the_payers() {
    let Some(world) = World::new("broke").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    world.fund_wallet(100).await;
    let payment = world.pay(&chain, "broke").await;
    let error = chain.check_chain(&payment).await.unwrap_err();
    assert_eq!(error, SolanaError::WalletCannotPay);
    assert!(error.retry());
}

#[tokio::test]
async fn in_payment_the_first_payment_creates_the_account_and_costs_its_rent() {
    let Some(world) = World::new("in payment").await else { return };
    let chain = world.chain(TokenAccountPolicy::InPayment).await;
    assert_eq!(chain.ensure_token_account().await, Ok(false));
    assert!(chain.token_account_missing());
    assert_eq!(chain.rent_lamports(), RENT);

    let payment = world.pay(&chain, "in payment").await;
    assert!(payment.creates_token_account());
    assert_eq!(chain.check_rent(&payment, false), Err(SolanaError::RentNotCharged));
    assert_eq!(chain.cost_bound_lamports(&payment), 10_001 + RENT);
    let (attempt, first) = watch(&chain, &payment).await;
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    let Evidence::Settled(landing) = outcome(&chain, &first).await else { panic!("not settled") };
    assert_eq!(landing.cost_native, u128::from(10_001 + RENT));
    assert_eq!(chain.token_account_exists().await, Ok(true));

    let payment = world.pay(&chain, "the second").await;
    assert!(!payment.creates_token_account());
    let (attempt, second) = watch(&chain, &payment).await;
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    let Evidence::Settled(landing) = outcome(&chain, &second).await else { panic!("not settled") };
    assert_eq!(landing.cost_native, 10_001);
    assert_eq!(world.balance(&world.wallet).await, 2 * PRICE);
}

/// I5: the payer empties the account after the simulation.
#[tokio::test]
async fn a_payment_that_fails_on_chain_is_reverted_with_its_cost() {
    let Some(world) = World::new("reverts").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    let payment = world.pay(&chain, "reverts").await;
    let (attempt, watch) = watch(&chain, &payment).await;
    world.fund_payer(0).await;
    // The node's own preflight keeps it back: that costs nothing, and proves nothing (I3).
    assert!(!matches!(chain.send(&attempt).await, SendOutcome::Accepted));
    // Where the money left after the preflight, it lands and fails.
    let raw = base64::engine::general_purpose::STANDARD.encode(attempt.raw_bytes());
    let params = json!([raw, {"encoding": "base64", "skipPreflight": true, "maxRetries": 0}]);
    world.call("sendTransaction", params).await;
    let Evidence::Reverted(landing) = outcome(&chain, &watch).await else { panic!("not reverted") };
    assert_eq!(landing.cost_native, 10_001);
    assert_eq!(world.balance(&world.wallet).await, 0);
}

/// I5: a payment that was never sent expires, and not before its deadline.
#[tokio::test]
async fn i5_a_payment_that_never_lands_expires_after_its_blockhash() {
    let Some(world) = World::new("expires").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    let payment = world.pay(&chain, "expires").await;
    let (attempt, watch) = watch(&chain, &payment).await;
    let Deadline::BlockHeight(last) = watch.deadline else { panic!("no block height") };
    let Evidence::Expired { clock, .. } = outcome(&chain, &watch).await else { panic!("not expired") };
    assert!(clock > last);

    let start = Instant::now();
    while world.finalized_height().await <= last {
        assert!(start.elapsed() < PATIENCE, "the chain stands still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(chain.check_chain(&payment).await, Err(SolanaError::BlockhashNotFound));
    let _ = chain.send(&attempt).await;
    assert!(matches!(outcome(&chain, &watch).await, Evidence::Expired { .. }), "sent too late, it stays out");
    assert_eq!(world.balance(&world.wallet).await, 0);
}

#[tokio::test]
async fn an_unknown_blockhash_asks_for_a_new_signature() {
    let Some(world) = World::new("blockhash").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    let pay_to = world.wallet.pubkey().to_string();
    let raw = build_payment(
        &secret(&world.payer),
        &PaymentParts {
            fee_payer: &pay_to,
            pay_to: &pay_to,
            mint: &world.mint,
            token_program: quittance_solana::TokenProgram::Token,
            decimals: 6,
            amount: PRICE,
            recent_blockhash: &bs58::encode([5; 32]).into_string(),
            compute_unit_limit: None,
            compute_unit_price_micro_lamports: None,
            create_token_account: false,
            memo: None,
        },
    )
    .unwrap();
    let transaction = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, raw);
    let payment = chain.check_local(&world.payload(json!({"transaction": transaction}))).unwrap();
    assert_eq!(payment.amount(), Amount::new(PRICE));
    let error = chain.check_chain(&payment).await.unwrap_err();
    assert_eq!(error, SolanaError::BlockhashNotFound);
    assert!(error.to_string().contains("rebuild"));
}
