use quittance_chain::{
    CheckedPayment, CostAllowed, Decode as _, PaymentFacts, Sign as _, Unstorable, Watched,
};
use quittance_protocol::Network;
use serde_json::{Value, json};

use super::*;
use crate::instructions as layout;
use crate::testing::{FakeRpc, chain, official, payload, rules, transaction, wallet};
use solana_sdk::signature::Signer as _;

fn decode() -> SolanaDecode {
    SolanaDecode::new(Network::SOLANA.parse().unwrap())
}

fn payment() -> SolanaPayment {
    rules().check(&payload(&transaction(&official()))).unwrap()
}

struct Foreign;

impl CheckedPayment for Foreign {
    fn facts(&self) -> PaymentFacts {
        payment().facts()
    }

    fn store(&self) -> Result<Value, Unstorable> {
        Ok(Value::Null)
    }
}

#[test]
fn a_stored_payment_is_the_same_one_again() {
    let payment = payment();
    let stored = Verified::new(payment.clone()).store().unwrap();
    assert_eq!(stored, serde_json::to_value(&payment).unwrap(), "what the ledger keeps does not change");
    let revived = decode().revive(&stored).unwrap();
    assert_eq!(revived.get::<SolanaPayment>(), Some(&payment));
    assert_eq!(*revived, payment.facts());
    assert_eq!(revived.wallet, Some(wallet().pubkey().to_string()), "its message names the fee payer");
}

#[test]
fn what_is_no_payment_of_this_cluster_is_unreadable_and_never_printed() {
    let form = Verified::new(payment()).store().unwrap();
    let with = |key: &str, value: Value| {
        let mut form = form.clone();
        form[key] = value;
        form
    };
    for damaged in [
        Value::Null,
        json!({}),
        with("network", json!(Network::SOLANA_DEVNET)),
        with("transaction", json!("feedface")),
        with("transaction", json!("!feedface!")),
        with("amount", json!({})),
    ] {
        let error = decode().revive(&damaged).unwrap_err().to_string();
        assert!(!error.contains("feedface"), "{error}");
    }
}

#[tokio::test]
async fn a_payment_of_another_family_is_never_signed_or_skipped() {
    let chain = SolanaPorts::new(chain(&[&FakeRpc::new()]).await);
    let foreign = Verified::new(Foreign);
    let allowed = CostAllowed { charged_native: u128::MAX, reserved_native: u128::MAX };
    assert!(!chain.sign(&foreign, &wallet().pubkey().to_string(), None, allowed).unwrap_err().retry);
    assert!(!chain.cost_bound(&foreign, u128::MAX).unwrap_err().retry);
    let watched = Watched {
        key: foreign.key,
        payment: foreign,
        transactions: vec!["signature".to_owned()],
        named: None,
        nonce: None,
        wallet: None,
        watch_from: 1,
        deadline: Deadline::BlockHeight(1),
    };
    assert!(quittance_chain::Watch::scan(&chain, &[watched], 0).await.is_err(), "it is no look at all");
}

/// Copies share a simulation; what one message says is no word about another.
#[tokio::test]
async fn copies_share_a_simulation_and_different_payments_do_not() {
    let node = FakeRpc::new();
    let ports = SolanaPorts::new(chain(&[&node]).await);
    node.set("simulateTransaction", Ok(json!({"context": {"slot": 77}, "value": {"err": null}})));
    node.take_calls();
    let simulations =
        || node.take_calls().into_iter().filter(|method| *method == "simulateTransaction").count();
    let copy = Verified::new(payment());
    let found = futures::future::join_all((0..200).map(|_| ports.check_chain(&copy))).await;
    assert!(found.iter().all(|view| view.as_ref().is_ok_and(|view| view.watch_from == 77)));
    assert_eq!(simulations(), 2, "the first, and all that came meanwhile");
    let limits = |units| {
        let mut instructions = official();
        instructions[0] = layout::set_unit_limit(units);
        Verified::new(rules().check(&payload(&transaction(&instructions))).unwrap())
    };
    let different: Vec<Verified> = (0..5).map(|n| limits(20_000 + n)).collect();
    let found = futures::future::join_all(different.iter().map(|one| ports.check_chain(one))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(simulations(), 5);
}
