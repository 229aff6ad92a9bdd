//! Who can close an upstream, and what opens it.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn circuit() -> (Circuit, Instant) {
    let limits = Limits {
        failures_max: 3,
        closed: 10 * SECOND,
        pause_max: 60 * SECOND,
        look_failures_max: 2,
        look: 5 * SECOND,
    };
    (Circuit::new(limits), Instant::now())
}

/// Payments of as many payers.
fn fail(circuit: &Circuit, payments: &[&str], now: Instant) {
    payments.iter().for_each(|payment| circuit.failed(payment, &format!("payer of {payment}"), now));
}

#[tokio::test]
async fn failures_of_one_payment_are_one() {
    let (circuit, now) = circuit();
    for _ in 0..10 {
        fail(&circuit, &["a", "b"], now);
    }
    assert_eq!(circuit.closed_for(now), None);
    circuit.succeeded();
    fail(&circuit, &["c", "d"], now);
    assert_eq!(circuit.closed_for(now), None, "a success in between");
    fail(&circuit, &["e"], now);
    assert_eq!(circuit.closed_for(now), Some(10));
    assert_eq!(circuit.closed_for(now + 9 * SECOND), Some(1));
    assert_eq!(circuit.closed_for(now + 10 * SECOND), None);
}

/// Whoever found a body that fails shows its credits again and again.
#[tokio::test]
async fn payments_that_closed_it_once_never_close_it_again() {
    let (circuit, now) = circuit();
    fail(&circuit, &["a", "b", "c"], now);
    assert_eq!(circuit.closed_for(now), Some(10));
    for again in 1..20 {
        let later = now + again * 11 * SECOND;
        fail(&circuit, &["c", "b", "a"], later);
        assert_eq!(circuit.closed_for(later), None, "{again}");
        circuit.succeeded();
        fail(&circuit, &["a", "c", "b"], later);
        assert_eq!(circuit.closed_for(later), None, "{again}: after a success");
    }
}

#[tokio::test]
async fn payments_of_one_payer_close_nothing() {
    let (circuit, now) = circuit();
    for payment in 0..100 {
        circuit.failed(&format!("pay_{payment}"), "thief", now);
    }
    assert_eq!(circuit.closed_for(now), None);
    circuit.failed("a", "alice", now);
    assert_eq!(circuit.closed_for(now), None);
    circuit.failed("b", "bob", now);
    assert_eq!(circuit.closed_for(now), Some(10));
}

#[tokio::test]
async fn after_it_opened_it_takes_as_many_new_ones_to_close_it() {
    let (circuit, now) = circuit();
    fail(&circuit, &["a", "b", "c", "under way"], now);
    let later = now + 11 * SECOND;
    assert_eq!(circuit.closed_for(later), None);
    fail(&circuit, &["d", "e"], later);
    assert_eq!(circuit.closed_for(later), None);
    fail(&circuit, &["f"], later);
    assert_eq!(circuit.closed_for(later), Some(10));
    circuit.succeeded();
    assert_eq!(circuit.closed_for(later), None, "a success opens it");
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let (circuit, now) = circuit();
    for payment in 0..2 * COUNTED_MAX {
        circuit.failed(&format!("pay_{payment}"), "thief", now);
    }
    assert_eq!(circuit.state().counted.len(), COUNTED_MAX);
    assert_eq!(circuit.state().failing.len(), 1);
}

/// The first one is a restart, and the next customer is not to meet it.
#[tokio::test]
async fn one_refused_connection_of_a_paid_run_closes_it_until_one_is_taken() {
    let (circuit, now) = circuit();
    circuit.refused_at_once(now);
    assert_eq!(circuit.closed_for(now), Some(10));
    assert!(circuit.is_closed_by_refusal(now));
    circuit.taken();
    assert_eq!(circuit.closed_for(now), None);
    circuit.refused_at_once(now);
    circuit.succeeded();
    assert_eq!(circuit.closed_for(now), None);
}

#[tokio::test]
async fn a_connection_that_is_taken_opens_what_refused_ones_closed() {
    let (circuit, now) = circuit();
    for _ in 0..3 {
        assert_eq!(circuit.closed_for(now), None);
        circuit.refused(now);
    }
    assert!(circuit.closed_for(now).is_some());
    circuit.taken();
    assert_eq!(circuit.closed_for(now), None);
    fail(&circuit, &["a", "b", "c"], now);
    circuit.refused_at_once(now);
    circuit.taken();
    assert!(circuit.closed_for(now).is_some(), "not what failed runs closed");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept_and_bounded() {
    let (circuit, now) = circuit();
    circuit.asked_to_pause("a", 30, now);
    circuit.asked_to_pause("b", 2, now);
    circuit.succeeded();
    circuit.taken();
    assert_eq!(circuit.closed_for(now), Some(30), "a run that was under way ends no pause");
    assert_eq!(circuit.closed_for(now + 30 * SECOND), None);
    circuit.asked_to_pause("c", u64::MAX, now);
    assert_eq!(circuit.closed_for(now), Some(60));
    let later = now + 61 * SECOND;
    fail(&circuit, &["c"], now);
    circuit.asked_to_pause("c", 9, later);
    assert_eq!(circuit.closed_for(later), None, "one payment, one pause");
}

#[tokio::test]
async fn looks_close_and_open_it_whatever_runs_do() {
    let (circuit, now) = circuit();
    circuit.looked(false);
    assert_eq!(circuit.closed_for(now), None);
    circuit.looked(false);
    circuit.succeeded();
    assert_eq!(circuit.closed_for(now), Some(5));
    circuit.looked(true);
    assert_eq!(circuit.closed_for(now), None);
    fail(&circuit, &["a", "b", "c"], now);
    circuit.looked(true);
    assert!(circuit.closed_for(now).is_some(), "health says nothing of runs");
    circuit.looked_first(false);
    circuit.succeeded();
    assert_eq!(circuit.closed_for(now), Some(5));
}
