//! One connected chain: endpoints, wallet, checks, sends.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use alloy::eips::BlockNumberOrTag::{Latest, Pending};
use alloy::primitives::{Address, Bytes};
use quittance_protocol::{BlockTime, DurableAttempt, PaymentPayload, Secret, SendOutcome, UnixSeconds};
use quittance_rpc::{Endpoints, Told};
use tokio::sync::Semaphore;

use crate::batch::{self, BatchGas};
use crate::check::{self, Terms};
use crate::classify;
use crate::config::{ADDRESS_GAS_PRICE_ORACLE, EvmConfig, READ_GAS, USE_SEARCHES_MAX};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::fee_snapshot::FeeSnapshot;
use crate::identity::Identified;
use crate::keys::SigningKey;
use crate::node::Node;
use crate::payment::EvmPayment;
use crate::proof::parse_receipt;
use crate::rpc::{HttpRpc, Rpc};
use crate::simulate::{Simulation, call};
use crate::text;
use crate::token::{check_recipient_code, check_token, terms};
use crate::view::{ChainCheck, Head};

/// How seldom an endpoint that is known to serve the right chain is asked again.
const IDENTITY_ROUNDS: u32 = 12;

/// One EVM chain with the wallets that sign on it.
pub struct EvmChain {
    config: EvmConfig,
    terms: Terms,
    /// Of every wallet whose transactions are ours, at least one; those that take no new payment
    /// come last.
    keys: Vec<SigningKey>,
    /// Which of them held most when that was read last.
    richest: AtomicUsize,
    endpoints: Endpoints<Node>,
    /// The same ones, as what can be asked which chain it serves.
    identified: Vec<Arc<Identified>>,
    identity_rounds: AtomicU32,
    /// Looks that wanted receipts where none were shown.
    receipt_looks: AtomicU32,
    simulation: Simulation,
    pub(crate) oracle: Option<Address>,
    /// Whether Multicall3's own code stands at its address.
    batches: bool,
    pub(crate) fees: RwLock<Option<FeeSnapshot>>,
    pub(crate) block_time: RwLock<BlockTime>,
    /// Whose turn it is among landings that are not final.
    pub(crate) turn: AtomicUsize,
    use_searches: Semaphore,
    /// What the log has said already.
    pub(crate) told: Told,
}

/// The address of a wallet's key with EIP-55 case. No I/O.
pub fn wallet_address(wallet_key: &Secret) -> Result<String, EvmError> {
    Ok(SigningKey::parse(wallet_key)?.address().to_string())
}

/// An address as the ledger has it, with EIP-55 case, however it was typed.
pub fn stored_address(text: &str) -> Option<String> {
    text.parse::<Address>().ok().map(|address| address.to_string())
}

impl fmt::Debug for EvmChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmChain").field("config", &self.config).field("wallet", &self.wallet()).finish()
    }
}

impl EvmChain {
    /// Connects over HTTP and checks that chain, token and EIP-712 domain are the configured ones.
    pub async fn connect(config: EvmConfig, wallet_key: &Secret) -> Result<Self, EvmError> {
        let endpoints = config
            .rpc_urls
            .iter()
            .map(|url| Ok(Arc::new(HttpRpc::new(url, config.rpc_timeout_ms)?) as Arc<dyn Rpc>))
            .collect::<Result<Vec<_>, RpcError>>()
            .map_err(|_| EvmError::Config { field: "rpc_urls", problem: "must be http or https URLs" })?;
        Self::connect_with(config, wallet_key, endpoints).await
    }

    /// Like [`Self::connect`] with the caller's own endpoints; `rpc_urls` is not read.
    pub async fn connect_with(
        config: EvmConfig,
        wallet_key: &Secret,
        endpoints: Vec<Arc<dyn Rpc>>,
    ) -> Result<Self, EvmError> {
        if endpoints.is_empty() {
            return Err(EvmError::Config { field: "rpc_urls", problem: "must name at least one endpoint" });
        }
        let key = SigningKey::parse(wallet_key)?;
        let terms = terms(&config, key.address())?;
        let identify = |rpc| Arc::new(Identified::new(rpc, terms.chain_id));
        let identified: Vec<_> = endpoints.into_iter().map(identify).collect();
        let nodes = identified.iter().map(|rpc| Node::new(Arc::clone(rpc) as Arc<dyn Rpc>)).collect();
        let constant = |text| text::address(text).unwrap_or(Address::ZERO);
        let simulation = Simulation {
            wallet: key.address(),
            multicall: terms.multicall,
            settle_gas_limit: config.settle_gas_limit,
        };
        let mut chain = Self {
            endpoints: Endpoints::new(nodes, config.head_age_max_ms),
            config,
            terms,
            keys: vec![key],
            receipt_looks: AtomicU32::new(0),
            identified,
            identity_rounds: AtomicU32::new(0),
            simulation,
            richest: AtomicUsize::new(0),
            oracle: None,
            batches: false,
            fees: RwLock::new(None),
            block_time: RwLock::default(),
            turn: AtomicUsize::new(0),
            use_searches: Semaphore::new(USE_SEARCHES_MAX),
            told: Told::default(),
        };
        chain.check_chain_id().await?;
        chain.read(|rpc| check_token(rpc, &chain.terms, &chain.config)).await?;
        chain.read(|rpc| check_recipient_code(rpc, &chain.terms)).await?;
        let oracle = constant(ADDRESS_GAS_PRICE_ORACLE);
        chain.oracle =
            chain.read(|rpc| async { Ok(rpc.has_code(oracle, Latest).await?) }).await?.then_some(oracle);
        let multicall = chain.terms.multicall;
        let code = chain.read(|rpc| async move { Ok(rpc.code(multicall, Latest).await?) }).await?;
        chain.batches = batch::is_multicall3(&code);
        if !chain.batches {
            let network = &chain.config.network;
            tracing::info!(%network, %multicall, "not the code of Multicall3: each payment has a transaction of its own");
        }
        Ok(chain)
    }

    /// Whether several payments may share a transaction.
    pub(crate) fn has_batches(&self) -> bool {
        self.batches
    }

    /// What the items of a batch may use.
    pub(crate) fn batch_gas(&self) -> BatchGas {
        let config = self.config();
        BatchGas { each: config.settle_gas_expected, transaction_max: config.transaction_gas_max }
    }

    /// Adds wallets, each once: their transactions are ours, they can sign, and none of them is
    /// taken for a payer.
    pub fn with_wallets(mut self, keys: &[Secret]) -> Result<Self, EvmError> {
        for key in keys {
            let key = SigningKey::parse(key)?;
            if !self.is_ours(key.address()) {
                self.terms.wallets.push(key.address());
                self.keys.push(key);
            }
        }
        Ok(self)
    }

    /// The address of the first wallet, with EIP-55 case.
    pub fn wallet(&self) -> String {
        self.asker().to_string()
    }

    /// Those of all wallets.
    pub fn wallets(&self) -> Vec<String> {
        self.addresses().map(|address| address.to_string()).collect()
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = Address> {
        self.keys.iter().map(SigningKey::address)
    }

    /// Whether a transaction of this sender is ours.
    pub(crate) fn is_ours(&self, sender: Address) -> bool {
        self.addresses().any(|address| address == sender)
    }

    /// In whose name what costs nothing is asked.
    pub(crate) fn asker(&self) -> Address {
        self.terms.wallet
    }

    /// In whose name a call is run at a gas price, which its sender has to be able to pay.
    fn richest(&self) -> Address {
        let at = self.richest.load(Ordering::Relaxed);
        self.keys.get(at).map_or(self.asker(), SigningKey::address)
    }

    pub(crate) fn note_richest(&self, at: usize) {
        self.richest.store(at, Ordering::Relaxed);
    }

    /// The configuration this was made from.
    pub fn config(&self) -> &EvmConfig {
        &self.config
    }

    /// The key of one of our wallets.
    pub(crate) fn key_of(&self, wallet: &str) -> Option<&SigningKey> {
        let wallet = text::address(wallet)?;
        self.keys.iter().find(|key| key.address() == wallet)
    }

    /// The first wallet's: what a wallet of ours would sign, whichever.
    pub(crate) fn any_key(&self) -> Option<&SigningKey> {
        self.keys.first()
    }

    /// Places for [`Self::find_use`].
    pub(crate) fn use_searches(&self) -> &Semaphore {
        &self.use_searches
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn endpoints(&self) -> &Endpoints<Node> {
        &self.endpoints
    }

    /// One more look for receipts, numbered from one.
    pub(crate) fn receipt_looks(&self) -> u32 {
        self.receipt_looks.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The most that one settlement of ordinary size costs at the last fees.
    pub(crate) fn cost_max_wei(&self) -> u128 {
        let bound = |fees: FeeSnapshot| fees.cost_bound_wei(self.config.settle_gas_limit, 0);
        self.fees().and_then(bound).unwrap_or(0)
    }

    /// Everything that can be said about a payment without asking anyone. No I/O.
    pub fn check_local(&self, payload: &PaymentPayload, now: UnixSeconds) -> Result<EvmPayment, EvmError> {
        let payment = check::check(&self.terms, payload, Some(now))?;
        self.check_window(&payment, now)?;
        Ok(payment)
    }

    /// [`check_local`](Self::check_local) without the time window: a payment that is on record
    /// already stays what it is when its window has closed.
    pub fn check_timeless(&self, payload: &PaymentPayload) -> Result<EvmPayment, EvmError> {
        check::check(&self.terms, payload, None)
    }

    /// The same for a merchant's recipient.
    pub fn check_timeless_to(&self, payload: &PaymentPayload, pay_to: &str) -> Result<EvmPayment, EvmError> {
        let pay_to = text::address(pay_to).ok_or(EvmError::Recipient)?;
        let terms = Terms { pay_to, ..self.terms.clone() };
        check::check(&terms, payload, None)
    }

    /// Whether there is time to settle the payment, and not too much of it.
    pub fn check_window(&self, payment: &EvmPayment, now: UnixSeconds) -> Result<(), EvmError> {
        let terms = &self.terms;
        check::check_time_window(terms, self.margin_seconds(), payment.valid_after, payment.valid_before, now)
    }

    /// Simulates the settlement at the newest block and reads balance, authorization state and the
    /// payer's code: one JSON-RPC call where Multicall3 is deployed.
    ///
    /// A payer with code is refused ([`EvmError::ContractPayer`]) unless `contract_payers` is on; then
    /// a second call runs the very transaction, at the gas price that it will carry.
    pub async fn check_chain(&self, payment: &EvmPayment) -> Result<ChainCheck, EvmError> {
        self.read(|rpc| async move {
            let seen = match self.simulation.by_multicall(rpc, payment).await? {
                Some(seen) => seen,
                None => self.simulation.plain(rpc, payment).await?,
            };
            if seen.has_code {
                if !self.config.contract_payers {
                    return Err(EvmError::ContractPayer);
                }
                let fees = self.fees().ok_or(EvmError::NoFees)?;
                self.simulation.as_signed(rpc, self.richest(), payment, &fees).await?;
            }
            Ok(seen)
        })
        .await
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Head, EvmError> {
        self.read(|rpc| async move {
            let block = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
            Ok(Head { block: block.number, block_time: block.timestamp })
        })
        .await
    }

    /// A wallet's next nonce with what the node has pending; for boot, where the ledger is empty.
    pub async fn transaction_count(&self, wallet: &str) -> Result<u64, EvmError> {
        let wallet = parse_wallet(wallet)?;
        self.read(|rpc| async move { Ok(rpc.nonces(wallet, Pending).await?) }).await
    }

    /// How many nonces of a wallet of ours the newest block has seen used.
    pub async fn used_nonces(&self, wallet: &str) -> Result<u64, EvmError> {
        let wallet = parse_wallet(wallet)?;
        self.read(|rpc| async move { Ok(rpc.nonces(wallet, Latest).await?) }).await
    }

    /// What an included transaction cost in wei, whatever it did; `None` while it is not included.
    pub async fn transaction_cost_wei(&self, transaction: &str) -> Result<Option<u128>, EvmError> {
        let answer = self.read(|rpc| async { Ok(rpc.receipt(transaction).await?) }).await?;
        Ok(parse_receipt(&answer, self.terms().token)?.map(|receipt| receipt.cost_wei))
    }

    /// The first wallet's balance in wei at the newest block.
    pub async fn wallet_balance_wei(&self) -> Result<u128, EvmError> {
        self.read(|rpc| async { Ok(rpc.balance(self.asker(), Latest).await?) }).await
    }

    /// Hands durable bytes to the first endpoint, a healthy one if there is one, and, while that
    /// leaves the outcome unknown, to the next ones.
    ///
    /// `Accepted` if any endpoint said so; `Refused` only if the classification table proves it and
    /// no endpoint that got the bytes in this call was left unknown (I3). Whoever sends bytes again
    /// must keep an earlier `Accepted` or `Unknown`.
    pub async fn send<A: DurableAttempt + ?Sized>(&self, attempt: &A) -> SendOutcome {
        let raw = Bytes::copy_from_slice(attempt.raw_bytes());
        let send = |rpc| self.send_to(rpc, &raw, attempt.transaction());
        // One that refuses these very bytes has judged them for all.
        let is_last = |outcome: &SendOutcome| !matches!(outcome, SendOutcome::Unknown { .. });
        let outcome = self.endpoints.broadcast(send, quittance_rpc::combine, is_last).await;
        outcome.unwrap_or_else(|| SendOutcome::Unknown { reason: "no endpoint of this chain".to_owned() })
    }

    /// `None`: it serves another chain, and never got the bytes.
    async fn send_to(&self, rpc: &Node, raw: &Bytes, transaction: &str) -> Option<SendOutcome> {
        match rpc.ask("eth_sendRawTransaction", [raw]).await {
            Err(RpcError::WrongChain { .. }) => None,
            answer => Some(classify::send(answer, transaction)),
        }
    }

    /// Runs a read on one healthy endpoint after the other until one is able to answer. The whole
    /// read moves, so its evidence comes from one endpoint (I7). Never for sends.
    pub(crate) async fn read<'a, T, F, Fut>(&'a self, operation: F) -> Result<T, EvmError>
    where
        F: Fn(&'a Node) -> Fut,
        Fut: Future<Output = Result<T, EvmError>>,
    {
        let places = self.endpoints.serving();
        let read = |_, rpc| operation(rpc);
        let (_, found) =
            self.endpoints.first_that_answers(places, no_endpoint(), read, is_endpoint_fault).await?;
        Ok(found)
    }

    /// At least one endpoint must answer and serve the configured chain. At the start none may serve
    /// another; later such a one is left out. All are asked at once, and who says nothing is asked
    /// last for what follows: several that are silent cost one time-out, not one for each question.
    async fn check_chain_id(&self) -> Result<(), EvmError> {
        let mut last = None;
        let mut right = false;
        let said = futures::future::join_all(self.identified.iter().map(|endpoint| endpoint.ask())).await;
        for (endpoint, said) in said.into_iter().enumerate() {
            match said {
                Ok(()) => right = true,
                Err(RpcError::WrongChain { expected, found }) => {
                    let error = EvmError::ChainMismatch { endpoint, expected, found };
                    if !self.config.late {
                        return Err(error);
                    }
                    last = Some(error);
                }
                Err(error) => {
                    self.endpoints.note_silent(endpoint);
                    last = last.or(Some(error.into()));
                }
            }
        }
        match last {
            Some(error) if !right => Err(error),
            _ => Ok(()),
        }
    }

    /// Asks endpoints which chain they serve, those in good standing every [`IDENTITY_ROUNDS`]th time:
    /// a balancer may change the node behind a connection that holds. Those that are not the configured one, as position in
    /// `rpc_urls` and chain id, are asked nothing else until they answer rightly.
    pub async fn wrong_endpoints(&self) -> Vec<(usize, u64)> {
        let every_one = self.identity_rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(IDENTITY_ROUNDS);
        let asked = self.identified.iter().filter(|endpoint| every_one || !endpoint.is_right());
        futures::future::join_all(asked.map(|endpoint| endpoint.ask())).await;
        let wrong = |(at, endpoint): (usize, &Arc<Identified>)| Some((at, endpoint.other_chain()?));
        self.identified.iter().enumerate().filter_map(wrong).collect()
    }

    pub(crate) fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    pub(crate) async fn view(&self, rpc: &Node, to: Address, input: Vec<u8>) -> Result<Vec<u8>, EvmError> {
        Ok(call(rpc, self.asker(), to, READ_GAS, &input, Latest).await?)
    }
}

fn parse_wallet(text: &str) -> Result<Address, EvmError> {
    let problem = "must be 0x and 40 hex digits";
    text::address(text).ok_or(EvmError::Config { field: "wallet", problem })
}

/// What is said where nobody could be asked.
pub(crate) fn no_endpoint() -> EvmError {
    EvmError::Rpc(RpcError::Transport("no endpoint".to_owned()))
}

/// Whether another endpoint might do better.
pub(crate) fn is_endpoint_fault(error: &EvmError) -> bool {
    matches!(error, EvmError::Rpc(error) if error.is_endpoint_fault())
}
