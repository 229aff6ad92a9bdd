use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::Bill;

const NOW: UnixSeconds = 1_800_000_000;
const PAYER: &str = "0xPayer";

fn state() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path().join("payments")).unwrap();
    (folder, state)
}

fn pending(amount: u64) -> Pending {
    let bill = Bill {
        network: "eip155:8453".into(),
        asset: "0xa".into(),
        pay_to: "0xb".into(),
        amount: Amount::new(amount),
        service_usdc: None,
        gas_usdc: None,
    };
    Pending {
        url: "https://a.example/x".into(),
        payer: PAYER.into(),
        header_name: "payment-signature".into(),
        header: "c2lnbmVk".into(),
        bill,
        signed_offer: None,
        signed_at: NOW,
        valid_until: NOW + 60,
    }
}

fn record(state: &State, request: &str, amount: u64) -> Result<Held, PayError> {
    let held = state.record(request, pending(amount), ("a.example", &Limits::default()), &[])?;
    Ok(held.expect("in parallel nothing stands in the way"))
}

fn find(state: &State, request: &str, now: UnixSeconds) -> Option<Pending> {
    match state.find(request, &[PAYER.to_owned()], now).unwrap() {
        Found::Open(held) => Some(*held.pending.clone()),
        Found::Nothing | Found::Busy => None,
    }
}

fn is_busy(state: &State, request: &str) -> bool {
    matches!(state.find(request, &[PAYER.to_owned()], NOW), Ok(Found::Busy))
}

#[test]
fn what_a_dead_process_left_is_found_by_the_same_request_and_payer_alone() {
    let (_folder, state) = state();
    drop(record(&state, "aa", 5).unwrap());
    assert_eq!(find(&state, "aa", NOW + 1), Some(pending(5)));
    assert_eq!(find(&state, "ab", NOW + 1), None);
    assert!(matches!(state.find("aa", &["0xAnother".to_owned()], NOW + 1), Ok(Found::Nothing)));
    assert_eq!(find(&state, "aa", NOW + 60 + FINALITY_SECONDS), Some(pending(5)), "it may still have landed");
}

/// Two tasks, or two processes: one that asks again meanwhile knows that it is not alone.
#[test]
fn a_payment_that_a_call_works_on_is_not_anothers() {
    let (_folder, state) = state();
    let held = record(&state, "aa", 5).unwrap();
    assert!(is_busy(&state, "aa"));
    assert!(!is_busy(&state, "bb"));
    drop(held);
    let Ok(Found::Open(found)) = state.find("aa", &[PAYER.to_owned()], NOW) else { panic!() };
    assert!(is_busy(&state, "aa"));
    found.done().unwrap();
    assert!(!is_busy(&state, "aa"));
    assert_eq!(find(&state, "aa", NOW), None);
}

/// The defect: two equal calls that began at once both saw nothing open, and both signed.
#[test]
fn of_two_equal_calls_that_saw_nothing_open_one_signs() {
    let (_folder, state) = state();
    let record = |payers: &[String]| {
        state.record("aa", pending(5), ("a.example", &Limits::default()), payers).unwrap()
    };
    let ours = [PAYER.to_owned()];
    let held = record(&ours).unwrap();
    assert!(record(&ours).is_none(), "while the first works on it");
    drop(held);
    assert!(record(&ours).is_none(), "nor where the first left it open");
    assert_eq!(state.signed_today(NOW).unwrap()["a.example"], Amount::new(5), "nothing is counted twice");
    let another = record(&["0xAnother".to_owned()]).unwrap();
    another.done().unwrap();
    assert_eq!(state.payments().unwrap().len(), 1);
    assert!(record(&[]).is_some(), "whoever means to buy twice does");
}

/// A proxy's 404 says nothing of what the server behind it took.
#[test]
fn what_was_refused_without_a_receipt_is_sent_again_while_it_could_be_landed() {
    let (_folder, state) = state();
    record(&state, "aa", 5).unwrap().refused().unwrap();
    assert_eq!(find(&state, "aa", NOW + 60), Some(pending(5)));
    assert_eq!(find(&state, "aa", NOW + 61), None);
}

#[test]
fn a_payment_that_can_no_longer_have_landed_is_dropped() {
    let (_folder, state) = state();
    drop(record(&state, "aa", 5).unwrap());
    assert_eq!(find(&state, "bb", NOW + 60 + FINALITY_SECONDS + 1), None);
    assert!(state.payments().unwrap().is_empty());
}

#[test]
fn what_is_paid_for_is_kept_until_its_answer_came() {
    let (_folder, state) = state();
    let mut held = record(&state, "aa", 5).unwrap();
    held.settled().unwrap();
    assert_eq!(find(&state, "aa", NOW), None, "still locked under its new name");
    drop(held);
    assert_eq!(find(&state, "aa", NOW + PAID_KEPT_SECONDS), Some(pending(5)));
    assert_eq!(find(&state, "aa", NOW + PAID_KEPT_SECONDS + 1), None);
}

#[test]
fn days_and_hosts_have_limits_of_what_was_signed() {
    let (_folder, state) = state();
    let limits = Limits { day: Some(Amount::new(10)), host_day: Some(Amount::new(6)), ..Limits::default() };
    let sign = |host: &str, amount, at| {
        let pending = Pending { signed_at: at, ..pending(amount) };
        state.record("aa", pending, (host, &limits), &[]).map(|held| held.unwrap().done().unwrap())
    };
    assert!(sign("a.example", 6, NOW).is_ok());
    assert!(matches!(sign("a.example", 1, NOW), Err(PayError::Limit(_))), "refused payments count as signed");
    assert!(sign("b.example", 4, NOW).is_ok());
    assert!(matches!(sign("c.example", 1, NOW), Err(PayError::Limit(_))));
    assert!(matches!(sign("c.example", u64::MAX, NOW), Err(PayError::Limit(_))), "no sum overflows");
    assert!(sign("a.example", 6, NOW + 86_400).is_ok(), "the next day");
    assert!(
        matches!(sign("a.example", 6, NOW), Err(PayError::Limit(_))),
        "a clock that goes back begins no day"
    );
    assert!(state.payments().unwrap().is_empty(), "what was refused left nothing to send");
}

#[test]
fn nobody_else_reads_what_is_kept() {
    let (_folder, state) = state();
    let held = record(&state, "aa", 5).unwrap();
    let mode = |place: &Path| fs::metadata(place).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state.folder), 0o700);
    for entry in fs::read_dir(&state.folder).unwrap() {
        let place = entry.unwrap().path();
        assert_eq!(mode(&place), 0o600, "{place:?}");
    }
    drop(held);
}

/// Signing again for what it may have been could pay twice.
#[test]
fn a_file_that_cannot_be_read_stops_the_payer() {
    let (_folder, state) = state();
    let held = record(&state, "aa", 5).unwrap();
    fs::write(&held.place, "{").unwrap();
    drop(held);
    let error = state.find("aa", &[PAYER.to_owned()], NOW).unwrap_err();
    assert!(matches!(&error, PayError::State { path, .. } if path.ends_with("pending")), "{error}");
}

#[test]
fn a_signed_payment_does_not_print() {
    let (_folder, state) = state();
    let held = record(&state, "aa", 5).unwrap();
    assert!(!format!("{held:?}").contains("c2lnbmVk"), "{held:?}");
}

#[test]
fn whoever_asks_what_is_open_and_spent_waits_for_nobody() {
    let (_folder, state) = state();
    let mut held = record(&state, "aa", 5).unwrap();
    drop(record(&state, "bb", 6).unwrap());
    held.settled().unwrap();
    let kept = state.kept(&[PAYER.to_owned()], NOW).unwrap();
    let seen: Vec<_> =
        kept.iter().map(|one| (one.bill.amount.atomic(), one.is_settled, one.kept_until)).collect();
    assert_eq!(seen, [(5, true, NOW + PAID_KEPT_SECONDS), (6, false, NOW + 60 + FINALITY_SECONDS)]);
    assert_eq!(state.signed_today(NOW).unwrap()["a.example"], Amount::new(11));
    assert!(state.signed_today(NOW + DAY_SECONDS).unwrap().is_empty());
    assert_eq!(state.kept(&[PAYER.to_owned()], NOW + 61 + FINALITY_SECONDS).unwrap().len(), 1);
    assert!(state.kept(&["0xAnother".to_owned()], NOW).unwrap().is_empty());
}
