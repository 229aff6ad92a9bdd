//! The rules of the modules between a request and the chain, each as a test that fails in
//! seconds when its rule is broken: whole facilitators over the ledger's model and a chain
//! that does what the test says. `./scripts/test --only admission` runs those of one module.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

mod accepts;
mod admission;
#[allow(dead_code, reason = "each program of tests uses what it needs")]
#[path = "../tariffs/chain.rs"]
mod chain;
mod claims;
mod delivery;
mod early;
mod finality;
#[path = "../tariffs/gate.rs"]
mod gate;
mod holders;
mod lanes;
mod lost;
mod merchants;
mod payouts;
mod places;
#[allow(dead_code, reason = "each program of tests uses what it needs")]
#[path = "../tariffs/process.rs"]
mod process;
mod recorded;
mod rent;
mod repeats;
mod rows;
mod sold;
mod waits;
mod wallets;

/// What the tests of all modules share.
mod harness {
    pub(crate) use super::chain::{Account, Chain, Fate, Pool, Signer};
    pub(crate) use super::gate::*;
    pub(crate) use super::process::{GAS, Outcome, PATIENCE, Process, SERVICE, Time, unique};
    pub(crate) use super::sold::*;
}

use std::time::Duration;

use harness::{Chain, GAS, PATIENCE, Process, Time};
use quittance_facilitator::{Grant, PayOutcome, StoredAnswer};
use quittance_ledger::LedgerOptions;
use quittance_ledger::model::{ModelDatabase, ModelLedger};

fn open(database: &ModelDatabase, name: &str, time: &Time) -> ModelLedger {
    let options = LedgerOptions { lease_ms: i64::MAX / 4, ..LedgerOptions::new(name) };
    database.open(&options, time.now_ms()).unwrap()
}

/// Two processes on one ledger, each with its own node.
async fn replicas(database: &ModelDatabase, chains: [&Chain; 2], time: &Time) -> [Process; 2] {
    let one = Process::open(open(database, "one", time), chains[0], time, "").await;
    let two = Process::open(open(database, "two", time), chains[1], time, "").await;
    for process in [&one, &two] {
        process.until_offered(Some(GAS)).await;
    }
    [one, two]
}

fn answer(status: u16) -> StoredAnswer {
    StoredAnswer {
        status,
        headers: Vec::new(),
        body: b"served".to_vec(),
        object: None,
        truncated: false,
        refundable: false,
        usage: None,
    }
}

fn granted(outcome: PayOutcome) -> Grant {
    match outcome {
        PayOutcome::Granted(grant) => grant,
        other => panic!("no grant: {other:?}"),
    }
}

/// Waits until something holds, or fails.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
