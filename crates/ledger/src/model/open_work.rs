//! What still needs a network or a wallet: as `ops::open_work`.

use std::collections::{BTreeMap, BTreeSet};

use quittance_protocol::Network;

use super::rows::{Attempt, Database};
use crate::types::{OpenWork, PaymentState};

const UNBOOKED_MS_MAX: i64 = 3_600_000;
const UNBOOKED_ATTEMPTS_MAX: usize = 4_096;
const LIST_MAX: usize = crate::LIST_MAX as usize;

impl Database {
    pub(super) fn open_work(&self, now_ms: i64) -> OpenWork {
        let mut networks: BTreeMap<Network, u64> = BTreeMap::new();
        for payment in self.payments() {
            let unfinal = payment.state == PaymentState::Settled && payment.finality.is_none();
            if unfinal || !payment.state.is_final() {
                let count = networks.entry(payment.network.clone()).or_default();
                *count = count.saturating_add(1);
            }
        }
        let since_ms = now_ms.saturating_sub(UNBOOKED_MS_MAX);
        let recent = self.attempts.len().saturating_sub(UNBOOKED_ATTEMPTS_MAX);
        let mut wallets = BTreeSet::new();
        for (index, attempt) in self.attempts.iter().enumerate() {
            let Some(wallet) = attempt.wallet.as_ref().filter(|_| !attempt.pruned) else { continue };
            let may_be_unbooked = index >= recent && attempt.at_ms > since_ms;
            if self.is_under_way(attempt) || (may_be_unbooked && !self.is_known_used(attempt)) {
                wallets.insert((attempt.network.clone(), wallet.clone()));
            }
        }
        let unfinished = self.payments().filter(|payment| !payment.state.is_final());
        let mut unfinished: Vec<_> = unfinished.cloned().collect();
        unfinished.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        unfinished.truncate(LIST_MAX);
        OpenWork {
            networks: networks.into_iter().collect(),
            wallets: wallets.into_iter().collect(),
            unfinished,
        }
    }

    fn is_under_way(&self, attempt: &Attempt) -> bool {
        attempt.payments.iter().any(|id| self.get(id).is_ok_and(|row| !row.payment.state.is_final()))
    }

    /// Whether the attempt's nonce is known to be used: a cost is booked for it,
    /// or a payment settled with it.
    fn is_known_used(&self, attempt: &Attempt) -> bool {
        let same = |other: &&Attempt| {
            (&other.network, &other.wallet, other.nonce) == (&attempt.network, &attempt.wallet, attempt.nonce)
        };
        self.kept_attempts().filter(same).any(|other| {
            let transaction = &other.signed.transaction;
            self.is_booked(&other.network, transaction) || self.settled_with(&other.network, transaction)
        })
    }

    fn settled_with(&self, network: &Network, transaction: &str) -> bool {
        self.payments().any(|payment| {
            payment.state == PaymentState::Settled
                && payment.network == *network
                && payment.transaction.as_deref() == Some(transaction)
        })
    }

    pub(super) fn unexplained(&self, network: &Network, transactions: &[String]) -> Vec<String> {
        let made = |transaction: &String| {
            self.kept_attempts().any(|one| one.network == *network && one.signed.transaction == *transaction)
        };
        let unexplained = |one: &&String| !made(one) && !self.settled_with(network, one);
        transactions.iter().filter(unexplained).cloned().collect()
    }
}
