use super::*;

fn landing(paid_by_us: bool) -> Landing {
    Landing {
        transaction: "0xabc".into(),
        block: 7,
        block_hash: "0xb".into(),
        block_time: 1_000,
        cost_native: 42,
        paid_by_us,
        log_index: None,
    }
}

fn expired() -> Evidence {
    Evidence::Expired { block: 9, clock: 2_000 }
}

#[test]
fn the_straight_way() {
    let mut state = State::claimed();
    assert_eq!(step(&mut state, Event::Started), [Effect::Watch, Effect::Dispatch]);
    assert_eq!(step(&mut state, Event::Recorded { attempts: 1 }), [Effect::Announce]);
    let effects = step(&mut state, Event::Seen(Evidence::Settled(landing(true))));
    assert_eq!(effects[0], Effect::Commit(Verdict::Settled(landing(true))));
    assert_eq!(effects[1], Effect::BookCost { landing: landing(true), earned: true });
    assert_eq!(step(&mut state, Event::Committed), [Effect::Announce]);
    assert!(state.is_done());
}

/// I2: a claim without bytes is signed before anything of it is sent on.
#[test]
fn a_claim_without_bytes_is_never_sent() {
    let events = [
        Event::Started,
        Event::Found,
        Event::Due,
        Event::Rechecked { still_good: true },
        Event::Rechecked { still_good: false },
        Event::Waiting { retry: true, reason: "cap".into() },
        Event::CommitFailed,
    ];
    for first in &events {
        for second in &events {
            let mut state = State::claimed();
            for event in [first, second] {
                let effects = step(&mut state, event.clone());
                assert!(!effects.contains(&Effect::Resume), "{first:?} then {second:?}");
            }
        }
    }
}

/// I5: a reverted receipt alone is not a refusal.
#[test]
fn a_revert_costs_but_does_not_end_the_payment() {
    let mut state = State::recorded(1);
    let effects = step(&mut state, Event::Seen(Evidence::Reverted(landing(true))));
    assert_eq!(effects, [Effect::BookCost { landing: landing(true), earned: false }, Effect::Recheck]);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: true }), [Effect::Dispatch]);
    assert_eq!(step(&mut state, Event::Recorded { attempts: 2 }), [Effect::Announce]);
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

/// What the poller says again of a settled payment, and a second transaction that failed, contradict nothing.
#[test]
fn a_landing_that_is_seen_again_alerts_nobody() {
    let mut state = State::recorded(1);
    step(&mut state, Event::Seen(Evidence::Settled(landing(true))));
    step(&mut state, Event::Committed);
    for evidence in [Evidence::Settled(landing(true)), Evidence::Reverted(landing(true))] {
        assert_eq!(step(&mut state, Event::Seen(evidence)), []);
    }
    let canceled = step(&mut state, Event::Seen(Evidence::Canceled(landing(false))));
    assert!(matches!(canceled[..], [Effect::Alert(Alert::Contradiction(_))]), "{canceled:?}");
}

/// I2: what is found recorded may be with a node: it is watched and sent on, never signed first.
#[test]
fn what_is_found_recorded_is_sent_on() {
    assert_eq!(step(&mut State::recorded(1), Event::Found), [Effect::Watch, Effect::Resume]);
}

/// A claim is looked at again while it waits; what is recorded waits for evidence alone, or each look
/// would ask for another signature.
#[test]
fn only_a_claim_is_woken_from_its_wait() {
    for (retry, pause) in [(true, WAIT_MS), (false, WAIT_IN_VAIN_MS)] {
        let wait = || Event::Waiting { retry, reason: "fees".into() };
        let alert = Effect::Alert(Alert::Waiting("fees".into()));
        assert_eq!(step(&mut State::claimed(), wait()), [alert.clone(), Effect::Wake(pause)]);
        assert_eq!(step(&mut State::recorded(1), wait()), [alert]);
    }
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
    let never = Event::Waiting { retry: false, reason: "unreadable".into() };
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

/// I10: a claim that was found again is not signed before the chain was asked.
#[test]
fn a_claim_found_again_is_checked_before_it_is_signed() {
    let mut state = State::claimed();
    assert_eq!(step(&mut state, Event::Found), [Effect::Watch, Effect::Recheck]);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: false }), [Effect::Wake(RECHECK_MS)]);
    assert_eq!(step(&mut state, Event::Due), [Effect::Recheck]);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: true }), [Effect::Dispatch]);
    let mut state = State::claimed();
    step(&mut state, Event::Found);
    assert!(matches!(step(&mut state, Event::Seen(expired()))[0], Effect::Commit(Verdict::Expired(_))));
}

/// I2: a further attempt was asked for once: where it was refused, or its commit's answer was lost
/// and could not be read, the payment waited for its deadline, and others behind its nonce.
#[test]
fn a_further_attempt_is_asked_for_until_there_is_one() {
    let reverted = || Event::Seen(Evidence::Reverted(landing(true)));
    let mut state = State::recorded(1);
    assert!(step(&mut state, reverted()).contains(&Effect::Recheck));
    let mut pauses = Vec::new();
    let mut paused = |effects: &[Effect]| match effects.last() {
        Some(Effect::Wake(ms)) => pauses.push(*ms),
        _ => panic!("{effects:?}"),
    };
    for _ in 0..4 {
        paused(&step(&mut state, Event::Rechecked { still_good: false }));
        assert_eq!(step(&mut state, Event::Due), [Effect::Recheck]);
        assert_eq!(step(&mut state, Event::Rechecked { still_good: true }), [Effect::Dispatch]);
        let effects = step(&mut state, Event::Waiting { retry: true, reason: "fees".into() });
        assert!(matches!(effects[0], Effect::Alert(Alert::Waiting(_))), "{effects:?}");
        paused(&effects);
        assert_eq!(step(&mut state, Event::Due), [Effect::Recheck]);
    }
    assert!(pauses.iter().all(|ms| (WAIT_MS..=AGAIN_MS_MAX).contains(ms)), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&AGAIN_MS_MAX), "it slows down to a bound: {pauses:?}");
    // Found or signed: nothing more is asked for, and it is said once or twice alike.
    for _ in 0..2 {
        assert_eq!(step(&mut state, Event::Recorded { attempts: 2 }), [Effect::Announce]);
    }
    assert_eq!(state.attempts, 2);
    assert_eq!(step(&mut state, Event::Due), []);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: false }), []);
}

/// While its bytes may land nothing is asked for beside them (I10).
#[test]
fn no_further_attempt_is_asked_for_beside_one_that_may_land() {
    let mut state = State::recorded(1);
    assert_eq!(step(&mut state, Event::Due), []);
    assert_eq!(step(&mut state, Event::Rechecked { still_good: false }), []);
    let effects = step(&mut state, Event::Waiting { retry: true, reason: "fees".into() });
    assert!(matches!(effects[..], [Effect::Alert(_)]), "{effects:?}");
}

/// What is found of a claim that was thought unsigned makes it a recorded one.
#[test]
fn what_is_found_of_a_claim_is_known() {
    let mut state = State::claimed();
    step(&mut state, Event::Started);
    step(&mut state, Event::Waiting { retry: true, reason: "no answer".into() });
    assert_eq!(step(&mut state, Event::Recorded { attempts: 1 }), [Effect::Announce]);
    assert_eq!((&state.phase, state.attempts), (&Phase::Recorded, 1));
    assert_eq!(step(&mut state, Event::Due), []);
}
