use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::testing::{FakeRpc, chain, epoch, nowhere, official, payload, status, transaction};

async fn fixture(endpoints: &[&Arc<FakeRpc>]) -> (SolanaChain, SolanaLanded) {
    let chain = chain(endpoints).await;
    let payment = chain.check_local(&payload(&transaction(&official()))).unwrap();
    let signed = chain.co_sign(&payment, u64::MAX).unwrap();
    let landing = Landing {
        transaction: signed.transaction,
        block: 800,
        block_hash: String::new(),
        block_time: 0,
        cost_native: 10_001,
        paid_by_us: true,
        log_index: None,
    };
    let landed = SolanaLanded { key: payment.key(), payment, landing, deadline: Deadline::BlockHeight(500) };
    (chain, landed)
}

#[tokio::test]
async fn i6_standings_are_told_apart() {
    let node = FakeRpc::new();
    let (chain, landed) = fixture(&[&node]).await;
    let landing = landed.landing.clone();
    let lost = Standing::Lost(Evidence::Expired { block: 601, clock: 501 });
    for (answer, height, expected) in [
        (status("finalized", Value::Null), 0, Standing::Finalized(landing.clone())),
        (status("confirmed", Value::Null), 501, Standing::Landed(landing)),
        (status("processed", Value::Null), 501, Standing::Missing),
        (nowhere(), 500, Standing::Missing),
        (nowhere(), 501, lost.clone()),
        // Executed again on another fork, and failed there.
        (status("confirmed", json!("failed")), 501, Standing::Missing),
        (status("finalized", json!("failed")), 501, lost),
    ] {
        node.set("getSignatureStatuses", Ok(answer.clone()));
        node.set("getEpochInfo", Ok(epoch(height)));
        let found = chain.standing(std::slice::from_ref(&landed)).await.unwrap();
        assert_eq!(found, [(landed.key, expected)], "{answer} at {height}");
    }
}

#[tokio::test]
async fn i7_a_loss_needs_two_endpoints_that_agree() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let (chain, landed) = fixture(&[&first, &second]).await;
    for node in [&first, &second] {
        node.set("getEpochInfo", Ok(epoch(501)));
        node.set("getSignatureStatuses", Ok(nowhere()));
    }
    second.set("getSignatureStatuses", Ok(status("finalized", Value::Null)));
    let landed = std::slice::from_ref(&landed);
    assert_eq!(chain.standing(landed).await, Ok(vec![]), "the second shows it");
    second.set("getSignatureStatuses", Ok(nowhere()));
    assert!(matches!(&chain.standing(landed).await.unwrap()[..], [(_, Standing::Lost(_))]));
}

#[tokio::test]
async fn heights_come_from_one_endpoint() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let (chain, _) = fixture(&[&first, &second]).await;
    first.set("getSlot", Ok(json!(950)));
    second.set("getSlot", Ok(json!(940)));
    second.set("getEpochInfo", Ok(epoch(810)));
    assert_eq!(chain.heights().await.unwrap(), Heights { latest: 940, finalized: 910 });
}
