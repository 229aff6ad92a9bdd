//! The cost meter: what attempts of finished payments cost comes into the ledger,
//! and what is reserved for them is freed (P3, I10).
//!
//! A driver books what it saw. What it did not see, because its process died or a
//! verdict came from elsewhere, leaves a reservation open; the cost meter asks the
//! chain what became of those attempts. So nothing burnt is missing in the ledger
//! for long, and until it is there it counts as reserved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{CostEntry, Payment, PaymentState, Recorded, ReplacedSlot};
use quittance_protocol::DurableAttempt as _;

use crate::context::Context;
use crate::context::look::LookFault;
use crate::network::configured::ConfiguredNetwork;

/// Pause between two looks.
pub(crate) const PAUSE: Duration = Duration::from_secs(2);

/// A verdict's own driver gets this long to book what it saw.
const DRIVER_MS: i64 = 5_000;

/// Payments that one look asks the chain about at most.
const PAYMENTS_MAX: usize = 64;

/// Replaced nonces that one look asks the chain about at most.
const SLOTS_MAX: usize = 32;

/// An attempt whose nonce is used and that no node knows this long after its
/// payment's verdict can never be included: another attempt took the nonce, and
/// the block that holds that one is final.
const DEAD_MS: i64 = 3_600_000;

/// A wallet's nonces that are used: at the newest block, and at a finalized one.
#[derive(Clone, Copy)]
struct Used {
    newest: u64,
    finally: u64,
}

pub(crate) struct CostMeter {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
}

impl CostMeter {
    pub(crate) fn new(context: Arc<Context>, net: Arc<ConfiguredNetwork>) -> Self {
        Self { context, net }
    }

    pub(crate) async fn look(&self) -> Result<(), LookFault> {
        let open = self.context.ledger.unaccounted(self.net.chain.network()).await?;
        let old = self.context.clock.now_ms().saturating_sub(DRIVER_MS);
        let due = open.into_iter().filter(|payment| payment.verdict_at_ms.is_some_and(|at| at <= old));
        for payment in due.take(PAYMENTS_MAX) {
            self.account_for(&payment).await?;
        }
        self.look_at_replaced().await
    }

    /// Nonces whose attempts were replaced: what one of them cost comes into the ledger, and once it is
    /// final which one that was nothing is reserved for the others any more.
    async fn look_at_replaced(&self) -> Result<(), LookFault> {
        let network = self.net.chain.network();
        if !self.net.chain.facts().takes_nonce {
            return Ok(());
        }
        let mut wallets = BTreeMap::new();
        for slot in self.context.ledger.replaced_slots(network).await?.into_iter().take(SLOTS_MAX) {
            // Asked once for all nonces of a wallet: they wait for finality together.
            let used = match wallets.get(&slot.wallet) {
                Some(used) => *used,
                None => {
                    let used = self.used(&slot.wallet).await?;
                    wallets.insert(slot.wallet.clone(), used);
                    used
                }
            };
            self.account_for_slot(&slot, used).await?;
        }
        let taken = self.context.ledger.unwedged(network, self.context.clock.now_ms()).await?;
        self.context.metrics.unwedged(network, self.net.chain.facts().coin.decimals, taken);
        Ok(())
    }

    /// How many of a wallet's nonces are used, and how many of them for good.
    async fn used(&self, wallet: &str) -> Result<Used, LookFault> {
        let newest = self.net.chain.nonces()?.used(wallet).await?;
        let finally = match self.net.chain.replace()? {
            Some(chain) => chain.used_finally(wallet).await?,
            None => 0,
        };
        Ok(Used { newest, finally })
    }

    async fn account_for_slot(&self, slot: &ReplacedSlot, used: Used) -> Result<(), LookFault> {
        let (network, ledger) = (self.net.chain.network(), &self.context.ledger);
        if slot.nonce >= used.newest {
            return Ok(());
        }
        let mut is_booked = false;
        let attempts = ledger.attempts_from_nonce(network, &slot.wallet, slot.nonce).await?;
        for attempt in attempts.iter().filter(|attempt| attempt.nonce() == Some(slot.nonce)) {
            is_booked |= self.book_replaced(attempt).await?;
        }
        let now_ms = self.context.clock.now_ms();
        let is_old = slot.at_ms <= now_ms.saturating_sub(DEAD_MS);
        let may_close = is_booked || is_old;
        if may_close
            && slot.nonce < used.finally
            && ledger.close_replaced(network, &slot.wallet, slot.nonce, now_ms).await?
        {
            self.net.free();
        }
        Ok(())
    }

    /// Whether all of what one of a replaced nonce's attempts cost is in the ledger, each payment's
    /// share of it. A payment without a verdict has a driver that books it.
    async fn book_replaced(&self, attempt: &Recorded) -> Result<bool, LookFault> {
        if attempt.payments().is_empty() {
            return self.book_empty(attempt).await;
        }
        let old = self.context.clock.now_ms().saturating_sub(DRIVER_MS);
        for id in attempt.payments() {
            let is_booked = match self.context.ledger.payment(id).await? {
                Some(payment) if payment.verdict_at_ms.is_some_and(|at| at <= old) => {
                    self.book(&payment, attempt).await?
                }
                _ => false,
            };
            // What was not included is nobody's share, and the others of what was are booked later.
            if !is_booked {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What does nothing is nobody's: it earned nothing.
    async fn book_empty(&self, attempt: &Recorded) -> Result<bool, LookFault> {
        let transaction = attempt.transaction();
        let cost = self.net.chain.nonces()?.transaction_cost(transaction).await?;
        let Some(native) = cost else { return Ok(false) };
        let (network, now_ms) = (self.net.chain.network().clone(), self.context.clock.now_ms());
        let usdc = self.net.cost_usdc(native, now_ms);
        let transaction = transaction.to_owned();
        let entry = CostEntry { network, transaction, payment: None, native, usdc, earned: false };
        if self.context.ledger.book_cost(entry, now_ms).await?.is_some()
            && let Some(usdc) = usdc
        {
            self.context.metrics.spent(self.net.chain.network(), usdc, false);
            self.net.spending.add(usdc);
        }
        Ok(true)
    }

    /// Books each attempt, and frees what is reserved once the fate of all is known.
    async fn account_for(&self, payment: &Payment) -> Result<(), LookFault> {
        let mut known = true;
        for attempt in self.context.ledger.recorded_attempts(&payment.id).await? {
            known &= self.book(payment, &attempt).await? || self.is_dead(payment, &attempt).await?;
        }
        if known && self.context.ledger.release(&payment.id, self.context.clock.now_ms()).await? {
            self.net.free();
        }
        Ok(())
    }

    /// Whether the attempt's cost is in the ledger.
    async fn book(&self, payment: &Payment, attempt: &Recorded) -> Result<bool, LookFault> {
        let transaction = attempt.transaction();
        let landed = payment.landing.as_ref().filter(|landing| landing.transaction == transaction);
        let earned = payment.state == PaymentState::Settled && landed.is_some();
        let takes_nonce = self.net.chain.facts().takes_nonce;
        let native = match landed {
            Some(landing) => Some(landing.cost_native),
            None if takes_nonce => self.net.chain.nonces()?.transaction_cost(transaction).await?,
            // What a Solana attempt cost stands in its landing.
            None => None,
        };
        let Some(native) = native else { return Ok(false) };
        let now_ms = self.context.clock.now_ms();
        let usdc = self.net.cost_usdc(native, now_ms);
        let entry = CostEntry {
            network: payment.network.clone(),
            transaction: transaction.to_owned(),
            payment: Some(payment.id.clone()),
            native,
            usdc,
            earned,
        };
        // A payment that shared its transaction has its share of what that cost.
        let share = self.context.ledger.book_cost(entry, now_ms).await?;
        if let Some(usdc) = share.and_then(|share| share.usdc) {
            self.context.metrics.spent(&payment.network, usdc, earned);
            self.net.spending.add(usdc);
        }
        self.net.free();
        Ok(true)
    }

    /// Whether the attempt can never be included any more.
    async fn is_dead(&self, payment: &Payment, attempt: &Recorded) -> Result<bool, LookFault> {
        let old = self.context.clock.now_ms().saturating_sub(DEAD_MS);
        if payment.verdict_at_ms.is_none_or(|at| at > old) {
            return Ok(false);
        }
        match (attempt.nonce(), attempt.wallet()) {
            (Some(nonce), Some(wallet)) => Ok(nonce < self.net.chain.nonces()?.used(wallet).await?),
            // A Solana attempt that is unknown this long has outlived its blockhash.
            _ => Ok(true),
        }
    }
}
