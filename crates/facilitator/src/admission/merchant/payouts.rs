//! Token accounts of merchants: on Solana a recipient needs one before it can be paid, and
//! official clients never create it. It is created once, at the wallet's cost, which is charged to
//! the merchant and bounded by its limits in the ledger before anything is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quittance_ledger::{LedgerError, Merchant, PayoutAccount};
use quittance_protocol::{ErrorCode, Network};
use tokio::time::Instant;

use super::own_terms::row_at;
use crate::Inner;
use crate::api::Rejection;
use crate::api::receipts::reject;
use crate::chain::{ChainFault, Payout};
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;

/// How often an account that was there is looked at again, whose owner may close it, and one
/// that cannot be paid; one that is missing is looked at sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const MISSING_AGAIN: Duration = Duration::from_secs(5);

/// Accounts looked at in one turn.
const LOOKS_MAX: usize = 16;

/// Transactions that are sent for one account at all: each costs a signature, and the rent
/// is paid by the first that lands.
const TRIES_MAX: u32 = 3;

/// What the last look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Ready,
    Missing,
    Unusable(&'static str),
}

/// What is known of the accounts, by network and owner.
#[derive(Default)]
pub(crate) struct Payouts(Mutex<BTreeMap<(Network, String), (Found, Instant)>>);

impl Payouts {
    fn found(&self, network: &Network, pay_to: &str) -> Option<(Found, Instant)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(network.clone(), pay_to.to_owned())).copied()
    }

    fn put(&self, network: &Network, pay_to: &str, found: Found) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert((network.clone(), pay_to.to_owned()), (found, Instant::now()));
        if before.is_none_or(|(before, _)| before != found) {
            match found {
                Found::Ready => tracing::info!(%network, pay_to, "a merchant can be paid"),
                Found::Missing => tracing::warn!(%network, pay_to, "a merchant's token account is missing"),
                Found::Unusable(why) => tracing::warn!(%network, pay_to, why, "a merchant cannot be paid"),
            }
        }
    }

    /// Whether a payment can arrive there; no I/O.
    pub(super) fn is_ready(&self, net: &ConfiguredNetwork, pay_to: &str) -> Result<(), Rejection> {
        if net.chain.payouts()?.is_none() {
            return Ok(());
        }
        match self.found(&net.terms.network, pay_to) {
            Some((Found::Ready, _)) => Ok(()),
            Some((Found::Unusable(why), _)) => {
                let message = format!("the merchant's payTo cannot be paid: it {why}");
                Err(reject(ErrorCode::InvalidPaymentRequirements, &message))
            }
            Some((Found::Missing, _)) | None => {
                let message = "the merchant's token account is not there yet; send the same payment again";
                Err(reject(ErrorCode::NetworkUnavailable, message).retry_same())
            }
        }
    }
}

/// Whether it is time to look again.
fn is_due(found: Option<(Found, Instant)>) -> bool {
    found.is_none_or(|(found, at)| {
        at.elapsed() >= if found == Found::Missing { MISSING_AGAIN } else { LOOK_AGAIN }
    })
}

impl Inner {
    /// Looks where open merchants are paid, and creates what is missing.
    pub(crate) async fn look_at_payouts(&self) {
        let mut due = Vec::new();
        for merchant in self.merchants.known.open() {
            for net in self.networks.iter().filter(|net| !net.retired) {
                let Some(own) = row_at(&merchant, net) else { continue };
                let found = self.merchants.payouts.found(&own.network, &own.pay_to);
                if is_due(found) && matches!(net.chain.payouts(), Ok(Some(_))) {
                    due.push((found.map(|(_, at)| at), net, Arc::clone(&merchant), own.pay_to.clone()));
                }
            }
        }
        // Those that nobody has looked at for longest: no merchant's account keeps another's waiting.
        due.sort_by_key(|(at, ..)| *at);
        for (_, net, merchant, pay_to) in due.into_iter().take(LOOKS_MAX) {
            let network = &net.terms.network;
            let found = self.ready_payout(net, &merchant, &pay_to).await.unwrap_or_else(|fault| {
                trouble::note(Trouble::MerchantPayout, network.as_str(), &fault);
                let before = self.merchants.payouts.found(network, &pay_to);
                before.map_or(Found::Missing, |(found, _)| found)
            });
            self.merchants.payouts.put(network, &pay_to, found);
        }
    }

    async fn ready_payout(
        &self,
        net: &ConfiguredNetwork,
        merchant: &Arc<Merchant>,
        pay_to: &str,
    ) -> Result<Found, ChainFault> {
        let Some(payouts) = net.chain.payouts()? else { return Ok(Found::Ready) };
        let (account, native) = match payouts.payout(pay_to).await? {
            Payout::Ready => return Ok(Found::Ready),
            Payout::Unusable(why) => return Ok(Found::Unusable(why)),
            Payout::Missing { account, native } => (account, native),
        };
        if net.takes_payments().is_err() {
            return Ok(Found::Missing);
        }
        let now_ms = self.context.clock.now_ms();
        // Without a rate nobody could say what is charged.
        let Some(usdc) = net.cost_usdc(u128::from(native), now_ms) else { return Ok(Found::Missing) };
        let network = net.terms.network.clone();
        let (merchant, tries_max) = (merchant.name.clone(), TRIES_MAX);
        let limits = net.accounts.limits;
        let new = PayoutAccount { network, account, merchant, native, usdc, tries_max, limits };
        match self.context.ledger.begin_payout_account(&new, now_ms).await {
            Ok(true) => {}
            // Its limits, or its tries, are used up; the operator sees it in the statement.
            Ok(false) | Err(LedgerError::NoRoom(_)) => return Ok(Found::Missing),
            Err(error) => return Err(ChainFault(error.to_string())),
        }
        let transaction = payouts.create_payout(pay_to).await?;
        let PayoutAccount { network, account, .. } = &new;
        let ended = self.context.ledger.end_payout_account(network, account, &transaction, now_ms).await;
        if let Err(error) = ended {
            trouble::note(Trouble::MerchantPayout, network.as_str(), &error);
        }
        tracing::info!(%network, account, merchant = new.merchant, transaction, "created a merchant's token account");
        Ok(Found::Ready)
    }
}
