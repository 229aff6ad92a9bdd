//! From a network's section of the configuration to its chain, connected now or later.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quittance_evm::{EvmChain, EvmConfig, EvmDecode, EvmError};
use quittance_protocol::{Family, Secret};
use quittance_solana::{
    Commitment, SolanaChain, SolanaConfig, SolanaDecode, SolanaError, TokenAccountPolicy,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::wallets::WalletReport;
use crate::chain::{Chain, Connect, Decode, Facts, Ports, TransferHistory};
use crate::config::units::{basis_points, usdc};
use crate::config::{Config, ConfigError, NetworkConfig, TokenAccount, TokenProgram, read_secret_of};
use crate::context::random::Random;
use crate::remote::{Remote, SettledElsewhere, Sold};
use crate::start::error::StartError;

/// Highest compute unit limit a payer may set; a transfer with memo and
/// account creation uses well under half of it.
const COMPUTE_UNIT_LIMIT_MAX: u32 = 200_000;

/// Highest compute unit price a payer may set. The product with the limit is
/// capped separately by `priority_fee_lamports_max`.
const COMPUTE_UNIT_PRICE_MICRO_LAMPORTS_MAX: u64 = 5_000_000;

/// One, in basis points.
const BASIS_POINTS: u32 = 10_000;

/// How long a start waits for the nodes of one network. One that says nothing must not keep the
/// others from being sold, nor the process from answering.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A connection under way.
type Attempt = JoinHandle<Result<Ports, StartError>>;

/// Connects, or leaves it to the background where the nodes do not answer, or not within
/// [`CONNECT_WAIT`]. What is wrong in the configuration still ends the start, if it shows by then.
pub(crate) async fn connect_now_or_later(
    name: &str,
    network: &NetworkConfig,
    config: &Config,
) -> Result<Arc<Chain>, StartError> {
    let link = Arc::new(Link::new(name, network, config)?.with_fee_payer().await);
    let (facts, decode, network) = (link.facts()?, link.decode(), &network.network);
    let first = Arc::clone(&link);
    let mut attempt = tokio::spawn(async move { first.connect(false).await });
    let later =
        |attempt| Ok(Arc::new(Chain::later(facts.clone(), Arc::clone(&decode), link.in_background(attempt))));
    match timeout(CONNECT_WAIT, &mut attempt).await {
        Ok(Ok(Ok(ports))) => Ok(Arc::new(Chain::connected(facts, decode, ports))),
        Ok(Ok(Err(error))) if !error.is_unreachable() => Err(error),
        Ok(Ok(Err(error))) => {
            tracing::error!(%network, %error, "not connected; trying again in the background");
            later(None)
        }
        Ok(Err(error)) => {
            tracing::error!(%network, %error, "connecting ended in a panic; trying again in the background");
            later(None)
        }
        Err(_) => {
            tracing::error!(%network, "not connected yet; going on in the background");
            later(Some(attempt))
        }
    }
}

/// The wallets that a configuration names, by their keys; no node is asked.
pub fn configured_wallets(config: &Config) -> Result<Vec<WalletReport>, StartError> {
    let mut all = Vec::new();
    for (name, network) in &config.networks {
        let facts = Link::new(name, network, config)?.facts()?;
        let coin = (facts.coin.name.as_str(), facts.coin.decimals);
        let report = |wallet: &String, retired| WalletReport::silent(&facts.network, wallet, retired, coin);
        all.extend(facts.wallets.iter().map(|wallet| report(wallet, false)));
        all.extend(facts.retired_wallets.iter().map(|wallet| report(wallet, true)));
    }
    Ok(all)
}

/// Connects to read what was, and for nothing else.
pub async fn connect_history(name: &str, config: &Config) -> Result<Box<dyn TransferHistory>, StartError> {
    let missing = || ConfigError::Invalid(format!("there is no [networks.{name}]"));
    let network = config.networks.get(name).ok_or_else(missing)?;
    // Nothing is created on a network that is not sold.
    let network = NetworkConfig { retired: true, ..network.clone() };
    Link::new(name, &network, config)?.history().await
}

/// In whose name nodes are asked where no wallet is ours: a key that is made up for one run, and
/// signs nothing.
fn stand_in() -> Secret {
    let random = Random::system();
    Secret::new(format!("0x{}", hex::encode([random.draw(), random.draw()].concat())))
}

/// What connecting to one network needs.
pub(super) struct Link {
    name: String,
    network: NetworkConfig,
    wallets: Vec<Secret>,
    retired: Vec<Secret>,
    headroom_bps: u128,
    second_opinion: u64,
    /// Who settles instead of wallets.
    elsewhere: Option<Arc<Remote>>,
    /// Whom customers' messages name there, where they name one.
    fee_payers: Vec<String>,
}

impl Link {
    fn new(name: &str, network: &NetworkConfig, config: &Config) -> Result<Self, StartError> {
        let read = |key: &str, references: &[String]| -> Result<Vec<Secret>, ConfigError> {
            let each = references.iter().enumerate();
            each.map(|(at, one)| read_secret_of(&format!("networks.{name}.{key}[{at}]"), one)).collect()
        };
        Ok(Self {
            name: name.to_owned(),
            network: network.clone(),
            wallets: read("wallets", &network.wallets)?,
            retired: read("retired_wallets", &network.retired_wallets)?,
            headroom_bps: u128::from(basis_points(
                "quote.base_fee_headroom",
                &config.quote.base_fee_headroom,
            )?),
            second_opinion: usdc("second_opinion_usdc", &network.second_opinion_usdc)?.atomic(),
            elsewhere: config.facilitator.as_ref().map(Remote::new).transpose()?,
            fee_payers: Vec::new(),
        })
    }

    /// Asks who pays there, if somebody else does. Who does not say it now is not sold with before the
    /// next start; what was claimed is finished all the same.
    async fn with_fee_payer(mut self) -> Self {
        let network = &self.network.network;
        if let Some(remote) = self.elsewhere.as_ref().filter(|_| network.family() == Family::Solana) {
            match remote.fee_payer(network).await {
                Ok(fee_payer) if quittance_solana::is_address(&fee_payer) => {
                    self.fee_payers = vec![fee_payer]
                }
                // It would end the start of every network.
                Ok(_) => {
                    tracing::error!(%network, "the facilitator names a fee payer that is no address: not sold before the next start");
                }
                Err(error) => {
                    tracing::error!(%network, error, "the facilitator does not say who pays the fees: not sold before the next start")
                }
            }
        }
        self
    }

    /// For who looks at a network whatever is wrong with it: with the keys that can be used, and where a
    /// number cannot, the safe end of it.
    pub(super) fn examined(
        name: &str,
        network: &NetworkConfig,
        config: &Config,
        wallets: Vec<Secret>,
    ) -> Self {
        let headroom = basis_points("quote.base_fee_headroom", &config.quote.base_fee_headroom);
        let second_opinion = usdc("second_opinion_usdc", &network.second_opinion_usdc);
        Self {
            name: name.to_owned(),
            network: network.clone(),
            wallets,
            retired: Vec::new(),
            headroom_bps: u128::from(headroom.unwrap_or(BASIS_POINTS)),
            second_opinion: second_opinion.map_or(0, |amount| amount.atomic()),
            elsewhere: config.facilitator.as_ref().and_then(|section| Remote::new(section).ok()),
            fee_payers: Vec::new(),
        }
    }

    /// What is known without asking a node. Two references may lead to one key: two lanes of one
    /// wallet would race for its nonces.
    pub(super) fn facts(&self) -> Result<Facts, StartError> {
        let (coin, wallets, retired) = (self.network.gas_coin(), &self.wallets, &self.retired);
        let facts = match self.network.network.family() {
            Family::Eip155(_) => {
                let config = self.evm_config(false);
                quittance_evm::facts(&config, coin, wallets, retired).map_err(|source| self.evm(source))?
            }
            Family::Solana => {
                let facts = quittance_solana::facts(&self.solana_config(false), coin, wallets, retired)
                    .map_err(|source| self.solana(source))?;
                match self.elsewhere {
                    Some(_) => Facts { wallets: self.fee_payers.clone(), ..facts },
                    None => facts,
                }
            }
        };
        let mut seen = BTreeSet::new();
        if let Some(twice) = facts.all_wallets().find(|address| !seen.insert(address.as_str())) {
            let name = &self.name;
            let problem = format!(
                "networks.{name}: wallets and retired_wallets hold the key of {twice} twice; a wallet has one lane \
                 and one nonce counter, so name each once"
            );
            return Err(ConfigError::Invalid(problem).into());
        }
        Ok(facts)
    }

    pub(super) fn decode(&self) -> Arc<dyn Decode> {
        let network = self.network.network.clone();
        match network.family() {
            Family::Eip155(_) => {
                let evm = self.network.evm();
                Arc::new(EvmDecode::new(network).with_domain(evm.asset_name, evm.asset_version))
            }
            Family::Solana => Arc::new(SolanaDecode::new(network)),
        }
    }

    /// `late`: the service sells already, so that one wrong endpoint of several is
    /// left out instead of ending the start.
    pub(super) async fn connect(&self, late: bool) -> Result<Ports, StartError> {
        match self.network.network.family() {
            Family::Eip155(_) => {
                let stand_in = self.elsewhere.as_ref().map(|_| stand_in());
                let connected = async {
                    let (first, more) = match &stand_in {
                        Some(asker) => (asker, self.wallets.as_slice()),
                        None => self.wallets.split_first().ok_or(EvmError::WalletKey)?,
                    };
                    let chain = EvmChain::connect(self.evm_config(late), first).await?;
                    chain.with_wallets(more)?.with_wallets(&self.retired)
                };
                let ports = quittance_evm::ports(connected.await.map_err(|source| self.evm(source))?);
                Ok(self.settled(ports))
            }
            Family::Solana => {
                let config = self.solana_config(late);
                let chain = match self.elsewhere {
                    Some(_) => SolanaChain::watching(config, &self.fee_payers).await,
                    None => SolanaChain::open(config, &self.wallets, &self.retired).await,
                };
                Ok(self.settled(quittance_solana::ports(chain.map_err(|source| self.solana(source))?)))
            }
        }
    }

    /// As they are, or with whoever settles instead.
    fn settled(&self, ports: Ports) -> Ports {
        let Some(remote) = &self.elsewhere else { return ports };
        let NetworkConfig { network, asset, pay_to, .. } = self.network.clone();
        let sold = Sold { network, asset, pay_to, fee_payer: self.fee_payers.first().cloned() };
        ports.settled_by(|costs| SettledElsewhere::new(Arc::clone(remote), sold, costs))
    }

    /// The chain's past, for who compares it with the books. Pays for nothing.
    pub(super) async fn history(&self) -> Result<Box<dyn TransferHistory>, StartError> {
        let first = self.wallets.first();
        match self.network.network.family() {
            Family::Eip155(_) => {
                let stand_in = self.elsewhere.as_ref().map(|_| stand_in());
                let key = first.or(stand_in.as_ref()).ok_or_else(|| self.evm(EvmError::WalletKey))?;
                let chain = EvmChain::connect(self.evm_config(true), key).await;
                Ok(Box::new(chain.map_err(|source| self.evm(source))?))
            }
            Family::Solana => {
                let chain = match first {
                    Some(key) => SolanaChain::connect(self.solana_config(true), key).await,
                    None => SolanaChain::watching(self.solana_config(true), &self.fee_payers).await,
                };
                Ok(Box::new(chain.map_err(|source| self.solana(source))?))
            }
        }
    }

    /// What is under way is waited for first: it may be creating our token account.
    fn in_background(self: &Arc<Self>, attempt: Option<Attempt>) -> Connect {
        let (link, attempt) = (Arc::clone(self), Arc::new(Mutex::new(attempt)));
        Box::new(move || {
            let (link, attempt) = (Arc::clone(&link), Arc::clone(&attempt));
            Box::pin(async move {
                let first = attempt.lock().unwrap_or_else(PoisonError::into_inner).take();
                let connected = match first {
                    Some(first) => first.await.map_err(|error| error.to_string())?,
                    None => link.connect(true).await,
                };
                connected.map_err(|error| error.to_string())
            })
        })
    }

    pub(super) fn evm_config(&self, late: bool) -> EvmConfig {
        let (network, section) = (&self.network, self.network.evm());
        let mut evm = EvmConfig::new(
            network.network.clone(),
            network.rpc_urls.clone(),
            network.asset.clone(),
            network.pay_to.clone(),
        );
        section.asset_name.clone_into(&mut evm.asset_name);
        section.asset_version.clone_into(&mut evm.asset_version);
        evm.asset_decimals = network.asset_decimals;
        evm.authorization_seconds_max = section.authorization_seconds_max;
        evm.confirmations = section.confirmations;
        evm.settle_gas_limit = section.settle_gas_limit;
        evm.settle_gas_expected = section.settle_gas_expected;
        evm.check_gas_max = section.check_gas_max;
        evm.base_fee_headroom_bps = self.headroom_bps;
        evm.max_fee_per_gas_wei = u128::from(section.max_fee_per_gas_wei);
        evm.priority_fee_wei = u128::from(section.priority_fee_wei);
        evm.rpc_timeout_ms = network.rpc_timeout_ms;
        evm.head_age_max_ms = network.head_age_seconds_max.saturating_mul(1_000);
        evm.poll_interval_ms = network.poll_interval_ms;
        evm.contract_payers = section.contract_payers;
        evm.second_opinion_value = self.second_opinion;
        evm.late = late;
        evm
    }

    pub(super) fn solana_config(&self, late: bool) -> SolanaConfig {
        let (network, section) = (&self.network, self.network.solana());
        SolanaConfig {
            network: network.network.clone(),
            rpc_urls: network.rpc_urls.clone(),
            asset: network.asset.clone(),
            pay_to: network.pay_to.clone(),
            token_account: match section.token_account {
                TokenAccount::AtStart => TokenAccountPolicy::AtStart,
                TokenAccount::InPayment => TokenAccountPolicy::InPayment,
            },
            compute_unit_limit_max: COMPUTE_UNIT_LIMIT_MAX,
            compute_unit_price_micro_lamports_max: COMPUTE_UNIT_PRICE_MICRO_LAMPORTS_MAX,
            priority_fee_lamports_max: section.priority_fee_lamports_max,
            transaction_v1: section.transaction_v1,
            rpc_timeout_ms: network.rpc_timeout_ms,
            head_age_max_ms: network.head_age_seconds_max.saturating_mul(1_000),
            commitment: Commitment::Confirmed,
            second_opinion_value: self.second_opinion,
            token_program: match section.token_program {
                TokenProgram::Token => quittance_solana::TokenProgram::Token,
                TokenProgram::Token2022 => quittance_solana::TokenProgram::Token2022,
            },
            permanent_delegate: section.permanent_delegate,
            asset_decimals: network.asset_decimals,
            late,
            retired: network.retired,
        }
    }

    fn evm(&self, source: EvmError) -> StartError {
        StartError::Evm { name: self.name.clone(), source: Box::new(source) }
    }

    fn solana(&self, source: SolanaError) -> StartError {
        StartError::Solana { name: self.name.clone(), source: Box::new(source) }
    }
}
