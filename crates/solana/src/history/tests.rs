use std::sync::Arc;

use quittance_protocol::{Secret, Standing};
use solana_sdk::signature::Signer as _;

use super::memory::NO_HISTORY_LOOKS;
use super::*;
use crate::SolanaLanded;
use crate::height_gate::HEIGHT_READ_INTERVAL_MS;
use crate::testing::{
    FakeRpc, WITNESS, chain, epoch, landed_answer, nowhere, official, payload, status, third, transaction,
    wallet,
};

/// A payment that was claimed at slot 780 and landed at slot 800.
async fn fixture(nodes: &[&Arc<FakeRpc>]) -> (SolanaChain, SolanaWatch, Value) {
    let chain = chain(nodes).await;
    let payment = chain.check_local(&payload(&transaction(&official()))).unwrap();
    let signed = chain.co_sign(&payment, u64::MAX).unwrap();
    let watch = SolanaWatch {
        key: payment.key(),
        payment,
        transaction: Some(signed.transaction),
        named: None,
        deadline: Deadline::BlockHeight(500),
        from_slot: 780,
    };
    (chain, watch, landed_answer(&signed.raw, Value::Null))
}

fn at_slot(mut answer: Value, slot: u64) -> Value {
    answer["context"]["slot"] = json!(slot);
    answer
}

/// A validator: at `slot` it shows a status from its cache to nobody any more, and
/// from its history.
fn forgot(node: &FakeRpc, slot: u64, landed: &Value) {
    node.set_statuses(at_slot(nowhere(), slot), at_slot(status("finalized", Value::Null), slot));
    node.set("getTransaction", Ok(landed.clone()));
    node.set("getEpochInfo", Ok(epoch(slot - 100)));
}

fn settled(found: &[(PaymentKey, Evidence)]) -> bool {
    matches!(found, [(_, Evidence::Settled(landing))] if landing.block == 800)
}

fn expired(found: &[(PaymentKey, Evidence)]) -> bool {
    matches!(found, [(_, Evidence::Expired { .. })])
}

/// The money moved, nobody looked for two minutes, and the payment stayed open for ever.
#[tokio::test]
async fn p2_what_landed_while_nobody_looked_is_found_in_the_history() {
    let node = FakeRpc::new();
    let (chain, watch, landed) = fixture(&[&node]).await;
    forgot(&node, 10_000, &landed);
    assert!(settled(&chain.scan(&[watch], 0).await.unwrap()));
}

/// The height at which a payment ends is one node's word; were it too low, what lands a
/// moment later would be called expired, and its payer told to pay again (P2, I5, I7).
#[tokio::test]
async fn p2_i7_nothing_expires_while_a_node_still_takes_its_blockhash() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let (chain, watch, _) = fixture(&[&first, &second]).await;
    let validity = |valid: bool| Ok(json!({"context": {"slot": 1_000}, "value": valid}));
    for node in [&first, &second] {
        node.answer_nowhere_at(1_000);
        node.set("getEpochInfo", Ok(epoch(900)));
    }
    for (one, other, over) in
        [(true, false, false), (false, true, false), (true, true, false), (false, false, true)]
    {
        first.set("isBlockhashValid", validity(one));
        second.set("isBlockhashValid", validity(other));
        let found = chain.look_back(0, &[&watch], Scope::All).await.found;
        assert_eq!(expired(&found), over, "{one} and {other}");
    }
    // The claim's slot, not the finalized one: a node that names a finalized slot above its
    // confirmed bank would never answer, and what never landed would stay open for ever.
    assert_eq!(first.last_params("isBlockhashValid")[1]["minContextSlot"], json!(780));
    // Who lags says nothing yet, however high the height.
    for node in [&first, &second] {
        node.set("getEpochInfo", Ok(epoch(5_000)));
        node.answer_nowhere_at(6_000);
        let behind = RpcFailure::Node { code: -32_016, message: "behind".to_owned() };
        node.set("isBlockhashValid", Err(behind));
    }
    assert!(chain.look_back(0, &[&watch], Scope::All).await.found.is_empty());
    // Nobody says: it ends no earlier than what was the newest blockhash then.
    for node in [&first, &second] {
        node.set("isBlockhashValid", Err(RpcFailure::Http { status: 403 }));
    }
    for (height, over) in [(501, false), (650, false), (651, true)] {
        for node in [&first, &second] {
            node.set("getEpochInfo", Ok(epoch(height)));
        }
        assert_eq!(expired(&chain.look_back(0, &[&watch], Scope::All).await.found), over, "{height}");
    }
}

/// Long before its deadline: the deadline is only an upper bound.
#[tokio::test]
async fn p2_a_landing_older_than_the_cache_is_found_before_its_deadline() {
    let node = FakeRpc::new();
    let (chain, mut watch, landed) = fixture(&[&node]).await;
    watch.deadline = Deadline::BlockHeight(1_000_000);
    forgot(&node, 780 + STATUS_CACHE_SLOTS + 1, &landed);
    assert!(settled(&chain.scan(&[watch], 0).await.unwrap()));
}

/// The cheap call first: a history search costs a provider's units.
#[tokio::test]
async fn a_young_payment_costs_no_history_search() {
    let node = FakeRpc::new();
    let (chain, mut watch, landed) = fixture(&[&node]).await;
    watch.deadline = Deadline::BlockHeight(1_000_000);
    forgot(&node, 780 + STATUS_CACHE_SLOTS, &landed);
    assert!(chain.scan(&[watch], 0).await.unwrap().is_empty());
    assert_eq!(node.take_calls(), ["getSignatureStatuses", "getEpochInfo"]);
}

#[tokio::test]
async fn i5_an_endpoint_without_a_history_proves_no_expiry() {
    let refused = RpcFailure::Node { code: -32011, message: "Transaction history is not available".into() };
    for answer in [Ok(nowhere()), Err(refused), Err(RpcFailure::Http { status: 403 })] {
        let node = FakeRpc::new();
        let (chain, watch, _) = fixture(&[&node]).await;
        node.forget_history();
        node.set("getEpochInfo", Ok(epoch(10_000)));
        node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
        node.set_history(answer.map(|answer| at_slot(answer, 20_000)));
        assert_eq!(chain.scan(&[watch], 0).await, Ok(vec![]));
    }
}

/// "Try again" is no word about what an endpoint keeps: called one without a history, it would count for
/// less than it knows, and somebody would be woken.
#[tokio::test]
async fn who_cannot_say_for_the_moment_is_not_called_one_without_a_history() {
    let moments = FOR_THE_MOMENT.map(|code| (RpcFailure::Node { code, message: "try again".into() }, false));
    let limited = RpcFailure::Limited { words: "429: Too many requests for a specific RPC call".into() };
    let lacking = RpcFailure::Node { code: -32011, message: "Transaction history is not available".into() };
    for (failure, is_without) in moments.into_iter().chain([(limited, false), (lacking, true)]) {
        let node = FakeRpc::new();
        let (chain, watch, _) = fixture(&[&node]).await;
        node.set("getEpochInfo", Ok(epoch(10_000)));
        node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
        node.set_history(Err(failure.clone()));
        let watched = std::slice::from_ref(&watch);
        for look in 1..=8 {
            let found = chain.scan(watched, look * HEIGHT_READ_INTERVAL_MS).await.unwrap();
            assert!(found.is_empty(), "{failure}: {found:?}");
        }
        assert_eq!(chain.keeps_no_history(), is_without, "{failure}");
    }
}

/// It may forget our own wallet too, or never have known it.
#[tokio::test]
async fn i5_without_a_witness_the_blocks_since_the_claim_must_be_there() {
    let node = FakeRpc::new();
    let (chain, watch, _) = fixture(&[&node]).await;
    node.set("getEpochInfo", Ok(epoch(10_000)));
    node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
    node.set("getSignaturesForAddress", Err(RpcFailure::Http { status: 403 }));
    let watched = std::slice::from_ref(&watch);
    let mut now_ms = 0;
    let mut scan = async || {
        now_ms += HEIGHT_READ_INTERVAL_MS;
        chain.scan(watched, now_ms).await.unwrap()
    };
    assert!(scan().await.is_empty(), "the method is refused");
    node.set("getSignaturesForAddress", Ok(json!([])));
    assert!(scan().await.is_empty(), "nothing is known of its blocks");
    node.set("getFirstAvailableBlock", Ok(json!(781)));
    assert!(scan().await.is_empty(), "its blocks begin after the claim");
    node.set("getFirstAvailableBlock", Ok(json!(780)));
    assert!(expired(&scan().await));
}

/// A new wallet that never did anything spoke for the old one, of which the node did not answer:
/// then what was absent from a history that nothing vouched for was expired.
#[tokio::test]
async fn i5_a_new_wallet_without_transactions_is_no_witness_for_one_that_was_not_answered_about() {
    let node = FakeRpc::new();
    let (chain, watch, _) = fixture(&[&node]).await;
    let chain = chain.with_wallets(&[Secret::new(third().to_base58_string())], &[]).unwrap();
    node.set("getEpochInfo", Ok(epoch(10_000)));
    node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
    node.set("getFirstAvailableBlock", Ok(json!(780)));
    node.set_listed(&wallet().pubkey(), Err(RpcFailure::Timeout));
    node.set_listed(&third().pubkey(), Ok(json!([])));
    let watched = std::slice::from_ref(&watch);
    assert!(chain.scan(watched, 0).await.unwrap().is_empty(), "nobody said that the old one did nothing");
    node.set_listed(&wallet().pubkey(), Ok(json!([])));
    assert!(expired(&chain.scan(watched, HEIGHT_READ_INTERVAL_MS).await.unwrap()));
}

#[tokio::test]
async fn p2_another_endpoint_is_asked_where_the_first_keeps_no_history() {
    for silent in [false, true] {
        let (first, second) = (FakeRpc::new(), FakeRpc::new());
        let (chain, watch, landed) = fixture(&[&first, &second]).await;
        forgot(&second, 10_000, &landed);
        first.set("getEpochInfo", Ok(epoch(9_900)));
        first.set("getSignatureStatuses", Ok(at_slot(nowhere(), 10_000)));
        first.set("getTransaction", Ok(Value::Null));
        first.forget_history();
        if !silent {
            first.set_history(Err(RpcFailure::Http { status: 403 }));
        }
        assert!(settled(&chain.scan(&[watch], 0).await.unwrap()), "silent: {silent}");
    }
}

/// Two endpoints, one of which keeps no history: what never landed stayed pending for ever.
#[tokio::test]
async fn i5_what_never_landed_ends_where_only_one_of_two_endpoints_keeps_a_history() {
    for (forgetful, refuses) in [(0, false), (0, true), (1, false), (1, true)] {
        let nodes = [FakeRpc::new(), FakeRpc::new()];
        let (chain, watch, _) = fixture(&[&nodes[0], &nodes[1]]).await;
        for (at, node) in nodes.iter().enumerate() {
            node.set("getEpochInfo", Ok(epoch(10_000)));
            node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
            if at == forgetful {
                node.forget_history();
            }
            if at == forgetful && refuses {
                node.set_history(Err(RpcFailure::Node { code: -32011, message: "no history".into() }));
            }
        }
        let watched = std::slice::from_ref(&watch);
        for look in 1..NO_HISTORY_LOOKS {
            let now_ms = i64::from(look) * HEIGHT_READ_INTERVAL_MS;
            assert_eq!(chain.scan(watched, now_ms).await, Ok(vec![]), "one look may meet a node that lags");
            assert!(chain.endpoints_without_history().is_empty());
        }
        let last = chain.scan(watched, i64::from(NO_HISTORY_LOOKS) * HEIGHT_READ_INTERVAL_MS).await.unwrap();
        assert!(expired(&last), "{forgetful} {refuses}");
        assert_eq!(chain.endpoints_without_history(), vec![forgetful], "and somebody is told");
    }
}

/// Of three endpoints the second stands still or is away: the third is asked.
#[tokio::test]
async fn i5_an_expiry_needs_any_two_endpoints_and_not_the_first_two() {
    for (heads, over) in [
        ([Some(900), Some(499), Some(900)], true),
        ([Some(900), None, Some(900)], true),
        ([None, Some(900), Some(900)], true),
        ([Some(900), None, Some(499)], false),
    ] {
        let nodes = [FakeRpc::new(), FakeRpc::new(), FakeRpc::new()];
        let (chain, watch, _) = fixture(&[&nodes[0], &nodes[1], &nodes[2]]).await;
        for (node, head) in nodes.iter().zip(heads) {
            node.answer_nowhere_at(2_000);
            node.set("getEpochInfo", head.map(epoch).ok_or(RpcFailure::Timeout));
        }
        let found = chain.look_back(0, &[&watch], Scope::All).await.found;
        assert_eq!(expired(&found), over, "{heads:?}");
    }
}

/// A blockhash that one endpoint still takes keeps a payment open, whether or not that endpoint
/// keeps a history: it may land there a moment later (P2, I7).
#[tokio::test]
async fn p2_i7_an_endpoint_without_a_history_is_asked_for_the_blockhash_too() {
    let (kept, forgetful) = (FakeRpc::new(), FakeRpc::new());
    let (chain, watch, _) = fixture(&[&kept, &forgetful]).await;
    for node in [&kept, &forgetful] {
        node.set("getEpochInfo", Ok(epoch(900)));
        node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 1_000)));
    }
    forgetful.forget_history();
    let validity = |valid: bool| Ok(json!({"context": {"slot": 1_000}, "value": valid}));
    forgetful.set("isBlockhashValid", validity(true));
    for _ in 0..2 * NO_HISTORY_LOOKS {
        assert!(chain.look_back(0, &[&watch], Scope::All).await.found.is_empty(), "it still takes it");
    }
    forgetful.set("isBlockhashValid", Err(RpcFailure::Timeout));
    assert!(chain.look_back(0, &[&watch], Scope::All).await.found.is_empty(), "it does not say");
    forgetful.set("isBlockhashValid", validity(false));
    assert!(expired(&chain.look_back(0, &[&watch], Scope::All).await.found));
}

/// The only endpoint keeps no history: what never landed stays open, and which endpoint it is for
/// is known after ten seconds; what failed for good ends by the failure that the endpoint shows.
#[tokio::test]
async fn i5_a_lone_endpoint_without_a_history_is_named_and_ends_only_what_it_shows_failed() {
    let refused = || RpcFailure::Node { code: -32011, message: "no history".into() };
    for (how, history, transactions) in [
        ("says nothing of it", None, None),
        ("refuses the search", Some(refused()), None),
        ("lists no transactions", None, Some(RpcFailure::Http { status: 403 })),
    ] {
        let node = FakeRpc::new();
        let (chain, watch, _) = fixture(&[&node]).await;
        node.set("getEpochInfo", Ok(epoch(10_000)));
        node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
        node.forget_history();
        if let Some(failure) = history {
            node.set_history(Err(failure));
        }
        if let Some(failure) = transactions {
            node.set("getSignaturesForAddress", Err(failure));
        }
        let watched = std::slice::from_ref(&watch);
        for look in 1..=NO_HISTORY_LOOKS {
            let now_ms = i64::from(look) * HEIGHT_READ_INTERVAL_MS;
            assert_eq!(chain.scan(watched, now_ms).await, Ok(vec![]), "{how}");
        }
        assert_eq!(chain.endpoints_without_history(), vec![0], "{how}");
        let calls = node.take_calls();
        assert!(!calls.contains(&"isBlockhashValid"), "{how}: no call for what cannot end");
        // Its own block says that the message failed, and was used up by it.
        let failed = at_slot(status("finalized", json!({"InstructionError": [2, {"Custom": 1}]})), 20_000);
        node.set("getSignatureStatuses", Ok(failed.clone()));
        if how != "refuses the search" {
            node.set_history(Ok(failed));
        }
        let found = chain.look_back(0, &[&watch], Scope::All).await.found;
        let expiries = found.iter().filter(|(_, evidence)| matches!(evidence, Evidence::Expired { .. }));
        assert_eq!(expiries.count(), 1, "{how}");
    }
}

/// Its silence is no word against what it shows, and one that is away says nothing (I7).
#[tokio::test]
async fn i7_an_endpoint_without_a_history_is_no_witness_while_it_is_away_behind_or_shows_a_landing() {
    let (kept, forgetful) = (FakeRpc::new(), FakeRpc::new());
    let (chain, watch, _) = fixture(&[&kept, &forgetful]).await;
    let watched = std::slice::from_ref(&watch);
    let mut now_ms = 0;
    let mut scan = async || {
        now_ms += HEIGHT_READ_INTERVAL_MS;
        chain.scan(watched, now_ms).await.unwrap()
    };
    for node in [&kept, &forgetful] {
        node.set("getEpochInfo", Ok(epoch(10_000)));
        node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
    }
    forgetful.forget_history();
    forgetful.set("getEpochInfo", Ok(epoch(499)));
    for _ in 0..2 * NO_HISTORY_LOOKS {
        assert!(scan().await.is_empty(), "it has not passed the deadline");
    }
    forgetful.set("getEpochInfo", Ok(epoch(10_000)));
    forgetful.set_history(Err(RpcFailure::Timeout));
    for _ in 0..2 * NO_HISTORY_LOOKS {
        assert!(scan().await.is_empty(), "it is away");
    }
    forgetful.set_history(Ok(at_slot(status("finalized", Value::Null), 20_000)));
    for _ in 0..2 * NO_HISTORY_LOOKS {
        assert!(scan().await.is_empty(), "it shows a landing");
    }
    forgetful.set_history(Ok(at_slot(nowhere(), 20_000)));
    let mut looks = 0;
    while !expired(&scan().await) {
        looks += 1;
        assert!(looks < 2 * NO_HISTORY_LOOKS);
    }
}

/// One endpoint calls it gone, the other shows it: no expiry, and the landing counts.
#[tokio::test]
async fn i7_a_landing_in_the_second_history_beats_nothing_in_the_first() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let (chain, watch, landed) = fixture(&[&first, &second]).await;
    forgot(&second, 10_000, &landed);
    first.set("getEpochInfo", Ok(epoch(9_900)));
    first.set("getSignatureStatuses", Ok(at_slot(nowhere(), 10_000)));
    first.set("getTransaction", Ok(Value::Null));
    assert!(settled(&chain.scan(&[watch], 0).await.unwrap()));
}

#[tokio::test]
async fn i7_the_second_opinion_on_a_landing_comes_from_the_history_too() {
    let (first, second) = (FakeRpc::new(), FakeRpc::new());
    let (mut chain, watch, landed) = fixture(&[&first, &second]).await;
    chain.second_opinion_value = 1;
    forgot(&first, 10_000, &landed);
    forgot(&second, 10_000, &landed);
    assert!(settled(&chain.scan(&[watch], 0).await.unwrap()));
}

/// A landing that is final is neither missing nor lost because an endpoint forgot it.
#[tokio::test]
async fn i6_a_forgetful_endpoint_books_no_loss() {
    let node = FakeRpc::new();
    let (chain, watch, _) = fixture(&[&node]).await;
    let landing = quittance_protocol::Landing {
        transaction: watch.id().to_owned(),
        block: 800,
        block_hash: String::new(),
        block_time: 0,
        cost_native: 10_001,
        paid_by_us: true,
        log_index: None,
    };
    let landed = SolanaLanded { key: watch.key, payment: watch.payment, landing, deadline: watch.deadline };
    let landed = std::slice::from_ref(&landed);
    node.set("getEpochInfo", Ok(epoch(10_000)));
    node.set("getSignatureStatuses", Ok(at_slot(nowhere(), 20_000)));
    node.forget_history();
    assert_eq!(chain.standing(landed).await, Ok(vec![]), "nobody can say");
    node.remember_history();
    assert!(matches!(&chain.standing(landed).await.unwrap()[..], [(_, Standing::Lost(_))]));
}

/// 256 a call, the witness among them.
#[tokio::test]
async fn a_search_for_many_keeps_its_calls_small() {
    let node = FakeRpc::new();
    let (chain, watch, _) = fixture(&[&node]).await;
    let watched = vec![watch; 600];
    node.set("getEpochInfo", Ok(epoch(10_000)));
    node.answer_nowhere_at(20_000);
    assert_eq!(chain.scan(&watched, 0).await.unwrap().len(), 600);
    for params in node.all_params("getSignatureStatuses") {
        let asked = params[0].as_array().unwrap();
        assert!(asked.len() <= crate::STATUSES_PER_CALL);
        assert_eq!(
            params[1]["searchTransactionHistory"] == json!(true),
            asked.last() == Some(&json!(WITNESS))
        );
    }
}
