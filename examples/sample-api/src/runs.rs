//! How often paid handlers ran: what tests of the promise "one payment, one grant" look at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::buyer::Buyer;

/// Payments the counter tells apart; older ones only count in the total.
pub const RUNS_PAYMENTS_MAX: usize = 10_000;

/// Counts handler runs, in all and by payment.
#[derive(Debug, Default)]
pub struct Runs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    total: u64,
    by_payment: BTreeMap<String, PaymentRuns>,
    order: VecDeque<String>,
}

#[derive(Debug)]
struct PaymentRuns {
    request_id: String,
    runs: u64,
}

impl Runs {
    /// A handler starts for this buyer.
    pub fn count(&self, buyer: &Buyer) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total = inner.total.saturating_add(1);
        let Buyer::Paid(call) = buyer else { return };
        if let Some(known) = inner.by_payment.get_mut(&call.payment_id) {
            known.runs = known.runs.saturating_add(1);
            return;
        }
        if inner.order.len() >= RUNS_PAYMENTS_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.by_payment.remove(&oldest);
        }
        inner.order.push_back(call.payment_id.clone());
        let runs = PaymentRuns { request_id: call.request_id.clone(), runs: 1 };
        inner.by_payment.insert(call.payment_id.clone(), runs);
    }

    /// Runs since the start, of every handler that is sold.
    pub fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Runs by payment id.
    pub fn by_payment(&self) -> BTreeMap<String, u64> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_payment.iter().map(|(id, payment)| (id.clone(), payment.runs)).collect()
    }

    /// Runs of one payment, found by its id or by the id of the request it bought.
    pub fn of(&self, payment_or_request_id: &str) -> u64 {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .by_payment
            .iter()
            .filter(|(id, payment)| {
                *id == payment_or_request_id || payment.request_id == payment_or_request_id
            })
            .map(|(_, payment)| payment.runs)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buyer::PaidCall;

    fn paid(payment: usize) -> Buyer {
        Buyer::Paid(PaidCall { payment_id: format!("pay_{payment}"), request_id: format!("req_{payment}") })
    }

    #[test]
    fn runs_are_counted_in_all_and_by_payment() {
        let runs = Runs::default();
        runs.count(&paid(1));
        runs.count(&paid(1));
        runs.count(&paid(2));
        runs.count(&Buyer::Account { name: "acme".to_owned() });
        assert_eq!(runs.total(), 4);
        assert_eq!((runs.of("pay_1"), runs.of("req_1"), runs.of("pay_2"), runs.of("x")), (2, 2, 1, 0));
        assert_eq!(runs.by_payment().len(), 2);
    }

    #[test]
    fn the_counter_stays_bounded() {
        let runs = Runs::default();
        for payment in 0..RUNS_PAYMENTS_MAX + 5 {
            runs.count(&paid(payment));
        }
        assert_eq!(runs.by_payment().len(), RUNS_PAYMENTS_MAX);
        assert_eq!(runs.of("pay_0"), 0);
        assert_eq!(runs.total(), RUNS_PAYMENTS_MAX as u64 + 5);
    }
}
