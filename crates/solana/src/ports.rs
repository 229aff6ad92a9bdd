//! The ports of `quittance-chain`: what a facilitator asks of a Solana cluster.

mod costs;
mod decode;
mod merchant;
mod open;
mod sign;
mod watch;

use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use quittance_chain::{
    ChainFault, ChainView, CheckError, Facts, GasCoin, Ports, Rejection, Use, Verified, Verify,
};
use quittance_protocol::{Amount, BlockTime, Deadline, ErrorCode, PaymentPayload, Secret, UnixSeconds};
use quittance_rpc::Coalescer;
use serde_json::Map;
use tokio::sync::Mutex;

use crate::arrivals::ArrivalCursor;
use crate::chain::{SolanaChain, SolanaConfig, SolanaView};
use crate::error::SolanaError;
use crate::key::wallet_address;
use crate::payment::SolanaPayment;
use crate::shared::Checks;
use crate::token::TokenProgram;

pub use decode::SolanaDecode;
pub use merchant::check_pay_to;

/// What is known of a cluster without asking a node.
pub fn facts(
    config: &SolanaConfig,
    coin: GasCoin,
    wallet_keys: &[Secret],
    retired_keys: &[Secret],
) -> Result<Facts, SolanaError> {
    let addresses =
        |keys: &[Secret]| -> Result<Vec<String>, SolanaError> { keys.iter().map(wallet_address).collect() };
    let mut offer_extra = Map::new();
    // A hint that clients of other schemes read; those of this one ask for the mint's owner.
    if config.token_program == TokenProgram::Token2022 {
        offer_extra.insert("tokenProgram".to_owned(), config.token_program.id().to_string().into());
    }
    Ok(Facts {
        network: config.network.clone(),
        coin,
        wallets: addresses(wallet_keys)?,
        retired_wallets: addresses(retired_keys)?,
        offer_extra,
        offer_wallet: Some("feePayer"),
        takes_nonce: false,
        amount_mismatch: ErrorCode::InvalidExactSvmPayloadAmountMismatch,
        network_mismatch: ErrorCode::InvalidExactSvmNetworkMismatch,
    })
}

/// A connected cluster, and how far looks at it have come.
struct SolanaPorts {
    chain: Arc<SolanaChain>,
    checks: Coalescer<Checks>,
    /// Slots have no time of their own: by the caller's clock.
    slot_time: RwLock<BlockTime>,
    arrivals: Mutex<ArrivalCursor>,
}

impl SolanaPorts {
    fn new(chain: SolanaChain) -> Self {
        let chain = Arc::new(chain);
        let checks = Coalescer::new(Checks(Arc::clone(&chain)));
        Self { chain, checks, slot_time: RwLock::default(), arrivals: Mutex::default() }
    }
}

/// The ports of a connected cluster.
pub fn ports(chain: SolanaChain) -> Ports {
    let chain = Arc::new(SolanaPorts::new(chain));
    let payouts = Arc::clone(&chain) as Arc<_>;
    Ports::of(&chain).with_payouts(payouts).with_endpoints(chain)
}

/// The payment that was verified here; another family's is a mistake of ours, which is
/// told of in words and never guessed at.
fn ours(payment: &Verified) -> Result<&SolanaPayment, &'static str> {
    payment.get().ok_or("not a payment of a Solana cluster")
}

fn reject(error: &SolanaError, payer: Option<&str>) -> Rejection {
    let rejection = Rejection::new(error.wire_code(), error.to_string());
    Rejection { payer: payer.map(str::to_owned), ..rejection }
}

fn refusal(error: &SolanaError, payer: &str) -> CheckError {
    if error.retry() {
        return CheckError::Unreachable(error.to_string());
    }
    CheckError::Rejected(reject(error, Some(payer)))
}

fn fault(error: SolanaError) -> ChainFault {
    ChainFault(error.to_string())
}

#[async_trait]
impl Verify for SolanaPorts {
    fn check_local(&self, payload: &PaymentPayload) -> Result<Verified, Rejection> {
        let payment = self.chain.check_local(payload).map_err(|error| reject(&error, None))?;
        let needs_rent = payment.creates_token_account() && self.chain.token_account_missing();
        Ok(Verified::with_rent(payment, needs_rent))
    }

    fn check_local_to(&self, payload: &PaymentPayload, pay_to: &str) -> Result<Verified, Rejection> {
        let payment = self.chain.check_local_to(payload, pay_to).map_err(|error| reject(&error, None))?;
        Ok(Verified::new(payment))
    }

    fn check_window(&self, _payment: &Verified, _now: UnixSeconds) -> Result<(), Rejection> {
        // A blockhash has no date; the chain check finds an old one.
        Ok(())
    }

    async fn check_chain(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        let ours = ours(payment).map_err(|why| CheckError::Unreachable(why.to_owned()))?;
        let broke_off = || CheckError::Unreachable("the check broke off".to_owned());
        match self.checks.ask(ours.clone()).await.ok_or_else(broke_off)? {
            Ok(view) => Ok(ChainView {
                watch_from: view.slot,
                endpoint: view.endpoint,
                balance: view.balance.map(Amount::new),
                by_code: false,
            }),
            Err(error) => Err(refusal(&error, &payment.payer)),
        }
    }

    async fn deadline(&self, payment: &Verified, view: &ChainView) -> Result<Deadline, CheckError> {
        let ours = ours(payment).map_err(|why| CheckError::Unreachable(why.to_owned()))?;
        let view =
            SolanaView { endpoint: view.endpoint, slot: view.watch_from, units_consumed: 0, balance: None };
        self.chain.deadline(ours, &view).await.map_err(|error| refusal(&error, &payment.payer))
    }

    async fn find_use(&self, payment: &Verified) -> Option<Use> {
        let transaction = self.chain.find_landing(ours(payment).ok()?).await?;
        Some(Use { transaction, canceled: false })
    }
}

#[cfg(test)]
mod tests;
