//! [`Chain`] over `quittance-solana`.

use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use quittance_ledger::{Recorded, SignedBytes};
use quittance_protocol::{
    Amount, BlockTime, Deadline, EndpointReport, ErrorCode, Evidence, Network, PaymentKey, PaymentPayload,
    Secret, SendOutcome, Standing, UnixSeconds,
};
use quittance_solana::{
    ArrivalCursor, Commitment, Payout, SolanaChain, SolanaConfig, SolanaError, SolanaLanded, SolanaPayment,
    SolanaState, SolanaView, SolanaWatch, TokenAccountPolicy,
};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::api::Rejection;
use crate::chain::{
    Broadcast, Chain, ChainFault, ChainPayment, ChainView, CheckError, CostSnapshot, Heights, Landed,
    Obstacle, SignRefused, Use, Watched,
};
use crate::clock::Clock;
use crate::config::{NetworkConfig, TokenAccount};
use crate::late::Facts;

/// Highest compute unit limit a payer may set; a transfer with memo and
/// account creation uses well under half of it.
const COMPUTE_UNIT_LIMIT_MAX: u32 = 200_000;

/// Highest compute unit price a payer may set. The product with the limit is
/// capped separately by `priority_fee_lamports_max`.
const COMPUTE_UNIT_PRICE_MICRO_LAMPORTS_MAX: u64 = 5_000_000;

const NATIVE_DECIMALS: u32 = 9;
const AMOUNT_MISMATCH: ErrorCode = ErrorCode::InvalidExactSvmPayloadAmountMismatch;
const NETWORK_MISMATCH: ErrorCode = ErrorCode::InvalidExactSvmNetworkMismatch;

/// A Solana cluster behind the port.
pub(crate) struct SvmChain {
    chain: SolanaChain,
    network: Network,
    wallet: String,
    clock: Clock,
    /// Slots have no time of their own: by our clock.
    slot_time: RwLock<BlockTime>,
    arrivals: tokio::sync::Mutex<ArrivalCursor>,
    in_payment: bool,
    retired: bool,
}

impl SvmChain {
    /// Connects, checks the mint, and creates our token account where the
    /// configuration says so.
    pub(crate) async fn connect(
        config: &NetworkConfig,
        wallet: &Secret,
        former: &[Secret],
        clock: Clock,
        second_opinion_value: u64,
        late: bool,
    ) -> Result<Self, SolanaError> {
        let in_payment = config.token_account == TokenAccount::InPayment;
        let chain = SolanaChain::connect(
            SolanaConfig {
                network: config.network.clone(),
                rpc_urls: config.rpc_urls.clone(),
                asset: config.asset.clone(),
                pay_to: config.pay_to.clone(),
                token_account: match config.token_account {
                    TokenAccount::AtStart => TokenAccountPolicy::AtStart,
                    TokenAccount::InPayment => TokenAccountPolicy::InPayment,
                },
                compute_unit_limit_max: COMPUTE_UNIT_LIMIT_MAX,
                compute_unit_price_micro_lamports_max: COMPUTE_UNIT_PRICE_MICRO_LAMPORTS_MAX,
                priority_fee_lamports_max: config.priority_fee_lamports_max,
                rpc_timeout_ms: config.rpc_timeout_ms,
                head_age_max_ms: config.head_age_seconds_max.saturating_mul(1_000),
                commitment: Commitment::Confirmed,
                second_opinion_value,
                asset_decimals: config.asset_decimals,
                late,
            },
            wallet,
        )
        .await?
        .with_former_wallets(former)?;
        if chain.is_stand_in() {
            tracing::warn!(
                network = %config.network,
                "rpc_urls lead to a local validator whose genesis is not this network's: for development only"
            );
        }
        if chain.pay_to_is_off_curve() {
            tracing::warn!(
                network = %config.network,
                "pay_to is off the curve: only a program can sign for it; make sure that it can move tokens"
            );
        }
        let state = chain.state().await?;
        if state.payout == Payout::Foreign && !config.retired {
            return Err(SolanaError::TokenAccountForeign { account: chain.token_account() });
        }
        // Nothing new is paid for on a network that is not sold.
        if !config.retired {
            create_if_owed(&chain, state).await?;
        }
        let arrivals = tokio::sync::Mutex::default();
        let (wallet, network) = (chain.wallet(), config.network.clone());
        let slot_time = RwLock::default();
        Ok(Self { wallet, chain, network, clock, slot_time, arrivals, in_payment, retired: config.retired })
    }

    /// What is known without asking a node.
    pub(crate) fn facts(
        config: &NetworkConfig,
        wallet: &Secret,
        former: &[Secret],
    ) -> Result<Facts, SolanaError> {
        let keys = std::iter::once(wallet).chain(former);
        let wallets = keys.map(quittance_solana::wallet_address).collect::<Result<_, _>>()?;
        let wallet = quittance_solana::wallet_address(wallet)?;
        Ok(Facts {
            wallets,
            wallet_named_by: fee_payer_of,
            network: config.network.clone(),
            offer_extra: offer_extra(&wallet),
            wallet,
            native_decimals: NATIVE_DECIMALS,
            takes_nonce: false,
            amount_mismatch: AMOUNT_MISMATCH,
            network_mismatch: NETWORK_MISMATCH,
        })
    }
}

impl SvmChain {
    fn observe(&self, slot: u64) {
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        self.slot_time.write().unwrap_or_else(PoisonError::into_inner).observe(slot, now_ms);
    }

    /// A fresh blockhash for offers. Without one the official client signs over a
    /// finalized blockhash, a fifth of whose thirty seconds have passed by then.
    async fn blockhash_extra(&self) -> Map<String, Value> {
        let mut extra = Map::new();
        match self.chain.latest_blockhash().await {
            Ok((blockhash, last_valid_block_height)) => {
                extra.insert("recentBlockhash".to_owned(), json!(blockhash));
                extra.insert("lastValidBlockHeight".to_owned(), json!(last_valid_block_height));
            }
            // Clients ask for one themselves then.
            Err(error) => tracing::debug!(%error, "no blockhash for offers"),
        }
        extra
    }
}

/// Creates the recipient's token account if that is ours to do and the wallet
/// can pay for it; until then the network is closed for want of money.
async fn create_if_owed(chain: &SolanaChain, state: SolanaState) -> Result<bool, SolanaError> {
    let owed = state.payout == Payout::Missing && chain.owes_token_account();
    if !owed || state.wallet_lamports < chain.creation_lamports() {
        return Ok(false);
    }
    let created = chain.ensure_token_account().await?;
    tracing::info!(account = chain.token_account(), "created the recipient's token account");
    Ok(created)
}

fn offer_extra(wallet: &str) -> Map<String, Value> {
    let mut extra = Map::new();
    extra.insert("feePayer".to_owned(), json!(wallet));
    extra
}

fn reject(error: &SolanaError, payer: Option<String>) -> Rejection {
    Rejection { payer, ..Rejection::new(error.wire_code(), error.to_string()) }
}

fn refusal(error: &SolanaError, payer: &str) -> CheckError {
    if error.retry() {
        return CheckError::Unreachable(error.to_string());
    }
    CheckError::Rejected(reject(error, Some(payer.to_owned())))
}

/// Reads the ledger's form back.
fn stored(form: &Value) -> Result<SolanaPayment, serde_json::Error> {
    SolanaPayment::deserialize(form)
}

/// The fee payer that the payer's message names.
fn fee_payer_of(form: &Value) -> Option<String> {
    stored(form).ok()?.fee_payer()
}

#[async_trait]
impl Chain for SvmChain {
    fn network(&self) -> &Network {
        &self.network
    }

    fn wallet(&self) -> &str {
        &self.wallet
    }

    fn wallets(&self) -> Vec<String> {
        self.chain.wallets()
    }

    fn wallet_named_by(&self, form: &Value) -> Option<String> {
        fee_payer_of(form)
    }

    fn offer_extra(&self) -> Map<String, Value> {
        offer_extra(&self.wallet)
    }

    fn native_decimals(&self) -> u32 {
        NATIVE_DECIMALS
    }

    fn amount_mismatch(&self) -> ErrorCode {
        AMOUNT_MISMATCH
    }

    fn network_mismatch(&self) -> ErrorCode {
        NETWORK_MISMATCH
    }

    fn check_local(&self, payload: &PaymentPayload) -> Result<ChainPayment, Rejection> {
        let payment = self.chain.check_local(payload).map_err(|error| reject(&error, None))?;
        let form = serde_json::to_value(&payment)
            .map_err(|error| Rejection::new(ErrorCode::InvalidPayload, error.to_string()))?;
        Ok(ChainPayment {
            key: payment.key(),
            payer: payment.payer().to_owned(),
            source: payment.source().unwrap_or_else(|| payment.payer().to_owned()),
            amount: payment.amount(),
            signature_digest: payment.signature_digest(),
            needs_rent: payment.creates_token_account() && self.chain.token_account_missing(),
            form,
        })
    }

    fn may_coincide(&self, payment: &ChainPayment) -> bool {
        // Without a memo, payer, amount and blockhash are all there is.
        stored(&payment.form).is_ok_and(|payment| payment.memo().is_none())
    }

    fn valid_after(&self, _payment: &ChainPayment) -> Option<UnixSeconds> {
        None
    }

    fn check_window(&self, _payment: &ChainPayment, _now: UnixSeconds) -> Result<(), Rejection> {
        // A blockhash has no date; the chain check finds an old one.
        Ok(())
    }

    async fn check_chain(&self, payment: &ChainPayment) -> Result<ChainView, CheckError> {
        let stored = stored(&payment.form).map_err(|e| CheckError::Unreachable(e.to_string()))?;
        match self.chain.check_chain(&stored).await {
            Ok(view) => Ok(ChainView {
                watch_from: view.slot,
                endpoint: view.endpoint,
                balance: view.balance.map(Amount::new),
                by_code: false,
            }),
            Err(error) => Err(refusal(&error, &payment.payer)),
        }
    }

    async fn find_use(&self, payment: &ChainPayment) -> Option<Use> {
        let transaction = self.chain.find_landing(&stored(&payment.form).ok()?).await?;
        Some(Use { transaction, canceled: false })
    }

    async fn deadline(&self, payment: &ChainPayment, view: &ChainView) -> Result<Deadline, CheckError> {
        let stored = stored(&payment.form).map_err(|e| CheckError::Unreachable(e.to_string()))?;
        let view =
            SolanaView { endpoint: view.endpoint, slot: view.watch_from, units_consumed: 0, balance: None };
        self.chain.deadline(&stored, &view).await.map_err(|error| refusal(&error, &payment.payer))
    }

    fn takes_nonce(&self) -> bool {
        false
    }

    async fn next_nonce(&self) -> Result<u64, ChainFault> {
        Ok(0)
    }

    async fn used_nonces(&self, _wallet: &str) -> Result<u64, ChainFault> {
        Ok(0)
    }

    async fn transaction_cost(&self, _transaction: &str) -> Result<Option<u128>, ChainFault> {
        // Only asked for attempts that take a nonce.
        Ok(None)
    }

    fn cost_bound(&self, form: &Value, allowed_native: u128) -> Result<u128, SignRefused> {
        let payment = stored(form).map_err(|e| SignRefused { retry: false, reason: e.to_string() })?;
        let bound = u128::from(self.chain.cost_bound_lamports(&payment));
        if bound > allowed_native {
            let reason = "the fee is above what was charged".to_owned();
            return Err(SignRefused { retry: true, reason });
        }
        Ok(bound)
    }

    fn sign(
        &self,
        form: &Value,
        _nonce: Option<u64>,
        allowed_native: u128,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        let payment = stored(form).map_err(|e| SignRefused { retry: false, reason: e.to_string() })?;
        let allowed = u64::try_from(allowed_native.min(reserved_native)).unwrap_or(u64::MAX);
        let signed = self
            .chain
            .co_sign(&payment, allowed)
            .map_err(|error| SignRefused { retry: error.retry(), reason: error.to_string() })?;
        Ok(SignedBytes {
            detail: json!({ "cost_bound_lamports": signed.cost_bound_lamports }),
            raw: signed.raw,
            transaction: signed.transaction,
        })
    }

    async fn broadcast(&self, recorded: &Recorded) -> Broadcast {
        let quittance_solana::Broadcast { outcome, withheld } = self.chain.broadcast(recorded).await;
        Broadcast { outcome, withheld }
    }

    async fn send(&self, recorded: &Recorded) -> SendOutcome {
        self.chain.send(recorded).await
    }

    async fn scan(&self, watched: &[Watched]) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        let watches: Vec<SolanaWatch> = watched
            .iter()
            .filter_map(|w| {
                Some(SolanaWatch {
                    key: w.key,
                    payment: stored(&w.form).ok()?,
                    transaction: w.transactions.last().cloned(),
                    deadline: w.deadline,
                    from_slot: w.watch_from,
                })
            })
            .collect();
        self.chain.scan(&watches, self.clock.now_ms()).await.map_err(|error| ChainFault(error.to_string()))
    }

    fn block_ms(&self) -> u64 {
        self.slot_time.read().unwrap_or_else(PoisonError::into_inner).ms()
    }

    async fn heights(&self) -> Result<Heights, ChainFault> {
        let heights = self.chain.heights().await.map_err(|error| ChainFault(error.to_string()))?;
        self.observe(heights.latest);
        Ok(Heights { latest: heights.latest, finalized: heights.finalized })
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        let landed: Vec<SolanaLanded> = landed
            .iter()
            .filter_map(|l| {
                let payment = stored(&l.form).ok()?;
                Some(SolanaLanded { key: l.key, payment, landing: l.landing.clone(), deadline: l.deadline })
            })
            .collect();
        self.chain.standing(&landed).await.map_err(|error| ChainFault(error.to_string()))
    }

    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        let mut cursor = self.arrivals.lock().await;
        self.chain.arrivals(&mut cursor).await.map_err(|error| ChainFault(error.to_string()))
    }

    async fn pays_in(&self, transaction: &str) -> Result<bool, ChainFault> {
        self.chain.pays_in(transaction).await.map_err(|error| ChainFault(error.to_string()))
    }

    fn endpoints_without_history(&self) -> Vec<usize> {
        self.chain.endpoints_without_history()
    }

    async fn wrong_endpoints(&self) -> Vec<String> {
        let told = |(at, genesis): (usize, String)| {
            format!("rpc_urls[{at}] serves the cluster of genesis {genesis}")
        };
        self.chain.wrong_endpoints().await.into_iter().map(told).collect()
    }

    async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        self.chain.look_at_endpoints(now_ms).await
    }

    async fn refresh_costs(&self, _now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let fault = |error: SolanaError| ChainFault(error.to_string());
        let mut state = self.chain.state().await.map_err(fault)?;
        if !self.retired && create_if_owed(&self.chain, state).await.map_err(fault)? {
            state = self.chain.state().await.map_err(fault)?;
        }
        if state.payout == Payout::Missing {
            self.chain.refresh_rent().await.map_err(fault)?;
        }
        let obstacle = match state.payout {
            Payout::Frozen => Some(Obstacle::PayToFrozen),
            Payout::Foreign => Some(Obstacle::PayToClosed),
            // The first payment creates it, or we do once the wallet can pay for it.
            Payout::Missing if self.in_payment || self.chain.owes_token_account() => None,
            Payout::Missing => Some(Obstacle::PayToClosed),
            Payout::Ready => None,
        };
        let fees = self.chain.fees();
        let total = fees.total_lamports().ok_or_else(|| ChainFault("fees out of range".to_owned()))?;
        Ok(CostSnapshot {
            cost_native: u128::from(total),
            rent_native: u128::from(fees.rent_lamports),
            wallet_native: u128::from(state.wallet_lamports),
            floor_native: u128::from(self.chain.wallet_rent_lamports()),
            bound_native: u128::from(total),
            obstacle,
            detail: json!({
                "signature_lamports": fees.signature_lamports,
                "priority_fee_lamports_max": fees.priority_fee_lamports_max,
                "rent_lamports": fees.rent_lamports,
            }),
            offer_extra: self.blockhash_extra().await,
        })
    }
}
