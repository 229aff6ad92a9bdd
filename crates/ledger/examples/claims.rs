//! Claims per second, durable, on SQLite and PostgreSQL:
//! `cargo run --release -p quittance-ledger --example claims`.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::float_arithmetic, reason = "a measurement")]

use std::time::Instant;

use quittance_ledger::testing::PostgresCluster;
use quittance_ledger::{ClaimOutcome, Ledger, LedgerOptions, NewClaim, Origin};
use quittance_protocol::{Amount, Deadline, Fingerprint, Network, PaymentId, PaymentKey, RequestId};

const NOW_MS: i64 = 1_800_000_000_000;

fn claim(number: u64) -> NewClaim {
    let mut random = [0; 16];
    random[..8].copy_from_slice(&number.to_be_bytes());
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    NewClaim {
        id: PaymentId::from_random(random),
        request_id: RequestId::from_random(random),
        key: PaymentKey::evm(8453, &[1; 20], &[2; 20], &nonce),
        network: Network::BASE.parse().unwrap(),
        origin: Origin::Gate,
        fingerprint: Fingerprint::of_request("POST", "/v1/images", "", b"{}"),
        signature_digest: [7; 32],
        identifier: None,
        idempotency: None,
        repeats: None,
        payer: "0x00000000000000000000000000000000000000bb".to_owned(),
        pay_to: "0x00000000000000000000000000000000000000cc".to_owned(),
        asset: Network::BASE.to_owned(),
        amount: Amount::new(13_938),
        service: Amount::new(10_000),
        gas: Amount::new(3_938),
        fee: None,
        tariff: Some(1),
        deadline: Deadline::UnixSeconds(1_800_000_600),
        watch_from: 100,
        payload: serde_json::json!({"signature": "0x00", "authorization": {"value": "13938"}}),
        resource: "POST /v1/images".to_owned(),
    }
}

async fn measure(name: &str, url: &str) {
    let ledger = Ledger::open(url, LedgerOptions::new("bench"), NOW_MS).await.unwrap();
    let mut next = 0;
    for (callers, claims) in [(1_u64, 500_u64), (64, 8_000), (512, 16_000)] {
        let before = ledger.commits();
        let start = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let ledger = ledger.clone();
                let numbers = (next + caller..next + claims).step_by(usize::try_from(callers).unwrap());
                tokio::spawn(async move {
                    for number in numbers {
                        let outcome = ledger.claim(claim(number), NOW_MS).await.unwrap();
                        assert!(matches!(outcome, ClaimOutcome::Won(_)));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        let commits = ledger.commits() - before;
        println!(
            "{name:10} {callers:4} callers  {:8.0} claims/s  {commits:6} commits",
            claims as f64 / seconds
        );
        next += claims;
    }
    ledger.close().await;
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    measure("sqlite", &format!("sqlite://{}", folder.path().join("ledger.db").display())).await;
    match PostgresCluster::start(true) {
        Ok(cluster) => {
            let url = cluster.fresh_database().await.unwrap();
            measure("postgres", &url).await;
        }
        Err(error) => println!("postgres left out: {error}"),
    }
}
