//! What comes to the gate.

use quittance_facilitator::{Caller, PayOutcome, Sale};
use quittance_ledger::LedgerOptions;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::{Amount, ErrorCode, Fingerprint, Network, PaymentPayload};
use serde_json::{Value, json};

use super::harness::{Chain, GAS, Process, SERVICE, Time, unique};
/// What a request of the gate costs.
pub(crate) const PRICE: u64 = SERVICE + GAS;

pub(crate) async fn process(database: &ModelDatabase, chain: &Chain, time: &Time) -> Process {
    let options = LedgerOptions { lease_ms: i64::MAX / 4, ..LedgerOptions::new("one") };
    let process = Process::open(database.open(&options, time.now_ms()).unwrap(), chain, time, "").await;
    process.until_offered(Some(GAS)).await;
    process
}

pub(crate) fn at(last: u8) -> Caller {
    Caller::at([192, 0, 2, last].into())
}

/// `more`: `contract` where only the chain can tell whose signature it is, and the
/// chain's `fault` with it.
pub(crate) fn payment(payer: &str, nonce: u64, more: &Value) -> PaymentPayload {
    let accepted = json!({
        "scheme": "exact", "network": Network::BASE, "asset": "0xa", "payTo": "0xb",
        "amount": PRICE.to_string(), "maxTimeoutSeconds": 120,
    });
    let mut payload = json!({ "nonce": nonce, "amount": PRICE, "payer": payer });
    for (name, value) in more.as_object().unwrap() {
        payload[name] = value.clone();
    }
    serde_json::from_value(json!({ "x402Version": 2, "accepted": accepted, "payload": payload })).unwrap()
}

pub(crate) fn sale(caller: Caller, body: &str) -> Sale {
    Sale {
        service: Amount::new(SERVICE),
        fingerprint: Fingerprint::of_request("POST", "/", "", body.as_bytes()),
        resource: "POST /".to_owned(),
        identifier: None,
        idempotency: None,
        malformed: None,
        caller,
    }
}

pub(crate) fn nonce() -> u64 {
    u64::from_be_bytes(unique())
}

pub(crate) fn is_refused(outcome: &PayOutcome, code: ErrorCode) -> bool {
    matches!(outcome, PayOutcome::Refused(rejection) if rejection.code == code)
}
