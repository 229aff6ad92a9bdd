//! Payments that another ledger landed, and what still needs a network or a wallet, on both backends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

on_both!(
    nothing_ever_runs_for_an_owed_payment,
    open_work_names_what_needs_a_network_or_a_wallet,
    a_transfer_is_explained_by_an_attempt_or_a_landing,
);

mod cases {
    use quittance_ledger::{DeliveryStart, DeliveryState, NewAttempt, PaymentFilter, PaymentState, RunEnd};
    use quittance_protocol::Landing;

    use crate::common::*;

    pub(super) async fn nothing_ever_runs_for_an_owed_payment(store: Store) {
        let ledger = store.open().await;
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let theirs = Landing { paid_by_us: false, ..landing("tx-of-another-ledger") };
        let payment = ledger.settle_owed(&id, &theirs, NOW).await.unwrap();
        assert_eq!((payment.state, payment.delivery), (PaymentState::Settled, DeliveryState::Owed));
        for at in 0..3 {
            assert_eq!(ledger.start_delivery(&id, at_most(9), NOW + at).await.unwrap(), DeliveryStart::Owed);
        }
        assert!(ledger.finish_delivery(&id, 1, &answer(b"x"), NOW).await.is_err());
        assert!(ledger.credit_delivery(&id, 1, RunEnd::Failed, "no", NOW).await.is_err());
        assert!(ledger.settle(&id, &theirs, NOW).await.is_err(), "a verdict is final");
        let paid = settled(&ledger, 2).await;
        let list = |delivery| PaymentFilter { delivery: Some(delivery), ..PaymentFilter::default() };
        let owed = ledger.payments(list(DeliveryState::Owed)).await.unwrap();
        assert_eq!(owed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id]);
        let none = ledger.payments(list(DeliveryState::None)).await.unwrap();
        assert_eq!(none.iter().map(|one| &one.id).collect::<Vec<_>>(), [&paid]);
        let journal = ledger.journal(&id).await.unwrap();
        assert_eq!(journal.last().unwrap().detail["owed"], true);
    }

    pub(super) async fn open_work_names_what_needs_a_network_or_a_wallet(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        assert_eq!(ledger.open_work(NOW).await.unwrap(), Default::default());
        let id = won(&ledger, new_claim(1, 0)).await.into_payment().id;
        let work = ledger.open_work(NOW).await.unwrap();
        assert_eq!((work.networks, work.wallets.len()), (vec![(base(), 1)], 0), "nothing is signed");
        assert_eq!(work.unfinished.len(), 1);
        let recorded = ledger.record(NewAttempt::numbered(&id, WALLET, signer("a")), NOW).await.unwrap();
        let work = ledger.open_work(NOW).await.unwrap();
        assert_eq!(work.wallets, [(base(), WALLET.to_owned())]);
        // Landed with our own transaction: the wallet's nonce is used, the landing is not final.
        let ours = landing(quittance_protocol::DurableAttempt::transaction(&recorded));
        ledger.settle(&id, &ours, NOW).await.unwrap();
        let work = ledger.open_work(NOW).await.unwrap();
        assert_eq!((work.networks, work.wallets, work.unfinished.len()), (vec![(base(), 1)], vec![], 0));
        ledger.finalize(vec![(id, ours)], NOW).await.unwrap();
        assert_eq!(ledger.open_work(NOW).await.unwrap(), Default::default());
        // Landed with another's transaction: what became of our nonce nobody knows yet.
        let id = won(&ledger, new_claim(2, 0)).await.into_payment().id;
        ledger.record(NewAttempt::numbered(&id, WALLET, signer("b")), NOW).await.unwrap();
        ledger.settle(&id, &landing("tx-of-a-stranger"), NOW).await.unwrap();
        assert_eq!(ledger.open_work(NOW).await.unwrap().wallets, [(base(), WALLET.to_owned())]);
        assert_eq!(ledger.open_work(NOW + 3_600_001).await.unwrap().wallets, [], "not for ever");
    }

    pub(super) async fn a_transfer_is_explained_by_an_attempt_or_a_landing(store: Store) {
        let ledger = store.open().await;
        let id = settled(&ledger, 1).await;
        let other = won(&ledger, new_claim(2, 0)).await.into_payment().id;
        ledger.settle(&other, &landing("tx-of-a-stranger"), NOW).await.unwrap();
        let asked: Vec<String> = ["tx1", "tx-of-nobody", "tx-of-a-stranger"].map(str::to_owned).into();
        assert_eq!(ledger.unexplained(&base(), &asked).await.unwrap(), ["tx-of-nobody"]);
        assert_eq!(ledger.unexplained(&solana(), &asked).await.unwrap(), asked, "another network");
        assert!(ledger.payment(&id).await.unwrap().is_some());
    }
}
