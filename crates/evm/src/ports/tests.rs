use std::sync::Arc;

use quittance_chain::{
    CheckedPayment, CostAllowed, Decode as _, PaymentFacts, Sign as _, Unstorable, Watched,
};
use quittance_protocol::Network;

use super::*;
use crate::fake::{self, FakeRpc};

fn decode() -> EvmDecode {
    EvmDecode::new(Network::BASE.parse().unwrap())
}

/// What every release so far keeps of a payment.
fn form() -> Value {
    json!({
        "chain_id": 8453,
        "token": "0x7777777777777777777777777777777777777777",
        "from": "0x0101010101010101010101010101010101010101",
        "to": "0x1111111111111111111111111111111111111111",
        "value": 100,
        "valid_after": 0,
        "valid_before": 1_800_000_900,
        "nonce": "0x0202020202020202020202020202020202020202020202020202020202020202",
        "signature": {"ecdsa": {
            "r": "0x0101010101010101010101010101010101010101010101010101010101010101",
            "s": "0x0202020202020202020202020202020202020202020202020202020202020202",
            "y_odd": false,
        }},
    })
}

struct Foreign;

impl CheckedPayment for Foreign {
    fn facts(&self) -> PaymentFacts {
        fake::payment(1, 2, 1_800_000_900).facts()
    }

    fn store(&self) -> Result<Value, Unstorable> {
        Ok(Value::Null)
    }
}

#[test]
fn a_stored_payment_is_the_same_one_again() {
    let payment = fake::payment(1, 2, 1_800_000_900);
    let stored = Verified::new(payment.clone()).store().unwrap();
    assert_eq!(stored, form(), "what the ledger keeps does not change");
    let revived = decode().revive(&stored).unwrap();
    assert_eq!(revived.get::<EvmPayment>(), Some(&payment));
    assert_eq!(*revived, payment.facts());
}

#[test]
fn what_is_no_payment_of_this_network_is_unreadable_and_never_printed() {
    let with = |key: &str, value: Value| {
        let mut form = form();
        form[key] = value;
        form
    };
    for damaged in [
        Value::Null,
        json!({}),
        json!([1]),
        with("value", json!(-1)),
        with("chain_id", json!(84532)),
        with("signature", json!("0xfeedfacefeedface")),
        with("nonce", json!("0xfeedface")),
    ] {
        let error = decode().revive(&damaged).unwrap_err().to_string();
        assert!(!error.contains("feedface"), "{error}");
    }
}

#[tokio::test]
async fn a_payment_of_another_family_is_never_signed_or_skipped() {
    let rpc = FakeRpc::new(3);
    let chain = EvmPorts::new(fake::connect(&[&rpc], |_| {}).await);
    let foreign = Verified::new(Foreign);
    let allowed = CostAllowed { charged_native: u128::MAX, reserved_native: u128::MAX };
    assert!(!chain.sign(&foreign, &fake::wallet().to_string(), Some(0), allowed).unwrap_err().retry);
    assert!(!chain.cost_bound(&foreign, u128::MAX).unwrap_err().retry);
    let watched = Watched {
        key: foreign.key,
        payment: foreign,
        transactions: Vec::new(),
        named: None,
        nonce: None,
        wallet: None,
        watch_from: 1,
        deadline: Deadline::UnixSeconds(1),
    };
    assert!(quittance_chain::Watch::scan(&chain, &[watched], 0).await.is_err(), "it is no look at all");
}

#[tokio::test]
async fn the_ports_of_a_chain_are_all_there() {
    let rpc = FakeRpc::new(3);
    let chain = fake::connect(&[&rpc], |_| {}).await;
    let coin = GasCoin { name: "XYZ".to_owned(), decimals: 18, pair: "xyz_usd".to_owned() };
    let facts = facts(chain.config(), coin, &[Secret::new(fake::WALLET_KEY)], &[]).unwrap();
    assert_eq!(facts.wallets, [chain.wallet()]);
    assert_eq!(facts.offer_extra["primaryType"], "TransferWithAuthorization");
    let chain = quittance_chain::Chain::connected(facts, Arc::new(decode()), ports(chain));
    assert_eq!(chain.nonces().unwrap().used(&chain.facts().wallets[0]).await.unwrap_or(0), 0);
    assert!(chain.endpoints().is_some());
    let heights = chain.watch().unwrap().heights(0).await.unwrap();
    assert_eq!(heights.latest, 3);
}

/// What a stranger's check waits for, a customer's does not: they share no call, and no turn.
#[tokio::test(start_paused = true)]
async fn a_customers_check_waits_for_no_strangers() {
    let rpc = FakeRpc::new(3);
    let ports = Arc::new(EvmPorts::new(fake::connect(&[&rpc], |_| {}).await));
    let asked = |payer| Verified::new(fake::payment(payer, 2, 1_800_000_900));
    rpc.state().hangs = Some("eth_call");
    let hanging: Vec<_> = (1..4)
        .map(|payer| {
            let (ports, asked) = (Arc::clone(&ports), asked(payer));
            tokio::spawn(async move { ports.check_stranger(&asked).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    rpc.state().hangs = None;
    rpc.state().refused = vec![("eth_call", crate::failure::RpcError::Http(403))];
    let began = tokio::time::Instant::now();
    assert!(matches!(ports.check_chain(&asked(9)).await, Err(CheckError::Unreachable(_))));
    assert!(began.elapsed().is_zero(), "{:?}", began.elapsed());
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}
