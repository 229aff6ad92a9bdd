//! What becomes of landings after the verdict, and of what nobody works on, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    a_landing_is_final_once,
    a_moved_landing_is_found_where_it_is,
    a_loss_keeps_verdict_and_grant,
    unfinal_landings_are_listed_by_block_for_their_owner,
    runs_under_way_are_listed,
);

mod cases {
    use quittance_ledger::{DeliveryStart, Finality, Ledger, PaymentState, RunEnd};
    use quittance_protocol::{Evidence, Landing, PaymentId};

    use crate::common::*;

    const ALL: std::ops::RangeInclusive<u64> = 0..=u64::MAX;
    const EXPIRED: Evidence = Evidence::Expired { block: 900, clock: 1_800_000_700 };

    async fn events(ledger: &Ledger, id: &PaymentId) -> Vec<String> {
        ledger.journal(id).await.unwrap().into_iter().map(|line| line.event).collect()
    }

    pub(super) async fn a_landing_is_final_once(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        assert_eq!(ledger.unfinal(&base(), ALL).await.unwrap().len(), 1);
        let rows = vec![(id.clone(), landing("tx1"))];
        assert_eq!(ledger.finalize(rows.clone(), NOW + 7).await.unwrap(), 1);
        assert_eq!(ledger.finalize(rows, NOW + 8).await.unwrap(), 0, "it was final before");
        assert!(!ledger.book_reorged_loss(&id, &EXPIRED, NOW + 9).await.unwrap(), "final is final");
        let payment = ledger.payment(&id).await.unwrap().unwrap();
        assert_eq!((payment.finality, payment.finality_at_ms), (Some(Finality::Finalized), Some(NOW + 7)));
        assert_eq!(ledger.unfinal(&base(), ALL).await.unwrap(), vec![]);
        assert_eq!(events(&ledger, &id).await, ["claimed", "recorded", "settled", "finalized"]);
    }

    pub(super) async fn a_moved_landing_is_found_where_it_is(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let moved = Landing { block: 205, block_hash: "0xother".to_owned(), ..landing("tx-of-a-stranger") };
        assert!(!ledger.move_landing(&id, &landing("tx1"), NOW).await.unwrap(), "where it was");
        assert!(ledger.move_landing(&id, &moved, NOW).await.unwrap());
        assert_eq!(ledger.unfinal(&base(), 0..=204).await.unwrap(), vec![]);
        let [payment] = &ledger.unfinal(&base(), 205..=205).await.unwrap()[..] else { panic!("one") };
        assert_eq!(payment.state, PaymentState::Settled, "the verdict stands");
        assert_eq!(
            (payment.landing.as_ref(), payment.transaction.as_deref()),
            (Some(&moved), Some("tx-of-a-stranger"))
        );
        ledger.finalize(vec![(id.clone(), moved)], NOW).await.unwrap();
        assert!(!ledger.move_landing(&id, &landing("tx1"), NOW).await.unwrap(), "final is final");
    }

    pub(super) async fn a_loss_keeps_verdict_and_grant(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let DeliveryStart::Run { run } = ledger.start_delivery(&id, at_most(3), NOW).await.unwrap() else {
            panic!("run")
        };
        assert!(ledger.book_reorged_loss(&id, &EXPIRED, NOW + 5).await.unwrap());
        assert!(!ledger.book_reorged_loss(&id, &EXPIRED, NOW + 6).await.unwrap(), "booked once");
        let payment = ledger.payment(&id).await.unwrap().unwrap();
        assert_eq!((payment.state, payment.finality), (PaymentState::Settled, Some(Finality::ReorgedLoss)));
        ledger.finish_delivery(&id, run, &answer(b"image"), NOW + 7).await.unwrap();
        assert_eq!(ledger.finalize(vec![(id.clone(), landing("tx1"))], NOW + 8).await.unwrap(), 0);
        let charged = ledger.margins(0).await.unwrap();
        assert_eq!(
            charged.iter().map(|margin| margin.payments).sum::<u64>(),
            0,
            "what is lost was not charged"
        );
    }

    pub(super) async fn unfinal_landings_are_listed_by_block_for_their_owner(store: Store) {
        let ledger = store.open().await;
        let (first, second) = (settled(&ledger, 1).await, settled(&ledger, 2).await);
        let deep = Landing { block: 40, ..landing("tx2") };
        ledger.move_landing(&second, &deep, NOW).await.unwrap();
        let ids = |payments: Vec<quittance_ledger::Payment>| -> Vec<PaymentId> {
            payments.into_iter().map(|payment| payment.id).collect()
        };
        assert_eq!(ids(ledger.unfinal(&base(), ALL).await.unwrap()), [second.clone(), first]);
        assert_eq!(ids(ledger.unfinal(&base(), 1..=40).await.unwrap()), [second]);
        assert_eq!(ledger.unfinal(&solana(), ALL).await.unwrap(), vec![]);
        ledger.close().await;
        let next_life = store.open_as("one", NOW + 1).await.unwrap();
        assert_eq!(next_life.unfinal(&base(), ALL).await.unwrap().len(), 2, "the next life goes on watching");
    }

    pub(super) async fn runs_under_way_are_listed(store: Store) {
        let ledger = store.open().await;
        let (one, two) = (settled(&ledger, 1).await, settled(&ledger, 2).await);
        assert_eq!(ledger.running().await.unwrap(), vec![]);
        ledger.start_delivery(&one, at_most(3), NOW).await.unwrap();
        ledger.start_delivery(&two, at_most(3), NOW).await.unwrap();
        ledger.credit_delivery(&two, 1, RunEnd::Failed, "test", NOW).await.unwrap();
        assert_eq!(ledger.running().await.unwrap(), vec![(one.clone(), 1)]);
        ledger.finish_delivery(&one, 1, &answer(b"x"), NOW).await.unwrap();
        ledger.start_delivery(&two, at_most(3), NOW).await.unwrap();
        assert_eq!(ledger.running().await.unwrap(), vec![(two, 2)]);
    }
}

/// A database may finish the commit of a client that is dead already, after its
/// next life has taken over what there was.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_an_earlier_life_that_comes_late_is_adopted() {
    use common::*;
    use sqlx::Connection as _;

    let Some(store) = Store::postgres().await else { return };
    store.open().await.close().await;
    let ledger = store.open().await;
    let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
    let mut late = sqlx::PgConnection::connect(&store.url).await.unwrap();
    sqlx::query("UPDATE payments SET owner_epoch = owner_epoch - 1").execute(&mut late).await.unwrap();
    assert_eq!(ledger.unfinished().await.unwrap(), vec![]);
    let adopted = ledger.adopt_orphans(NOW).await.unwrap();
    assert_eq!(adopted.iter().map(|payment| &payment.id).collect::<Vec<_>>(), [&id]);
    assert_eq!(ledger.unfinished().await.unwrap(), adopted);
}

/// Found by the simulator: a dead life's own adoption came late, took its next
/// life for an earlier one, and made a run under way a credit (P1).
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_dead_life_takes_nothing_from_the_next_one() {
    use common::*;
    use quittance_ledger::{DeliveryStart, DeliveryState};
    use sqlx::Connection as _;

    let Some(store) = Store::postgres().await else { return };
    let ledger = store.open().await;
    let claimed = won(&ledger, new_claim(1, 0)).await.into_payment().id;
    let running = settled(&ledger, 2).await;
    assert_eq!(
        ledger.start_delivery(&running, at_most(3), NOW).await.unwrap(),
        DeliveryStart::Run { run: 1 }
    );
    // What this life sees from now on belongs to the next one.
    let mut next = sqlx::PgConnection::connect(&store.url).await.unwrap();
    let later = "UPDATE payments SET owner_epoch = owner_epoch + 1, delivery_epoch = delivery_epoch + 1";
    sqlx::query(later).execute(&mut next).await.unwrap();
    assert_eq!(ledger.adopt_orphans(NOW).await.unwrap(), vec![]);
    let epoch = |id| {
        let ledger = ledger.clone();
        async move { ledger.payment(id).await.unwrap().unwrap().owner_epoch }
    };
    assert_eq!((epoch(&claimed).await, epoch(&running).await), (2, 2), "both stay the next life's");
    assert_eq!(ledger.payment(&running).await.unwrap().unwrap().delivery, DeliveryState::Running);
}
