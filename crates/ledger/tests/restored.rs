//! A copy of a ledger that is put back has forgotten what was granted since: nothing of it is granted
//! again, nothing that lands is lost, and what is not granted can be refunded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{NOW, Store, answer, at_most, base, landing, merchant_claim, new_claim, settled, signed, won};
use quittance_ledger::{
    DeliveryStart, DeliveryState, Ledger, LedgerError, LedgerOptions, MerchantAnswer, NewAttempt,
    Outstanding, OutstandingKind, PaymentFilter, PaymentState, Restored, RunEnd, back_up, restore,
};
use quittance_protocol::{Amount, Landing, PaymentId};

/// After every lease has ended.
const LATER: i64 = NOW + 1_000_000_000;

/// More runs than any configuration allows are left to nobody.
const RUNS_MAX: u32 = 100;

/// One payment in each state in which a copy may hold it.
struct Copied {
    claimed: PaymentId,
    recorded: PaymentId,
    settled: PaymentId,
    running: PaymentId,
    credited: PaymentId,
    delivered: PaymentId,
    untold: PaymentId,
    asked: PaymentId,
}

async fn copied(ledger: &Ledger) -> Copied {
    ledger.put_tariff(&base(), Amount::new(3_938), serde_json::json!({}), NOW).await.unwrap();
    let claimed = won(ledger, new_claim(1, 0)).await.into_payment().id;
    let recorded = won(ledger, new_claim(2, 0)).await.into_payment().id;
    ledger.record(NewAttempt::unnumbered(&recorded, signed("tx2")), NOW).await.unwrap();
    let running = settled(ledger, 4).await;
    ledger.start_delivery(&running, at_most(3), NOW).await.unwrap();
    let credited = settled(ledger, 5).await;
    ledger.start_delivery(&credited, at_most(3), NOW).await.unwrap();
    ledger.credit_delivery(&credited, 1, RunEnd::Failed, "broken", NOW).await.unwrap();
    let delivered = settled(ledger, 6).await;
    ledger.start_delivery(&delivered, at_most(3), NOW).await.unwrap();
    ledger.finish_delivery(&delivered, 1, &answer(b"made"), NOW).await.unwrap();
    let untold = won(ledger, merchant_claim(7)).await.into_payment().id;
    ledger.settle(&untold, &landing("tx7"), NOW).await.unwrap();
    ledger.begin_merchant_answer(&untold, "a server", 2, NOW).await.unwrap();
    let asked = won(ledger, merchant_claim(8)).await.into_payment().id;
    let settled = settled(ledger, 3).await;
    Copied { claimed, recorded, settled, running, credited, delivered, untold, asked }
}

async fn nothing_is_granted(ledger: &Ledger, of: &Copied) {
    for id in [&of.claimed, &of.recorded, &of.asked] {
        let landed = Landing { block: 200, ..landing(&format!("landed {}", id.as_str())) };
        ledger.settle(id, &landed, LATER).await.unwrap();
    }
    for id in [&of.claimed, &of.recorded, &of.settled, &of.running, &of.credited] {
        let start = ledger.start_delivery(id, at_most(RUNS_MAX), LATER).await.unwrap();
        assert!(matches!(start, DeliveryStart::Exhausted { .. }), "{start:?}");
    }
    for id in [&of.untold, &of.asked] {
        let told = ledger.begin_merchant_answer(id, "another", 100, LATER).await.unwrap();
        assert_eq!(told, MerchantAnswer::Told);
    }
    let kept = ledger.start_delivery(&of.delivered, at_most(RUNS_MAX), LATER).await.unwrap();
    assert!(matches!(kept, DeliveryStart::Delivered(_)), "what the copy knows is served as before: {kept:?}");
    let limits = at_most(RUNS_MAX);
    let filter = PaymentFilter { refundable: Some(limits), ..Default::default() };
    let mut refundable: Vec<_> =
        ledger.payments(filter).await.unwrap().into_iter().map(|one| one.id).collect();
    let mut withheld: Vec<_> =
        [&of.claimed, &of.recorded, &of.settled, &of.running, &of.credited].into_iter().cloned().collect();
    refundable.sort();
    withheld.sort();
    assert_eq!(refundable, withheld);
    let outstanding = ledger.outstanding(limits, 0).await.unwrap();
    let used_up = |one: &&Outstanding| one.kind == OutstandingKind::CreditUsedUp;
    assert_eq!(outstanding.iter().find(used_up).unwrap().payments, 5, "{outstanding:?}");
    let checked = ledger.check(5).await.unwrap();
    let broken: Vec<_> = checked.iter().filter(|rule| rule.broken > 0).map(|rule| rule.name).collect();
    assert_eq!(broken, Vec::<&str>::new());
}

mod cases {
    use super::*;

    pub(crate) async fn what_a_copy_holds_is_granted_to_nobody_again(store: Store) {
        let ledger = store.open().await;
        let of = copied(&ledger).await;
        ledger.close().await;
        let beside = Ledger::open_beside(&store.url, "restore").await.unwrap();
        let marked = beside.mark_restored(LATER).await.unwrap();
        assert_eq!((marked.open, marked.withheld, marked.told), (3, 5, 2), "{marked:?}");
        assert!(marked.newest.is_some() && marked.last_ms == Some(NOW));
        let again = beside.mark_restored(LATER).await.unwrap();
        assert_eq!((again.withheld, again.told), (0, 0), "once is enough");
        beside.close().await;
        let ledger = store.open_as("one", LATER).await.unwrap();
        nothing_is_granted(&ledger, &of).await;
        let journal = ledger.journal(&of.running).await.unwrap();
        assert!(journal.iter().any(|line| line.event == "restored"));
    }
}

on_both!(what_a_copy_holds_is_granted_to_nobody_again);

fn is_private(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_beside_the_program_and_put_back_marked() {
    let store = Store::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let (copy, put) = (folder.path().join("copy.sqlite"), folder.path().join("put.sqlite"));
    let ledger = store.open().await;
    let of = copied(&ledger).await;
    let bytes = back_up(&store.url, &copy).await.unwrap();
    assert_eq!(bytes, std::fs::metadata(&copy).unwrap().len());
    assert!(is_private(&copy));
    let over = back_up(&store.url, &copy).await;
    assert!(matches!(over, Err(LedgerError::InUse(_))), "no copy is written over: {over:?}");
    let later = settled(&ledger, 20).await;
    let url = format!("sqlite://{}", put.display());
    let taken = restore(&store.url, &copy, LATER).await;
    assert!(matches!(taken, Err(LedgerError::InUse(_))), "no ledger is written over: {taken:?}");
    let restored: Restored = restore(&url, &copy, LATER).await.unwrap();
    assert_eq!((restored.withheld, restored.told), (5, 2));
    assert!(is_private(&put));
    let again = restore(&url, &copy, LATER).await;
    assert!(matches!(again, Err(LedgerError::InUse(_))), "{again:?}");
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["copy.sqlite", "put.sqlite", "put.sqlite.lock"]);
    let back = Ledger::open(&url, LedgerOptions::new("one"), LATER).await.unwrap();
    assert!(back.payment(&later).await.unwrap().is_none(), "what came later is forgotten");
    let running = back.payment(&of.running).await.unwrap().unwrap();
    assert_eq!((running.state, running.delivery), (PaymentState::Settled, DeliveryState::Credited));
    nothing_is_granted(&back, &of).await;
}

#[tokio::test]
async fn a_broken_copy_is_not_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, put) = (folder.path().join("copy"), folder.path().join("put.sqlite"));
    std::fs::write(&copy, b"no database at all, but long enough for its header to be read").unwrap();
    let url = format!("sqlite://{}", put.display());
    assert!(restore(&url, &copy, LATER).await.is_err());
    assert!(!put.exists());
    assert!(back_up(&url, &folder.path().join("other")).await.is_err(), "nothing is there to be copied");
    assert!(!folder.path().join("other").exists());
}
