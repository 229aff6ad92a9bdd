//! A process killed in the middle of its work: what it was told is stored.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use common::*;
use quittance_ledger::{DeliveryState, NewAttempt, PaymentState};

/// Tells the second life of this test where to work.
const URL_VARIABLE: &str = "QUITTANCE_TEST_KILL_URL";
const ACKNOWLEDGED: usize = 300;

/// Works until it is killed and says what it was told. Does nothing as a test of its own.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(url) = std::env::var(URL_VARIABLE) else { return };
    let ledger = Store::at(url).open().await;
    ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
    let workers = (0..8_u64).map(|worker| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            for round in 0.. {
                let key = round * 8 + worker;
                let id = won(&ledger, new_claim(key, 0)).await.into_payment().id;
                println!("\n+{key} claimed");
                ledger
                    .record(NewAttempt::numbered(&id, WALLET, signer(format!("tx{key}"))), NOW)
                    .await
                    .unwrap();
                println!("\n+{key} recorded");
                ledger.settle(&id, &landing("tx"), NOW).await.unwrap();
                println!("\n+{key} settled");
                ledger.start_delivery(&id, at_most(1), NOW).await.unwrap();
                println!("\n+{key} running");
            }
        })
    });
    futures::future::join_all(workers).await;
}

async fn kill_and_look(store: Store) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(URL_VARIABLE, &store.url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in lines.filter(|line| line.starts_with('+')) {
        acknowledged.push(line[1..].to_owned());
        if acknowledged.len() == ACKNOWLEDGED {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself after {} lines", acknowledged.len());

    let ledger = store.open().await;
    let mut last = 0;
    for line in &acknowledged {
        let Some((key, told)) = line.split_once(' ') else { continue };
        let id = new_claim(key.parse().unwrap(), 0).id;
        let payment = ledger.payment(&id).await.unwrap().unwrap_or_else(|| panic!("{line} is lost"));
        let reached = match (payment.state, payment.delivery) {
            (PaymentState::Claimed, _) => 0,
            (PaymentState::Recorded, _) => 1,
            (PaymentState::Settled, DeliveryState::None) => 2,
            (PaymentState::Settled, DeliveryState::Credited) => 3,
            other => panic!("{line} became {other:?}"),
        };
        let promised = ["claimed", "recorded", "settled", "running"].iter().position(|word| *word == told);
        assert!(promised.is_some_and(|promised| reached >= promised), "{line}, found {payment:?}");
        last = last
            .max(ledger.recorded_attempts(&id).await.unwrap().first().and_then(|r| r.nonce()).unwrap_or(0));
    }
    for payment in ledger.unfinished().await.unwrap() {
        let attempts = ledger.recorded_attempts(&payment.id).await.unwrap().len();
        assert_eq!(attempts, usize::from(payment.state == PaymentState::Recorded));
    }
    // No slot without bytes, no bytes without a slot: the nonces are one row of numbers.
    let next = ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
    let attempts = ledger.attempts_from_nonce(&base(), WALLET, 0).await.unwrap();
    assert_eq!(attempts.iter().filter_map(|r| r.nonce()).collect::<Vec<_>>(), (0..next).collect::<Vec<_>>());
    assert!(next > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_it_acknowledged() {
    kill_and_look(Store::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_it_acknowledged() {
    if let Some(store) = Store::postgres().await {
        kill_and_look(store).await;
    }
}
