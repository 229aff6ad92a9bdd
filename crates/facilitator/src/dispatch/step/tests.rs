mod any_order;
mod batches;
mod found;
mod holds;
mod replace;
mod slots;

use quittance_ledger::Slot;
use quittance_protocol::SendOutcome;

use super::*;
use crate::chain::{SignRefused, Successor};

fn id(number: i64) -> AttemptId {
    serde_json::from_value(serde_json::json!(number)).unwrap()
}

fn payment(number: u32) -> PaymentId {
    PaymentId::from_stored(format!("pay_{number}"))
}

fn base() -> State {
    State::of(Wallet { address: "0xwallet".to_owned(), takes_nonce: true, signs: true, replaces: true })
}

fn solana() -> State {
    State::of(Wallet { address: "payer".to_owned(), takes_nonce: false, signs: true, replaces: true })
}

fn attempt(number: i64, of: &PaymentId) -> Attempt {
    at(number, of, number.unsigned_abs())
}

/// At this nonce of the wallet.
fn at(number: i64, of: &PaymentId, nonce: u64) -> Attempt {
    let (transaction, payments) = (format!("0x{number}"), vec![of.clone()]);
    Attempt { id: id(number), transaction, payments, nonce: Some(nonce) }
}

fn start(reserved: u128) -> Start {
    Start { reserved, attempts: Vec::new(), found: false }
}

fn fees(bound: u128) -> Fees {
    Fees { ready: true, charged: Some(100), bound: Ok(bound), company: None }
}

/// One whose claim reserved 10, up to the question for its fees.
fn wanted(state: &mut State, number: u32) -> PaymentId {
    let payment = payment(number);
    assert_eq!(step(state, Event::Taken { payment: payment.clone(), start: start(10) }, 0), []);
    let effects = step(state, Event::Wanted { payment: payment.clone(), seen: Seen::default() }, 0);
    assert_eq!(effects, [Effect::Price { payment: payment.clone() }]);
    payment
}

/// The same, up to its signature.
fn signing(state: &mut State, number: u32) -> PaymentId {
    let payment = wanted(state, number);
    let effects = step(state, Event::Fees { payment: payment.clone(), fees: fees(10) }, 0);
    assert!(matches!(effects[..], [Effect::Record { newest: None, .. }]), "{effects:?}");
    payment
}

fn recorded(state: &mut State, of: &PaymentId, number: i64) -> Vec<Effect> {
    step(state, Event::Recorded { attempt: attempt(number, of) }, 0)
}

fn sent(payment: &PaymentId, outcome: SendOutcome, withheld: bool) -> Event {
    Event::Sent { payment: payment.clone(), outcome, withheld }
}

fn waiting(effects: &[Effect]) -> Option<&SignRefused> {
    effects.iter().find_map(|effect| match effect {
        Effect::Reply { reply: Reply::Waiting(refusal), .. } => Some(refusal),
        _ => None,
    })
}

/// I2: bytes are durable before anything sends them.
#[test]
fn the_straight_way_records_before_it_sends() {
    let mut state = base();
    let one = signing(&mut state, 1);
    let effects = recorded(&mut state, &one, 7);
    let reply = Effect::Reply { payment: one.clone(), reply: Reply::Recorded };
    assert_eq!(effects, [reply, Effect::Send { payment: one.clone(), attempt: id(7) }]);
    assert_eq!(step(&mut state, sent(&one, SendOutcome::Accepted, false), 100), []);
    assert_eq!(state.due.first(), Some(&(2_100, one.clone())));
    assert_eq!(
        step(&mut state, Event::Over { payment: one.clone() }, 200),
        [Effect::Forget { payment: one }]
    );
    assert!(state.due.is_empty() && state.is_quiet());
}

/// I3: whatever a node says about a send, the slot keeps its bytes and they go out again.
#[test]
fn no_answer_to_a_send_is_a_verdict() {
    for outcome in [
        SendOutcome::Accepted,
        SendOutcome::Unknown { reason: "timeout".into() },
        SendOutcome::Refused { reason: "insufficient funds for gas".into() },
    ] {
        let mut state = base();
        let one = signing(&mut state, 1);
        recorded(&mut state, &one, 7);
        let effects = step(&mut state, sent(&one, outcome.clone(), false), 0);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Reply { .. })), "{effects:?}");
        let effects = step(&mut state, Event::Tick, 60_000);
        assert!(effects.contains(&Effect::Send { payment: one, attempt: id(7) }), "{outcome:?}: {effects:?}");
    }
}

/// I8, I10: what may not be signed now is not: nothing is written, nobody else waits for it.
#[test]
fn a_refused_signature_blocks_nobody() {
    let mut state = base();
    let (one, two) = (signing(&mut state, 1), signing(&mut state, 2));
    let refusal = SignRefused::later("the base fee is above the cap");
    let effects = step(&mut state, Event::NotSigned { payment: one.clone(), refusal: refusal.clone() }, 0);
    assert_eq!(effects, [Effect::GiveBack { payment: one.clone(), known: 0 }]);
    assert!(recorded(&mut state, &two, 7).contains(&Effect::Send { payment: two, attempt: id(7) }));
    let effects = step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
    assert_eq!(waiting(&effects), Some(&refusal));
    // It is reserved again before it is signed.
    step(&mut state, Event::Wanted { payment: one.clone(), seen: Seen::default() }, 1);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 1);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]), "{effects:?}");
    let effects = step(&mut state, Event::Reserved { payment: one, result: Ok(()) }, 1);
    let [Effect::Record { allowed, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((allowed.charged_native, allowed.reserved_native), (100, 10));
}

/// P3: without room nothing is signed; a bound that rose is raised, or what is there has to do.
#[test]
fn what_a_signature_may_cost_is_reserved_first() {
    let mut state = base();
    let one = wanted(&mut state, 1);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(25) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 25, .. }]));
    let effects = step(&mut state, Event::Reserved { payment: one, result: Err("no room".into()) }, 0);
    let [Effect::Record { allowed, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(allowed.reserved_native, 10);

    let two = payment(2);
    step(&mut state, Event::Taken { payment: two.clone(), start: start(0) }, 0);
    step(&mut state, Event::Wanted { payment: two.clone(), seen: Seen::default() }, 0);
    step(&mut state, Event::Fees { payment: two.clone(), fees: fees(25) }, 0);
    let effects =
        step(&mut state, Event::Reserved { payment: two.clone(), result: Err("no room".into()) }, 0);
    assert_eq!(effects, [Effect::GiveBack { payment: two, known: 0 }]);
}

#[test]
fn nothing_is_signed_before_the_counter_is_known_or_without_a_rate() {
    let mut state = base();
    let one = wanted(&mut state, 1);
    let effects = step(&mut state, Event::Fees { payment: one, fees: Fees { ready: false, ..fees(10) } }, 0);
    assert!(
        waiting(&effects).is_some_and(|refusal| refusal.retry),
        "and it keeps what it holds: {effects:?}"
    );
    let two = wanted(&mut state, 2);
    let effects =
        step(&mut state, Event::Fees { payment: two.clone(), fees: Fees { charged: None, ..fees(10) } }, 0);
    assert_eq!(effects, [Effect::GiveBack { payment: two, known: 0 }]);
}

/// I10: a second attempt only beside one that was included and failed.
#[test]
fn one_attempt_is_alive_at_a_time() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    let again = || Event::Wanted { payment: one.clone(), seen: Seen::default() };
    let effects = step(&mut state, again(), 0);
    assert_eq!(effects, [], "its bytes are on their way: it hears of them when that is over");
    let effects = step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    assert!(effects.contains(&Effect::Reply { payment: one.clone(), reply: Reply::Recorded }), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Price { .. } | Effect::Record { .. })));
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);

    step(&mut state, Event::Failed { payment: one.clone(), transaction: "0x7".into() }, 0);
    assert_eq!(step(&mut state, again(), 0), [Effect::Price { payment: one.clone() }]);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    assert!(
        matches!(effects[..], [Effect::Reserve { bound: 10, .. }]),
        "what was burnt is not reserved any more"
    );
    let effects = step(&mut state, Event::Reserved { payment: one.clone(), result: Ok(()) }, 0);
    let [Effect::Record { newest, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*newest, Some(id(7)), "the ledger refuses it beside another one");
    let effects = recorded(&mut state, &one, 8);
    assert!(effects.contains(&Effect::Send { payment: one, attempt: id(8) }), "{effects:?}");
}

/// I10: what may be burned on one payment is bounded, whoever asks; and who asks too much holds
/// up nobody else of the wallet.
#[test]
fn a_third_signature_is_not_made_and_ends_that_payments_work_alone() {
    let mut state = base();
    let (one, two) = (payment(1), signing(&mut state, 2));
    let attempts = vec![attempt(7, &one), attempt(8, &one)];
    let found = Start { reserved: 0, attempts, found: true };
    step(&mut state, Event::Taken { payment: one.clone(), start: found }, 0);
    step(&mut state, Event::Failed { payment: one.clone(), transaction: "0x8".into() }, 0);
    step(&mut state, Event::Wanted { payment: one.clone(), seen: Seen::default() }, 0);
    step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 0);
    let effects = step(&mut state, Event::Reserved { payment: one.clone(), result: Ok(()) }, 0);
    let rule = "one attempt more than a payment may cost";
    let refused = Effect::Reply { payment: one.clone(), reply: Reply::Refused(rule.into()) };
    let broken = Effect::Broken { payment: one.clone(), rule };
    assert_eq!(effects, [broken, refused, Effect::Forget { payment: one }]);
    assert!(recorded(&mut state, &two, 9).contains(&Effect::Send { payment: two, attempt: id(9) }));
    assert_eq!(state.recording, 0);
}

/// I2: bytes go out under their own payment only.
#[test]
fn bytes_of_another_payment_are_not_sent() {
    let mut state = base();
    let one = payment(1);
    let attempts = vec![attempt(7, &payment(2))];
    let found = Start { reserved: 10, attempts, found: true };
    step(&mut state, Event::Taken { payment: one.clone(), start: found }, 0);
    let effects = step(&mut state, Event::Resumed { payment: one.clone() }, 0);
    let broken = Effect::Broken { payment: one.clone(), rule: "an attempt of another payment" };
    assert_eq!(effects, [broken, Effect::Forget { payment: one }]);
    assert_eq!(state.sending, 0);
}

/// I10: a payment whose ledger could not be read after a lost answer may have been signed.
#[test]
fn nothing_is_signed_while_it_is_not_known_what_is() {
    let mut state = base();
    let one = signing(&mut state, 1);
    let lost = Event::NotRecorded { payment: one.clone(), reason: "reset".into() };
    step(&mut state, lost, 0);
    let read = |attempts| Event::Read { payment: one.clone(), attempts };
    assert!(waiting(&step(&mut state, read(None), 0)).is_some());
    let again = || Event::Wanted { payment: one.clone(), seen: Seen::default() };
    assert_eq!(step(&mut state, again(), 0), [Effect::Read { payment: one.clone() }]);
    assert!(waiting(&step(&mut state, read(None), 0)).is_some(), "still unknown");
    step(&mut state, again(), 0);
    let effects = step(&mut state, read(Some(vec![attempt(7, &one)])), 0);
    assert!(effects.contains(&Effect::Send { payment: one.clone(), attempt: id(7) }), "{effects:?}");
    assert_eq!(state.recording, 0);
}

/// I2: found by the simulator long ago: a commit whose answer was lost may have worked.
#[test]
fn a_lost_answer_is_read_before_anything_is_signed_again() {
    for durable in [true, false] {
        let mut state = base();
        let one = signing(&mut state, 1);
        let lost = Event::NotRecorded { payment: one.clone(), reason: "reset".into() };
        assert_eq!(step(&mut state, lost, 0), [Effect::Read { payment: one.clone() }]);
        let attempts = durable.then(|| vec![attempt(7, &one)]);
        let effects = step(&mut state, Event::Read { payment: one.clone(), attempts }, 0);
        let send = Effect::Send { payment: one, attempt: id(7) };
        assert_eq!(
            (effects.contains(&send), waiting(&effects).is_some()),
            (durable, !durable),
            "{effects:?}"
        );
    }
}

#[test]
fn who_lost_the_payment_hears_it_and_nothing_is_sent() {
    let mut state = base();
    let one = signing(&mut state, 1);
    let lost = Event::Lost { payment: one.clone(), reason: "not the owner".into() };
    let effects = step(&mut state, lost, 0);
    let reply = Effect::Reply { payment: one.clone(), reply: Reply::Refused("not the owner".into()) };
    assert_eq!(effects, [reply, Effect::Forget { payment: one }]);
}

/// A replica whose lease ran out would otherwise ask for room for ever, for what another one settles.
#[test]
fn who_lost_the_payment_before_it_had_room_hears_it_too() {
    let mut state = base();
    let one = wanted(&mut state, 1);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(25) }, 0);
    assert!(matches!(effects[..], [Effect::Reserve { .. }]));
    let lost = Event::Lost { payment: one.clone(), reason: "not the owner".into() };
    let effects = step(&mut state, lost, 0);
    let reply = Effect::Reply { payment: one.clone(), reply: Reply::Refused("not the owner".into()) };
    assert_eq!(effects, [reply, Effect::Forget { payment: one }]);
    assert_eq!(state.recording, 0);
}

/// A panic in one payment's signing is that payment's alone, and its driver hears of it.
#[test]
fn a_signature_that_panics_is_looked_for_and_said() {
    let mut state = base();
    let (one, two) = (signing(&mut state, 1), signing(&mut state, 2));
    assert_eq!(
        step(&mut state, Event::Broke { payment: one.clone() }, 0),
        [Effect::Read { payment: one.clone() }]
    );
    let effects = step(&mut state, Event::Broke { payment: one }, 0);
    assert!(waiting(&effects).is_some(), "{effects:?}");
    assert!(recorded(&mut state, &two, 7).contains(&Effect::Send { payment: two, attempt: id(7) }));
    assert_eq!(state.recording, 0);
}

/// P3: what every node ran and passed to nobody costs nothing until it is sent again.
#[test]
fn withheld_bytes_give_their_cost_back_and_reserve_it_before_they_go_out_again() {
    let mut state = solana();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    let refused = SendOutcome::Refused { reason: "simulation failed".into() };
    let effects = step(&mut state, sent(&one, refused, true), 0);
    assert!(effects.contains(&Effect::Return { payment: one.clone() }), "{effects:?}");
    step(&mut state, Event::Returned { payment: one.clone(), returned: Returned::Freed }, 0);
    assert_eq!(step(&mut state, Event::Tick, 60_000), [Effect::Price { payment: one.clone() }]);
    let effects = step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 60_000);
    assert!(matches!(effects[..], [Effect::Reserve { bound: 10, .. }]));
    // Without room it stays, and is tried again.
    let none = Event::Reserved { payment: one.clone(), result: Err("no room".into()) };
    assert_eq!(step(&mut state, none, 60_000), []);
    assert_eq!(step(&mut state, Event::Tick, 120_000), [Effect::Price { payment: one.clone() }]);
    step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 120_000);
    let effects = step(&mut state, Event::Reserved { payment: one.clone(), result: Ok(()) }, 120_000);
    assert_eq!(effects, [Effect::Send { payment: one.clone(), attempt: id(7) }]);
    // Once somebody may have passed them on they are never given back.
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 120_000);
    step(&mut state, Event::Tick, 180_000);
    let effects = step(&mut state, sent(&one, SendOutcome::Accepted, true), 180_000);
    assert_eq!(effects, []);
}

#[test]
fn rebroadcasts_slow_down_to_a_bound() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    let (mut now, mut last) = (0, 0);
    for _ in 0..40 {
        step(&mut state, sent(&one, SendOutcome::Accepted, false), now);
        let due = state.due.first().unwrap().0;
        let pause = due - now;
        assert!(pause >= last && pause <= REBROADCAST_MS_MAX);
        (now, last) = (due, pause);
        step(&mut state, Event::Tick, now);
    }
    assert_eq!(last, REBROADCAST_MS_MAX);
}

/// A node that was away for ten seconds costs ten and a few: a lone endpoint's 503 leaves bytes unknown.
#[test]
fn bytes_that_may_be_nowhere_go_out_again_within_seconds() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    let mut now = 0;
    let mut pause_after = |outcome| {
        step(&mut state, sent(&one, outcome, false), now);
        let due = state.due.first().unwrap().0;
        let pause = due - std::mem::replace(&mut now, due);
        step(&mut state, Event::Tick, now);
        pause
    };
    let unknown = || SendOutcome::Unknown { reason: "HTTP status 503".to_owned() };
    for expected in [2_000, 4_000, 4_000, 4_000] {
        assert_eq!(pause_after(unknown()), expected);
    }
    for _ in 4..REBROADCASTS_UNKNOWN_MAX {
        pause_after(unknown());
    }
    assert_eq!(pause_after(unknown()), REBROADCAST_MS_MAX, "nobody says so for long who has them not");
    assert_eq!(pause_after(SendOutcome::Accepted), REBROADCAST_MS_MAX);
    assert_eq!(pause_after(unknown()), REBROADCAST_MS_MAX, "a node has them");
}

/// A stop begins nothing; what is being recorded is still sent once.
#[test]
fn a_stop_sends_what_it_records_and_begins_nothing() {
    let mut state = base();
    let one = signing(&mut state, 1);
    step(&mut state, Event::Stop, 0);
    assert!(recorded(&mut state, &one, 7).contains(&Effect::Send { payment: one.clone(), attempt: id(7) }));
    let two = payment(2);
    step(&mut state, Event::Taken { payment: two.clone(), start: start(10) }, 0);
    assert_eq!(step(&mut state, Event::Wanted { payment: two, seen: Seen::default() }, 0), []);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    assert_eq!(step(&mut state, Event::Tick, 60_000), []);
    assert_eq!(state.wakes_at(), None);
}
