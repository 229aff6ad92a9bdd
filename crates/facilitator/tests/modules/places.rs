//! Places of a merchant's payments, what copies without one hear, whose history counts, and what names
//! a payment at `/settle`.

use futures::future::join_all;
use quittance_facilitator::{Asker, PayOutcome};
use quittance_ledger::FeePolicy;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{ErrorCode, IdentifierHash, RetryAction, SettleResponse, VerifyRequest};
use serde_json::json;

use super::harness::{
    Authorization, Chain, GAS, Pool, Process, Time, at, nonce, payment, process, sale, settle, verify,
};
use super::rows::{paid_to, row, shops, with_keys};
use super::{open, until};

fn from(last: u8) -> Asker {
    Asker { caller: at(last), ..Asker::from("all") }
}

async fn ask(process: &Process, sold: &Authorization, asker: &Asker) -> SettleResponse {
    process.facilitator.settle(sold.request(), asker.clone()).await.response
}

/// Strangers leave places to payers with history, whose own signature says who they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_find_a_place_that_strangers_have_left() {
    let (chain, time) = (Chain::default(), Time::default());
    let store = open(&ModelDatabase::shared(), "one", &time);
    let process = Process::open(store, &chain, &time, "[merchants]\nconcurrency_max = 4").await;
    process.until_offered(Some(GAS)).await;
    assert!(ask(&process, &Authorization::of("customer"), &from(9)).await.success);
    chain.hold(true);
    // Three of the four places are the strangers', two at most from one address.
    let strangers: Vec<_> = (0..4).map(|number| Authorization::of(&format!("stranger {number}"))).collect();
    let [here, there, elsewhere] = [from(1), from(2), from(3)];
    let askers = [&here, &here, &there, &elsewhere];
    let asked = strangers.iter().zip(askers).map(|(sold, asker)| ask(&process, sold, asker));
    let told = join_all(asked).await;
    let crowded = |answer: &&SettleResponse| answer.error_reason == Some(ErrorCode::NetworkUnavailable);
    assert_eq!(told.iter().filter(crowded).count(), 1, "{told:?}");
    let [more, of_one, own] = ["more", "of one", "customer"].map(Authorization::of);
    let mut forged = Authorization::of("customer");
    forged.0["contract"] = json!(true);
    let (_, third, other, customer, forged) = tokio::join!(
        join_all(strangers[..2].iter().map(|sold| ask(&process, sold, &here))),
        ask(&process, &more, &here),
        ask(&process, &of_one, &there),
        ask(&process, &own, &here),
        ask(&process, &forged, &elsewhere),
    );
    assert!(crowded(&&third), "two of one address: {third:?}");
    assert_eq!(third.retry_action, Some(RetryAction::RetrySamePayment));
    assert!(!crowded(&&other), "another address: {other:?}");
    assert_eq!(customer.error_reason, Some(ErrorCode::SettlementPending), "{customer:?}");
    assert!(crowded(&&forged), "anybody can name a customer: {forged:?}");
    chain.hold(false);
    process.close().await;
}

/// As many copies wait as may: the next hears of the payment on record, where it is the payer's own for
/// certain, and where no merchant could ask for another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_a_place_at_settle_hears_what_is_its_own_to_hear() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let keys = with_keys(&database, &time, &[row("shop", FeePolicy::Added)]).await;
    let store = open(&database, "one", &time);
    let process = Process::open(store, &chain, &time, "[merchants]\ncopies_max = 1").await;
    process.until_offered(Some(GAS)).await;
    let [shop] = shops(&process, &keys).await;
    chain.hold(true);
    let mine = Authorization::of("payer");
    let with_row = paid_to("0xshop", &json!({}));
    let contract = {
        let mut contract = Authorization::of("wallet");
        contract.0["contract"] = json!(true);
        contract.request()
    };
    for (what, request, asker, is_named) in [
        ("its own", mine.request(), Asker::from("all"), true),
        ("a merchant's", with_row, shop, false),
        ("anybody's", contract, Asker::from("all"), false),
    ] {
        let before = database.with(|rows| rows.payment_count());
        let (first, asking) = (process.clone(), (request.clone(), asker.clone()));
        let waiting = tokio::spawn(async move { first.facilitator.settle(asking.0, asking.1).await });
        until("it is on record", || database.with(|rows| rows.payment_count() > before)).await;
        let copy = process.facilitator.settle(request.clone(), asker.clone()).await.response;
        assert_eq!(copy.error_reason, Some(ErrorCode::SettlementPending), "{what}: {copy:?}");
        assert_eq!(copy.retry_action, Some(RetryAction::RetrySamePayment));
        assert_eq!(copy.payment_state.is_some(), is_named, "{what}: {copy:?}");
        let verified = process.facilitator.verify(request, asker).await;
        assert_eq!(verified.invalid_reason, Some(ErrorCode::SettlementPending), "{what}");
        assert!(!waiting.await.unwrap().response.success);
    }
    chain.hold(false);
    process.close().await;
}

/// Who pays a merchant may be the merchant, who sends money in a circle: that is no history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_to_a_merchant_with_a_row_are_nobodys_history() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let keys = with_keys(&database, &time, &[row("shop", FeePolicy::Added)]).await;
    let process = process(&database, &chain, &time).await;
    let [shop] = shops(&process, &keys).await;
    let has_history = |payer: &str| {
        process.facilitator.presented(&payment(payer, nonce(), &json!({}))).unwrap().has_history
    };
    let request = paid_to("0xshop", &json!({ "payer": "circle" }));
    assert!(process.facilitator.settle(request, shop).await.response.success);
    assert!(!has_history("circle"));
    assert!(settle(&process, &Authorization::of("customer")).await.success);
    assert!(has_history("customer"));
    process.close().await;
}

/// The customer's own word names a payment; one that an offer of ours suggested names none here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_customers_own_word_names_a_payment_at_settle() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    let named = |sold: &Authorization, word: &str| -> VerifyRequest {
        let mut request = sold.request();
        let mut payload = serde_json::to_value(&request.payment_payload).unwrap();
        payload["extensions"] = json!({ "payment-identifier": { "info": { "id": word } } });
        request.payment_payload = serde_json::from_value(payload).unwrap();
        request
    };
    let offered = format!("{}0123456789abcdef", quittance_protocol::OFFERED_IDENTIFIER);
    for (word, is_name) in [("my-own-word-for-it", true), (offered.as_str(), false)] {
        let sold = Authorization::of("payer");
        assert!(process.facilitator.settle(named(&sold, word), "all").await.response.success, "{word}");
        let kept = database.with(|rows| {
            let newest = rows.payments().find(|payment| payment.payload["nonce"] == sold.0["nonce"]);
            newest.unwrap().identifier
        });
        assert_eq!(kept, is_name.then(|| IdentifierHash::of(word)), "{word}");
    }
    process.close().await;
}

/// What another ledger landed at a shared address is paid there: here nothing may be served for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_ledger_landed_at_a_shared_address_is_told_to_be_refunded() {
    let (pool, time) = (Pool::default(), Time::default());
    let chain = Chain::numbered(&pool);
    let store = open(&ModelDatabase::shared(), "one", &time);
    let process = Process::with(store, &chain, &time, ("shared_pay_to = true", "")).await;
    process.until_offered(Some(GAS)).await;
    pool.is_deaf(true);
    pool.strangers_land(true);
    let sold = Authorization::of("payer");
    let told = settle(&process, &sold).await;
    assert_eq!(told.error_reason, Some(ErrorCode::RefundOwed), "{told:?}");
    assert!(told.error_message.as_ref().is_some_and(|why| why.contains("refund")), "{told:?}");
    assert_eq!(told.retry_action, Some(RetryAction::DoNotRetry));
    assert!(told.transaction.starts_with("theirs-"), "{told:?}");
    let verified = verify(&process, &sold).await;
    assert_eq!(verified.invalid_reason, Some(ErrorCode::RefundOwed));
    assert_eq!(verified.other["transaction"], json!(told.transaction));
    assert_eq!(verified.other["retry_action"], json!(RetryAction::DoNotRetry));
    let signed = payment("payer", nonce(), &json!({}));
    let at_the_gate = process.facilitator.pay(signed, sale(at(1), "call")).await;
    assert!(!matches!(at_the_gate, PayOutcome::Granted(_)), "{at_the_gate:?}");
    process.close().await;
}

/// Foreign servers say where their customers call from, and bring strangers as a gate does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_whose_strangers_fail_is_checked_few_at_a_time_whoever_asks() {
    for verifies in [false, true] {
        let (chain, time) = (Chain::default(), Time::default());
        let process = process(&ModelDatabase::shared(), &chain, &time).await;
        let here = from(1);
        let fails = async |number: usize| {
            let request = Authorization::of(&format!("broken {number}")).request();
            match verifies {
                true => drop(process.facilitator.verify(request, here.clone()).await),
                false => drop(process.facilitator.settle(request, here.clone()).await),
            }
        };
        for round in 0..5 {
            join_all((0..64).map(|number| fails(round * 64 + number))).await;
        }
        chain.checks();
        join_all((0..64).map(|number| fails(1_000 + number))).await;
        let (_, at_once) = chain.checks();
        assert!(at_once <= 8, "{at_once} checks at once");
        process.close().await;
    }
}
