//! Accounts that merchants are paid at (Solana): looked at beside the payments, and made once, at
//! the merchant's cost and within its limits.

use std::time::Duration;

use quittance_facilitator::Asker;
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{FeePolicy, Merchant, Store};
use quittance_protocol::{Amount, ErrorCode, RetryAction};
use serde_json::json;

use super::harness::{Account, Chain, Process, Time, process};
use super::rows::{paid_to, refused, row, shops, with_keys};
use super::{open, until};

/// Twice the pause between two looks, and what is missing is looked at again.
const LOOKS: Duration = Duration::from_secs(12);

async fn serving(chain: &Chain, rows: &[Merchant], database: &ModelDatabase) -> (Process, [Asker; 1]) {
    let time = Time::default();
    let keys = with_keys(database, &time, rows).await;
    let process = process(database, chain, &time).await;
    let askers = shops(&process, &keys).await;
    (process, askers)
}

async fn is_payable(process: &Process, asker: &Asker) -> bool {
    let request = paid_to(&format!("0x{}", asker.merchant), &json!({}));
    process.facilitator.verify(request, asker.clone()).await.is_valid
}

#[tokio::test(start_paused = true)]
async fn a_merchants_account_is_made_once_and_charged_to_it() {
    let (database, chain) = (ModelDatabase::shared(), Chain::default());
    chain.set_account("0xshop", Account::Missing);
    let (process, [shop]) = serving(&chain, &[row("shop", FeePolicy::Added)], &database).await;
    until("it is made", || !chain.created().is_empty()).await;
    tokio::time::sleep(LOOKS).await;
    assert!(is_payable(&process, &shop).await);
    assert_eq!(chain.created(), ["0xshop"]);
    let operator = open(&database, "operator again", &Time::default());
    let operator: &dyn Store = &operator;
    let totals = operator.merchant_totals(0).await.unwrap();
    // 10^12 lamports, or wei, at the double's price of a settlement.
    assert_eq!((totals[0].accounts, totals[0].native), (1, 1_000_000_000_000));
    assert_eq!(totals[0].rent, Amount::new(2_500));
    // Its owner may close it: that is noticed, and nobody pays for it again.
    chain.set_account("0xshop", Account::Missing);
    let looked = chain.looks_at("0xshop");
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(chain.looks_at("0xshop") > looked);
    assert_eq!((is_payable(&process, &shop).await, chain.created().len()), (false, 1));
    process.close().await;
}

/// While it is missing the same payment is good in a moment; where nobody can be paid none is.
#[tokio::test(start_paused = true)]
async fn a_payment_to_an_account_that_is_not_there_is_not_sent() {
    for (account, code, action) in [
        (Account::Silent, ErrorCode::NetworkUnavailable, RetryAction::RetrySamePayment),
        (Account::Unmakeable, ErrorCode::NetworkUnavailable, RetryAction::RetrySamePayment),
        (Account::Unusable, ErrorCode::InvalidPaymentRequirements, RetryAction::Pay),
    ] {
        let (database, chain) = (ModelDatabase::shared(), Chain::default());
        chain.set_account("0xshop", account);
        let (process, [shop]) = serving(&chain, &[row("shop", FeePolicy::Added)], &database).await;
        until("it was looked at", || chain.looks_at("0xshop") > 0).await;
        tokio::time::sleep(LOOKS).await;
        let (told, answer) = refused(&process, paid_to("0xshop", &json!({})), &shop).await;
        assert_eq!((told, answer.retry_action), (code, Some(action)), "{account:?}: {answer:?}");
        assert_eq!((chain.checks().0, chain.broadcasts()), (0, 0));
        assert_eq!(database.with(|rows| rows.payment_count()), 0);
        process.close().await;
    }
}

/// P3: each transaction costs a signature, and each account rent.
#[tokio::test(start_paused = true)]
async fn p3_what_makes_accounts_is_bounded_by_tries_and_by_the_merchants_limits() {
    let none = Merchant { accounts_max: 0, ..row("shop", FeePolicy::Added) };
    let mut dear = row("shop", FeePolicy::Added);
    dear.networks[0].limits.cost_day = Amount::new(2_499);
    for (what, merchant, account, sent) in [
        ("it never lands", row("shop", FeePolicy::Added), Account::Unmakeable, 3),
        ("no account is paid for", none, Account::Missing, 0),
        ("its day's costs", dear, Account::Missing, 0),
    ] {
        let (database, chain) = (ModelDatabase::shared(), Chain::default());
        chain.set_account("0xshop", account);
        let (process, [shop]) = serving(&chain, &[merchant], &database).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(chain.created().len(), sent, "{what}");
        // What is missing is looked at every five seconds or so, for it may come.
        assert!((12..=30).contains(&chain.looks_at("0xshop")), "{what}: {}", chain.looks_at("0xshop"));
        assert!(!is_payable(&process, &shop).await, "{what}");
        process.close().await;
    }
}

/// A network that takes no payments makes no accounts, and a closed merchant gets none.
#[tokio::test(start_paused = true)]
async fn nothing_is_made_where_nothing_could_be_settled() {
    let (database, chain) = (ModelDatabase::shared(), Chain::default());
    chain.set_account("0xshop", Account::Missing);
    let time = Time::default();
    let keys = with_keys(&database, &time, &[row("shop", FeePolicy::Added)]).await;
    let process = process(&database, &chain, &time).await;
    chain.pause_token();
    process.until_offered(None).await;
    let [_] = shops(&process, &keys).await;
    tokio::time::sleep(LOOKS).await;
    assert!(chain.looks_at("0xshop") > 0 && chain.created().is_empty());
    let operator = open(&database, "operator again", &time);
    let operator: &dyn Store = &operator;
    assert!(operator.close_merchant("shop", 0).await.unwrap());
    tokio::time::sleep(LOOKS).await;
    let looked = chain.looks_at("0xshop");
    tokio::time::sleep(LOOKS).await;
    assert_eq!(chain.looks_at("0xshop"), looked, "nobody looks where nobody sells");
    process.close().await;
}
