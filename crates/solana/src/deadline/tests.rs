use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::testing::{FakeRpc, account, chain, official, payload, transaction};

/// The payer's blockhash in the crate's tests, and others by number.
fn payers() -> Hash {
    Hash::new_from_array([7; 32])
}

fn hash(number: u8) -> Hash {
    Hash::new_from_array([number; 32])
}

fn newest(hash: Hash, last_valid: u64, slot: u64) -> Value {
    json!({
        "context": {"slot": slot},
        "value": {"blockhash": hash.to_string(), "lastValidBlockHeight": last_valid},
    })
}

/// The account of recent blockhashes, the newest first.
fn recent(hashes: &[Hash]) -> Value {
    let mut data = u64::try_from(hashes.len()).unwrap().to_le_bytes().to_vec();
    for hash in hashes {
        data.extend(hash.to_bytes());
        data.extend(5_000_u64.to_le_bytes());
    }
    account(&Pubkey::from_str_const("Sysvar1111111111111111111111111111111111111"), &data)
}

fn view(slot: u64) -> SolanaView {
    SolanaView { endpoint: 0, slot, units_consumed: 0, balance: None }
}

fn payment(chain: &SolanaChain) -> SolanaPayment {
    chain.check_local(&payload(&transaction(&official()))).unwrap()
}

/// A list with the payer's blockhash at this age, between others.
fn aged(age: u8) -> Vec<Hash> {
    let mut list: Vec<Hash> = (100..=100 + age).map(hash).collect();
    list[usize::from(age)] = payers();
    list.push(hash(99));
    list
}

async fn deadline_at(age: u8) -> (Arc<FakeRpc>, Result<Deadline, SolanaError>) {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getLatestBlockhash", Ok(newest(hash(100), 1_150, 2_000)));
    node.set("getAccountInfo", Ok(recent(&aged(age))));
    let found = chain.deadline(&payment(&chain), &view(2_000)).await;
    (node, found)
}

/// I5: never below what the runtime accepts, which is one block above what nodes name.
#[tokio::test]
async fn i5_p3_the_deadline_is_that_of_the_payers_own_blockhash() {
    for age in [1, 30, 140] {
        let (_, found) = deadline_at(age).await;
        assert_eq!(found, Ok(Deadline::BlockHeight(1_151 - u64::from(age))), "{age} blocks old");
    }
}

/// P3: it could not land any more, and would hold its cost until its end is final.
#[tokio::test]
async fn p3_a_blockhash_that_is_about_to_end_is_refused() {
    for (age, left) in [(141, 9), (150, 0), (155, 0)] {
        let (_, found) = deadline_at(age).await;
        assert_eq!(found, Err(SolanaError::BlockhashEnding { left }), "{age} blocks old");
    }
}

/// What a background read saw, and what one list said, costs later payments no call.
#[tokio::test]
async fn a_blockhash_that_was_seen_is_asked_for_no_more() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getLatestBlockhash", Ok(newest(payers(), 1_150, 2_000)));
    assert_eq!(chain.latest_blockhash().await, Ok((payers().to_string(), 1_150)));
    node.take_calls();
    assert_eq!(chain.deadline(&payment(&chain), &view(2_100)).await, Ok(Deadline::BlockHeight(1_151)));
    // A blockhash ages by slots while nothing newer is read.
    let ending = chain.deadline(&payment(&chain), &view(2_141)).await;
    assert_eq!(ending, Err(SolanaError::BlockhashEnding { left: 9 }));
    assert!(node.take_calls().is_empty());
}

#[tokio::test]
async fn the_newest_blockhash_needs_no_list() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getLatestBlockhash", Ok(newest(payers(), 1_150, 2_000)));
    assert_eq!(chain.deadline(&payment(&chain), &view(77)).await, Ok(Deadline::BlockHeight(1_151)));
    assert_eq!(node.take_calls(), ["getLatestBlockhash"]);
}

/// I5: whoever does not say how old a blockhash is bounds it by the newest one.
#[tokio::test]
async fn i5_without_a_list_the_newest_blockhash_is_the_bound() {
    let bound = Ok(Deadline::BlockHeight(1_151));
    let unknown: Vec<Hash> = (1..=6).map(hash).collect();
    let without_payers: Vec<Hash> = (100..130).map(hash).collect();
    let cut = json!({"value": {"owner": "x", "data": ["/////////38=", "base64"]}});
    for (name, list) in [
        ("no answer", Err(RpcFailure::Timeout)),
        ("no such account", Ok(json!({"value": null}))),
        ("a length that is not there", Ok(cut)),
        ("no known blockhash in it", Ok(recent(&unknown))),
        ("the payer's is not in it", Ok(recent(&without_payers))),
    ] {
        let node = FakeRpc::new();
        let chain = chain(&[&node]).await;
        node.set("getLatestBlockhash", Ok(newest(hash(100), 1_150, 2_000)));
        node.set("getAccountInfo", list);
        assert_eq!(chain.deadline(&payment(&chain), &view(2_000)).await, bound, "{name}");
    }
}

/// I5: a list that contradicts what the endpoint said before proves nothing.
#[tokio::test]
async fn i5_a_list_with_two_distances_is_not_believed() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getLatestBlockhash", Ok(newest(hash(101), 1_149, 1_999)));
    chain.latest_blockhash().await.unwrap();
    node.set("getLatestBlockhash", Ok(newest(hash(100), 1_150, 2_000)));
    let gap = [hash(100), hash(60), hash(61), hash(101), payers()];
    node.set("getAccountInfo", Ok(recent(&gap)));
    assert_eq!(chain.deadline(&payment(&chain), &view(2_000)).await, Ok(Deadline::BlockHeight(1_151)));
}

/// I7: the endpoint that accepted the blockhash is the one that bounds it.
#[tokio::test]
async fn i7_what_another_endpoint_said_of_a_blockhash_is_not_used() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let chain = chain(&[&first, &second]).await;
    first.set("getLatestBlockhash", Ok(newest(payers(), 200, 300)));
    chain.latest_blockhash().await.unwrap();
    second.set("getLatestBlockhash", Ok(newest(payers(), 1_150, 2_000)));
    let accepted = SolanaView { endpoint: 1, ..view(2_000) };
    assert_eq!(chain.deadline(&payment(&chain), &accepted).await, Ok(Deadline::BlockHeight(1_151)));
}

/// One answer of a balancer's node that counts otherwise must not close the network: whoever
/// pays over a fresh blockhash would be told to sign again, for ever.
#[tokio::test]
async fn one_height_that_is_wrong_is_forgotten_with_the_next_answer() {
    for wrong in [30_001_150, 1_150 + 500, 600, 3] {
        let node = FakeRpc::new();
        let chain = chain(&[&node]).await;
        node.set("getLatestBlockhash", Ok(newest(hash(50), 1_140, 1_990)));
        chain.latest_blockhash().await.unwrap();
        node.set("getLatestBlockhash", Ok(newest(hash(51), wrong, 1_995)));
        assert!(chain.latest_blockhash().await.is_err(), "{wrong}");
        node.set("getLatestBlockhash", Ok(newest(payers(), 1_150, 2_000)));
        let found = chain.deadline(&payment(&chain), &view(2_000)).await;
        assert_eq!(found, Ok(Deadline::BlockHeight(1_151)), "{wrong}");
    }
}

/// The same where it was the first thing that the endpoint ever said, and could be so.
#[tokio::test]
async fn a_first_height_that_is_wrong_ends_with_what_contradicts_it() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getLatestBlockhash", Ok(newest(hash(51), 1_900, 1_995)));
    chain.latest_blockhash().await.unwrap();
    node.set("getLatestBlockhash", Ok(newest(payers(), 1_150, 2_000)));
    assert!(chain.latest_blockhash().await.is_err());
    chain.latest_blockhash().await.unwrap();
    assert_eq!(chain.deadline(&payment(&chain), &view(2_000)).await, Ok(Deadline::BlockHeight(1_151)));
}

/// A chain that began anew counts from the start: what was known of the old one says that a
/// blockhash is older than any can be that was just used.
#[tokio::test]
async fn a_chain_that_began_anew_is_sold_on() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    node.set("getLatestBlockhash", Ok(newest(hash(50), 9_150, 10_000)));
    chain.latest_blockhash().await.unwrap();
    node.set("getLatestBlockhash", Ok(newest(payers(), 155, 5)));
    node.set("getAccountInfo", Err(RpcFailure::Timeout));
    for _ in 0..3 {
        if let Ok(found) = chain.deadline(&payment(&chain), &view(5)).await {
            assert_eq!(found, Deadline::BlockHeight(156));
            return;
        }
    }
    panic!("refused three times");
}
