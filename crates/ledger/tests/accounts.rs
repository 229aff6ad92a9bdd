//! The books in pages and by days, and what an operator looks for, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_hundred_thousand_payments_come_in_pages_and_add_up_to_the_statement,
    a_day_is_the_day_of_the_settlement_and_a_cost_the_day_it_was_booked,
    a_payment_is_found_by_transaction_payer_and_request,
    credits_and_refunds_are_counted_by_what_is_outstanding,
);

mod cases {
    use std::collections::BTreeMap;

    use quittance_ledger::testing::plans::Explainer;
    use quittance_ledger::{
        AccountFilter, CostEntry, FOUND_MAX, Ledger, LedgerOptions, NewAttempt, NewClaim, OutstandingKind,
        RangeOf, RunEnd, Seller, StoredAnswer,
    };
    use quittance_protocol::{Amount, DurableAttempt as _};

    use crate::common::fill::fill_only;
    use crate::common::*;

    const MANY: u64 = 100_000;
    const PAGE: u32 = 1_000;
    const DAY_MS: i64 = 86_400_000;

    #[derive(Default)]
    struct Sums {
        rows: u64,
        largest_page: usize,
        gross: BTreeMap<i64, u64>,
        native: u128,
    }

    async fn sums(ledger: &Ledger, filter: &AccountFilter) -> Sums {
        let (mut sums, mut after) = (Sums::default(), None);
        loop {
            let page = ledger.accounts(filter, after.as_ref(), PAGE).await.unwrap();
            sums.largest_page = sums.largest_page.max(page.rows.len());
            for row in &page.rows {
                sums.rows += 1;
                sums.native += row.costs.iter().map(|cost| cost.native).sum::<u128>();
                if let Some(at_ms) = row.payment.settled_at_ms {
                    *sums.gross.entry(at_ms / DAY_MS * DAY_MS).or_default() += row.payment.amount.atomic();
                }
            }
            after = page.next;
            if after.is_none() {
                return sums;
            }
        }
    }

    pub(super) async fn a_hundred_thousand_payments_come_in_pages_and_add_up_to_the_statement(store: Store) {
        let ledger = store.open().await;
        let mut session = Explainer::open(&store.url).await.unwrap();
        let kept = |table: &str| matches!(table, "payments" | "costs" | "usages");
        fill_only(&mut session, kept, 1, MANY).await;
        let all = sums(&ledger, &everything()).await;
        assert_eq!((all.rows, all.largest_page), (MANY, PAGE as usize));
        let statement = ledger.statement(0, i64::MAX).await.unwrap();
        let mut days: BTreeMap<i64, u64> = BTreeMap::new();
        for row in &statement {
            if row.payments > 0 {
                *days.entry(row.day_ms).or_default() += row.gross.atomic();
            }
        }
        assert_eq!(days, all.gross);
        assert_eq!(days.values().sum::<u64>(), MANY / 10 * 8 * 13_938, "eight of ten settled");
        assert_eq!(statement.iter().map(|row| row.cost_native).sum::<u128>(), all.native);
        // What is asked for is all there is of it, whichever time is meant.
        for seller in [Seller::Gate, Seller::Merchant("shop".to_owned())] {
            let filter =
                AccountFilter { seller: Some(seller.clone()), range: RangeOf::Settlements, ..everything() };
            let own = sums(&ledger, &filter).await;
            let stated = statement.iter().filter(|row| row.seller == seller.as_str());
            assert_eq!(own.rows, stated.map(|row| row.payments).sum::<u64>(), "{seller:?}");
        }
    }

    fn cost(payment: Option<&quittance_protocol::PaymentId>, tx: &str, native: u128) -> CostEntry {
        CostEntry {
            network: base(),
            transaction: tx.to_owned(),
            payment: payment.cloned(),
            native,
            usdc: Some(Amount::new(7)),
            earned: payment.is_some(),
        }
    }

    pub(super) async fn a_day_is_the_day_of_the_settlement_and_a_cost_the_day_it_was_booked(store: Store) {
        // Days pass.
        let options = LedgerOptions { lease_ms: 10 * DAY_MS, ..LedgerOptions::new("one") };
        let ledger = Ledger::open(&store.url, options, NOW).await.unwrap();
        let midnight = (NOW / DAY_MS + 1) * DAY_MS;
        let claimed_at = midnight - 1_000;
        let id = match ledger.claim(new_claim(1, 0), claimed_at).await.unwrap() {
            quittance_ledger::ClaimOutcome::Won(claim) => claim.into_payment().id,
            other => panic!("{other:?}"),
        };
        ledger.settle(&id, &landing("0xlanded"), midnight + 5).await.unwrap();
        // Above what an integer holds together, and each within it.
        let wei = 9_000_000_000_000_000_000;
        ledger.book_cost(cost(Some(&id), "0xlanded", wei), midnight + 6).await.unwrap();
        ledger.book_cost(cost(None, "0xfiller", wei), midnight + DAY_MS).await.unwrap();
        ledger.book_cost(cost(Some(&id), "0xbefore", wei), midnight + 7).await.unwrap();
        let rows = ledger.statement(0, i64::MAX).await.unwrap();
        let said: Vec<_> = rows
            .iter()
            .map(|row| (row.day_ms, row.seller.as_str(), row.payments, row.gross.atomic(), row.cost_native))
            .collect();
        assert_eq!(
            said,
            [(midnight, "gate", 1, 13_938, 2 * wei), (midnight + DAY_MS, "", 0, 0, wei)],
            "{rows:?}"
        );
        assert_eq!(rows[0].service.atomic() + rows[0].surcharge.atomic(), rows[0].gross.atomic());
        let of =
            |range| AccountFilter { since_ms: midnight, until_ms: midnight + DAY_MS, range, ..everything() };
        assert_eq!(ledger.accounts(&of(RangeOf::Claims), None, 9).await.unwrap().rows.len(), 0);
        let settled = ledger.accounts(&of(RangeOf::Settlements), None, 9).await.unwrap();
        assert_eq!(settled.rows[0].costs.iter().map(|cost| cost.native).sum::<u128>(), 2 * wei);
    }

    pub(super) async fn a_payment_is_found_by_transaction_payer_and_request(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let claim = won(&ledger, new_claim(1, 0)).await.into_payment();
        let attempt = NewAttempt::numbered(&claim.id, WALLET, signer("first"));
        let recorded = ledger.record(attempt, NOW).await.unwrap();
        let ids = |found: Vec<quittance_ledger::Payment>| -> Vec<_> {
            found.into_iter().map(|payment| payment.id).collect()
        };
        let signed = recorded.transaction();
        let own = vec![claim.id.clone()];
        assert_eq!(ids(ledger.of_transaction(&base(), signed).await.unwrap()), own);
        assert!(ledger.of_transaction(&solana(), signed).await.unwrap().is_empty());
        assert_eq!(ids(ledger.of_payer(&base(), &claim.payer).await.unwrap()), own);
        // It lands with another transaction than the one that was signed here.
        ledger.settle(&claim.id, &landing("0xelsewhere"), NOW).await.unwrap();
        assert_eq!(ids(ledger.of_transaction(&base(), "0xelsewhere").await.unwrap()), own);
        assert_eq!(ids(ledger.of_transaction(&base(), signed).await.unwrap()), own);
        assert_eq!(ids(ledger.of_payer(&base(), &claim.payer).await.unwrap()), own);
        assert!(ledger.of_payer(&base(), "0xnobody' OR '1'='1").await.unwrap().is_empty());
        let of_request = ledger.of_request(claim.request_id.as_str()).await.unwrap();
        assert_eq!(of_request.map(|payment| payment.id), Some(claim.id));
        // However many a payer has, a page's worth is found.
        for key in 0..u64::from(FOUND_MAX) + 10 {
            let new = NewClaim { payer: "0xmany".to_owned(), ..new_claim(100 + key, 0) };
            won(&ledger, new).await;
        }
        assert_eq!(ledger.of_payer(&base(), "0xmany").await.unwrap().len(), FOUND_MAX as usize);
    }

    pub(super) async fn credits_and_refunds_are_counted_by_what_is_outstanding(store: Store) {
        let ledger = store.open().await;
        assert!(ledger.outstanding(at_most(2), 0).await.unwrap().is_empty());
        for (key, runs) in [(1, 1), (2, 2)] {
            let id = settled(&ledger, key).await;
            for run in 1..=runs {
                ledger.start_delivery(&id, at_most(2), NOW).await.unwrap();
                ledger.credit_delivery(&id, run, RunEnd::Failed, "no", NOW).await.unwrap();
            }
        }
        for (key, answer) in [
            (3, StoredAnswer { status: 422, refundable: true, ..answer(b"no") }),
            (4, StoredAnswer { refundable: true, truncated: true, body: Vec::new(), ..answer(b"") }),
            (5, answer(b"all is well")),
        ] {
            let id = settled(&ledger, key).await;
            ledger.start_delivery(&id, at_most(2), NOW).await.unwrap();
            ledger.finish_delivery(&id, 1, &answer, NOW).await.unwrap();
        }
        let owed = won(&ledger, new_claim(6, 0)).await.into_payment().id;
        ledger.settle_owed(&owed, &landing("0xforeign"), NOW).await.unwrap();
        let found = ledger.outstanding(at_most(2), 0).await.unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.kind, one.payments, one.amount.atomic())).collect();
        let mut wanted: Vec<_> = OutstandingKind::ALL.iter().map(|kind| (*kind, 1, 13_938)).collect();
        wanted.sort_by_key(|(kind, ..)| kind.as_str());
        assert_eq!(found, wanted);
    }
}
