//! What settling costs the oracle wallets, against its ceilings (P3, I10).
//!
//! Read from the ledger in the background, so that several processes share one
//! ceiling and an offer needs no I/O (P4); what this process books is added at once.

use std::sync::atomic::{AtomicU64, Ordering};

use quittance_ledger::{Ledger, LedgerError};
use quittance_protocol::{Amount, Network};

/// The ceilings' rolling window.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// From `[quote]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceilings {
    pub(crate) uncollected_payer: Amount,
    pub(crate) uncollected_network: Amount,
    pub(crate) spent_network: Amount,
}

/// One network's costs of the last 24 hours.
#[derive(Debug, Default)]
pub(crate) struct Spending {
    total: AtomicU64,
    uncollected: AtomicU64,
}

impl Spending {
    /// Everything, and the part of it that earned nothing.
    pub(crate) fn now(&self) -> (Amount, Amount) {
        let read = |value: &AtomicU64| Amount::new(value.load(Ordering::Relaxed));
        (read(&self.total), read(&self.uncollected))
    }

    /// A cost that was just met; the next reading of the ledger has it too.
    pub(crate) fn add(&self, cost: Amount, earned: bool) {
        self.total.fetch_add(cost.atomic(), Ordering::Relaxed);
        if !earned {
            self.uncollected.fetch_add(cost.atomic(), Ordering::Relaxed);
        }
    }

    /// Reads the ledger.
    pub(crate) async fn refresh(
        &self,
        ledger: &Ledger,
        network: &Network,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let spent = ledger.spent_usdc(network, now_ms.saturating_sub(DAY_MS)).await?;
        self.total.store(spent.total.atomic(), Ordering::Relaxed);
        self.uncollected.store(spent.uncollected.atomic(), Ordering::Relaxed);
        Ok(())
    }
}

impl Ceilings {
    /// Whether a payer's attempts cost too much without earning. One read of
    /// the ledger: only for who proved a signature.
    pub(crate) async fn payer_is_over(
        &self,
        ledger: &Ledger,
        network: &Network,
        payer: &str,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let since_ms = now_ms.saturating_sub(DAY_MS);
        let uncollected = ledger.uncollected_cost_usdc(network, Some(payer), since_ms).await?;
        Ok(uncollected >= self.uncollected_payer)
    }
}
