//! What a payment holds and gives back, what a second driver adds, and how much is under way at once.

use super::*;

fn seen(payment: &PaymentId) -> Event {
    Event::Wanted { payment: payment.clone(), seen: Seen::default() }
}

/// One that was found with these attempts; what it holds is not known.
fn found(state: &mut State, number: u32, reserved: u128, attempts: &[i64]) -> PaymentId {
    let payment = payment(number);
    let attempts = attempts.iter().map(|number| attempt(*number, &payment)).collect();
    let start = Start { reserved, attempts, found: true };
    assert_eq!(step(state, Event::Taken { payment: payment.clone(), start }, 0), []);
    payment
}

/// One whose only attempt was included and failed, up to its second signature.
fn signing_again(state: &mut State, of: &PaymentId, failed: i64) -> Vec<Effect> {
    step(state, Event::Failed { payment: of.clone(), transaction: format!("0x{failed}") }, 0);
    assert_eq!(step(state, seen(of), 0), [Effect::Price { payment: of.clone() }]);
    step(state, Event::Fees { payment: of.clone(), fees: fees(10) }, 0);
    step(state, Event::Reserved { payment: of.clone(), result: Ok(()) }, 0)
}

/// P3: a claim that nothing will be signed for gives back what it holds, once, and reserves it
/// again before it is signed.
#[test]
fn a_claim_that_cannot_be_signed_now_holds_no_cost() {
    let mut state = base();
    let one = payment(1);
    step(&mut state, Event::Taken { payment: one.clone(), start: start(10) }, 0);
    let unwell = || Event::Unwell { payment: one.clone() };
    assert_eq!(step(&mut state, unwell(), 0), [Effect::GiveBack { payment: one.clone(), known: 0 }]);
    assert_eq!(step(&mut state, unwell(), 0), [], "it is being given back");
    step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
    assert_eq!(step(&mut state, unwell(), 0), [], "it holds nothing");
    assert_eq!(step(&mut state, seen(&one), 0), [Effect::Price { payment: one.clone() }]);
    assert_eq!(step(&mut state, unwell(), 0), [], "it is being signed");
    let effects = step(&mut state, Event::Fees { payment: one, fees: fees(10) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]), "{effects:?}");
}

/// P3: bytes may be with a node although nobody said so: what they may cost stays reserved. Once they
/// failed and are booked, what the next ones would cost is free again where these are not signed.
#[test]
fn what_may_land_is_never_given_back() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    assert_eq!(step(&mut state, Event::Unwell { payment: one.clone() }, 0), []);
    let effects = signing_again(&mut state, &one, 7);
    assert!(matches!(effects[..], [Effect::Record { newest: Some(_), .. }]), "{effects:?}");
    let refusal = SignRefused::later("the base fee is above the cap");
    let effects = step(&mut state, Event::NotSigned { payment: one.clone(), refusal: refusal.clone() }, 0);
    assert_eq!(effects, [Effect::GiveBack { payment: one.clone(), known: 1 }]);
    let effects = step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
    assert_eq!(effects, [Effect::Reply { payment: one, reply: Reply::Waiting(refusal) }]);
}

/// P3: an earlier life may have given the cost of these bytes back. Where they take a nonce it never
/// does; elsewhere it is reserved before they go out, or what is reserved has to do.
#[test]
fn bytes_that_were_found_are_covered_before_they_go_out() {
    let mut state = base();
    let one = found(&mut state, 1, 0, &[7]);
    let send = |payment: &PaymentId| Effect::Send { payment: payment.clone(), attempt: id(7) };
    assert_eq!(step(&mut state, Event::Resumed { payment: one.clone() }, 0), [send(&one)]);

    let mut state = solana();
    let one = found(&mut state, 1, 10, &[7]);
    let effects = step(&mut state, Event::Resumed { payment: one.clone() }, 0);
    assert_eq!(effects, [Effect::Price { payment: one.clone() }]);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(25) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 25, .. }]), "{effects:?}");
    let none = Event::Reserved { payment: one.clone(), result: Err("no room".into()) };
    assert_eq!(step(&mut state, none, 0), [send(&one)], "what is reserved has to do");
}

/// A second driver adds what it read, once: an attempt that counted twice would leave the payment
/// without its second signature (I10).
#[test]
fn a_second_driver_adds_what_the_first_did_not_know() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    found(&mut state, 1, 0, &[7]);
    let effects = signing_again(&mut state, &one, 7);
    assert!(matches!(effects[..], [Effect::Record { newest: Some(_), .. }]), "{effects:?}");

    let mut state = base();
    let one = found(&mut state, 1, 0, &[7]);
    found(&mut state, 1, 0, &[7, 8]);
    let effects = step(&mut state, Event::Resumed { payment: one.clone() }, 0);
    assert_eq!(effects, [Effect::Send { payment: one, attempt: id(8) }], "the newest");
}

/// P3: what the first driver had reserved the second may find returned; what is under way goes on.
#[test]
fn a_second_driver_takes_no_reservation_for_granted() {
    let mut state = solana();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    found(&mut state, 1, 0, &[7]);
    let effects = step(&mut state, Event::Resumed { payment: one.clone() }, 0);
    assert_eq!(effects, [Effect::Price { payment: one }]);

    let mut state = solana();
    let one = signing(&mut state, 1);
    found(&mut state, 1, 0, &[]);
    let effects = recorded(&mut state, &one, 7);
    assert_eq!(
        effects,
        [Effect::Tell { payment: one.clone() }, Effect::Send { payment: one, attempt: id(7) }]
    );
}

/// I2: a commit without an answer that did not work is no attempt, and the next one is signed.
#[test]
fn a_commit_that_did_not_work_is_told_and_tried_again() {
    let mut state = base();
    let one = signing(&mut state, 1);
    let lost = || Event::NotRecorded { payment: one.clone(), reason: "reset".into() };
    let read = |attempts| Event::Read { payment: one.clone(), attempts };
    step(&mut state, lost(), 0);
    let effects = step(&mut state, read(Some(Vec::new())), 0);
    assert_eq!(waiting(&effects), Some(&SignRefused::later("reset")), "{effects:?}");

    step(&mut state, seen(&one), 0);
    step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    step(&mut state, lost(), 0);
    step(&mut state, read(None), 0);
    assert_eq!(step(&mut state, seen(&one), 0), [Effect::Read { payment: one.clone() }]);
    let effects = step(&mut state, read(Some(Vec::new())), 0);
    assert_eq!(effects, [Effect::Price { payment: one }], "nothing is durable: it is signed now");
}

/// A replica that lost the payment while it reserved for bytes of it forgets it, and its place.
#[test]
fn who_lost_the_payment_before_its_bytes_went_out_sends_nothing() {
    let mut state = solana();
    let one = found(&mut state, 1, 0, &[7]);
    step(&mut state, Event::Resumed { payment: one.clone() }, 0);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(25) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { .. }]));
    let lost = Event::Lost { payment: one.clone(), reason: "not the owner".into() };
    assert_eq!(step(&mut state, lost, 0), [Effect::Forget { payment: one }]);
    assert_eq!(state.sending, 0);
}

/// What is under way at once is bounded; whoever waits is next when something ends.
#[test]
fn a_crowd_is_signed_and_sent_so_many_at_a_time() {
    let mut state = base();
    let crowd = u32::try_from(RECORDINGS_MAX).unwrap() + 1;
    let mut effects = Vec::new();
    for number in 0..crowd {
        step(&mut state, Event::Taken { payment: payment(number), start: start(10) }, 0);
        effects.extend(step(&mut state, seen(&payment(number)), 0));
    }
    assert_eq!((effects.len(), state.recording), (RECORDINGS_MAX, RECORDINGS_MAX));
    let effects = step(
        &mut state,
        Event::NotSigned { payment: payment(0), refusal: Fees::unknown().bound.unwrap_err() },
        0,
    );
    assert_eq!(effects, [], "it is not being signed yet");
    step(&mut state, Event::Fees { payment: payment(0), fees: fees(10) }, 0);
    let effects = recorded(&mut state, &payment(0), 7);
    assert!(effects.contains(&Effect::Price { payment: payment(crowd - 1) }), "{effects:?}");

    let mut state = base();
    let crowd = u32::try_from(SENDS_MAX).unwrap() + 1;
    let mut effects = Vec::new();
    for number in 0..crowd {
        let one = found(&mut state, number, 0, &[i64::from(number)]);
        effects.extend(step(&mut state, Event::Resumed { payment: one }, 0));
    }
    assert_eq!((effects.len(), state.sending), (SENDS_MAX, SENDS_MAX));
    let effects = step(&mut state, sent(&payment(0), SendOutcome::Accepted, false), 0);
    assert_eq!(effects, [Effect::Send { payment: payment(crowd - 1), attempt: id(i64::from(crowd - 1)) }]);
}

/// A node that took the bytes has them, whatever others say later: they go out ever more rarely.
#[test]
fn bytes_that_a_node_took_are_not_nowhere() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    let mut now = 0;
    let unknown = || SendOutcome::Unknown { reason: "HTTP status 503".to_owned() };
    for (outcome, expected) in [(SendOutcome::Accepted, 2_000), (unknown(), 4_000), (unknown(), 8_000)] {
        step(&mut state, sent(&one, outcome, false), now);
        let due = state.due.first().unwrap().0;
        assert_eq!(due - now, expected);
        now = due;
        step(&mut state, Event::Tick, now);
    }
}

/// The lane sleeps until something is due, and for good once it stops.
#[test]
fn a_lane_wakes_for_what_is_due_first() {
    let mut state = base();
    assert_eq!((state.wakes_at(), state.is_stopping()), (Some(0), false), "a look at the slots");
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    assert_eq!(state.wakes_at(), Some(2_000), "the next one");
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    step(&mut state, Event::Tick, 2_000);
    assert_eq!(state.wakes_at(), None, "the slots are being read, and the bytes are on their way");
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 2_000);
    assert_eq!(state.wakes_at(), Some(6_000), "the same bytes again");
    step(&mut state, Event::Stop, 2_000);
    assert_eq!((state.wakes_at(), state.is_stopping()), (None, true));
}
