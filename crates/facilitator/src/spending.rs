//! What settling costs the oracle wallets, against its ceilings (P3, I10).
//!
//! Read from the ledger in the background, so that several processes share one
//! ceiling and an offer needs no I/O (P4); what this process books is added at once.

use std::sync::atomic::{AtomicU64, Ordering};

use quittance_ledger::{LedgerError, Store};
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
        ledger: &dyn Store,
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
        ledger: &dyn Store,
        network: &Network,
        payer: &str,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let since_ms = now_ms.saturating_sub(DAY_MS);
        let uncollected = ledger.uncollected_cost_usdc(network, Some(payer), since_ms).await?;
        Ok(uncollected >= self.uncollected_payer)
    }
}

#[cfg(test)]
mod tests {
    use quittance_ledger::{ClaimOutcome, CostEntry, Ledger, LedgerOptions, NewClaim, Origin};
    use quittance_protocol::{Deadline, Fingerprint, PaymentId, PaymentKey, RequestId};

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn network() -> Network {
        Network::BASE.parse().unwrap()
    }

    async fn paid_by(ledger: &Ledger, payer: &str, number: u8) -> PaymentId {
        let new = NewClaim {
            id: PaymentId::from_random([number; 16]),
            request_id: RequestId::from_random([number; 16]),
            key: PaymentKey::evm(8453, &[1; 20], &[2; 20], &[number; 32]),
            network: network(),
            origin: Origin::Gate,
            fingerprint: Fingerprint::of_request("POST", "/", "", b""),
            signature_digest: [0; 32],
            identifier: None,
            idempotency: None,
            repeats: None,
            payer: payer.to_owned(),
            pay_to: String::new(),
            asset: String::new(),
            amount: Amount::new(2),
            service: Amount::new(1),
            gas: Amount::new(1),
            tariff: None,
            deadline: Deadline::UnixSeconds(1),
            watch_from: 0,
            payload: serde_json::Value::Null,
            resource: String::new(),
        };
        match ledger.claim(new, NOW).await.unwrap() {
            ClaimOutcome::Won(claim) => claim.into_payment().id,
            other => panic!("{other:?}"),
        }
    }

    /// I10: a payer whose attempts cost and earned nothing is stopped at the
    /// ceiling, for a day, on that network, and nobody else is.
    #[tokio::test]
    async fn uncollected_costs_are_counted_for_a_day() {
        let ledger = Ledger::open("sqlite::memory:", LedgerOptions::new("one"), NOW).await.unwrap();
        let ceilings = Ceilings {
            uncollected_payer: Amount::new(100),
            uncollected_network: Amount::new(1_000),
            spent_network: Amount::new(10_000),
        };
        let spending = Spending::default();
        for (number, payer, usdc, earned) in [
            (1, "mallory", 60, false),
            (2, "mallory", 39, false),
            (3, "mallory", 500, true),
            (4, "alice", 9, false),
        ] {
            let payment = Some(paid_by(&ledger, payer, number).await);
            let (transaction, usdc) = (format!("t{number}"), Some(Amount::new(usdc)));
            let entry = CostEntry { network: network(), transaction, payment, native: 1, usdc, earned };
            ledger.book_cost(entry, NOW).await.unwrap();
        }
        let over = async |payer: &str, now_ms: i64| {
            ceilings.payer_is_over(&ledger, &network(), payer, now_ms).await.unwrap()
        };
        assert!(!over("mallory", NOW).await, "99 of 100; what was earned back does not count");
        let payment = Some(paid_by(&ledger, "mallory", 5).await);
        let usdc = Some(Amount::new(1));
        let entry = CostEntry {
            network: network(),
            transaction: "t5".into(),
            payment,
            native: 1,
            usdc,
            earned: false,
        };
        ledger.book_cost(entry, NOW).await.unwrap();
        assert!(over("mallory", NOW).await);
        assert!(!over("alice", NOW).await);
        assert!(over("mallory", NOW + DAY_MS).await);
        assert!(!over("mallory", NOW + DAY_MS + 1).await, "forgiven after a day");

        spending.refresh(&ledger, &network(), NOW).await.unwrap();
        assert_eq!(spending.now(), (Amount::new(609), Amount::new(109)));
        spending.add(Amount::new(10), true);
        spending.add(Amount::new(1), false);
        assert_eq!(spending.now(), (Amount::new(620), Amount::new(110)), "counted before the next reading");
        spending.refresh(&ledger, &network(), NOW + DAY_MS + 1).await.unwrap();
        assert_eq!(spending.now(), (Amount::ZERO, Amount::ZERO));
    }
}
