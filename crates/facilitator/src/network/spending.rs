//! What attempts may cost without earning, as this process last read it (P3, I10).
//!
//! The ledger decides, within the commit of a claim, so that all replicas share
//! one set of ceilings; an offer needs no I/O (P4) and looks at this copy.

use std::sync::{Mutex, PoisonError};

use quittance_ledger::{Books, Exposed, ExposureLimits, ExposureSums, LedgerError, NoRoom};
use quittance_protocol::{Amount, Network};

use crate::network::closed::Closed;

/// Attempts that fill the ceilings close a network once none of them has ended for
/// this long: while they end one by one, who pays waits and gets a turn.
const STUCK_MS: i64 = 3_000;

/// One network's exposure when it was last read.
#[derive(Debug, Default)]
pub(crate) struct Spending(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    sums: ExposureSums,
    /// The most that the next settlement may cost; `None` before the first tariff.
    bound: Option<Exposed>,
    /// Since when what is in flight fills the ceilings and nothing ended.
    full_since_ms: Option<i64>,
}

impl Spending {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read, and what this process booked since.
    pub(crate) fn now(&self) -> ExposureSums {
        self.state().sums
    }

    /// A cost that was just booked; the next reading of the ledger has it too.
    pub(crate) fn add(&self, cost: Amount) {
        let mut state = self.state();
        state.sums.spent = Amount::new(state.sums.spent.atomic().saturating_add(cost.atomic()));
    }

    /// Something in flight ended.
    pub(crate) fn something_ended(&self) {
        self.state().full_since_ms = None;
    }

    /// What the next settlement may cost.
    pub(crate) fn set_bound(&self, bound: Option<Exposed>) {
        self.state().bound = bound;
    }

    /// Reads the ledger.
    pub(crate) async fn refresh(
        &self,
        books: &dyn Books,
        network: &Network,
        limits: &ExposureLimits,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let sums = books.exposure(network, now_ms).await?;
        let mut state = self.state();
        state.sums = sums;
        let full = sums.room_for_new(state.bound.unwrap_or_default(), limits) == Err(NoRoom::NetworkInFlight);
        state.full_since_ms = full.then(|| state.full_since_ms.unwrap_or(now_ms));
        Ok(())
    }

    /// Why a payment of somebody who was never seen here would be refused for what
    /// it may cost; `None` where it finds room, or has to wait its turn. No I/O.
    ///
    /// Not for what strangers burnt without earning: they could close the network
    /// with it, and payers with history still buy (P3).
    pub(crate) fn closed(&self, limits: &ExposureLimits, now_ms: i64) -> Option<Closed> {
        let state = *self.state();
        let bound = state.bound.unwrap_or_default();
        let untouched = ExposureSums::default();
        if untouched.room_for_new(bound, limits).is_err() {
            return Some(Closed::BoundAboveCeiling);
        }
        let spent = ExposureSums { spent: state.sums.spent, ..untouched };
        if spent.room_for_new(bound, limits) == Err(NoRoom::Spent) || spent.spent >= limits.spent_day {
            return Some(Closed::Spent);
        }
        match state.sums.room_for_new(bound, limits) {
            // What is reserved may cost less than that, and is free again then.
            Err(NoRoom::Spent) => Some(Closed::InFlight),
            Err(NoRoom::NetworkInFlight) => {
                let stuck = |since| now_ms.saturating_sub(since) >= STUCK_MS;
                state.full_since_ms.is_some_and(stuck).then_some(Closed::InFlight)
            }
            Ok(()) | Err(_) => None,
        }
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

    fn limits() -> ExposureLimits {
        let much = Exposed { usdc: Amount::new(1_000), native: 1_000 };
        ExposureLimits {
            payer_in_flight: much,
            network_in_flight: much,
            payer_unearned_in_flight: 1_000,
            payer_day: Amount::new(1_000),
            soft_day: much,
            probes_day: much,
            spent_day: Amount::new(1_000),
            history_bps: 0,
            by_code_in_flight: 1,
        }
    }

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
        spending.refresh(&ledger, &network, &limits(), NOW).await.unwrap();
        spending.add(Amount::new(10));
        let sums = spending.now();
        assert_eq!((sums.spent, sums.burnt.usdc, sums.burnt.native), (Amount::new(70), Amount::new(60), 7));
        spending.refresh(&ledger, &network, &limits(), NOW).await.unwrap();
        assert_eq!(spending.now().spent, Amount::new(60));
    }
}
