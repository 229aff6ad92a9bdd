//! Everything that a start would find out about networks, and what it would not: every endpoint, every
//! wallet, every address, all at once. Sends nothing, and writes nothing.

use std::time::Duration;

use futures::future::join_all;
use quittance_evm::EvmError;
use quittance_protocol::{Family, Network, Secret};
use quittance_solana::{Payout, SolanaError};
use tokio::time::timeout;

use crate::chain::{Chain, CostSnapshot, EndpointExam, GasCoin, Serves};
use crate::config::{Config, NetworkConfig, TokenAccount, read_secret_of};
use crate::start::connect::Link;

/// Answers about token, recipient and costs that may each take as long as an answer may.
const SLOW_ANSWERS_MAX: u32 = 10;

/// What is wrong with a network's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsFault {
    /// `asset` is no token of this network.
    TokenMissing,
    /// Its decimals are not `asset_decimals`.
    TokenDecimals,
    /// Something of it decides what arrives, whether it does, or who may move it.
    TokenExtension,
    /// It is not of US dollars.
    TokenCurrency,
    /// `asset_name` and `asset_version` are not its domain.
    TokenDomain,
    /// Who is paid at `pay_to` cannot spend it, or it is no address.
    PayTo,
    /// Another key.
    Other,
    /// The node did not say.
    Unknown,
}

/// What stands where payments go on Solana.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayoutExam {
    /// Payments arrive.
    Ready,
    /// Nothing: the program creates it when it starts.
    CreatedAtStart,
    /// Nothing: the first payment creates it, which official clients never do.
    CreatedByPayers,
    /// Every payment fails: frozen by the mint's authority.
    Frozen,
    /// It belongs to somebody else, or is of another mint.
    Foreign,
    /// It takes no plain transfer: why.
    Refusing(&'static str),
}

/// One wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletExam {
    /// Where its key stands.
    pub key: String,
    /// Its address, or why the key cannot be used; never the key.
    pub address: Result<String, String>,
    /// It takes no new payment.
    pub retired: bool,
    /// What it holds, in the gas coin's smallest unit.
    pub native: Option<u128>,
}

/// One network.
#[derive(Debug)]
pub struct NetworkExam {
    /// Its section.
    pub name: String,
    /// CAIP-2.
    pub network: Network,
    /// Each of `rpc_urls`, in its order.
    pub endpoints: Vec<EndpointExam>,
    /// What is wrong with its addresses.
    pub terms: Vec<(TermsFault, String)>,
    /// Solana: what stands where payments go, and its address.
    pub payout: Option<(PayoutExam, String)>,
    /// Its wallets.
    pub wallets: Vec<WalletExam>,
    /// What settling costs now, or why nobody knows.
    pub costs: Result<CostSnapshot, String>,
    /// What that is paid with.
    pub coin: GasCoin,
}

/// Looks at every network, all at once. `now_ms` reads the clock, Unix milliseconds.
pub async fn examine_networks(config: &Config, now_ms: &(impl Fn() -> i64 + Sync)) -> Vec<NetworkExam> {
    let each = config.networks.iter().map(|(name, network)| examine(name, network, config, now_ms));
    join_all(each).await
}

async fn examine(
    name: &str,
    network: &NetworkConfig,
    config: &Config,
    now_ms: &(impl Fn() -> i64 + Sync),
) -> NetworkExam {
    // Retired networks create no token account, and late ones leave a wrong endpoint out.
    let looked_at = NetworkConfig { retired: true, ..network.clone() };
    let (wallets, keys) = wallets(name, network);
    let link = Link::examined(name, &looked_at, config, keys);
    let patience = Duration::from_millis(network.rpc_timeout_ms).saturating_mul(SLOW_ANSWERS_MAX);
    let address = wallets.iter().find_map(|wallet| wallet.address.clone().ok());
    let endpoints = match network.network.family() {
        Family::Eip155(_) => quittance_evm::examine(&link.evm_config(true), now_ms).await,
        Family::Solana => {
            quittance_solana::examine(&link.solana_config(true), address.as_deref(), now_ms).await
        }
    };
    let mut exam = NetworkExam {
        name: name.to_owned(),
        network: network.network.clone(),
        endpoints,
        terms: Vec::new(),
        payout: None,
        wallets,
        costs: Err("no endpoint of this network answers".to_owned()),
        coin: network.gas_coin(),
    };
    let Some(at) = exam.endpoints.iter().position(|one| one.serves == Serves::Ours) else { return exam };
    let asked = async {
        look_at_terms(&link, network, at, address.as_deref(), &mut exam).await;
        if exam.terms.is_empty() {
            exam.costs = costs(&link, now_ms()).await;
        } else {
            exam.costs = Err("the token or recipient cannot be used".to_owned());
        }
    };
    if timeout(patience, asked).await.is_err() {
        exam.costs = Err(format!("the node did not answer within {} s", patience.as_secs()));
    }
    if let Ok(costs) = &exam.costs {
        let held = |address: &String| {
            let mut each = costs.wallets_native.iter();
            each.find(|(wallet, _)| wallet == address).map(|(_, native)| *native)
        };
        for wallet in &mut exam.wallets {
            wallet.native = wallet.address.as_ref().ok().and_then(held);
        }
    }
    exam
}

/// Each reference, and the keys that can be used.
fn wallets(name: &str, network: &NetworkConfig) -> (Vec<WalletExam>, Vec<Secret>) {
    let address = |secret: &Secret| match network.network.family() {
        Family::Eip155(_) => quittance_evm::wallet_address(secret).map_err(|error| error.to_string()),
        Family::Solana => quittance_solana::wallet_address(secret).map_err(|error| error.to_string()),
    };
    let (mut all, mut keys) = (Vec::new(), Vec::new());
    for (key, list, retired) in
        [("wallets", &network.wallets, false), ("retired_wallets", &network.retired_wallets, true)]
    {
        for (at, reference) in list.iter().enumerate() {
            let key = format!("networks.{name}.{key}[{at}]");
            // What leads nowhere is a problem of the configuration, told there.
            let Ok(secret) = read_secret_of(&key, reference) else { continue };
            let address = address(&secret);
            // One key under two names is told by its address.
            if address.is_ok() && !all.iter().any(|one: &WalletExam| one.address == address) {
                keys.push(secret);
            }
            all.push(WalletExam { key, address, retired, native: None });
        }
    }
    (all, keys)
}

async fn look_at_terms(
    link: &Link,
    network: &NetworkConfig,
    at: usize,
    wallet: Option<&str>,
    exam: &mut NetworkExam,
) {
    match network.network.family() {
        Family::Eip155(_) => {
            let found = quittance_evm::examine_terms(&link.evm_config(true), at).await;
            exam.terms.extend(found.iter().map(|error| (of_evm(error), error.to_string())));
        }
        Family::Solana => {
            let found = quittance_solana::examine_terms(&link.solana_config(true), at, wallet).await;
            exam.terms.extend(found.problems.iter().map(|error| (of_solana(error), error.to_string())));
            let by_payers = network.token_account.unwrap_or_default() == TokenAccount::InPayment;
            let payout = found.payout.map(|payout| match payout {
                Payout::Ready => PayoutExam::Ready,
                Payout::Missing if by_payers => PayoutExam::CreatedByPayers,
                Payout::Missing => PayoutExam::CreatedAtStart,
                Payout::Frozen => PayoutExam::Frozen,
                Payout::Foreign => PayoutExam::Foreign,
                Payout::Refusing(why) => PayoutExam::Refusing(why),
            });
            exam.payout = payout.zip(found.token_account);
        }
    }
}

fn of_evm(error: &EvmError) -> TermsFault {
    match error {
        EvmError::AssetNotDeployed | EvmError::Config { field: "asset", .. } => TermsFault::TokenMissing,
        EvmError::Decimals { .. } => TermsFault::TokenDecimals,
        EvmError::Currency => TermsFault::TokenCurrency,
        EvmError::DomainMismatch => TermsFault::TokenDomain,
        EvmError::Config { field: "pay_to", .. } => TermsFault::PayTo,
        EvmError::Rpc(_) => TermsFault::Unknown,
        _ => TermsFault::Other,
    }
}

fn of_solana(error: &SolanaError) -> TermsFault {
    match error {
        SolanaError::MintMissing | SolanaError::NotAMint | SolanaError::BadAddress { field: "asset" } => {
            TermsFault::TokenMissing
        }
        SolanaError::Decimals { .. } => TermsFault::TokenDecimals,
        SolanaError::MintExtension { .. } => TermsFault::TokenExtension,
        SolanaError::Recipient { .. } | SolanaError::BadAddress { field: "pay_to" } => TermsFault::PayTo,
        SolanaError::Rpc(_) => TermsFault::Unknown,
        _ => TermsFault::Other,
    }
}

async fn costs(link: &Link, now_ms: i64) -> Result<CostSnapshot, String> {
    let facts = link.facts().map_err(|error| error.to_string())?;
    let ports = link.connect(true).await.map_err(|error| error.to_string())?;
    let chain = Chain::connected(facts, link.decode(), ports);
    let costs = chain.costs().map_err(|error| error.to_string())?;
    costs.refresh(now_ms).await.map_err(|error| error.to_string())
}
