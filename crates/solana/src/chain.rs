//! One cluster, its wallets, one token: the driver around the pure parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use quittance_protocol::{Family, Network, PaymentPayload, Secret};
use quittance_rpc::{Endpoints, Told};
use serde::{Deserialize, Serialize};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::{Keypair, Signer};
use tokio::sync::Semaphore;

use crate::ask::{read_account, read_mint, read_rent};
use crate::blockhashes::Blockhashes;
use crate::cluster::{Identified, StandIn};
use crate::commitment::Commitment;
use crate::defect::{Defect, holds, is_planted};
use crate::error::SolanaError;
use crate::height_gate::HeightGate;
use crate::history::Memory;
use crate::inspect::{OwnWallet, Rules};
use crate::instructions as layout;
use crate::key;
use crate::limits::LANDING_SEARCHES_MAX;
use crate::node::Node;
use crate::payment::SolanaPayment;
use crate::recipient;
use crate::rpc::{HttpRpc, Rpc, RpcFailure};
use crate::token::{MintState, TokenProgram};

/// Base fee of one signature (Solana documentation, "Fees").
pub const LAMPORTS_PER_SIGNATURE: u64 = 5_000;
/// Ours and the payer's.
pub const SIGNATURES_PER_PAYMENT: u64 = 2;

/// How seldom an endpoint that is known to serve the right cluster is asked again.
const IDENTITY_ROUNDS: u32 = 12;

/// Who creates our token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenAccountPolicy {
    /// We do, once, at start: official clients never create the recipient's account.
    AtStart,
    /// The first payment does; its rent is part of the offer.
    InPayment,
}

/// Settings of one cluster.
#[derive(Clone, Debug)]
pub struct SolanaConfig {
    /// CAIP-2 identifier; one of the `solana` namespace.
    pub network: Network,
    /// JSON-RPC endpoints in order of preference; at least one.
    pub rpc_urls: Vec<String>,
    /// The token's mint, base58.
    pub asset: String,
    /// Whose mint that is.
    pub token_program: TokenProgram,
    /// Whether a token is taken whose issuer may move what anybody holds.
    pub permanent_delegate: bool,
    /// Decimals of the token's units.
    pub asset_decimals: u8,
    /// Owner of our token account, base58; may equal the fee payer.
    pub pay_to: String,
    /// Who creates that token account.
    pub token_account: TokenAccountPolicy,
    /// Highest compute unit limit a payer may set.
    pub compute_unit_limit_max: u32,
    /// Highest compute unit price a payer may set, in micro-lamports.
    pub compute_unit_price_micro_lamports_max: u64,
    /// Highest priority fee (limit × price) a payer may cause, in lamports.
    pub priority_fee_lamports_max: u64,
    /// Whether transactions of version 1 are taken.
    pub transaction_v1: bool,
    /// Time limit of one RPC call.
    pub rpc_timeout_ms: u64,
    /// How much older an endpoint's newest slot may be than another's, or than the
    /// clock, before the endpoint is asked only when no other answers.
    pub head_age_max_ms: u64,
    /// What counts as landed, and the state simulations run against.
    pub commitment: Commitment,
    /// From this amount on, in atomic units, a landing needs a second
    /// endpoint's word where there is one (invariant I7).
    pub second_opinion_value: u64,
    /// Whether the service sells already: endpoints of another cluster are then
    /// left out instead of ending the start.
    pub late: bool,
    /// Whether nothing is sold here any more: what was begun is finished, and nothing
    /// new is paid for.
    pub retired: bool,
}

/// What settling one payment can cost us at most, for the tariff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SolanaFees {
    /// Both signatures, in lamports.
    pub signature_lamports: u64,
    /// The priority fee a payer may cause at most, in lamports.
    pub priority_fee_lamports_max: u64,
    /// Rent of our token account while it is missing, else zero, in lamports.
    pub rent_lamports: u64,
}

impl SolanaFees {
    /// Their sum; `None` above 64 bits.
    pub fn total_lamports(&self) -> Option<u64> {
        self.signature_lamports.checked_add(self.priority_fee_lamports_max)?.checked_add(self.rent_lamports)
    }
}

/// A successful simulation: which endpoint vouches for it, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SolanaView {
    /// Position of the endpoint in `rpc_urls`.
    pub endpoint: usize,
    /// Slot of the simulated state.
    pub slot: u64,
    /// Compute units the simulation used.
    pub units_consumed: u64,
    /// What the payment's token account held, in atomic units; `None` where no node says so.
    pub balance: Option<u64>,
}

/// A co-signed transaction, ready to be recorded and then sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// The bytes to broadcast.
    pub raw: Vec<u8>,
    /// The first signature, base58: the transaction's id.
    pub transaction: String,
    /// The most it can cost our wallet, in lamports (invariant I10).
    pub cost_bound_lamports: u64,
}

/// Inspects, co-signs, broadcasts and proves payments of one token on one cluster.
pub struct SolanaChain {
    pub(crate) endpoints: Endpoints<Node>,
    pub(crate) rules: Rules,
    pub(crate) commitment: Commitment,
    pub(crate) second_opinion_value: u64,
    pub(crate) height_gate: HeightGate,
    pub(crate) memory: Memory,
    pub(crate) blockhashes: Blockhashes,
    pub(crate) landing_searches: Semaphore,
    /// The fee payers, at least one; those that pay for nothing new, but co-sign what names them,
    /// come last.
    wallets: Vec<Keypair>,
    /// Who pays the fees instead of them, where somebody else signs for it.
    pub(crate) elsewhere: Option<Vec<String>>,
    /// How many of them pay for what is new.
    pub(crate) paying: usize,
    pub(crate) policy: TokenAccountPolicy,
    /// Those that were connected to by URL, as what can be asked for its cluster.
    identified: Vec<Arc<Identified>>,
    identity_rounds: AtomicU32,
    stand_in: StandIn,
    /// Size of a token account of this mint.
    account_bytes: usize,
    pub(crate) permanent_delegate: bool,
    rent_lamports: AtomicU64,
    wallet_rent_lamports: u64,
    /// Until it has been seen it counts as missing, so that cost bounds include its rent.
    pub(crate) token_account_missing: AtomicBool,
    /// Nothing new is paid for.
    pub(crate) retired: bool,
    /// What the log has said already.
    pub(crate) told: Told,
}

impl SolanaChain {
    /// Connects over HTTP and checks that the mint is one that payments are exact in.
    pub async fn connect(config: SolanaConfig, wallet_key: &Secret) -> Result<Self, SolanaError> {
        if config.network.family() != Family::Solana {
            return Err(SolanaError::NotSolana { network: config.network.to_string() });
        }
        let stand_in = StandIn::default();
        let mut identified = Vec::with_capacity(config.rpc_urls.len());
        for (at, url) in config.rpc_urls.iter().enumerate() {
            let endpoint = HttpRpc::new(url, config.rpc_timeout_ms).ok_or(SolanaError::BadUrl { at })?;
            let stand_in = endpoint.is_loopback().then(|| Arc::clone(&stand_in));
            identified.push(Arc::new(Identified::new(Arc::new(endpoint), config.network.clone(), stand_in)));
        }
        // What needs no node is refused before any is asked.
        key::keypair(wallet_key)?;
        key::address("asset", &config.asset)?;
        key::address("pay_to", &config.pay_to)?;
        let silent = check_clusters(&identified, config.late).await?;
        let endpoints = identified.iter().map(|rpc| Arc::clone(rpc) as Arc<dyn Rpc>).collect();
        let chain = Self::connect_past(config, wallet_key, endpoints, &silent).await?;
        Ok(Self { identified, stand_in, ..chain })
    }

    /// Asks endpoints for their cluster, those in good standing every
    /// [`IDENTITY_ROUNDS`]th time: a balancer may change the node behind a
    /// connection that holds. Those of another one, as position in `rpc_urls`
    /// and genesis hash, are asked nothing else until they answer rightly.
    pub async fn wrong_endpoints(&self) -> Vec<(usize, String)> {
        let every_one = self.identity_rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(IDENTITY_ROUNDS);
        let asked = self.identified.iter().filter(|endpoint| every_one || !endpoint.is_right());
        futures::future::join_all(asked.map(|endpoint| endpoint.ask())).await;
        let wrong = |(at, endpoint): (usize, &Arc<Identified>)| Some((at, endpoint.other_cluster()?));
        self.identified.iter().enumerate().filter_map(wrong).collect()
    }

    /// Whether a validator on this machine stands in for the configured cluster.
    pub fn is_stand_in(&self) -> bool {
        self.stand_in.get().is_some()
    }

    /// Whether `pay_to` has no key of its own: a program signs for it, or nobody.
    pub fn pay_to_is_off_curve(&self) -> bool {
        !self.rules.pay_to.is_on_curve()
    }

    /// As [`Self::connect`] with endpoints of the caller's; `config.rpc_urls` is not used.
    pub async fn connect_with(
        config: SolanaConfig,
        wallet_key: &Secret,
        endpoints: Vec<Arc<dyn Rpc>>,
    ) -> Result<Self, SolanaError> {
        Self::connect_past(config, wallet_key, endpoints, &[]).await
    }

    /// The same, asking these last.
    async fn connect_past(
        config: SolanaConfig,
        wallet_key: &Secret,
        endpoints: Vec<Arc<dyn Rpc>>,
        silent: &[usize],
    ) -> Result<Self, SolanaError> {
        if config.network.family() != Family::Solana {
            return Err(SolanaError::NotSolana { network: config.network.to_string() });
        }
        let wallet = key::keypair(wallet_key)?;
        let mint = key::address("asset", &config.asset)?;
        let pay_to = key::address("pay_to", &config.pay_to)?;
        let nodes = endpoints.into_iter().map(Node::new).collect();
        let endpoints = Endpoints::new(nodes, config.head_age_max_ms);
        for place in silent {
            endpoints.note_silent(*place);
        }
        let (program, trusting) = (config.token_program, config.permanent_delegate);
        let MintState { decimals, account_bytes, .. } = read_token(&endpoints, &config, &mint).await?;
        let account = read_account(&endpoints, &pay_to, config.commitment).await?;
        recipient::check(&pay_to, &mint, &wallet.pubkey(), account.as_ref())?;
        let rent_lamports = read_rent(&endpoints, account_bytes).await?;
        let wallet_rent_lamports = read_rent(&endpoints, 0).await?;
        let rules = Rules {
            network: config.network,
            wallets: vec![OwnWallet::of(wallet.pubkey(), &mint, program)],
            pay_to,
            mint,
            program,
            decimals,
            token_account: layout::token_account_of(&pay_to, &mint, program),
            compute_unit_limit_max: config.compute_unit_limit_max,
            compute_unit_price_micro_lamports_max: config.compute_unit_price_micro_lamports_max,
            priority_fee_lamports_max: config.priority_fee_lamports_max,
            transaction_v1: config.transaction_v1,
        };
        Ok(Self {
            endpoints,
            rules,
            commitment: config.commitment,
            second_opinion_value: config.second_opinion_value,
            height_gate: HeightGate::default(),
            memory: Memory::default(),
            blockhashes: Blockhashes::default(),
            landing_searches: Semaphore::new(LANDING_SEARCHES_MAX),
            wallets: vec![wallet],
            elsewhere: None,
            paying: 1,
            policy: config.token_account,
            identified: Vec::new(),
            identity_rounds: AtomicU32::new(0),
            stand_in: StandIn::default(),
            account_bytes,
            permanent_delegate: trusting,
            rent_lamports: AtomicU64::new(rent_lamports),
            wallet_rent_lamports,
            token_account_missing: AtomicBool::new(true),
            retired: config.retired,
            told: Told::default(),
        })
    }

    /// Adds fee payers, and then those that pay for nothing new, but co-sign what was offered or
    /// claimed with them.
    pub fn with_wallets(mut self, more: &[Secret], retired: &[Secret]) -> Result<Self, SolanaError> {
        for key in more.iter().chain(retired) {
            self.wallets.push(key::keypair(key)?);
        }
        self.paying = self.paying.saturating_add(more.len());
        let (mint, program) = (self.rules.mint, self.rules.program);
        let own = |wallet: &Keypair| OwnWallet::of(wallet.pubkey(), &mint, program);
        self.rules.wallets = self.wallets.iter().map(own).collect();
        let is_theirs = |wallet: &OwnWallet| wallet.token_account == self.rules.pay_to;
        if self.rules.wallets.iter().any(is_theirs) {
            return Err(recipient::of_a_wallet());
        }
        Ok(self)
    }

    #[cfg(test)]
    pub(crate) fn replace_wallet(&mut self, wallet: Keypair) {
        self.rules.wallets = vec![OwnWallet::of(wallet.pubkey(), &self.rules.mint, self.rules.program)];
        self.wallets = vec![wallet];
    }

    /// All fee payers, base58, those that pay for nothing new last.
    pub fn wallets(&self) -> Vec<String> {
        if let Some(others) = &self.elsewhere {
            return others.clone();
        }
        self.wallets.iter().map(|wallet| wallet.pubkey().to_string()).collect()
    }

    /// The first fee payer, base58.
    pub fn wallet(&self) -> String {
        self.wallets.first().map(|wallet| wallet.pubkey().to_string()).unwrap_or_default()
    }

    /// The key of one of our wallets.
    pub(crate) fn keypair_of(&self, wallet: &str) -> Option<&Keypair> {
        self.wallets.iter().find(|one| one.pubkey().to_string() == wallet)
    }

    /// Our token account, base58.
    pub fn token_account(&self) -> String {
        self.rules.token_account.to_string()
    }

    /// Decimals of the token.
    pub fn decimals(&self) -> u8 {
        self.rules.decimals
    }

    /// Rent of a token account, in lamports, as it was read last.
    pub fn rent_lamports(&self) -> u64 {
        self.rent_lamports.load(Ordering::Acquire)
    }

    /// Reads the rent anew: the network lowers it in steps.
    pub async fn refresh_rent(&self) -> Result<u64, SolanaError> {
        let rent = self.read_rent(self.account_bytes).await?;
        self.rent_lamports.store(rent, Ordering::Release);
        Ok(rent)
    }

    /// What the fee payer must keep to go on existing, in lamports: a
    /// transaction that would leave it less fails.
    pub fn wallet_rent_lamports(&self) -> u64 {
        self.wallet_rent_lamports
    }

    /// Whether our token account counts as missing; no I/O. It does until
    /// [`Self::token_account_exists`] has seen it.
    pub fn token_account_missing(&self) -> bool {
        self.token_account_missing.load(Ordering::Acquire)
    }

    /// What a payment can cost us now; no I/O.
    pub fn fees(&self) -> SolanaFees {
        SolanaFees {
            signature_lamports: LAMPORTS_PER_SIGNATURE * SIGNATURES_PER_PAYMENT,
            priority_fee_lamports_max: self.rules.priority_fee_lamports_max,
            rent_lamports: if self.token_account_missing() { self.rent_lamports() } else { 0 },
        }
    }

    /// A recent blockhash, base58, and its last valid block height, for offers:
    /// official clients take `extra.recentBlockhash` and
    /// `extra.lastValidBlockHeight` and save a call of their own.
    pub async fn latest_blockhash(&self) -> Result<(String, u64), SolanaError> {
        let (_, newest) = self.read_blockhash().await?;
        Ok((newest.hash.to_string(), newest.last_valid))
    }

    /// Every check that needs no chain: the exact-shape whitelist. No I/O.
    pub fn check_local(&self, payload: &PaymentPayload) -> Result<SolanaPayment, SolanaError> {
        self.rules.check(payload)
    }

    /// Whether the payment may make us pay the rent: only if the offer it paid
    /// charged it, or the account exists and costs nothing. No I/O.
    pub fn check_rent(&self, payment: &SolanaPayment, rent_charged: bool) -> Result<(), SolanaError> {
        let is_free = !payment.creates_token_account() || !self.token_account_missing();
        if !holds(is_free || rent_charged, Defect::RentUncharged) {
            return Err(SolanaError::RentNotCharged);
        }
        Ok(())
    }

    /// The most co-signing can cost us, in lamports (invariant I10): signatures,
    /// priority fee, and the rent if it creates an account that may be missing.
    pub fn cost_bound_lamports(&self, payment: &SolanaPayment) -> u64 {
        // Whether another account than the configured one exists is not known.
        let is_another = payment.destination() != Some(self.rules.token_account);
        let pays_rent = payment.creates_token_account() && (is_another || self.token_account_missing());
        (LAMPORTS_PER_SIGNATURE * SIGNATURES_PER_PAYMENT)
            .saturating_add(payment.priority_fee_lamports())
            .saturating_add(if pays_rent { self.rent_lamports() } else { 0 })
    }

    /// Signs as fee payer, with the wallet that the message names. The whitelist
    /// is applied once more to the very bytes that are signed, with the claim's
    /// own recipient and token. ed25519 is deterministic: the same payment always
    /// gives the same bytes and the same `transaction`. No I/O.
    pub fn co_sign(
        &self,
        payment: &SolanaPayment,
        cost_allowed_lamports: u64,
    ) -> Result<SignedTransaction, SolanaError> {
        let fee_payer = payment.fee_payer().unwrap_or_default();
        let signer = self.keypair_of(&fee_payer).ok_or(SolanaError::FeePayerMismatch)?;
        let decimals = payment.decimals().unwrap_or(self.rules.decimals);
        let rules = self.rules.of_claim(payment, decimals);
        let checked = match is_planted(Defect::SignedUnread) {
            true => payment.clone(),
            false => rules.inspect(payment.raw().to_vec(), payment.amount())?,
        };
        let bound = self.cost_bound_lamports(&checked);
        if !holds(bound <= cost_allowed_lamports, Defect::CostAllowed) {
            return Err(SolanaError::CostAboveBound { bound, allowed: cost_allowed_lamports });
        }
        let signature = signer.sign_message(checked.message());
        Ok(SignedTransaction {
            raw: checked.with_signature(signature.as_array()),
            transaction: signature.to_string(),
            cost_bound_lamports: bound,
        })
    }

    pub(crate) fn endpoint(&self, at: usize) -> Result<&Node, SolanaError> {
        self.endpoints.at(at).ok_or(SolanaError::NoEndpoint)
    }
}

/// The configured mint, if payments in it are exact.
async fn read_token(
    endpoints: &Endpoints<Node>,
    config: &SolanaConfig,
    mint: &Pubkey,
) -> Result<MintState, SolanaError> {
    let state = read_mint(endpoints, mint, config.token_program, config.permanent_delegate).await?;
    if state.decimals != config.asset_decimals {
        return Err(SolanaError::Decimals { expected: config.asset_decimals, found: state.decimals });
    }
    // A pause ends, and what was begun is finished in whatever became of the token.
    match state.fault.filter(|fault| !fault.is_pause && !config.retired) {
        Some(fault) if !is_planted(Defect::MintUnexamined) => Err(fault.into()),
        _ => Ok(state),
    }
}

/// Asks all at once, and says who was silent: several of them cost one time-out, not one each. At
/// least one must answer and serve the configured cluster; at the start none may serve another,
/// later (`late`) such a one is left out.
async fn check_clusters(endpoints: &[Arc<Identified>], late: bool) -> Result<Vec<usize>, SolanaError> {
    let mut last = SolanaError::NoEndpoint;
    let (mut right, mut silent) = (false, Vec::new());
    let said = futures::future::join_all(endpoints.iter().map(|endpoint| endpoint.ask())).await;
    for (endpoint, said) in said.into_iter().enumerate() {
        match said {
            Ok(()) => right = true,
            Err(RpcFailure::WrongCluster { found }) => {
                last = SolanaError::ClusterMismatch { endpoint, found };
                if !late {
                    return Err(last);
                }
            }
            Err(error) => {
                silent.push(endpoint);
                last = error.into();
            }
        }
    }
    if right { Ok(silent) } else { Err(last) }
}

#[cfg(test)]
mod tests;
