//! A chain whose nodes did not answer when the process started.
//!
//! It is connected to in the background, and until then nothing on it is
//! offered, signed or judged; the other networks sell, and their payments are
//! resumed, as if it were not there.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::future::BoxFuture;
use quittance_ledger::{Recorded, SignedBytes};
use quittance_protocol::{
    BLOCK_MS_ASSUMED, EndpointReport, ErrorCode, Evidence, Network, PaymentKey, PaymentPayload, SendOutcome,
    Standing, UnixSeconds,
};
use serde_json::{Map, Value};

use crate::api::Rejection;
use crate::chain::{
    Broadcast, Chain, ChainFault, ChainPayment, ChainView, CheckError, CostSnapshot, Heights, Landed,
    SignRefused, Use, Watched,
};

/// Connects; an error is a node that does not answer, or a configuration that
/// turned out wrong, in words for the log.
pub(crate) type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Chain>, String>> + Send + Sync>;

/// What is known of a chain without asking it.
pub(crate) struct Facts {
    pub(crate) network: Network,
    pub(crate) wallet: String,
    /// The wallet first, then those before it.
    pub(crate) wallets: Vec<String>,
    /// See [`Chain::wallet_named_by`].
    pub(crate) wallet_named_by: fn(&Value) -> Option<String>,
    pub(crate) offer_extra: Map<String, Value>,
    pub(crate) native_decimals: u32,
    pub(crate) takes_nonce: bool,
    pub(crate) amount_mismatch: ErrorCode,
    pub(crate) network_mismatch: ErrorCode,
}

/// See the module.
pub(crate) struct LateChain {
    facts: Facts,
    connect: Connect,
    connected: OnceLock<Arc<dyn Chain>>,
}

impl LateChain {
    pub(crate) fn new(facts: Facts, connect: Connect) -> Self {
        Self { facts, connect, connected: OnceLock::new() }
    }

    fn chain(&self) -> Result<&Arc<dyn Chain>, ChainFault> {
        self.connected.get().ok_or_else(|| ChainFault("not connected yet".to_owned()))
    }
}

#[async_trait]
impl Chain for LateChain {
    fn network(&self) -> &Network {
        &self.facts.network
    }

    fn wallet(&self) -> &str {
        &self.facts.wallet
    }

    fn wallets(&self) -> Vec<String> {
        self.facts.wallets.clone()
    }

    fn wallet_named_by(&self, form: &Value) -> Option<String> {
        (self.facts.wallet_named_by)(form)
    }

    fn offer_extra(&self) -> Map<String, Value> {
        self.facts.offer_extra.clone()
    }

    fn native_decimals(&self) -> u32 {
        self.facts.native_decimals
    }

    fn amount_mismatch(&self) -> ErrorCode {
        self.facts.amount_mismatch
    }

    fn network_mismatch(&self) -> ErrorCode {
        self.facts.network_mismatch
    }

    fn check_local(&self, payload: &PaymentPayload) -> Result<ChainPayment, Rejection> {
        match self.connected.get() {
            Some(chain) => chain.check_local(payload),
            // Says nothing about the payment, which may be on record (P5).
            None => Err(Rejection::new(
                ErrorCode::NetworkUnavailable,
                "the chain cannot be reached now; try again",
            )),
        }
    }

    fn may_coincide(&self, payment: &ChainPayment) -> bool {
        self.connected.get().is_some_and(|chain| chain.may_coincide(payment))
    }

    fn valid_after(&self, payment: &ChainPayment) -> Option<UnixSeconds> {
        self.connected.get()?.valid_after(payment)
    }

    fn check_window(&self, payment: &ChainPayment, now: UnixSeconds) -> Result<(), Rejection> {
        match self.connected.get() {
            Some(chain) => chain.check_window(payment, now),
            None => Ok(()),
        }
    }

    async fn check_chain(&self, payment: &ChainPayment) -> Result<ChainView, CheckError> {
        match self.chain() {
            Ok(chain) => chain.check_chain(payment).await,
            Err(fault) => Err(CheckError::Unreachable(fault.0)),
        }
    }

    async fn find_use(&self, payment: &ChainPayment) -> Option<Use> {
        self.chain().ok()?.find_use(payment).await
    }

    async fn deadline(
        &self,
        payment: &ChainPayment,
        view: &ChainView,
    ) -> Result<quittance_protocol::Deadline, CheckError> {
        match self.chain() {
            Ok(chain) => chain.deadline(payment, view).await,
            Err(fault) => Err(CheckError::Unreachable(fault.0)),
        }
    }

    fn takes_nonce(&self) -> bool {
        self.facts.takes_nonce
    }

    async fn next_nonce(&self) -> Result<u64, ChainFault> {
        self.chain()?.next_nonce().await
    }

    async fn used_nonces(&self, wallet: &str) -> Result<u64, ChainFault> {
        self.chain()?.used_nonces(wallet).await
    }

    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault> {
        self.chain()?.transaction_cost(transaction).await
    }

    fn settlement_bound(&self, allowed_native: u128) -> Option<u128> {
        self.chain().ok()?.settlement_bound(allowed_native)
    }

    fn cost_bound(&self, form: &Value, allowed_native: u128) -> Result<u128, SignRefused> {
        match self.chain() {
            Ok(chain) => chain.cost_bound(form, allowed_native),
            Err(fault) => Err(SignRefused { retry: true, reason: fault.to_string() }),
        }
    }

    fn sign(
        &self,
        form: &Value,
        nonce: Option<u64>,
        allowed_native: u128,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        match self.chain() {
            Ok(chain) => chain.sign(form, nonce, allowed_native, reserved_native),
            Err(fault) => Err(SignRefused { retry: true, reason: fault.to_string() }),
        }
    }

    async fn broadcast(&self, recorded: &Recorded) -> Broadcast {
        match self.chain() {
            Ok(chain) => chain.broadcast(recorded).await,
            Err(fault) => {
                Broadcast { outcome: SendOutcome::Unknown { reason: fault.to_string() }, withheld: false }
            }
        }
    }

    async fn send(&self, recorded: &Recorded) -> SendOutcome {
        match self.chain() {
            Ok(chain) => chain.send(recorded).await,
            // An earlier life may have sent it: nothing is known (I3).
            Err(fault) => SendOutcome::Unknown { reason: fault.to_string() },
        }
    }

    async fn scan(&self, watched: &[Watched]) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        self.chain()?.scan(watched).await
    }

    fn block_ms(&self) -> u64 {
        self.connected.get().map_or(BLOCK_MS_ASSUMED, |chain| chain.block_ms())
    }

    async fn heights(&self) -> Result<Heights, ChainFault> {
        self.chain()?.heights().await
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        self.chain()?.standing(landed).await
    }

    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        self.chain()?.arrivals().await
    }

    async fn pays_in(&self, transaction: &str) -> Result<bool, ChainFault> {
        self.chain()?.pays_in(transaction).await
    }

    fn endpoints_without_history(&self) -> Vec<usize> {
        self.chain().map(|chain| chain.endpoints_without_history()).unwrap_or_default()
    }

    async fn wrong_endpoints(&self) -> Vec<String> {
        match self.connected.get() {
            Some(chain) => chain.wrong_endpoints().await,
            None => Vec::new(),
        }
    }

    async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        match self.connected.get() {
            Some(chain) => chain.look_at_endpoints(now_ms).await,
            None => Vec::new(),
        }
    }

    async fn base_fee(&self) -> Result<Option<u128>, ChainFault> {
        self.chain()?.base_fee().await
    }

    fn fee_cap(&self, attempt: &Recorded) -> Option<u128> {
        self.connected.get()?.fee_cap(attempt)
    }

    /// The tariff's refresh comes every few seconds: it is what connects.
    async fn refresh_costs(&self, now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        if self.connected.get().is_none() {
            let chain = (self.connect)().await.map_err(ChainFault)?;
            tracing::info!(network = %self.facts.network, "connected");
            // Only one refresh runs at a time; a second chain would be the same.
            let _ = self.connected.set(chain);
        }
        self.chain()?.refresh_costs(now_ms).await
    }
}
