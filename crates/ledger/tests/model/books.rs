//! Sums and lists, in words that are equal when they are.

use quittance_ledger::{
    AccountFilter, AccountLimits, AccountRent, DeliveryState, FeePolicy, LandingFilter, Merchant,
    MerchantKey, MerchantLimits, MerchantNetwork, MerchantState, OwnAccount, PaymentFilter, PaymentState,
    PayoutAccount, RangeOf, Seller, Store, Usage,
};
use quittance_protocol::{Amount, PaymentId};

use super::common::{at_most, base, everything, new_claim, solana};
use super::show::{self, all, said};

/// What all of them add up to, and every list.
pub(super) async fn books(store: &dyn Store, now_ms: i64) -> Vec<String> {
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
    filters.push(of(&|filter| filter.merchant = Some("shop".to_owned())));
    found.push(format!("{:?}", store.merchant_totals(0).await.unwrap()));
    for (network, payer) in [(base(), new_claim(1, 0).payer), (solana(), new_claim(1, 0).payer)] {
        found.push(all(store.of_payer(&network, &payer).await.unwrap()));
    }
    if let Some(payment) = newest.first() {
        let sought = payment.transaction.clone().unwrap_or_default();
        found.push(all(store.of_transaction(&payment.network, &sought).await.unwrap()));
        found.push(all(store.of_request(payment.request_id.as_str()).await.unwrap().into_iter().collect()));
    }
    for since_ms in [0, now_ms - 10_000] {
        found.push(format!("{:?}", store.statement(since_ms, now_ms).await.unwrap()));
        found.push(format!("{:?}", store.outstanding(at_most(3), since_ms).await.unwrap()));
    }
    for range in [RangeOf::Claims, RangeOf::Settlements] {
        for seller in [None, Some(Seller::Gate), Some(Seller::Merchant("shop".to_owned()))] {
            let filter = AccountFilter { range, seller, until_ms: now_ms, ..everything() };
            found.push(accounts(store, &filter).await);
        }
    }
    for network in [base(), solana()] {
        let pay_to = newest.first().map(|payment| payment.pay_to.clone()).unwrap_or_default();
        let mut filter = LandingFilter {
            network,
            pay_to,
            blocks: 0..=u64::MAX,
            claimed_since_ms: 0,
            before: None,
            limit: 2,
        };
        let first = store.booked_landings(filter.clone()).await.unwrap();
        filter.before = first.last().map(|last| (last.block, last.id.clone()));
        filter.limit = 0;
        found.push(format!("{first:?} {:?}", store.booked_landings(filter).await.unwrap()));
    }
    for filter in filters {
        found.push(format!("{filter:?}: {}", all(store.payments(filter.clone()).await.unwrap())));
    }
    found
}

/// All pages of the books.
async fn accounts(store: &dyn Store, filter: &AccountFilter) -> String {
    let (mut text, mut after) = (String::new(), None);
    loop {
        let page = store.accounts(filter, after.as_ref(), 7).await.unwrap();
        for row in page.rows {
            let mut costs: Vec<_> = row.costs.iter().map(|cost| (cost.native, cost.usdc)).collect();
            costs.sort_unstable();
            text.push_str(&format!("{} {costs:?} {:?}; ", row.payment.id, row.product));
        }
        after = page.next;
        if after.is_none() {
            return text;
        }
    }
}

/// With limits low enough to be met.
pub(super) fn shop(name: &str, pick: u64) -> Merchant {
    let limits = MerchantLimits {
        amount_day: Amount::new(13_938 * (1 + pick % 4)),
        cost_day: Amount::new(20 + pick % 3_000),
        native_day: 20 + pick % 100,
    };
    let network =
        |of| MerchantNetwork { network: of, pay_to: "pay".to_owned(), asset: "asset".to_owned(), limits };
    let mut networks = vec![network(solana())];
    if !pick.is_multiple_of(3) {
        networks.push(network(base()));
    }
    Merchant {
        name: name.to_owned(),
        state: MerchantState::Open,
        fee_policy: FeePolicy::ALL[(pick % 3) as usize],
        in_flight_max: 1 + (pick % 2) as u32,
        accounts_max: 2,
        created_at_ms: 0,
        changed_at_ms: 0,
        networks,
        keys: Vec::new(),
    }
}

pub(super) fn key_of(number: u64, now_ms: i64) -> MerchantKey {
    let id = format!("key{number}");
    MerchantKey { id, hash: [number as u8; 32], created_at_ms: now_ms, ends_at_ms: None }
}

pub(super) fn account_of(merchant: &str, pick: u64) -> PayoutAccount {
    PayoutAccount {
        network: base(),
        account: format!("account{}", pick / 45 % 4),
        merchant: merchant.to_owned(),
        native: pick % 20,
        usdc: Amount::new(pick % 20),
        tries_max: 2,
        limits: AccountLimits { day: 100 + pick % 400, payer_day: 60 },
    }
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

/// Nonces that were replaced, what that takes of the budget, and their ends.
pub(super) async fn replaced(store: &dyn Store, pick: u64, now_ms: i64) -> String {
    match pick % 6 {
        4 => said(store.account_rents(&base(), now_ms).await, |lamports| lamports.to_string()),
        5 => {
            let limits = AccountLimits { day: 100 + pick % 100, payer_day: 0 };
            let rent = AccountRent { native: 10 + pick % 30, limits };
            let own = OwnAccount { network: base(), account: "own".to_owned(), rent };
            said(store.begin_own_account(&own, now_ms).await, |begun| begun.to_string())
        }
        1 => said(store.replaced_slots(&base()).await, |slots| format!("{slots:?}")),
        2 => said(store.unwedged(&base(), now_ms).await, |taken| taken.to_string()),
        _ => {
            let closed = store.close_replaced(&base(), show::wallet(pick), pick % 6, now_ms).await;
            said(closed, |closed| closed.to_string())
        }
    }
}
