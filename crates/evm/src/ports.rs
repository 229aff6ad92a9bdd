//! The ports of `quittance-chain`: what a facilitator asks of an EVM network.

mod batch;
mod costs;
mod decode;
mod replace;
mod sign;
mod watch;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use quittance_chain::{
    ChainFault, ChainView, CheckError, Facts, GasCoin, Ports, Rejection, Use, Verified, Verify,
};
use quittance_protocol::{Amount, Deadline, ErrorCode, PaymentPayload, Secret, UnixSeconds};
use quittance_rpc::Coalescer;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::arrivals::ArrivalCursor;
use crate::chain::{EvmChain, wallet_address};
use crate::config::EvmConfig;
use crate::error::EvmError;
use crate::payment::EvmPayment;
use crate::scan::ScanCursor;
use crate::shared::Checks;

pub use decode::EvmDecode;

/// What is known of a network without asking a node.
pub fn facts(
    config: &EvmConfig,
    coin: GasCoin,
    wallet_keys: &[Secret],
    retired_keys: &[Secret],
) -> Result<Facts, EvmError> {
    let addresses =
        |keys: &[Secret]| -> Result<Vec<String>, EvmError> { keys.iter().map(wallet_address).collect() };
    Ok(Facts {
        network: config.network.clone(),
        coin,
        wallets: addresses(wallet_keys)?,
        retired_wallets: addresses(retired_keys)?,
        offer_wallet: None,
        offer_extra: offer_extra(&config.asset_name, &config.asset_version),
        takes_nonce: true,
        amount_mismatch: ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch,
        network_mismatch: ErrorCode::InvalidExactEvmNetworkMismatch,
    })
}

/// A connected network, and how far looks at it have come.
struct EvmPorts {
    chain: Arc<EvmChain>,
    /// Of payers with history, and of what is claimed already …
    checks: Coalescer<Checks>,
    /// … and of strangers.
    strangers: Coalescer<Checks>,
    scan: Mutex<ScanCursor>,
    arrivals: Mutex<ArrivalCursor>,
    depth_told: OnceLock<()>,
    /// Until when no batch is made, because no node ran the last one's rehearsal.
    alone_until: std::sync::Mutex<Option<Instant>>,
}

impl EvmPorts {
    fn new(chain: EvmChain) -> Self {
        let chain = Arc::new(chain);
        let checks = || Coalescer::new(Checks(Arc::clone(&chain)));
        let (checks, strangers) = (checks(), checks());
        let (scan, arrivals) = (Mutex::default(), Mutex::default());
        let (depth_told, alone_until) = (OnceLock::new(), std::sync::Mutex::default());
        Self { chain, checks, strangers, scan, arrivals, depth_told, alone_until }
    }
}

/// The ports of a connected network.
pub fn ports(chain: EvmChain) -> Ports {
    let has_batches = chain.has_batches();
    let chain = Arc::new(EvmPorts::new(chain));
    let ports = Ports::of(&chain).with_nonces(Arc::clone(&chain) as Arc<_>);
    let ports = if has_batches { ports.with_batch(Arc::clone(&chain) as Arc<_>) } else { ports };
    ports.with_replace(Arc::clone(&chain) as Arc<_>).with_endpoints(chain)
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

/// The payment that was verified here; another family's is a mistake of ours, which is
/// told of in words and never guessed at.
fn ours(payment: &Verified) -> Result<&EvmPayment, &'static str> {
    payment.get().ok_or("not a payment of an EVM network")
}

fn reject(error: &EvmError, payer: Option<&str>) -> Rejection {
    let rejection = Rejection::new(error.wire_code(), error.to_string());
    Rejection { payer: payer.map(str::to_owned), ..rejection }
}

fn fault(error: EvmError) -> ChainFault {
    ChainFault(error.to_string())
}

async fn check(checks: &Coalescer<Checks>, payment: &Verified) -> Result<ChainView, CheckError> {
    let ours = ours(payment).map_err(|why| CheckError::Unreachable(why.to_owned()))?;
    let broke_off = || CheckError::Unreachable("the check broke off".to_owned());
    match checks.ask(ours.clone()).await.ok_or_else(broke_off)? {
        Ok(seen) => Ok(ChainView {
            watch_from: seen.block,
            endpoint: 0,
            balance: Some(Amount::new(seen.balance)),
            by_code: seen.has_code,
        }),
        Err(error) if error.retry() => Err(CheckError::Unreachable(error.to_string())),
        Err(error) => Err(CheckError::Rejected(reject(&error, Some(&payment.payer)))),
    }
}

#[async_trait]
impl Verify for EvmPorts {
    fn check_local(&self, payload: &PaymentPayload) -> Result<Verified, Rejection> {
        let payment = self.chain.check_timeless(payload).map_err(|error| reject(&error, None))?;
        Ok(Verified::new(payment))
    }

    fn check_local_to(&self, payload: &PaymentPayload, pay_to: &str) -> Result<Verified, Rejection> {
        let payment = self.chain.check_timeless_to(payload, pay_to).map_err(|error| reject(&error, None))?;
        Ok(Verified::new(payment))
    }

    fn check_window(&self, payment: &Verified, now: UnixSeconds) -> Result<(), Rejection> {
        let ours = ours(payment).map_err(|why| Rejection::new(ErrorCode::InvalidPayload, why))?;
        self.chain.check_window(ours, now).map_err(|error| reject(&error, Some(&payment.payer)))
    }

    async fn check_chain(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        check(&self.checks, payment).await
    }

    async fn check_stranger(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        check(&self.strangers, payment).await
    }

    async fn deadline(&self, payment: &Verified, _view: &ChainView) -> Result<Deadline, CheckError> {
        let ours = ours(payment).map_err(|why| CheckError::Unreachable(why.to_owned()))?;
        Ok(ours.deadline())
    }

    async fn find_use(&self, payment: &Verified) -> Option<Use> {
        let found = self.chain.find_use(ours(payment).ok()?).await?;
        Some(Use { transaction: found.transaction, canceled: found.canceled })
    }
}

#[cfg(test)]
mod tests;
