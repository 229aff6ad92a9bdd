use super::*;

fn landing(paid_by_us: bool) -> Landing {
    Landing {
        transaction: "0xabc".into(),
        block: 7,
        block_hash: "0xb".into(),
        block_time: 1_000,
        cost_native: 42,
        paid_by_us,
    }
}

fn expired() -> Evidence {
    Evidence::Expired { block: 9, clock: 2_000 }
}

#[test]
fn the_straight_way_records_before_it_sends() {
    let mut state = State::claimed();
    assert_eq!(step(&mut state, Event::Started), [Effect::Watch, Effect::Record]);
    assert_eq!(step(&mut state, Event::Recorded), [Effect::Announce, Effect::Send]);
    assert_eq!(step(&mut state, Event::Sent(SendOutcome::Accepted)), [Effect::Wake(2_000)]);
    let effects = step(&mut state, Event::Seen(Evidence::Settled(landing(true))));
    assert_eq!(effects[0], Effect::Commit(Verdict::Settled(landing(true))));
    assert_eq!(effects[1], Effect::BookCost { landing: landing(true), earned: true });
    assert_eq!(step(&mut state, Event::Committed), [Effect::Announce]);
    assert!(state.is_done());
}

/// I2: no event sequence yields a send before bytes are durable.
#[test]
fn a_claim_without_bytes_is_never_sent() {
    let events = [
        Event::Started,
        Event::Due,
        Event::Sent(SendOutcome::Accepted),
        Event::Rechecked { still_good: true },
        Event::Rechecked { still_good: false },
        Event::NotRecorded { retry: true, reason: "cap".into() },
        Event::CommitFailed,
    ];
    for first in &events {
        for second in &events {
            let mut state = State::claimed();
            for event in [first, second] {
                let effects = step(&mut state, event.clone());
                assert!(!effects.contains(&Effect::Send), "{first:?} then {second:?}");
            }
        }
    }
}

/// I3: whatever a node says about a send, the payment is not over.
#[test]
fn no_answer_to_a_send_is_a_verdict() {
    for outcome in [
        SendOutcome::Accepted,
        SendOutcome::Unknown { reason: "timeout".into() },
        SendOutcome::Refused { reason: "insufficient funds for gas".into() },
    ] {
        let mut state = State::recorded(1);
        let effects = step(&mut state, Event::Sent(outcome));
        assert!(state.committing.is_none());
        assert!(effects.iter().any(|e| matches!(e, Effect::Wake(_))), "it is broadcast again");
    }
}

/// I5: a reverted receipt alone is not a refusal.
#[test]
fn a_revert_costs_but_does_not_end_the_payment() {
    let mut state = State::recorded(1);
    let effects = step(&mut state, Event::Seen(Evidence::Reverted(landing(true))));
    assert_eq!(effects, [Effect::BookCost { landing: landing(true), earned: false }, Effect::Recheck]);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: true }), [Effect::Record]);
    assert_eq!(step(&mut state, Event::Recorded), [Effect::Announce, Effect::Send]);
    // The poller sees the same failure at every look; it costs once.
    assert_eq!(step(&mut state, Event::Seen(Evidence::Reverted(landing(true)))), []);
    // I10: attempts that earn nothing are bounded.
    let second = Landing { transaction: "0xdef".into(), ..landing(true) };
    let effects = step(&mut state, Event::Seen(Evidence::Reverted(second.clone())));
    assert_eq!(effects, [Effect::BookCost { landing: second, earned: false }]);
    assert!(!state.is_done());
    assert!(matches!(step(&mut state, Event::Seen(expired()))[0], Effect::Commit(Verdict::Expired(_))));
}

/// I6: the first verdict stands, and what contradicts it is said aloud.
#[test]
fn a_verdict_is_final() {
    let mut state = State::recorded(1);
    step(&mut state, Event::Seen(expired()));
    // While the commit is under way nothing else is decided.
    assert_eq!(step(&mut state, Event::Seen(Evidence::Settled(landing(true)))), []);
    step(&mut state, Event::Committed);
    let before = state.clone();
    let effects = step(&mut state, Event::Seen(Evidence::Settled(landing(true))));
    assert!(matches!(effects[..], [Effect::Alert(Alert::Contradiction(_))]));
    assert_eq!(state, before);
}

#[test]
fn a_failed_commit_is_tried_again() {
    let mut state = State::recorded(1);
    step(&mut state, Event::Seen(Evidence::Settled(landing(false))));
    assert_eq!(step(&mut state, Event::CommitFailed), [Effect::Commit(Verdict::Settled(landing(false)))]);
}

#[test]
fn a_foreign_landing_settles_and_costs_us_nothing() {
    let mut state = State::claimed();
    let effects = step(&mut state, Event::Seen(Evidence::Settled(landing(false))));
    let [Effect::Commit(verdict), Effect::Alert(Alert::ForeignLanding(transaction))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((verdict, transaction), (&Verdict::Settled(landing(false)), &landing(false).transaction));
}

/// One ledger per payout address: where it is shared, only our own attempts grant.
#[test]
fn a_foreign_landing_is_owed_where_the_address_is_shared() {
    let (landing, other) = (landing(false), ["0xother".to_owned()]);
    assert!(!is_owed(false, &landing, &other), "anybody may land an authorization");
    assert!(is_owed(true, &landing, &other));
    assert!(is_owed(true, &landing, &[]), "nothing of ours was signed");
    assert!(!is_owed(true, &landing, &["0xother".to_owned(), landing.transaction.clone()]));
}

/// I5: found by the simulator. A claim that we cannot sign was refused, and then a
/// stranger landed it: the money had moved and bought nothing.
#[test]
fn signing_that_can_never_work_ends_nothing() {
    let never = Event::NotRecorded { retry: false, reason: "unreadable".into() };
    for mut state in [State::claimed(), State::recorded(1)] {
        let effects = step(&mut state, never.clone());
        assert!(matches!(effects[0], Effect::Alert(Alert::Waiting(_))), "{effects:?}");
        assert!(state.committing.is_none() && !state.is_done());
    }
    let mut state = State::claimed();
    step(&mut state, never);
    assert_eq!(step(&mut state, Event::Due), [Effect::Recheck], "it goes on asking, slowly");
    let effects = step(&mut state, Event::Seen(Evidence::Settled(landing(false))));
    assert_eq!(effects[0], Effect::Commit(Verdict::Settled(landing(false))));
}

/// I6: nothing that happens to a landing touches the grant; a loss needs proof
/// that it can never land again.
#[test]
fn i6_a_landing_is_watched_until_it_is_final() {
    let known = landing(true);
    let moved = Landing { block: 8, ..landing(true) };
    for (standing, expected) in [
        (Standing::Finalized(moved.clone()), Aftermath::Finalize(moved.clone())),
        (Standing::Landed(known.clone()), Aftermath::Keep),
        (Standing::Landed(moved.clone()), Aftermath::Move(moved.clone())),
        (Standing::Missing, Aftermath::Rebroadcast),
        (Standing::Lost(expired()), Aftermath::BookLoss(expired())),
        (
            Standing::Lost(Evidence::Canceled(moved.clone())),
            Aftermath::BookLoss(Evidence::Canceled(moved.clone())),
        ),
        (Standing::Lost(Evidence::Reverted(moved.clone())), Aftermath::Rebroadcast),
        (Standing::Lost(Evidence::Settled(moved.clone())), Aftermath::Move(moved)),
    ] {
        assert_eq!(after_settlement(&known, standing.clone()), expected, "{standing:?}");
    }
}

#[test]
fn rebroadcasts_slow_down_to_a_bound() {
    let mut state = State::recorded(1);
    let mut last = 0;
    for _ in 0..40 {
        let effects = step(&mut state, Event::Sent(SendOutcome::Accepted));
        let [Effect::Wake(pause)] = effects[..] else { panic!("{effects:?}") };
        assert!(pause >= last && pause <= REBROADCAST_MS_MAX);
        last = pause;
    }
    assert_eq!(last, REBROADCAST_MS_MAX);
}

/// A node that was away for ten seconds costs ten and a few: a lone endpoint's 503 leaves bytes unknown.
#[test]
fn bytes_that_may_be_nowhere_go_out_again_within_seconds() {
    let mut state = State::recorded(1);
    for expected in [2_000, 4_000, 4_000, 4_000] {
        let outcome = SendOutcome::Unknown { reason: "HTTP status 503".to_owned() };
        assert_eq!(step(&mut state, Event::Sent(outcome)), [Effect::Wake(expected)]);
    }
    assert_eq!(step(&mut state, Event::Sent(SendOutcome::Accepted)), [Effect::Wake(REBROADCAST_MS_MAX)]);
    let known = SendOutcome::Unknown { reason: "already known".to_owned() };
    assert_eq!(step(&mut state, Event::Sent(known)), [Effect::Wake(REBROADCAST_MS_MAX)], "a node has them");
}

/// I10: a claim that was found again is not signed before the chain was asked.
#[test]
fn a_claim_found_again_is_checked_before_it_is_signed() {
    let mut state = State::claimed();
    assert_eq!(step(&mut state, Event::Found), [Effect::Watch, Effect::Recheck]);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: false }), [Effect::Wake(RECHECK_MS)]);
    assert_eq!(step(&mut state, Event::Due), [Effect::Recheck]);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: true }), [Effect::Record]);
    let mut state = State::claimed();
    step(&mut state, Event::Found);
    assert!(matches!(step(&mut state, Event::Seen(expired()))[0], Effect::Commit(Verdict::Expired(_))));
}
