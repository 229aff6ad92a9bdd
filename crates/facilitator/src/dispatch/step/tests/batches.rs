//! Payments that share a transaction.

use super::*;

fn company(payer: &str) -> Option<Company> {
    Some(Company { payer: payer.to_owned(), items_max: 32, wait_ms: 10 })
}

fn sociable(number: u32) -> Fees {
    Fees { company: company(&format!("payer {number}")), ..fees(10) }
}

/// One that asks, with a payer of its own; what its fees lead to.
fn asks(state: &mut State, number: u32, now: u64) -> (PaymentId, Vec<Effect>) {
    let payment = payment(number);
    step(state, Event::Taken { payment: payment.clone(), start: start(10) }, now);
    step(state, Event::Wanted { payment: payment.clone(), seen: Seen::default() }, now);
    let effects = step(state, Event::Fees { payment: payment.clone(), fees: sociable(number) }, now);
    (payment, effects)
}

fn rehearsed(effects: &[Effect]) -> Option<&Batch> {
    effects.iter().find_map(|effect| match effect {
        Effect::Rehearse(batch) => Some(batch),
        _ => None,
    })
}

fn recording(effects: &[Effect]) -> Option<&Batch> {
    effects.iter().find_map(|effect| match effect {
        Effect::RecordBatch(batch) => Some(batch),
        _ => None,
    })
}

fn shared(number: i64, of: &[PaymentId]) -> Attempt {
    at_nonce(number, of, number.unsigned_abs())
}

fn at_nonce(number: i64, of: &[PaymentId], nonce: u64) -> Attempt {
    let (transaction, payments) = (format!("0x{number}"), of.to_vec());
    Attempt { id: id(number), transaction, payments, nonce: Some(nonce) }
}

/// One that is being recorded alone, and so many that go together: up to their signature.
fn together(state: &mut State, count: u32) -> Vec<PaymentId> {
    let (_, effects) = asks(state, 0, 0);
    assert!(matches!(effects[..], [Effect::Record { .. }]), "an idle wallet signs at once: {effects:?}");
    let payments: Vec<PaymentId> = (1..=count)
        .map(|number| {
            let (payment, effects) = asks(state, number, 1);
            assert_eq!(effects, [], "a busy one waits for others");
            payment
        })
        .collect();
    let effects = step(state, Event::Tick, 11);
    assert_eq!(rehearsed(&effects).map(Batch::payments), Some(payments.clone()));
    let all = Event::Rehearsed { payments: payments.clone(), moves: payments.clone(), left_out: vec![] };
    let effects = step(state, all, 20);
    let batch = recording(&effects).expect("all of them move");
    assert_eq!((batch.payments(), batch.reserved), (payments.clone(), 10 * u128::from(count)));
    payments
}

fn sends(effects: &[Effect]) -> Vec<(PaymentId, AttemptId)> {
    let sent = |effect: &Effect| match effect {
        Effect::Send { payment, attempt } => Some((payment.clone(), *attempt)),
        _ => None,
    };
    effects.iter().filter_map(sent).collect()
}

#[test]
fn an_idle_wallet_signs_at_once_and_alone() {
    let mut state = base();
    for number in 0..3 {
        let (payment, effects) = asks(&mut state, number, u64::from(number));
        assert!(matches!(effects[..], [Effect::Record { .. }]), "{effects:?}");
        let effects = recorded(&mut state, &payment, i64::from(number) + 1);
        assert_eq!(sends(&effects).len(), 1);
    }
    let (_, effects) = asks(&mut state, 3, 5);
    assert_eq!(effects, [], "three are in flight: what comes now waits for company");
    assert_eq!(state.gathering.wakes_at(), Some(15));
    let effects = step(&mut state, Event::Tick, 15);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Record { .. })), "nobody came: {effects:?}");
}

#[test]
fn payments_that_share_a_transaction_are_told_each_and_their_bytes_go_out_once() {
    let mut state = base();
    let payments = together(&mut state, 3);
    let effects = step(&mut state, Event::Recorded { attempt: shared(7, &payments) }, 20);
    for payment in &payments {
        let told = Effect::Reply { payment: payment.clone(), reply: Reply::Recorded };
        assert!(effects.contains(&told), "{effects:?}");
    }
    assert_eq!(sends(&effects), [(payments[0].clone(), id(7))]);
    step(&mut state, sent(&payments[0], SendOutcome::Accepted, false), 30);
    let again = step(&mut state, Event::Tick, 60_000);
    assert_eq!(sends(&again), [(payments[0].clone(), id(7))], "and go out again once");
    assert_eq!(state.recording, 1, "the first one, alone");
}

/// The one under which the bytes go out may be over first: a stranger landed its authorization.
#[test]
fn another_living_payment_carries_on_when_the_one_that_sends_is_over() {
    let mut state = base();
    let payments = together(&mut state, 3);
    step(&mut state, Event::Recorded { attempt: shared(7, &payments) }, 20);
    step(&mut state, sent(&payments[0], SendOutcome::Accepted, false), 30);
    step(&mut state, Event::Over { payment: payments[0].clone() }, 40);
    let effects = step(&mut state, Event::Tick, 2_030);
    assert_eq!(sends(&effects), [(payments[1].clone(), id(7))], "when they are due");
    step(&mut state, Event::Over { payment: payments[1].clone() }, 2_040);
    step(&mut state, sent(&payments[1], SendOutcome::Accepted, false), 2_050);
    let effects = step(&mut state, Event::Tick, 60_000);
    assert_eq!(sends(&effects), [(payments[2].clone(), id(7))]);
    step(&mut state, sent(&payments[2], SendOutcome::Accepted, false), 60_001);
    step(&mut state, Event::Over { payment: payments[2].clone() }, 60_002);
    assert!(state.due.is_empty() && state.carriers.is_empty(), "what is left of the slot is the look's");
}

/// I2: what takes its place holds whoever of it has no verdict. The old one may land after all: nobody
/// signs for any of them elsewhere.
#[test]
fn i2_a_replaced_batch_goes_out_once_and_none_of_it_is_signed_elsewhere() {
    let mut state = base();
    let payments = together(&mut state, 3);
    step(&mut state, Event::Recorded { attempt: at_nonce(7, &payments, 7) }, 20);
    step(&mut state, sent(&payments[0], SendOutcome::Accepted, false), 30);
    step(&mut state, Event::Over { payment: payments[0].clone() }, 40);
    let open = &payments[1..];
    let effects = step(&mut state, Event::Replaced { attempt: at_nonce(8, open, 7) }, 50);
    assert_eq!(sends(&effects), [(open[0].clone(), id(8))]);
    step(&mut state, sent(&open[0], SendOutcome::Accepted, false), 55);
    for payment in open {
        assert!(effects.contains(&Effect::Tell { payment: payment.clone() }), "{effects:?}");
        let asked = Event::Wanted { payment: payment.clone(), seen: Seen::default() };
        let effects = step(&mut state, asked, 60);
        let told = Effect::Reply { payment: payment.clone(), reply: Reply::Recorded };
        assert!(effects.contains(&told), "{effects:?}");
        let is_signed = effects.iter().any(|effect| matches!(effect, Effect::Price { .. }));
        assert!(!is_signed, "it has its bytes: {effects:?}");
    }
    step(&mut state, sent(&open[0], SendOutcome::Accepted, false), 61);
    assert_eq!(state.carriers.len(), 1, "the old bytes go out under nobody");
    let again = step(&mut state, Event::Tick, 60_000);
    assert_eq!(sends(&again), [(open[0].clone(), id(8))], "once");
    // The old one lands: what failed in it is signed at one more nonce, beside nothing.
    step(&mut state, sent(&open[0], SendOutcome::Accepted, false), 60_001);
    step(&mut state, Event::Failed { payment: open[0].clone(), transaction: "0x7".into() }, 60_002);
    let asked = Event::Wanted { payment: open[0].clone(), seen: Seen::default() };
    assert_eq!(step(&mut state, asked, 60_003), [Effect::Price { payment: open[0].clone() }]);
}

/// I9: what failed inside a transaction that was included settles alone, beside nothing.
#[test]
fn an_item_that_failed_in_an_included_batch_goes_alone_next() {
    let mut state = base();
    let payments = together(&mut state, 2);
    step(&mut state, Event::Recorded { attempt: shared(7, &payments) }, 20);
    step(&mut state, sent(&payments[0], SendOutcome::Accepted, false), 30);
    let one = payments[0].clone();
    step(&mut state, Event::Failed { payment: one.clone(), transaction: "0x7".into() }, 40);
    let effects = step(&mut state, Event::Wanted { payment: one.clone(), seen: Seen::default() }, 50);
    assert_eq!(effects, [Effect::Price { payment: one.clone() }]);
    step(&mut state, Event::Fees { payment: one.clone(), fees: sociable(1) }, 50);
    let effects = step(&mut state, Event::Reserved { payment: one.clone(), result: Ok(()) }, 50);
    let [Effect::Record { payments: alone, newest, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((alone, *newest), (&vec![one], Some(id(7))));
    let effects = step(&mut state, Event::Tick, 60_000);
    assert_eq!(sends(&effects), [(payments[1].clone(), id(7))], "the other one carries on meanwhile");
}

/// P3, I9: what would fail in company, or has code that could use up its gas, is left out; its driver
/// looks at the chain again, and then it goes alone.
#[test]
fn who_would_fail_is_left_out_and_the_others_go() {
    let mut state = base();
    asks(&mut state, 0, 0);
    let payments: Vec<_> = (1..=3).map(|number| asks(&mut state, number, 1).0).collect();
    step(&mut state, Event::Tick, 11);
    let (moves, left_out) = (vec![payments[0].clone(), payments[2].clone()], vec![payments[1].clone()]);
    let shown = Event::Rehearsed { payments: payments.clone(), moves: moves.clone(), left_out };
    let effects = step(&mut state, shown, 20);
    assert_eq!(recording(&effects).map(|batch| (batch.payments(), batch.reserved)), Some((moves, 20)));
    let out = payments[1].clone();
    assert!(effects.contains(&Effect::GiveBack { payment: out.clone(), known: 0 }), "{effects:?}");
    let effects = step(&mut state, Event::Returned { payment: out.clone(), returned: Returned::Freed }, 21);
    assert!(waiting(&effects).is_some_and(|refusal| refusal.retry), "{effects:?}");
    step(&mut state, Event::Wanted { payment: out.clone(), seen: Seen::default() }, 30);
    step(&mut state, Event::Fees { payment: out.clone(), fees: sociable(2) }, 30);
    let effects = step(&mut state, Event::Reserved { payment: out, result: Ok(()) }, 30);
    assert!(matches!(effects[..], [Effect::Record { .. }]), "alone: {effects:?}");
}

/// A node that does not answer holds up nobody.
#[test]
fn a_rehearsal_that_says_nothing_sends_each_alone() {
    let mut state = base();
    asks(&mut state, 0, 0);
    let payments: Vec<_> = (1..=3).map(|number| asks(&mut state, number, 1).0).collect();
    step(&mut state, Event::Tick, 11);
    let nothing = Event::Rehearsed { payments: payments.clone(), moves: vec![], left_out: vec![] };
    let effects = step(&mut state, nothing, 20);
    let alone = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Record { payments, .. } if payments.len() == 1));
    assert_eq!((alone.count(), recording(&effects)), (3, None));
}

/// One of them became another process's, or its reservation was given back there: the ledger refuses
/// all, and nobody waits for the others.
#[test]
fn one_payments_fault_does_not_stop_the_others_of_its_batch() {
    let mut state = base();
    let payments = together(&mut state, 2);
    let effects = step(&mut state, Event::Apart { payments: payments.clone() }, 30);
    for payment in &payments {
        assert!(effects.contains(&Effect::Price { payment: payment.clone() }), "{effects:?}");
        let effects = step(&mut state, Event::Fees { payment: payment.clone(), fees: sociable(9) }, 30);
        assert!(matches!(effects[..], [Effect::Record { .. }]), "alone, at once: {effects:?}");
    }
    let lost = Event::Lost { payment: payments[0].clone(), reason: "not the owner".into() };
    assert!(step(&mut state, lost, 31).contains(&Effect::Forget { payment: payments[0].clone() }));
    let effects = recorded(&mut state, &payments[1], 8);
    assert_eq!(sends(&effects), [(payments[1].clone(), id(8))]);
}

/// I2, I10: a commit whose answer was lost may have worked for all of them.
#[test]
fn a_lost_answer_of_a_batch_is_read_for_each_before_anything_is_signed_again() {
    for durable in [true, false] {
        let mut state = base();
        let payments = together(&mut state, 2);
        let lost = Event::Unsure { payments: payments.clone(), reason: "reset".into() };
        let effects = step(&mut state, lost, 30);
        let read = |payment: &PaymentId| Effect::Read { payment: payment.clone() };
        assert_eq!(effects, payments.iter().map(read).collect::<Vec<_>>());
        let mut sent_out = Vec::new();
        for payment in &payments {
            let attempts = Some(if durable { vec![shared(7, &payments)] } else { Vec::new() });
            let effects = step(&mut state, Event::Read { payment: payment.clone(), attempts }, 31);
            assert_eq!(waiting(&effects).is_some(), !durable, "{effects:?}");
            sent_out.extend(sends(&effects));
        }
        let expected = if durable { vec![(payments[0].clone(), id(7))] } else { Vec::new() };
        assert_eq!(sent_out, expected);
        assert_eq!(state.recording, 1);
    }
}

/// After a restart, or in the process that took them over: each is found with the same bytes.
#[test]
fn payments_found_with_a_shared_attempt_send_it_once() {
    let mut state = base();
    let payments = [payment(1), payment(2), payment(3)];
    let mut sent_out = Vec::new();
    for payment in &payments {
        let found = Start { reserved: 0, attempts: vec![shared(7, &payments)], found: true };
        step(&mut state, Event::Taken { payment: payment.clone(), start: found }, 0);
        sent_out.extend(sends(&step(&mut state, Event::Resumed { payment: payment.clone() }, 0)));
    }
    assert_eq!(sent_out, [(payments[0].clone(), id(7))]);
    // Its driver goes before the bytes are on their way: another one's is there.
    step(&mut state, Event::Left { payment: payments[0].clone() }, 1);
    step(&mut state, sent(&payments[0], SendOutcome::Unknown { reason: "gone".into() }, false), 2);
    let effects = step(&mut state, Event::Tick, 4_000);
    assert_eq!(sends(&effects), [(payments[1].clone(), id(7))]);
}

/// Only first attempts, of payers without code.
#[test]
fn who_has_code_or_was_signed_before_shares_nothing() {
    let mut state = base();
    asks(&mut state, 0, 0);
    let coded = payment(1);
    step(&mut state, Event::Taken { payment: coded.clone(), start: start(10) }, 1);
    let seen = Seen { by_code: true, ..Seen::default() };
    step(&mut state, Event::Wanted { payment: coded.clone(), seen }, 1);
    let effects = step(&mut state, Event::Fees { payment: coded, fees: sociable(1) }, 1);
    assert!(matches!(effects[..], [Effect::Record { .. }]), "{effects:?}");
}

#[test]
fn a_stop_lets_nobody_wait_for_company() {
    let mut state = base();
    let first = asks(&mut state, 0, 0).0;
    asks(&mut state, 1, 1);
    step(&mut state, Event::Stop, 2);
    assert_eq!((state.wakes_at(), state.gathering.len(), state.recording), (None, 0, 1));
    assert_eq!(sends(&recorded(&mut state, &first, 7)).len(), 1);
    assert!(state.recording == 0);
}
