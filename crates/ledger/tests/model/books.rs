//! Sums and lists, in words that are equal when they are.

use quittance_ledger::{Books, DeliveryState, PaymentFilter, PaymentState, Usage};
use quittance_protocol::{Amount, PaymentId};

use super::common::{at_most, base};
use super::show::all;

/// What all of them add up to, and every list.
pub(super) async fn books(store: &dyn Books, now_ms: i64) -> Vec<String> {
    let mut found = vec![format!("{:?}", store.counts().await.unwrap())];
    for since_ms in [0, now_ms - 10_000] {
        found.push(format!("{:?}", store.margins(since_ms).await.unwrap()));
        found.push(format!("{:?}", store.cost_shares(since_ms).await.unwrap()));
        found.push(format!("{:?}", store.usages(since_ms).await.unwrap()));
    }
    let newest = store.payments(PaymentFilter { limit: 1, ..PaymentFilter::default() }).await.unwrap();
    let mut filters = vec![PaymentFilter::default()];
    let of = |change: &dyn Fn(&mut PaymentFilter)| {
        let mut filter = PaymentFilter::default();
        change(&mut filter);
        filter
    };
    filters.push(of(&|filter| filter.before = newest.first().map(|payment| payment.id.clone())));
    filters.push(of(&|filter| filter.before = Some(PaymentId::from_stored("nothing"))));
    filters.push(of(&|filter| filter.network = Some(base())));
    filters.push(of(&|filter| (filter.refundable, filter.limit) = (Some(at_most(3)), 3)));
    filters.extend(PaymentState::ALL.iter().map(|state| of(&|filter| filter.state = Some(*state))));
    filters.extend(DeliveryState::ALL.iter().map(|state| of(&|filter| filter.delivery = Some(*state))));
    for filter in filters {
        found.push(format!("{filter:?}: {}", all(store.payments(filter.clone()).await.unwrap())));
    }
    found
}

/// Of one of two products; now and then beyond its reserve, or out of range.
pub(super) fn usage_of(number: u64, pick: u64) -> Usage {
    Usage {
        product: ["one", "other"][(pick / 2 % 2) as usize].to_owned(),
        prompt_tokens_reserved: pick % 5 * 10,
        prompt_tokens: number % 60,
        completion_tokens_reserved: 100,
        completion_tokens: number,
        reserved: Amount::new(pick / 7 % 9 * 10),
        metered: Amount::new(number % 100),
        charged: Amount::new(pick % 50),
    }
}
