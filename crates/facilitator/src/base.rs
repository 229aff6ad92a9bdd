//! [`Chain`] over `quittance-evm`.

use std::sync::Once;

use async_trait::async_trait;
use quittance_evm::{
    ArrivalCursor, EvmChain, EvmConfig, EvmError, EvmLanded, EvmPayment, EvmState, EvmWatch, FeeSnapshot,
    L1_FEE_HEADROOM, ScanCursor, gas_per_payment,
};
use quittance_ledger::{Recorded, SignedBytes};
use quittance_protocol::{
    Amount, Deadline, EndpointReport, ErrorCode, Evidence, Network, PaymentKey, PaymentPayload, Secret,
    SendOutcome, Standing, UnixSeconds,
};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::api::Rejection;
use crate::chain::{
    Chain, ChainFault, ChainPayment, ChainView, CheckError, CostSnapshot, Heights, Identity, Landed,
    Obstacle, SignRefused, Use, Watched, identify,
};
use crate::config::NetworkConfig;
use crate::late::Facts;

/// Payments that share a settlement's transaction: each settles alone.
const PAYMENTS_PER_TRANSACTION: u32 = 1;

const NATIVE_DECIMALS: u32 = 18;
const AMOUNT_MISMATCH: ErrorCode = ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch;
const NETWORK_MISMATCH: ErrorCode = ErrorCode::InvalidExactEvmNetworkMismatch;

/// Where an attempt's record has its fee cap.
const FEE_CAP: &str = "max_fee_per_gas_wei";

/// Denominator of `headroom_bps`.
const BASIS_POINTS: u128 = 10_000;

/// An EVM network behind the port.
pub(crate) struct BaseChain {
    chain: EvmChain,
    network: Network,
    wallet: String,
    asset_name: String,
    asset_version: String,
    gas_expected: u64,
    headroom_bps: u128,
    cursor: tokio::sync::Mutex<ScanCursor>,
    arrivals: tokio::sync::Mutex<ArrivalCursor>,
    depth_told: Once,
}

impl BaseChain {
    /// Connects and checks chain id, token and EIP-712 domain.
    pub(crate) async fn connect(
        config: &NetworkConfig,
        wallet: &Secret,
        former: &[Secret],
        headroom_bps: u128,
        second_opinion_value: u64,
        late: bool,
    ) -> Result<Self, EvmError> {
        let mut evm = EvmConfig::new(
            config.network.clone(),
            config.rpc_urls.clone(),
            config.asset.clone(),
            config.pay_to.clone(),
        );
        evm.asset_name.clone_from(&config.asset_name);
        evm.asset_version.clone_from(&config.asset_version);
        evm.asset_decimals = config.asset_decimals;
        evm.authorization_seconds_max = config.authorization_seconds_max;
        evm.confirmations = config.confirmations;
        evm.settle_gas_limit = config.settle_gas_limit;
        evm.max_fee_per_gas_wei = u128::from(config.max_fee_per_gas_wei);
        evm.priority_fee_wei = u128::from(config.priority_fee_wei);
        evm.rpc_timeout_ms = config.rpc_timeout_ms;
        evm.head_age_max_ms = config.head_age_seconds_max.saturating_mul(1_000);
        evm.poll_interval_ms = config.poll_interval_ms;
        evm.contract_payers = config.contract_payers;
        evm.second_opinion_value = second_opinion_value;
        evm.former_wallets = former.iter().map(quittance_evm::wallet_address).collect::<Result<_, _>>()?;
        evm.late = late;
        let chain = EvmChain::connect(evm, wallet).await?;
        Ok(Self {
            wallet: chain.wallet(),
            chain,
            network: config.network.clone(),
            asset_name: config.asset_name.clone(),
            asset_version: config.asset_version.clone(),
            gas_expected: config.settle_gas_expected,
            headroom_bps,
            cursor: tokio::sync::Mutex::default(),
            arrivals: tokio::sync::Mutex::default(),
            depth_told: Once::new(),
        })
    }

    /// Says once what the configured number of blocks is worth here: on Base it is a tenth of what
    /// it was.
    fn tell_depth(&self) {
        let confirmations = self.chain.config().confirmations;
        if let Some(block_ms) = self.chain.measured_block_ms().filter(|_| confirmations > 0) {
            let depth_ms = confirmations.saturating_mul(block_ms);
            self.depth_told.call_once(|| {
                tracing::info!(network = %self.network, confirmations, block_ms, depth_ms, "payments count at this depth");
            });
        }
    }

    /// What is known without asking a node.
    pub(crate) fn facts(
        config: &NetworkConfig,
        wallet: &Secret,
        former: &[Secret],
    ) -> Result<Facts, EvmError> {
        let keys = std::iter::once(wallet).chain(former);
        Ok(Facts {
            network: config.network.clone(),
            wallet: quittance_evm::wallet_address(wallet)?,
            wallets: keys.map(quittance_evm::wallet_address).collect::<Result<_, _>>()?,
            wallet_named_by: |_| None,
            offer_extra: offer_extra(&config.asset_name, &config.asset_version),
            native_decimals: NATIVE_DECIMALS,
            takes_nonce: true,
            amount_mismatch: AMOUNT_MISMATCH,
            network_mismatch: NETWORK_MISMATCH,
        })
    }

    /// The last fees read, with the fee cap lowered until the expected gas at
    /// that cap fits what the payment was charged.
    ///
    /// The gap between expected gas and gas limit is the operator's explicit
    /// budget (I10): the configured limit says how large it is, only a payer's
    /// contract or a first transfer to an empty recipient uses it, and all of it
    /// is reserved (P3).
    fn fees_within(&self, allowed_wei: u128) -> Result<FeeSnapshot, SignRefused> {
        let mut fees = self.chain.fees().ok_or_else(|| later("no fees read yet"))?;
        let l1 = fees.l1_fee_wei.saturating_mul(L1_FEE_HEADROOM);
        let for_gas =
            allowed_wei.checked_sub(l1).ok_or_else(|| later("the L1 fee is above what was charged"))?;
        let affordable = for_gas / u128::from(self.gas_expected.max(1));
        fees.max_fee_per_gas_wei = fees.max_fee_per_gas_wei.min(affordable);
        if fees.max_fee_per_gas_wei <= fees.base_fee_wei {
            return Err(later("the base fee is above what was charged"));
        }
        Ok(fees)
    }
}

fn never(reason: String) -> SignRefused {
    SignRefused { retry: false, reason }
}

fn later(reason: &str) -> SignRefused {
    SignRefused { retry: true, reason: reason.to_owned() }
}

fn offer_extra(name: &str, version: &str) -> Map<String, Value> {
    let mut extra = Map::new();
    extra.insert("name".to_owned(), json!(name));
    extra.insert("version".to_owned(), json!(version));
    // Wallets that know several ways to pay with a token ask a service of their own which
    // one it has, unless the offer names what is to be signed (thirdweb).
    extra.insert("primaryType".to_owned(), json!("TransferWithAuthorization"));
    extra
}

fn reject(error: &EvmError, payer: Option<String>) -> Rejection {
    Rejection { payer, ..Rejection::new(error.wire_code(), error.to_string()) }
}

/// Reads the ledger's form back.
fn stored(form: &Value) -> Result<EvmPayment, serde_json::Error> {
    EvmPayment::deserialize(form)
}

#[async_trait]
impl Chain for BaseChain {
    fn network(&self) -> &Network {
        &self.network
    }

    fn wallet(&self) -> &str {
        &self.wallet
    }

    fn wallets(&self) -> Vec<String> {
        self.chain.wallets()
    }

    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        identify(&self.network, payload, Some((&self.asset_name, &self.asset_version)))
    }

    fn offer_extra(&self) -> Map<String, Value> {
        offer_extra(&self.asset_name, &self.asset_version)
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
        let payment = self.chain.check_timeless(payload).map_err(|error| reject(&error, None))?;
        let form = serde_json::to_value(&payment)
            .map_err(|error| Rejection::new(ErrorCode::InvalidPayload, error.to_string()))?;
        Ok(ChainPayment {
            key: payment.key(),
            payer: payment.payer(),
            source: payment.payer(),
            amount: payment.amount(),
            signature_digest: payment.signature_digest(),
            needs_rent: false,
            form,
        })
    }

    fn may_coincide(&self, _payment: &ChainPayment) -> bool {
        // Each authorization has a nonce of its own.
        false
    }

    fn valid_after(&self, payment: &ChainPayment) -> Option<UnixSeconds> {
        stored(&payment.form).ok().map(|payment| payment.valid_after())
    }

    fn check_window(&self, payment: &ChainPayment, now: UnixSeconds) -> Result<(), Rejection> {
        let unreadable =
            |error: serde_json::Error| Rejection::new(ErrorCode::InvalidPayload, error.to_string());
        let stored = stored(&payment.form).map_err(unreadable)?;
        self.chain.check_window(&stored, now).map_err(|error| reject(&error, Some(payment.payer.clone())))
    }

    async fn check_chain(&self, payment: &ChainPayment) -> Result<ChainView, CheckError> {
        let stored = stored(&payment.form).map_err(|e| CheckError::Unreachable(e.to_string()))?;
        match self.chain.check_chain(&stored).await {
            Ok(seen) => Ok(ChainView {
                watch_from: seen.block,
                endpoint: 0,
                balance: Some(Amount::new(seen.balance)),
                by_code: seen.has_code,
            }),
            Err(error) if error.retry() => Err(CheckError::Unreachable(error.to_string())),
            Err(error) => Err(CheckError::Rejected(reject(&error, Some(payment.payer.clone())))),
        }
    }

    async fn find_use(&self, payment: &ChainPayment) -> Option<Use> {
        let found = self.chain.find_use(&stored(&payment.form).ok()?).await?;
        Some(Use { transaction: found.transaction, canceled: found.canceled })
    }

    async fn deadline(&self, payment: &ChainPayment, _view: &ChainView) -> Result<Deadline, CheckError> {
        let stored = stored(&payment.form).map_err(|e| CheckError::Unreachable(e.to_string()))?;
        Ok(stored.deadline())
    }

    fn takes_nonce(&self) -> bool {
        true
    }

    async fn next_nonce(&self) -> Result<u64, ChainFault> {
        self.chain.transaction_count().await.map_err(|error| ChainFault(error.to_string()))
    }

    async fn used_nonces(&self, wallet: &str) -> Result<u64, ChainFault> {
        self.chain.used_nonces(wallet).await.map_err(|error| ChainFault(error.to_string()))
    }

    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault> {
        self.chain.transaction_cost_wei(transaction).await.map_err(|error| ChainFault(error.to_string()))
    }

    fn cost_bound(&self, form: &Value, allowed_native: u128) -> Result<u128, SignRefused> {
        let payment = stored(form).map_err(|error| never(error.to_string()))?;
        let fees = self.fees_within(allowed_native)?;
        self.chain.settlement_bound_wei(&payment, &fees).ok_or_else(|| later("fees out of range"))
    }

    fn settlement_bound(&self, allowed_native: u128) -> Option<u128> {
        let fees = self.fees_within(allowed_native).ok()?;
        fees.cost_bound_wei(self.chain.config().settle_gas_limit, 0)
    }

    fn sign(
        &self,
        form: &Value,
        nonce: Option<u64>,
        allowed_native: u128,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        let payment = stored(form).map_err(|error| never(error.to_string()))?;
        let nonce = nonce.ok_or_else(|| never("a settlement needs a wallet nonce".to_owned()))?;
        let mut fees = self.fees_within(allowed_native)?;
        // Fees may have risen since the reservation was made.
        let reserved = self.chain.fee_cap_within(&payment, &fees, reserved_native).unwrap_or(0);
        fees.max_fee_per_gas_wei = fees.max_fee_per_gas_wei.min(reserved);
        if fees.max_fee_per_gas_wei <= fees.base_fee_wei {
            return Err(later("the base fee is above what was reserved"));
        }
        let signed = self
            .chain
            .sign_settlement(&payment, nonce, &fees, reserved_native)
            .map_err(|error| SignRefused { retry: error.retry(), reason: error.to_string() })?;
        Ok(SignedBytes {
            detail: json!({
                "gas_limit": signed.gas_limit,
                FEE_CAP: signed.max_fee_per_gas_wei.to_string(),
                "cost_bound_wei": signed.cost_bound_wei.to_string(),
            }),
            raw: signed.raw,
            transaction: signed.transaction,
        })
    }

    async fn send(&self, recorded: &Recorded) -> SendOutcome {
        self.chain.send(recorded).await
    }

    async fn scan(&self, watched: &[Watched]) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        let watches: Vec<EvmWatch> = watched
            .iter()
            .filter_map(|w| {
                Some(EvmWatch {
                    payment: stored(&w.form).ok()?,
                    attempts: w.transactions.clone(),
                    attempt_nonce: w.nonce,
                    attempt_wallet: w.wallet.clone(),
                    from_block: w.watch_from,
                })
            })
            .collect();
        let mut cursor = self.cursor.lock().await;
        self.chain.scan(&watches, &mut cursor).await.map_err(|error| ChainFault(error.to_string()))
    }

    fn block_ms(&self) -> u64 {
        self.chain.block_ms()
    }

    async fn heights(&self) -> Result<Heights, ChainFault> {
        let heights = self.chain.heights().await.map_err(|error| ChainFault(error.to_string()))?;
        Ok(Heights { latest: heights.latest, finalized: heights.finalized })
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        let landed: Vec<EvmLanded> = landed
            .iter()
            .filter_map(|l| {
                let payment = stored(&l.form).ok()?;
                Some(EvmLanded { payment, landing: l.landing.clone(), from_block: l.watch_from })
            })
            .collect();
        self.chain.standing(&landed).await.map_err(|error| ChainFault(error.to_string()))
    }

    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        let mut cursor = self.arrivals.lock().await;
        self.chain.arrivals(&mut cursor).await.map_err(|error| ChainFault(error.to_string()))
    }

    async fn wrong_endpoints(&self) -> Vec<String> {
        let told = |(at, chain): (usize, u64)| format!("rpc_urls[{at}] serves chain {chain}");
        self.chain.wrong_endpoints().await.into_iter().map(told).collect()
    }

    async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        self.chain.look_at_endpoints(now_ms).await
    }

    async fn base_fee(&self) -> Result<Option<u128>, ChainFault> {
        let fee = self.chain.base_fee_wei().await;
        fee.map(Some).map_err(|error| ChainFault(error.to_string()))
    }

    fn fee_cap(&self, attempt: &Recorded) -> Option<u128> {
        attempt.detail().get(FEE_CAP)?.as_str()?.parse().ok()
    }

    async fn refresh_costs(&self, now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let fault = |error: EvmError| ChainFault(error.to_string());
        let fees = self.chain.refresh_fees(now_ms).await.map_err(fault)?;
        self.tell_depth();
        let state = self.chain.state().await.map_err(fault)?;
        let overflow = || ChainFault("fees out of range".to_owned());
        let fee_per_gas = fees
            .base_fee_wei
            .checked_mul(self.headroom_bps)
            .map(|scaled| scaled.div_ceil(BASIS_POINTS))
            .and_then(|base| base.checked_add(fees.priority_fee_wei))
            .ok_or_else(overflow)?;
        let gas = gas_per_payment(self.gas_expected, PAYMENTS_PER_TRANSACTION);
        let cost_native = u128::from(gas)
            .checked_mul(fee_per_gas)
            .and_then(|wei| wei.checked_add(fees.l1_fee_wei.checked_mul(L1_FEE_HEADROOM)?))
            .ok_or_else(overflow)?;
        let gas_limit = self.chain.config().settle_gas_limit;
        let bound_native = fees.cost_bound_wei(gas_limit, 0).ok_or_else(overflow)?;
        Ok(CostSnapshot {
            cost_native,
            rent_native: 0,
            wallet_native: state.wallet_wei,
            floor_native: 0,
            bound_native,
            obstacle: match state {
                EvmState { paused: true, .. } => Some(Obstacle::TokenPaused),
                EvmState { pay_to_blacklisted: true, .. } => Some(Obstacle::PayToBlacklisted),
                EvmState { .. } => None,
            },
            detail: json!({
                "gas": gas,
                "base_fee_wei": fees.base_fee_wei.to_string(),
                "fee_per_gas_wei": fee_per_gas.to_string(),
                "l1_fee_wei": fees.l1_fee_wei.to_string(),
                "block": fees.block,
            }),
            offer_extra: Map::new(),
        })
    }
}
