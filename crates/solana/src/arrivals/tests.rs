use serde_json::{Value, json};

use crate::testing::{FakeRpc, chain, rules};

/// `getTransaction` of one whose message names `own` keys and takes others from lookup
/// tables; the token account at `at` of all of them holds 5 more than before.
fn transaction(own: &[&str], written: &[&str], read: &[&str], at: usize) -> Value {
    let holds = |amount: u64| json!([{"accountIndex": at, "uiTokenAmount": {"amount": amount.to_string()}}]);
    json!({
        "slot": 800,
        "version": 0,
        "transaction": {"message": {"accountKeys": own}},
        "meta": {
            "err": null,
            "loadedAddresses": {"writable": written, "readonly": read},
            "preTokenBalances": holds(7), "postTokenBalances": holds(12),
        },
    })
}

/// Whose account comes out of a lookup table is not in the message, and still pays in.
#[tokio::test]
async fn a_transfer_to_an_account_of_a_lookup_table_pays_in() {
    let node = FakeRpc::new();
    let chain = chain(&[&node]).await;
    let ours = rules().token_account.to_string();
    let (a, b, c) = ("first", "second", "third");
    for (name, answer, expected) in [
        ("in the message", transaction(&[a, &ours], &[b], &[c], 1), true),
        ("written, from a table", transaction(&[a, b], &[c, &ours], &[], 3), true),
        ("the only one of a table", transaction(&[a], &[&ours], &[b, c], 1), true),
        ("read, from a table, behind those that are written", transaction(&[a, b], &[c], &[&ours], 3), true),
        ("another account of the table grew", transaction(&[a, b], &[c, &ours], &[], 2), false),
        ("it is not there at all", transaction(&[a], &[b], &[c], 1), false),
    ] {
        node.set("getTransaction", Ok(answer));
        assert_eq!(chain.pays_in("signature").await, Ok(expected), "{name}");
    }
    let asked = node.last_params("getTransaction")[1].clone();
    assert_eq!(asked["maxSupportedTransactionVersion"], json!(1));
}
