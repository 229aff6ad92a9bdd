//! What attempts may cost without earning, as this process last read it (P3, I10).
//!
//! The ledger decides, within the commit of a claim, so that all replicas share
//! one set of ceilings; an offer needs no I/O (P4) and looks at this copy.

use std::sync::{Mutex, PoisonError};

use quittance_ledger::{ExposureLimits, ExposureSums, LedgerError, Store};
use quittance_protocol::{Amount, Network};

/// One network's exposure when it was last read.
#[derive(Debug, Default)]
pub(crate) struct Spending(Mutex<ExposureSums>);

impl Spending {
    /// What was read, and what this process booked since.
    pub(crate) fn now(&self) -> ExposureSums {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cost that was just booked; the next reading of the ledger has it too.
    pub(crate) fn add(&self, cost: Amount) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.spent = Amount::new(sums.spent.atomic().saturating_add(cost.atomic()));
    }

    /// Reads the ledger.
    pub(crate) async fn refresh(
        &self,
        ledger: &dyn Store,
        network: &Network,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let sums = ledger.exposure(network, now_ms).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sums;
        Ok(())
    }
}

/// Whether payers without history have to wait: what was burnt leaves room only
/// for probes, or not even for them. They are offered the network all the same:
/// an offer does not know who reads it, and payers with history buy.
pub(crate) fn strangers_wait(sums: &ExposureSums, limits: &ExposureLimits) -> bool {
    sums.burnt.usdc >= limits.soft_day.usdc || sums.burnt.native >= limits.soft_day.native
}

#[cfg(test)]
mod tests {
    use quittance_ledger::{CostEntry, Ledger, LedgerOptions};

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[tokio::test]
    async fn what_was_booked_counts_before_the_next_reading() {
        let ledger = Ledger::open("sqlite::memory:", LedgerOptions::new("one"), NOW).await.unwrap();
        let network: Network = Network::BASE.parse().unwrap();
        let entry = CostEntry {
            network: network.clone(),
            transaction: "t".to_owned(),
            payment: None,
            native: 7,
            usdc: Some(Amount::new(60)),
            earned: false,
        };
        ledger.book_cost(entry, NOW).await.unwrap();
        let spending = Spending::default();
        spending.refresh(&ledger, &network, NOW).await.unwrap();
        spending.add(Amount::new(10));
        let sums = spending.now();
        assert_eq!((sums.spent, sums.burnt.usdc, sums.burnt.native), (Amount::new(70), Amount::new(60), 7));
        spending.refresh(&ledger, &network, NOW).await.unwrap();
        assert_eq!(spending.now().spent, Amount::new(60));
    }
}
