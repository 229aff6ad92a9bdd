//! The shares, without a chain.

use super::*;

fn config() -> CallersConfig {
    CallersConfig { checks_in_flight_max: 4, waiting_max: 24, ..CallersConfig::default() }
}

#[test]
fn places_to_wait_in_are_strangers_to_fill_and_nobody_elses() {
    let strangers = Strangers::new(&config());
    strangers.settled("customer");
    let held: Vec<_> = (0..6).map(|_| strangers.waiting(Some("stranger")).unwrap()).collect();
    assert!(strangers.waiting(Some("stranger")).is_none());
    assert!(strangers.waiting(Some("customer")).is_some());
    drop(held);
    assert!(strangers.waiting(Some("stranger")).is_some());
}

#[tokio::test]
async fn reads_of_strangers_leave_connections_to_what_settles() {
    let strangers = Strangers::new(&config());
    strangers.settled("customer");
    let mut held = Vec::new();
    for _ in 0..READS_MAX {
        held.push(strangers.reading(Some("stranger")).await.unwrap());
    }
    let waits = tokio::time::timeout(Duration::from_millis(1), strangers.reading(Some("stranger")));
    assert!(waits.await.is_err());
    assert!(strangers.reading(Some("customer")).await.is_none(), "needs no place");
}
