//! What settling costs the ledger on a day with many payments, on SQLite and PostgreSQL:
//! `cargo run --release -p quittance-ledger --example day`.
//!
//! A settlement is all that `/settle` asks of the ledger, from the look-up to the word that
//! its answer was taken. Ledgers with and without a day's rows take turns, so that what else
//! the machine does meets all of them. Processor time is the process's own and, for
//! PostgreSQL, the server's.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_arithmetic,
    reason = "a measurement"
)]

#[path = "../tests/common/fill.rs"]
mod fill;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quittance_ledger::testing::PostgresCluster;
use quittance_ledger::testing::plans::{Explainer, stop_noting};
use quittance_ledger::{
    Balance, ClaimOutcome, CostEntry, Exposed, ExposureLimits, Ledger, LedgerOptions, MerchantAnswer,
    MerchantAnswerEnd, NewAttempt, NewClaim, Origin, Reserve, SignedBytes,
};
use quittance_protocol::{
    Amount, Deadline, Fingerprint, Landing, Network, PaymentId, PaymentKey, RequestId, SendOutcome,
};

const NOW: i64 = 1_800_000_000_000;
const WALLET: &str = "0x00000000000000000000000000000000000000aa";
/// Payments of the day before the first one that is measured.
const DAYS: [u64; 3] = [0, 17_000, 170_000];
const ROUNDS: usize = 5;
const SETTLEMENTS: u64 = 1_000;
const CALLERS: u64 = 16;
/// Payers, those of the day.
const PAYERS: u64 = 500;
/// Above every block of the day.
const BLOCK: u64 = 2_000_000_000;

fn network() -> Network {
    Network::BASE.parse().unwrap()
}

fn claim(number: u64) -> NewClaim {
    let mut random = [9; 16];
    random[..8].copy_from_slice(&number.to_be_bytes());
    let mut nonce = [9; 32];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    NewClaim {
        id: PaymentId::from_random(random),
        request_id: RequestId::from_random(random),
        key: PaymentKey::evm(8453, &[1; 20], &[2; 20], &nonce),
        network: network(),
        origin: Origin::Merchant("shop".to_owned()),
        fingerprint: Fingerprint::of_request("POST", "/settle", "", b"{}"),
        signature_digest: [7; 32],
        identifier: None,
        idempotency: None,
        repeats: None,
        payer: format!("payer{}", number % PAYERS),
        pay_to: "0x00000000000000000000000000000000000000cc".to_owned(),
        asset: Network::BASE.to_owned(),
        amount: Amount::new(13_938),
        service: Amount::new(10_000),
        gas: Amount::new(3_938),
        fee: None,
        tariff: None,
        deadline: Deadline::UnixSeconds(1_800_000_600),
        watch_from: BLOCK,
        payload: serde_json::json!({"signature": "0x00", "authorization": {"value": "13938"}}),
        resource: "POST /settle".to_owned(),
    }
}

fn wanted(payer: &str) -> Reserve {
    let both = |amount: u64| Exposed { usdc: Amount::new(amount), native: amount };
    let free = both(1 << 60);
    Reserve {
        source: payer.to_owned(),
        balance: Some(Balance { amount: Amount::new(1 << 40), at: BLOCK }),
        hold_until_ms: Some(NOW + 600_000),
        bound: both(10),
        by_code: false,
        account: None,
        limits: ExposureLimits {
            payer_in_flight: free,
            network_in_flight: free,
            payer_unearned_in_flight: 1_000_000,
            payer_day: free.usdc,
            soft_day: free,
            probes_day: free,
            spent_day: free.usdc,
            history_bps: 10_000,
            by_code_in_flight: 1,
        },
    }
}

async fn settle(ledger: &Ledger, number: u64) {
    let new = claim(number);
    assert!(ledger.known(&new.key).await.unwrap().is_none());
    let wanted = wanted(&new.payer);
    let ClaimOutcome::Won(claimed) = ledger.claim_within(new, wanted, NOW).await.unwrap() else {
        panic!("not claimed")
    };
    let id = claimed.into_payment().id;
    let transaction = format!("0x{number:064x}");
    let signed = transaction.clone();
    let sign = Box::new(move |_| {
        Ok(SignedBytes {
            raw: vec![2; 400],
            transaction: signed,
            detail: serde_json::json!({"gas_limit": 120_000}),
        })
    });
    let recorded = ledger.record(NewAttempt::numbered(&id, WALLET, sign), NOW).await.unwrap();
    ledger.journal_send(recorded.attempt(), &SendOutcome::Accepted, NOW).await.unwrap();
    let landing = Landing {
        transaction: transaction.clone(),
        block: BLOCK,
        block_hash: "0xb10c".to_owned(),
        block_time: 1_800_000_010,
        cost_native: 5,
        paid_by_us: true,
        log_index: None,
    };
    ledger.settle(&id, &landing, NOW).await.unwrap();
    let cost = CostEntry {
        network: network(),
        transaction,
        payment: Some(id.clone()),
        native: 7,
        usdc: Some(Amount::new(3)),
        earned: true,
    };
    ledger.book_cost(cost, NOW).await.unwrap();
    let begun = ledger.begin_merchant_answer(&id, "one", 2, NOW).await.unwrap();
    assert!(matches!(begun, MerchantAnswer::Begun { .. }));
    ledger.end_merchant_answer(&id, "one", MerchantAnswerEnd::Told, NOW).await.unwrap();
}

/// User and system time in milliseconds, of a process and of the children that it waited for.
fn cpu_ms(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10
}

/// The same of a server and all sessions that it has.
fn server_ms(postmaster: u32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    let children = children.unwrap_or_default();
    let sessions: u64 = children.split_whitespace().map(cpu_ms).sum();
    sessions + cpu_ms(&postmaster.to_string())
}

struct Day {
    payments: u64,
    ledger: Ledger,
    next: Arc<AtomicU64>,
    /// Of each round: processor µs and settlements a second.
    rounds: Vec<(f64, f64)>,
}

impl Day {
    async fn begin(url: &str, payments: u64) -> Self {
        // The tables first.
        let ledger = Ledger::open(url, LedgerOptions::new("one"), NOW).await.unwrap();
        ledger.ensure_wallet(&network(), WALLET, 5, NOW).await.unwrap();
        let mut session = Explainer::open(url).await.unwrap();
        if payments > 0 {
            fill::fill(&mut session, 1, payments).await;
            // No payer has so many authorizations asked about at once.
            session.run("DELETE FROM check_leases".to_owned()).await.unwrap();
        }
        Self { payments, ledger, next: Arc::default(), rounds: Vec::new() }
    }

    async fn round(&mut self, server: Option<u32>) {
        let cpu = || cpu_ms("self") + server.map_or(0, server_ms);
        let last = self.next.load(Ordering::Relaxed) + SETTLEMENTS;
        let (begun, before) = (Instant::now(), cpu());
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (ledger, next) = (self.ledger.clone(), Arc::clone(&self.next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= last {
                            return;
                        }
                        settle(&ledger, number).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        self.next.store(last, Ordering::Relaxed);
        let cpu_us = (cpu() - before) as f64 * 1_000.0 / SETTLEMENTS as f64;
        self.rounds.push((cpu_us, SETTLEMENTS as f64 / begun.elapsed().as_secs_f64()));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(name: &str, urls: Vec<String>, server: Option<u32>) {
    let mut days = Vec::new();
    for (url, payments) in urls.iter().zip(DAYS) {
        days.push(Day::begin(url, payments).await);
    }
    for round in 0..=ROUNDS {
        for day in &mut days {
            day.round(server).await;
            if round == 0 {
                // The first one warms caches.
                day.rounds.clear();
            }
        }
    }
    let quiet = days[0].rounds.clone();
    for day in days {
        let ratios = day.rounds.iter().zip(&quiet).map(|(day, quiet)| day.0 / quiet.0).collect();
        let rates = day.rounds.iter().zip(&quiet).map(|(day, quiet)| day.1 / quiet.1).collect();
        println!(
            "{name:10} {:7} payments before  {:6.0} cpu us each  {:6.2} times  {:6.0} settled/s  {:6.2} times",
            day.payments,
            median(day.rounds.iter().map(|round| round.0).collect()),
            median(ratios),
            median(day.rounds.iter().map(|round| round.1).collect()),
            median(rates),
        );
        day.ledger.close().await;
    }
}

#[tokio::main]
async fn main() {
    stop_noting();
    let folder = tempfile::tempdir().unwrap();
    let file =
        |payments: &u64| format!("sqlite://{}", folder.path().join(format!("{payments}.db")).display());
    measure("sqlite", DAYS.iter().map(file).collect(), None).await;
    match PostgresCluster::start(true) {
        Ok(cluster) => {
            let mut urls = Vec::new();
            for _ in DAYS {
                urls.push(cluster.fresh_database().await.unwrap());
            }
            measure("postgres", urls, Some(cluster.postmaster().unwrap())).await;
        }
        Err(error) => println!("postgres left out: {error}"),
    }
}
