//! Slots that are left, and landings that vanish.

use super::*;
use crate::dispatch::step::slots::REORG_MS_MAX;

fn slot(number: i64, nonce: u64) -> OpenSlot {
    OpenSlot { attempt: id(number), nonce }
}

/// I2: the newest bytes of each open slot whose payments are over, and no others, go out.
#[test]
fn a_slot_whose_payments_are_over_is_filled() {
    let mut state = base();
    assert_eq!(step(&mut state, Event::Tick, 0), [Effect::AskUsed]);
    assert_eq!(step(&mut state, Event::Used(5), 0), []);
    assert_eq!(step(&mut state, Event::Tick, 1_000), [], "not before the pause is over");
    assert_eq!(step(&mut state, Event::Tick, 2_000), [Effect::ReadSlots { from: 5 }]);
    let open = vec![slot(1, 5), slot(2, 6), slot(3, 6), slot(4, 7)];
    assert_eq!(step(&mut state, Event::SlotsRead { open, attempts: Vec::new() }, 2_000), [Effect::AskUsed]);
    let effects = step(&mut state, Event::Used(6), 2_000);
    assert_eq!(effects, [Effect::SetStuck(false), Effect::Judge { attempts: vec![id(3), id(4)] }]);
    assert_eq!(
        step(&mut state, Event::Judged { over: vec![id(3)] }, 2_000),
        [Effect::Fill { attempt: id(3) }]
    );
    // While its bytes are on their way they do not go out twice.
    assert_eq!(step(&mut state, Event::Tick, 4_000), [Effect::ReadSlots { from: 6 }]);
    step(&mut state, Event::SlotsRead { open: vec![slot(3, 6), slot(4, 7)], attempts: Vec::new() }, 4_000);
    let effects = step(&mut state, Event::Used(6), 4_000);
    assert_eq!(effects, [Effect::SetStuck(false), Effect::Judge { attempts: vec![id(4)] }]);
    step(&mut state, Event::Judged { over: Vec::new() }, 4_000);
    step(&mut state, Event::Filled(id(3)), 5_000);
    assert_eq!(step(&mut state, Event::Tick, 6_000), [Effect::ReadSlots { from: 6 }]);
}

/// A reorganisation opens used nonces again: the count is followed down as well.
#[test]
fn slots_that_a_reorganisation_opened_are_read_again() {
    let mut state = base();
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    step(&mut state, Event::Tick, 2_000);
    step(&mut state, Event::SlotsRead { open: vec![slot(9, 5)], attempts: Vec::new() }, 2_000);
    assert_eq!(step(&mut state, Event::Used(3), 2_000), [Effect::ReadSlots { from: 3 }]);
    let open = vec![slot(7, 3), slot(8, 4), slot(9, 5)];
    let effects = step(&mut state, Event::SlotsRead { open, attempts: Vec::new() }, 2_000);
    assert_eq!(effects, [Effect::SetStuck(false), Effect::Judge { attempts: vec![id(7), id(8), id(9)] }]);
}

#[test]
fn a_head_that_hangs_is_looked_at_and_its_bytes_go_out_all_the_same() {
    let mut state = base();
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    for now in [2_000, 6_000] {
        step(&mut state, Event::Tick, now);
        step(&mut state, Event::SlotsRead { open: vec![slot(1, 5)], attempts: Vec::new() }, now);
        let effects = step(&mut state, Event::Used(5), now);
        if now == 2_000 {
            assert_eq!(effects[0], Effect::SetStuck(false));
            step(&mut state, Event::Judged { over: Vec::new() }, now);
        } else {
            assert_eq!(effects, [Effect::LookAtHead { attempt: id(1) }]);
        }
    }
    let effects = step(&mut state, Event::HeadSeen { is_stuck: true }, 6_000);
    let weigh = Effect::Weigh { attempt: id(1) };
    assert_eq!(effects, [weigh, Effect::SetStuck(true), Effect::Judge { attempts: vec![id(1)] }]);
}

/// I2: whoever is to send it: a payment that this release cannot read, or whose process hangs, has
/// nobody, and what comes after its nonce waits behind it. A wallet that was replaced waits, too.
#[test]
fn a_head_that_hangs_goes_out_whoever_is_to_send_it() {
    for signs in [true, false] {
        let address = "0xwallet".to_owned();
        let mut state = State::of(Wallet { address, takes_nonce: true, signs, replaces: true });
        step(&mut state, Event::Tick, 0);
        step(&mut state, Event::Used(5), 0);
        let mut sent = Vec::new();
        for now in (2_000..60_000).step_by(2_000) {
            step(&mut state, Event::Tick, now);
            let open = vec![slot(1, 5), slot(2, 5), slot(3, 6)];
            let mut effects = step(&mut state, Event::SlotsRead { open, attempts: Vec::new() }, now);
            effects.extend(step(&mut state, Event::Used(5), now));
            effects.extend(step(&mut state, Event::HeadSeen { is_stuck: false }, now));
            effects.extend(step(&mut state, Event::Judged { over: Vec::new() }, now));
            for effect in effects {
                if let Effect::Fill { attempt } = effect {
                    sent.push((now, attempt));
                    step(&mut state, Event::Filled(attempt), now);
                }
            }
        }
        assert_eq!(
            sent,
            [(18_000, id(2)), (34_000, id(2)), (50_000, id(2))],
            "its newest bytes, now and then"
        );
    }
}

#[test]
fn a_look_that_fails_starts_again_and_asks_rarely_while_nothing_is_open() {
    let mut state = base();
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::LookFailed, 0);
    assert_eq!(
        step(&mut state, Event::Tick, 2_000),
        [Effect::AskUsed],
        "what was used at first is still unknown"
    );
    step(&mut state, Event::Used(5), 2_000);
    let mut asked = 0;
    for look in 0..9 {
        let now = 4_000 + look * 2_000;
        assert_eq!(step(&mut state, Event::Tick, now), [Effect::ReadSlots { from: 5 }]);
        if step(&mut state, Event::SlotsRead { open: Vec::new(), attempts: Vec::new() }, now)
            == [Effect::AskUsed]
        {
            asked += 1;
            assert_eq!(step(&mut state, Event::Used(5), now), [Effect::SetStuck(false)]);
        }
    }
    assert_eq!(asked, 3);
    assert_eq!(solana().wakes_at(), None, "without nonces there is nothing to look for");
}

/// I6: what a reorganisation took out goes out again, each landing once at a time and not all
/// of them at once.
#[test]
fn landings_that_vanish_go_out_again_and_not_all_at_once() {
    let mut state = base();
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.extend(step(&mut state, Event::Vanished(id(number)), 0));
        assert_eq!(step(&mut state, Event::Vanished(id(number)), 0), [], "it is known");
    }
    assert_eq!(sent.len(), AGAIN_MAX);
    assert_eq!(step(&mut state, Event::SentAgain(id(0)), 0), [Effect::Again { attempt: id(32) }]);
    // It is still gone at the next look.
    assert_eq!(step(&mut state, Event::Vanished(id(0)), 0), []);
    for number in 1..100 {
        sent.extend(step(&mut state, Event::SentAgain(id(number)), 0));
    }
    assert!(sent.contains(&Effect::Again { attempt: id(99) }));
    assert_eq!(step(&mut state, Event::SentAgain(id(0)), 0), []);
    step(&mut state, Event::Stop, 0);
    assert_eq!(step(&mut state, Event::Vanished(id(0)), 0), [], "a stop begins nothing");
}

/// The next transaction's age is its own: one that moved up is not old because the one before it was.
#[test]
fn a_head_is_as_old_as_it_has_been_the_head() {
    let mut state = base();
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    let mut look = |now, used, open| {
        step(&mut state, Event::Tick, now);
        step(&mut state, Event::SlotsRead { open, attempts: Vec::new() }, now);
        let effects = step(&mut state, Event::Used(used), now);
        step(&mut state, Event::HeadSeen { is_stuck: false }, now);
        step(&mut state, Event::Judged { over: Vec::new() }, now);
        effects
    };
    assert_eq!(look(2_000, 5, vec![slot(1, 5), slot(2, 6)])[0], Effect::SetStuck(false));
    assert_eq!(look(6_000, 6, vec![slot(1, 5), slot(2, 6)])[0], Effect::SetStuck(false), "it is new");
    assert_eq!(look(10_000, 6, vec![slot(2, 6)]), [Effect::LookAtHead { attempt: id(2) }]);
}

/// A reorganisation opens used slots for an hour at most: after it nobody is asked any more.
#[test]
fn an_hour_after_the_last_open_slot_the_chain_is_left_alone() {
    for (last, asks) in [(REORG_MS_MAX - 1, true), (REORG_MS_MAX, false)] {
        let mut state = base();
        step(&mut state, Event::Tick, 0);
        step(&mut state, Event::Used(5), 0);
        let mut effects = Vec::new();
        for now in [2_000, 4_000, last] {
            assert_eq!(step(&mut state, Event::Tick, now), [Effect::ReadSlots { from: 5 }]);
            effects = step(&mut state, Event::SlotsRead { open: Vec::new(), attempts: Vec::new() }, now);
        }
        assert_eq!(effects.contains(&Effect::AskUsed), asks, "{last}: {effects:?}");
    }
}

/// A stop ends a look where it is: what it would find is the next process's.
#[test]
fn a_look_goes_no_further_once_the_lane_stops() {
    let mut state = base();
    step(&mut state, Event::Tick, 0);
    step(&mut state, Event::Used(5), 0);
    assert_eq!(step(&mut state, Event::Tick, 2_000), [Effect::ReadSlots { from: 5 }]);
    step(&mut state, Event::Stop, 2_000);
    assert_eq!(
        step(&mut state, Event::SlotsRead { open: vec![slot(1, 5)], attempts: Vec::new() }, 2_000),
        []
    );
}
