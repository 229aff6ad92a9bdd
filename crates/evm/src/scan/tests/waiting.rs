//! What waiting costs, at any block rate.

use std::time::Duration;

use quittance_protocol::look_pause_ms;

use super::*;
use crate::config::{LANDING_SECONDS, OTHERS_LOOK_SECONDS};

const MINUTE_MS: u64 = 60_000;

/// Chain and clock go on together.
struct Chain {
    rpc: Arc<FakeRpc>,
    block_ms: u64,
    now_ms: u64,
}

impl Chain {
    fn new(block_ms: u64) -> Self {
        let rpc = FakeRpc::new(10);
        rpc.state().block_ms = block_ms;
        Self { rpc, block_ms, now_ms: 10 * block_ms }
    }

    /// Time passes; finality trails by twenty minutes.
    fn pass(&mut self, ms: u64) {
        let before = self.now_ms / self.block_ms;
        self.now_ms += ms;
        let head = self.now_ms / self.block_ms;
        for _ in before..head {
            self.rpc.mine(vec![]);
        }
        self.rpc.state().finalized = head.checked_sub(20 * MINUTE_MS / self.block_ms);
    }
}

/// How often the node is asked while a payment's authorization runs out and that becomes final.
async fn calls_until_expired(block_ms: u64, pause: impl Fn(u64) -> u64) -> (usize, u64) {
    let mut world = Chain::new(block_ms);
    let chain = connect(&[&world.rpc], |_| {}).await;
    chain.refresh_fees(0).await.unwrap();
    world.rpc.take_calls();
    let began = GENESIS + world.now_ms / 1_000;
    let watched = [attempted(&payment(1, 1, began + 120), 10, 5)];
    let mut cursor = ScanCursor::default();
    let mut waited = 0;
    loop {
        let found = scan(&chain, &watched, &mut cursor).await;
        if let [Evidence::Expired { .. }] = found.as_slice() {
            return (world.rpc.take_calls().len(), waited / 1_000);
        }
        assert!(found.is_empty(), "{found:?}");
        let next = pause(waited);
        world.pass(next);
        waited += next;
        assert!(waited < 30 * MINUTE_MS, "it never ends");
    }
}

/// The clause is about ten times the blocks: what every block cost before is asked for in the chain's
/// seconds now. Before, a chain of 2 s cost a head each 100 ms and a nonce, a log query and a finalized
/// block each 2 s.
#[tokio::test]
async fn twenty_minutes_until_finality_cost_no_more_at_ten_times_the_block_rate() {
    let before = |seconds: u64| usize::try_from(seconds * 10 + seconds / 2 * 3).unwrap();
    for block_ms in [200, 2_000, 12_000] {
        let (calls, seconds) = calls_until_expired(block_ms, |waited| look_pause_ms(waited, 100)).await;
        assert!((22 * 60..=22 * 60 + 30).contains(&seconds), "{block_ms}: after {seconds} s");
        assert!(calls * 3 <= before(seconds), "{block_ms}: {calls} calls, {} before", before(seconds));
    }
    // While others are being sold to, looks stay as frequent; what waits adds nothing per block.
    let every_look = |calls: usize, seconds: u64| calls - usize::try_from(seconds * 10).unwrap();
    let (fast, seconds) = calls_until_expired(200, |_| 100).await;
    let per_block = usize::try_from(LANDING_SECONDS * 5).unwrap();
    assert!(
        every_look(fast, seconds) <= usize::try_from(seconds / OTHERS_LOOK_SECONDS * 5).unwrap() + per_block
    );
}

/// Five blocks within one second of `timestamp`, a landing in each of them.
#[tokio::test]
async fn a_fresh_payment_is_found_in_the_very_block_that_holds_it() {
    let rpc = FakeRpc::new(10);
    rpc.state().block_ms = 200;
    let chain = connect(&[&rpc], |_| {}).await;
    let payments: Vec<EvmPayment> = (1..=10).map(|n| payment(n, n, FAR)).collect();
    let watched: Vec<EvmWatch> = payments
        .iter()
        .zip(0..)
        .map(|(p, id)| EvmWatch { attempt_nonce: Some(id.into()), ..attempted(p, 10, id) })
        .collect();
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    for id in 0..10_u8 {
        rpc.mine(vec![settlement(id, wallet(), &[&payments[usize::from(id)]])]);
        let open = &watched[usize::from(id)..];
        let found = scan(&chain, open, &mut cursor).await;
        assert_eq!(settled(&found), [(hash(id), 11 + u64::from(id), true)]);
    }
}

/// Some chains make blocks only when there is something to put in: nothing is missed because none follows.
#[tokio::test(start_paused = true)]
async fn a_chain_that_stands_still_is_looked_at_to_its_end() {
    let rpc = FakeRpc::new(10);
    rpc.state().block_ms = 200;
    let chain = connect(&[&rpc], |_| {}).await;
    let p = payment(1, 1, FAR);
    let watched = [watch(&p, 10)];
    let mut cursor = ScanCursor::default();
    scan(&chain, &watched, &mut cursor).await;
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    assert!(scan(&chain, &watched, &mut cursor).await.is_empty(), "everything was just looked at");
    tokio::time::advance(Duration::from_secs(OTHERS_LOOK_SECONDS)).await;
    assert_eq!(settled(&scan(&chain, &watched, &mut cursor).await), [(hash(5), 11, false)]);
}

/// Who settles for us says that a payment has landed: it is looked for with each block then, where all
/// that others land is looked for every two seconds. What is named is not what counts.
#[tokio::test]
async fn what_is_named_is_looked_for_with_each_block_and_counts_after_its_claim_only() {
    let rpc = FakeRpc::new(10);
    rpc.state().block_ms = 200;
    let chain = connect(&[&rpc], |_| {}).await;
    let paid = payment(1, 1, FAR);
    let unnamed = watch(&paid, 10);
    let named = |transaction| EvmWatch { named: Some(transaction), ..unnamed.clone() };
    let mut cursor = ScanCursor::default();
    scan(&chain, std::slice::from_ref(&unnamed), &mut cursor).await;
    rpc.mine(vec![settlement(5, Address::repeat_byte(7), &[&paid])]);
    assert!(scan(&chain, std::slice::from_ref(&unnamed), &mut cursor.clone()).await.is_empty());
    for name in [hash(5), hash(99), "no hash".to_owned()] {
        let found = scan(&chain, &[named(name)], &mut cursor.clone()).await;
        assert_eq!(settled(&found), [(hash(5), 11, false)]);
    }
    let late = EvmWatch { from_block: 11, ..named(hash(5)) };
    assert!(scan(&chain, &[late], &mut ScanCursor::default()).await.is_empty(), "it landed before its claim");
}
