use std::sync::Arc;

use solana_sdk::instruction::Instruction;
use solana_sdk::signature::Signer as _;

use super::*;
use crate::testing::{
    FakeRpc, chain, epoch, landed_answer, official, payload, status, transaction, wallet, with_creation,
};
use crate::{HEIGHT_READ_INTERVAL_MS, SolanaPayment};

/// A chain that looks only, and what our wallet would have made of a payment in somebody else's hand.
struct Theirs {
    node: Arc<FakeRpc>,
    chain: SolanaChain,
    watch: SolanaWatch,
    transaction: String,
    landed: Value,
}

fn signed(chain: &SolanaChain, instructions: &[Instruction]) -> (SolanaPayment, String, Value) {
    let payment = chain.check_local(&payload(&transaction(instructions))).unwrap();
    let signed = chain.co_sign(&payment, u64::MAX).unwrap();
    (payment, signed.transaction, landed_answer(&signed.raw, Value::Null))
}

async fn theirs() -> Theirs {
    let node = FakeRpc::new();
    let mut chain = chain(&[&node]).await;
    chain.elsewhere = Some(vec![wallet().pubkey().to_string()]);
    let (payment, transaction, landed) = signed(&chain, &official());
    let watch = SolanaWatch {
        key: payment.key(),
        payment,
        transaction: None,
        named: None,
        deadline: Deadline::BlockHeight(700),
        from_slot: 780,
    };
    node.set("getEpochInfo", Ok(epoch(400)));
    node.set("getFirstAvailableBlock", Ok(json!(0)));
    node.set("isBlockhashValid", Ok(json!({"context": {"slot": 1_000}, "value": false})));
    Theirs { node, chain, watch, transaction, landed }
}

impl Theirs {
    /// What comes out of the next look.
    async fn look(&self, turn: i64) -> Vec<Evidence> {
        let now_ms = turn * HEIGHT_READ_INTERVAL_MS * 2;
        let found = self.chain.scan(std::slice::from_ref(&self.watch), now_ms).await.unwrap();
        found.into_iter().map(|(_, evidence)| evidence).collect()
    }

    fn lists(&self, signatures: &[(&str, u64)]) {
        let entry =
            |(signature, slot): &(&str, u64)| json!({"signature": signature, "slot": slot, "err": null});
        self.node.set("getSignaturesForAddress", Ok(signatures.iter().map(entry).collect()));
    }
}

#[tokio::test]
async fn i4_what_is_named_counts_where_the_very_message_stands() {
    let mut them = theirs().await;
    let (_, other, other_landed) = signed(&them.chain, &with_creation());
    them.node.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    them.node.set("getTransaction", Ok(other_landed));
    them.watch.named = Some(other);
    assert_eq!(them.look(1).await, [], "it paid for something else");
    them.node.take_calls();
    assert_eq!(them.look(1).await, []);
    assert!(!them.node.take_calls().contains(&"getTransaction"), "it is read once");
    them.node.set("getTransaction", Ok(them.landed.clone()));
    them.watch.named = Some(them.transaction.clone());
    let found = them.look(1).await;
    assert!(
        matches!(&found[..], [Evidence::Settled(landing)] if landing.block == 800 && !landing.paid_by_us)
    );
}

/// Before the claim it bought something else, if anything.
#[tokio::test]
async fn i4_what_is_named_and_landed_before_the_claim_is_no_grant() {
    let mut them = theirs().await;
    them.watch.from_slot = 801;
    them.watch.named = Some(them.transaction.clone());
    them.node.set("getTransaction", Ok(them.landed.clone()));
    them.node.set("getSignatureStatuses", Ok(status("confirmed", Value::Null)));
    assert_eq!(them.look(1).await, [], "not final");
    them.node.set("getSignatureStatuses", Ok(status("finalized", Value::Null)));
    assert!(matches!(&them.look(1).await[..], [Evidence::Earlier(_)]));
}

#[tokio::test]
async fn names_that_are_none_and_failures_end_nothing() {
    let mut them = theirs().await;
    them.node.set("getEpochInfo", Ok(epoch(900)));
    them.node.set("getSignaturesForAddress", Ok(json!("no list")));
    for (named, err) in [
        ("0xab".to_owned(), Value::Null),
        ("1".repeat(4_000), Value::Null),
        (them.transaction.clone(), json!("failed")),
    ] {
        them.watch.named = Some(named);
        them.node.set("getSignatureStatuses", Ok(status("finalized", err)));
        assert_eq!(them.look(1).await, []);
    }
}

/// Nobody told us a signature, and the money may have moved all the same.
#[tokio::test]
async fn i5_nothing_expires_before_the_payer_s_transactions_were_all_read() {
    let them = theirs().await;
    them.lists(&[]);
    assert_eq!(them.look(1).await, [], "it may land still");
    them.node.set("getEpochInfo", Ok(epoch(900)));
    // What is listed and not shown may be the one.
    them.lists(&[(&them.transaction, 800)]);
    them.node.set("getTransaction", Ok(Value::Null));
    assert_eq!(them.look(2).await, []);
    // A node that does not reach back, or gives no list.
    them.node.set("getFirstAvailableBlock", Ok(json!(781)));
    them.lists(&[]);
    assert_eq!(them.look(3).await, []);
    them.node.set("getFirstAvailableBlock", Ok(json!(0)));
    them.node.set("getSignaturesForAddress", Err(RpcFailure::Http { status: 403 }));
    assert_eq!(them.look(4).await, []);
    // Its blockhash is still good somewhere.
    them.lists(&[]);
    them.node.set("isBlockhashValid", Ok(json!({"context": {"slot": 1_000}, "value": true})));
    assert_eq!(them.look(5).await, []);
    them.node.set("isBlockhashValid", Ok(json!({"context": {"slot": 1_000}, "value": false})));
    assert!(matches!(them.look(6).await[..], [Evidence::Expired { .. }]));
    assert_eq!(them.node.last_params("getSignaturesForAddress")[1]["minContextSlot"], json!(800));
    // The last block it could be in is two hundred below the finalized one.
    let watch = SolanaWatch { from_slot: 0, ..them.watch.clone() };
    assert_eq!(last_slot(&watch, FinalizedHeight { slot: 1_000, height: 900 }), 800);
}

#[tokio::test]
async fn p2_what_landed_and_was_never_named_is_found_among_the_payer_s_transactions() {
    let them = theirs().await;
    them.node.set("getEpochInfo", Ok(epoch(900)));
    them.lists(&[(&them.transaction, 800), ("older", 700)]);
    them.node.set("getTransaction", Ok(them.landed.clone()));
    let found = them.look(1).await;
    assert!(
        matches!(&found[..], [Evidence::Settled(landing)] if landing.transaction == them.transaction && !landing.paid_by_us)
    );
}

/// A transaction with a lookup table, as any swap is: it is listed among the payer's, and is none of
/// ours. What came after the last block the payment could be in is nobody's business.
#[tokio::test]
async fn p5_a_payer_s_other_transactions_keep_no_payment_open() {
    let them = theirs().await;
    them.node.set("getEpochInfo", Ok(epoch(900)));
    let raw = STANDARD.decode(them.landed["transaction"][0].as_str().unwrap()).unwrap();
    // The same without a lookup table's end: what does not read.
    let mut table = them.landed.clone();
    table["transaction"][0] = json!(STANDARD.encode(&raw[..raw.len() - 1]));
    them.lists(&[(&them.transaction, 790)]);
    them.node.set("getTransaction", Ok(table));
    assert!(matches!(them.look(1).await[..], [Evidence::Expired { .. }]));

    // More of them than are read, all too late to be the payment.
    let many: Vec<(&str, u64)> = (0..READS_MAX + 1).map(|_| (them.transaction.as_str(), 999)).collect();
    them.lists(&many);
    them.node.take_calls();
    assert!(matches!(them.look(2).await[..], [Evidence::Expired { .. }]));
    assert!(!them.node.take_calls().contains(&"getTransaction"));
}
