//! What somebody may move who only names a payer, or shows a signature that was seen
//! before: with `contract_payers` any bytes may be a contract's signature, until the
//! chain has said no.

use futures::future::join_all;
use quittance_facilitator::{Caller, Connection, PayOutcome};
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::ErrorCode;
use serde_json::{Value, json};

use super::gate::{at, is_refused, nonce, payment, process, sale};
use super::harness::{Chain, Process, Time};

/// More than `failed_checks_payer_burst`, and what comes back of it meanwhile.
const MANY: usize = 300;

/// One payment for a request of its own.
async fn pay(process: &Process, caller: Caller, payer: &str, nonce: u64, more: Value) -> PayOutcome {
    process.facilitator.pay(payment(payer, nonce, &more), sale(caller, &nonce.to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_signatures_lock_no_payer_out_that_they_name() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    for payer in ["contract wallet", "key"] {
        for round in 0..MANY {
            let caller = at(u8::try_from(round % 200).unwrap());
            let forged = json!({ "contract": true, "fault": "made up" });
            let outcome = pay(&process, caller, payer, nonce(), forged).await;
            assert!(matches!(outcome, PayOutcome::Refused(_)), "{outcome:?}");
        }
    }
    let honest = pay(&process, at(250), "contract wallet", nonce(), json!({ "contract": true })).await;
    assert!(matches!(honest, PayOutcome::Granted(_)), "{honest:?}");
    let honest = pay(&process, at(250), "key", nonce(), json!({})).await;
    assert!(matches!(honest, PayOutcome::Granted(_)), "{honest:?}");
    process.close().await;
}

/// A customer's name is no way past what strangers may ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_signatures_of_a_customer_are_checked_among_strangers() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let bought = pay(&process, at(1), "customer", nonce(), json!({})).await;
    assert!(matches!(bought, PayOutcome::Granted(_)));
    let crowd = async || {
        let forged = || json!({ "contract": true, "fault": "made up" });
        join_all((0..64).map(|_| pay(&process, at(1), "customer", nonce(), forged()))).await
    };
    for _ in 0..5 {
        crowd().await;
    }
    chain.checks();
    crowd().await;
    let (_, at_once) = chain.checks();
    assert!(at_once <= 8, "{at_once} checks at once from an address that failed so often");
    // And its history is still its own.
    let (again, _) = tokio::join!(pay(&process, at(1), "customer", nonce(), json!({})), crowd());
    assert!(matches!(again, PayOutcome::Granted(_)), "{again:?}");
    process.close().await;
}

/// The chain finds an empty wallet before it looks at the signature.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_signature_of_an_empty_contract_wallet_is_answered_from_nothing() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    chain.hold(true);
    let call = sale(at(1), "a call");
    let mine = payment("wallet", nonce(), &json!({ "contract": true }));
    let first = process.facilitator.pay(mine, call.clone()).await;
    assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    chain.hold(false);
    let forged = json!({ "contract": true, "fault": "beyond the balance" });
    let thief = process.facilitator.pay(payment("wallet", nonce(), &forged), call.clone()).await;
    assert!(is_refused(&thief, ErrorCode::InvalidExactEvmInsufficientBalance), "{thief:?}");
    // Whose key signed is answered from what it paid, as ever.
    let key = payment("wallet", nonce(), &json!({ "fault": "beyond the balance" }));
    let again = process.facilitator.pay(key, call).await;
    assert!(matches!(again, PayOutcome::Granted(_)), "{again:?}");
    process.close().await;
}

/// A signature that was sent is public, or somebody's who took it on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_is_shown_again_and_again_counts_once_against_its_payer() {
    for fault in ["made up", "used"] {
        let (chain, time) = (Chain::default(), Time::default());
        let process = process(&ModelDatabase::shared(), &chain, &time).await;
        let seen = nonce();
        for round in 0..MANY {
            let caller = at(u8::try_from(round % 200).unwrap());
            let outcome = pay(&process, caller, "payer", seen, json!({ "fault": fault })).await;
            assert!(matches!(outcome, PayOutcome::Refused(_)), "{outcome:?}");
        }
        let honest = pay(&process, at(250), "payer", nonce(), json!({})).await;
        assert!(matches!(honest, PayOutcome::Granted(_)), "{fault}: {honest:?}");
        process.close().await;
    }
}

/// Any number of authorizations that others landed are public, with their signatures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorizations_that_the_chain_has_made_public_count_against_nobody() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    for round in 0..MANY {
        let caller = at(u8::try_from(round % 200).unwrap());
        let outcome = pay(&process, caller, "payer", nonce(), json!({ "fault": "used" })).await;
        assert!(matches!(outcome, PayOutcome::Refused(_)), "{outcome:?}");
    }
    let honest = pay(&process, at(250), "payer", nonce(), json!({})).await;
    assert!(matches!(honest, PayOutcome::Granted(_)), "{honest:?}");
    process.close().await;
}

/// Whoever shows a public signature does not know what it buys, and does not wait
/// in its payer's stead: the payer who left and signs anew pays once (P7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_with_a_seen_signature_does_not_keep_its_payer_from_having_left() {
    let (chain, time) = (Chain::default(), Time::default());
    let database = ModelDatabase::shared();
    let process = process(&database, &chain, &time).await;
    chain.hold(true);
    let signed = payment("payer", nonce(), &json!({}));
    let (mine, waiting) = Connection::new();
    let paying = {
        let (process, signed, call) = (process.clone(), signed.clone(), sale(at(1), "a call"));
        tokio::spawn(async move { process.facilitator.pay_for(signed, call, &waiting).await })
    };
    while database.with(|rows| rows.payment_count()) == 0 {
        tokio::task::yield_now().await;
    }
    // The stranger's connection stays.
    let (_theirs, theirs_waiting) = Connection::new();
    let stranger = process.facilitator.pay_for(signed, sale(at(2), "another"), &theirs_waiting).await;
    assert!(matches!(stranger, PayOutcome::Conflict { .. }), "{stranger:?}");
    drop(mine);
    paying.await.unwrap();
    let again = payment("payer", nonce(), &json!({}));
    let outcome = process.facilitator.pay(again, sale(at(1), "a call")).await;
    assert!(matches!(outcome, PayOutcome::Pending { .. }), "{outcome:?}");
    assert_eq!(database.with(|rows| rows.payment_count()), 1, "one call, one payment");
    process.close().await;
}
