//! A head of the lane that does not move is replaced at its own nonce.

use super::*;
use crate::dispatch::step::replace::{REPLACE_AGE_MS, REPLACE_PAUSE_MS, REPLACEMENTS_MAX};

/// One look at the wallet's slots; what it led to.
fn look(state: &mut State, open: &[(i64, u64)], is_under: bool, now: u64) -> Vec<Effect> {
    let open = open.iter().map(|(number, nonce)| OpenSlot { attempt: id(*number), nonce: *nonce }).collect();
    step(state, Event::Tick, now);
    step(state, Event::SlotsRead { open, attempts: Vec::new() }, now);
    let mut effects = step(state, Event::Used(5), now);
    if effects.iter().any(|effect| matches!(effect, Effect::LookAtHead { .. })) {
        effects = step(state, Event::HeadSeen { is_stuck: is_under }, now);
    }
    for effect in &effects {
        if let Effect::Fill { attempt } = effect {
            step(state, Event::Filled(*attempt), now);
        }
    }
    step(state, Event::Judged { over: Vec::new() }, now);
    effects
}

/// A lane that has looked once, at the head that is there.
fn lane(open: &[(i64, u64)]) -> State {
    let mut state = base();
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    look(&mut state, open, false, 2_000);
    state
}

fn weighs(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Weigh { .. }))
}

fn weighed(lives: bool) -> Event {
    Event::Weighed { attempt: id(2), open: vec![payment(1), payment(2)], lives }
}

/// The newest bytes of the lowest nonce, as soon as they are seen to be under the fee.
#[test]
fn a_head_under_the_base_fee_is_replaced_at_its_nonce() {
    let mut state = lane(&[(1, 5), (2, 5), (3, 6)]);
    let effects = look(&mut state, &[(1, 5), (2, 5), (3, 6)], true, 6_000);
    assert_eq!(effects[..2], [Effect::Weigh { attempt: id(2) }, Effect::SetStuck(true)]);
    assert!(!weighs(&look(&mut state, &[(1, 5), (2, 5), (3, 6)], true, 12_000)), "one at a time");
    let by = Successor::Same;
    let replace = Effect::Replace { attempt: id(2), by, payments: vec![payment(1), payment(2)] };
    assert_eq!(step(&mut state, weighed(true), 12_000), [replace]);
    // Whoever sends for its payments sends it; here nobody does.
    let made = at(9, &payment(1), 5);
    let effects = step(&mut state, Event::Replaced { attempt: made }, 12_000);
    assert_eq!(effects, [Effect::Fill { attempt: id(9) }]);
}

/// Its nonce has to be used, and nothing of it can land any more.
#[test]
fn a_head_of_which_nothing_lives_is_replaced_by_nothing() {
    let mut state = lane(&[(2, 5)]);
    look(&mut state, &[(2, 5)], true, 6_000);
    let nothing = Effect::Replace { attempt: id(2), by: Successor::Nothing, payments: Vec::new() };
    assert_eq!(step(&mut state, weighed(false), 6_000), [nothing]);
}

/// I2, P2: the driver hears of both, so what was replaced stays watched, and the new bytes go out.
#[test]
fn what_was_replaced_stays_watched_and_the_newest_bytes_go_out() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    let effects = step(&mut state, Event::Replaced { attempt: at(9, &one, 7) }, 100);
    let tell = Effect::Tell { payment: one.clone() };
    assert_eq!(effects, [tell, Effect::Send { payment: one.clone(), attempt: id(9) }]);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 200);
    let effects = step(&mut state, Event::Tick, 30_000);
    assert!(effects.contains(&Effect::Send { payment: one, attempt: id(9) }), "{effects:?}");
}

/// I10: the old one landed after all, and failed: that ends what replaced it as well, and one more
/// nonce may be signed; it is no third attempt.
#[test]
fn i10_attempts_at_one_nonce_count_as_one() {
    let mut state = base();
    let one = signing(&mut state, 1);
    recorded(&mut state, &one, 7);
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 0);
    for number in 8..12 {
        step(&mut state, Event::Replaced { attempt: at(number, &one, 7) }, 100);
        step(&mut state, sent(&one, SendOutcome::Accepted, false), 100);
    }
    // While none of them is known to be included nothing is signed beside them.
    let effects = step(&mut state, Event::Wanted { payment: one.clone(), seen: Seen::default() }, 100);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Price { .. })), "{effects:?}");
    step(&mut state, sent(&one, SendOutcome::Accepted, false), 100);
    step(&mut state, Event::Failed { payment: one.clone(), transaction: "0x9".to_owned() }, 200);
    let effects = step(&mut state, Event::Wanted { payment: one.clone(), seen: Seen::default() }, 200);
    assert_eq!(effects, [Effect::Price { payment: one.clone() }]);
    step(&mut state, Event::Fees { payment: one.clone(), fees: fees(10) }, 200);
    let effects = step(&mut state, Event::Reserved { payment: one, result: Ok(()) }, 200);
    let [Effect::Record { newest, slot: Slot::Fresh { .. }, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*newest, Some(id(11)));
}

/// Fees would let it in, it went out again, and blocks pass without it.
#[test]
fn a_head_that_is_old_is_replaced_and_ever_more_seldom() {
    let mut state = lane(&[(1, 5)]);
    let (mut open, mut at_ms) = (vec![(1, 5)], Vec::new());
    for now in (4_000..400_000).step_by(2_000) {
        let effects = look(&mut state, &open, false, now);
        assert!(!effects.contains(&Effect::SetStuck(true)), "it sells on");
        if weighs(&effects) {
            at_ms.push(now);
            let number = open.len() as i64 + 1;
            open.push((number, 5));
            step(&mut state, Event::Weighed { attempt: id(1), open: Vec::new(), lives: true }, now);
            step(&mut state, Event::Replaced { attempt: at(number, &payment(1), 5) }, now);
            step(&mut state, Event::Filled(id(number)), now);
        }
    }
    let first = 2_000 + REPLACE_AGE_MS;
    let expected = [first, first + 2 * REPLACE_AGE_MS, first + 6 * REPLACE_AGE_MS];
    assert_eq!(at_ms, expected);
}

#[test]
fn a_nonce_is_replaced_so_often_and_no_more() {
    let open: Vec<(i64, u64)> = (0..=REPLACEMENTS_MAX as i64).map(|number| (number + 1, 5)).collect();
    let mut state = lane(&open);
    assert!(!weighs(&look(&mut state, &open, true, 1_000_000)));
    let mut state = lane(&open[1..]);
    assert!(weighs(&look(&mut state, &open[1..], true, 1_000_000)));
}

/// I10: what that costs beyond what was charged has a budget of its own.
#[test]
fn i10_a_lane_whose_budget_is_spent_is_closed_until_its_head_moves() {
    let mut state = lane(&[(1, 5)]);
    // Not under the fee: it would sell on otherwise.
    assert!(weighs(&look(&mut state, &[(1, 5)], false, 40_000)));
    step(&mut state, Event::NotReplaced { is_spent: true }, 40_000);
    assert!(look(&mut state, &[(1, 5)], false, 42_000).contains(&Effect::SetStuck(true)));
    // It is asked for again, and another day's budget has room.
    let again = 42_000 + REPLACE_PAUSE_MS;
    assert!(weighs(&look(&mut state, &[(1, 5)], false, again)));
    step(&mut state, Event::Replaced { attempt: at(2, &payment(1), 5) }, again);
    let effects = look(&mut state, &[(1, 5), (2, 5)], false, again + 2_000);
    assert!(effects.contains(&Effect::SetStuck(false)), "{effects:?}");
}

/// A wallet that takes nothing new finishes what it began, and closes nothing.
#[test]
fn a_retired_wallets_head_is_replaced_as_well() {
    let mut state = retired(true);
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    look(&mut state, &[(1, 5)], false, 2_000);
    let effects = look(&mut state, &[(1, 5)], true, 8_000);
    assert!(weighs(&effects) && !effects.iter().any(|effect| matches!(effect, Effect::SetStuck(_))));
}

fn retired(replaces: bool) -> State {
    State::of(Wallet { address: "0xold".to_owned(), takes_nonce: true, signs: false, replaces })
}

/// Without a budget: a wallet that signs says that it is stuck, and another one is not asked.
#[test]
fn without_a_budget_nothing_is_replaced() {
    let address = "0xwallet".to_owned();
    let wallet = Wallet { address, takes_nonce: true, signs: true, replaces: false };
    for (mut state, signs) in [(State::of(wallet), true), (retired(false), false)] {
        step(&mut state, Event::Tick, 0);
        step(&mut state, Event::Used(5), 0);
        look(&mut state, &[(1, 5)], false, 2_000);
        for now in [8_000, 8_000 + 2 * REPLACE_AGE_MS] {
            let effects = look(&mut state, &[(1, 5)], true, now);
            assert!(!weighs(&effects), "{effects:?}");
            assert_eq!(effects.contains(&Effect::SetStuck(true)), signs, "{effects:?}");
        }
    }
}
