//! Who shares a transaction.
//!
//! An idle wallet signs a payment at once, alone: company costs a shop without customers nothing. A
//! busy one groups what queues behind what it has under way, for [`Company::wait_ms`] at most. One timer
//! for all of them: when the oldest has waited for so long, or enough are there, they go together.

use std::collections::BTreeSet;

use quittance_protocol::PaymentId;

use super::events::Company;

/// Transactions of a wallet that may be in flight while what is new still goes at once: what comes
/// now and then does not wait for company that never comes.
pub(crate) const FLYING_ALONE_MAX: usize = 2;

/// Payments that wait for company, in order.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    waiting: Vec<(PaymentId, Company)>,
    since_ms: u64,
}

impl Gathering {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn add(&mut self, payment: PaymentId, company: Company, now_ms: u64) {
        if self.waiting.is_empty() {
            self.since_ms = now_ms;
        }
        self.waiting.push((payment, company));
    }

    pub(super) fn remove(&mut self, payment: &PaymentId) {
        self.waiting.retain(|(waiting, _)| waiting != payment);
    }

    pub(super) fn take_all(&mut self) -> Vec<PaymentId> {
        std::mem::take(&mut self.waiting).into_iter().map(|(payment, _)| payment).collect()
    }

    pub(super) fn wakes_at(&self) -> Option<u64> {
        let wait_ms = self.waiting.iter().map(|(_, company)| company.wait_ms).min()?;
        Some(self.since_ms.saturating_add(wait_ms))
    }

    /// Who goes now. One payment of each payer's: what the checks proved is that each of them is
    /// covered, and an item that drains another one's payer would only burn its share.
    pub(super) fn leaves(&mut self, now_ms: u64, is_busy: bool) -> Option<Vec<PaymentId>> {
        let most = self.waiting.iter().map(|(_, company)| company.items_max).min()?.max(1);
        let is_due = self.wakes_at().is_some_and(|at| at <= now_ms);
        if is_busy && !is_due && self.waiting.len() < most {
            return None;
        }
        let (mut payers, mut leaving, mut staying) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (payment, company) in self.waiting.drain(..) {
            if leaving.len() < most && payers.insert(company.payer.clone()) {
                leaving.push(payment);
            } else {
                staying.push((payment, company));
            }
        }
        self.waiting = staying;
        Some(leaving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(number: u32) -> PaymentId {
        PaymentId::from_stored(format!("pay_{number}"))
    }

    fn gathering(payers: &[&str], items_max: usize) -> Gathering {
        let mut gathering = Gathering::default();
        for (number, payer) in (0..).zip(payers) {
            let company = Company { payer: (*payer).to_owned(), items_max, wait_ms: 10 };
            gathering.add(payment(number), company, 100 + u64::from(number));
        }
        gathering
    }

    #[test]
    fn who_waits_longest_waits_as_long_as_is_configured() {
        let mut some = gathering(&["a", "b"], 32);
        assert_eq!(some.wakes_at(), Some(110));
        assert_eq!(some.leaves(109, true), None);
        assert_eq!(some.leaves(110, true), Some(vec![payment(0), payment(1)]));
        assert_eq!((some.wakes_at(), some.leaves(200, true)), (None, None));
    }

    #[test]
    fn what_is_full_or_behind_nothing_waits_for_nothing() {
        assert_eq!(gathering(&["a", "b"], 2).leaves(101, true), Some(vec![payment(0), payment(1)]));
        assert_eq!(gathering(&["a"], 32).leaves(101, false), Some(vec![payment(0)]));
    }

    /// P3: a payer who signs many payments with money for one would make a batch burn all others.
    #[test]
    fn one_payer_has_one_item_in_a_batch() {
        let mut some = gathering(&["a", "a", "b", "a"], 32);
        assert_eq!(some.leaves(200, true), Some(vec![payment(0), payment(2)]));
        assert_eq!(some.leaves(200, true), Some(vec![payment(1)]));
        assert_eq!(some.leaves(200, true), Some(vec![payment(3)]));
        assert_eq!(some.leaves(200, true), None);
    }

    #[test]
    fn no_batch_holds_more_than_the_chain_takes() {
        let mut some = gathering(&["a", "b", "c"], 2);
        assert_eq!(some.leaves(101, true).map(|leaving| leaving.len()), Some(2));
        assert_eq!(some.leaves(101, true), None, "it waits for its own time");
        assert_eq!(some.leaves(111, true), Some(vec![payment(2)]));
    }
}
