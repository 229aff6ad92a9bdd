//! What is durable of a payment that its lane was not told of, and what is reserved for one that
//! is not signed.

use super::*;

fn again(payment: &PaymentId) -> Event {
    Event::Wanted { payment: payment.clone(), seen: Seen::default() }
}

fn unwell(payment: &PaymentId) -> Event {
    Event::Unwell { payment: payment.clone() }
}

fn read(payment: &PaymentId, attempts: Option<Vec<Attempt>>) -> Event {
    Event::Read { payment: payment.clone(), attempts }
}

/// A commit without an answer, and a ledger that cannot be read.
fn unsure(state: &mut State, payment: &PaymentId) {
    let lost = Event::NotRecorded { payment: payment.clone(), reason: "reset".into() };
    step(state, lost, 0);
    assert!(waiting(&step(state, read(payment, None), 0)).is_some());
}

/// One whose first attempt failed and is booked, and which is being signed again.
fn failed_and_signing(state: &mut State) -> PaymentId {
    let one = signing(state, 1);
    recorded(state, &one, 7);
    step(state, sent(&one, SendOutcome::Accepted, false), 0);
    step(state, Event::Failed { payment: one.clone(), transaction: "0x7".into() }, 0);
    step(state, again(&one), 0);
    step(state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    let effects = step(state, Event::Reserved { payment: one.clone(), result: Ok(()) }, 0);
    assert!(matches!(effects[..], [Effect::Record { newest: Some(_), .. }]), "{effects:?}");
    one
}

/// The chain does not like it, or no node answers, so nobody asks for its signature again: it
/// would be sent at its deadline, if ever, and others wait behind its nonce.
#[test]
fn bytes_that_are_found_where_something_was_to_be_given_back_go_out() {
    for attempts in [vec![7], vec![7, 8]] {
        let mut state = base();
        let one = signing(&mut state, 1);
        unsure(&mut state, &one);
        assert_eq!(step(&mut state, unwell(&one), 0), [Effect::GiveBack { payment: one.clone(), known: 0 }]);
        let newest = *attempts.last().unwrap();
        let found = attempts.into_iter().map(|number| attempt(number, &one)).collect();
        let effects = step(&mut state, read(&one, Some(found)), 0);
        let send = Effect::Send { payment: one.clone(), attempt: id(newest) };
        assert_eq!(effects, [Effect::Tell { payment: one }, send]);
        assert_eq!(state.recording, 0);
    }
}

/// A refused signature gives back as well, and finds what an earlier commit made.
#[test]
fn who_asked_hears_of_bytes_that_are_found_instead_of_a_refusal() {
    let mut state = base();
    let one = signing(&mut state, 1);
    let refused = Event::NotSigned { payment: one.clone(), refusal: SignRefused::later("fees") };
    assert_eq!(step(&mut state, refused, 0), [Effect::GiveBack { payment: one.clone(), known: 0 }]);
    let effects = step(&mut state, read(&one, Some(vec![attempt(7, &one)])), 0);
    let reply = Effect::Reply { payment: one.clone(), reply: Reply::Recorded };
    assert_eq!(effects, [reply, Effect::Send { payment: one, attempt: id(7) }]);
    assert_eq!(state.recording, 0, "its place is free");
}

/// The same of a further attempt: what is reserved for it is freed as soon as it is certain that
/// nothing was signed.
#[test]
fn a_further_attempt_whose_commit_is_unknown_is_looked_for_while_nobody_may_sign() {
    for is_durable in [true, false] {
        let mut state = base();
        let one = failed_and_signing(&mut state);
        unsure(&mut state, &one);
        let gives_back = || Effect::GiveBack { payment: one.clone(), known: 1 };
        assert_eq!(step(&mut state, unwell(&one), 0), [gives_back()]);
        assert_eq!(step(&mut state, unwell(&one), 0), [], "one look at a time");
        step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Kept }, 0);
        assert_eq!(step(&mut state, unwell(&one), 0), [gives_back()], "the ledger could not be read");
        if is_durable {
            let both = vec![attempt(7, &one), attempt(8, &one)];
            let effects = step(&mut state, read(&one, Some(both)), 0);
            let send = Effect::Send { payment: one.clone(), attempt: id(8) };
            assert_eq!(effects, [Effect::Tell { payment: one.clone() }, send]);
            step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
        } else {
            step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
        }
        assert_eq!(step(&mut state, unwell(&one), 0), [], "nothing is unknown any more");
        assert!(state.is_quiet());
    }
}

/// Who asks while it is given back is signed for afterwards, from what is reserved by then.
#[test]
fn who_asks_while_it_is_given_back_is_signed_for_afterwards() {
    let mut state = base();
    let one = failed_and_signing(&mut state);
    unsure(&mut state, &one);
    step(&mut state, unwell(&one), 0);
    assert_eq!(step(&mut state, again(&one), 0), []);
    let effects = step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
    assert_eq!(effects, [Effect::Price { payment: one.clone() }]);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]), "{effects:?}");
}

/// I2: a commit that comes after it was looked for: the look at the open slots finds it, whoever
/// drives its payment and whatever the chain says of it.
#[test]
fn a_late_commit_is_found_at_its_slot() {
    let mut state = base();
    let one = failed_and_signing(&mut state);
    let lost = Event::NotRecorded { payment: one.clone(), reason: "reset".into() };
    step(&mut state, lost, 0);
    assert!(waiting(&step(&mut state, read(&one, Some(vec![attempt(7, &one)])), 0)).is_some());
    let attempts = vec![attempt(7, &one), attempt(8, &one)];
    let open = || vec![OpenSlot { attempt: id(7), nonce: 1 }, OpenSlot { attempt: id(8), nonce: 2 }];
    let look = || Event::SlotsRead { open: open(), attempts: attempts.clone() };
    let effects = step(&mut state, look(), 0);
    let send = Effect::Send { payment: one.clone(), attempt: id(8) };
    assert_eq!(effects, [Effect::Tell { payment: one.clone() }, send]);
    assert_eq!(step(&mut state, look(), 0), [], "once");
    // One that is being signed just now is in the ledger before the lane hears of it.
    let two = signing(&mut state, 2);
    let early = Event::SlotsRead { open: Vec::new(), attempts: vec![attempt(9, &two)] };
    assert_eq!(step(&mut state, early, 0), []);
    assert!(recorded(&mut state, &two, 9).contains(&Effect::Send { payment: two, attempt: id(9) }));
}

/// One that waits for its signature's turn needs none any more.
#[test]
fn what_is_found_while_it_queues_is_not_signed_again() {
    let mut state = base();
    let payments: Vec<_> =
        (0..u32::try_from(RECORDINGS_MAX).unwrap()).map(|n| signing(&mut state, n)).collect();
    let last = payment(1_000_000);
    step(&mut state, Event::Taken { payment: last.clone(), start: start(10) }, 0);
    assert_eq!(step(&mut state, again(&last), 0), [], "no place is free");
    let look = Event::SlotsRead { open: Vec::new(), attempts: vec![attempt(7, &last)] };
    let effects = step(&mut state, look, 0);
    let reply = Effect::Reply { payment: last.clone(), reply: Reply::Recorded };
    assert_eq!(effects, [reply, Effect::Send { payment: last, attempt: id(7) }]);
    let refused = Event::NotSigned { payment: payments[0].clone(), refusal: SignRefused::later("fees") };
    step(&mut state, refused, 0);
    let freed = Event::Returned { payment: payments[0].clone(), returned: Returned::Freed };
    let effects = step(&mut state, freed, 0);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Price { .. })), "{effects:?}");
}

/// P3: room that nobody knew was taken would be held until the payment's deadline.
#[test]
fn a_reservation_whose_answer_was_lost_is_given_back() {
    let mut state = base();
    let one = payment(1);
    step(&mut state, Event::Taken { payment: one.clone(), start: start(0) }, 0);
    step(&mut state, again(&one), 0);
    step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    step(&mut state, Event::Reserved { payment: one.clone(), result: Ok(()) }, 0);
    let refusal = Event::NotSigned { payment: one.clone(), refusal: SignRefused::later("fees") };
    step(&mut state, refusal, 0);
    step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
    // Nothing is held, and the next answer is lost.
    step(&mut state, again(&one), 0);
    step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    let lost = Event::Reserved { payment: one.clone(), result: Err("commit unknown".into()) };
    assert_eq!(step(&mut state, lost, 0), [Effect::GiveBack { payment: one.clone(), known: 0 }]);
    step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Kept }, 0);
    assert_eq!(
        step(&mut state, unwell(&one), 0),
        [Effect::GiveBack { payment: one, known: 0 }],
        "until it is certain"
    );
}

/// P3: who had the payment meanwhile gave back what this lane believes in: nothing is sent, and
/// it is reserved again before anything is signed.
#[test]
fn what_is_not_reserved_any_more_is_reserved_again_before_it_is_signed() {
    let mut state = base();
    let one = signing(&mut state, 1);
    let gone = Event::NotReserved { payment: one.clone(), reason: "0 reserved".into() };
    let effects = step(&mut state, gone, 0);
    assert_eq!(waiting(&effects).map(|refusal| refusal.retry), Some(true));
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!(state.recording, 0);
    step(&mut state, again(&one), 0);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]), "{effects:?}");
    let effects = step(&mut state, Event::Reserved { payment: one, result: Ok(()) }, 0);
    assert!(matches!(effects[..], [Effect::Record { newest: None, .. }]), "{effects:?}");
}

/// P3: a process that slept past its lease had a reservation that another one gave back: what it
/// knew is not known any more, for what it signs and for what it sends.
#[test]
fn who_joined_again_reserves_again_before_it_signs_or_sends() {
    let mut state = solana();
    let (one, two) = (wanted(&mut state, 1), signing(&mut state, 2));
    recorded(&mut state, &two, 7);
    step(&mut state, sent(&two, SendOutcome::Accepted, false), 0);
    assert_eq!(step(&mut state, Event::Rejoined, 0), []);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]), "{effects:?}");
    assert_eq!(step(&mut state, Event::Tick, 60_000), [Effect::Price { payment: two.clone() }]);
    let effects = step(&mut state, Event::Fees { payment: two.clone(), fees: fees(10) }, 60_000);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]), "{effects:?}");
    let effects = step(&mut state, Event::Reserved { payment: two.clone(), result: Ok(()) }, 60_000);
    assert_eq!(effects, [Effect::Send { payment: two, attempt: id(7) }]);
}
